"""Slow servers: left alone for longer each time, up to an hour, known for a while, and forgiven."""

import json
import time

import pytest

from labelqueue.jobs import servers


def pass_time(store, server):
    """Let the time pass until which a server is left alone."""
    key = f"lq:slow:{server}"
    store.set(key, json.dumps({**json.loads(store.get(key)), "until": time.time() - 1}), keepttl=True)


def test_it_is_left_alone_twice_as_long_each_time_up_to_an_hour(store):
    waits = []
    for _ in range(10):
        waits.append(round(servers.cool_down(store, "slow:80", "silent") - time.time()))
        pass_time(store, "slow:80")
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_machine_whose_clock_is_wrong_leaves_it_alone_as_long(store, monkeypatch):
    until, real = servers.cool_down(store, "slow:80", "silent"), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 30.0)
    assert servers.cool_down(store, "other:80", "silent") == pytest.approx(until, abs=2)


def test_shards_that_find_out_at_the_same_time_count_once(store):
    until = servers.cool_down(store, "slow:80", "silent")
    assert servers.cool_down(store, "slow:80", "silent") == until
    assert servers.slow_servers(store) == {"slow:80": (until, "silent")}


def test_it_is_known_until_a_while_after_and_then_begins_anew(store):
    servers.cool_down(store, "slow:80", "silent")
    assert 600 <= store.ttl("lq:slow:slow:80") <= 630
    pass_time(store, "slow:80")
    assert servers.slow_servers(store)["slow:80"][0] < time.time(), "known, and asked again"


def test_one_that_gives_an_image_is_forgiven(store):
    for server in ("a:80", "b:80"):
        servers.cool_down(store, server, "silent")
    servers.warm_up(store, {"a:80"})
    servers.warm_up(store, ())
    assert list(servers.slow_servers(store)) == ["b:80"]
    assert servers.cool_down(store, "a:80", "silent") - time.time() == pytest.approx(30, abs=1)
