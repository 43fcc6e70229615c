"""The page "Map" in a real browser: what is painted, pointed at and drawn around, the ways of the keyboard, acts and
their undoing, nothing that the policy forbids. A real web process and a real embedding worker; no Label Studio."""

from __future__ import annotations

import re

import numpy as np
import pytest

from e2e.mapped import CLASSES, NASTY, fill, processes, register
from labelqueue.admin import curation
from labelqueue.gallery import Maps
from labelqueue.labels import SKIPPED
from labelqueue.state import TaskRow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
EACH = 40
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
PIXELS = """() => {
  const canvas = document.querySelector("#map-stage canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colors = {};
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 255) continue;
    const color = `${data[at]},${data[at + 1]},${data[at + 2]}`;
    colors[color] = (colors[color] ?? 0) + 1;
  }
  return Object.keys(colors).filter((color) => colors[color] > 20);
}"""


@pytest.fixture(scope="module")
def console(redis_home):
    """The console's address."""
    with processes(redis_home) as address:
        yield address


@pytest.fixture
def project(store):
    return register(store)


@pytest.fixture
def page(chromium, project):
    """A page that finds nothing wrong with itself, and is closed before the project goes."""
    opened = chromium.new_page()
    opened.add_init_script(WATCH)
    wrong = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    yield opened
    assert opened.evaluate("window.violations") == [] and wrong == []
    assert opened.evaluate("document.title").endswith("labelqueue"), "a label's script ran"
    opened.close()


@pytest.fixture
def filled(project, redis_home):
    """The project with images of three classes; its class by task."""
    return dict(enumerate(fill(project, redis_home / "spool", EACH), start=1))


@pytest.fixture
def opened(page, console, project, filled):
    """The map once its better layout is up."""
    page.goto(f"{console}/7/map")
    for _ in range(100):
        if (facts := Maps(project).facts()) and not facts["laying_out"]:
            break
        page.wait_for_timeout(200)
    page.wait_for_selector(f'[data-ready="{Maps(project).facts()["revision"]}"]', state="attached")
    page.wait_for_timeout(800)  # until the images have glided to their places
    return page


@pytest.fixture
def places(opened, project):
    """Where each task is on the screen, in CSS pixels: shape (n, 2), and the tasks of the rows."""
    points = np.frombuffer(Maps(project).points(), "<u2").reshape(-1, 2).astype(float)
    box = opened.locator("#map-stage").bounding_box()
    low, high = points.min(axis=0), points.max(axis=0)
    # The whole map with a margin of 24 pixels, in the middle of the stage inside of its border.
    inner = np.array([box["width"] - 2, box["height"] - 2])
    scale = ((inner - 48) / (high - low)).min()
    at = (points - (low + high) / 2) * scale + inner / 2 + [box["x"] + 1, box["y"] + 1]
    return at, np.frombuffer(Maps(project).ids(), "<f8").astype(int)


