"""The template method, the registry, and orders that do not depend on the machine's threads."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import poolselect
from poolselect import InvalidSelectionError, Pool, QueryStrategy, Selection, StrategyLoadError, registry, strategies
from poolselect.threads import single_threaded_blas

SHELF = Path(poolselect.__file__).resolve().parents[1]

# Sizes at which a threaded product is worth cutting, so that the test could fail.
ORDERS = """
import numpy as np
from poolselect import BAL, FoundationClustering, FreeSel, KCenterGreedy, Pool, TypiClust
x = np.random.default_rng(0).standard_normal((3000, 384), dtype=np.float32)
pool = Pool(np.arange(3000), x)
settings = ({"trials": 1}, {"trials": 30}, {"sampling": "farthest"}, {"metric": "euclidean", "trials": 1})
for strategy in (*(FreeSel(**s) for s in settings), BAL(), KCenterGreedy(), FoundationClustering(), TypiClust()):
    found = strategy.query(pool, batch_size=150)
    print(found.indices.tolist(), found.utilities.tobytes().hex())
"""


def test_the_number_of_threads_does_not_change_an_order():
    outputs = []
    for threads in ("1", "2"):
        environment = os.environ | {
            "PYTHONPATH": str(SHELF),
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        done = subprocess.run(
            [sys.executable, "-c", ORDERS], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and len(outputs[0]) > 1000


def test_thread_limits_are_put_back_even_if_blocks_overlap():
    def limits():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = limits()
    one, two = single_threaded_blas(), single_threaded_blas()
    one.__enter__()
    two.__enter__()
    assert set(limits()) == {1}
    one.__exit__(None, None, None)
    assert set(limits()) == {1}
    two.__exit__(None, None, None)
    assert limits() == before


class Broken(QueryStrategy):
    def __init__(self, answer, *, random_state=0):
        super().__init__(random_state=random_state)
        self.answer = answer

    def _query(self, pool, batch_size, rng):
        return Selection(np.array(self.answer), np.zeros(len(self.answer)), ("x",) * len(self.answer))


@pytest.mark.parametrize("answer", [[0, 1], [1], [1, 2, 3]])
def test_a_strategy_that_breaks_its_contract_is_found_out(answer):
    pool = Pool([1, 2, 3, 4], np.eye(4), labels=[0, -1, -1, -1])
    with pytest.raises(InvalidSelectionError, match="Broken"):
        Broken(answer).query(pool, batch_size=2)


def test_a_strategy_shows_its_settings():
    assert repr(poolselect.Random(random_state=4)) == "Random(random_state=4)"


def install(monkeypatch, *points):
    group = registry.ENTRY_POINT_GROUP
    found = [EntryPoint(name, value, group) for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_third_parties_add_strategies(monkeypatch):
    install(monkeypatch, ("theirs", "poolselect.random:Random"))
    assert strategies()["theirs"] is poolselect.Random
    assert list(strategies()) == sorted(strategies())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("freesel", "poolselect.random:Random", "in use already"),
        ("theirs", "no_such_package:Thing", "Cannot import .*'theirs'"),
        ("theirs", "poolselect.random:Nothing", "Cannot import"),
        ("theirs", "poolselect.pool:Pool", "not a subclass"),
    ],
)
def test_unusable_third_party_strategies_are_named(monkeypatch, name, value, message):
    install(monkeypatch, (name, value))
    with pytest.raises(StrategyLoadError, match=message):
        strategies()
