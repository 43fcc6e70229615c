"""Tasks for images: which are there, and those that are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import LabelStudioError, ProjectError
from ..fetching import cloud_address
from ..labels import image_uri, parse_label_config
from ..labelstudio import LabelStudio, make_tasks

__all__ = ["Imported", "bring", "task_data"]

BATCH = 250  # tasks in a request
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_LIST = re.compile(r"<image\b[^>]*\svaluelist\s*=", re.I)


@dataclass(frozen=True)
class Imported:
    """What became of a list.

    Attributes
    ----------
    title : str
        Of the project.
    made : int
        Tasks that were made.
    here : int
        Images that were a task already.
    """

    title: str
    made: int
    here: int


def task_data(field: str, address: str, *, several: bool = False) -> dict[str, Any]:
    """Return the data of a task with this image.

    Parameters
    ----------
    field : str
        `Target.image_field`: a key, or a path such as ``meta.image`` or ``images[0]``.
    address : str
        Of the image.
    several : bool
        Whether the config takes a list of images there.

    Raises
    ------
    ProjectError
        If the config makes the address from a text.

    Examples
    --------
    >>> task_data("meta.images[0]", "s3://a/1.jpg")
    {'meta': {'images': ['s3://a/1.jpg']}}
    """
    if "$" in field:
        raise ProjectError(
            f"the label config makes the image's address from {field!r}: import tasks with these fields yourself"
        )
    value: Any = [address] if several else address
    for index, key in reversed(_STEP.findall(field)):
        if index and int(index):
            raise ProjectError(f"the label config shows the image at {field!r}, of which only [0] can be filled")
        value = [value] if index else {key: value}
    if not isinstance(value, dict):
        raise ProjectError(f"the label config shows the image at {field!r}, which is no field of a task")
    return value


def bring(
    client: LabelStudio, project: int, addresses: Sequence[str], done: Callable[[int], None] = lambda count: None
) -> Imported:
    """Make a task of each image that the project does not have yet, in the order of the list.

    Parameters
    ----------
    client : LabelStudio
    project : int
    addresses : sequence of str
        Each once.
    done : callable
        Called with the number of images that are settled, again and again.

    Raises
    ------
    LabelStudioError
        If Label Studio cannot be reached, or refuses; the message says how many were made.
    ProjectError
        If the project's label config shows no image.
    """
    about = client.project(project)
    config = about["label_config"]
    field = parse_label_config(config).image_field
    several = bool(_LIST.search(config))
    task_data(field, "", several=several)  # refused before anything is read
    here = set(_addresses(client, project, field))
    new = [address for address in addresses if address not in here]
    done(len(addresses) - len(new))
    made = 0
    for start in range(0, len(new), BATCH):
        some = new[start : start + BATCH]
        try:
            made += make_tasks(client, project, [task_data(field, address, several=several) for address in some])
        except LabelStudioError as error:
            raise type(error)(
                f"{error}; {made:,} of {len(new):,} tasks were made, and the same command goes on from there",
                status=error.status,
                timed_out=error.timed_out,
                unanswered=error.unanswered,
            ) from error
        done(len(some))
    return Imported(str(about.get("title", "")), made, len(addresses) - len(new))


def _addresses(client: LabelStudio, project: int, field: str) -> Iterator[str]:
    """Yield the images of a project's tasks, as they were imported."""
    for task in client.tasks(project, fields=("id", "data")):
        uri = image_uri(task["data"], field)
        yield uri
        if "fileuri=" in uri:  # of a cloud storage, as Label Studio hands it on
            yield cloud_address(uri)
