"""What each call costs a Label Studio of many tasks, with nothing else going on: those that `live_loop` is made of."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from live_loop_scene import Scene

from labelqueue.labelstudio.queries import listing

VERSION = "costs"  # of predictions that nobody is served by
BULKS = (10, 60, 600)


def call_costs(here: Scene, repeat: int) -> dict[str, float]:
    """Return the median seconds of each call.

    Parameters
    ----------
    here : Scene
        It is quiet, and its queue is live.
    repeat : int
        How often each is made.
    """
    api, number = here.api, here.number
    tasks = iter(
        [row["id"] for row in api.call("GET", f"/api/tasks?project={number}&page_size=5000&include=id")["tasks"]] * 5
    )

    def get(path: str) -> Callable[[], Any]:
        return lambda: api.call("GET", path)

    def row() -> dict[str, Any]:
        return {"task": next(tasks), "result": [], "score": 0.5, "model_version": VERSION}

    def bulk(n: int) -> Callable[[], Any]:
        return lambda: api.call("POST", f"/api/projects/{number}/import/predictions", json=[row() for _ in range(n)])

    page = f"/api/tasks?project={number}&page_size=1000&include=id,data,updated_at"
    ordered = json.dumps({"ordering": ["tasks:predictions_score"]})
    calls: dict[str, Callable[[], Any]] = {
        "`next`": get(f"/api/projects/{number}/next"),
        "project": get(f"/api/projects/{number}"),
        "ML backends": get(f"/api/ml?project={number}"),
        "webhooks": get(f"/api/webhooks/?project={number}"),
        "count of each version's predictions": get(f"/api/projects/{number}/model-versions/"),
        "1,000 tasks by id": get(f"{page}&query={listing(None, 0)}"),
        "100 tasks by score, as the tab shows them": get(
            f"/api/tasks?project={number}&page_size=100&include=id&query={ordered}"
        ),
        "one prediction": lambda: api.call("POST", "/api/predictions/", json=row()),
        **{f"import of {n} predictions": bulk(n) for n in BULKS},
        "PATCH `model_version`": lambda: api.update_project(number, model_version=here.live()),
    }
    return {name: statistics.median(_seconds(call) for _ in range(repeat)) for name, call in calls.items()}


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
