"""Who may call the web process: loopback only without credentials, basic auth with them."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Mapping

from flask import Flask, Request, Response, request

from ..settings import Deployment
from ..state import SECRET_HEADER

__all__ = ["guard", "refusal"]

FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")


def refusal(call: Request, deployment: Deployment, secrets: Mapping[str, str]) -> str | None:
    """Return why a call is refused, or None.

    Parameters
    ----------
    call : Request
        The call.
    deployment : Deployment
        Its credentials decide which rule holds.
    secrets : mapping
        Header name to the values' accepted secret, for /webhook only; empty elsewhere.
    """
    if "Origin" in call.headers or call.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return "calls from web pages are refused"  # a page could use this machine, or the browser's password
    if call.path == "/health" and deployment.basic_auth_user:
        return None
    if deployment.basic_auth_user:
        return None if _knows_password(call, deployment) or _knows_secret(call, secrets) else "credentials are needed"
    # The server's bind is not trusted: a proxy, a container network or another HOST would open it to everyone.
    if not _is_loopback(call.remote_addr or ""):
        return f"{call.remote_addr} is not this machine: set BASIC_AUTH_USER and BASIC_AUTH_PASS to allow it"
    if any(header in call.headers for header in FORWARDING):
        return "forwarded calls need credentials: set BASIC_AUTH_USER and BASIC_AUTH_PASS"
    host = call.host.rsplit(":", 1)[0] if not call.host.endswith("]") else call.host
    if host not in (*LOCAL_NAMES, deployment.host):  # a page in the browser that rebinds its name to 127.0.0.1
        return f"host name {host!r} is not this machine's: set BASIC_AUTH_USER and BASIC_AUTH_PASS to allow it"
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _knows_password(call: Request, deployment: Deployment) -> bool:
    given = call.authorization
    if given is None or given.type != "basic":
        return False
    user = hmac.compare_digest((given.username or "").encode(), deployment.basic_auth_user.encode())
    word = hmac.compare_digest((given.password or "").encode(), deployment.basic_auth_pass.encode())
    return user and word


def _knows_secret(call: Request, secrets: Mapping[str, str]) -> bool:
    return any(
        secret and hmac.compare_digest(call.headers.get(header, "").encode(), secret.encode())
        for header, secret in secrets.items()
    )


def guard(app: Flask, deployment: Deployment) -> None:
    """Make the app refuse strangers before any view runs. /webhook with its project's secret is decided by the view,
    which alone knows the project."""

    def check() -> Response | None:
        if request.path == "/webhook" and SECRET_HEADER in request.headers and deployment.basic_auth_user:
            return None
        why = refusal(request, deployment, {})
        if why is None:
            return None
        status = 401 if deployment.basic_auth_user else 403
        return Response(
            json.dumps({"error": why}),
            status,
            {"WWW-Authenticate": 'Basic realm="labelqueue"'} if status == 401 else {},
            mimetype="application/json",
        )

    # label-studio-ml's own hooks would log request bodies, tokens included.
    app.before_request_funcs[None] = [check]
    app.after_request_funcs[None] = []
