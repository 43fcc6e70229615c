"""What admins ask of a project: wishes, their answers to people, and errors that name the way out."""

import pytest

from labelqueue import admin
from labelqueue.exceptions import ProjectError, PublishError
from labelqueue.jobs import living
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import NOT_CONNECTED
from labelqueue.state.task_row import TaskRow
from published import publish


def queued(store):
    return store.llen("rq:queue:tend")


def test_every_wish_asks_a_worker_to_act_now(project, store):
    publish(project, "FreeSel", "BAL")
    for wish in (admin.pause, admin.resume, admin.rollback, admin.retrain, admin.reconcile):
        store.delete(project.name("queued"), "rq:queue:tend")
        wish(project)
        assert queued(store) == 1, wish.__name__


def test_answers_say_how_soon(project, store):
    living.heartbeat(store, "embedding-host-1-ab")
    assert "as soon as a worker runs" in admin.retrain(project)
    living.heartbeat(store, "tending-host-2-cd")
    assert "within seconds" in admin.retrain(project)
    project.set(paused="sampling was changed")
    assert "no longer paused" in admin.retrain(project)


def test_the_last_wish_counts(project):
    publish(project, "FreeSel", "BAL")
    admin.rollback(project)
    admin.pause(project)
    assert project.get("rollback_wanted") == "" and project.get("pause_wanted").startswith("paused by an admin at 20")
    admin.resume(project)
    assert (project.get("pause_wanted"), project.get("resume_wanted")) == ("", "1")
    admin.rollback(project)
    assert (project.get("resume_wanted"), project.get("rollback_wanted")) == ("", "1")


def test_retrain_lets_a_held_order_go(project):
    project.set(hold="'r1 FreeSel' was chosen by a rollback")
    admin.retrain(project)
    first = project.get("retrain_wanted")
    assert first and project.get("hold") == ""
    admin.retrain(project)  # a wish of its own: the one that is being fulfilled must not take it away
    assert project.get("retrain_wanted") != first


def test_reconcile_reads_all_and_tries_bad_images_again(project):
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    project.quarantine({1: ("/1.jpg", "broken")})
    admin.reconcile(project)
    assert project.get("want_full") == "1" and project.quarantined() == {}


def test_a_rollback_without_an_order_needs_one_before_the_live_one(project):
    with pytest.raises(PublishError, match="no live order"):
        admin.rollback(project)
    publish(project, "FreeSel")
    with pytest.raises(PublishError, match="no order before 'r1 FreeSel'"):
        admin.rollback(project)


def test_a_project_without_this_backend_has_no_queue_to_change(project):
    publish(project, "FreeSel", "BAL")
    project.set(paused=NOT_CONNECTED)
    for wish in (admin.pause, admin.resume, admin.rollback):
        with pytest.raises(PublishError, match="Settings > Model"):
            wish(project)
    assert not any(project.get(f"{wish}_wanted") for wish in ("pause", "resume", "rollback"))


def test_one_bad_image_is_tried_again_or_all_of_them(project, store):
    project.quarantine(dict.fromkeys((1, 2, 3), ("/x.jpg", "broken")))
    for part in ("deaths", "tries"):
        store.hset(project.name(part), mapping={"1": "1", "2": "1"})
    store.zadd(project.name("late"), {"1": 1.0, "2": 1.0})
    assert admin.try_again(project, [1]).startswith("the image of task 1 is tried again, as soon as a worker runs")
    assert set(project.quarantined()) == {2, 3} and store.get(project.name("queued"))
    assert [store.hkeys(project.name(part)) for part in ("deaths", "tries")] == [[b"2"], [b"2"]]
    assert store.zrange(project.name("late"), 0, -1) == [b"2"]
    with pytest.raises(ProjectError, match="task 1 has no bad image"):
        admin.try_again(project, [2, 1])
    assert admin.try_again(project).startswith("all bad images are tried again")
    assert not project.quarantined() and not store.exists(project.name("late"))
