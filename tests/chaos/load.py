"""Load: webhooks at a rate beside training and embedding, beside slow callers, and a day's events in an hour."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from chaos.judge import Judge, Verdict
from chaos.people import People
from chaos.scene import Scene

RATE = 50.0  # webhooks a second
# What a team of twenty does in a day; people are as fast as their day is short.
DAY = {"label": 8000, "skip": 400, "correct": 500, "delete": 250, "import": 400, "delete task": 50}
TEAM = 4  # who share it here: Label Studio takes one write at a time


def acknowledged(scene: Scene, *, seconds: float = 30.0) -> Verdict:
    """Webhooks at `RATE` a second beside training and embedding, and nobody else on the machine."""
    project = scene.project("acknowledged")
    people = People(scene, project)
    for _ in range(20):
        people.act("label")
    with Judge(scene, project, "acknowledgements", [people]) as judge:
        with _at_work(scene, project), _webhooks(scene, project, seconds) as times:
            pass
        _tell(judge.verdict, times, "beside training and embedding")
        judge.verdict.figures["p99_ms"] = judge.verdict.figures.pop("p99_told_ms")
    return judge.verdict


def slow(scene: Scene, *, seconds: float = 30.0) -> Verdict:
    """Webhooks beside 450 callers that drip their headers or bodies, or keep their lines."""
    project = scene.project("slow callers")
    people = People(scene, project)
    with Judge(scene, project, "slow callers", [people]) as judge:
        with scene.child("chaos.slow_callers", scene.backend.port), people:
            time.sleep(4)  # all of them hold a line
            with _webhooks(scene, project, seconds) as times:
                pass
        _tell(judge.verdict, times, "beside 450 slow callers")
    return judge.verdict


def day(scene: Scene, *, minutes: float = 4.0) -> Verdict:
    """Some minutes of an hour in which a team does what it does in a day, beside webhooks at `RATE` a second."""
    project = scene.project("a day")
    pace = 3600 * TEAM / sum(DAY.values())
    team = [People(scene, project, pace=pace, seed=number, habits=DAY) for number in range(TEAM)]
    with Judge(scene, project, "a day's events in an hour", team) as judge:
        began = time.monotonic()
        with _webhooks(scene, project, 60 * minutes) as times, _all(team):
            time.sleep(60 * minutes)
        did = sum((people.did for people in team), team[0].did.__class__())
        rate = 3600 * did.total() / (time.monotonic() - began)
        _tell(judge.verdict, times, f"beside {did.total():,} acts, {rate:,.0f} an hour of {sum(DAY.values()):,} a day")
    return judge.verdict


@contextmanager
def _all(team: list[People]) -> Iterator[None]:
    """Let them work, and send them home at once."""
    for people in team:
        people.start()
    yield
    for people in team:
        people.leave()
    for people in team:
        people.join()


@contextmanager
def _at_work(scene: Scene, project: int) -> Iterator[None]:
    """Keep images coming, so that there is always one to embed; trainings come with the webhooks."""
    over = threading.Event()

    def bring() -> None:
        api = scene.login()
        while not over.wait(2):
            api.import_images(project, scene.images(random.randrange(10, 20)))
        api.close()

    thread = threading.Thread(target=bring, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _webhooks(scene: Scene, project: int, seconds: float) -> Iterator[list[tuple[float, int]]]:
    """Send webhooks about a project's tasks meanwhile; the list is filled in the end."""
    created_at, tasks = scene.api.project(project)["created_at"], scene.api.task_ids(project)
    found: list[tuple[float, int]] = []
    arguments = (scene.backend.url, RATE, seconds, project, created_at, *tasks)
    with scene.child("chaos.caller", *arguments) as process:
        yield found
        output, _ = process.communicate(timeout=seconds + 120)
        found += [(took, status) for took, status in json.loads(output)]
    for _, status in found:
        scene.answers[status] += 1


def _tell(verdict: Verdict, times: list[tuple[float, int]], beside: str) -> None:
    milliseconds = np.array([took for took, _ in times])
    verdict.did = f"{len(times):,} webhooks at {RATE:g}/s {beside}"
    verdict.figures["p99_told_ms"] = float(np.quantile(milliseconds, 0.99))
    verdict.figures["longest_ms"] = float(milliseconds.max())
    if bad := [status for _, status in times if status != 201]:
        verdict.faults.append(f"{len(bad)} webhooks were not accepted, such as one with status {bad[0]}")
