"""File systems by the scheme of an address: buckets and whatever else fsspec reads. The one door for fsspec."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..exceptions import CollectionError, ImageError, TransientImageError

__all__ = ["find_files", "open_file", "read_place"]

MOST_BYTES = 64 * 2**20  # of one image; larger ones are refused
# What tells one content from another, by the names that file systems give it.
_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "modified", "created")


@cache
def _system(root: str) -> Any:
    """Return the file system of a scheme and bucket, such as ``s3://photos``."""
    import fsspec

    scheme = root.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(root)[0]
    except ImportError as missing:  # pyarrow reads the common clouds without another package
        with contextlib.suppress(ImportError, NotImplementedError):
            return _arrow_system(root, scheme)
        raise CollectionError(f"{scheme}:// cannot be read here ({missing}): install what it names") from missing
    except ValueError as error:
        raise CollectionError(f"{root} is of a scheme that nothing here reads ({error})") from error
    except OSError as error:
        raise CollectionError(f"{root} cannot be opened: {_brief(error)}") from error


def _arrow_system(root: str, scheme: str) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import ArrowInvalid, fs

    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        if scheme == "s3" and own:
            return ArrowFSWrapper(fs.S3FileSystem(endpoint_override=own))
        return ArrowFSWrapper(fs.FileSystem.from_uri(root)[0])
    except ArrowInvalid as error:
        raise NotImplementedError(str(error)) from error


def _split(uri: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it."""
    scheme, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0]
    system = _system(f"{scheme}://{bucket}")
    return system, rest if _is_arrow(system) else system._strip_protocol(uri)


def _is_arrow(system: Any) -> bool:
    return type(system).__name__ == "ArrowFSWrapper"


def find_files(prefix: str) -> dict[str, str]:
    """Return every file below a prefix, as its whole address, with what tells its content from another.

    Raises
    ------
    CollectionError
        If the place cannot be read, or is no folder.
    """
    scheme, _, rest = prefix.partition("://")
    system, path = _split(prefix)
    root = path.rstrip("/")
    try:
        found: Mapping[str, Mapping[str, Any]] = _listed(system, root)
    except (OSError, ValueError) as error:
        raise CollectionError(f"{prefix} cannot be listed: {_brief(error)}") from error
    except Exception as error:  # each file system has errors of its own
        raise CollectionError(f"{prefix} cannot be listed ({type(error).__name__}): {_brief(error)}") from error
    below, wanted = f"{root.strip('/')}/" if root.strip("/") else "", f"{scheme}://{rest.rstrip('/')}/"
    files = {}
    for name, facts in found.items():
        inside = str(name).strip("/")
        if facts.get("type") != "directory" and inside.startswith(below):
            files[wanted + inside[len(below) :]] = _version(facts)
    return files


def _listed(system: Any, root: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the facts of all files below a folder; one that cannot be looked into is an error, never passed over."""
    if _is_arrow(system):
        from pyarrow.fs import FileSelector

        rows = system.fs.get_file_info(FileSelector(root, recursive=True))
        return {row.path: {"size": row.size, "mtime": row.mtime_ns} for row in rows if row.is_file}
    from fsspec.spec import AbstractFileSystem

    plain = type(system).find is AbstractFileSystem.find
    found: Mapping[str, Mapping[str, Any]] = system.find(root, detail=True, **({"on_error": "raise"} if plain else {}))
    return found


def _version(facts: Mapping[str, Any]) -> str:
    mark = next((facts[name] for name in _MARKS if facts.get(name)), "")
    return f"{facts.get('size', '')}-{str(mark).strip(chr(34))}"


def read_place(uri: str) -> bytes:
    """Return the content of one file.

    Raises
    ------
    ImageError
        If there is none, or it is larger than `MOST_BYTES`.
    TransientImageError
        If it could not be read this time.
    CollectionError
        If nothing here reads such addresses.
    """
    system, path = _split(uri)
    try:
        if _is_arrow(system):  # which cannot read a beginning by itself
            with system.open(path, "rb") as stream:
                data: bytes = stream.read(MOST_BYTES + 1)
        else:
            data = system.cat_file(path, end=MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ImageError(f"there is no such file ({uri})") from error
    except Exception as error:  # a refused key, a lost line: whatever it is, another time may do
        raise TransientImageError(f"{uri} could not be read ({type(error).__name__}): {_brief(error)}") from error
    if len(data) > MOST_BYTES:
        raise ImageError(f"the file has more than {MOST_BYTES:,} bytes")
    return data


def open_file(uri: str) -> Any:
    """Open a file to read in any order, such as a manifest.

    Raises
    ------
    CollectionError
        If it cannot be opened.
    """
    if "://" not in uri:
        uri = f"file://{os.path.abspath(uri)}"  # noqa: PTH100 - an address, not yet a path
    system, path = _split(uri)
    try:
        return system.open(path, "rb")
    except Exception as error:
        raise CollectionError(f"{uri} cannot be opened ({type(error).__name__}): {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
