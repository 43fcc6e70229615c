"""The page "Queue": cards with reasons, what is drawn at random stays hidden, pins and exclusions, empty states."""

import re

import pytest

from labelqueue import admin
from labelqueue.console.queue import told_places
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.task_row import TaskRow
from pages import NASTY, browser, text_of

PICK = "covers a new pattern: 0.41 from anything selected"
CONTROL = "random control"


@pytest.fixture
def client(store, deployment):
    return browser(deployment)


def publish(project, *places, **facts):
    """Let these places be the live order, their tasks open."""
    project.put_tasks({place.task: TaskRow(f"/{place.task}.jpg", UNLABELED) for place in places})
    facts = {"parameters": {"control_share": 0.05}, "created_at": 1.0, **facts}
    order = Order(3, "r3·k7f FreeSel", strategy="FreeSel", places=places, why="settings changed", **facts)
    Orders(project).save(order)
    Orders(project).go_live(order)


def tasks_of(html):
    return [int(task) for task in re.findall(r'data-task="(\d+)"', html)]


def card(html, task):
    return re.search(rf'data-task="{task}".*?</li>', html, re.S)[0]


def test_empty_states_say_what_to_do(client, project):
    assert "Import images in" in text_of(client.page("/7/queue"))
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    assert "There is no order yet" in text_of(client.page("/7/queue"))
    publish(project, Place(1, PICK))
    assert "There is no order yet" not in text_of(client.page("/7/queue"))
    project.put_tasks({1: TaskRow("/1.jpg", ANNOTATED)})
    assert "Every task of the live order is labeled or skipped" in text_of(client.page("/7/queue"))


def test_a_card_has_rank_reason_prelabel_thumbnail_and_the_way_to_label_studio(client, project):
    publish(
        project, Place(5, PICK, prelabel="cat"), Place(6, PICK, prelabel=("cat", "dog")), Place(7, PICK, prelabel=())
    )
    html = client.page("/7/queue")
    first = card(html, 5)
    assert "<strong>1</strong>" in first and "covers a new pattern" in first and "Pre-label: <strong>cat" in first
    assert 'href="http://label-studio.test/projects/7/data?task=5"' in first
    assert re.search(
        r'<img class="thumb" src="/console/7/thumbs/5\?v=[0-9a-f]{16}" alt="task 5" loading="lazy">', first
    )
    assert 'href="/console/7/like/5"' in first
    assert "cat, dog" in card(html, 6) and "none of them" in card(html, 7)


def test_how_sure_the_model_is_of_a_prelabel(client, project, monkeypatch):
    publish(project, Place(5, PICK, prelabel="cat"), Place(6, PICK))
    monkeypatch.setattr(admin, "prelabel_chances", lambda project, tasks: {5: 0.934} if tasks == [5] else {})
    assert "cat</strong>, 93%" in card(client.page("/7/queue"), 5)


def test_what_is_drawn_at_random_cannot_be_told_from_the_others(client, project):
    publish(project, Place(1, PICK), Place(2, CONTROL, control=True), Place(3, PICK), Place(4, "skipped before"))
    html = client.page("/7/queue")
    cards = {re.sub(r"v=\w{16}|\d", "", card(html, task)) for task in (1, 2, 3)}
    assert len(cards) == 1 and "covers a new pattern" in cards.pop()
    assert "random" not in text_of(card(html, 2)) and "0.41" not in html and "skipped before" in card(html, 4)
    assert "Which ones is not shown" in text_of(html) and "controls=1" in html
    shown = client.page("/7/queue?controls=1")
    assert "drawn at random" in card(shown, 2) and PICK in card(shown, 1) and CONTROL in card(shown, 2)


