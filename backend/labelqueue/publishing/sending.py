"""Sending an order's predictions, each of them once: a pre-label that Label Studio refuses costs itself, no order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..exceptions import LabelStudioError, NotFoundError, PublishError
from ..labels import Target, importable, result_of
from ..labelstudio import LabelStudio
from ..ordering import Place
from ..state import Project

__all__ = ["Sender"]

# Until this project's own costs are known. An import counts, and on PostgreSQL writes, every task of the project anew.
GUESSES = {"single_seconds": 0.1, "bulk_seconds": 1.0}
TASK_SECONDS = 1e-4  # of an import, for each task of the project
ROW_SECONDS = 0.0015  # of an import, for each prediction, besides what it takes for the project
TRIED = 2  # predictions sent one by one, before as many more are: what they cost now, they tell
# What is left, after each order, of the cost that was not measured, so that it is tried again: one by one soon, with
# `TRIED` of them; an import, which may take half a minute, seldom.
FADING = {"single_seconds": 0.8, "bulk_seconds": 0.97}
LONGER = 2.0  # what an import is taken to cost of which we did not wait for the end, as a multiple of how long we did
ONE_BY_ONE = 500  # predictions that are sent one by one because the import takes none of their form
HALVINGS = 20  # refused imports, of one order, in which the offenders are looked for

Row = dict[str, Any]


class Sender:
    """Sends predictions of one version.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    check : callable
        Raises when this job no longer holds the project's lock; called right before each write.
    target : Target
        What pre-labels are written for.
    version : str
        Of the predictions. Two of one version on one task would upset the order: nothing that may have been stored is
        ever sent again.

    Attributes
    ----------
    withheld : dict of int to str
        Task to why its prediction was sent without its pre-label.
    """

    def __init__(
        self, project: Project, client: LabelStudio, check: Callable[[], None], target: Target, version: str
    ) -> None:
        self._project = project
        self._client = client
        self._check = check
        self._target = target
        self._version = version
        self._refusals = 0
        self.withheld: dict[int, str] = {}

    def send(self, places: Sequence[Place], scores: Mapping[int, float]) -> bool:
        """Send the predictions of places, each with its task's score; return whether all were stored.

        Raises
        ------
        LabelStudioError
            With status 400 when Label Studio refused some altogether, most likely because a task is gone; any other
            is passed on.
        """
        rows = [
            {
                "task": place.task,
                "result": result_of(place.prelabel, self._target),
                "score": scores[place.task],
                "model_version": self._version,
            }
            for place in places
        ]
        if self._cheaper_singly(len(rows)):
            self._send_singly(rows[:TRIED])
            rows = rows[TRIED:]
            if not rows:
                return True
            if self._cheaper_singly(len(rows)):
                self._send_singly(rows)
                self._note_costs(bulk=self._faded("bulk_seconds"))
                return True
        alone = [] if importable(self._target) else [row for row in rows if row["result"]]
        for row in alone[ONE_BY_ONE:]:
            self._withhold(row, "its form can be sent one by one only, and so many would take too long")
        alone = alone[:ONE_BY_ONE]
        chosen = {row["task"] for row in alone}
        together = [row for row in rows if row["task"] not in chosen]
        start = time.monotonic()
        try:
            if together and not self._import(together):
                return False
        except LabelStudioError as error:
            if error.timed_out:  # nobody knows how long it would have taken; one by one may be the only way
                self._note_costs(bulk=LONGER * (time.monotonic() - start))
            raise
        if together:
            bulk = max(time.monotonic() - start - ROW_SECONDS * len(together), 0.0)
            self._note_costs(bulk=bulk, single=self._faded("single_seconds"))
        self._send_singly(alone)
        return True

    def _cheaper_singly(self, n: int) -> bool:
        """Tell whether predictions cost less one by one, the same in any project, than by an import, which recounts
        the whole project once."""
        return n * self._cost("single_seconds") < self._cost("bulk_seconds") + ROW_SECONDS * n

    def _cost(self, fact: str) -> float:
        if known := self._project.get(fact):
            return float(known)
        recounted = self._project.task_count() if fact == "bulk_seconds" else 0
        return max(GUESSES[fact], TASK_SECONDS * recounted)

    def _faded(self, fact: str) -> float:
        return FADING[fact] * self._cost(fact)

    def _note_costs(self, **seconds: float) -> None:
        self._project.set(**{f"{way}_seconds": f"{cost:.4f}" for way, cost in seconds.items()})

    def move(self, places: Sequence[Place], scores: Mapping[int, float]) -> None:
        """See to it that each of these tasks has one prediction of the version, with its score.

        One that is there keeps its id: somebody may have its form open, whose answer Label Studio would else refuse.
        """
        there: dict[int, list[tuple[int, float | None]]] = {}
        for task, prediction, at in self._client.predictions_at(
            self._project.ref.id, self._version, [place.task for place in places]
        ):
            there.setdefault(task, []).append((prediction, at))
        for place in places:
            mine = there.get(place.task, [])
            for prediction, at in mine[:1]:
                if at != scores[place.task]:
                    self._write(self._client.move_prediction, prediction, scores[place.task])
            for prediction, _ in mine[1:]:
                self._write(self._client.delete_prediction, prediction)
        known = self._project.task_rows([place.task for place in places])
        new = [place for place in places if place.task not in there and place.task in known]
        if not new:
            return
        try:
            complete = self.send(new, scores)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            complete = False
        if not complete:  # a task was deleted just now; the next look knows which
            raise PublishError(f"Label Studio did not store every moved prediction of {self._version!r}")

    def _write(self, call: Callable[..., None], *values: int | float) -> None:
        self._check()
        with suppress(NotFoundError):  # its task was deleted meanwhile
            call(*values)

    def _send_singly(self, rows: Sequence[Row]) -> None:
        start = time.monotonic()
        for row in rows:
            try:
                self._create(row)
            except LabelStudioError as error:
                if error.status != 400 or not row["result"]:
                    raise
                self._withhold(row, f"Label Studio refuses it: {error}")
                self._create(row)
        if rows:
            self._note_costs(single=(time.monotonic() - start) / len(rows))

    def _import(self, rows: Sequence[Row]) -> bool:
        """Import rows, without their pre-labels where these are refused; return whether all were stored."""
        try:
            self._check()
            created = self._client.import_predictions(self._project.ref.id, rows)
        except LabelStudioError as error:
            if error.status != 400 or not self._is_about_prelabels(rows):
                raise
            return self._import_less(rows, error)
        if created == len(rows):
            return True
        if not any(row["result"] for row in rows):
            return False
        # It drops what it does not like and does not say what: whatever is not there now was never stored.
        stored = self._client.predicted(self._project.ref.id, self._version)
        missing = [row for row in rows if row["task"] not in stored]
        if len(missing) != len(rows) - created or not all(row["result"] for row in missing):
            return False
        for row in missing:
            self._withhold(row, "Label Studio's import refuses it")
        self._check()
        return self._client.import_predictions(self._project.ref.id, missing) == len(missing)

    def _is_about_prelabels(self, rows: Sequence[Row]) -> bool:
        """Tell whether a refusal can be about pre-labels: there are some, and no task is gone."""
        tasks = [row["task"] for row in rows]
        return any(row["result"] for row in rows) and self._client.existing(self._project.ref.id, tasks) == set(tasks)

    def _import_less(self, rows: Sequence[Row], error: LabelStudioError) -> bool:
        """Import rows that were refused altogether, nothing being stored: by halves, down to the offenders."""
        self._refusals += 1
        if len(rows) > 1 and self._refusals <= HALVINGS:
            half = len(rows) // 2
            return self._import(rows[:half]) and self._import(rows[half:])
        amid = "" if len(rows) == 1 else "amid many others "
        for row in rows:
            if row["result"]:
                self._withhold(row, f"Label Studio refuses it {amid}({error})")
        return self._import(rows)

    def _create(self, row: Row) -> None:
        self._check()
        self._client.create_prediction(row)

    def _withhold(self, row: Row, why: str) -> None:
        row["result"] = []
        self.withheld[row["task"]] = why
