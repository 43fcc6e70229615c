"""Orders that a project had, published one after the other."""

from __future__ import annotations

from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders


def publish(project, *strategies):
    """Let a project have an order of one task by each of the strategies, as 0.1.0 called them; the last stays live."""
    orders = Orders(project)
    for strategy in strategies:
        number = orders.next_number()
        order = Order(
            number=number, version=f"r{number} {strategy}", strategy=strategy, parameters={}, generation="g",
            arrivals=1, labeled=0, embedded=1, created_at=0.0, places=(Place(1, "why"),),
        )  # fmt: skip
        orders.save(order)
        orders.go_live(order)
