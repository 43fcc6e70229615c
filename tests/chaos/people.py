"""People at work in Label Studio: they label, correct, delete, skip and import, whatever goes on around them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from requests import RequestException

from chaos.scene import Scene

# What people do, and how often.
HABITS = {"label": 70, "skip": 6, "correct": 8, "delete": 6, "import": 8, "delete task": 2}
CLASSES = ("disc", "star")


class People(threading.Thread):
    """One who works in a project until told to stop.

    Parameters
    ----------
    scene : Scene
    project : int
    pace : float
        Seconds between two things that they do.
    seed : int
    habits : mapping of str to number

    Attributes
    ----------
    submitted : dict of int to float
        Annotation to when Label Studio had it, by `time.monotonic()`.
    did : Counter of str
        What they did; `refused` is what Label Studio did not take, being down or locked.
    """

    def __init__(
        self, scene: Scene, project: int, *, pace: float = 0.7, seed: int = 0, habits: Mapping[str, float] = HABITS
    ) -> None:
        super().__init__(daemon=True)
        self._scene, self._api, self._project, self._pace = scene, scene.login(), project, pace
        self._random, self._habits = random.Random(seed), habits
        self._over = threading.Event()
        self.submitted: dict[int, float] = {}
        self.did: Counter[str] = Counter()

    def run(self) -> None:
        self.act("label")
        while not self._over.wait(self._pace * self._random.uniform(0.5, 1.5)):
            self.act()
        self.close()

    def __enter__(self) -> People:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()
        self.join()

    def close(self) -> None:
        self._api.close()

    def leave(self) -> None:
        """Stop after what they are at."""
        self._over.set()

    def act(self, what: str = "") -> None:
        """Do something; being refused is no reason to stop."""
        what = what or self._random.choices([*self._habits], [*self._habits.values()])[0]
        try:
            getattr(self, "_" + what.replace(" ", "_"))()
            self.did[what] += 1
        except (AssertionError, RequestException):
            self.did["refused"] += 1

    def _label(self) -> None:
        self._annotate(self._next(), self._random.choice(CLASSES))

    def _skip(self) -> None:
        self._annotate(self._next(), skip=True)

    def _next(self) -> int:
        with suppress(AssertionError):  # nothing is left: somebody else's task, once more
            return int(self._api.next(self._project)["id"])
        return self._random.choice(self._api.task_ids(self._project))

    def _annotate(self, task: int, *choices: str, skip: bool = False) -> None:
        number = self._api.annotate(task, *choices, skip=skip)["id"]
        self.submitted[number] = time.monotonic()

    def _mine(self) -> int:
        if not self.submitted:
            self._label()
        return self._random.choice([*self.submitted])

    def _correct(self) -> None:
        value = {"choices": [self._random.choice(CLASSES)]}
        result = [{"from_name": "choice", "to_name": "image", "type": "choices", "value": value}]
        self._api.call("PATCH", f"/api/annotations/{self._mine()}/", json={"result": result, "was_cancelled": False})

    def _delete(self) -> None:
        number = self._mine()
        self.submitted.pop(number)
        self._api.delete_annotation(number)

    def _import(self) -> None:
        self._api.import_images(self._project, self._scene.images(2))

    def _delete_task(self) -> None:
        self._api.delete_tasks(self._project, [self._random.choice(self._api.task_ids(self._project))])
