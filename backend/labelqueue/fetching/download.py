"""One guarded GET: resolve once, refuse private addresses, connect to the checked address, never wait forever."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, create_urllib3_context
from urllib3.util.ssl_match_hostname import CertificateError

from ..exceptions import ImageError, LateImageError, TransientImageError
from ..transport import authorities, distrust, name_url, reason

__all__ = ["DEFAULT_PORTS", "PinnedGet", "is_public", "read_body", "transient"]

DEFAULT_PORTS = {"http": 80, "https": 443}
CHUNK = 1 << 16
_CUT_AGAIN = 0.25  # seconds
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def transient(status: int) -> bool:
    """Tell whether an HTTP status means "try again later"."""
    return status in (408, 425, 429) or status >= 500


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, looking through v4-in-v6 forms."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            ip = inner
        elif ip.is_site_local:
            return False
    assert ip is not None
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class PinnedGet:
    """Context manager: one GET of one address, without redirects, proxies, cookies or credentials.

    Parameters
    ----------
    url : urllib3.util.Url
        Absolute, http or https.
    allow_private : bool
        Whether the host may resolve to a private address.
    timeout : float
        Seconds for the connection, and for each piece of the answer.
    until : float
        `time.monotonic()` at which everything is cut off.
    ca_bundle : Path, optional
        Certificate authorities to trust; default: those of the environment.

    Raises
    ------
    ImageError
        On entering: the host is unknown or private, or the server answers with a permanent error.
    TransientImageError
        On entering or while reading: no connection, 429 or 5xx, broken or too slow.
    """

    def __init__(
        self, url: Url, *, allow_private: bool, timeout: float, until: float, ca_bundle: Path | None = None
    ) -> None:
        self._url = url
        self._name = name_url(url.url)
        self._allow_private = allow_private
        self._timeout = timeout
        self._until = until
        self._ca_bundle = ca_bundle
        self._connection: HTTPConnection | None = None
        self._line: socket.socket | None = None
        self._response: urllib3.BaseHTTPResponse | None = None
        # A server that sends a byte now and then resets every socket timeout: only cutting the line ends that.
        self._closed = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="labelqueue-watchdog", daemon=True)

    def __enter__(self) -> urllib3.BaseHTTPResponse:
        try:
            self._watchdog.start()
            self._response = response = self._open()
            if response.status >= 400:
                kind = TransientImageError if transient(response.status) else ImageError
                raise kind(f"{self._name} answered {response.status}")
            return response
        except BaseException:
            self._close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self) -> urllib3.BaseHTTPResponse:
        if self._url.auth:
            raise ImageError(f"{self._name}: an address with a user name or password in it is not read")
        error: Exception | None = None
        addresses = self._resolve()
        self._check_time()
        for address in addresses:
            self._connection = self._connect_to(address)
            try:
                self._connection.connect()
                # The connection forgets its line when the answer says it is the last one; it must be cut all the same.
                self._line = self._connection.sock
                self._check_time()
                self._connection.request(
                    "GET",
                    self._url.request_uri,
                    headers={
                        "Host": self._url.netloc or "",
                        "User-Agent": "labelqueue",
                        "Accept": "image/*,*/*;q=0.5",
                        "Accept-Encoding": "identity",
                    },
                    preload_content=False,
                )
                return self._connection.getresponse()
            except (ssl.SSLCertVerificationError, CertificateError) as failure:
                raise ImageError(f"{self._name}: {distrust(failure, self._ca_bundle)}") from failure
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as failure:
                self._connection.close()
                error = failure
                self._check_time()
        why = reason(error) if error else "its host has no address"
        raise _kind(error)(f"{self._name} does not answer: {why}") from error

    def _resolve(self) -> list[str]:
        host = (self._url.host or "").strip("[]")
        port = self._url.port or DEFAULT_PORTS[self._url.scheme or "http"]
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise ImageError(f"{self._name}: there is no host {host!r}") from error
            raise TransientImageError(f"{self._name}: cannot look up {host!r} ({reason(error)})") from error
        except (UnicodeError, OSError) as error:
            raise ImageError(f"{self._name}: {host!r} is not a host name ({reason(error)})") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        # One private address among public ones is refused too: whoever answers the look-up chooses the mixture.
        private = [address for address in addresses if not is_public(address)]
        if private and not self._allow_private:
            raise ImageError(
                f"{self._name}: {host} has the private address {private[0]}; if images may come from there, add "
                f"{host} to LABELQUEUE_ALLOW_HOSTS"
            )
        return addresses

    def _connect_to(self, address: str) -> HTTPConnection:
        timeout = min(self._timeout, max(0.01, self._until - time.monotonic()))
        port = self._url.port or DEFAULT_PORTS[self._url.scheme or "http"]
        if self._url.scheme == "http":
            return HTTPConnection(address, port, timeout=timeout)
        host = (self._url.host or "").strip("[]")
        trusted = Path(authorities(self._ca_bundle))
        return HTTPSConnection(
            address,
            port,
            timeout=timeout,
            server_hostname=host,
            assert_hostname=host,
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if trusted.is_dir() else str(trusted),
            ca_cert_dir=str(trusted) if trusted.is_dir() else None,
            ssl_context=create_urllib3_context(),
        )

    def _check_time(self) -> None:
        if time.monotonic() >= self._until:
            raise LateImageError(f"{self._name} took too long")

    def _watch(self) -> None:
        wait = max(0.0, self._until - time.monotonic())
        # Again and again: while a name is looked up or a line is being built there is nothing to cut yet.
        while not self._closed.wait(wait):
            wait = _CUT_AGAIN
            if self._line is not None:
                with contextlib.suppress(OSError):
                    # Below TLS: the reader must not wait for a farewell.
                    socket.socket.shutdown(self._line, socket.SHUT_RDWR)

    def _close(self) -> None:
        self._closed.set()
        if self._response is not None:
            self._response.close()
        if self._connection is not None:
            self._connection.close()


def _kind(error: Exception | None) -> type[TransientImageError]:
    """Return what an image is that this kept us from: late, when nothing came for too long."""
    slow = (TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout)
    return LateImageError if isinstance(error, slow) else TransientImageError


def read_body(raw: Any, name: str, *, max_bytes: int, until: float) -> bytes:
    """Read an answer piece by piece.

    Parameters
    ----------
    raw : urllib3.BaseHTTPResponse
        The open answer.
    name : str
        For messages.
    max_bytes : int
        More than this is refused.
    until : float
        `time.monotonic()` at which reading stops.
    """
    told = raw.headers.get("Content-Length", "")
    # At most 18 digits: '²' is a digit for isdigit alone, and int refuses numbers of thousands of digits.
    promised = int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else None
    body = bytearray()
    try:
        if promised is not None and promised > max_bytes:
            raise ImageError(f"{name} has {promised:,} bytes, at most {max_bytes:,} are read")
        # `read1` returns what has arrived: the clock is looked at even when a server sends a byte at a time.
        while piece := raw.read1(CHUNK, decode_content=True):
            body += piece
            if len(body) > max_bytes:
                raise ImageError(f"{name} has more than {max_bytes:,} bytes")
            if time.monotonic() >= until:
                raise LateImageError(f"{name} took too long")
    except (urllib3.exceptions.HTTPError, requests.RequestException, http.client.HTTPException, OSError) as error:
        if time.monotonic() >= until:
            raise LateImageError(f"{name} took too long") from error
        raise _kind(error)(f"{name} broke off: {reason(error)}") from error
    if time.monotonic() >= until:  # a line that was cut looks like the end of an answer of unknown length
        raise LateImageError(f"{name} took too long")
    if promised is not None and len(body) < promised and not raw.headers.get("Content-Encoding"):
        raise TransientImageError(f"{name} broke off after {len(body):,} of {promised:,} bytes")
    return bytes(body)
