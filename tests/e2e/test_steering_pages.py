"""The console on a real Label Studio, in a real browser: another strategy by the page, and back again."""

from __future__ import annotations

import re
import time

import pytest

from e2e.test_queue import CONFIG, ordered, published, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def opened(browser):
    """Open pages; at the end none of them may have broken the policy or failed in a script."""
    wrong, pages = [], []

    def go(address):
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda told: wrong.append(told.text) if "Content Security" in told.text else None)
        page.goto(address)
        pages.append(page)
        return page

    yield go
    for page in pages:
        page.close()
    assert wrong == []


def test_an_admin_switches_the_strategy_and_rolls_back(api, backend, drawn, opened):
    project = api.create_project("steering", CONFIG)
    # Two orders of other strategies rarely begin alike; without controls the pages show every reason.
    api.connect(project, backend.url, extra_params={"control_share": 0, "duplicates": "serve"})
    api.import_images(project, drawn(40))
    before = wait_for(backend, project, ordered(40))["version"]
    first = published(backend, project)[0]
    console = f"{backend.url}/console/{project}"

    queue = opened(f"{console}/queue")
    assert queue.locator("[data-task]").first.get_attribute("data-task") == str(first)
    queue.wait_for_function("() => document.querySelector('[data-task] img').naturalWidth > 0", timeout=60_000)
    page = opened(f"{console}/settings")
    page.get_by_label("cold_start", exact=True).select_option("kcenter")
    page.get_by_role("button", name="Preview the next ten").click()
    page.get_by_text("would follow").wait_for(timeout=60_000)
    coming = page.locator("section", has_text="With this").locator("li strong").all_inner_texts()
    assert len(coming) == 10
    page.get_by_role("button", name="Apply this").click()
    page.get_by_text("Saved: cold_start = kcenter").wait_for(timeout=30_000)

    applied = time.monotonic()
    queue.get_by_text(re.compile(r"r\d+·.*KCenter")).wait_for(timeout=60_000)
    assert time.monotonic() - applied < 60, "the page that is open follows by itself"
    next_one = int(coming[0].removeprefix("task "))
    assert next_one != first and api.next(project)["id"] == next_one
    assert queue.locator("[data-task]").first.get_attribute("data-task") == str(next_one)

    page.get_by_role("link", name="Orders").click()
    page.get_by_role("button", name=f"Roll back to {before}").click()
    page.get_by_text("is live again within seconds").wait_for(timeout=30_000)
    wait_for(backend, project, lambda now: now["version"] == before, what="the rollback")
    page.get_by_text("An older order is held").wait_for(timeout=30_000)
    assert api.project(project)["model_version"] == before

    page.get_by_role("link", name="Health").click()
    page.locator("#workers").wait_for()
    page.get_by_text("Label Studio", exact=True).nth(1).wait_for(timeout=60_000)
    page.get_by_text("with every right that is needed").wait_for(timeout=60_000)
    api.disconnect(project)
