"""Which orders there were and what comes next: how an order is named, and what the command line prints of it."""

import pytest

from labelqueue import admin
from labelqueue.admin.orders import audit_lines, order_audit, order_lines, order_list, order_list_lines, project_order
from labelqueue.exceptions import ProjectError
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.state.project import TaskRow
from published import publish


@pytest.mark.parametrize("name", [2, "2", "r2", "r2 BAL", " r2 BAL "])
def test_an_order_has_a_number_and_a_version(project, name):
    publish(project, "FreeSel", "BAL")
    assert admin.find_order(project, name).version == "r2 BAL"


@pytest.mark.parametrize("name", [99, "r99", "r2 BAL", "", "²", "-1"])
def test_an_unknown_order_is_an_error_that_lists_the_orders(project, name):
    with pytest.raises(ProjectError, match="none was published yet"):
        admin.find_order(project, name)
    publish(project, *["FreeSel"] * 11, "BAL")
    with pytest.raises(ProjectError, match=r"there are 'r12 BAL', 'r11 FreeSel', .*'r3 FreeSel', and 2 older ones$"):
        admin.rollback(project, name)
    assert project.get("rollback_wanted") == ""


def test_an_order_that_is_used_up_says_so():
    assert list(order_lines({"project": 7, "version": None, "tasks": []})) == ["project 7: no order yet"]
    assert "labeled or skipped" in list(order_lines({"project": 7, "version": "r9 BAL cycle 3", "tasks": []}))[1]


def test_the_lines_of_a_live_order_and_of_all_that_there_were(project):
    publish(project, "FreeSel", "BAL")
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    assert list(order_lines(project_order(project))) == ["project 7: r2 BAL", "    1  task 1        why"]
    newest, oldest = list(order_list_lines(order_list(project)))[1:]
    assert newest.split()[:2] == ["r2", "BAL"] and "live" in newest.split() and "live" not in oldest.split()
    lines = list(audit_lines(order_audit(project, admin.find_order(project, 1))))
    assert lines[0] == "project 7: r1 FreeSel" and lines[-1] == "    1  task 1        why"
    project.put_tasks({1: TaskRow("/1.jpg", ANNOTATED)})
    assert "labeled or skipped" in list(order_lines(project_order(project)))[1]


def test_latest_names_the_newest_order(project):
    with pytest.raises(ProjectError, match="none was published yet"):
        admin.find_order(project, "latest")
    publish(project, "FreeSel", "BAL")
    assert admin.find_order(project, "latest").version == "r2 BAL"
