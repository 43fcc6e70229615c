"""Who may call the web process, and how much they may send: loopback only without credentials, basic auth with them."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Callable

from flask import Flask, Request, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..settings import Deployment
from ..state import SECRET_HEADER
from .gate import CAP

__all__ = ["CONSOLE", "guard", "own_origin", "refusal"]

# What proxies and content networks add. `X-Forwarded-` stands for all that begin so.
FORWARDING = (
    "Cf-Connecting-Ip",
    "Cf-Connecting-Ipv6",
    "Cf-Ray",
    "Client-Ip",
    "Fastly-Client-Ip",
    "Forwarded",
    "Forwarded-For",
    "True-Client-Ip",
    "Via",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "X-Envoy-External-Address",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Originating-Ip",
    "X-Proxyuser-Ip",
    "X-Real-Ip",
    "X-Remote-Addr",
    "X-Remote-Ip",
)
FORWARDED_ANYHOW = "X-Forwarded"
CONSOLE = "/console"  # pages for people in browsers, which `/` leads to
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
FOREIGN = (
    "calls from web pages are refused, except from the console's own: if this is one of them, set "
    "LABELQUEUE_PUBLIC_URL to its address in the browser, without the path"
)
NAMELESS_CAP = 16 * 2**20  # bytes of an event without its project's secret; 5,000 new tasks are 2.6 MB


def refusal(call: Request, deployment: Deployment, secret_counts: Callable[[str], bool] | None = None) -> str | None:
    """Return why a call is refused, or None.

    Parameters
    ----------
    call : Request
        The call; its body is not looked at.
    deployment : Deployment
        Its credentials decide which rule holds.
    secret_counts : callable, optional
        Tells whether the value of the secret header is as good as the password; None where it never is.
    """
    if not (_is_ours(call, deployment) or _opens_a_page(call)):
        return FOREIGN  # a page could use this machine, or the browser's password
    if call.path == "/health" and deployment.basic_auth_user:
        return None
    if deployment.basic_auth_user:
        secret = call.headers.get(SECRET_HEADER, "")
        known = _knows_password(call, deployment) or bool(secret and secret_counts and secret_counts(secret))
        return None if known else "credentials are needed"
    # The server's bind is not trusted: a proxy, a container network or another HOST would open it to everyone.
    if not _is_loopback(call.remote_addr or ""):
        return f"{call.remote_addr} is not this machine: set BASIC_AUTH_USER and BASIC_AUTH_PASS to allow it"
    names = [name.replace("_", "-").title() for name, _ in call.headers]
    if any(name in FORWARDING or name.startswith(FORWARDED_ANYHOW) for name in names):
        return "forwarded calls need credentials: set BASIC_AUTH_USER and BASIC_AUTH_PASS"
    host = call.host.rsplit(":", 1)[0] if not call.host.endswith("]") else call.host
    if host not in (*LOCAL_NAMES, deployment.host):  # a page in the browser that rebinds its name to 127.0.0.1
        return f"host name {host!r} is not this machine's: set BASIC_AUTH_USER and BASIC_AUTH_PASS to allow it"
    return None


def own_origin(call: Request, deployment: Deployment) -> str:
    """Return the origin (scheme, host and port) by which a browser reaches this process: as it was called, or, where a
    proxy in front speaks TLS, as LABELQUEUE_PUBLIC_URL says."""
    if deployment.public_url and call.host == deployment.public_url.partition("://")[2]:
        return deployment.public_url
    return call.host_url.rstrip("/")


def _is_ours(call: Request, deployment: Deployment) -> bool:
    """Tell whether a call comes from no web page, or from one of ours."""
    origin, site = call.headers.get("Origin"), call.headers.get("Sec-Fetch-Site", "none")
    # Browsers leave `Sec-Fetch-Site` out where there is no TLS, this machine excepted. A proxy may pass on its own name
    # for us instead of that by which it was called; what is at our public address is ours, whatever the name.
    ours = (None, own_origin(call, deployment), deployment.public_url or None)
    return site in ("none", "same-origin") and origin in ours


def _opens_a_page(call: Request) -> bool:
    """Tell whether somebody follows a link to a page of the console, from wherever; it is not put into a frame."""
    headers = call.headers
    return (
        call.method == "GET"
        and (call.path == "/" or call.path == CONSOLE or call.path.startswith(f"{CONSOLE}/"))
        and "Origin" not in headers
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _knows_password(call: Request, deployment: Deployment) -> bool:
    try:
        given = call.authorization
    except ValueError:  # characters that base64 does not have
        return False
    if given is None or given.type != "basic":
        return False
    user = hmac.compare_digest((given.username or "").encode(), deployment.basic_auth_user.encode())
    word = hmac.compare_digest((given.password or "").encode(), deployment.basic_auth_pass.encode())
    return user and word


def guard(app: Flask, deployment: Deployment, knows: Callable[[str], bool]) -> None:
    """Make the app refuse strangers before any view runs and before a body is read.

    Parameters
    ----------
    app : Flask
    deployment : Deployment
    knows : callable
        Tells whether a secret is that of some project. Whether it is that of the project in the body is decided by the
        view of /webhook, which alone knows the project.
    """

    def check() -> Response | None:
        hook = request.path == "/webhook"
        why = refusal(request, deployment, knows if hook else None)
        if why is None:
            if hook and not deployment.basic_auth_user and not knows(request.headers.get(SECRET_HEADER, "")):
                request.environ[CAP] = NAMELESS_CAP
                if (request.content_length or 0) > NAMELESS_CAP:
                    raise RequestEntityTooLarge(f"an event without its secret may have {NAMELESS_CAP:,} bytes")
            return None
        status = 401 if deployment.basic_auth_user and why != FOREIGN else 403  # a password would not help a page
        return Response(
            json.dumps({"error": why}),
            status,
            {"WWW-Authenticate": 'Basic realm="labelqueue"'} if status == 401 else {},
            mimetype="application/json",
        )

    # label-studio-ml's own hooks would log request bodies, tokens included.
    app.before_request_funcs[None] = [check]
    app.after_request_funcs[None] = []
