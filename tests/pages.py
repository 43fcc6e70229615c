"""The console's pages for tests: a client as a browser is one, forms with their token, what a page holds."""

from __future__ import annotations

import re
from html import unescape
from typing import Any, TypeVar

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labelqueue.settings import Deployment
from labelqueue.web.app import create_app

HTML = {"Accept": "text/html,application/xhtml+xml"}
NASTY = "<script>alert('x')</script>"
T = TypeVar("T", bound=FlaskClient)


class Plain(FlaskClient):
    """A client that reads answers to their end, as the gate does: a file is closed then."""

    def open(self, *arguments: Any, **options: Any) -> TestResponse:
        return super().open(*arguments, **options, buffered=True)


class Browser(Plain):
    """A client that asks for pages."""

    def open(self, *arguments: Any, **options: Any) -> TestResponse:
        return super().open(*arguments, **{"headers": HTML, **options})

    def page(self, address: str, status: int = 200) -> str:
        """Return a page's HTML."""
        answer = self.get(f"/console{address}")
        html = answer.get_data(as_text=True)
        assert answer.status_code == status, html
        assert "<script>" not in html
        return html

    def send(self, opened: str, address: str, status: int = 303, **fields: Any) -> TestResponse:
        """Send a form as it would be from a page: with the token that stands there."""
        token = re.search(r'data-token="([0-9a-f]+)"', self.page(opened))
        assert token is not None
        answer = self.post(f"/console{address}", data={"token": token[1], **fields})
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer

    def told(self, answer: TestResponse) -> str:
        """Return what the page that an answer leads to says first."""
        html = self.page(str(answer.location).partition("/console")[2])
        found = re.search(r'<p class="notice (?:done|failed)"[^>]*>(.*?)</p>', html, re.S)
        assert found is not None, html
        return unescape(found[1])


def plain(deployment: Deployment) -> Plain:
    """Return a client of the web process that is no browser."""
    return _client(deployment, Plain)


def browser(deployment: Deployment) -> Browser:
    """Return a browser of the web process's pages."""
    return _client(deployment, Browser)


def _client(deployment: Deployment, kind: type[T]) -> T:
    app = create_app(deployment)
    app.test_client_class = kind
    client = app.test_client()
    assert isinstance(client, kind)
    return client


def text_of(html: str) -> str:
    """Return what people read of a page, white space as one space."""
    return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", html)))
