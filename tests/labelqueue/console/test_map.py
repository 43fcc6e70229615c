"""The page "Map": its bytes, its questions and acts, what it says without a map; and the page "More like this"."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest

from labelqueue.admin import curation
from labelqueue.block import source_hash
from labelqueue.console.map import MOST, SCRIPTS
from labelqueue.gallery import COLUMNS, Map, Maps, details_question, map_question, nearest_question, state_of_project
from labelqueue.jobs import EMBEDDING, PAGE, Answer, give_answer, heartbeat, name_worker, queue
from labelqueue.ordering import Order, Place
from labelqueue.state import Orders, TaskRow
from pages import NASTY, browser, text_of

PARTS = ("next in the order", "spare tail", "random control")


@pytest.fixture
def client(store, deployment):
    return browser(deployment)


@pytest.fixture
def tasks(project):
    """Twelve tasks, embedded as far as Redis says."""
    project.put_tasks({task: TaskRow(f"/data/{task}.jpg", "u") for task in range(1, 13)})
    project.set(generation="g1")
    project.store.hset(project.name("cache", "g1", "rows"), mapping={str(task): "0" * 16 for task in range(1, 13)})
    return project


@pytest.fixture
def mapped(tasks):
    """A map of them that is up to date, the third of which is drawn at random."""
    ids, points = np.arange(1, 13), np.arange(24, dtype=np.uint16).reshape(12, 2)
    columns = {name: np.arange(12, dtype=np.uint8) for name in COLUMNS}
    columns["order"] = np.array([0, 1, 2, *[1] * 9], np.uint8)
    about = {name: {"kind": "categories", "names": ["", NASTY]} for name in COLUMNS}
    about["order"] = {"kind": "categories", "names": list(PARTS)}
    facts = {"generation": "g1", "columns": about, "laying_out": False, "made_at": time.time(), "took": 0.01}
    facts["of"] = state_of_project(tasks)
    Maps(tasks).put(Map(ids, points, columns, facts), time.time())
    give_answer(tasks.store, map_question(tasks).id, Answer(Maps(tasks).facts()), 60)
    return tasks


@pytest.fixture
def worker(store):
    """A sign of life of an embedding worker."""
    heartbeat(store, name_worker(EMBEDDING))


@pytest.fixture
def token(client, project):
    return re.search(r'data-token="([0-9a-f]+)"', client.page("/7/map"))[1]


@pytest.fixture
def call(client, token):
    """Call as the scripts do; return what came back, and with which status."""

    def call(address, **body):
        answer = client.post(f"/console/7/{address}", json=body, headers={"X-Labelqueue-Token": token})
        return answer.status_code, answer.get_json()

    return call


def row_of(task, **values):
    """What a worker tells of a task."""
    return {
        "task": task, "state": "unlabeled", "label": "", "prediction": "", "probability": None, "doubt": None,
        "rank": None, "reason": "", "control": False, "source": "ab" * 8, **values,
    }  # fmt: skip


def test_the_page_loads_what_it_names_and_carries_nothing_inline(client, project):
    project.set(title=NASTY)
    html = client.page("/7/map")
    assert "<script>" not in html and not re.search(r"<[^>]+\s(style|on\w+)\s*=", html)
    for name in (*SCRIPTS, "map.js", "map.css"):
        answer = client.get(f"/console/static/{name}")
        assert answer.status_code == 200 and f"/console/static/{name}" in html
        for other in re.findall(r'from "\./([\w-]+\.js)"', answer.get_data(as_text=True)):
            assert other in SCRIPTS, f"{name} would make the browser wait for {other}"


def test_parts_come_as_they_are_kept_and_are_kept_by_the_browser(client, mapped):
    facts = client.get("/console/7/map/facts").get_json()
    assert not facts["waiting"] and facts["told"] == "" and facts["facts"]["count"] == 12
    maps, revision = Maps(mapped), facts["facts"]["revision"]
    kept = {"points": maps.points(), "ids": maps.ids(), **{f"columns/{name}": maps.column(name) for name in COLUMNS}}
    for name, data in kept.items():
        answer = client.get(f"/console/7/map/{name}?revision={revision}&controls=1")
        assert answer.mimetype == "application/octet-stream" and "immutable" in answer.headers["Cache-Control"]
        assert answer.data == data, name


def test_what_is_drawn_at_random_passes_for_the_rest_unless_somebody_asks(client, mapped):
    assert list(client.get("/console/7/map/columns/order").data)[:4] == [0, 1, 0, 1]
    assert list(client.get("/console/7/map/columns/order?controls=1").data)[:4] == [0, 1, 2, 1]


def test_a_map_that_is_gone_and_names_that_are_none(client, mapped):
    for address in ("points?revision=00ff", "columns/secrets", "columns/state?revision=00ff"):
        assert client.get(f"/console/7/map/{address}", headers={}).status_code == 404
    answer = client.get("/console/7/map/points?revision=../../info", headers={})
    assert answer.status_code == 400 and "revision is" in answer.get_json()["error"]


def test_what_is_said_without_a_map(client, project, tasks):
    def told():
        found = client.get("/console/7/map/facts").get_json()
        assert found["facts"] is None
        return found["told"]

    assert told() == "The map of 12 images is waiting: no embedding worker runs: start `labelqueue serve`."
    heartbeat(project.store, name_worker(EMBEDDING))
    assert told() == "The map is being laid out …"
    give_answer(project.store, map_question(project).id, Answer(error="no image is embedded"), 60)
    assert told() == "The map could not be made: no image is embedded"
    project.set(generation="g2")
    assert told() == "No image is embedded yet, of 12: the first ones are on their way."
    project.drop("tasks")
    assert told().startswith("No images are known of this project yet. Import some")


def test_a_map_that_is_not_whole_says_so(client, mapped, worker):
    mapped.put_tasks({99: TaskRow("/data/99.jpg", "u")})
    found = client.get("/console/7/map/facts").get_json()
    assert found["waiting"] and found["facts"]["count"] == 12 and found["missing"] == "1 has no embedding"


def test_a_map_that_took_long_leaves_workers_time_for_images(store, client, mapped, worker):
    maps, (key,) = Maps(mapped), store.keys("lq:*:map")
    store.delete(*store.keys("lq:answer:*"))
    store.hset(key, "facts", json.dumps({**maps.facts(), "took": 10.0}))
    mapped.set(read_to="2026-11-28T10:00:00+00:00")
    found = client.get("/console/7/map/facts").get_json()
    assert found["waiting"] and found["facts"]["count"] == 12 and len(queue(store, PAGE)) == 0
    store.hset(key, "facts", json.dumps({**maps.facts(), "took": 0.0}))
    assert client.get("/console/7/map/facts").get_json()["waiting"] and len(queue(store, PAGE)) == 1


def test_details_are_asked_of_a_worker(call, mapped, worker):
    found = call("map/details", tasks=[3, 4, 77])[1]
    assert found["waiting"] and [row["task"] for row in found["tasks"]] == [3, 4], "pictures need no worker"
    rows = [row_of(3, label=NASTY), row_of(4, rank=1, reason="covers")]
    give_answer(mapped.store, details_question(mapped, [3, 4]).id, Answer({"tasks": rows}), 60)
    status, found = call("map/details", tasks=[3, 4, 3])
    assert status == 200 and [row["task"] for row in found["tasks"]] == [3, 4] and found["tasks"][0]["label"] == NASTY
    assert found["tasks"][1]["picture"]["address"].startswith("/console/7/thumbs/4?v=")


def test_reasons_do_not_tell_which_images_are_drawn_at_random(call, mapped, worker):
    places = [Place(task, f"covers a new pattern: 0.{task}") for task in range(1, 6)]
    places[2] = Place(3, "random control", control=True)
    order = Order(1, "r1·k7f FreeSel", places=tuple(places))
    Orders(mapped).save(order)
    Orders(mapped).go_live(order)
    rows = [row_of(one.task, rank=at, reason=one.reason, control=one.control) for at, one in enumerate(places, 1)]
    give_answer(mapped.store, details_question(mapped, [2, 3]).id, Answer({"tasks": rows[1:3]}), 60)
    told = call("map/details", tasks=[2, 3])[1]["tasks"]
    assert told[0]["reason"] == told[1]["reason"] == "covers a new pattern" and not told[1]["control"]
    told = call("map/details?controls=1", tasks=[2, 3])[1]["tasks"]
    assert told[1]["control"] and told[1]["reason"] == "random control"


def test_nobody_waits_for_a_worker_that_does_not_run(call, mapped):
    status, found = call("map/near", tasks=[3])
    assert status == 404 and "no embedding worker runs" in found["error"]


@pytest.mark.parametrize("address", ["details", "near", "pin", "exclude"])
def test_ids_are_checked_and_bounded(call, mapped, worker, address):
    cases = [(None, "a list of task ids"), ([], "a list of task ids"), ("12", "a list of task ids")]
    cases += [([1, "2"], "'2' is no task id"), ([-1], "'-1' is no"), ([True], "'True' is no"), ([1.5], "'1.5' is no")]
    cases += [([2**63], "is no task id"), (list(range(MOST["act"] + 1)), "is the most at once")]
    for given, told in cases:
        status, found = call(f"map/{address}", tasks=given, reason="why")
        assert status == 400 and told in found["error"], given


def test_acts_are_undone_in_one_call(call, mapped):
    status, pinned = call("map/pin", tasks=[3, 4])
    assert status == 200 and pinned["changed"] == 2 and pinned["told"].startswith("2 tasks are pinned")
    assert [row["task"] for row in curation(mapped)["pins"]] == [3, 4]
    status, left = call("map/exclude", tasks=[4, 5], reason="blurred")
    reasons = {row["task"]: row["reason"] for row in curation(mapped)["exclusions"]}
    assert status == 200 and reasons == {4: "blurred", 5: "blurred"}
    assert call("map/undo", act=left["act"])[0] == 200
    assert [row["task"] for row in curation(mapped)["pins"]] == [3, 4] and curation(mapped)["exclusions"] == []
    assert call("map/undo", act=left["act"])[0] == 400
    assert call("map/undo", act="x")[0] == 400 and call("map/undo", act=99)[0] == 404
    status, unknown = call("map/pin", tasks=[3, 77])
    assert status == 400 and "no task 77" in unknown["error"]
    status, reasonless = call("map/exclude", tasks=[3])
    assert status == 400 and "reason" in reasonless["error"]


def test_nothing_is_done_without_our_token(client, mapped):
    body = {"tasks": [3], "act": 1, "reason": "x"}
    for address in ("map/details", "map/near", "map/pin", "map/exclude", "map/undo", "like/3", "undo/1"):
        for headers in ({}, {"X-Labelqueue-Token": "0" * 64}):
            assert client.post(f"/console/7/{address}", json=body, headers=headers).status_code == 400
        form = {"task": "3", "which": "checked"}
        assert client.post(f"/console/7/{address}", data=form, headers={}).status_code == 400
    assert curation(mapped)["acts"] == []


def answered(project, task, rows):
    """Let a worker have found what is like a task."""
    give_answer(project.store, nearest_question(project, [task], 96).id, Answer({"tasks": rows}), 60)


def test_more_like_this_waits_and_says_so(client, mapped, worker):
    html = client.page("/7/like/3")
    assert "data-waiting" in html and "Look again" in html and "map-like.js" in html


def test_more_like_this_without_a_worker_or_a_task(client, mapped):
    assert "No embedding worker runs" in client.page("/7/like/3")
    assert "project 7 has no task 77" in client.page("/7/like/77", 404)
    give_answer(mapped.store, nearest_question(mapped, [3], 96).id, Answer(error="task 3 is not embedded"), 60)
    assert "task 3 is not embedded" in client.page("/7/like/3")


def test_more_like_this_shows_what_is_unlabeled_first_and_escapes_labels(client, mapped):
    labeled = row_of(5, state="labeled", label=NASTY, similarity=0.99)
    guessed = row_of(4, similarity=0.973, prediction=NASTY, probability=0.8)
    answered(mapped, 3, [labeled, guessed])
    html = client.page("/7/like/3")
    assert "similarity 0.97 · unlabeled · prediction &lt;script&gt;" in html and "(80%)" in html
    assert (
        'value="5"' not in html
        and f"/console/7/thumbs/4?v={source_hash('/data/4.jpg'):016x}" in html
        and "/console/7/like/4" in html
    )
    assert 'value="5"' in client.page("/7/like/3?all=1")
    answered(mapped, 3, [labeled])
    assert "All of the nearest images have a label" in text_of(client.page("/7/like/3"))


def test_a_form_pins_and_its_page_takes_it_back(client, mapped):
    answered(mapped, 3, [row_of(task, similarity=0.9) for task in (4, 5, 6)])
    answer = client.send("/7/like/3", "/7/like/3", which="checked", task=["4", "6"])
    assert sorted(row["task"] for row in curation(mapped)["pins"]) == [4, 6]
    html = client.page(answer.location.partition("/console")[2])
    assert "2 tasks are pinned" in html and 'action="/console/7/undo/1"' in html and 'value="/console/7/like/3"' in html
    back = client.send("/7/like/3", "/7/undo/1", back="/console/7/like/3")
    assert back.location.startswith("/console/7/like/3?note=") and curation(mapped)["pins"] == []
    client.send("/7/like/3", "/7/like/3", which="all", shown="4 5 6")
    assert len(curation(mapped)["pins"]) == 3
    elsewhere = client.send("/7/like/3", "/7/undo/3", back="//evil.test/")
    assert elsewhere.location.startswith("/console/7/queue?note=")


def test_forms_with_nothing_in_them_or_something_odd(client, mapped):
    answered(mapped, 3, [row_of(4, similarity=0.9)])
    assert "No image was checked" in client.told(client.send("/7/like/3", "/7/like/3", which="checked"))
    assert "no task 77" in client.told(client.send("/7/like/3", "/7/like/3", which="checked", task="77"))
    client.send("/7/like/3", "/7/like/3", 400, which="checked", task="4²")
    assert "no act 9" in client.told(client.send("/7/like/3", "/7/undo/9"))
    assert json.loads(client.get("/console/7/map/facts").data)["facts"]
