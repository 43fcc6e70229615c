"""Requests to one Label Studio: authorization, retries, errors that say what to do. What is asked is in `client`."""

from __future__ import annotations

import copy
import html
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ReadTimeoutError, ResponseError
from urllib3.util.retry import Retry

from ..exceptions import CredentialError, LabelStudioError, NotFoundError
from ..telemetry import count, timed
from ..transport import authorities, distrust, name_url, reason
from .records import parsed

__all__ = ["LabelStudioSession", "said"]

TIMEOUT = (5.0, 40.0)  # seconds to connect and to read; a call whose answer was lost holds everybody up for as long
SLOWEST = 10_000.0  # bytes per second; each byte that drips in begins the time to read anew
PIECE = 1 << 16  # bytes
SEEN, SAID = 20_000, 200  # bytes of a refusal that are looked at, characters of it that are told
# Servers repeat what they were sent. What stands behind a name that says so:
NAMED_SECRET = re.compile(
    r"""(?ix)((?:pass(?:word|wd|phrase)?|pwd|secret|token|key|signature|credentials?|cookie|csrf|authorization)\w*
    ["']?\s*[:=]\s*[\["']*)(?:(?:basic|bearer|token)\s+)?[^\s"',;{}\[\]]+"""
)
# And what gives itself away: a user in an address, a query, and words as no language has them.
ODD_WORD = re.compile(
    r"""(?x)(?<=//)[^/\s@]*(?=@) | (?<=[?&])[^?&=\s]+=[^&\s]+ | (?<=Basic\s)(?=\S*[A-Z0-9=])\S{6,}
    | [\w.+/~%=-]{32,} | (?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[\w+~%=-]{16,}"""
)
ACCESS_LIFETIME = 240.0  # seconds; Label Studio's access tokens live 300
BUSY = (429, 502, 503, 504)
TRIES, PAUSE = 4, 0.5  # requests of what may be sent again, and seconds before the second; twice as long each time
BRIEF = 2.0  # seconds; whoever asks to be left alone for longer is, by whoever asked
LEGACY_TOKEN = re.compile(r"^[0-9a-f]{40}$")


