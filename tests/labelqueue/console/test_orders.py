"""The page "Orders": the timeline with what each order changed, one order's whole record, rolling back and going on."""

import pytest

from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.project import NOT_CONNECTED
from labelqueue.state.task_row import TaskRow
from pages import NASTY, browser, text_of


@pytest.fixture
def client(store, deployment):
    return browser(deployment)


def publish(project, number, tasks, **facts):
    places = tuple(Place(task, "why", control=task == 2) for task in tasks)
    order = Order(
        number, f"r{number}·k7f FreeSel", strategy="FreeSel", places=places, created_at=float(number), **facts
    )
    Orders(project).save(order)
    Orders(project).go_live(order)


@pytest.fixture
def three(project):
    """Three orders of the tasks 1 to 6, of which 6 is labeled."""
    project.put_tasks({task: TaskRow(f"/{task}.jpg", ANNOTATED if task == 6 else UNLABELED) for task in range(1, 7)})
    publish(project, 1, [1, 2, 3, 6])
    publish(project, 2, [6, 3, 1, 2, 4], why="settings changed", parameters={"seed": 3, "control_share": 0.05})
    publish(project, 3, [4, 5], model="m", labels=40, trust=0.25)
    return project


def test_no_order_yet(client, project):
    assert "No order was published yet" in client.page("/7/orders")


def test_the_timeline(client, three):
    html = client.page("/7/orders")
    rows = [text_of(row) for row in html.split("<tr")[2:]]
    newest, middle, first = rows
    assert "live" in newest and "it is live" in newest and "40" in newest and "0.25" in newest
    assert "1 in, 3 out, 0 moved" in newest
    assert "1 in, 0 out, 1 moved" in middle and "settings changed" in middle and "Roll back" in middle
    assert "the first" in first and "no model" in first
    assert 'aria-current="true"' in html and 'aria-current="page">Orders' in html


def test_what_is_no_longer_whole_says_why(client, three):
    orders = Orders(three)
    orders.save(orders.get(1).summary())
    text = text_of(client.page("/7/orders"))
    assert "only the newest 50 orders are on record with their tasks" in text and "no longer on record" in text
    assert "no longer on record" in text_of(client.page("/7/orders/1"))
    told = client.told(client.send("/7/orders", "/7/orders/rollback", order=1))
    assert "cannot go back to 'r1" in told and not three.get("rollback_wanted")


def test_one_orders_whole_record_hides_what_is_drawn_at_random(client, three):
    html = client.page("/7/orders/2")
    text = text_of(html)
    for told in ("r2·k7f FreeSel", "settings changed", "control_share 0.05", "seed 3", "Roll back to this order"):
        assert told in text
    assert "Which ones is not shown" in text and "drawn at random</span>" not in html
    assert "drawn at random</span>" in client.page("/7/orders/2?controls=1")
    assert "r2·k7f FreeSel" in client.page("/7/orders/r2·k7f")
    assert "it is live" in client.page("/7/orders/3")
    assert "has no order '99'" in text_of(client.page("/7/orders/99", 404))


def test_places_of_a_long_order_come_in_pages(client, project):
    publish(project, 1, range(1, 251))
    assert "page 1 of 3" in client.page("/7/orders/1")
    assert text_of(client.page("/7/orders/1?page=3")).count("why") == 51, "and why the order was made"


def test_rolling_back_and_going_on(client, three):
    told = client.told(client.send("/7/orders", "/7/orders/rollback", order=2))
    assert "'r2·k7f FreeSel' is live again" in told and three.get("rollback_wanted") == "2"
    assert "A rollback to order 2 is asked for" in client.page("/7/orders")
    three.set(rollback_wanted="", hold="r2 was chosen", rollback_error=NASTY)
    html = client.page("/7/orders")
    assert "An older order is held: r2 was chosen" in text_of(html) and "&lt;script&gt;" in html
    assert "taken over again" in client.told(client.send("/7/orders", "/7/orders/go-on"))
    assert three.get("resume_wanted") == "1"
    for name in ("rollback", "go-on"):
        assert client.post(f"/console/7/orders/{name}", data={"order": 1}).status_code == 400


def test_where_there_is_no_connection_both_are_refused(client, three):
    three.set(paused=NOT_CONNECTED)
    for name in ("rollback", "go-on"):
        assert "not connected" in client.told(client.send("/7/orders", f"/7/orders/{name}", order=1))


def test_names_of_strangers_do_no_harm(client, project):
    publish(project, 1, [1], why=NASTY, parameters={NASTY: NASTY}, phase=NASTY)
    assert client.page("/7/orders").count("&lt;script&gt;") == 1
    assert client.page("/7/orders/1").count("&lt;script&gt;") >= 4
