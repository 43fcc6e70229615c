"""What a project's label config asks of an image: which field holds it, which control counts, which labels exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from xml.etree import ElementTree

from ..exceptions import ProjectError

__all__ = ["CONTROLS", "SHAPES", "Kind", "Path", "Target", "parse_label_config"]

Kind = Literal["classification", "detection", "segmentation", "none"]
Path = tuple[str, ...]  # steps through nested choices; one step where they do not nest

# control tag -> (kind of task, tag of its labels)
CONTROLS: dict[str, tuple[Kind, str]] = {
    "Choices": ("classification", "Choice"),
    "Taxonomy": ("classification", "Choice"),
    "Rating": ("classification", ""),
    "RectangleLabels": ("detection", "Label"),
    "EllipseLabels": ("detection", "Label"),
    "KeyPointLabels": ("detection", "Label"),
    "VectorLabels": ("detection", "Label"),
    "PolygonLabels": ("segmentation", "Label"),
    "BrushLabels": ("segmentation", "Label"),
    "BitmaskLabels": ("segmentation", "Label"),
    "Labels": ("detection", "Label"),  # of the shapes beside it, which may make it a segmentation
}
# Tags that draw a shape for `Labels` to name.
SHAPES: dict[str, Kind] = {
    "Rectangle": "detection",
    "Ellipse": "detection",
    "KeyPoint": "detection",
    "Vector": "detection",
    "Polygon": "segmentation",
    "Brush": "segmentation",
    "Bitmask": "segmentation",
}
# Algorithms: FreeSel's K per task (Table of hyper-parameters: detection 5, segmentation 10, classification 1).
N_PATTERNS: dict[Kind, int] = {"none": 1, "classification": 1, "detection": 5, "segmentation": 10}
JOINER = " > "  # between the steps of a path, for people; a label is the whole path, unique whatever the config gains
MAX_LABELS, MAX_DEPTH, MAX_RATING = 20_000, 100, 1_000  # anybody can write a config that asks for more

_BY_NAME = {tag.lower(): tag for tag in (*CONTROLS, *SHAPES, "Image", "Choice", "Label", "Repeater")}


@dataclass(frozen=True)
class Target:
    """The image and the control tag that decide what is embedded and what counts as a label.

    Attributes
    ----------
    image_field : str
        Where `task.data` holds the image: a key, a path such as ``meta.image`` or ``images[0]``, or a text around
        such paths, each after a ``$``.
    image_name, control_name, control_tag : str
        Names in the label config; the control's tag, such as ``Choices``. Without a control we learn from, empty.
    kind : {'classification', 'detection', 'segmentation', 'none'}
    labels : tuple of str
        Labels in the order of the config, as annotations carry them: the alias where there is one. Of nested choices
        the leaves, each as its path. Empty when the config takes them from the tasks, or has none.
    multi : bool
        Whether a task can have several labels, or none: `Choices` of several, `Taxonomy` and all regions.
    paths : tuple of Path
        The steps of each label.
    shapes : tuple of str
        Names of the controls that draw shapes for `Labels`.
    nested : bool
        Whether answers are written as paths, each a list of steps, even where it is one step.
    renamed : mapping of str to str
        Labels in annotations that are called otherwise now; see the setting `label_map`.
    """

    image_field: str
    image_name: str
    control_name: str
    control_tag: str
    kind: Kind
    labels: tuple[str, ...]
    multi: bool
    paths: tuple[Path, ...] = ()
    shapes: tuple[str, ...] = ()
    nested: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def open(self) -> bool:
        """Whether the config names no labels, so that any label in an annotation is one."""
        return not self.labels and self.kind != "none"

    @property
    def regions(self) -> bool:
        """Whether answers are regions of the image."""
        return self.kind in ("detection", "segmentation")

    @property
    def n_patterns(self) -> int:
        """Semantic patterns per image that FreeSel uses for this kind of task."""
        return N_PATTERNS[self.kind]

    @cached_property
    def _label_of(self) -> dict[Path, str]:
        return dict(zip(self.paths, self.labels, strict=True))

    @cached_property
    def _path_of(self) -> dict[str, Path]:
        return dict(zip(self.labels, self.paths, strict=True))

    @cached_property
    def _branches(self) -> set[Path]:
        return {path[:end] for path in self.paths for end in range(1, len(path))}

    def label_of(self, path: Path) -> str | None:
        """Return the label that an annotation's path stands for, None when the config has none such (any more)."""
        text = JOINER.join(path)
        if text in self.renamed:
            path = self._path_of.get(self.renamed[text], (self.renamed[text],))
        return JOINER.join(path) if self.open else self._label_of.get(path)

    def path_of(self, label: str) -> Path:
        """Return the steps of a label."""
        return self._path_of.get(label) or (tuple(label.split(JOINER)) if self.nested else (label,))

    def is_branch(self, path: Path) -> bool:
        """Tell whether labels lie below this path."""
        return path in self._branches


