"""Where an image's bytes come from: Label Studio, its cloud storages, the web, or the task itself."""

from __future__ import annotations

import base64
import binascii
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, unquote_to_bytes, urlencode, urljoin

import requests
import urllib3
from urllib3.util import Url, parse_url

from ..exceptions import (
    CredentialError,
    ImageError,
    LabelStudioError,
    LateImageError,
    NotFoundError,
    TransientImageError,
)
from ..transport import name_url, reason
from .download import DEFAULT_PORTS, PinnedGet, read_body, transient
from .own_addresses import CLOUD_SCHEMES, OwnAddresses, cloud_address, seeming_name

__all__ = ["FileServer", "ImageFetcher"]

MAX_REDIRECTS = 5
STORAGE_FAILED = 424  # what Label Studio answers when a storage does, whether the file is gone or the line is


class FileServer(Protocol):
    """What we need of the Label Studio client."""

    @property
    def origin(self) -> str:
        """Where Label Studio answers, such as ``http://localhost:8080``, with its path prefix if it has one."""

    def get_file(self, path: str, timeout: float = ...) -> requests.Response:
        """Open a path below the origin with our key: streamed, redirects not followed; LabelStudioError from 400 on.

        `timeout` counts for the connection and for each read; an error tells whether it is why (`timed_out`).
        """


