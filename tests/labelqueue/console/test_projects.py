"""The list of projects: where each stands and what is wrong with it, and fast however many tasks there are."""

from __future__ import annotations

import json
import re
import time

from conftest import CONFIG, ORIGIN
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.project import NOT_CONNECTED, Project, ProjectRef
from standing import standing

NASTY = "<script>alert('x')</script>"


def rows(html):
    """Each row's text, without its markup."""
    found = re.findall(r"<tr>(.*?)</tr>", html.split("<tbody>")[1], re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]


def test_nothing_known_says_how_to_connect(client, store):
    html = client.page("/")
    assert "No project is known here yet" in html and "Settings &gt; Model &gt; Connect Model" in html
    assert "http://localhost:9090" in html and "<table" not in html


def test_a_row_says_where_a_project_stands(client, labeled):
    html = client.page("/")
    (row,) = rows(html)
    for said in ("animals", "warm", "60 of 300", "r3·k7f BAL", "85% (71% to 93%)", "nothing", "Label Studio"):
        assert said in row, said
    assert 'href="/console/7"' in html and f'href="{ORIGIN}/projects/7/data"' in html
    assert '<progress value="60" max="300"' in html


def test_what_is_wrong_is_one_sentence(client, labeled):
    labeled.set(error="Label Studio does not answer", settings_error="seed is 'x'")
    (row,) = rows(client.page("/"))
    assert "Label Studio does not answer." in row and "seed" not in row
    labeled.set(error="", settings_error="", paused=NOT_CONNECTED)
    (row,) = rows(client.page("/"))
    assert "not connected" in row and "This backend is not connected to the project." in row


def test_a_project_that_was_set_aside_comes_last_without_a_link_to_a_namesake(client, labeled):
    older = Project(labeled.store, ProjectRef(ORIGIN, 7, 1_700_000_000))
    older.register(label_config=CONFIG, title="gone", set_aside=str(time.time()), denied_since=str(time.time()))
    alone = Project(labeled.store, ProjectRef(ORIGIN, 3, 1_700_000_000))
    alone.register(label_config=CONFIG, title="alone", set_aside=str(time.time()), denied_since=str(time.time()))
    html = client.page("/")
    told = rows(html)
    assert ["animals" in told[0], "alone" in told[1], "gone" in told[2]] == [True] * 3
    assert all("set aside" in one and "was deleted" in one for one in told[1:])
    assert html.count('href="/console/7"') == 1 and html.count('href="/console/3"') == 1


def test_names_are_escaped(client, labeled):
    labeled.set(title=NASTY, error=NASTY)
    html = client.page("/")
    assert "<script>" not in html and html.count("&lt;script&gt;") >= 3


def test_fifty_projects_with_long_orders_take_no_time(client, store, labeled):
    told = json.dumps(standing())
    counts = json.dumps({"tasks": 100_000, "labeled": 50_000, "skipped": 0})
    order = Order(9, "r9·abc BAL", "BAL", places=tuple(Place(task, "a reason for this place") for task in range(3000)))
    for number in range(100, 149):
        project = Project(store, ProjectRef(ORIGIN, number, 1_800_000_000))
        project.register(label_config=CONFIG, title=f"project {number}", standing=told, counts=counts)
        Orders(project).save(order)
        Orders(project).go_live(order)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        html = client.page("/")
        took.append(time.perf_counter() - start)
    assert len(rows(html)) == 50 and "r9·abc BAL" in html
    assert min(took) < 1.0, took
