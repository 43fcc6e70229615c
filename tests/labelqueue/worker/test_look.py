"""A look at a project: what goes wrong is told and made up for, and nothing is dropped on one answer."""

import time

import pytest

from desk import Desk
from labelqueue.exceptions import CacheError, CredentialError, LabelStudioError, NotFoundError
from labelqueue.jobs import shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.learning.learner import train
from labelqueue.ordering import campaign
from labelqueue.settings import Deployment
from labelqueue.state.journal import Event, Journal
from labelqueue.state.lock import ProjectLock
from labelqueue.state.project import Project, TaskRow
from labelqueue.sync.connecting import GONE_AFTER
from labelqueue.worker import look as tending
from labelqueue.worker.runtime import Runtime, install


class Denying:
    """A server that does not know the project; answers 404 to a good key, or to any key."""

    def __init__(self, accepts: bool) -> None:
        self.accepts = accepts

    def project(self, project: int) -> dict:
        raise NotFoundError("404", status=404)

    def whoami(self) -> dict:
        if not self.accepts:
            raise CredentialError("404 to everything: a proxy, while Label Studio restarts", status=404)
        return {}


@pytest.fixture
def tend(project, deployment, monkeypatch):
    """Tend the project against a server that denies it; call with whether it accepts our key."""
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    monkeypatch.setattr(tending, "get_current_job", lambda: None)

    def run(accepts: bool = True, settings: Deployment = deployment) -> str:
        runtime = Runtime(settings)
        runtime.__dict__["client"] = Denying(accepts)
        install(runtime)
        return tending.tend_job(project.key)

    return run


def test_one_denial_drops_nothing_and_is_shown(tend, project):
    assert tend() == "not found in Label Studio"
    assert project.get("error") == "Label Studio does not know this project (any more)"
    assert project.tasks()


def test_a_server_that_denies_everything_is_not_believed(tend, project):
    project.set(gone_since=str(time.time() - 2 * GONE_AFTER))
    tend(accepts=False)
    assert project.tasks() and "restarts" in project.get("error")


def test_after_a_while_nothing_is_left(tend, project, store):
    tend()
    project.set(gone_since=str(time.time() - 2 * GONE_AFTER))
    tend()
    assert Project.all(store) == []
    assert [key for key in store.scan_iter("*") if project.key.encode() in key] == []


def test_a_project_of_another_label_studio_is_left_alone(tend, project, redis_home):
    other = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": "http://staging.test"}
    assert "another Label Studio" in tend(settings=Deployment.from_environment(other))
    assert project.tasks() and project.get("gone_since") == ""


# -- a project at work


@pytest.fixture
def desk(project, deployment, monkeypatch):
    """A project whose first order is live: 60 images, 30 of them published."""
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off"}, "test")
    runtime = Runtime(deployment)
    desk = Desk(runtime, project, 60)
    install(runtime)
    desk.tend()
    return desk


def delayed(project):
    at = project.store.zscore("lq:delayed", project.key)
    return None if at is None else at - time.time()


def fail(error):
    def call(*arguments, **options):
        raise error

    return call


def test_events_are_kept_until_they_were_acted_on(desk, project, monkeypatch):
    journal = Journal(project)
    journal.append(Event("ANNOTATION_CREATED", (1,), (5,), (1,)))
    project.set(error="of before")
    with monkeypatch.context() as patch:
        patch.setattr(desk.server, "tasks", fail(LabelStudioError("no answer", timed_out=True)))
        assert tending.tend_job(project.key) == "no answer"
    assert len(journal) == 1 and project.get("error") == "no answer"
    assert delayed(project) <= tending.RETRY_DELAY, "it is tried again"
    assert tending.tend_job(project.key) == "the live order holds"
    assert len(journal) == 0 and project.get("error") == "" and project.annotators_at_work() == 1


def test_a_label_config_without_an_image_is_told_and_waited_for(desk, project):
    desk.server.remote["label_config"] = "<View><Text name='t' value='$t'/></View>"
    assert "image" in tending.tend_job(project.key)
    assert "image" in project.get("error") and delayed(project) is None


def test_what_nobody_expected_is_told_and_leaves_the_project_free(desk, project, monkeypatch):
    monkeypatch.setattr(desk.server, "tasks", fail(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        tending.tend_job(project.key)
    assert project.get("error").startswith("unexpected ZeroDivisionError: a bug")
    assert not project.store.exists(project.name("tending"), project.name("lock"))


def test_two_workers_do_not_look_at_one_project_at_a_time(desk, project, monkeypatch):
    project.store.set(project.name("queued"), "1")
    with ProjectLock(project):
        assert tending.tend_job(project.key) == "another worker tends it"
    assert delayed(project) <= 1 and not project.store.exists(project.name("queued"))


def test_a_project_that_was_forgotten_meanwhile_is_no_error(desk, project):
    project.forget()
    assert "is not known here" in tending.tend_job(project.key)


def test_a_refill_that_failed_is_followed_by_a_new_order_at_once(desk, project, monkeypatch):
    project.set(single_seconds="1", bulk_seconds="0.1")
    before, complete = desk.live, desk.server.import_predictions
    calls = []

    def half(project, rows):
        calls.append(rows[0]["model_version"])
        return complete(project, rows[:-1]) if len(calls) == 1 else complete(project, rows)

    monkeypatch.setattr(desk.server, "import_predictions", half)
    desk.label(9)
    assert desk.tend() == "r2 FreeSel is live with 30 tasks (the refill before it failed)"
    assert calls == ["r1 FreeSel", "r2 FreeSel"] and before.version == "r1 FreeSel"
    controls = {place.task for place in desk.live.places if place.control}
    assert {task for task, version in desk.memory.controls.items() if version == "r2 FreeSel"} == controls
    assert project.get("refilling") == "" and desk.tend() == "the live order holds"


def test_a_training_that_a_failed_refill_came_with_is_not_repeated(desk, project, monkeypatch):
    project.set(single_seconds="1", bulk_seconds="0.1")
    complete, calls, trained = desk.server.import_predictions, [], []

    def half(project, rows):
        calls.append(rows)
        return complete(project, rows) - (len(calls) == 1)

    def counted(*arguments, **options):
        trained.append(len(arguments[1]))
        return train(*arguments, **options)

    monkeypatch.setattr(desk.server, "import_predictions", half)
    monkeypatch.setattr(campaign, "train", counted)
    desk.label(12)
    assert "the refill before it failed" in desk.tend()
    assert trained == [10] and desk.memory.trainings == 1 and len(calls) == 2


def test_damaged_embeddings_are_dropped_and_the_images_wait_again(desk, project, tmp_path):
    generation, before = project.get("generation"), desk.live
    key = project.name("cache", generation, "blocks")
    (name,) = project.store.hkeys(key)
    project.store.hset(key, name, project.store.hget(key, name)[:-1] + b"?")
    for path in desk.runtime.spool.rglob("*.block"):
        path.unlink()
    desk.label(9)
    with pytest.raises(CacheError, match="does not match its checksum"):
        desk.tend()
    assert project.get("generation") == "" and desk.live == before
    assert desk.tend() == "no image is embedded yet"
    assert project.get("generation") == generation
    pending = {int(raw) for raw in project.store.zrange(project.name("pending"), 0, -1)}
    assert pending | shards.in_flight(project) == set(range(1, 61))
    desk.embed(8)
    assert desk.tend().startswith("r1 FreeSel refilled with")
