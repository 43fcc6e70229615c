"""Which orders there were and what comes next: how an order is named, and what the command line prints of it."""

import pytest

from labelqueue import admin
from labelqueue.admin.orders import audit_lines, order_audit, order_lines, order_list, order_list_lines, project_order
from labelqueue.exceptions import ProjectError, PublishError
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.task_row import TaskRow
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


@pytest.mark.parametrize("name", [4, "r4", "r4·k7f", "4·k7f", "r4·k7f BAL cycle 3", " 4 "])
def test_an_order_with_a_tag_is_found(project, name):
    Orders(project).save(Order(4, "r4·k7f BAL cycle 3", places=(Place(1, "why"),)))
    assert admin.find_order(project, name).number == 4


@pytest.mark.parametrize("name", ["r4·abc", "4·abc", "r4·k7f BAL"])
def test_one_of_another_tag_is_not_the_order(project, name):
    Orders(project).save(Order(4, "r4·k7f BAL cycle 3", places=(Place(1, "why"),)))
    with pytest.raises(ProjectError, match="has no order"):
        admin.find_order(project, name)


def test_what_is_left_of_an_old_order_is_shown_and_is_no_way_back(project):
    publish(project, "FreeSel", "Random", "BAL")
    orders = Orders(project)
    orders.save(orders.get(1).summary())
    rows = order_list(project)["orders"]
    assert [(row["number"], row["published"], row["forgotten"]) for row in rows] == [(3, 1, 0), (2, 1, 0), (1, 1, 1)]
    assert "1 tasks  summary" in list(order_list_lines(order_list(project)))[-1]
    audit = order_audit(project, admin.find_order(project, 1))
    assert audit["tasks"] == []
    assert "no longer on record: only those of the newest 50 orders are" in "\n".join(audit_lines(audit))
    for name in (1, "r1 FreeSel"):
        with pytest.raises(PublishError, match=r"back to 'r1 FreeSel'.* it can go back to 'r3 BAL', 'r2 Random'$"):
            admin.rollback(project, name)
    assert project.get("rollback_wanted") == ""


def test_an_order_that_was_published_again_says_of_which(project):
    publish(project, "FreeSel", "BAL")
    Orders(project).save(Order(3, "r3·k7f back to r1", places=(Place(1, "why"),), again=1))
    audit = order_audit(project, admin.find_order(project, 3))
    assert audit["again"] == 1 and any("r1, published again" in line for line in audit_lines(audit))
    own = order_audit(project, admin.find_order(project, 1))
    assert own["again"] == 0 and not [line for line in audit_lines(own) if "again" in line or "forgotten" in line]


def test_latest_names_the_newest_order(project):
    with pytest.raises(ProjectError, match="none was published yet"):
        admin.find_order(project, "latest")
    publish(project, "FreeSel", "BAL")
    assert admin.find_order(project, "latest").version == "r2 BAL"


def test_what_is_open_and_what_there_is_no_way_back_to(project):
    publish(project, "FreeSel", "BAL")
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED), 2: TaskRow("/2.jpg", ANNOTATED)})
    orders = [Order(1, "r1", places=(Place(2, "why"), Place(3, "why"), Place(1, "why"))), Order(2, "r2", forgotten=3)]
    assert admin.open_queues(project, orders) == [[1], None]
    newest, oldest = order_list(project)["orders"]
    assert admin.no_way_back(newest) == "it is live" and admin.no_way_back(oldest) == ""
    assert "only the newest 50" in admin.no_way_back(oldest | {"forgotten": 3})
