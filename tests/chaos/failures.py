"""Failures of Label Studio: each of the table hits every call for seconds, while people label and an order is due."""

from __future__ import annotations

import time
from itertools import cycle

from chaos.faults import FAULTS, silent_for_good
from chaos.judge import PATIENCE, Judge, Verdict
from chaos.people import People
from chaos.proxy import Answer, Call
from chaos.scene import Scene

HABITS = {"label": 2, "correct": 2, "import": 1}  # as many images come as are labeled


def failures(scene: Scene, *, seconds: float = 4.0, only: str = "") -> Verdict:
    """Let each failure last, and see after it that a new order is published and every label is known."""
    project = scene.project("failures")
    people = People(scene, project, habits=HABITS)
    slowest: dict[str, float] = {}
    with Judge(scene, project, "failures of Label Studio", [people]) as judge:
        chosen = [name for name in FAULTS if only in name]
        for number, name in enumerate(chosen, start=1):
            _begin(scene, name)
            scene.ask("PATCH", f"/api/v1/projects/{project}/settings", json={"seed": number}).raise_for_status()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                people.act()
                time.sleep(0.5)
            _end(scene, name)
            slowest[name] = _published(scene, project, number)
            if slowest[name] > PATIENCE:
                judge.verdict.faults.append(f"{name}: no new order {PATIENCE:.0f} s after it was over")
            print(f"    {name}: a new order {slowest[name]:.1f} s after it was over", flush=True)
        judge.verdict.did = f"{len(chosen)} failures, {seconds:g} s each"
    worst = max(slowest, key=lambda name: slowest[name])
    judge.verdict.figures["order_after_s"] = slowest[worst]
    judge.verdict.did += f"; the slowest recovery was from {worst!r}"
    return judge.verdict


def mixed(scene: Scene, *, seconds: float = 20.0) -> Verdict:
    """Let each call meet the next failure of the table."""
    project = scene.project("failures in turn")
    people = People(scene, project, habits=HABITS)
    turns, told = cycle(fault for fault in FAULTS.values() if fault is not silent_for_good), [0]

    def fault(call: Call) -> Answer | None:
        told[0] += 1
        return next(turns)(call)

    with Judge(scene, project, "failures of Label Studio in turn", [people]) as judge:
        scene.studio.begin(fault)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            people.act()
            time.sleep(0.5)
            scene.studio.hang_up()
        scene.studio.end()
        judge.verdict.did = f"another failure for each of {told[0]} calls in {seconds:g} s"
    return judge.verdict


def _begin(scene: Scene, name: str) -> None:
    scene.studio.begin(FAULTS[name])
    if name == "connection refused":
        scene.studio.close()


def _end(scene: Scene, name: str) -> None:
    if name == "connection refused":
        scene.studio.listen()
    scene.studio.end()


def _published(scene: Scene, project: int, seed: int) -> float:
    """Return the seconds until an order that was made with this seed is live in Label Studio."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) <= PATIENCE:
        orders = scene.ask("GET", f"/api/v1/projects/{project}/orders").json()["orders"]
        served = scene.api.project(project)["model_version"]
        if any(row["version"] == served and row["parameters"].get("random_state") == seed for row in orders):
            return waited
        time.sleep(0.3)
    return PATIENCE + 1
