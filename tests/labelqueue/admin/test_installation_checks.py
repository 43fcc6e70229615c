"""Each check of the installation, made wrong."""

import re
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from healthy import healthy
from labelqueue.admin import installation_checks
from labelqueue.admin.installation_checks import INSTALLATION
from labelqueue.jobs.living import heartbeat
from labelqueue.store.redis_connection import StoreFacts

FACTS = StoreFacts("8.2.3", "append-only file", "", 2**20, 0, "noeviction", "")


@pytest.fixture
def well(store, deployment):
    with healthy(store, deployment) as installation:
        yield installation


def seen(name, scene):
    (check,) = (check for check in INSTALLATION if check.name == name)
    return check.look(scene)


@pytest.mark.parametrize(
    ("name", "facts", "state", "word"),
    [
        ("Redis", {"version": "5.0.14"}, "wrong", "6.2 or newer"),
        ("Redis", {"version": ""}, "well", "not told"),
        ("Redis", {"version": "255.255.255"}, "well", "255"),
        ("writes", {"refuses": "Redis is full: raise `maxmemory`"}, "wrong", "raise `maxmemory`"),
        ("writes", {"failed_write": "rewrite of it"}, "wrong", "make room"),
        ("persistence", {"persistence": "snapshots"}, "warning", "appendonly yes"),
        ("persistence", {"persistence": "none"}, "wrong", "appendonly yes"),
        ("persistence", {"persistence": "unknown"}, "unknown", "provider"),
        ("memory", {"used": 95, "limit": 100}, "warning", "raise `maxmemory`"),
        ("memory", {"used": 50, "limit": 100}, "well", "policy noeviction"),
        ("memory", {"used": 50, "limit": 100, "policy": "allkeys-lru"}, "wrong", "noeviction"),
    ],
)
def test_what_redis_says_of_itself(name, facts, state, word):
    found = seen(name, SimpleNamespace(facts=replace(FACTS, **facts)))
    assert found.state == state and word in f"{found.told}; {found.way_out}"


def test_a_redis_that_may_drop_data_is_told(well):
    well.store.config_set("maxmemory", "1gb")
    well.store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = seen("Redis", well.scene())
    finally:
        well.store.config_set("maxmemory", "0")
        well.store.config_set("maxmemory-policy", "noeviction")
    assert found.state == "wrong" and "noeviction" in found.way_out


@pytest.mark.parametrize("answer", [500, 404, [], None])
def test_a_label_studio_that_says_nothing_sensible(well, answer):
    well.answers["/api/version/"] = answer
    assert seen("Label Studio", well.scene()).state == "wrong"


def test_a_key_without_rights_is_named_with_what_it_lacks(well):
    user = well.answers["/api/current-user/whoami"]
    user["permissions"].remove("webhooks.change")
    found = seen("token", well.scene())
    assert found.state == "wrong" and "webhooks.change" in found.told and "owner@test.local" in found.told
    del user["permissions"]
    assert seen("token", well.scene()).state == "well"


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(3.0, "well"), (300.0, "warning"), (-300.0, "warning"), (None, "unknown")],
)
def test_clocks_that_differ(ahead, state, store):
    found = seen("clocks", SimpleNamespace(server=({}, ahead), store=store))
    assert found.state == state and ("300 s" in found.told) == (state == "warning")


def test_the_time_comes_from_label_studio(well):
    _, ahead = well.scene().server
    assert abs(ahead) < 5


def test_the_clock_of_a_workers_machine(well, monkeypatch):
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() - 90.0)
        heartbeat(well.store, "embedding-far-away-7-ab")
    found = seen("clocks", well.scene())
    assert found.state == "warning" and re.search(r"far-away by -(89|90|91) s$", found.told) and "NTP" in found.way_out


def test_where_workers_are(well):
    heartbeat(well.store, "embedding-far-away-7-ab")
    found = seen("workers", well.scene())
    assert found.state == "well" and "2 embedding" in found.told
    assert found.told.endswith("on 2 machines: far-away, host")


def test_a_tending_worker_that_has_another_label_studio(well):
    heartbeat(well.store, "tending-far-away-7-ab", label_studio="http://10.0.0.1:8080")
    found = seen("workers", well.scene())
    assert found.state == "wrong" and "far-away has LABEL_STUDIO_URL http://10.0.0.1:8080" in found.told


def test_a_worker_that_leaves_its_work_to_others(well):
    heartbeat(well.store, "embedding-far-away-7-ab", trouble="there is no file model.safetensors")
    found = seen("workers", well.scene())
    assert found.state == "warning" and "far-away leaves its work to others: there is no file" in found.told


def test_no_worker(well):
    for kind in ("tending", "embedding"):
        found = seen("workers", well.scene())
        assert found.state == "well" if kind == "tending" else "no tending worker" in found.told
        well.store.delete(*well.store.keys(f"lq:worker:{kind}*"))
    found = seen("workers", well.scene())
    assert found.state == "wrong" and "none runs" in found.told and "labelqueue worker" in found.way_out


def test_weights_that_are_not_there(well, tmp_path):
    found = seen("embedder", well.scene(weights=tmp_path / "none.safetensors"))
    assert found.state == "wrong" and "none.safetensors" in found.told and "LABELQUEUE_WEIGHTS" in found.way_out


@pytest.mark.parametrize(("free", "state"), [(2**40, "well"), (2**28, "warning"), (2**20, "wrong")])
def test_a_full_disk(well, monkeypatch, tmp_path, free, state):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(installation_checks.shutil, "disk_usage", lambda path: usage)
    assert seen("disk", well.scene(home=tmp_path / "not" / "yet" / "there")).state == state
