"""What errors tell of addresses and failures: no credentials, no signatures, no reprs of objects."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

__all__ = ["causes", "name_url", "reason"]

DEEPEST = 10  # errors inside errors that are looked through
LONGEST = 200  # characters


def name_url(url: str) -> str:
    """Return a URL for messages: without credentials and query, which may hold signatures."""
    plain = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = plain.partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"[:LONGEST]


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it wraps, outermost first.

    requests and urllib3 wrap the failure of a connection in their own errors, as an attribute, an argument or a cause.
    """
    seen: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in seen and len(seen) < DEEPEST:
        yield inner
        seen.append(inner)
        wrapped = (getattr(inner, "reason", None), *reversed(inner.args), inner.__cause__)
        inner = next((part for part in wrapped if isinstance(part, BaseException)), None)


def reason(error: BaseException) -> str:
    """Return why a connection failed, as its innermost error says it, such as ``Connection refused``."""
    *_, innermost = causes(error)
    if isinstance(innermost, ssl.SSLCertVerificationError):
        text = innermost.verify_message
    elif isinstance(innermost, ssl.SSLError) and innermost.reason:
        text = innermost.reason.replace("_", " ").lower()
    else:
        text = (isinstance(innermost, OSError) and innermost.strerror) or str(innermost)
    text = re.sub(r"<[^<>]* object at [^<>]*>:?\s*", "", text)
    return (text.strip() or type(innermost).__name__)[:LONGEST]
