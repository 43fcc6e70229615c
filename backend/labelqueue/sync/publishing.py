"""Putting an order into Label Studio: import the head, then switch the whole queue with one PATCH."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..exceptions import LabelStudioError, PublishError
from ..labels import Target
from ..labelstudio import LabelStudio, Skipped
from ..ordering import Order, Place
from ..state import Orders, Project
from .reading import note_skipped
from .sending import Sender

__all__ = ["PLAIN_SAMPLING", "SAMPLING", "Publisher"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SAMPLING = "Uncertainty sampling"
PLAIN_SAMPLING = "Sequential sampling"  # what Label Studio starts projects with
TAB = "Order: don't label here"  # people who label "as displayed" there would all get the same task
ATTEMPTS = 3
COUNT_EVERY = 50.0  # seconds between two looks at how many predictions there are
VERSION = re.compile(r"r(\d+) ")  # how our version strings begin
NAMED = 5  # tasks whose pre-label is refused, by name


class Publisher:
    """Publishes the orders of one project.

    Parameters
    ----------
    project : Project
        Whose queue.
    client : LabelStudio
        The server.
    check : callable
        Raises when this job no longer holds the project's lock; called right before each visible write.
    seen : mapping
        The project as Label Studio showed it when this job began.
    target : Target
        What pre-labels are written for.
    """

    def __init__(
        self,
        project: Project,
        client: LabelStudio,
        check: Callable[[], None],
        seen: Mapping[str, Any],
        target: Target,
    ) -> None:
        self._project = project
        self._client = client
        self.check = check
        self._target = target
        self._seen = _queue_settings(seen)
        self._orders = Orders(project)

    def publish(self, order: Order) -> Order:
        """Publish a new order and switch the queue to it.

        Until the PATCH at the end the previous order stands. Every attempt has a version string of its own, since two
        predictions of one version on one task would upset the order.

        Parameters
        ----------
        order : Order
            Its number and version are replaced by fresh ones.

        Returns
        -------
        Order
            As it went live: without tasks that were deleted meanwhile.

        Raises
        ------
        PublishError
            When Label Studio did not take it.
        """
        name = order.version
        self._first_number()
        for _ in range(ATTEMPTS):
            number = self._orders.next_number()
            order = replace(order, number=number, version=f"r{number} {name}", created_at=time.time())
            sender = self._sender(order)
            try:
                complete = sender.send(0, order.places)
            except LabelStudioError as error:
                if error.status != 400:
                    raise
                complete = False
            if complete:
                break
            existing = self._client.existing(self._project.ref.id, [place.task for place in order.places])
            log.info("%s: %d of %d tasks still exist", order.version, len(existing), len(order.places))
            order = order.keeping(existing)
            if not order.places:
                raise PublishError("every task of the new order was deleted while it was made")
        else:
            raise PublishError(f"Label Studio did not store all predictions of {name!r} in {ATTEMPTS} attempts")
        remote = self._client.project(self._project.ref.id)
        # Before the first order there is nothing to respect, and Label Studio itself sets the version on connecting.
        if self._orders.live() is not None and _queue_settings(remote) != self._seen:
            raise PublishError("somebody changed the project's sampling or model version while an order was made")
        self._seen = _queue_settings(remote)
        self._orders.save(order)  # before the switch: its echo must find a version we know
        self.switch(order)
        self._project.set(hold="", refilling="", counted_at=str(time.time()))
        self._note_withheld(order, sender.withheld)
        self._save_tab()
        return order

    def lost(self, known: NDArray[np.int64]) -> str:
        """Return what Label Studio no longer has of the live order, for people; empty while it has everything.

        A person may delete predictions (Data Manager > Delete predictions): nothing tells, `model_version` stays, and
        Label Studio then serves at random.

        Parameters
        ----------
        known : ndarray of shape (n,), int64
            Tasks that exist; with a task its predictions go.
        """
        live = self._orders.live()
        if live is None or time.time() - float(self._project.get("counted_at") or 0) < COUNT_EVERY:
            return ""
        expected = int(np.isin([place.task for place in live.places], known).sum())
        stored = self._client.prediction_counts(self._project.ref.id).get(live.version, 0)
        self._project.set(counted_at=str(time.time()))
        if stored >= expected:
            return ""
        return f"{expected - stored} of {expected} predictions of {live.version!r} are gone from Label Studio"

    def switch(self, order: Order) -> None:
        """Make Label Studio serve an order whose predictions it has."""
        if not self._project.get("sampling_before"):
            _, before = self._seen
            self._project.set(sampling_before=before if before != SAMPLING else PLAIN_SAMPLING)
        self._write(self._client.update_project, self._project.ref.id, model_version=order.version, sampling=SAMPLING)
        self._seen = (order.version, SAMPLING)
        self._orders.go_live(order)

    def give_back(self) -> None:
        """Put the sampling back to what it was before we took the queue over."""
        before = self._project.get("sampling_before") or PLAIN_SAMPLING
        self._write(self._client.update_project, self._project.ref.id, sampling=before)
        self._seen = (self._seen[0], before)

    def refill(self, order: Order, places: Sequence[Place]) -> Order:
        """Append places to the live order under its version.

        Parameters
        ----------
        order : Order
            The live order with these places appended.
        places : sequence of Place
            Its last ones, which are not published yet.

        Raises
        ------
        PublishError
            When Label Studio did not take all of them; a new order then has to follow.
        """
        self.check()
        # If this job ends half-way, nobody knows which predictions were stored: a new order must follow, not a second
        # refill, which would give tasks two predictions of one version.
        self._project.set(refilling=order.version)
        sender = self._sender(order)
        try:
            complete = sender.send(len(order.places) - len(places), places)
        except LabelStudioError as error:
            raise PublishError(f"refilling {order.version!r} failed: {error}") from error
        if not complete:
            raise PublishError(f"Label Studio stored only a part of the refill of {order.version!r}")
        self._orders.save(order)
        self._note_withheld(order, sender.withheld)
        self._project.set(refilling="")
        return order

    def _sender(self, order: Order) -> Sender:
        return Sender(self._project, self._client, self.check, self._target, order.version)

    def _note_withheld(self, order: Order, withheld: Mapping[int, str]) -> None:
        """Remember, and say, which tasks of an order have no pre-label because Label Studio refuses it."""
        told = json.loads(self._project.get("refused_prelabels") or "{}")
        if told.get("version") != order.version:
            told = {"version": order.version, "count": 0, "first": []}
        lines = [f"task {task}: {why}" for task, why in withheld.items()]
        told |= {"count": told["count"] + len(lines), "first": [*told["first"], *lines][:NAMED]}
        self._project.set(refused_prelabels=json.dumps(told))
        if lines:
            some = "; ".join(lines[:NAMED])
            log.warning("%s: %d tasks go without the pre-label that they have: %s", order.version, len(lines), some)

    def _write(self, call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Make a call that others see the effect of, while this job still may."""
        self.check()
        return call(*arguments, **options)

    def _first_number(self) -> None:
        """Start above every version that the project has: after a loss of our state none may be published twice."""
        if not self._project.get("order_number"):
            used = [VERSION.match(version) for version in self._client.model_versions(self._project.ref.id)]
            self._project.set(order_number=str(max((int(match[1]) for match in used if match), default=0)))

    def _save_tab(self) -> None:
        """Keep the shared tab that shows the order to people."""
        try:
            skipped = Skipped()
            self._write(self._client.save_tab, self._project.ref.id, TAB, TAB_DATA, skipped=skipped)
            note_skipped(self._project, "tabs", skipped)
        except LabelStudioError as error:
            log.warning("the tab that shows the order could not be saved: %s", error)


def _queue_settings(remote: Mapping[str, Any]) -> tuple[str, str]:
    return str(remote.get("model_version") or ""), str(remote.get("sampling") or "")


HIDDEN = [
    f"tasks:{column}"
    for column in (
        "completed_at",
        "cancelled_annotations",
        "total_predictions",
        "annotators",
        "annotations_results",
        "annotations_ids",
        "file_upload",
        "storage_filename",
        "created_at",
        "updated_at",
        "updated_by",
        "avg_lead_time",
        "draft_exists",
        "ground_truth",
        "predictions_results",
        "inner_id",
        "reviewers",
    )
]


def _filter(column: str, operator: str, value: int) -> dict[str, str | int]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


TAB_DATA = {
    "type": "list",
    "target": "tasks",
    "ordering": ["tasks:predictions_score"],
    "filters": {
        "conjunction": "and",
        # Only predictions of the live version count here, and their scores are positive.
        "items": [_filter("predictions_score", "greater", 0), _filter("total_annotations", "equal", 0)],
    },
    "hiddenColumns": {"explore": HIDDEN, "labeling": HIDDEN},
}
