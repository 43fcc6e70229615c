"""Where a project's orders are kept, and which one is live."""

from __future__ import annotations

import logging

from ..exceptions import CacheError
from ..ordering import Order
from .project import Project

__all__ = ["Orders"]

log = logging.getLogger(__name__)


class Orders:
    """The orders of a project, newest last, and the live one."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._store = project.store
        self._key = project.name("orders")
        self._inputs = project.name("order_inputs")

    def next_number(self) -> int:
        """Return a number no attempt used before: a version string must never be published twice."""
        return self._project.count("order_number")

    def save(self, order: Order) -> None:
        """Keep an order's record, and its inputs where they are new."""
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hset(self._key, str(order.number), order.dump())
            if order.inputs:
                pipe.hset(self._inputs, str(order.number), order.inputs)
            pipe.execute()

    def inputs(self, number: int) -> bytes:
        """Return what an order was made of, as `ordering.load_inputs` reads it; empty when that is not on record."""
        raw = self._store.hget(self._inputs, str(number))
        return raw if isinstance(raw, bytes) else b""

    def go_live(self, order: Order) -> None:
        """Remember that Label Studio now serves this order."""
        self._project.set(live=str(order.number))

    def live(self) -> Order | None:
        """Return the order Label Studio serves, or None before the first."""
        number = self._project.get("live")
        return self.get(int(number)) if number else None

    def get(self, number: int) -> Order | None:
        """Return one order."""
        raw = self._store.hget(self._key, str(number))
        return None if raw is None else self._load(raw)

    def _load(self, raw: bytes | str) -> Order | None:
        try:
            return Order.load(raw)
        except CacheError as error:
            log.warning("project %d: an order of another version is passed over: %s", self._project.ref.id, error)
            return None

    def by_version(self, version: str) -> Order | None:
        """Return the order published under this version string."""
        return next((order for order in self.all() if order.version == version), None)

    def all(self) -> list[Order]:
        """Return every order, oldest first."""
        found = (self._load(raw) for raw in self._store.hvals(self._key))
        return sorted((order for order in found if order is not None), key=lambda order: order.number)
