"""Which labels each image shows by a COCO file: those of which it has an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..exceptions import LabelQueueError
from .labels_file import LabelFile, Row, check_classes, listed, part_of, settled

__all__ = ["read_coco"]

TABLES = ("images", "annotations", "categories")


def read_coco(path: Path) -> LabelFile:
    """Read images, annotations and categories: an image shows a category when it has an annotation of it.

    Notes
    -----
    Images without annotations show none; crowds count. Categories that no image shows are left out. Annotations of
    images that the file does not list are left out too, and counted. An image's `split`, which is no part of COCO's
    format, is read as in a CSV.

    Raises
    ------
    LabelQueueError
        If the file cannot be read, a table or a value is missing or means nothing, or there is nothing to tell apart.
    """
    tables = _tables(path)
    names = {row["id"]: str(row["name"]) for row in _rows(tables, "categories", ("id", "name"), path)}
    shown: dict[Any, set[str]] = {}
    files: dict[str, Any] = {}
    images = _rows(tables, "images", ("id", "file_name"), path)
    for image in images:
        file = PurePosixPath(str(image["file_name"])).as_posix()
        if file in files or image["id"] in shown:
            raise LabelQueueError(f"{path}: the image {image['id']!r}, {file}, comes twice; list each image once")
        files[file], shown[image["id"]] = image["id"], set()
    astray = 0
    for row in _rows(tables, "annotations", ("image_id", "category_id"), path):
        if row["category_id"] not in names:
            raise LabelQueueError(
                f"{path}: an annotation of image {row['image_id']!r} has category_id {row['category_id']!r}, which is "
                "not among the categories"
            )
        if row["image_id"] in shown:
            shown[row["image_id"]].add(names[row["category_id"]])
        else:
            astray += 1
    marked = any("split" in image for image in images)
    rows = [
        Row(
            file,
            tuple(sorted(shown[image["id"]])),
            part_of(str(image.get("split") or ""), f"{path}, image {file}") if marked else None,
        )
        for file, image in zip(files, images, strict=True)
    ]
    kept, notes = settled(rows, path)
    seen = {name for row in kept for name in row.label}
    bare = sum(not row.label for row in kept)
    said = [f"note: {path} has several labels for an image, {len(seen)} in all; {bare:,} images show none"]
    if never := [name for name in dict.fromkeys(names.values()) if name not in seen]:
        said.append(f"note: left out, since no image shows them: {listed(never)}")
    if astray:
        said.append(f"note: {astray:,} annotations of images that the file does not list are left out")
    check_classes(kept, str(path))
    return LabelFile(kept, True, (*said, *notes))


def _tables(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise LabelQueueError(f"{path} cannot be read as a COCO file: {error}") from error
    missing = [name for name in TABLES if not isinstance(found, dict) or not isinstance(found.get(name), list)]
    if missing:
        raise LabelQueueError(
            f"{path} is no COCO file: it has no list {missing[0]!r}; expected an object with the lists "
            f"{', '.join(TABLES)}, as instances_*.json has them"
        )
    assert isinstance(found, dict)
    return found


def _rows(tables: Mapping[str, Any], name: str, keys: tuple[str, ...], path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tables[name]
    for number, row in enumerate(rows):
        for key in keys:
            if not isinstance(row, dict) or not isinstance(row.get(key), int | str):
                raise LabelQueueError(f"{path}: {name}[{number}] has no {key}, or one that is neither number nor text")
    return rows
