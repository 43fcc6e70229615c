"""One holder at a time, and a holder that lost its lock learns it before it writes."""

import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from labelqueue.exceptions import PublishError
from labelqueue.store import lock
from labelqueue.store.lock import ProjectLock


def seconds(store):
    """Return the time of Redis, by whose clock a lock expires."""
    whole, millionths = store.time()
    return whole + millionths / 1e6


def test_one_at_a_time(project):
    with ProjectLock(project) as first:
        assert first.acquired
        first.check()
        with ProjectLock(project) as second:
            assert not second.acquired
            with pytest.raises(PublishError):
                second.check()
        first.check()
    with ProjectLock(project) as third:
        assert third.acquired


def test_a_lost_lock_is_noticed_and_not_taken_from_its_new_holder(project):
    with ProjectLock(project) as stalled:
        project.store.delete(project.name("lock"))  # as if it had expired
        with ProjectLock(project) as new:
            with pytest.raises(PublishError, match="lost its project's lock"):
                stalled.check()
            new.check()
            stalled.__exit__(None, None, None)
            new.check()


def test_a_held_lock_outlives_its_time_to_live(project, store, monkeypatch):
    monkeypatch.setattr(lock, "TTL", 900)
    with ProjectLock(project) as held:
        start = seconds(store)
        while seconds(store) - start < 1.0:
            held.check()
            time.sleep(0.01)
        with ProjectLock(project) as other:
            assert not other.acquired
        assert 0 < store.pttl(project.name("lock")) <= 900
    assert store.exists(project.name("lock")) == 0


def test_a_lock_that_expired_is_not_renewed_for_whoever_holds_it_now(project, store, monkeypatch):
    monkeypatch.setattr(lock, "TTL", 60)
    with ProjectLock(project) as stalled:
        store.set(project.name("lock"), "another's", px=60_000)
        stalled._thread.join(timeout=10)  # the next renewal finds out, and is the last
        assert not stalled._thread.is_alive()
        with pytest.raises(PublishError, match="lost its project's lock"):
            stalled.check()
    assert store.get(project.name("lock")) == b"another's"
    assert store.pttl(project.name("lock")) > 1000, "its life was not cut to ours"


def test_renewal_survives_an_error_of_redis(project, store, monkeypatch):
    monkeypatch.setattr(lock, "TTL", 600)
    with ProjectLock(project) as held:
        fails, again = [True], held._store.eval

        def eval_(*arguments):
            if fails:
                fails.pop()
                raise RedisConnectionError("away for a moment")
            return again(*arguments)

        monkeypatch.setattr(held._store, "eval", eval_)
        start = seconds(store)
        while seconds(store) - start < 1.0:
            held.check()
            time.sleep(0.01)
        assert not fails and held._thread.is_alive()


def test_a_lock_that_cannot_be_released_hides_nothing(project, monkeypatch):
    def away(*arguments):
        raise RedisConnectionError("away")

    with pytest.raises(ZeroDivisionError), ProjectLock(project) as held:
        monkeypatch.setattr(held._store, "eval", away)
        raise ZeroDivisionError
