"""One real Label Studio for the run, one backend beside it, and a real browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.databases import SQLITE, label_studio_on
from e2e.harness import Backend, LabelStudioApi
from labelqueue.demo.drawing import draw_images
from labelqueue.demo.server import Account, LabelStudioServer

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

ROOT = Path(__file__).parents[2]
EXECUTABLE = ROOT / ".venv-labelstudio" / "bin" / "label-studio"
VERSION = re.search(r"LABEL_STUDIO_VERSION := (\S+)", (ROOT / "Makefile").read_text())[1]
TEMPLATE = ROOT / ".cache" / f"labelstudio-template-{VERSION}"
ACCOUNT = Account("owner@test.local", "password-123", "5" * 40)  # of a server that only these tests can reach
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A running Label Studio; its first start ever takes minutes, later ones copy the migrated template.

    Its database is SQLite, or PostgreSQL with E2E_DATABASE=postgresql in the environment.
    """
    if not EXECUTABLE.exists():
        pytest.fail(f"there is no Label Studio at {EXECUTABLE}: `make test` installs it")
    data, database = tmp_path_factory.mktemp("label-studio"), os.environ.get("E2E_DATABASE", SQLITE)
    with label_studio_on(database, EXECUTABLE, data, ACCOUNT, TEMPLATE) as (server, _):
        yield server


@pytest.fixture(scope="session")
def api(label_studio: LabelStudioServer) -> Iterator[LabelStudioApi]:
    """The owner of that Label Studio."""
    owner = LabelStudioApi(label_studio.url, ACCOUNT.token)
    yield owner
    owner.close()


@pytest.fixture(scope="session")
def serve(label_studio: LabelStudioServer) -> Callable[..., Backend]:
    """Start a backend for that Label Studio: a context manager; keywords are environment variables, `home`, `port`."""
    return lambda **options: Backend(label_studio.url, ACCOUNT.token, **options)


@pytest.fixture(scope="session")
def backend(serve: Callable[..., Backend]) -> Iterator[Backend]:
    """The backend most tests share."""
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def drawn() -> Callable[[int], list[tuple[str, bytes]]]:
    """Draw images: count to a list of (file name, JPEG); the first ones are the same for every count."""

    @cache
    def everything() -> list[tuple[str, bytes]]:
        return [(image.name, image.data) for image in draw_images(400)]

    return lambda count: everything()[:count]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A headless Chromium that knows nobody."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("there is no chromium on PATH: `make test` installs it on Debian; elsewhere install it by hand")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=program,
            args=CHROMIUM_FLAGS,
            headless=True,
            viewport={"width": 1280, "height": 720},
        )
        yield context
        context.close()


@pytest.fixture(scope="session")
def browser(label_studio: LabelStudioServer, chromium: BrowserContext) -> BrowserContext:
    """That Chromium, logged in as the owner."""
    page = chromium.new_page()
    page.goto(f"{label_studio.url}/user/login/")
    page.fill("#email", ACCOUNT.email)
    page.fill("#password", ACCOUNT.password)
    page.press("#password", "Enter")
    page.wait_for_url(lambda url: "/login" not in url, timeout=60_000)
    page.close()
    return chromium
