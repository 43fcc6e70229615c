"""Every way in which Label Studio, or what stands before it, fails: one table, each a function of a call."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from chaos.proxy import Answer, Call, Fault

JSON, PAGE = {"Content-Type": "application/json"}, {"Content-Type": "text/html"}
HUGE = 64 * 2**20  # bytes


def says(status: int, body: object, headers: Mapping[str, str] = JSON) -> Fault:
    """Answer this, and do nothing."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda call: Answer(status, headers, content)


def page(status: int, title: str, headers: Mapping[str, str] | None = None) -> Fault:
    return says(status, f"<html><title>{title}</title><h1>{title}</h1></html>".encode(), PAGE | dict(headers or {}))


def refused(call: Call) -> None:
    """For calls on their way when the port is closed; `Failures` closes it."""


def reset(call: Call) -> None:
    with suppress(OSError):
        call.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(call: Call) -> None:
    call.over.wait(60)


def silent_for_good(call: Call) -> None:
    """Stay silent when the fault is long over, as a connection does whose other end is gone."""
    time.sleep(150)


def after_the_write(fault: Callable[[Call], None]) -> Fault:
    """Let Label Studio do what it is asked, and lose its answer."""

    def fail(call: Call) -> None:
        if call.writes:
            call.forward()
        fault(call)

    return fail


def cut_json(call: Call) -> Answer:
    answer = call.forward()
    return Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2])


def cut_body(call: Call) -> Answer:
    """Promise more than comes."""
    answer = call.forward()
    return Answer(answer.status, {**answer.headers, "Content-Length": str(len(answer.body) + 1000)}, answer.body)


def drip(call: Call) -> None:
    """Send one byte now and then."""
    with suppress(OSError):
        call.line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
        while not call.over.wait(0.3):
            call.line.sendall(b" ")


def in_circles(call: Call) -> Answer:
    return Answer(302, {"Location": call.path})


def half_an_import(call: Call) -> Answer:
    """Store half of the predictions, and say so."""
    if not call.path.split("?")[0].endswith("/import/predictions"):
        return call.forward()
    rows = json.loads(call.body)
    return call.forward(json.dumps(rows[: len(rows) // 2]).encode())


def late(call: Call) -> Answer:
    """Do and say everything, a second late."""
    time.sleep(1)
    return call.forward()


FAULTS: dict[str, Fault] = {
    "connection refused": refused,
    "connection reset": reset,
    "connection reset after the write": after_the_write(reset),
    "no answer": silent,
    "no answer after the write": after_the_write(silent),
    "no answer, when it is over neither": silent_for_good,
    "a second late": late,
    "401": says(401, {"detail": "Invalid token."}),
    "403": says(403, {"detail": "You do not have permission to perform this action."}),
    "404 as Label Studio says it": says(404, {"detail": "Not found."}),
    "404 of a proxy": page(404, "404 Not Found"),
    "409": says(409, {"detail": "Conflict."}),
    "429": says(429, {"detail": "Request was throttled."}),
    "429, Retry-After of an hour": says(429, {"detail": "Request was throttled."}, JSON | {"Retry-After": "3600"}),
    "500": says(500, {"detail": "database is locked"}),
    "500, a page": page(500, "Server Error"),
    "502": page(502, "502 Bad Gateway"),
    "503, a page, Retry-After": page(503, "Maintenance", {"Retry-After": "3"}),
    "504": page(504, "504 Gateway Time-out"),
    "200, empty": says(200, b""),
    "200, {}": says(200, {}),
    "200, null": says(200, None),
    "200, []": says(200, []),
    "204": says(204, b"", {}),
    "JSON cut short": cut_json,
    "body cut short": cut_body,
    "200, a page to log in": page(200, "Sign in"),
    "slow drip": drip,
    "redirects in circles": in_circles,
    "a body of 64 MB": says(200, b" " * HUGE),
    "half of the predictions stored": half_an_import,
}
