"""A proxy on loopback that hands calls on, until it is told to do something else with them."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}  # ours, not theirs


@dataclass(frozen=True)
class Answer:
    """What goes back: status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Call:
    """One call at the proxy, and what can be done with it.

    Attributes
    ----------
    method, path : str
    body : bytes
    line : socket
        Of the caller.
    over : threading.Event
        Set when faults are over.
    """

    def __init__(self, proxy: Proxy, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = handler.command, handler.path, dict(handler.headers), body
        self.line: socket.socket = handler.connection
        self.over = proxy.over
        self._proxy = proxy

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def forward(self, body: bytes | None = None) -> Answer:
        """Hand the call on, with another body if one is given, and return its answer."""
        line = http.client.HTTPConnection(self._proxy.target, timeout=150)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP}
            line.request(self.method, self.path, self.body if body is None else body, headers)
            answer = line.getresponse()
            self._proxy.answers[answer.status] += 1
            said = {key: value for key, value in answer.getheaders() if key.lower() not in HOP}
            return Answer(answer.status, said, answer.read())
        finally:
            line.close()


Fault = Callable[[Call], Answer | None]  # None: the line is closed without an answer


class Proxy:
    """Hands calls on to `target`, or to `fault` while there is one.

    Attributes
    ----------
    url : str
        Where it listens; the same port all its life.
    fault : callable or None
        What becomes of a call instead.
    answers : Counter of int
        Statuses that the target answered, whatever the caller got to see.
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.fault: Fault | None = None
        self.over = threading.Event()
        self.answers: Counter[int] = Counter()
        self._port = 0
        self.listen()
        self.url = f"http://127.0.0.1:{self._port}"

    def listen(self) -> None:
        """Listen, again if it was closed."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        self._server.shutdown()
        self._server.server_close()

    def begin(self, fault: Fault) -> None:
        self.over.clear()
        self.fault = fault

    def end(self) -> None:
        """Hand calls on again; lines that are held are closed."""
        self.fault = None
        self.over.set()

    def hang_up(self) -> None:
        """Close the lines that are held; the next ones are held as well."""
        self.over.set()
        self.over.clear()

    def answer(self, call: Call) -> Answer | None:
        try:
            return call.forward() if self.fault is None else self.fault(call)
        except (OSError, http.client.HTTPException):  # the target is down: so is the line to it
            return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # of a caller that did not wait, or was killed
            super().handle_error(request, client_address)


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # head and body go out together

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = proxy.answer(Call(proxy, self, body))
            # A kept line would get past a proxy that refuses connections.
            self.close_connection = True
            if answer is None:
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response_only(answer.status)
            for key, value in {
                "Content-Length": str(len(answer.body)),
                **answer.headers,
                "Connection": "close",
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """Stay quiet."""

    return Handler
