"""Orders come back as they were kept, and one of them is live."""

from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders


def order(tasks=(3, 1, 2), **changes) -> Order:
    places = tuple(Place(task, "why") for task in tasks)
    base = {"number": 1, "version": "r1 FreeSel", "strategy": "FreeSel", "parameters": {"seed": 0}, "generation": "gen"}
    base |= {"arrivals": 3, "labeled": 0, "embedded": 3, "created_at": 1.0, "places": places}
    return Order(**{**base, **changes})


def test_records_come_back(project):
    orders = Orders(project)
    assert orders.live() is None
    places = (
        Place(3, "why"),
        Place(1, "drawn", True),
        Place(2, "sure", prelabel="cat"),
        Place(4, "", True, ("a", "b")),
    )
    first, second = order(), order(number=2, version="r2 FreeSel", phase="warm", trust=0.4, places=places)
    orders.save(first)
    orders.save(second)
    orders.go_live(first)
    assert orders.live() == first
    assert orders.by_version("r2 FreeSel") == second
    assert orders.by_version("r9") is None
    assert orders.all() == [first, second]