@dataclass(frozen=True)
class _Image:
    name: str
    field: str


def parse_label_config(config: str, target: str = "", label_map: Mapping[str, str] | None = None) -> Target:
    """Find the image and the control tag of a label config, reading tags and attributes without case as Label Studio
    does.

    Parameters
    ----------
    config : str
        Label Studio's XML.
    target : str, default ''
        Name of the control to use; empty means the first one on the first image that has one.
    label_map : mapping of str to str, optional
        Labels that are called otherwise now; one that the config does not have stays unknown.

    Returns
    -------
    Target
        Of kind ``none`` when there is an image but no control that we learn from.

    Raises
    ------
    ProjectError
        When the XML does not parse, has no Image, asks for more labels than anybody can use, or has no control of the
        name asked for on an image.
    """
    try:
        # Any annotator can edit a label config: expat loads nothing external and bounds the growth of entities.
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ProjectError(f"the label config is not XML: {error}") from error
    elements = list(_elements(root))
    images: dict[str, _Image] = {}
    for element, index in elements:
        if _tag(element) == "Image":
            name = _get(element, "name", index)
            field_of = _get(element, "value", index) or _get(element, "valueList", index)
            images.setdefault(name, _Image(name, _field(field_of, name)))
    if not images:
        raise ProjectError("the label config has no <Image>: labelqueue orders image projects only")
    on_images = [
        (element, images[name], index)
        for element, index in elements
        if _tag(element) in CONTROLS or _tag(element) in SHAPES
        for name in _get(element, "toName", index).split(",")
        if name in images
    ]
    shapes = [(element, image, index) for element, image, index in on_images if _tag(element) in SHAPES]
    found = [
        (element, image, index)
        for element, image, index in on_images
        if _tag(element) in CONTROLS
        and not _is_of_a_part(element)
        and (_tag(element) != "Labels" or any(on == image for _, on, _ in shapes))
    ]
    if target:
        found = [row for row in found if _get(row[0], "name", row[2]) == target]
        if not found:
            raise ProjectError(
                f"the label config has no control named {target!r} of {', '.join(CONTROLS)} on an image; check the "
                "setting 'target'"
            )
    if not found:
        image = next(iter(images.values()))
        return Target(image.field, image.name, "", "", "none", (), False)
    element, image, index = found[0]
    return _target(element, image, index, [row for row in shapes if row[1] == image], label_map or {})


def _target(
    element: ElementTree.Element,
    image: _Image,
    index: str,
    shapes: list[tuple[ElementTree.Element, _Image, str]],
    label_map: Mapping[str, str],
) -> Target:
    tag = _tag(element)
    kind = CONTROLS[tag][0]
    drawn = shapes if tag == "Labels" else []
    if any(SHAPES[_tag(shape)] == "segmentation" for shape, _, _ in drawn):
        kind = "segmentation"
    several = _get(element, "choice") == "multiple" if tag == "Choices" else tag != "Rating"
    nested = tag == "Taxonomy" or (tag == "Choices" and _is_set(element, "allowNested"))
    paths = _paths_of(element, tag, nested)
    names = _names(paths)
    return Target(
        image_field=image.field,
        image_name=image.name,
        control_name=_get(element, "name", index),
        control_tag=tag,
        kind=kind,
        labels=names,
        multi=several,
        paths=paths,
        shapes=tuple(_get(shape, "name", at) for shape, _, at in drawn),
        nested=nested,
        renamed=dict(label_map),
    )