def until(page, true):
    """Wait for something; the policy forbids the browser's own way of it."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come")


def title(page):
    return page.inner_text("#map-panel-title")


def listed(page):
    """Tasks that the panel shows on its present page."""
    return [int(item.get_attribute("data-task")) for item in page.locator("#map-panel li[data-task]").all()]


def around(at, tasks, filled, wanted):
    """A polygon around the images of a class, and the tasks that Python finds inside."""
    mine = at[[filled[task] == wanted for task in tasks]]
    low, high = mine.min(axis=0) - 9, mine.max(axis=0) + 9
    middle = (low[0] + high[0]) / 2
    # Not convex: a notch from above reaches into the group.
    notch = [(middle - 12, low[1]), (middle, (low[1] + high[1]) / 2), (middle + 12, low[1])]
    polygon = [low, *notch, (high[0], low[1]), high, (low[0], high[1])]
    return [(round(x), round(y)) for x, y in polygon]  # a mouse is on whole pixels


def inside(polygon, x, y):
    """Even-odd, one edge at a time."""
    found = False
    for (ax, ay), (bx, by) in zip(polygon, [polygon[-1], *polygon[:-1]], strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            found = not found
    return found


def draw(page, polygon):
    page.mouse.move(*polygon[0])
    page.mouse.down()
    for corner in polygon[1:]:
        page.mouse.move(*corner)
    page.mouse.up()


def test_colors_hover_lasso_and_acts(opened, project, places, filled):
    at, tasks = places
    by_state = set(opened.evaluate(PIXELS))
    opened.select_option("#map-color", "label")
    until(opened, lambda: opened.locator("#map-entries li").count() == 4)
    assert opened.locator("#map-entries .name").all_inner_texts() == ["none", *CLASSES]
    opened.wait_for_timeout(200)
    by_label = set(opened.evaluate(PIXELS))
    assert len(by_label) > len(by_state) >= 2, "three labels have three colors"
    opened.hover("#map-entries li:nth-child(2)")
    opened.wait_for_timeout(200)
    assert set(opened.evaluate(PIXELS)) < by_label, "what is not looked at is faint"

    # Pointing: the nearest image, what the map knows of it, then what a worker tells.
    spot = at[list(tasks).index(9)]
    opened.mouse.move(*spot)
    nearest = tasks[np.hypot(*(at - spot).T).argmin()]
    assert opened.inner_text("#map-card strong") == f"task {nearest}"
    until(opened, lambda: "covers a new pattern" in opened.inner_text("#map-card"))

    until(opened, lambda: opened.evaluate("document.querySelector('#map-card img').naturalWidth") == 48)

    # The lasso: exactly what Python finds inside the same polygon.
    opened.check('input[value="lasso"]')
    polygon = around(at, tasks, filled, 1)
    expected = {int(task) for task, place in zip(tasks, at, strict=True) if inside(polygon, *place)}
    draw(opened, polygon)
    assert 0 < len(expected) < EACH and title(opened) == f"{len(expected)} images selected"
    seen = set(listed(opened))
    if len(expected) > 24:
        opened.click('[data-way="1"]')
    assert seen | set(listed(opened)) == expected
    assert f"label {NASTY}: 1" in opened.inner_text("[data-part=counts]") or 2 not in expected

    # Downloads hold the ids.
    with opened.expect_download() as download:
        opened.click('[data-act="csv"]')
    lines = download.value.path().read_text().split()
    assert lines[0] == "task" and {int(line) for line in lines[1:]} == expected

    # Leaving out asks for a reason, is seen at once, and is undone by one click.
    opened.click('[data-act="leave"]')
    opened.fill("#map-reason", "blurred <b>")
    opened.keyboard.press("Enter")
    opened.wait_for_selector("#map-messages >> text=left out")
    left = {row["task"]: row["reason"] for row in curation(project)["exclusions"]}
    assert left == dict.fromkeys(expected, "blurred <b>")
    opened.wait_for_selector("#map-key-out", state="visible")
    opened.click("#map-messages button")
    opened.wait_for_selector("#map-messages >> text=as before")
    assert curation(project)["exclusions"] == []
    opened.wait_for_selector("#map-key-out", state="hidden")


def test_more_like_a_lasso_and_a_pin_from_the_grid(opened, project, places, filled):
    at, tasks = places
    opened.check('input[value="rectangle"]')
    mine = at[[filled[task] == 2 for task in tasks]]
    draw(opened, [mine.min(axis=0) - 9, (mine[:, 0].max() + 9, np.median(mine[:, 1]))])
    few = int(title(opened).split()[0])
    assert 0 < few < EACH
    opened.click('[data-act="like"]')
    opened.wait_for_selector("#map-panel-title >> text=most like")
    near = listed(opened)
    rest = EACH - few - 1
    assert {filled[task] for task in near[: min(rest, 10)]} == {2}, "the nearest are of the same class"
    assert "similarity" in opened.inner_text("#map-panel li[data-task] >> nth=0")
    opened.check("#map-panel li[data-task] input >> nth=0")
    opened.check("#map-panel li[data-task] input >> nth=2")
    assert opened.inner_text('[data-act="pin"]') == "Label the 2 checked first"
    opened.click('[data-act="pin"]')
    opened.wait_for_selector("#map-messages >> text=pinned")
    assert sorted(row["task"] for row in curation(project)["pins"]) == sorted([near[0], near[2]])
    opened.wait_for_selector("#map-key-first", state="visible")
    until(opened, lambda: "pinned" in opened.inner_text("#map-entries"))


def test_everything_by_keyboard(opened, project, places):
    at, _ = places
    keys = opened.keyboard
    opened.focus("#map-stage canvas")
    for key in ["ArrowUp"] * 3 + ["ArrowDown"] * 3:
        keys.press(key)
    for _ in range(60):
        keys.press("Shift+ArrowRight")
    for _ in range(40):
        keys.press("Shift+ArrowDown")
    keys.press("Enter")
    corner = opened.locator("#map-stage").bounding_box()
    found = re.match(r"(\d+) images? selected", title(opened))
    right = sum((x > corner["x"] + corner["width"] / 2) & (y > corner["y"] + corner["height"] / 2) for x, y in at)
    assert found is not None and int(found[1]) == right
    keys.press("Escape")
    assert title(opened) == "Nothing is selected"
    # A legend entry: its images as a list, one checked, pinned, taken back.
    opened.focus("#map-entries li:nth-child(2) button")
    keys.press("Enter")
    assert title(opened) == "3 images selected"
    opened.focus("#map-panel li[data-task] input >> nth=1")
    keys.press("Space")
    opened.focus('[data-act="pin"]')
    keys.press("Enter")
    opened.wait_for_selector("#map-messages button")
    assert [row["task"] for row in curation(project)["pins"]] == [2]
    opened.focus("#map-messages button")
    keys.press("Enter")
    opened.wait_for_selector("#map-messages >> text=as before")
    assert curation(project)["pins"] == []
    # Filtering by the legend: what is hidden is not selected.
    opened.focus("#map-entries li:nth-child(1) input")
    keys.press("Space")
    opened.focus("#map-stage canvas")
    for key in ["0", "ArrowUp", *["ArrowLeft"] * 60, *["ArrowUp"] * 40, "0", "0"]:
        keys.press(key)
    for key in [*["Shift+ArrowRight"] * 60, *["Shift+ArrowDown"] * 40, "Enter"]:
        keys.press(key)
    assert title(opened) == "3 images selected"
    opened.click("#map-all")
    # A task by its number.
    opened.fill("#map-task", "77")
    keys.press("Enter")
    assert title(opened) == "1 image selected" and listed(opened) == [77]
    opened.fill("#map-task", "9999")
    keys.press("Enter")
    assert opened.inner_text("#map-found") == "task 9999 is not on the map"


def test_the_lasso_agrees_with_python_on_any_polygon(page, console, project):
    page.goto(f"{console}/7/map")
    rng = np.random.default_rng(1)
    xy = rng.integers(0, 65536, (3000, 2))
    polygons = [rng.uniform(0, 65536, (corners, 2)) for corners in (3, 5, 9, 40)]
    polygons += [np.round(polygons[2] / 4096) * 4096, np.array([[0, 0], [65535, 0], [65535, 65535], [0, 65535]])]
    xy[:500] = np.round(xy[:500] / 4096) * 4096 % 65536  # on corners and edges
    for polygon in polygons:
        rows = page.evaluate(
            """async ([xy, polygon]) => {
              const { rowsInside } = await import("/console/static/map-lasso.js");
              return [...rowsInside(Uint16Array.from(xy), polygon)];
            }""",
            [xy.ravel().tolist(), polygon.tolist()],
        )
        assert rows == [row for row, place in enumerate(xy.tolist()) if inside(polygon.tolist(), *place)]


def test_a_label_is_seen_without_a_reload_and_the_selection_stays(opened, project, console):
    opened.goto(f"{console}/7/map?task=50")
    until(opened, lambda: title(opened) == "1 image selected")
    assert listed(opened) == [50]
    project.put_tasks({51: TaskRow("/data/upload/51.jpg", SKIPPED)})
    project.set(read_to="2026-01-01T00:00:00+00:00")
    until(opened, lambda: "skipped" in opened.inner_text("#map-entries"))
    assert listed(opened) == [50] and opened.inner_text("#map-told").startswith("120 images")


def test_more_like_one_image_without_the_map(page, console, project, filled):
    page.goto(f"{console}/7/like/5")
    page.wait_for_selector("#map-like form")
    boxes = page.locator("#map-like input[type=checkbox]")
    near = [int(boxes.nth(at).get_attribute("value")) for at in range(10)]
    assert {filled[task] for task in near} == {filled[5]}
    boxes.nth(1).check()
    page.click('button[value="checked"]')
    assert "1 task is pinned" in page.inner_text(".notice")
    assert [row["task"] for row in curation(project)["pins"]] == [near[1]]
    page.click("main > form button")
    assert "as before" in page.inner_text(".notice") and curation(project)["pins"] == []


def test_what_is_said_before_there_is_a_map(page, console, project):
    page.goto(f"{console}/7/map")
    until(page, lambda: "No images are known" in page.inner_text("#map-empty"))
