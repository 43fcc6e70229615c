"""The papers' own settings through the service: what it orders is what the library draws by the papers' rules."""

from __future__ import annotations

import numpy as np
import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.admin.status import project_status
from labelqueue.exceptions import SettingError
from labelqueue.learning.model import Model
from labelqueue.settings import METRICS
from labelqueue.state.orders import Orders
from labelqueue.worker.runtime import Runtime
from poolselect import BAL, FreeSel, Pool
from poolselect.metric import METRICS as LIBRARYS

N = 300
PLAIN = {"control_share": 0, "prelabel": "off"}  # nothing of ours among the picks
FREESEL = {"trials": 1, "metric": "cosine", **PLAIN}


@pytest.fixture
def desk(project, deployment):
    def build(**settings):
        project.put_settings(settings, "test")
        desk = Desk(Runtime(deployment), project, N)
        desk.tend()
        return desk

    return build


def pool_of(desk, selected=(), model: Model | None = None):
    """Return the pool as it lies in the cache, with some tasks selected."""
    ids = np.arange(1, N + 1)
    rows = desk.runtime.cache(desk.project, desk.project.get("generation")).load(ids)
    taken = np.isin(ids, list(selected))
    return Pool(
        ids, rows.embeddings.astype(np.float32), rows.patterns.astype(np.float32), rows.offsets,
        selected=taken, candidates=~taken,
        probabilities=None if model is None else model.predict(rows.embeddings),
        class_names=None if model is None else model.classes,
    )  # fmt: skip


def tasks_of(strategy, pool, count):
    return pool.ids[strategy.query(pool, batch_size=count).indices].tolist()


def test_settings_and_library_know_the_same_metrics():
    assert set(METRICS) == set(LIBRARYS)


@pytest.mark.parametrize("metric", METRICS)
def test_freesel_draws_with_the_metric_that_is_set(desk, metric):
    desk = desk(**FREESEL | {"metric": metric, "seed": 5})
    order = [place.task for place in desk.live.places]
    assert order == tasks_of(FreeSel(trials=1, metric=metric, random_state=5), pool_of(desk), len(order))
    assert desk.live.parameters["metric"] == metric
    admin.change_settings(desk.project, {"metric": "centered" if metric != "centered" else "cosine"}, "test")
    desk.tend()
    assert desk.live.why == "settings changed" and [place.task for place in desk.live.places] != order


def test_bal_by_the_paper_from_the_first_label_on(desk):
    """Algorithm 1: the first K of the sorted pool, and in each later cycle the K least confident of its slot."""
    size, budget, beta = 12, 60, 1.2
    paper = {"strategy": "bal_paper", "budget": budget, "batch_size": size, "balancing_factor": beta, "seed": 3}
    desk = desk(**paper, **PLAIN)
    labeled: list[int] = []
    for cycle in range(budget // size):
        assert desk.live.version.endswith(f"BAL cycle {cycle + 1}")
        assert desk.live.phase in ("cold", "warm") and len(desk.memory.trained_on) == len(labeled)
        strategy = BAL(
            mode="paper", cycle=cycle, cycles=budget // size, cycle_size=size, balancing_factor=beta, n_clusters=2,
            random_state=3,
        )  # fmt: skip
        wanted = tasks_of(strategy, pool_of(desk, labeled, desk.memory.model), size)
        assert [place.task for place in desk.live.places][:size] == wanted
        for _ in range(size):
            labeled.append(desk.next().task)
            desk.label()
            desk.tend()
    assert len(desk.memory.trained_on) == budget
    assert {order.number for order in Orders(desk.project).all()} == set(range(1, budget // size + 2))


def test_bal_by_the_paper_after_a_cold_start_by_the_paper(desk):
    desk = desk(**FREESEL, warm="bal_paper", budget=100, batch_size=10, switch_after=20)
    first = [place.task for place in desk.live.places]
    assert first == tasks_of(FreeSel(trials=1, metric="cosine"), pool_of(desk), len(first))
    while desk.memory.course.phase == "cold":
        desk.play(5)
    known = len(desk.memory.trained_on)
    parameters = desk.live.parameters
    assert (parameters["mode"], parameters["uncertainty"], parameters["n_seeds"]) == ("paper", "least_confidence", 5)
    assert (parameters["cycles"], parameters["cycle"], parameters["balancing_factor"]) == (10, known // 10, 1.0)
    assert desk.live.version.endswith(f"BAL cycle {known // 10 + 1}")
    assert "least certain of" in desk.live.places[0].reason
    assert project_status(desk.project)["error"] == ""


class TestWithoutABudget:
    def test_it_is_refused_with_the_way_out(self, desk):
        desk = desk()
        for wanted in ({"warm": "bal_paper"}, {"strategy": "bal_paper"}):
            with pytest.raises(SettingError, match="divides a budget into cycles: set budget with it"):
                admin.change_settings(desk.project, wanted, "test")
        admin.change_settings(desk.project, {"warm": "bal_paper", "budget": 100}, "test")
        with pytest.raises(SettingError, match="set budget with it"):
            admin.change_settings(desk.project, {"budget": None}, "test")
        assert desk.project.settings()["budget"] == 100

    def test_extra_params_are_refused_too_and_status_says_so(self, desk, project):
        desk = desk()
        assert not project.take_extra_params('{"warm": "bal_paper", "seed": 4}')
        assert project.settings()["warm"] == "bal" and project.settings()["seed"] == 0
        assert "divides a budget" in project.get("settings_error")
