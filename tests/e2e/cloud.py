"""An S3 server and a reverse proxy for tests; both remember what they were asked."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Asked = list[tuple[str, str, str]]  # the method, the path with its query, and what came as Authorization


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def s3_server() -> Iterator[tuple[str, Asked]]:
    """Run an S3 server on loopback; give its address and what it was asked."""
    serve: Callable[..., Any] = DomainDispatcherApplication(create_backend_app)
    asked: Asked = []

    def remembering(environ: dict[str, Any], start: Any) -> Any:
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        asked.append((environ["REQUEST_METHOD"], path, environ.get("HTTP_AUTHORIZATION", "")))
        return serve(environ, start)

    server = make_server("127.0.0.1", 0, remembering, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(url: str, bucket: str, files: dict[str, bytes]) -> None:
    """Make a bucket and put files into it."""
    with requests.Session() as session:
        session.trust_env = False
        assert session.put(f"{url}/{bucket}", timeout=30).status_code == 200
        for name, data in files.items():
            headers = {"Content-Type": "image/jpeg"}
            assert session.put(f"{url}/{bucket}/{name}", data=data, headers=headers, timeout=30).status_code == 200


@contextmanager
def sub_path(upstream: str, prefix: str, port: int) -> Iterator[Asked]:
    """Serve what is at `upstream` under a path prefix of another port, as an nginx in front of it does."""
    asked: Asked = []
    netloc = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            line = http.client.HTTPConnection(netloc, timeout=60)
            line.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers))
            answer = line.getresponse()
            content = answer.read()
            line.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
