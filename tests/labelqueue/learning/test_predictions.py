"""What the model said of every embedded task, looked up without embeddings."""

import numpy as np
import pytest

from labelqueue.exceptions import CacheError
from labelqueue.learning.model import Model
from labelqueue.learning.predictions import Predictions, StoredPredictions

ONES = np.ones(2, np.float32)
MODEL = Model(("cat", "dog"), False, ONES, ONES, np.eye(2, dtype=np.float32), ONES, 1.0, 9, 9, "f")


@pytest.fixture
def predictions():
    return Predictions(np.array([2, 5, 9]), np.array([[0.75, 0.25], [0.25, 0.75], [1, 0]], np.float16))


@pytest.mark.parametrize(("task", "value"), [(2, "cat"), (5, "dog"), (9, "cat"), (1, None), (3, None), (10, None)])
def test_a_task_is_found_or_nothing_is_said_of_it(predictions, task, value):
    assert predictions.decide(MODEL, task) == value
    assert (predictions.lookup(task) is None) == (value is None)


def test_they_come_back(predictions):
    again = Predictions.from_bytes(predictions.to_bytes())
    np.testing.assert_array_equal(again.ids, predictions.ids)
    np.testing.assert_array_equal(again.probabilities, predictions.probabilities)
    assert again.probabilities.dtype == np.float16


def test_damaged_bytes_are_refused(predictions):
    with pytest.raises(CacheError, match="predictions"):
        Predictions.from_bytes(predictions.to_bytes()[:-3])


@pytest.mark.parametrize("ids", [[], [0], [63, 64, 65], [1, 127, 128, 5000, 2**40 + 63], list(range(200))])
def test_they_come_back_in_groups_of_neighbors(ids):
    rows = np.linspace(0, 1, 3 * len(ids)).reshape(len(ids), 3).astype(np.float16)
    said = Predictions(np.array(ids, np.int64), rows)
    groups = dict(said.groups())
    assert list(groups) == said.groups_of(ids) and sum(map(len, groups.values())) == 7 * len(ids)
    again = Predictions.from_groups(groups, 3)
    assert again.ids.dtype == np.int64 and again.probabilities.dtype == np.float16
    assert again.ids.tolist() == ids and again.probabilities.tobytes() == rows.tobytes()
    if ids:
        some = {number: groups[number] for number in said.groups_of(ids[-1:])}
        assert Predictions.from_groups(some, 3).lookup(ids[-1]).tolist() == rows[-1].tolist()


def test_a_damaged_group_is_refused(predictions):
    groups = {number: data[:-1] for number, data in predictions.groups()}
    with pytest.raises(CacheError, match="group 0 are damaged"):
        Predictions.from_groups(groups, 2)


class TestStored:
    @pytest.fixture
    def read(self):
        """The tasks that were read."""
        return []

    @pytest.fixture
    def stored(self, predictions, read):
        def rows(tasks):
            read.append(tasks)
            return predictions

        return StoredPredictions(3, rows)

    def test_nothing_is_read_before_it_is_asked_for(self, stored, read):
        assert len(stored) == 3 and read == []
        assert stored.decide(MODEL, 5) == "dog" and stored.decide(MODEL, 5) == "dog"
        assert stored.lookup(3) is None and stored.lookup(3) is None
        assert read == [[5], [3]]

    def test_many_are_read_at_once(self, stored, predictions, read):
        stored.fetch([2, 9, 3])
        stored.fetch([9, 3])
        assert [stored.decide(MODEL, task) for task in (2, 9, 3)] == ["cat", "cat", None] and read == [[2, 9, 3]]
        stored.fetch([3, 5])
        assert read[1:] == [[5]]
        predictions.fetch([2])  # of what is at hand there is nothing to read
        predictions.fetch()

    def test_all_of_them_are_read_once(self, stored, predictions, read):
        assert stored.ids.tolist() == [2, 5, 9] and stored.probabilities is predictions.probabilities
        stored.fetch()
        stored.fetch([5])
        assert stored.decide(MODEL, 5) == "dog" and stored.to_bytes() == predictions.to_bytes() and read == [None]
