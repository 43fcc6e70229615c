"""Which files of a folder are images, by their suffix, and what else lies there."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..pixels import FORMATS

__all__ = ["SUFFIXES", "Listing", "describe_left_out", "list_images"]

# What `decode` reads, by the names that its files go by. Without pydicom a DICOM file is still one that should be read:
# it is reported as a bad image, with the extra that is missing.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".dcm", ".dicom"}
    | ({".avif"} if "AVIF" in FORMATS else set())
)
_KINDS = 10  # suffixes that are named


@dataclass(frozen=True)
class Listing:
    """What lies in a folder and below it.

    Attributes
    ----------
    images : list of Path
        Relative to the folder, sorted as text with slashes.
    left_out : dict of str to int
        Lower-case suffixes of files that are no images (``no suffix`` for none), and how many there are.
    """

    images: list[Path]
    left_out: dict[str, int]


def list_images(folder: Path, suffixes: Collection[str] = SUFFIXES) -> Listing:
    """Sort the files of a folder and its sub-folders by their suffix; hidden ones are neither.

    Parameters
    ----------
    folder : Path
        Links to folders are not followed.
    suffixes : collection of str
        Lower-case, with the dot.
    """
    images, left_out = [], Counter[str]()
    for below, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(below, name)
            if name.startswith(".") or not _is_file(path):
                continue
            suffix = path.suffix.lower()
            if suffix in suffixes:
                images.append(path.relative_to(folder))
            else:
                left_out[suffix or "no suffix"] += 1
    return Listing(sorted(images, key=Path.as_posix), dict(left_out))


def _is_file(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file()  # not a link to nowhere, nor a pipe, which would never end
    return False


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return one line about the files that are no images, the most frequent kinds first; empty when there are none."""
    if not left_out:
        return ""
    kinds = sorted(left_out.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{count} {suffix}" for suffix, count in kinds[:_KINDS]]
    if rest := sum(count for _, count in kinds[_KINDS:]):
        named.append(f"{rest} of {len(kinds) - _KINDS} other kinds")
    return f"files that are no images by their suffix are left out: {', '.join(named)}"
