"""Predictions are sent once each, whatever Label Studio refuses of them, against one that a test makes refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import CONFIG
from labelqueue.admin.status import project_status
from labelqueue.exceptions import LabelStudioError, PublishError
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.order import Order, Place, score
from labelqueue.publishing import sending
from labelqueue.publishing.publishing import Publisher
from labelqueue.publishing.sending import TRIED, Sender
from labelqueue.state.orders import Orders

SCORES = {task: score(task) for task in range(1, 301)}
NESTED = CONFIG.replace("toName", 'allowNested="true" toName')


class Picky:
    """The writing side of Label Studio, with tasks whose pre-label it refuses.

    `strict` refuses a whole import for one of them, else it drops them without a word. `alone` is what a single POST
    refuses.
    """

    def __init__(self, tasks, offenders=(), *, strict=False, alone=()):
        self.tasks, self.offenders, self.strict, self.alone = set(tasks), set(offenders), strict, set(alone)
        self.stored, self.imports, self.singles = [], 0, 0
        self.remote = {"sampling": "", "model_version": ""}

    def import_predictions(self, project, rows):
        self.imports += 1
        if any(row["task"] not in self.tasks for row in rows):
            raise LabelStudioError("no such task", status=400)
        bad = [row for row in rows if row["result"] and row["task"] in self.offenders]
        if bad and self.strict:
            raise LabelStudioError("Prediction 0: Invalid value", status=400)
        self.stored += [dict(row) for row in rows if row not in bad]
        return len(rows) - len(bad)

    def create_prediction(self, row):
        self.singles += 1
        if row["task"] in self.alone and row["result"]:
            raise LabelStudioError("each item should be dict", status=400)
        self.stored.append(dict(row))

    def predicted(self, project, version):
        return {row["task"] for row in self.stored if row["model_version"] == version}

    def existing(self, project, tasks):
        return set(tasks) & self.tasks

    def project(self, project):
        return dict(self.remote)

    def update_project(self, project, **values):
        self.remote |= values

    def save_tab(self, *arguments, skipped=None):
        return 1

    def prediction_counts(self, project):
        return {}

    def results(self, version):
        rows = [row for row in self.stored if row["model_version"] == version]
        assert len({row["task"] for row in rows}) == len(rows), "one prediction of one version on one task"
        return {row["task"]: row["result"] for row in rows}


def places(n, bare=()):
    return tuple(Place(task, "why", prelabel=None if task in bare else "cat") for task in range(1, n + 1))


def order(n):
    return Order(
        number=0, version="BAL", strategy="BAL", parameters={"seed": 0}, generation="g", arrivals=n,
        labeled=0, embedded=n, created_at=0.0, places=places(n),
    )  # fmt: skip


def sender(project, client, *, config=CONFIG, bulk=True):
    project.set(single_seconds="9" if bulk else "0.001", bulk_seconds="0.01" if bulk else "9")
    return Sender(project, client, lambda: None, parse_label_config(config), "r1 BAL")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just(n), *[st.sets(st.integers(1, n), max_size=12) for _ in range(3)])
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([CONFIG, NESTED]),
)
def test_each_is_sent_once_and_only_refused_pre_labels_are_left_out(project, case, strict, bulk, config):
    n, offenders, alone, bare = case
    client = Picky(range(1, n + 1), offenders, strict=strict, alone=alone)
    way = sender(project, client, config=config, bulk=bulk)
    assert way.send(places(n, bare), SCORES)
    results = client.results("r1 BAL")
    assert results.keys() == set(range(1, n + 1))
    singly = not bulk or config is NESTED
    refused = (alone if singly else offenders) - bare
    without = {task for task, result in results.items() if not result}
    assert way.withheld.keys() == without - bare >= refused
    # Looking for many offenders ends somewhere; few are found one by one.
    assert len(refused) > 3 or way.withheld.keys() == refused


@pytest.mark.parametrize("strict", [True, False])
def test_many_offenders_do_not_cost_many_imports(project, strict):
    client = Picky(range(1, 301), range(1, 301, 2), strict=strict)
    assert sender(project, client).send(places(300), SCORES)
    assert len(client.results("r1 BAL")) == 300 and client.imports < 3 * sending.HALVINGS


def test_nested_choices_are_sent_one_by_one_and_not_without_end(project, monkeypatch):
    monkeypatch.setattr(sending, "ONE_BY_ONE", 5)
    client = Picky(range(1, 21))
    way = sender(project, client, config=NESTED)
    assert way.send(places(20, bare={2}), SCORES)
    assert (client.imports, client.singles) == (1, 5)
    assert [task for task, result in client.results("r1 BAL").items() if result] == [1, 3, 4, 5, 6]
    assert way.withheld.keys() == set(range(7, 21))
    assert client.results("r1 BAL")[1][0]["value"] == {"choices": [["cat"]]}


def test_a_row_without_pre_label_that_is_not_stored_is_no_matter_of_pre_labels(project, monkeypatch):
    client = Picky(range(1, 4))
    monkeypatch.setattr(client, "import_predictions", lambda project, rows: len(rows) - 1)
    assert not sender(project, client).send(places(3, bare={1, 2, 3}), SCORES)


def test_publishing_goes_on_and_says_which_tasks_go_without(project, caplog):
    client = Picky(range(1, 11), {3, 7})
    project.set(single_seconds="9")
    publisher = Publisher(project, client, lambda: None, client.remote, parse_label_config(CONFIG))
    live = publisher.publish(order(10))
    assert {task for task, result in client.results(live.version).items() if not result} == {3, 7}
    told = project_status(project)["refused_prelabels"]
    why = "Label Studio's import refuses it"
    assert told == {"count": 2, "first": [f"task 3: {why}", f"task 7: {why}"]} and "task 7: " in caplog.text
    client.tasks |= {11, 12}
    client.offenders |= {12}
    more = (Place(11, "why", prelabel="dog"), Place(12, "why", prelabel="dog"))
    project.set(single_seconds="9", bulk_seconds="0.01")
    publisher.refill(replace(live, places=(*live.places, *more)), more)
    assert project_status(project)["refused_prelabels"]["count"] == 3
    other = replace(live, number=9, version="r9 FreeSel")
    Orders(project).save(other)
    Orders(project).go_live(other)
    assert project_status(project)["refused_prelabels"]["count"] == 0, "that was another order"
    client.offenders.clear()
    publisher.publish(order(10))
    assert project_status(project)["refused_prelabels"] == {"count": 0, "first": []}


@pytest.mark.parametrize("strict", [True, False])
def test_deleted_tasks_are_no_matter_of_pre_labels(project, strict):
    client = Picky({1, 2, 4}, {2}, strict=strict)
    project.set(single_seconds="9", bulk_seconds="0.01")
    publisher = Publisher(project, client, lambda: None, client.remote, parse_label_config(CONFIG))
    live = publisher.publish(order(4))
    assert {place.task for place in live.places} == {1, 2, 4}
    assert {task: bool(result) for task, result in client.results(live.version).items()} == {1: True, 2: False, 4: True}
    client.tasks.clear()
    with pytest.raises(PublishError, match="every task of the new order was deleted"):
        publisher.publish(order(4))


class Priced(Picky):
    """A Label Studio whose calls take their time, on a clock of its own."""

    def __init__(self, monkeypatch, single, bulk):
        super().__init__(range(1, 301))
        self.now, self.single, self.bulk = 0.0, single, bulk
        monkeypatch.setattr(sending.time, "monotonic", lambda: self.now)

    def create_prediction(self, row):
        self.now += self.single
        super().create_prediction(row)

    def import_predictions(self, project, rows):
        self.now += self.bulk + 0.0015 * len(rows)
        return super().import_predictions(project, rows)


def sent(project, client, n):
    """Send an order of so many places; return its predictions sent one by one, its imports, and its seconds."""
    before = client.singles, client.imports, client.now
    client.stored.clear()
    assert Sender(project, client, lambda: None, parse_label_config(CONFIG), "r1 BAL").send(places(n), SCORES)
    assert client.results("r1 BAL").keys() == set(range(1, n + 1))
    return client.singles - before[0], client.imports - before[1], client.now - before[2]


@pytest.mark.parametrize(("single", "bulk"), [(0.03, 4.9), (0.05, 0.3), (0.3, 1.6), (0.02, 1.5), (0.2, 30.0)])
def test_the_cheaper_way_is_found_whatever_the_first_guess(project, monkeypatch, single, bulk):
    client = Priced(monkeypatch, single, bulk)
    costs = [sent(project, client, 60)[2] for _ in range(60)]
    best = min(60 * single, bulk + 60 * 0.0015)
    assert costs[-1] <= 1.05 * best + TRIED * single and sum(costs[20:]) <= 1.2 * 40 * best


def test_what_many_cost_together_says_nothing_of_few(project, monkeypatch):
    client = Priced(monkeypatch, single=0.09, bulk=4.0)
    assert sent(project, client, 300)[1] == 1
    assert float(project.get("bulk_seconds")) == pytest.approx(4.0)
    assert sent(project, client, 60)[1] == 1 and sent(project, client, 30) == (30, 0, pytest.approx(2.7))


def test_two_tell_that_they_became_dear_before_all_are_sent(project, monkeypatch):
    client = Priced(monkeypatch, single=0.01, bulk=2.0)
    project.set(single_seconds="0.01", bulk_seconds="2.0")
    assert sent(project, client, 60)[:2] == (60, 0)
    client.single = 1.0
    assert sent(project, client, 60)[:2] == (TRIED, 1)
    assert sent(project, client, 60)[:2] == (0, 1)


def test_what_is_sent_one_by_one_for_its_form_is_no_import(project):
    client = Picky(range(1, 11))
    assert sender(project, client, config=NESTED).send(places(10), SCORES)
    assert client.imports == 0 and project.get("bulk_seconds") == "0.01", "as it was before"


def test_an_import_that_takes_too_long_is_not_tried_for_ever(project, monkeypatch):
    client = Priced(monkeypatch, single=0.1, bulk=60.0)

    def too_slow(number, rows):
        client.now += 41.0
        raise LabelStudioError("timed out", timed_out=True)

    monkeypatch.setattr(client, "import_predictions", too_slow)
    with pytest.raises(LabelStudioError, match="timed out"):
        sent(project, client, 60)
    assert sent(project, client, 60)[0] == 60


@pytest.mark.parametrize(("tasks", "ways"), [(300, (0, 1)), (100_000, (60, 0))])
def test_the_first_order_of_a_large_project_goes_one_by_one(project, monkeypatch, tasks, ways):
    monkeypatch.setattr(type(project), "task_count", lambda self: tasks)
    assert sent(project, Priced(monkeypatch, single=0.09, bulk=1e-4 * tasks), 60)[:2] == ways
