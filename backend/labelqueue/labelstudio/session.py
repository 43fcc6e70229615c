"""Requests to one Label Studio: authorization, retries, errors that say what to do. What is asked is in `client`."""

from __future__ import annotations

import html
import json
import logging
import re
import time
from types import TracebackType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ..exceptions import CredentialError, LabelStudioError, NotFoundError
from .records import parsed

__all__ = ["LabelStudioSession", "said"]

TIMEOUT = (5.0, 120.0)  # seconds to connect and to read: importing predictions recounts a whole project
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


def _place(url: str) -> str:
    """Return an address without what may be secret in it."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"(?<=//)[^/]*@", "…@", plain)[:SAID]


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

    Attributes
    ----------
    origin : str
        `url` without a slash at its end.

    Raises
    ------
    CredentialError
        If `api_key` is empty.

    Notes
    -----
    The key goes to this origin only: redirects are never followed.
    """

    def __init__(self, url: str, api_key: str, *, timeout: tuple[float, float] = TIMEOUT) -> None:
        if not api_key:
            raise CredentialError(
                "LABEL_STUDIO_API_KEY is empty: copy an access token from Label Studio's Account & Settings page"
            )
        # Its debug lines show whole addresses, and in a query may stand a signature.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        self.origin = url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._access: tuple[str, float] | None = None
        self._patient, self._once = requests.Session(), requests.Session()
        for session in (self._patient, self._once):
            session.trust_env = False  # a .netrc entry or a proxy must not see or replace the key
        retry = Retry(
            total=3,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=("GET", "PATCH"),
            raise_on_status=False,
            redirect=0,
        )
        for scheme in ("http://", "https://"):
            self._patient.mount(scheme, HTTPAdapter(max_retries=retry))

    def __enter__(self) -> LabelStudioSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
            If there is no answer, or it is any other refusal.
        """
        send = {"again": again, **options}
        answer = self._send(method, path, headers={"Authorization": self._authorization()}, **send)
        if answer.status_code == 401 and not LEGACY_TOKEN.match(self._key):
            answer.close()
            answer = self._send(method, path, headers={"Authorization": self._authorization(renew=True)}, **send)
        if answer.status_code < 400:
            return answer
        access = self._access[0] if self._access else ""
        where = path.partition("?")[0]  # a query may hold a signature
        what = f"{method} {where}: {answer.status_code} {said(answer.content, self._key, access)}".rstrip()
        answer.close()
        if answer.status_code == 401:
            raise CredentialError(
                f"Label Studio at {self.origin} does not accept LABEL_STUDIO_API_KEY ({what}); legacy tokens must be "
                "enabled in its organization settings, personal access tokens always work",
                status=401,
            )
        kind = NotFoundError if answer.status_code == 404 else LabelStudioError
        raise kind(f"Label Studio at {self.origin} refused {what}", status=answer.status_code)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request as `request` does and return the JSON of its answer, None for an empty one.

        Raises
        ------
        LabelStudioError
            Also if the answer is a redirect or no JSON.
        """
        answer = self.request(method, path, **options)
        if answer.status_code >= 300:
            raise LabelStudioError(
                f"{self.origin}{path} redirects to {_place(answer.headers.get('Location', 'nowhere'))}: "
                "set LABEL_STUDIO_URL to the address that Label Studio itself answers at",
                status=answer.status_code,
            )
        try:
            return parsed(answer.content) if answer.content else None
        except ValueError as error:
            raise LabelStudioError(
                f"{self.origin}{path} answered {answer.status_code} without JSON: is LABEL_STUDIO_URL a Label Studio?",
                status=answer.status_code,
            ) from error

    def _authorization(self, *, renew: bool = False) -> str:
        if LEGACY_TOKEN.match(self._key):
            return f"Token {self._key}"
        if renew or self._access is None or time.monotonic() > self._access[1]:
            answer = self._send("POST", "/api/token/refresh/", json={"refresh": self._key})
            if answer.status_code != 200:
                raise CredentialError(
                    f"Label Studio at {self.origin} refused LABEL_STUDIO_API_KEY ({answer.status_code}): "
                    "create a new personal access token there",
                    status=answer.status_code,
                )
            try:
                self._access = (str(parsed(answer.content)["access"]), time.monotonic() + ACCESS_LIFETIME)
            except (ValueError, KeyError, TypeError) as error:
                raise LabelStudioError(
                    f"{self.origin} answered a token request without a token: is LABEL_STUDIO_URL a Label Studio?"
                ) from error
        return f"Bearer {self._access[0]}"

    def _send(self, method: str, path: str, *, again: bool = True, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._timeout)
        session = self._patient if again else self._once
        try:
            return session.request(method, self.origin + path, allow_redirects=False, **options)
        except requests.RequestException as error:
            raise LabelStudioError(
                f"Label Studio does not answer at {self.origin}{path}: {error}",
                timed_out=isinstance(error, requests.Timeout),
            ) from error
