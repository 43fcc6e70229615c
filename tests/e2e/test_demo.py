"""`labelqueue demo` from end to end: the first run, the second one that imports nothing twice, Ctrl-C."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from e2e.harness import free_port
from labelqueue.demo.drawing import draw_images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
LABEL_STUDIO = ROOT / ".venv-labelstudio" / "bin" / "label-studio"


@pytest.fixture(scope="module")
def demo(label_studio, tmp_path_factory):
    """Command line of a demo on a folder of images, in a data folder that is migrated already."""
    images = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(draw_images(30)):
        path = images / ("odd" if number % 2 else "even") / f"Foto {number} ä.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.data)
    (images / "even" / "broken.jpg").write_bytes(b"broken")
    (images / "readme.txt").touch()
    data = tmp_path_factory.mktemp("d")
    shutil.copytree(label_studio.template, data / "label-studio")
    account = label_studio.account
    (data / "demo.json").write_text(
        f'{{"account": {{"email": "{account.email}", "password": "{account.password}", "token": "{account.token}"}}, '
        '"projects": {}}'
    )
    command = [sys.executable, "-m", "labelqueue", "demo", "--label-studio", str(LABEL_STUDIO), "--images", str(images)]
    return [*command, "--data", str(data), "--port", str(free_port()), "--label-studio-port", str(free_port())]


def test_once_imports_orders_shows_and_ends(demo):
    run = subprocess.run([*demo, "--once"], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^ +(\d+) +(\S+\.jpg) +(\S.*)$", run.stdout, re.M)
    assert [int(rank) for rank, _, _ in rows] == list(range(1, 11)) and len({name for _, name, _ in rows}) == 10
    assert "30 images imported" in run.stderr
    assert "left out: even/broken.jpg" in run.stderr and "1 .txt" in run.stderr
    assert "owner@test.local" in run.stdout
    first = next(line.split() for line in run.stdout.splitlines() if line.strip())
    assert first[0] == "console" and re.fullmatch(r"http://localhost:\d+/console/\d+", first[1])


def test_a_second_run_imports_nothing_twice_and_ctrl_c_stops_everything(demo):
    process = subprocess.Popen(demo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "until Ctrl-C" in line:
                break
        shown = "".join(lines)
        assert "0 images imported, 30 were there" in shown
        page = re.search(r"http://\S+/projects/\d+/data", shown)
        assert page and requests.get(page[0], timeout=60).status_code == 200
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4  # Label Studio, the supervisor, web, worker, Redis
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=90) == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=90)
        process.stdout.close()
