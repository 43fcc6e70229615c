"""What a project's label config asks of an image: which field holds it, which control counts, which labels exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from .exceptions import ProjectError

__all__ = ["Target", "parse_label_config"]

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
        Labels in the order of the config.
    """

    image_field: str
    image_name: str
    control_name: str
    control_tag: str
    kind: Kind
    labels: tuple[str, ...]

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
        if name in images
    ]
    if target:
        found = [(element, name) for element, name in found if element.get("name") == target]
    if not found:
        wanted = f"control named {target!r}" if target else f"control of {', '.join(CONTROLS)}"
        raise ProjectError(f"the label config has no {wanted} on an image; check the setting 'target'")
    element, image = found[0]
    tag = str(element.tag)
    kind, label_tag = CONTROLS[tag]
    field = images[image].removeprefix("$")
    if not field:
        raise ProjectError(f"the <Image name={image!r}> has no value such as $image")
    if label_tag:
        labels = tuple(
            label for child in element.iter(label_tag) if (label := child.get("alias") or child.get("value"))
        )
    else:
        labels = tuple(str(i) for i in range(1, int(element.get("maxRating") or 5) + 1))
    return Target(field, image, element.get("name", ""), tag, kind, labels)
