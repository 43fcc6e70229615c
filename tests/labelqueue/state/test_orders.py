"""Orders come back as they were kept, and one of them is live."""

import json

from labelqueue.ordering.order import Order, Place
from labelqueue.state import orders as orders_module
from labelqueue.state.orders import WHOLE, Orders


def order(tasks=(3, 1, 2), **changes) -> Order:
    places = tuple(Place(task, "why") for task in tasks)
    base = {"number": 1, "version": "r1 FreeSel", "strategy": "FreeSel", "parameters": {"seed": 0}, "generation": "gen"}
    base |= {"arrivals": 3, "labeled": 0, "embedded": 3, "created_at": 1.0, "places": places}
    return Order(**{**base, **changes})


def test_the_live_version_is_known_without_the_places(project):
    orders = Orders(project)
    assert orders.live_version(project.info()) == ""
    orders.save(order())
    orders.save(order(number=2, version="r2 BAL"))
    orders.go_live(order(number=2, version="r2 BAL"))
    info = project.info()
    project.drop("orders:*")
    assert orders.live_version(info) == "r2 BAL", "the record is not read"
    orders.save(order())
    project.set(live="1")  # by a version that does not write the name down, or from a backup
    assert orders.live_version(project.info()) == "r1 FreeSel"
    project.set(live="")
    assert orders.live_version(project.info()) == ""


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


class TestOldOrders:
    """The newest orders keep their places, and so do those that Label Studio keeps; of others there is a summary."""

    def test_become_summaries(self, project):
        orders, store = Orders(project), project.store
        for number in range(1, WHOLE + 6):
            orders.save(order(number=number, version=f"r{number}·k7f FreeSel"))
            store.hset(project.name("order_inputs"), str(number), "inputs")
            if number in (1, 3, WHOLE + 5):
                orders.go_live(orders.get(number))
        orders.summarize_old()
        assert [one.number for one in orders.all()] == list(range(1, WHOLE + 6)), "none is gone"
        assert [one.number for one in orders.all() if one.forgotten] == [2, 4, 5]
        old = orders.get(2)
        assert (old.places, old.forgotten, old.parameters) == ((), 3, {"seed": 0})
        assert {int(field) for field in store.hkeys(project.name("order_inputs"))} == {1, 3, *range(6, WHOLE + 6)}
        orders.summarize_old()
        assert orders.get(2) == old, "a summary of a summary says the same"

    def test_have_an_end_too(self, project, store, monkeypatch):
        monkeypatch.setattr("labelqueue.state.orders.SUMMARIES", WHOLE + 2)
        orders = Orders(project)
        store.hset(project.name("orders"), "1", order(number=1).dump())  # 0.1.0 wrote it
        for number in range(2, WHOLE + 6):
            orders.save(order(number=number))
        orders.go_live(orders.get(3))
        orders.summarize_old()
        assert [one.number for one in orders.all()] == [3, *range(4, WHOLE + 6)]
        assert [one.number for one in orders.all() if one.forgotten] == [4, 5] and not orders.get(3).forgotten

    def test_are_read_whoever_wrote_them(self):
        row = json.loads(order().summary().dump()) | {"news": 1}
        assert Order.load(json.dumps(row)) == order().summary()
        row = json.loads(order().dump())
        del row["forgotten"], row["again"]
        assert Order.load(json.dumps(row)) == order(), "0.1.0 kept every place"

    def test_three_stay_in_label_studio_by_when_they_went_live(self, project):
        orders = Orders(project)
        assert orders.kept() == []
        for number in range(1, 6):
            orders.save(order(number=number))
        orders.save(order(number=6))  # never went live
        for number in (1, 2, 3, 4, 5, 2, 2):
            orders.go_live(orders.get(number))
        assert [one.number for one in orders.kept()] == [2, 5, 4]
        project.set(live="")  # the backend was removed
        assert [one.number for one in orders.kept()] == [2, 5, 4]

    def test_which_was_live_at_a_moment_is_remembered(self, project, monkeypatch):
        orders, clock = Orders(project), iter((20.0, 30.0))
        monkeypatch.setattr(orders_module.time, "time", lambda: next(clock))
        for number in (1, 2, 2, 1):  # the same one again is still live
            orders.save(order(number=number, created_at=10.0))
            orders.go_live(orders.get(number))
        assert [getattr(orders.live_at(moment), "number", None) for moment in (5, 10, 19, 25, 31)] == [None, 1, 1, 2, 1]

    def test_of_0_1_0_are_kept_by_number(self, project):
        orders = Orders(project)
        for number in range(1, 6):
            orders.save(order(number=number))
        project.set(live="2")
        assert [one.number for one in orders.kept()] == [2, 5, 4]


def test_an_order_that_is_published_again_is_the_first_one(project):
    again = order(number=9, again=3)
    assert (again.origin, order(number=3).origin) == (3, 3)
    Orders(project).save(again)
    assert Orders(project).get(9) == again
