"""Kills: every process of the service, Redis and Label Studio are killed while people label and images arrive."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress

import psutil

from chaos.judge import Judge, Verdict
from chaos.people import People
from chaos.scene import Scene
from processes import until

# What is killed, and how often.
TARGETS = {"tending": 4, "embedding": 4, "web": 3, "redis": 2, "supervisor": 1, "label studio": 1}
BACK_AFTER = 60.0  # seconds at most until the next of its kind runs


def kills(scene: Scene, *, count: int = 60, workers: int = 1) -> Verdict:
    """Kill a process every few seconds, without a warning, beside people who work."""
    dice = random.Random(workers)
    more = dice.choices([*TARGETS], [*TARGETS.values()], k=max(0, count - len(TARGETS)))
    plan = dice.sample([*TARGETS, *more], count)
    scene.backend.stop()
    scene.serve(workers)
    project = scene.project(f"kills {workers}")
    away: list[float] = []
    people = People(scene, project, seed=workers)
    with Judge(scene, project, f"kills, {workers} embedding worker{'s' * (workers > 1)}", [people]) as judge:
        with people:
            for target in plan:
                time.sleep(dice.uniform(0.5, 2.5))
                away.append(_kill(scene, target, dice))
        killed = ", ".join(f"{target} {often}" for target, often in Counter(plan).most_common())
        judge.verdict.did = f"{len(away)} kills ({killed})"
    judge.verdict.figures["back_after_s"] = max(away)
    judge.verdict.faults += [f"one was away for {seconds:.0f} s" for seconds in away if seconds > BACK_AFTER]
    return judge.verdict


def _kill(scene: Scene, target: str, dice: random.Random) -> float:
    """Kill one; return the seconds until all of its kind run again."""
    if target == "label studio":
        began = time.monotonic()
        scene.kill_label_studio()
        return time.monotonic() - began
    wanted = int(scene.backend.environment["LABELQUEUE_WORKERS"]) if target == "embedding" else 1
    victim = dice.choice(until(lambda: scene.processes(target), BACK_AFTER, f"{target} to be killed"))
    began = time.monotonic()
    with suppress(psutil.Error):
        victim.kill()
    if target == "supervisor":
        scene.serve_again()
    until(lambda: sum(one != victim for one in scene.processes(target)) == wanted, 2 * BACK_AFTER, target)
    return time.monotonic() - began