def said(content: bytes, *known: str) -> str:
    """Return what a refusal says, for people: its detail, a page's title, or its first sentence.

    Never markup, nor anything that may be a secret: what stands in an error is seen in status and in logs.

    Parameters
    ----------
    content : bytes
        The answer.
    *known : str
        Secrets that were sent.
    """
    text = content[:SEEN].decode(errors="replace")
    try:
        found = parsed(content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        why = found.get("validation_errors")
        text = f"{found.get('detail') or ''} {why if isinstance(why, str) else json.dumps(why) if why else ''}"
    elif title := re.search(r"<title[^>]*>(.*?)</title", text, re.I | re.S):
        text = title[1]
    elif "<" in text:
        text = re.sub(r"<(style|script)\b.*?</\1\s*>|<[^>]*>?", " ", text, flags=re.I | re.S)
    text = html.unescape(text)
    for secret in filter(None, known):
        text = text.replace(secret, "…")
    plain = " ".join(ODD_WORD.sub("…", NAMED_SECRET.sub(r"…", text)).split())
    first = re.match(r".*?[.!?](?=\s|$)", plain)
    return (first[0] if first and not isinstance(found, dict) else plain)[:SAID]


class _BriefRetry(Retry):
    """urllib3's retries, which never sleep as long as a server likes: a look holds its project meanwhile."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if response is not None and _asked_for(response.headers.get("Retry-After")) > BRIEF:
            raise MaxRetryError(_pool, url or "", ResponseError("it asks to be left alone for longer"))
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        return _asked_for(response.headers.get("Retry-After")) or None


def _asked_for(header: str | None) -> float:
    """Return the seconds of a Retry-After; 0 when there is none, or nonsense."""
    try:
        return max(0.0, float(Retry().parse_retry_after(header))) if header else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


class LabelStudioSession:
    """Connection to one Label Studio server with one key.

    Parameters
    ----------
    url : str
        Origin, with a path prefix if there is one.
    api_key : str
        Legacy token (40 hex digits) or personal access token (a JWT, exchanged for short-lived access tokens).
    timeout : (float, float), optional
        Seconds to connect and to wait for more of an answer.
    retries : int, optional
        How often a GET is sent again when the server is busy or the connection breaks.
    ca_bundle : Path, optional
        Certificate authorities to trust; default: those of the environment, see `authorities`.

    Attributes
    ----------
    origin : str
        `url` without a slash at its end.

    Raises
    ------
    CredentialError
        If `api_key` is empty.
    SettingError
        If the certificate authorities for an https address cannot be read.

    Notes
    -----
    The key goes to this origin only: redirects are never followed.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        retries: int = TRIES - 1,
        ca_bundle: Path | None = None,
    ) -> None:
        if not api_key:
            raise CredentialError(
                "LABEL_STUDIO_API_KEY is empty: copy an access token from Label Studio's Account & Settings page"
            )
        # Its debug lines show whole addresses, and in a query may stand a signature.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        self.origin = url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._ca_bundle = ca_bundle
        self._access: list[tuple[str, float]] = []  # the newest one, and until when; shared with guarded sessions
        self._trusted()  # a file that is missing is said before anything is asked
        self._patient, self._once = requests.Session(), requests.Session()
        for session in (self._patient, self._once):
            session.trust_env = False  # a .netrc entry or a proxy must not see or replace the key
        self._check: Callable[[], None] = lambda: None
        retry = _BriefRetry(
            total=retries,
            backoff_factor=PAUSE,
            status_forcelist=BUSY,
            allowed_methods=("GET",),
            raise_on_status=False,
            redirect=0,
            other=0,  # a certificate does not become valid by asking again
        )
        for scheme in ("http://", "https://") if retries else ():
            self._patient.mount(scheme, HTTPAdapter(max_retries=retry))

    def __enter__(self) -> LabelStudioSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def guarded(self, check: Callable[[], None]) -> Self:
        """Return this session with a check that is called right before each request that changes something, whatever
        was read, waited for or sent before; what it raises is passed on. The connections are shared."""
        guarded = copy.copy(self)
        guarded._check = check
        return guarded

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._patient.close()
        self._once.close()

    def request(self, method: str, path: str, *, again: bool = True, **options: Any) -> requests.Response:
        """Send a request with the key.

        Parameters
        ----------
        method, path : str
            The path is below the origin and begins with a slash.
        again : bool, default True
            Whether a GET or PATCH may be sent again when the server is busy or the connection breaks.
        **options
            Of `requests.Session.request`: `json`, `files`, `stream`, `timeout`.

        Returns
        -------
        requests.Response
            With a status below 400; redirects are the caller's.

        Raises
        ------
        CredentialError
            If the key is not accepted.
        NotFoundError
            If the path, or what it names, does not exist there.
        LabelStudioError
            If there is no answer, or it is any other refusal. When it asks to be left alone for longer than a moment,
            nobody waits here: the error says for how long.
        """
        send = {"again": again, **options}
        answer = self._send_checked(method, path, self._authorization(), **send)
        if answer.status_code == 401 and not LEGACY_TOKEN.match(self._key):
            answer.close()
            answer = self._send_checked(method, path, self._authorization(renew=True), **send)
        if answer.status_code < 400:
            return answer
        access = self._access[0][0] if self._access else ""
        where = path.partition("?")[0]  # a query may hold a signature
        what = f"{method} {where}: {answer.status_code} {said(answer.content, self._key, access)}".rstrip()
        own = _is_own(answer.content)
        answer.close()
        if answer.status_code == 401:
            raise CredentialError(
                f"Label Studio at {self.origin} does not accept LABEL_STUDIO_API_KEY ({what}); legacy tokens must be "
                "enabled in its organization settings, personal access tokens always work",
                status=401,
            )
        kind = NotFoundError if answer.status_code == 404 else LabelStudioError
        error = kind(
            f"Label Studio at {self.origin} refused {what}",
            status=answer.status_code,
            retry_after=_asked_for(answer.headers.get("Retry-After")),
        )
        if isinstance(error, NotFoundError):
            error.proven = own
        raise error

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request as `request` does and return the JSON of its answer, None for an empty one.

        Raises
        ------
        LabelStudioError
            Also if the answer is a redirect or no JSON.
        """
        answer = self.request(method, path, **options)
        place = f"{self.origin}{path.partition('?')[0]}"
        if answer.status_code >= 300:
            raise LabelStudioError(
                f"{place} redirects to {name_url(answer.headers.get('Location', 'nowhere'))}: "
                "set LABEL_STUDIO_URL to the address that Label Studio itself answers at",
                status=answer.status_code,
            )
        try:
            return parsed(answer.content) if answer.content else None
        except ValueError as error:
            raise LabelStudioError(
                f"{place} answered {answer.status_code} without JSON: is LABEL_STUDIO_URL a Label Studio?",
                status=answer.status_code,
            ) from error

    def _authorization(self, *, renew: bool = False) -> str:
        if LEGACY_TOKEN.match(self._key):
            return f"Token {self._key}"
        if renew or not self._access or time.monotonic() > self._access[0][1]:
            answer = self._send("POST", "/api/token/refresh/", json={"refresh": self._key})
            if answer.status_code != 200:
                raise CredentialError(
                    f"Label Studio at {self.origin} refused LABEL_STUDIO_API_KEY ({answer.status_code}): "
                    "create a new personal access token there",
                    status=answer.status_code,
                )
            try:
                access = str(parsed(answer.content)["access"])
                self._access[:] = [(access, time.monotonic() + ACCESS_LIFETIME)]
            except (ValueError, KeyError, TypeError) as error:
                raise LabelStudioError(
                    f"{self.origin} answered a token request without a token: is LABEL_STUDIO_URL a Label Studio?"
                ) from error
        return f"Bearer {self._access[0][0]}"

    def _send_checked(
        self, method: str, path: str, authorization: str, *, again: bool, **options: Any
    ) -> requests.Response:
        """Send a request, a PATCH up to `TRIES` times, with the check before each time that changes something."""
        if method == "GET":
            return self._send(method, path, again=again, headers={"Authorization": authorization}, **options)
        tries = TRIES if again and method == "PATCH" else 1
        for left in reversed(range(tries)):
            self._check()
            try:
                answer = self._send(method, path, again=False, headers={"Authorization": authorization}, **options)
            except LabelStudioError:
                if not left:
                    raise
            else:
                asked = _asked_for(answer.headers.get("Retry-After"))
                if not left or answer.status_code not in BUSY or asked > BRIEF:
                    return answer
                answer.close()
            time.sleep(PAUSE * 2.0 ** (tries - 1 - left))
        raise AssertionError("the last try returns or raises")

    def _send(self, method: str, path: str, *, again: bool = True, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._timeout)
        options["verify"] = self._trusted()
        session = self._patient if again else self._once
        streamed = options.pop("stream", False)
        try:
            with timed("label_studio_call_seconds"):
                answer = session.request(method, self.origin + path, allow_redirects=False, stream=True, **options)
                if not streamed:
                    _take_in(answer)
            count("label_studio_calls_total", method=method, outcome=f"{answer.status_code // 100}xx")
            return answer
        except requests.RequestException as error:
            outcome = "timeout" if isinstance(error, requests.Timeout) else "unanswered"
            count("label_studio_calls_total", method=method, outcome=outcome)
            if wrong := distrust(error, self._ca_bundle):
                raise LabelStudioError(f"Label Studio at {self.origin} is not trusted: {wrong}") from error
            raise LabelStudioError(
                f"Label Studio does not answer at {self.origin}{path.partition('?')[0]}: {reason(error)}",
                timed_out=isinstance(error, requests.Timeout),
                unanswered=True,
            ) from error

    def _trusted(self) -> str | bool:
        return authorities(self._ca_bundle) if self.origin.lower().startswith("https:") else True


def _take_in(answer: requests.Response) -> None:
    """Read the body, which `requests` would wait for as long as a byte comes now and then."""
    began, pieces, size = time.monotonic(), [], 0
    try:
        while piece := answer.raw.read1(PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if time.monotonic() - began > TIMEOUT[1] + size / SLOWEST:
                raise requests.ReadTimeout(f"{size:,} bytes in {time.monotonic() - began:.0f} s are too slow")
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        answer.close()  # a line whose answer was read whole is kept all the same
    answer._content = b"".join(pieces)


def _is_own(content: bytes) -> bool:
    """Tell whether a refusal has the form of Label Studio's API, which says why in `detail`."""
    try:
        found = parsed(content)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("detail"), str)
