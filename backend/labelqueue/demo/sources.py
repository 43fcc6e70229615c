"""Where the demo's images come from: drawn ones, or the files of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.sax.saxutils import quoteattr

from ..exceptions import SettingError
from ..files import read_file
from ..images import list_images
from ..pixels import decode
from .drawing import CLASSES, draw_images

__all__ = ["ImageFile", "ImageSource", "drawn_source", "folder_source", "label_config"]

# What Label Studio accepts as an upload and we can decode; it takes neither .jfif nor .avif, and no TIFF or DICOM.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
CLASS_FOLDERS = (2, 20)
CHECK_SIZE = 32  # pixels; small, because the check only asks whether the file decodes


@dataclass(frozen=True)
class ImageFile:
    """One image to import.

    Parameters
    ----------
    key : str
        Unique within its source, the same in every run.
    name : str
        File name that annotators may see.
    read : callable
        Returns the bytes; raises ImageError when they are not an image that can be labeled.
    """

    key: str
    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class ImageSource:
    """A collection to label.

    Parameters
    ----------
    key : str
        Identity of the collection: the same key is the same project in the next run.
    title : str
        Of the project, at most 50 characters.
    classes : tuple of str
        Choices of the annotators.
    count : int
        Number of files.
    files : callable
        Returns them in import order, each made when it is asked for.
    skipped : dict of str to int
        Suffixes of files that are no images, and how many there are.
    """

    key: str
    title: str
    classes: tuple[str, ...]
    count: int
    files: Callable[[], Iterator[ImageFile]]
    skipped: dict[str, int]


def label_config(classes: tuple[str, ...]) -> str:
    """Return a labeling interface with one choice per image."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return f"""<View>
  <Image name="image" value="$image"/>
  <Choices name="class" toName="image" choice="single" showInline="true">
{choices}
  </Choices>
</View>"""


def drawn_source(count: int) -> ImageSource:
    """Return images that are drawn while they are imported.

    Parameters
    ----------
    count : int
        How many, at least 1.
    """
    if count < 1:
        raise SettingError(f"--count is {count}: at least 1 image is needed")

    def files() -> Iterator[ImageFile]:
        for image in draw_images(count):
            yield ImageFile(image.name, image.name, partial(bytes, image.data))

    return ImageSource(f"drawn {count}", "labelqueue demo", tuple(CLASSES), count, files, {})


def folder_source(folder: Path) -> ImageSource:
    """Return the images in a folder and below it, by name.

    Parameters
    ----------
    folder : Path
        When 2 to 20 of its own sub-folders hold images, their names are the classes.

    Raises
    ------
    SettingError
        When there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise SettingError(f"there is no folder {str(folder)!r}: give one with {', '.join(SUFFIXES)} files")
    folder = folder.resolve()
    listing = list_images(folder, SUFFIXES)
    images = sorted(listing.images)
    if not images:
        raise SettingError(f"no image in {str(folder)!r}: files must end in {', '.join(SUFFIXES)}")
    parents = tuple(sorted({name.parts[0] for name in images if len(name.parts) > 1}))
    classes = parents if CLASS_FOLDERS[0] <= len(parents) <= CLASS_FOLDERS[1] else ("keep", "reject")

    def files() -> Iterator[ImageFile]:
        for name in images:
            yield ImageFile(name.as_posix(), name.name, partial(_read, folder / name))

    title = f"labelqueue demo: {folder.name}"[:50]
    return ImageSource(f"folder {folder}", title, classes, len(images), files, listing.left_out)


def _read(path: Path) -> bytes:
    data = read_file(path)
    decode(data, CHECK_SIZE)
    return data
