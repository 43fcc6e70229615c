"""Where a project's orders are kept, and which one is live."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from ..exceptions import CacheError
from ..ordering import Order
from ..store import drop_fields, scan_fields
from .project import Project

__all__ = ["KEPT", "WHOLE", "Orders"]

# Of the hash. 0.1.0 cannot read a record with a field that it does not know: it keeps its own, which is read here too,
# whether it ran before or runs beside.
FORMAT = "2"
log = logging.getLogger(__name__)

KEPT = 3  # orders whose predictions stay in Label Studio: the live one, and the two that were live before it
SUMMARIES = 2000  # newest orders of which there is anything on record
WHOLE = 50  # newest orders that stay on record with their places; of older ones there is a summary


class Orders:
    """The orders of a project, newest last, and the live one."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._store = project.store
        self._key, self._before = project.name("orders", FORMAT), project.name("orders")
        self._inputs = project.name("order_inputs")

    def next_number(self) -> int:
        """Return a number no attempt used before: a version string must never be published twice."""
        return self._project.count("order_number")

    def last_number(self) -> int:
        """Return the number that was given last, 0 before the first."""
        return int(self._project.get("order_number") or 0)

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
        served = self._served()
        if not served or served[0][0] != order.number:
            served = [(order.number, time.time()), *served][:WHOLE]
        named = f"{order.number} {order.version}"
        self._project.set(live=str(order.number), served=json.dumps(served), live_named=named)

    def kept(self) -> list[Order]:
        """Return the orders whose predictions stay in Label Studio, the one that went live last first."""
        return [order for number in self._kept() if (order := self.get(number)) is not None]

    def live_at(self, moment: float) -> Order | None:
        """Return the order that was live at a Unix time, as far as that is remembered."""
        number = next((number for number, since in self._served() if since <= moment), None)
        return None if number is None else self.get(number)

    def _kept(self) -> list[int]:
        return list(dict.fromkeys(number for number, _ in self._served()))[:KEPT]

    def _served(self) -> list[tuple[int, float]]:
        """Return which orders went live last and since when (Unix time), the newest first."""
        if raw := self._project.get("served"):
            return [(int(number), float(since)) for number, since in json.loads(raw)]
        # Version 0.1.0 did not write it down: the newest ones come next to the live one.
        live = self._project.get("live")
        newest = [*([int(live)] if live else []), *self.numbers()[:KEPT]]
        orders = [self.get(number) for number in dict.fromkeys(newest)]
        return [(order.number, order.created_at) for order in orders if order is not None]

    def summarize_old(self) -> None:
        """Keep only a summary of orders that are neither among the newest nor among those kept in Label Studio."""
        numbers = self.numbers()
        whole = {*numbers[:WHOLE], *self._kept()}
        old = [number for number in numbers if number not in whole]
        for order in (self.get(number) for number in old):
            if order is not None and order.places:
                self.save(order.summary())
        drop_fields(self._store, self._inputs, [str(number) for number in old])
        for key in (self._key, self._before):
            drop_fields(self._store, key, [str(number) for number in old if number not in numbers[:SUMMARIES]])

    def numbers(self) -> list[int]:
        """Return the numbers of all orders, newest first."""
        return sorted({int(raw) for key in (self._key, self._before) for raw in self._store.hkeys(key)}, reverse=True)

    def live(self) -> Order | None:
        """Return the order Label Studio serves, or None before the first."""
        number = self._project.get("live")
        return self.get(int(number)) if number else None

    def live_version(self, info: Mapping[str, str]) -> str:
        """Return the version of the live order, empty before the first, without looking at its places.

        Parameters
        ----------
        info : mapping of str to str
            The project's facts.
        """
        number, _, version = info.get("live_named", "").partition(" ")
        if info.get("live", "") == number:  # else it went live by another way: an earlier version, or a backup
            return version
        order = self.live()
        return order.version if order is not None else ""

    def get(self, number: int) -> Order | None:
        """Return one order."""
        raw = self._store.hget(self._key, str(number)) or self._store.hget(self._before, str(number))
        return None if raw is None else self._load(raw, _parsed)

    def _load(self, raw: bytes | str, parse: Callable[[bytes | str], Order] = Order.load) -> Order | None:
        try:
            return parse(raw)
        except CacheError as error:
            log.warning("project %d: an order of another version is passed over: %s", self._project.ref.id, error)
            return None

    def by_version(self, version: str) -> Order | None:
        """Return the order published under this version string."""
        return next((order for order in self.all() if order.version == version), None)

    def all(self) -> list[Order]:
        """Return every order, oldest first."""
        found: dict[bytes, Order | None] = {}
        for key in (self._before, self._key):
            for part in scan_fields(self._store, key, large=True):
                found |= {field: self._load(raw) for field, raw in part.items()}
        return sorted((order for order in found.values() if order is not None), key=lambda order: order.number)


@lru_cache(maxsize=4)  # a look asks for the live one several times, and so does the next
def _parsed(raw: bytes | str) -> Order:
    return Order.load(raw)
