"""Replaying every strategy with every seed, whatever the number of processes."""

import sys

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.exceptions import LabelQueueError
from labelqueue.simulation import simulate as module
from labelqueue.simulation.dataset import Dataset
from labelqueue.simulation.experiment import Experiment, splits
from labelqueue.simulation.simulate import simulate

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def dataset():
    labels = np.repeat(np.arange(3), 40)
    rng = np.random.default_rng(0)
    places, rows = np.arange(120), (2 * np.eye(6)[labels] + 0.7 * rng.normal(size=(120, 6))).astype(np.float16)
    return Dataset(CLASSES, labels, None, Block(places, places.astype(np.uint64), rows, rows, np.arange(121)))


def test_the_result_does_not_depend_on_the_number_of_processes(dataset):
    strategies = {"auto": {"strategy": "auto", "switch_after": 10}, "random": {"strategy": "random"}}
    experiment = Experiment(strategies, seeds=2, counts=(10, 20, 40))
    parts = splits(dataset.labels, None, experiment)
    alone = simulate(dataset, parts, experiment, jobs=1, progress=False)
    assert [(point.strategy, point.seed, point.labels) for point in alone] == [
        (name, seed, count) for name in ("auto", "random") for seed in (0, 1) for count in (10, 20, 40)
    ]
    assert simulate(dataset, parts, experiment, jobs=3, progress=False) == alone
    curves = {tuple(p.scores for p in alone if (p.strategy, p.seed) == key) for key in (("auto", 0), ("auto", 1))}
    assert len(curves) == 2


def test_a_process_that_dies_is_an_error(dataset, monkeypatch):
    monkeypatch.setattr(module, "_start_worker", sys.exit)
    experiment = Experiment({"random": {"strategy": "random"}}, seeds=2, counts=(10,))
    with pytest.raises(LabelQueueError, match="a process ended early"):
        simulate(dataset, splits(dataset.labels, None, experiment), experiment, jobs=2, progress=False)
