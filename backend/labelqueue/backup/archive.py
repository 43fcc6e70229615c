"""The file of a backup: a ZIP of JSON and safetensors, with a manifest that knows the checksum of every part."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from .. import __version__
from ..exceptions import BackupError
from ..files import replacing
from ..state import PARTS

__all__ = ["CARRIED", "Reader", "Writer", "writing"]

KIND, FORMAT = "labelqueue backup", 1
MANIFEST = "manifest.json"
CARRIED = ("facts", "settings", "tasks", "curation", "orders", "campaign", "embeddings")  # of `state.PARTS`
LARGEST = 2**31  # bytes of one part: a block of embeddings has some megabytes
PIECE = 2**20  # bytes that are read at once for a checksum
UNCHANGED = "nothing was changed"


class Writer:
    """Writes a backup part by part.

    Parameters
    ----------
    file : binary file
        It only has to be written to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w")
        self._sums: dict[str, tuple[int, str]] = {}

    def add(self, name: str, data: bytes) -> None:
        """Add a part; JSON is compressed."""
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the manifest says when; equal parts give equal bytes
        entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
        self._zip.writestr(entry, data)
        self._sums[name] = (len(data), hashlib.sha256(data).hexdigest())

    def discard(self) -> None:
        """End without a manifest: what there is becomes no backup."""
        with suppress(OSError, ValueError):
            self._zip.close()

    def close(self, facts: Mapping[str, Any]) -> None:
        """Add the manifest: these facts, formats and checksums. Without it, the file is none."""
        head = {"kind": KIND, "format": FORMAT, "labelqueue": __version__}
        formats = {name: PARTS[name].format for name in CARRIED}
        manifest = {**head, "formats": formats, **facts, "parts": self._sums}
        self._zip.writestr(MANIFEST, json.dumps(manifest, indent=1), zipfile.ZIP_DEFLATED)
        self._zip.close()


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Yield the writer of a file that appears whole, or not at all; only its owner may read it.

    Raises
    ------
    BackupError
        When the file cannot be written.
    """
    try:
        with replacing(path) as file:
            writer = Writer(file)
            try:
                yield writer
            except BaseException:
                writer.discard()
                raise
    except OSError as error:
        raise BackupError(f"{path} cannot be written ({error.strerror or error}): name another file") from error


class Reader:
    """Reads a backup. Context manager.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    manifest : dict
        What `Writer.close` was given, and the rest.

    Raises
    ------
    BackupError
        When it cannot be read, is no backup, or is one that this version cannot read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise BackupError(f"{path} cannot be read ({error.strerror or error}); {UNCHANGED}") from error
        except zipfile.BadZipFile as error:
            raise BackupError(
                f"{path} is no backup, or its end is missing ({error}): take another copy of it; {UNCHANGED}"
            ) from error
        try:
            self.manifest = self._manifest()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def _manifest(self) -> dict[str, Any]:
        if MANIFEST not in self._zip.namelist():
            raise BackupError(f"{self._path} is a ZIP, and no backup of labelqueue: it has no {MANIFEST}; {UNCHANGED}")
        found = self._parsed(MANIFEST, self._bytes(MANIFEST, LARGEST))
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise BackupError(f"{self._path} is no backup of labelqueue: its {MANIFEST} is another one; {UNCHANGED}")
        if found.get("format") != FORMAT:
            raise self._other("it", found.get("format"), FORMAT, found)
        try:
            for name, theirs in found["formats"].items():
                part = PARTS.get(name)
                if part is None or theirs not in (part.format, *part.reads):
                    raise self._other(f"its part {name!r}", theirs, part.format if part else "none", found)
            parts = {str(name): (int(size), str(digest)) for name, (size, digest) in found["parts"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(MANIFEST, f"{type(error).__name__}: {error}") from error
        return {**found, "parts": parts}

    def _other(self, what: str, theirs: object, ours: object, manifest: Mapping[str, Any]) -> BackupError:
        by = str(manifest.get("labelqueue"))[:40]
        return BackupError(
            f"{self._path}: {what} has format {theirs}, written by labelqueue {by}, and this version ({__version__}) "
            f"reads format {ours}: restore it with labelqueue {by} or a newer one; {UNCHANGED}"
        )

    def _damaged(self, name: str, why: object) -> BackupError:
        return BackupError(f"{self._path} is damaged: {name}: {why}; take another copy of it; {UNCHANGED}")

    def check(self, tick: Callable[[int], None]) -> None:
        """Compare every part with its checksum; raises BackupError at the first that differs.

        Parameters
        ----------
        tick : callable
            Called with 1 after each part.
        """
        there, named = self._zip.namelist(), {*self.manifest["parts"], MANIFEST}
        if len(there) != len(set(there)) or set(there) != named:
            odd = sorted(set(there) ^ named)[:3] or "a part twice"
            raise self._damaged(MANIFEST, f"the parts are not those it names: {odd}")
        for name, (size, digest) in self.manifest["parts"].items():
            found, seen = hashlib.sha256(), 0
            for piece in self._pieces(name):
                found.update(piece)
                seen += len(piece)
                if seen > size:
                    break
            if seen != size or found.hexdigest() != digest:
                raise self._damaged(name, "its checksum differs")
            tick(1)

    @property
    def names(self) -> list[str]:
        """Names of the parts, sorted."""
        return sorted(self.manifest["parts"])

    def read(self, name: str) -> bytes:
        """Return a part; raises BackupError when it is not there or is not what its checksum says."""
        if name not in self.manifest["parts"]:
            raise self._damaged(name, "it is missing")
        size, digest = self.manifest["parts"][name]
        data = self._bytes(name, size)
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._damaged(name, "its checksum differs")
        return data

    def json(self, name: str) -> Any:
        """Return a part that is JSON."""
        return self._parsed(name, self.read(name))

    def _parsed(self, name: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, error) from error

    def _bytes(self, name: str, size: int) -> bytes:
        """Return a part of at most this size."""
        if self._zip.getinfo(name).file_size > min(size, LARGEST):
            raise self._damaged(name, "it is larger than the manifest says, or than any part is")
        return b"".join(self._pieces(name))

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(name) as file:
                while piece := file.read(PIECE):
                    yield piece
        # RuntimeError: encrypted; NotImplementedError: a compression that is not known
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, ValueError) as error:
            raise self._damaged(name, error) from error
