"""Label Studio's own addresses: which address in a task means a file of this Label Studio, by whatever name."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import urllib3
from urllib3.util import parse_url

__all__ = ["CLOUD_SCHEMES", "OwnAddresses", "cloud_address", "seeming_name", "server_name"]

CLOUD_SCHEMES = ("s3", "gs", "azure-blob")
_DEFAULT_PORTS = (None, 80, 443)
# Our key opens every path of Label Studio, and people who edit tasks choose the path: only files are fetched with it.
_FILES = re.compile(r"/(data|static|storage-data)/|/(api/)?(tasks|projects)/\d+/(presign|resolve)/")
# What no other server's addresses look like; before it may stand the sub-path that Label Studio is served under.
_UNMISTAKABLE = re.compile(
    r"(?P<prefix>(?:/[^/?]+)*?)"
    r"(?=/data/upload/|/data/local-files/?\?d=|/storage-data/uploaded/?\?(.*&)?filepath="
    r"|/(api/)?(tasks|projects)/\d+/(presign|resolve)/?\?(.*&)?fileuri=)"
)
_LOCAL_FILES = re.compile(r"(?P<prefix>(?:/[^/?]+)*?)(?=/data/local-files/?\?d=)")
_WITHOUT_SLASH = re.compile(r"(/data/local-files|/storage-data/uploaded|/\d+/(?:presign|resolve))(?=\?)")


@dataclass(frozen=True)
class _Name:
    """Where Label Studio answers: `port` is None for the scheme's own, `prefix` empty or ``/label``."""

    host: str
    port: int | None
    prefix: str


def server_name(text: str) -> _Name | None:
    """Take ``http://host:8080/label``, or ``host:8080/label`` for either scheme, apart; None if it is neither.

    Label Studio may be known as http and be reached by https, so a scheme is no part of a name.
    """
    try:
        url = parse_url(text if "://" in text else f"http://{text}")
    except urllib3.exceptions.LocationParseError:
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    port = None if url.port in _DEFAULT_PORTS else url.port
    prefix = re.sub("//+", "/", url.path or "").rstrip("/")
    return _Name(url.host.lower().strip("[]").rstrip("."), port, prefix)


class OwnAddresses:
    """The addresses of one Label Studio.

    Parameters
    ----------
    *names : str
        What it is called: addresses with a path prefix if there is one. What is none is left out.

    Notes
    -----
    Nothing is asked here. A path that is returned is asked from the one Label Studio whose key we have, so a name that
    belongs to somebody else costs an image, never the key.
    """

    def __init__(self, *names: str) -> None:
        self._names = [name for name in map(server_name, names) if name is not None]

    def path(self, uri: str) -> str | None:
        """Return the path, below Label Studio's own root, of the file that an address means.

        Parameters
        ----------
        uri : str
            As a task has it: absolute, or relative to Label Studio.

        Returns
        -------
        str or None
            Such as ``/data/upload/1/cat.jpg``; None if it is somebody else's, or no file.
        """
        relative = uri.startswith("/") and not uri.startswith("//")
        if relative:
            names, path = self._names, uri
        else:
            address = server_name(uri)
            names = [name for name in self._names if address and (name.host, name.port) == (address.host, address.port)]
            path = _path_of(uri)
        path = _one_slash(path)
        if not path or not _is_plain(path):
            return None
        if not names:  # a sync of local files writes the name that Label Studio has for itself, which we may not know
            return _below(_LOCAL_FILES, path)
        for prefix in sorted({name.prefix for name in names}, key=len, reverse=True):
            if path.startswith(f"{prefix}/") and (file := _file(path[len(prefix) :])):
                return file
        if relative and (file := _file(path)):
            return file
        # A sub-path that nobody named. Under a name with another sub-path it may be another site of the same host.
        if relative or any(not name.prefix for name in names):
            return _below(_UNMISTAKABLE, path)
        return _below(_LOCAL_FILES, path)


def seeming_name(uri: str) -> str:
    """Return the name of the Label Studio that an absolute address seems to be of; empty if it looks like none."""
    found = _UNMISTAKABLE.match(_one_slash(_path_of(uri)))
    if not found:
        return ""
    url = parse_url(uri)
    return f"{url.scheme}://{url.netloc}{found['prefix']}"


def cloud_address(path: str) -> str:
    """Return the ``s3://…`` that a presign or resolve path asks for; empty when it asks for nothing of that kind."""
    encoded = parse_qs(path.partition("?")[2]).get("fileuri", [""])[0]
    plain = [unquote(encoded)]  # as Label Studio itself reads what is no base64
    with contextlib.suppress(binascii.Error, ValueError):
        plain.append(base64.urlsafe_b64decode(encoded).decode())
    return next((one for one in plain if one.partition("://")[0].lower() in CLOUD_SCHEMES), "")


def _path_of(uri: str) -> str:
    try:
        return parse_url(uri).request_uri
    except urllib3.exceptions.LocationParseError:
        return ""


def _one_slash(path: str) -> str:
    place, mark, query = path.partition("?")
    return re.sub("//+", "/", place) + mark + query


def _is_plain(path: str) -> bool:
    """Tell whether a path stays where it says, however often a server between takes percent signs out of it."""
    plain = path.partition("?")[0]
    while (again := unquote(plain)) != plain:
        plain = again
    return ".." not in plain.split("/") and "\\" not in plain


def _file(path: str) -> str | None:
    path = _WITHOUT_SLASH.sub(r"\1/", path, count=1)
    return path if _FILES.match(path) else None


def _below(pattern: re.Pattern[str], path: str) -> str | None:
    found = pattern.match(path)
    return _file(path[found.end("prefix") :]) if found else None
