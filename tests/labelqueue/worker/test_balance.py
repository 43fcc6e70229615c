"""The setting `balance` through the service: values are read, orders shared out, verified, and told in status."""

from __future__ import annotations

import numpy as np
import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.admin.status import project_status, status_lines
from labelqueue.admin.verification import verify_order
from labelqueue.state.orders import Orders
from labelqueue.worker.runtime import Runtime

N = 300
SITE = {task: "abc"[(task > 150) + (task > 240)] for task in range(1, N + 1)}  # 50, 30 and 20 %
SHARES = np.array([0.5, 0.3, 0.2])


@pytest.fixture
def desk(project, deployment):
    settings = {"switch_after": 20, "trials": 3, "horizon": 10, "control_share": 0.0, "prelabel": "off"}
    project.put_settings(settings, "test")
    desk = Desk(Runtime(deployment), project, N)
    label = desk.server._row

    def row(task, annotations, clock):
        found = label(task, annotations, clock)
        found["data"]["meta"] = {"site": SITE[task]}
        return found

    desk.server._row = row
    desk.server.rows = {task: row(task, [], 0) for task in desk.server.rows}
    desk.tend()
    return desk


def off(tasks):
    sites = np.array([[SITE[task] == site for site in "abc"] for task in tasks], dtype=float)
    sums = np.concatenate([np.zeros((1, 3)), np.cumsum(sites, axis=0)])
    return np.abs(sums[20:] - sums[:-20] - 20 * SHARES).max()


def told(desk):
    return "\n".join(status_lines(project_status(desk.project)))


def test_what_is_served_is_within_the_bound_through_trainings_and_refills_and_verifies(desk):
    desk.project.put_settings({"balance": "meta.site"}, "test")
    desk.tend()
    assert desk.live.why == "settings changed" and desk.live.parameters["balance"] == "meta.site"
    desk.play(90, step=6)
    assert desk.live.number > 3
    labeled = {row["annotations"][0]["id"]: task for task, row in desk.server.rows.items() if row["annotations"]}
    assert off([labeled[moment] for moment in sorted(labeled)]) <= 2
    for order in Orders(desk.project).all():
        found = verify_order(desk.project, order, lambda generation: desk.runtime.cache(desk.project, generation))
        assert found["outcome"] == "same", (order.number, found["why"])


def test_status_names_the_field_and_its_values(desk):
    assert project_status(desk.project)["balance"] is None
    desk.project.put_settings({"balance": "meta.site"}, "test")
    assert "still to be read for their values of 'meta.site'" in told(desk)
    desk.tend()
    assert project_status(desk.project)["balance"] == {
        "field": "meta.site",
        "values": 3,
        "largest": [{"value": "a", "share": 0.5}, {"value": "b", "share": 0.3}, {"value": "c", "share": 0.2}],
        "warning": "",
    }
    assert "shared out by meta.site, of 3 values: a 50%, b 30%, c 20%" in told(desk)


def test_a_field_that_no_task_has_is_named_beside_those_there_are(desk):
    desk.project.put_settings({"balance": "stie"}, "test")
    desk.tend()
    warning = project_status(desk.project)["balance"]["warning"]
    assert "no task has a value in the field 'stie'; their data has 'image', 'meta'" in warning
    assert desk.live.places, "the queue goes on"
    admin.change_settings(desk.project, {"balance": "meta.site"}, "test")
    desk.tend()
    assert project_status(desk.project)["balance"]["values"] == 3


def test_without_the_setting_nothing_is_kept(desk):
    desk.project.put_settings({"balance": "meta.site"}, "test")
    desk.tend()
    key = desk.project.name("balance")
    assert desk.project.store.hlen(key) == N
    del desk.server.rows[N]
    desk.project.set(want_full="1")
    desk.tend()
    assert desk.project.store.hlen(key) == N - 1
    desk.project.put_settings({"balance": ""}, "test")
    desk.tend()
    assert not desk.project.store.exists(key) and "balance" not in desk.live.parameters
