"""The judge: what is seen while a storm rages, and after it the truth from Label Studio against what is known here."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from redis import RedisError

from chaos.people import People
from chaos.scene import Scene
from labelqueue.jobs import in_flight
from labelqueue.state import Journal, LabelBook, Orders, Project

PATIENCE = 120.0  # seconds in which everything has to be known
BEAT = 0.5
UNCERTAINTY = "Uncertainty sampling"
# What a storm may cost at most.
LIMITS = {
    "unknown": 0,
    "wrong": 0,
    "twice": 0,
    "500": 0,
    "stall_s": 60,
    "web_mb": 150,
    "p99_ms": 50,
}

Label = tuple[int, str, bool]  # task, class, whether it is a skip


@dataclass
class Verdict:
    """What a storm came to.

    Attributes
    ----------
    storm, did : str
        Its name, and what was done.
    figures : dict of str to float
        Those of `LIMITS` are held against them: labels unknown after `PATIENCE`, things wrong in the queue, predictions
        too many, answers 500, the longest stall and the web process. Others are only told.
    faults : list of str
        What is wrong, in words.
    """

    storm: str
    did: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def over(self) -> list[str]:
        """What is beyond its limit, and what else is wrong."""
        found = [
            f"{name} {value:g} is more than {LIMITS[name]}"
            for name, value in self.figures.items()
            if name in LIMITS and value > LIMITS[name]
        ]
        return found + self.faults


class Judge:
    """Watches one project from the beginning of a storm, and judges after it.

    Parameters
    ----------
    scene : Scene
    project : int
    storm : str
        Its name.
    people : collection of People
        Whose submissions are timed.
    """

    def __init__(self, scene: Scene, project: int, storm: str, people: Collection[People] = ()) -> None:
        self._scene, self._project, self._people = scene, project, people
        self._ours = scene.known(project)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before, self._began = scene.answers[500], time.monotonic()
        self._seen: dict[int, float] = {}  # annotation to the seconds until it was known
        self._stall = self._memory = 0.0
        self.verdict = Verdict(storm)

    def __enter__(self) -> Judge:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """The storm is over, and the people have gone home: judge."""
        try:
            if error[0] is None:
                self._judge()
        finally:
            self._over.set()
            self._thread.join()
            for people in self._people:
                people.close()
        figures = self.verdict.figures
        figures |= {"500": self._scene.answers[500] - self._before, "stall_s": self._stall, "web_mb": self._memory}
        if self._seen:
            figures["slowest_s"] = max(self._seen.values())

    # -- while it rages

    def _watch(self) -> None:
        """Sample the web process, the labels that become known, and the time that work waits and nothing moves."""
        last, since = None, time.monotonic()
        while not self._over.wait(BEAT):
            for one in self._scene.processes("web"):
                with suppress(psutil.Error):
                    self._memory = max(self._memory, one.memory_info().rss / 1e6)
            try:
                waits, now = self._progress()
            except (RedisError, OSError):  # it was killed: whatever waited, waits
                waits, now = True, last
            if now != last or not waits:
                last, since = now, time.monotonic()
            self._stall = max(self._stall, time.monotonic() - since)

    def _progress(self) -> tuple[bool, Any]:
        """Return whether anything waits here, and all that changes when it goes on."""
        ours, info = self._ours, self._ours.info()
        book = {one.id for said in LabelBook(ours).annotations().values() for one in said}
        for people in self._people:
            for number, when in [*people.submitted.items()]:
                if number in book and when >= self._began:
                    self._seen.setdefault(number, time.monotonic() - when)
        journal, images = len(Journal(ours)), ours.store.zcard(ours.name("pending")) + len(in_flight(ours))
        rows = ours.store.hlen(ours.name("cache", info.get("generation", ""), "rows"))
        return bool(journal or images), (frozenset(book), journal, images, rows, _live(ours))

    # -- after it

    def _judge(self) -> None:
        truth = self._truth()
        began = time.monotonic()
        while True:
            unknown, wrong = self._unknown(truth), self._wrong(truth)
            if not (unknown or wrong) or time.monotonic() - began > PATIENCE:
                break
            time.sleep(1)
        twice = {key: count for key, count in self._predictions().items() if count > 1}
        self.verdict.figures |= {
            "labels": len(truth),
            "known_after_s": time.monotonic() - began,
            "unknown": len(unknown),
            "wrong": len(wrong),
            "twice": sum(twice.values()) - len(twice),
        }
        self.verdict.faults += [*unknown[:3], *wrong[:3], *(f"predicted twice: {key}" for key in [*twice][:3])]

    def _tasks(self) -> list[dict[str, Any]]:
        answer = self._scene.api.call("GET", f"/api/tasks?project={self._project}&page_size=10000&fields=all")
        return list(answer["tasks"])

    def _truth(self) -> dict[int, Label]:
        """Return every annotation that Label Studio has."""
        found = {}
        for task in self._tasks():
            for one in task["annotations"]:
                said = [choice for part in one["result"] for choice in part["value"]["choices"]]
                found[one["id"]] = task["id"], " ".join(said), bool(one["was_cancelled"])
        return found

    def _unknown(self, truth: dict[int, Label]) -> list[str]:
        """Name what is known otherwise here, or not at all, or is known and not there."""
        try:
            book = LabelBook(self._ours).annotations()
        except (RedisError, OSError) as error:
            return [f"nothing is known: {error}"]
        known: dict[int, Label] = {}
        for task, said in book.items():
            for one in said:
                paths = one.answers["choice"].paths if "choice" in one.answers else ()
                known[one.id] = task, " ".join(path[-1] for path in paths), one.cancelled
        return [
            f"annotation {number} is {truth.get(number)} in Label Studio and {known.get(number)} here"
            for number in sorted(truth.keys() | known.keys())
            if truth.get(number) != known.get(number)
        ]

    def _predictions(self) -> Counter[tuple[int, str]]:
        found = self._scene.api.call("GET", f"/api/predictions/?project={self._project}")
        rows = found if isinstance(found, list) else found["results"]
        self._scores = {(row["task"], row["model_version"]): row["score"] for row in rows}
        return Counter((row["task"], row["model_version"]) for row in rows)

    def _wrong(self, truth: dict[int, Label]) -> list[str]:
        """Say in what Label Studio's queue is not the one that is live here."""
        with suppress(RedisError, OSError):
            live, info = Orders(self._ours).live(), self._ours.info()
            remote = self._scene.api.project(self._project)
            found = [f"{name}: {info[name]}" for name in ("paused", "hold", "error") if info.get(name)]
            if remote["sampling"] != UNCERTAINTY:
                found.append(f"sampling is {remote['sampling']}")
            served = remote["model_version"]
            if live is None or served != live.version:
                return [
                    *found,
                    f"Label Studio serves {served!r} and {live and live.version!r} is live",
                ]
            self._predictions()
            open_tasks = {task["id"] for task in self._tasks()} - {task for task, *_ in truth.values()}
            order = [place.task for place in live.places if place.task in open_tasks]
            scores = [self._scores.get((task, live.version)) for task in order]
            if missing := [task for task, score in zip(order, scores, strict=True) if score is None]:
                found.append(f"{len(missing)} tasks of {live.version} have no prediction, such as {missing[0]}")
            elif scores != sorted(scores):
                found.append(f"{live.version} is served in another order")
            return found
        return ["Redis does not answer"]


def _live(project: Project) -> str:
    live = Orders(project).live()
    return live.version if live else ""
