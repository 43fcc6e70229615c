"""How fast the page "Map" is in a browser: the page itself, painting, pointing, the lasso; maps of synthetic images.

A real web process serves a real Redis; headless Chromium draws.

    PYTHONPATH=backend:selectors:tests python benchmarks/map_page.py 100000 1000000
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from e2e.mapped import GENERATION, ORIGIN, processes, register
from labelqueue.gallery import COLUMNS, Map, Maps, map_question
from labelqueue.jobs import Answer, give_answer
from labelqueue.settings import Deployment
from labelqueue.state import EmbeddedRedis, Project, Redis, connect

ROUNDS = 9
KEPT = 3600.0  # seconds that the answer of the worker stands that is not there
GROUPS = 12
# Times that the browser takes of what the page does: `performance.measure`.
MEASURED = "name => performance.getEntriesByName(`map:${name}`).map((one) => one.duration)"


def put_map(project: Project, count: int) -> None:
    """Put a map of so many images up, in groups, as if a worker had made it."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, GROUPS, count)
    middle = rng.uniform(8_000, 57_000, (GROUPS, 2))
    points = np.clip(middle[group] + 2_500 * rng.standard_normal((count, 2)), 0, 65_535).astype(np.uint16)
    names = {"kind": "categories", "names": ["", *(f"class {number}" for number in range(GROUPS))]}
    about: dict[str, Any] = {name: {"kind": "scale", "low": 0, "high": 1} for name in COLUMNS}
    about |= {"label": names, "prediction": names, "order": names, "duplicates": names}
    about["state"] = {"kind": "categories", "names": ["unlabeled", "labeled", "skipped", "pinned", "left out"]}
    columns = {name: rng.integers(0, 255, count).astype(np.uint8) for name in COLUMNS}
    columns |= dict.fromkeys(("label", "prediction", "order", "duplicates"), (group + 1).astype(np.uint8))
    columns["state"] = (rng.random(count) < 0.05).astype(np.uint8)
    project.store.hset(project.name("cache", GENERATION, "rows"), "1", "0" * 16)
    question = map_question(project)
    made = {"fitted_at": 0.0, "made_at": time.time(), "took": 0.0, "of": question.state}
    facts = {"generation": GENERATION, "columns": about, "projection": "tsne", **made}
    Maps(project).put(Map(np.arange(1, count + 1), points, columns, facts), time.time())
    give_answer(project.store, question.id, Answer(Maps(project).facts()), KEPT)


def wait_until_drawn(page: Page) -> None:
    """Wait until what was asked for is on the canvas."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def measured(page: Page, name: str) -> list[float]:
    """Return what the browser took for something, in ms."""
    times: list[float] = page.evaluate(MEASURED, name)
    page.evaluate("name => performance.clearMeasures(`map:${name}`)", name)
    return times


def told(name: str, times: list[float]) -> None:
    """Print the median, the best and the worst."""
    middle, best, worst = statistics.median(times), min(times), max(times)
    print(f"{name:<34} {middle:8.1f} ms   {best:8.1f} to {worst:8.1f} ms, {len(times)} times", flush=True)


def measure(page: Page, address: str, count: int) -> None:
    """Measure one map."""
    print(f"-- {count:,} images")
    first, drawn = [], []
    for _ in range(5):
        page.goto("about:blank")
        page.goto(f"{address}/7/map", wait_until="commit")
        page.wait_for_selector("[data-ready]", timeout=60_000, state="attached")
        wait_until_drawn(page)
        drawn.append(page.evaluate("performance.now()"))
        first.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    told("first paint of the page", first)
    told("map drawn, ready for people", drawn)
    measured(page, "paint")
    stage = page.locator("#map-stage").bounding_box()
    assert stage is not None
    across, down = stage["width"], stage["height"]
    for _ in range(ROUNDS):
        page.mouse.move(stage["x"] + across / 2, stage["y"] + down / 2)
        page.mouse.wheel(0, -120)
        wait_until_drawn(page)
    told("paint", measured(page, "paint"))
    page.click("#map-whole")
    measured(page, "hover")
    for step in range(60):
        page.mouse.move(stage["x"] + across * (0.2 + step / 100), stage["y"] + down * (0.3 + (step * 7 % 40) / 100))
    told("hover", measured(page, "hover"))
    page.check('input[value="lasso"]')
    measured(page, "paint")
    for turn in range(ROUNDS):
        corners = np.array([[0.1, 0.1], [0.9, 0.15], [0.8, 0.9], [0.5, 0.4], [0.15, 0.85]]) - turn / 500
        corners = corners * [across, down] + [stage["x"], stage["y"]]
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(*corner, steps=12)
        page.mouse.up()
        wait_until_drawn(page)
    print(page.inner_text("#map-panel-title"))
    told("lasso", measured(page, "lasso"))
    told("selecting, with the panel", measured(page, "select"))
    told("paint with a selection", measured(page, "paint"))


def main(counts: list[int]) -> None:
    """Measure maps of these sizes."""
    home = Path(tempfile.mkdtemp(prefix="lq-"))
    server = EmbeddedRedis(home)
    server.start()
    environ = {"LABELQUEUE_HOME": str(home), "LABEL_STUDIO_URL": ORIGIN, "LABEL_STUDIO_API_KEY": "0" * 40}
    store: Redis = connect(Deployment.from_environment(environ))
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        with processes(home, worker=False) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            for count in counts:
                page = browser.new_page(viewport={"width": 1280, "height": 720})
                store.flushall()
                put_map(register(store, "synthetic"), count)
                measure(page, address, count)
                page.close()
    finally:
        server.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [100_000, 1_000_000])
