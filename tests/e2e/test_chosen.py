"""From a folder of more images than anybody would import to tasks of the chosen ones, in the order of the selection."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from e2e.conftest import ACCOUNT
from e2e.test_queue import CONFIG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_chosen_ones_become_tasks_in_their_order_and_none_twice(api, label_studio, drawn, tmp_path):
    pytest.importorskip("pyarrow")
    for name, data in drawn(24):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)

    def labelqueue(*arguments: str) -> str:
        environment = {
            **os.environ,
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": ACCOUNT.token,
            "LABELQUEUE_HOME": str(tmp_path / "home"),
            "LABELQUEUE_EMBEDDER": "bundled",
        }
        line = [sys.executable, "-m", "labelqueue", *arguments]
        run = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert run.returncode == 0, run.stderr
        return run.stdout

    labelqueue("embed", "photos", "-o", "vectors")
    (tmp_path / "first.csv").write_text(labelqueue("select", "vectors", "-n", "12", "--output", "csv"))
    paths = [line.split(",")[1] for line in (tmp_path / "first.csv").read_text().splitlines()[1:]]
    project = api.create_project("chosen", CONFIG)
    served = "/data/local-files/?d=photos"
    api.import_tasks(project, [{"data": {"image": paths[4].replace(f"{tmp_path}/photos", served)}}])

    replace = ("--json", "--replace", f"{tmp_path}/photos={served}")
    told = json.loads(labelqueue("import", str(project), "first.csv", *replace))
    assert (told["made"], told["here"], told["title"]) == (11, 1, "chosen")
    assert json.loads(labelqueue("import", str(project), "first.csv", *replace))["made"] == 0
    rows = api.call("GET", f"/api/tasks?project={project}&page_size=100&include=id,data")["tasks"]
    found = [row["data"]["image"] for row in sorted(rows, key=lambda row: row["id"])]
    wanted = [path.replace(f"{tmp_path}/photos", served) for path in paths]
    assert found == [wanted[4], *wanted[:4], *wanted[5:]]