# -- elements


def _elements(root: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, str]]:
    """Yield every element in document order with what stands for an index in its attributes; of a Repeater's images
    the first one counts."""
    stack = [(root, "", 0)]
    while stack:
        element, index, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise ProjectError(f"the label config nests tags more than {MAX_DEPTH} deep")
        yield element, index
        if _tag(element) == "Repeater":
            index = _get(element, "indexFlag") or "{{idx}}"
        stack += [(child, index, depth + 1) for child in reversed(element)]


def _tag(element: ElementTree.Element) -> str:
    """Return a tag as we write it; others as they are written."""
    return _BY_NAME.get(str(element.tag).lower(), str(element.tag))


def _get(element: ElementTree.Element, name: str, index: str = "") -> str:
    """Return an attribute, whatever the case of its name; the first image's of a Repeater."""
    found = element.get(name)
    if found is None:
        found = next((value for key, value in element.attrib.items() if key.lower() == name.lower()), "")
    return found.replace(index, "0") if index else found


def _is_set(element: ElementTree.Element, name: str) -> bool:
    return _get(element, name).lower() == "true"


def _is_of_a_part(element: ElementTree.Element) -> bool:
    """Tell whether a control describes a region or one of several images, not what the task shows."""
    return _is_set(element, "perRegion") or _is_set(element, "perItem")


def _field(value: str, name: str) -> str:
    """Return where the image stands: a plain path without its ``$``, a text around paths as it is."""
    value = value.strip()
    if not value:
        raise ProjectError(f"the <Image name={name!r}> has no value such as $image")
    return value[1:] if re.fullmatch(r"\$[\w\[\].]+", value) else value


# -- labels


def _paths_of(element: ElementTree.Element, tag: str, nested: bool) -> tuple[Path, ...]:
    """Return the path of every label of a control, each once; none where the config takes them from the tasks."""
    child = CONTROLS[tag][1]
    if not child:
        return tuple((str(star),) for star in range(1, _stars(_get(element, "maxRating")) + 1))
    if _get(element, "value").startswith("$") or _get(element, "apiUrl"):
        return ()
    found: dict[Path, None] = {}
    for path in _leaves(element, child, nested):
        found[path] = None
        if len(found) > MAX_LABELS:
            raise ProjectError(f"the label config has more than {MAX_LABELS:,} labels")
    return tuple(found)


def _stars(raw: str) -> int:
    """Return how many stars a Rating has; Label Studio shows five where the number makes no sense."""
    try:
        stars = int(float(raw or 5))
    except (ValueError, OverflowError):
        return 5
    if stars > MAX_RATING:
        raise ProjectError(f"maxRating is {raw}: more than {MAX_RATING:,} stars cannot be told apart")
    return stars if stars > 0 else 5


def _leaves(element: ElementTree.Element, tag: str, nested: bool) -> Iterator[Path]:
    """Yield the path to every choice that holds no other; where choices do not nest, Label Studio skips inner ones."""
    for choice in element:
        label = _get(choice, "alias") or _get(choice, "value")
        if _tag(choice) != tag or not label:  # a View around choices is no step
            yield from _leaves(choice, tag, nested)
        else:
            yield from ((label, *path) for path in (list(_leaves(choice, tag, nested)) if nested else []) or [()])


def _names(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return a name for each path: its steps joined, and told apart where two come out alike."""
    used: set[str] = set()
    names = []
    for path in paths:
        name = JOINER.join(path)
        while name in used:
            name += " "
        used.add(name)
        names.append(name)
    return tuple(names)
