"""Files: images to read, and data that appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .exceptions import ImageError

__all__ = ["read_file", "replacing", "write_atomically"]


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write a file in one step; see `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write that takes the place of `path` in one step at the end: whoever reads it meanwhile sees the
    old content or the new one, never a part.

    Parameters
    ----------
    path : Path
        The file; its folder is made when it is missing.
    mode : int, optional
        Permission bits, exactly, whatever the umask. Default: 0o600, only its owner reads and writes it.

    Raises
    ------
    OSError
        If the folder or the file cannot be written. As after any other exception, Ctrl-C included, the old content
        stands and nothing else is left in the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: only within one file system does a rename take a single step.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:32]}-", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """Return the content of what should be an image; see `File.read`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"the file cannot be read ({error.strerror or error})") from error
