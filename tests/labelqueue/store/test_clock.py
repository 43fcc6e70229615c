"""The clock that machines have in common."""

import time

import pytest

from labelqueue.store import clock


def test_it_is_that_of_redis_whatever_this_machine_thinks(store, monkeypatch):
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 3600.0)
    assert clock.shared_time(store) == pytest.approx(real, abs=5)
