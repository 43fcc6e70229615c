"""The images that shall be embedded: below a folder or a bucket's prefix, or named by a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests

from ..block import source_hash
from ..exceptions import CollectionError, ImageError
from ..fetching import ImageFetcher
from ..files import read_file
from ..images import SUFFIXES, describe_left_out, list_images
from ..settings import Deployment
from .part import WHOLE, Part
from .places import find_files, read_place
from .shards import manifest_uris

__all__ = ["Picture", "find_pictures", "reader"]

_WEB = ("http://", "https://", "data:")


@dataclass(frozen=True, slots=True)
class Picture:
    """One image somewhere.

    Attributes
    ----------
    uri : str
        Its whole address, or its absolute path.
    version : str
        What tells its content from another under the same address; empty where nothing does.
    """

    uri: str
    version: str = ""

    @property
    def source(self) -> int:
        """A 64-bit hash of address and version, as it is stored with the vector."""
        return source_hash(f"{self.uri}\0{self.version}")


def find_pictures(
    source: str, *, column: str = "uri", part: Part = WHOLE, say: Callable[[str], None] = lambda line: None
) -> list[Picture]:
    """Return the images of a source, each once, sorted by address.

    Parameters
    ----------
    source : str
        A folder, a prefix such as ``s3://bucket/photos``, or a manifest: a path or an address that ends with
        ``.parquet``. Of folders and prefixes hidden files and folders are left out, and files that are no images by
        their suffix.
    column : str
        Of a manifest, where the addresses are; paths are meant from the manifest's folder on.
    part : Part
        Only the images of this share.
    say : callable
        Gets one line about files that are no images by their suffix.

    Raises
    ------
    CollectionError
        If there is no such source, or it names no image.
    """
    scheme, cut, rest = source.partition("://")
    if scheme == "file" and cut:
        source, cut = rest, ""
    if source.endswith(".parquet"):
        found = [Picture(uri) for uri in _named(source, column) if part.has(uri)]
        if not found and part == WHOLE:
            raise CollectionError(f"the manifest {source} names no image in its column {column!r}")
        return sorted(set(found), key=lambda picture: picture.uri)
    listed, left_out = (_in_bucket if cut else _in_folder)(source)
    told = describe_left_out(left_out)
    if not listed:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise CollectionError(f"{source} holds no images; looked for {suffixes}{told and f' ({told})'}")
    if told:
        say(told)
    return sorted((picture for picture in listed if part.has(picture.uri)), key=lambda picture: picture.uri)


def _in_folder(source: str) -> tuple[list[Picture], dict[str, int]]:
    folder = Path(source).absolute()
    if not folder.is_dir():
        raise CollectionError(f"{source} is not a folder, nor an address such as s3://bucket/photos")
    listing, found = list_images(folder), []
    for name in listing.images:
        path = folder / name
        try:
            facts = path.stat()
        except OSError:  # removed meanwhile
            continue
        found.append(Picture(str(path), f"{facts.st_size}-{facts.st_mtime_ns}"))
    return found, listing.left_out


def _in_bucket(source: str) -> tuple[list[Picture], dict[str, int]]:
    found, left_out = [], Counter[str]()
    start = len(source.rstrip("/")) + 1
    for uri, version in find_files(source).items():
        inside = PurePosixPath(uri[start:])
        if any(step.startswith(".") for step in inside.parts):
            continue
        suffix = inside.suffix.lower()
        if suffix in SUFFIXES:
            found.append(Picture(uri, version))
        else:
            left_out[suffix or "no suffix"] += 1
    return found, dict(left_out)


def _named(manifest: str, column: str) -> Iterator[str]:
    base = manifest.rpartition("/")[0] if "://" in manifest else str(Path(manifest).absolute().parent)
    for uri in manifest_uris(manifest, column):
        yield uri if "://" in uri or uri.startswith(("/", "data:")) else f"{base}/{uri}"


class _NoLabelStudio:
    """Stands where a project's images ask Label Studio: here there is none."""

    origin = "http://label-studio.invalid"

    def get_file(self, path: str, timeout: float = 20.0) -> requests.Response:
        raise ImageError(f"{path} is an address within Label Studio, which is not asked here")


def reader() -> Callable[[str], bytes]:
    """Return what reads an image by its address; see `ImageFetcher` for those of the web.

    The function raises ImageError for a bad image, TransientImageError for one to try again.
    """
    deployment = Deployment.from_environment()
    web = ImageFetcher(_NoLabelStudio(), allow_hosts=deployment.allow_hosts, ca_bundle=deployment.ca_bundle)

    def read(uri: str) -> bytes:
        if uri[:8].lower().startswith(_WEB):
            return web.read(uri, 0)
        return read_place(uri) if "://" in uri else read_file(Path(uri))

    return read


def nameable(uri: str) -> bool:
    """Tell whether an address is text that can be stored; names of files need not be."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True
