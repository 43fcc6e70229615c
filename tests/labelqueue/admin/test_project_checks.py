"""Each check of a project, made wrong."""

import time

import pytest

from healthy import NUMBER, VERSION, healthy
from labelqueue.admin.pinning import pin
from labelqueue.admin.project_checks import PROJECT
from labelqueue.jobs import request_tend
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED
from labelqueue.state.task_row import TaskRow

OTHER = {"id": 9, "url": "http://sam.example.org:9090", "model_version": "sam 2", "state": "CO"}
ANOTHER = {"id": 8, "url": "http://lq.example.org:9090", "model_version": LIVE_VERSION, "state": "CO"}
COUNTS = f"/api/projects/{NUMBER}/model-versions/"


@pytest.fixture
def well(store, deployment):
    with healthy(store, deployment) as installation:
        yield installation


def seen(name, scene):
    (check,) = (check for check in PROJECT if check.name == name)
    return check.look(scene)


def answer(path, value):
    return lambda well: well.answers.update({path: value})


def lock(well):
    well.store.set(well.project.name("lock"), "7-token")


def lost_request(well):
    request_tend(well.project)
    well.store.delete("rq:queue:tend")


CASES = [
    ("project", lambda well: well.project.set(error="Label Studio refused"), "wrong", "error: Label Studio refused"),
    ("project", lambda well: well.project.set(settings_error="seed is 'x'"), "wrong", "settings error: seed"),
    ("project", lambda well: well.project.set(set_aside="1.0"), "warning", "forget 7"),
    ("project", lambda well: well.project.set(paused=NOT_CONNECTED), "warning", "resume 7"),
    ("connection", answer("/api/ml", []), "wrong", "Settings > Model"),
    ("connection", answer("/api/ml", [OTHER]), "wrong", "there: http://sam.example.org:9090"),
    ("connection", lambda well: well.backend.update(state="DI"), "wrong", "a private address, does not answer"),
    ("connection", lambda well: well.backend.update(state="DI", url="http://web:9090"), "wrong", "ML_BLOCK_LOCAL_IP"),
    ("connection", lambda well: well.backend.update(state="ER", error_message="timed out"), "wrong", "timed out"),
    ("connection", answer(f"/api/projects/{NUMBER}", 404), "well", "answers"),
    ("connection", answer("/api/ml", 404), "wrong", "does not know this project"),
    ("ML backends", lambda well: well.answers["/api/ml"].append(OTHER), "warning", "sam.example.org"),
    ("ML backends", answer("/api/ml", [OTHER, ANOTHER, ANOTHER]), "wrong", "all but"),
    ("webhook", answer("/api/webhooks/", []), "wrong", "connect again"),
    ("webhook", lambda well: well.hook.update(url="http://elsewhere.example.org/webhook"), "wrong", "there is none"),
    ("webhook", lambda well: well.hook.update(is_active=False), "wrong", "switched off"),
    ("webhook", lambda well: well.hook.update(headers={}), "wrong", "doctor 7 --fix"),
    ("webhook", lambda well: well.hook.update(headers=None), "wrong", "doctor 7 --fix"),
    ("webhook", lambda well: well.project.set(secret="anew"), "wrong", "another X-Labelqueue-Secret"),
    ("queue", lambda well: well.remote.update(sampling="Uniform sampling"), "wrong", "'Uniform sampling', not"),
    ("queue", lambda well: well.remote.update(model_version="sam 2"), "wrong", "'sam 2', the live order 'r1 FreeSel'"),
    ("queue", lambda well: well.project.set(live=""), "warning", "no order yet"),
    ("queue", lambda well: well.project.set(paused="by an admin"), "well", "left alone"),
    ("predictions", answer(COUNTS, {}), "wrong", "0 of 2 of 'r1 FreeSel'"),
    ("predictions", answer(COUNTS, {VERSION: 3}), "warning", "3 of 2"),
    ("predictions", lambda well: well.project.drop_tasks([2]), "warning", "2 of 1"),
    ("pins", lambda well: pin(well.project, [2], "x"), "warning", "0 left out; act 1 is not in the queue yet"),
    ("members", lambda well: well.remote.update(members=[1, 2]), "warning", "2 members"),
    ("members", lambda well: well.remote.update(members=[1]), "well", "1"),
    ("members", answer("/api/version/", {"release": "2.0", "edition": "Enterprise"}), "unknown", "does not tell"),
    ("overlap", lambda well: well.remote.update(maximum_annotations=3), "warning", "3 annotations per task"),
    ("locks", lambda well: well.store.set(well.project.name("tending"), "dead"), "wrong", "worker dead died"),
    ("locks", lambda well: well.store.set(well.project.name("tending"), "tending-host-1-ab"), "well", "living worker"),
    ("locks", lock, "wrong", "no end"),
    ("locks", lost_request, "wrong", "no job waits"),
    ("locks", lambda well: request_tend(well.project), "well", "none"),
    ("embeddings", lambda well: well.project.put_tasks({3: TaskRow("/3.jpg", "u")}), "warning", "1 wait"),
    ("embeddings", lambda well: well.project.set(generation=""), "wrong", "0 of 2"),
    ("images", lambda well: well.project.quarantine({1: ("/1.jpg", "is no image")}), "warning", "1 cannot be used"),
    ("image servers", lambda well: well.store.hset(well.project.name("tries"), "1", "2"), "warning", "1 images wait"),
    ("records", lambda well: well.project.note_unreadable("tasks", {"task 9": "no id"}), "warning", "task 9: no id"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "state", "word"), CASES)
def test_what_is_wrong_is_found_with_its_way_out(well, name, change, state, word):
    change(well)
    found = seen(name, well.scene())
    assert found.state == state and word in f"{found.told}; {found.way_out}"
    assert (state == "well") == (not found.way_out)


def test_every_check_is_made_wrong_here():
    assert {name for name, *_ in CASES} == {check.name for check in PROJECT}


def test_a_large_order_is_counted_quickly(well):
    well.project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in range(3, 20_000)})
    begin = time.process_time()
    for name in ("predictions", "embeddings", "queue"):
        seen(name, well.scene())
    assert time.process_time() - begin < 5
