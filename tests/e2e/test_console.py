"""The way to the console and its overview, with a real Label Studio and a real browser."""

from __future__ import annotations

import time

import pytest

from e2e.harness import free_port
from e2e.test_queue import CONFIG, UNCERTAINTY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
WAIT = 60.0  # seconds


def until(true, what):
    """Wait for something, and return it."""
    end = time.monotonic() + WAIT
    while not (found := true()):
        assert time.monotonic() < end, f"{what}: {found}"
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def guarded(serve):
    """A backend with a password, as one that others reach has; its console's address is another than Label Studio's."""
    port = free_port()
    public = f"http://localhost:{port}"
    with serve(port=port, BASIC_AUTH_USER="admin", BASIC_AUTH_PASS="word", LABELQUEUE_PUBLIC_URL=public) as running:
        yield running


@pytest.fixture(scope="module")
def project(api, guarded, drawn):
    found = api.create_project("console <script>", CONFIG)
    api.import_images(found, drawn(300)[:12])
    api.connect(found, guarded.url, extra_params={"seed": 4}, user="admin", password="word")
    return found


def test_the_connections_description_leads_to_the_console(api, guarded, project):
    def described():
        return api.call("GET", f"/api/ml?project={project}")[0]["description"]

    address = f"http://localhost:{guarded.port}/console/{project}"
    assert until(described, "the description") == f"What the queue does, and why: {address}"
    (backend,) = api.call("GET", f"/api/ml?project={project}")
    assert (backend["title"], backend["extra_params"]) == ("labelqueue", {"seed": 4})
    assert backend["basic_auth_pass_is_set"] and backend["state"] == "CO", "the password is still the one"
    settings = guarded.command("set", str(project), "--json")
    assert settings["settings"]["seed"]["value"] == 4, settings
    row = {name: backend[name] for name in ("url", "project", "auth_method", "basic_auth_user", "extra_params")}
    api.call("PATCH", f"/api/ml/{backend['id']}", json={**row, "basic_auth_pass": "", "description": "Ann's model"})
    guarded.command("reconcile", str(project))
    time.sleep(3.0)
    assert described() == "Ann's model"


def test_an_admin_sees_where_the_project_stands_and_pauses_it(api, browser, guarded, project):
    until(lambda: guarded.command("status", str(project), "--json")["version"], "the first order")
    task = api.next(project)["id"]
    api.annotate(task, "disc")
    told = []
    page = browser.new_page()
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    try:
        page.goto(f"http://admin:word@localhost:{guarded.port}/console/{project}")
        page.goto(f"http://localhost:{guarded.port}/console/{project}")
        assert "console <script>" in page.text_content("h1")
        page.wait_for_selector("#by-person tbody >> text=1 s", timeout=30_000)  # it comes without a reload
        assert "This is the cold start" in page.text_content("#stands")
        assert page.locator("#classes-title").count() == 1
        page.focus("#switch-pause summary")
        page.keyboard.press("Enter")
        page.locator("#switch-pause button").press("Enter")
        page.wait_for_selector("main > .notice.done", timeout=10_000)
        assert "Pause: publishing stops" in page.text_content("main > .notice.done")
        until(lambda: api.project(project)["sampling"] != UNCERTAINTY, "the old sampling")
        page.wait_for_selector("h1 >> text=paused", timeout=30_000)
        page.goto(f"http://localhost:{guarded.port}/console/")
        assert "The queue is paused by an admin" in page.text_content("table.projects")
        assert told == []
    finally:
        page.close()
