"""Which tasks a row of a table is for: by the task's id, or by the address or the name of its image."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from ..state import TaskRow

__all__ = ["Addresses", "shown_address"]

FEW = 3
_UPLOADED = re.compile("[0-9a-f]{8}-")  # what Label Studio puts before the names of uploads


class Addresses:
    """The images of a project's tasks, to be found by what people call them.

    Parameters
    ----------
    rows : mapping of int to TaskRow
        Tasks by id.
    """

    def __init__(self, rows: Mapping[int, TaskRow]) -> None:
        self._rows = rows
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._names: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for task, row in rows.items():
            self._whole[row.uri].append(task)
            path = _path(row.uri)
            folder, slash, name = path.rpartition("/")
            self._names[name].append((path, task))
            if "/upload/" in path and (before := _UPLOADED.match(name)):  # what the file was called before
                plain = name[before.end() :]
                self._names[plain].append((f"{folder}{slash}{plain}", task))

    def find(self, task: int | None, file: str | None) -> tuple[list[int], str]:
        """Return the tasks that a row is for, or none and why.

        A file is meant by its whole address, or by the end of its path from a slash on, such as ``cats/1.jpg`` or
        ``1.jpg``. Several tasks that have one address are all meant; where several addresses end so, none is.
        """
        if task is not None:
            if task not in self._rows:
                return [], f"task {task} is not in this project"
            if file and not self._is(self._rows[task].uri, file):
                return [], f"task {task} has another image than {_brief(file)}: leave out the column `task` or `file`"
            return [task], ""
        if not file:
            return [], "it names neither a task nor a file"
        if file in self._whole:
            return self._whole[file], ""
        found: list[tuple[str, int]] = []
        for wanted in dict.fromkeys((file.strip("/"), _path(file))):  # a name may hold # or %, which an address escapes
            named = self._names.get(wanted.rpartition("/")[2], ())
            found = found or [(path, task) for path, task in named if _ends(path, wanted)]
        uris = {self._rows[task].uri for _, task in found}
        if len(uris) > 1:
            some = ", ".join(str(task) for _, task in found[:FEW])
            return [], f"{_brief(file)} may be the image of tasks {some}: give its whole address, or the task"
        return [task for _, task in found], "" if found else f"no task has the image {_brief(file)}"

    @staticmethod
    def _is(uri: str, file: str) -> bool:
        return uri == file or any(_ends(_path(uri), wanted) for wanted in (file.strip("/"), _path(file)))


def shown_address(uri: str) -> str | None:
    """Return the address of an image without what may be a secret; None when it is the image itself."""
    if uri.startswith("data:"):
        return None
    parts = urlsplit(uri)
    if "d" in parse_qs(parts.query) and not parts.netloc:
        return uri  # a local file of Label Studio: the query is its path
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _path(uri: str) -> str:
    """Return server and path of an address as one path, without a query; of Label Studio's local files, their path."""
    if uri.startswith("data:"):
        return uri
    try:
        parts = urlsplit(uri)
    except ValueError:  # no address, and still a name
        return uri
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0].strip("/")
    return f"{parts.netloc.rpartition('@')[2]}/{unquote(parts.path).strip('/')}".strip("/")


def _ends(path: str, wanted: str) -> bool:
    return bool(wanted) and (path == wanted or path.endswith(f"/{wanted}"))


def _brief(file: str) -> str:
    return repr(file if len(file) <= 80 else f"{file[:77]}...")
