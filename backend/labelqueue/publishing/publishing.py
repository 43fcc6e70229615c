"""Putting an order into Label Studio: import the head, then switch the whole queue with one PATCH."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from ..exceptions import LabelStudioError, PublishError
from ..labels import ANNOTATED, Target
from ..labelstudio import SAMPLING, LabelStudio
from ..ordering import Order, Place, arranged, inputs_again, moved
from ..state import Orders, Project
from ..telemetry import count
from .intents import change_project
from .sending import Sender
from .tab import save_tab
from .versions import highest_number, new_tag, tag_of, version_string

__all__ = ["PLAIN_SAMPLING", "SAMPLING", "Publisher"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PLAIN_SAMPLING = "Sequential sampling"  # what Label Studio starts projects with
ATTEMPTS = 3
COUNT_EVERY = 50.0  # seconds between two looks at how many predictions there are
KEPT = 5  # orders of which is known what is still to be moved
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

    def publish(self, order: Order, *, hold: str = "") -> Order:
        """Publish a new order and switch the queue to it.

        Until the PATCH at the end the previous order stands. Every attempt has a version string of its own, since two
        predictions of one version on one task would upset the order.

        Parameters
        ----------
        order : Order
            Its number and version are replaced by fresh ones.
        hold : str
            Why it is kept from now on; empty for an order that gives way to the next.

        Returns
        -------
        Order
            As it went live: without tasks that were deleted meanwhile.

        Raises
        ------
        PublishError
            When Label Studio did not take it.
        """
        name, tag = order.version, self._tag()
        self._project.set(tidied="")
        for _ in range(ATTEMPTS):
            number = self._orders.next_number()
            order = replace(order, number=number, version=version_string(number, tag, name), created_at=time.time())
            sender = self._sender(order)
            try:
                complete = sender.send(order.queue, order.scores)
            except LabelStudioError as error:
                if error.status != 400:
                    raise
                complete = False
            if complete:
                break
            existing = self._client.existing(self._project.ref.id, list(order.scores))
            log.info("%s: %d of %d tasks still exist", order.version, len(existing), len(order.scores))
            order = _keeping(order, existing)
            if not order.scores:
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
        self._project.set(hold=hold, refilling="", behind="", counted_at=str(time.time()))
        self._note_withheld(order, sender.withheld)
        self._orders.summarize_old()
        save_tab(self._project, self._client, self.check)
        return order

    def restore(self, order: Order, how: str, *, hold: bool = True) -> Order | None:
        """Make an order live again exactly as it was.

        While Label Studio has all its predictions, that is one PATCH. Else it is published again, under a version of
        its own, for the tasks that are left to label.

        Parameters
        ----------
        order : Order
            With its places.
        how : str
            By whose choice, for people.
        hold : bool
            Whether it is kept from now on.

        Returns
        -------
        Order or None
            The one that is live now; None when no task of it is left to label.
        """
        behind = self._project.get("behind")  # then only a version of its own ends that
        if not behind and self._is_whole(order) and self.serve(order):
            self._project.set(hold=f"{order.version!r} {how}" if hold else "")
            count("orders_total", project=self._project.key, kind="again")
            return order
        rows = self._project.task_rows([place.task for place in order.places])
        left = order.keeping({task for task, row in rows.items() if row.state != ANNOTATED})
        if not left.places:
            return None
        again = replace(
            left,
            version=f"back to r{order.origin}",
            labeled=order.labeled + len(order.places) - len(left.places),
            why=f"{order.version!r} {how}, and Label Studio no longer had all of its predictions",
            again=order.origin,
            inputs=inputs_again(self._orders.inputs(order.number)),
        )
        kept = f"{order.version!r} {how} and is published again" if hold else ""
        order = self.publish(again, hold=kept)
        count("orders_total", project=self._project.key, kind="again")
        return order

    def _is_whole(self, order: Order) -> bool:
        """Tell whether Label Studio has every prediction of an order; with a task its predictions go."""
        stored = self._client.prediction_counts(self._project.ref.id).get(order.version, 0)
        return 0 < stored >= self._expected(order)

    def _expected(self, order: Order) -> int:
        return len(self._project.task_rows(list(order.scores)))

    def serve(self, order: Order) -> bool:
        """Switch to an order and tell whether Label Studio has predictions of it."""
        try:
            self.switch(order)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            return False
        return True

    def lost(self) -> str:
        """Return what Label Studio no longer has of the live order, or we of Label Studio's, for people; empty while
        both have everything.

        A person may delete predictions (Data Manager > Delete predictions): nothing tells, `model_version` stays, and
        Label Studio then serves at random. And what is stored here may have lost its end, with refills and orders
        that Label Studio has: publishing goes on from what is there, never under a version that was used.
        """
        if behind := self._project.get("behind"):
            return behind
        live = self._orders.live()
        if live is None or time.time() - float(self._project.get("counted_at") or 0) < COUNT_EVERY:
            return ""
        counts, last = self._client.prediction_counts(self._project.ref.id), self._orders.last_number()
        self._project.set(counted_at=str(time.time()))
        stored, expected = counts.get(live.version, 0), self._expected(live)
        if (there := highest_number(counts)) > last:
            return self.fall_behind(
                f"Label Studio has orders up to r{there}, and only those up to r{last} are on record"
            )
        if stored > len(live.scores):
            return self._unrecorded(live, stored, len(live.scores))
        if stored >= expected:
            return ""
        return f"{expected - stored} of {expected} predictions of {live.version!r} are gone from Label Studio"

    def fall_behind(self, reason: str) -> str:
        """Note that what is stored here is older than what Label Studio has, and return why: the next order gets
        another tag, and everything is read again."""
        if self._project.get("behind") != reason:  # it stays while there is nothing to publish
            log.warning("project %d: %s; a new order follows", self._project.ref.id, reason)
            self._project.set(behind=reason, tag="", want_full="1")
        return reason

    def _unrecorded(self, order: Order, stored: int, recorded: int) -> str:
        return self.fall_behind(
            f"Label Studio has {stored} predictions of {order.version!r}, and only {recorded} are on record"
        )

    def switch(self, order: Order) -> None:
        """Make Label Studio serve an order whose predictions it has."""
        if not self._project.get("sampling_before"):
            _, before = self._seen
            self._project.set(sampling_before=before if before != SAMPLING else PLAIN_SAMPLING)
        self._change(model_version=order.version, sampling=SAMPLING)
        self._seen = (order.version, SAMPLING)
        self._orders.go_live(order)

    def give_back(self) -> None:
        """Put the sampling back to what it was before we took the queue over."""
        before = self._project.get("sampling_before") or PLAIN_SAMPLING
        self._change(sampling=before)
        self._seen = (self._seen[0], before)

    def refill(self, order: Order, places: Sequence[Place], scores: Mapping[int, float] | None = None) -> Order:
        """Append places to the live order under its version.

        Parameters
        ----------
        order : Order
            The live order with these places appended.
        places : sequence of Place
            Its last ones, which are not published yet, but for tasks that were pinned.
        scores : mapping of int to float, optional
            Of their tasks, where `rearrange` follows that gives them others than those of their ranks.

        Raises
        ------
        PublishError
            When Label Studio did not take all of them; a new order then has to follow.
        """
        self.check()
        places = [place for place in places if place.task not in order.overlay.scores]
        self._check_record(order, places)
        # If this job ends half-way, nobody knows which predictions were stored: a new order must follow, not a second
        # refill, which would give tasks two predictions of one version.
        self._project.set(refilling=order.version)
        sender = self._sender(order)
        try:
            complete = sender.send(places, scores or order.scores) if places else True
        except LabelStudioError as error:
            raise PublishError(f"refilling {order.version!r} failed: {error}") from error
        if not complete:
            raise PublishError(f"Label Studio stored only a part of the refill of {order.version!r}")
        self._orders.save(order)
        self._note_withheld(order, sender.withheld)
        self._project.set(refilling="")
        return order

    def rearrange(self, order: Order, wanted: Order) -> Order:
        """Give tasks of the live order other scores under its version, and tasks that are new in its queue theirs.

        Parameters
        ----------
        order : Order
            As it is published.
        wanted : Order
            The same, with another overlay; see `ordering.arranged`.

        Notes
        -----
        What is wanted is on record first. If this job ends half-way, the next look goes on, in `settle`.
        """
        self.check()
        if tasks := moved(order, wanted) | self._unmoved().get(wanted.version, set()):
            self._note_unmoved({**self._unmoved(), wanted.version: tasks})
        self._orders.save(wanted)
        self.settle()
        return wanted

    def settle(self) -> None:
        """See to it that Label Studio has the scores that are on record, of the tasks whose were to be changed last."""
        live, unmoved = self._orders.live(), self._unmoved()
        if live is None or live.version not in unmoved:
            return
        tasks, sender = unmoved.pop(live.version), self._sender(live)
        sender.move([place for place in live.queue if place.task in tasks], live.scores)
        self._note_withheld(live, sender.withheld)
        self._note_unmoved(unmoved)

    def _unmoved(self) -> dict[str, set[int]]:
        """Return the tasks, by version, whose scores a job began to change and did not finish with."""
        told = json.loads(self._project.get("moving") or "{}")
        return {version: set(tasks) for version, tasks in told.items()}

    def _note_unmoved(self, unmoved: Mapping[str, Collection[int]]) -> None:
        newest = list(unmoved.items())[-KEPT:]
        self._project.set(moving=json.dumps({version: sorted(tasks) for version, tasks in newest}))

    def _check_record(self, order: Order, more: Sequence[Place]) -> None:
        """Raise PublishError when a task would get a second prediction of the live order's version."""
        stored = self._client.prediction_counts(self._project.ref.id).get(order.version, 0)
        recorded = self._expected(order) - len(self._project.task_rows([place.task for place in more]))
        if stored > recorded:
            there = self._client.predicted(self._project.ref.id, order.version)
            if not there.isdisjoint(place.task for place in more):
                raise PublishError(self._unrecorded(order, stored, recorded))

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

    def _change(self, **values: str) -> None:
        change_project(self._project, self._client, self.check, **values)

    def _write(self, call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Make a call that others see the effect of, while this job still may."""
        self.check()
        return call(*arguments, **options)

    def _tag(self) -> str:
        """Return the tag of our version strings, a new one when what is stored is missing or older than Label Studio's
        predictions; numbers go on above the highest there."""
        versions = self._client.prediction_counts(self._project.ref.id)
        tag, used = self._project.get("tag"), self._project.get("tags").split()
        there, last = highest_number(versions), self._orders.last_number()
        if not tag or there > last:
            tag = new_tag({*used, *map(tag_of, versions)})
            self._project.set(tag=tag, tags=" ".join([*used, tag]), order_number=str(max(there, last)))
        return tag


def _keeping(order: Order, tasks: Collection[int]) -> Order:
    """Return an order that is not published yet without the tasks that are gone, the others arranged as they were."""
    overlay, left = order.overlay, order.keeping(tasks)
    pins = [pin for pin in overlay.pins if pin.task in tasks]
    return arranged(left, pins, overlay.excluded, act=overlay.act, fresh=True) or left


def _queue_settings(remote: Mapping[str, Any]) -> tuple[str, str]:
    return str(remote.get("model_version") or ""), str(remote.get("sampling") or "")
