"""The console as admins use it, with a real Label Studio, a password and a real browser: the way there, all pages."""

from __future__ import annotations

import time

import pytest

from e2e.audit import audit, press, watched
from e2e.harness import free_port
from e2e.test_queue import CONFIG, UNCERTAINTY, wait_for
from labelqueue.demo.drawing import plan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
WAIT = 120.0  # seconds


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
    until(lambda: guarded.get(f"/projects/{project}")["version"], "the first order")
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


COUNT = 90
BROKEN = ("broken.jpg", b"no picture")


@pytest.fixture(scope="module")
def shapes(api, guarded, drawn):
    """A project whose order is live, with a few labels and an image that cannot be used."""
    found = api.create_project("shapes", CONFIG)
    api.connect(found, guarded.url, user="admin", password="word")
    api.import_images(found, [*drawn(COUNT), BROKEN])
    wait_for(guarded, found, lambda now: (now["covers"], now["quarantined"], now["pending"]) == (COUNT, 1, 0))
    for label in ("disc", "star") * 2:
        api.annotate(api.next(found)["id"], label)
    return found


def rare_tasks(api, project):
    """Tasks of the class that the fewest of the first images show."""
    scenes = {f"shape-{number:04d}.jpg": scene.label for number, scene in enumerate(plan(400)[:COUNT], start=1)}
    labels = list(scenes.values())
    rare = min(set(labels), key=labels.count)
    rows = api.call("GET", f"/api/tasks?project={project}&page_size=1000&fields=all")["tasks"]
    return [row["id"] for row in rows if scenes.get(row["data"]["image"].rpartition("/")[2].partition("-")[2]) == rare]


def seen(page):
    """How many thumbnails show a picture."""
    return page.evaluate("[...document.querySelectorAll('img.thumb')].filter((one) => one.naturalWidth > 0).length")


def test_an_admin_without_a_mouse_finds_a_rare_class_steers_and_goes_back(api, browser, guarded, shapes):
    def serves(right, what):
        """Wait for a queue whose first pick, behind what is drawn at random, is right; once the image that is open is
        labeled, Label Studio serves that queue."""

        def head():
            rows = guarded.command("order", str(shapes), "--limit", "1000", "--json")["tasks"]
            return rows if right(next(row["task"] for row in rows if not row["control"])) else None

        rows = until(head, what)
        opened = api.next(shapes)["id"]
        api.annotate(opened, "disc")
        assert api.next(shapes)["id"] == next(row["task"] for row in rows if row["task"] != opened), what

    with watched(browser, f"400 http://localhost:{guarded.port}/console/{shapes}/settings") as page:
        page.goto(f"http://admin:word@localhost:{guarded.port}/console/")
        page.goto(f"http://localhost:{guarded.port}/console/")
        audit(page)

        # What comes next, and why: the same as Label Studio serves.
        press(page.get_by_role("link", name="shapes", exact=True))
        page.get_by_role("heading", name="How good the model is").wait_for()
        assert "measure" in page.inner_text("#accuracy")
        audit(page)
        press(page.get_by_role("link", name="Queue", exact=True))
        first = page.locator("[data-task]").first
        assert int(first.get_attribute("data-task")) == api.next(shapes)["id"]
        assert "covers a new pattern" in first.inner_text() or "first pick" in first.inner_text()
        until(lambda: seen(page) >= 10, "thumbnails")
        audit(page)
        press(page.get_by_role("link", name="Show them"))
        page.get_by_role("link", name="Hide them").wait_for()
        audit(page, schemes=("dark",))

        # On the map: one of the rare class, what is like it, all of those first.
        rare = rare_tasks(api, shapes)[0]
        press(page.get_by_role("link", name="Map", exact=True))
        page.locator("[data-ready]").wait_for(state="attached", timeout=60_000)
        page.locator("#map-stage canvas[role]").focus()
        for key in ["Shift+ArrowRight"] * 20 + ["Shift+ArrowDown"] * 20 + ["Enter"]:
            page.keyboard.press(key)
        page.locator("#map-panel-title", has_text="selected").wait_for()
        page.fill("#map-task", str(rare))
        page.keyboard.press("Enter")
        page.locator("#map-panel-title", has_text="1 image selected").wait_for()
        until(lambda: seen(page) >= 1, "the image that was found")
        audit(page)
        press(page.locator('[data-act="like"]'))
        page.locator("#map-panel-title", has_text="most like").wait_for(timeout=30_000)
        until(lambda: seen(page) >= 10, "images like it")
        for box in page.locator("#map-panel li[data-task] input").all()[:4]:
            press(box, "Space")
        wanted = [int(row.get_attribute("data-task")) for row in page.locator("#map-panel li[data-task]").all()[:4]]
        press(page.locator('[data-act="pin"]'))
        page.locator("#map-messages", has_text="pinned").wait_for()
        serves(lambda task: task in wanted, "a pinned image")
        audit(page)
        press(page.locator("#map-messages button"))
        page.locator("#map-messages", has_text="as before").wait_for()
        serves(lambda task: task not in wanted, "the order of before")

        following = api.next(shapes)["id"]

        # Another strategy: an error beside its field, the preview, and the next task changes.
        before = wait_for(guarded, shapes, lambda now: now["version"])["version"]
        press(page.get_by_role("link", name="Settings", exact=True))
        page.get_by_label("label_map", exact=True).fill("{" * 500)
        press(page.get_by_role("button", name="Save"))
        page.locator(".field-error").wait_for()
        audit(page)
        press(page.get_by_role("link", name="Forget what I typed"))
        page.locator(".field-error").wait_for(state="detached")
        page.get_by_label("cold_start", exact=True).select_option("kcenter")
        press(page.get_by_role("button", name="Preview the next ten"))
        page.get_by_text("would follow").wait_for(timeout=60_000)
        coming = page.locator("section", has_text="With this").locator("li strong").all_inner_texts()
        audit(page)
        press(page.get_by_role("button", name="Apply this"))
        page.get_by_text("Saved: cold_start = kcenter").wait_for()
        serves(lambda task: f"task {task}" in coming[:2] and task != following, "the order of the preview")

        # And back.
        press(page.get_by_role("link", name="Orders", exact=True))
        audit(page)
        press(page.get_by_role("button", name=f"Roll back to {before}"))
        page.get_by_text("is live again within seconds").wait_for()
        until(lambda: api.project(shapes)["model_version"] == before, "the order of before")

        # What is wrong, and why.
        press(page.get_by_role("link", name="Health", exact=True))
        page.get_by_text("with every right that is needed").wait_for(timeout=60_000)
        row = page.locator("#bad tbody tr")
        assert "broken.jpg" in row.inner_text() and "image" in row.locator("td").nth(2).inner_text()
        audit(page)


def test_an_empty_project_says_what_to_do(api, browser, guarded):
    project = api.create_project("empty", CONFIG)
    api.connect(project, guarded.url, user="admin", password="word")
    until(lambda: guarded.command("status", str(project), "--json"), "the project")
    with watched(browser) as page:
        # By an address that holds the password, which stays nowhere: what scripts fetch, they fetch without.
        page.goto(f"http://admin:word@localhost:{guarded.port}/console/{project}/map")
        page.get_by_text("Import some").wait_for()
        assert page.evaluate("document.querySelector('a.brand').href") == f"http://localhost:{guarded.port}/console/"
        for view, told in (("", "import images"), ("/queue", "Import images"), ("/map", "Import some")):
            page.goto(f"http://localhost:{guarded.port}/console/{project}{view}")
            page.get_by_text(told).first.wait_for()
            audit(page)
        page.reload()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
