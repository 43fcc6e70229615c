"""The shared tab: which tasks it shows, in which sequence, and which columns."""

import logging
import operator

from labelqueue.exceptions import LabelStudioError
from labelqueue.ordering.order import score
from labelqueue.publishing.tab import HIDDEN, TAB, TAB_DATA, save_tab

OPERATORS = {"greater": operator.gt, "less": operator.lt, "equal": operator.eq}


def shown(tasks):
    """Return these tasks as Label Studio shows them in the tab: filtered, and in its sequence."""
    (column,) = TAB_DATA["ordering"]
    name, sign = column.removeprefix("-").removeprefix("tasks:"), -1 if column.startswith("-") else 1

    def passes(task):
        verdicts = []
        for item in TAB_DATA["filters"]["items"]:
            assert item["filter"].startswith("filter:tasks:") and item["type"] == "Number"
            value = task[item["filter"].removeprefix("filter:tasks:")]
            verdicts.append(value is not None and OPERATORS[item["operator"]](value, item["value"]))
        return {"and": all, "or": any}[TAB_DATA["filters"]["conjunction"]](verdicts)

    passing = [task for task in tasks if passes(task)]
    return [task["id"] for task in sorted(passing, key=lambda task: sign * task[name])]


def test_the_tab_shows_the_open_tasks_of_the_live_order_in_its_sequence(project):
    """Label Studio's score of a task is the mean over predictions of the project's model version; None without one."""

    def task(number, rank, annotations=0):
        said = None if rank is None else score(rank)
        return {"id": number, "predictions_score": said, "total_annotations": annotations}

    tasks = [task(1, 2), task(2, None), task(3, 0), task(4, 1, annotations=1), task(5, 10_000), task(6, None, 2)]
    assert shown(tasks) == [3, 1, 5]
    saved, checks = [], []

    class Remote:
        def save_tab(self, number, title, data, *, skipped):
            saved.append((number, title, data, len(checks)))

    save_tab(project, Remote(), lambda: checks.append(1))
    assert saved == [(7, TAB, TAB_DATA, 1)] and "don't label here" in TAB


def test_it_has_no_column_of_versions():
    for mode in ("explore", "labeling"):
        hidden = set(TAB_DATA["hiddenColumns"][mode])
        assert {"tasks:predictions_model_versions", "tasks:total_predictions"} <= hidden == set(HIDDEN)
        assert not {"tasks:predictions_score", "tasks:total_annotations"} & hidden


def test_one_that_cannot_be_saved_is_a_line_of_the_log(project, caplog):
    class Remote:
        def save_tab(self, *arguments, skipped):
            raise LabelStudioError("no room", status=500)

    with caplog.at_level(logging.WARNING):
        save_tab(project, Remote(), lambda: None)
    assert "the tab that shows the order could not be saved: no room" in caplog.text