class ImageFetcher:
    """Reads the images that tasks point to.

    Parameters
    ----------
    client : FileServer
        Label Studio, asked with our key.
    names : collection of str, default ()
        What else Label Studio is called in addresses, such as ``https://labels.example.com/label``.
    learn : callable, optional
        Gives the name that Label Studio has for itself; called for an address that looks like its own under a name that
        is not known.
    allow_hosts : collection of str, default ()
        Lower-case host names (or ``host:port``) that may lie on private addresses.
    ca_bundle : Path, optional
        Certificate authorities to trust; default: those of the environment.
    timeout : float, default 10
        Seconds to wait for a connection, and for each piece of an answer.
    deadline : float, default 60
        Seconds for one image altogether, redirects included.
    max_bytes : int, default 64 MiB
        Larger files are refused, before they are read where the server tells their size.

    Notes
    -----
    The key goes to Label Studio's origin only and never across a redirect: what has another of its names is asked from
    the origin. A foreign host is resolved once, refused when any of its addresses is private, and connected to at the
    address that was checked; so is every redirect.
    """

    def __init__(
        self,
        client: FileServer,
        *,
        names: Collection[str] = (),
        learn: Callable[[], str] = lambda: "",
        allow_hosts: Collection[str] = (),
        ca_bundle: Path | None = None,
        timeout: float = 10.0,
        deadline: float = 60.0,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self._client = client
        self._names = tuple(names)
        self._learn = learn
        self._allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._ca_bundle = ca_bundle
        self._timeout = timeout
        self._deadline = deadline
        self._max_bytes = max_bytes

    def read(self, uri: str, task_id: int, *, until: float = math.inf) -> bytes:
        """Return the bytes of one image.

        Parameters
        ----------
        uri : str
            As the task holds it: ``/data/upload/…``, ``/data/local-files/?d=…``, ``s3://``, ``gs://``,
            ``azure-blob://``, ``http(s)://`` or ``data:``.
        task_id : int
            Whose image; Label Studio signs cloud addresses per task.
        until : float, optional
            `time.monotonic()` at which to give up, if that is before this image's own deadline.

        Raises
        ------
        ImageError
            For good: the address is not allowed, there is no such file, or it is too large.
        TransientImageError
            For now: no answer, a busy server (429, 5xx), a broken transfer; LateImageError for one that is too slow.
        LabelStudioError
            When Label Studio itself cannot be reached, or refuses our key.
        """
        until = min(until, time.monotonic() + self._deadline)
        uri = uri.strip()
        if uri[:5].lower() == "data:":
            return self._read_data(uri)
        try:
            encoded = base64.urlsafe_b64encode(uri.encode()).decode()
        except UnicodeEncodeError:  # half of a surrogate pair: JSON can hold that, an address cannot
            raise ImageError(f"{name_url(ascii(uri))} is not an address") from None
        scheme, colon, _ = uri.partition("://")
        relative = not colon or "/" in scheme
        if relative and (not uri.startswith("/") or uri.startswith("//")):
            raise ImageError(
                f"{name_url(uri)!r} is not an image address: expected /data/…, http(s)://, "
                f"{'://, '.join(CLOUD_SCHEMES)}:// or data:"
            )
        if scheme.lower() in CLOUD_SCHEMES:
            return self._read_cloud(uri, f"/tasks/{task_id}/presign/?{urlencode({'fileuri': encoded})}", until)
        path = OwnAddresses(self._client.origin, *self._names).path(uri)
        if relative and not path:
            raise ImageError(f"{name_url(uri)} is not a file of Label Studio: only paths below /data/ are read")
        if not path:
            _parse(uri)
            name = seeming_name(uri)
            if not name:
                return self._read_foreign(uri, until)
            path = OwnAddresses(self._client.origin, self._learn()).path(uri)
            if not path:
                return self._read_seeming(uri, name, until)
        cloud = cloud_address(path)
        return self._read_cloud(cloud, path, until) if cloud else self._read_label_studio(path, until)

    # -- Label Studio

    def _read_seeming(self, uri: str, name: str, until: float) -> bytes:
        """Read, as everybody could, an address that looks like Label Studio's under a name that is not known."""
        try:
            data = self._read_foreign(uri, until)
            if data.lstrip().startswith(b"<"):  # the form to log in, after redirects
                raise ImageError(f"{name_url(uri)} gives a page instead of an image")
            return data
        except ImageError as error:
            raise type(error)(
                f"{error}; it looks like an address of Label Studio: if {name} is the one of LABEL_STUDIO_URL, add "
                "that name to LABEL_STUDIO_ALIASES"
            ) from error

    def _read_cloud(self, uri: str, path: str, until: float) -> bytes:
        """Read what a cloud storage of Label Studio has; `path` is where Label Studio signs or hands on `uri`."""
        try:
            return self._read_label_studio(path, until)
        except TransientImageError:
            raise
        except ImageError as error:
            if not isinstance(error.__cause__, NotFoundError):  # it signed the address: the storage is connected
                raise
            way_out = f"connect the {uri.partition('://')[0].lower()} storage that holds it (Settings > Cloud Storage)"
            raise ImageError(f"{name_url(uri)}: {error}; in Label Studio, {way_out}") from error

    def _read_label_studio(self, path: str, until: float) -> bytes:
        name = name_url(path)
        try:
            response = self._client.get_file(path, timeout=max(0.1, until - time.monotonic()))
        except ValueError as error:  # requests looks into a redirect even when it is not to follow it
            raise ImageError(f"{name} redirects to nonsense ({reason(error)})") from error
        except CredentialError:
            raise
        except LabelStudioError as error:
            if error.status is None:
                # One file may hang, on a slow disk or bucket, while Label Studio gives all the others.
                if error.timed_out:
                    raise LateImageError(f"{name} took too long") from error
                raise
            # A storage that Label Studio cannot reach costs one image a 424 or 500; the other images need not wait.
            later = transient(error.status) or error.status == STORAGE_FAILED
            kind = TransientImageError if later else ImageError
            raise kind(f"Label Studio does not give {name} ({error.status}): {error}") from error
        with response:
            if "X-Accel-Redirect" in response.headers:
                raise ImageError(
                    f"Label Studio leaves {name} to an nginx that is not at {self._client.origin}: set "
                    "LABEL_STUDIO_URL to where nginx answers, or USE_NGINX_FOR_UPLOADS=false for Label Studio"
                )
            if not response.is_redirect:
                return read_body(response.raw, name, max_bytes=self._max_bytes, until=until)
            location = response.headers["Location"]
        # Signed addresses of cloud storages arrive this way. From here on nothing carries our key.
        return self._read_foreign(_join(self._client.origin + path, location), until, hops=1)

    # -- anywhere else

    def _read_foreign(self, uri: str, until: float, *, hops: int = 0) -> bytes:
        while hops <= MAX_REDIRECTS:
            url = _parse(uri)
            get = PinnedGet(
                url,
                allow_private=self._is_excepted(url),
                timeout=self._timeout,
                until=until,
                ca_bundle=self._ca_bundle,
            )
            with get as response:
                location = response.get_redirect_location()
                if not location:
                    return read_body(response, name_url(uri), max_bytes=self._max_bytes, until=until)
            uri = _join(uri, location)
            hops += 1
        raise ImageError(f"{name_url(uri)}: more than {MAX_REDIRECTS} redirects")

    def _is_excepted(self, url: Url) -> bool:
        _, host, port = _address(url)
        allowed = bool(self._allow_hosts & {host, f"{host}:{port}"})
        return allowed or _address(url) == _address(_parse(self._client.origin))

    # -- the task itself

    def _read_data(self, uri: str) -> bytes:
        head, comma, payload = uri[5:].partition(",")
        if not comma:
            raise ImageError("a data: address without a comma holds no image")
        if len(payload) > 4 * self._max_bytes:  # base64 takes 4/3, percent signs three times the size
            raise ImageError(f"a data: address is larger than {self._max_bytes:,} bytes")
        try:
            if head.lower().endswith(";base64"):
                data = base64.b64decode("".join(unquote(payload).split()), validate=True)
            else:
                data = unquote_to_bytes(payload)
        except (binascii.Error, ValueError) as error:
            raise ImageError(f"a data: address is not valid base64 ({error})") from error
        if len(data) > self._max_bytes:
            raise ImageError(f"a data: address is larger than {self._max_bytes:,} bytes")
        return data


def _parse(uri: str) -> Url:
    try:
        url = parse_url(uri)
    except urllib3.exceptions.LocationParseError:
        raise ImageError(f"{name_url(uri)} is not an address") from None
    if url.scheme not in DEFAULT_PORTS:
        raise ImageError(
            f"{name_url(uri)}: scheme {url.scheme!r} is not read; allowed are http, https, data and "
            f"{', '.join(CLOUD_SCHEMES)}"
        )
    if not url.host:
        raise ImageError(f"{name_url(uri)} names no host")
    return url


def _join(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:
        raise ImageError(f"{name_url(base)} redirects to {name_url(location)!r}, which is not an address") from None


def _address(url: Url) -> tuple[str, str, int]:
    scheme, host = url.scheme or "", (url.host or "").lower().strip("[]").rstrip(".")
    return scheme, host, url.port or DEFAULT_PORTS[scheme]
