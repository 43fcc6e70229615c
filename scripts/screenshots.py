"""`make screenshots`: the pictures of the console in docs/, taken of a real project as the demo makes it.

It runs `labelqueue demo` in a folder of its own, labels what the queue serves as a careful annotator would, waits until
the learning curve is measured, and takes one picture a page with Chromium. A second run goes on with what is there.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from labelqueue.demo.drawing import draw_images
from labelqueue.labelstudio import LabelStudioSession

ROOT = Path(__file__).parents[1]
# Page -> its address below /console, and what has to be there before the picture is taken.
VIEWS = {
    "projects": ("/", "table.projects"),
    "overview": ("/{project}", "#learning-title"),
    "queue": ("/{project}/queue", "main h1"),
    "map": ("/{project}/map", "main h1"),
    "orders": ("/{project}/orders", "main h1"),
    "settings": ("/{project}/settings", "main h1"),
    "health": ("/{project}/health", "main h1"),
}
COUNT, LABELS = 300, 120
PORTS = ("9391", "8381")  # of labelqueue and Label Studio: what is remembered of a project belongs to its address
WRONG = 0.03  # of the labels: nobody is perfect
WIDTH, HEIGHT = 1280, 800  # of a picture; of a longer page its upper part, but for these
TALLER = {"overview": 1200}
SETTLES = 2.5  # seconds for thumbnails and what scripts draw
LARGEST = 150_000  # bytes of one picture
WAIT = 240.0  # seconds until the last training
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label-studio", required=True, metavar="PATH", help="the label-studio program")
    parser.add_argument("--views", default=",".join(VIEWS), metavar="LIST", help=f"some of {','.join(VIEWS)}")
    parser.add_argument("--data", type=Path, default=ROOT / ".labelqueue" / "screenshots", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", metavar="DIR", help="where the pictures go")
    arguments = parser.parse_args()
    views = [view for view in arguments.views.split(",") if view]
    if unknown := [view for view in views if view not in VIEWS]:
        parser.error(f"there is no page {', '.join(unknown)}: choose among {', '.join(VIEWS)}")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("there is no chromium on the PATH: install it, `make test` does on Debian")
    arguments.data.mkdir(parents=True, exist_ok=True)
    demo = start_demo(arguments.label_studio, arguments.data)
    try:
        console, project, server = addresses(demo)
        label(LabelStudioSession(server, token(arguments.data), timeout=(5.0, 60.0)), console, project)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", locale="en-US")
            for view in views:
                take(page, view, console, project, arguments.out / f"console-{view}.png")
            browser.close()
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            demo.wait(timeout=120)
    return 0


def start_demo(program: str, data: Path) -> subprocess.Popen[str]:
    """Start the demo on ports of its own."""
    ports = ["--port", PORTS[0], "--label-studio-port", PORTS[1]]
    command = [sys.executable, "-m", "labelqueue", "demo", "--label-studio", program, "--count", str(COUNT), *ports]
    return subprocess.Popen(
        [*command, "--data", str(data)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def addresses(demo: subprocess.Popen[str]) -> tuple[str, int, str]:
    """Return the console's address, the project, and Label Studio's address, once the demo is up."""
    assert demo.stdout is not None
    shown = ""
    for line in demo.stdout:
        print(line, end="", flush=True)
        shown += line
        if "until Ctrl-C" in line:
            break
    console = re.search(r"(http://\S+/console)/(\d+)", shown)
    server = re.search(r"(http://\S+)/projects/\d+/data", shown)
    if console is None or server is None:
        raise SystemExit("the demo did not come up; what it said is above")
    return console[1], int(console[2]), server[1]


def token(data: Path) -> str:
    """Return the key of the demo's user."""
    return str(json.loads((data / "demo.json").read_text())["account"]["token"])


def label(session: LabelStudioSession, console: str, project: int) -> None:
    """Label what the queue serves until there are enough labels, and wait for the model to have learned them."""
    truth = {image.name: image.label for image in draw_images(COUNT)}
    classes, rng = sorted(set(truth.values())), random.Random(0)
    session.json("PATCH", f"/api/users/{session.json('GET', '/api/current-user/whoami')['id']}", json=NAMES)
    while (done := status(console, project)["labeled"]) < LABELS:
        print(f"labeling: {done} of {LABELS}", flush=True)
        for _ in range(min(10, LABELS - done)):
            answer(session, session.json("GET", f"/api/projects/{project}/next"), truth, classes, rng)
        time.sleep(2.0)
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        told = status(console, project)
        if told["learning"]["labels"] >= LABELS and told["learning_curve"]["measurements"]:
            return
        time.sleep(2.0)
    print("the learning curve is not measured yet; the pictures are taken without", flush=True)


NAMES = {"first_name": "Ada", "last_name": "Byron"}


def answer(
    session: LabelStudioSession, task: dict[str, Any], truth: dict[str, str], classes: list[str], rng: random.Random
) -> None:
    """Label a task as its picture says, now and then not."""
    name = re.sub(r"^[0-9a-f]{8}-", "", task["data"]["image"].rpartition("/")[2])
    chosen = truth[name] if rng.random() > WRONG else rng.choice(classes)
    result = {"from_name": "class", "to_name": "image", "type": "choices", "value": {"choices": [chosen]}}
    body = {"result": [result], "lead_time": round(rng.lognormvariate(1.4, 0.5), 1)}
    session.json("POST", f"/api/tasks/{task['id']}/annotations", json=body)


def status(console: str, project: int) -> dict[str, Any]:
    """Return where the project stands."""
    answer = requests.get(f"{console.removesuffix('/console')}/api/v1/projects/{project}", timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def take(page: Page, view: str, console: str, project: int, path: Path) -> None:
    """Take the picture of a page, with as few colors as make it small."""
    address, there = VIEWS[view]
    page.set_viewport_size({"width": WIDTH, "height": TALLER.get(view, HEIGHT)})
    page.goto(console + address.format(project=project))
    page.wait_for_selector(there, state="attached", timeout=20_000)
    page.wait_for_timeout(SETTLES * 1000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colors in (256, 128, 64, 32, 16):
        out = io.BytesIO()
        picture.quantize(colors).save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST:
            break
    path.write_bytes(out.getvalue())
    print(f"{path.name}: {out.tell() / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
