"""What a project's label config asks of an image: which field holds it, which control counts, which labels exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from ..exceptions import ProjectError

__all__ = ["CONTROLS", "PATH", "Kind", "Target", "parse_label_config"]

Kind = Literal["classification", "detection", "segmentation"]

# control tag -> (kind of task, tag of its labels)
CONTROLS: dict[str, tuple[Kind, str]] = {
    "Choices": ("classification", "Choice"),
    "Taxonomy": ("classification", "Choice"),
    "Rating": ("classification", ""),
    "RectangleLabels": ("detection", "Label"),
    "EllipseLabels": ("detection", "Label"),
    "KeyPointLabels": ("detection", "Label"),
    "PolygonLabels": ("segmentation", "Label"),
    "BrushLabels": ("segmentation", "Label"),
}
# Algorithms: FreeSel's K per task (Table of hyper-parameters: detection 5, segmentation 10, classification 1).
N_PATTERNS: dict[Kind, int] = {"classification": 1, "detection": 5, "segmentation": 10}
# Between the steps of a path through nested choices. A label is the whole path: it stays the same, and unique, whatever
# else the config gains.
PATH = " > "


@dataclass(frozen=True)
class Target:
    """The image and the control tag that decide what is embedded and what counts as a label.

    Attributes
    ----------
    image_field : str
        Key of `task.data` that holds the image.
    image_name, control_name, control_tag : str
        Names in the label config; the control's tag, such as ``Choices``.
    kind : {'classification', 'detection', 'segmentation'}
    labels : tuple of str
        Labels in the order of the config, as annotations carry them: the alias where there is one. Of nested choices
        the leaves, each as its path. Empty when the config takes them from the tasks.
    multi : bool
        Whether a task can have several labels, or none: `Choices` of several, `Taxonomy` and all regions.
    nested : bool
        Whether labels are paths joined by `PATH`; in Label Studio's results each is the list of its steps.
    """

    image_field: str
    image_name: str
    control_name: str
    control_tag: str
    kind: Kind
    labels: tuple[str, ...]
    multi: bool
    nested: bool = False

    @property
    def open(self) -> bool:
        """Whether the config names no labels, so that any label in an annotation is one."""
        return not self.labels

    @property
    def n_patterns(self) -> int:
        """Semantic patterns per image that FreeSel uses for this kind of task."""
        return N_PATTERNS[self.kind]


def parse_label_config(config: str, target: str = "") -> Target:
    """Find the image and the control tag of a label config.

    Parameters
    ----------
    config : str
        Label Studio's XML.
    target : str, default ''
        Name of the control to use; empty means the first one on the first image.

    Raises
    ------
    ProjectError
        When the XML does not parse, has no Image, or no control we know (or the one named) is on an image.
    """
    try:
        # Any annotator can edit a label config: expat loads nothing external and bounds the growth of entities.
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ProjectError(f"the label config is not XML: {error}") from error
    images = {
        element.get("name", ""): (element.get("value") or element.get("valueList") or "")
        for element in root.iter("Image")
    }
    if not images:
        raise ProjectError("the label config has no <Image>: labelqueue orders image projects only")
    found = [
        (element, name)
        for element in root.iter()
        if element.tag in CONTROLS
        for name in (element.get("toName") or "").split(",")
        if name in images and not _is_of_a_part(element)
    ]
    if target:
        found = [(element, name) for element, name in found if element.get("name") == target]
    if not found:
        wanted = f"control named {target!r}" if target else f"control of {', '.join(CONTROLS)}"
        raise ProjectError(f"the label config has no {wanted} on an image; check the setting 'target'")
    element, image = found[0]
    tag = str(element.tag)
    kind = CONTROLS[tag][0]
    field = images[image].removeprefix("$")
    if not field:
        raise ProjectError(f"the <Image name={image!r}> has no value such as $image")
    several = element.get("choice") == "multiple" if tag == "Choices" else tag != "Rating"
    nested = tag == "Taxonomy" or _is_set(element, "allowNested")
    labels = _labels(element, nested)
    return Target(field, image, element.get("name", ""), tag, kind, labels, several, nested)


def _is_set(element: ElementTree.Element, name: str) -> bool:
    return (element.get(name) or "").lower() == "true"


def _is_of_a_part(element: ElementTree.Element) -> bool:
    """Tell whether a control describes a region or one of several images, not what the task shows."""
    return _is_set(element, "perRegion") or _is_set(element, "perItem")


def _labels(element: ElementTree.Element, nested: bool) -> tuple[str, ...]:
    """Return the labels of a control, each once."""
    tag = str(element.tag)
    child = CONTROLS[tag][1]
    if not child:
        return tuple(str(i) for i in range(1, int(element.get("maxRating") or 5) + 1))
    if (element.get("value") or "").startswith("$") or element.get("apiUrl"):
        return ()
    return tuple(dict.fromkeys(PATH.join(path) for path in _paths(element, child, nested)))


def _paths(element: ElementTree.Element, tag: str, nested: bool) -> Iterator[tuple[str, ...]]:
    """Yield the path to every choice that holds no other; where choices do not nest, Label Studio skips inner ones."""
    for choice in element:
        label = _label(choice)
        if choice.tag != tag or not label:  # a View around choices is no step
            yield from _paths(choice, tag, nested)
        else:
            yield from ((label, *path) for path in (list(_paths(choice, tag, nested)) if nested else []) or [()])


def _label(choice: ElementTree.Element) -> str:
    return choice.get("alias") or choice.get("value") or ""