def test_without_controls_there_is_nothing_to_hide(client, project):
    publish(project, Place(1, PICK), parameters={"control_share": 0})
    html = client.page("/7/queue")
    assert PICK in html and "random" not in text_of(html)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (PICK, "covers a new pattern"),
        ("2nd most doubtful of 40 in sub-pool 2 of 5 (cat 0.52, dog 0.48)", "most doubtful in its part of the pool"),
        ("least certain of 40 in the pool (cat 0.52)", "least certain in the pool"),
        (
            "0.31 from anything selected (cat (big): 0.5), doubt counts in sub-pool 3 of 20",
            "far from anything selected, doubt counts in its part of the pool",
        ),
        ("adds 0.013 to the coverage of the pool", "adds … to the coverage of the pool"),
        ("the model is unsure: cat 0.52, dog 0.48", "the model is unsure"),
        ("why", "why"),
        ("", "picked by the strategy"),
        ("0.4", "picked by the strategy"),
    ],
)
def test_reasons_without_their_figures(reason, words):
    place = {"task": 1, "reason": reason, "control": False}
    (told,) = told_places([place], shown=False)
    assert told["reason"].lstrip("… ") == words.lstrip("… ")


def test_a_control_among_near_duplicates_passes_for_one():
    places = [Place(1, PICK), Place(2, "near-duplicate of task 1"), Place(3, CONTROL, control=True)]
    told = told_places([vars(place) for place in places], shown=False)
    assert [row["duplicate"] for row in told] == [False, True, True]
    assert told[1]["reason"] == told[2]["reason"] == "near-duplicate" and not told[2]["control"]
    behind = [Place(9, "its image is not embedded yet"), Place(3, CONTROL, control=True), *places[1:2]]
    assert told_places([vars(place) for place in behind], shown=False)[1]["duplicate"]


def test_near_duplicates_are_folded_and_pages_are_turned(client, project):
    twins = [Place(task, "near-duplicate of task 1") for task in range(31, 36)]
    publish(project, *(Place(task, PICK) for task in range(1, 31)), *twins)
    html = client.page("/7/queue")
    assert tasks_of(html) == list(range(1, 25)) and "page 1 of 2" in html
    more = client.page("/7/queue?page=2")
    assert tasks_of(more) == list(range(25, 36)) and more.count("5 near-duplicates, places 31 to 35") == 1
    assert card(more, 25).count("<strong>25</strong>") == 1
    for odd in ("0", "99", "x", "²", "-1", "9" * 40):
        assert client.page(f"/7/queue?page={odd}")


def test_pins_and_exclusions_by_form_with_undo(client, project):
    publish(project, *(Place(task, PICK) for task in range(1, 5)))
    told = client.told(client.send("/7/queue", "/7/queue/pin", of=3))
    assert told.startswith("1 task is pinned")
    html = client.page("/7/queue")
    assert "labeled first" in card(html, 3) and "No longer first" in card(html, 3)
    client.send("/7/queue", "/7/queue/exclude", of=4, reason=NASTY)
    html = client.page("/7/queue")
    assert "left out: &lt;script&gt;" in html
    undone = client.told(client.send("/7/queue", "/7/queue/undo", of=2))
    assert "act 2" in undone and not admin.curation(project)["exclusions"]
    client.send("/7/queue", "/7/queue/unpin", of=3, page="2", controls="1")
    assert not admin.curation(project)["pins"]


def test_acts_that_cannot_be_are_told(client, project):
    publish(project, Place(1, PICK))
    assert "no task 99" in client.told(client.send("/7/queue", "/7/queue/pin", of=99))
    assert "say in a few words" in client.told(client.send("/7/queue", "/7/queue/exclude", of=1, reason=" "))
    assert "no act 5" in client.told(client.send("/7/queue", "/7/queue/undo", of=5))
    client.send("/7/queue", "/7/queue/pin", status=400, of="x")
    client.send("/7/queue", "/7/queue/fly", status=404, of=1)
    assert client.post("/console/7/queue/pin", data={"of": 1}).status_code == 400, "no token"
    assert not admin.curation(project)["pins"]


def test_names_of_strangers_do_no_harm(client, project):
    publish(project, Place(1, NASTY, prelabel=NASTY), parameters={"control_share": 0}, phase=NASTY)
    project.set(paused=NASTY, hold=NASTY, error=NASTY)
    assert client.page("/7/queue").count("&lt;script&gt;") >= 5
