"""A look at a project: what goes wrong is told and made up for, and nothing is dropped on one answer."""

import shutil
import time

import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.exceptions import CacheError, LabelStudioError, NotFoundError
from labelqueue.jobs import shards
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.learning.learner import train
from labelqueue.ordering import campaign
from labelqueue.reading.presence import ASK_EVERY, BELIEVED_AFTER
from labelqueue.settings import Deployment
from labelqueue.state.journal import Event, Journal
from labelqueue.state.label_book import LabelBook
from labelqueue.state.people import People
from labelqueue.state.project import ASIDE, Project
from labelqueue.state.task_row import TaskRow
from labelqueue.store.lock import ProjectLock
from labelqueue.worker import look as tending
from labelqueue.worker.runtime import Runtime, install

DENIED = NotFoundError("404", status=404)
DENIED.proven = True


class Denying:
    """A server that does not know the project, or a proxy that answers 404 while it restarts."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def guarded(self, check):
        return self

    def project(self, project: int) -> dict:
        raise self.error

    def whoami(self) -> dict:
        return {}

    def projects(self) -> list:
        return [{"id": 1, "created_at": "2026-01-01T00:00:00Z"}]


@pytest.fixture
def tend(project, deployment, monkeypatch):
    """Tend the project against a server that denies it."""
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    monkeypatch.setattr(tending, "get_current_job", lambda: None)

    def run(error: Exception = DENIED, settings: Deployment = deployment) -> str:
        runtime = Runtime(settings)
        runtime.__dict__["client"] = Denying(error)
        install(runtime)
        return tending.tend_job(project.key)

    return run


def test_one_denial_drops_nothing_and_is_shown(tend, project):
    assert tend() == "not found in Label Studio"
    assert project.get("error").startswith("Label Studio does not know this project (any more)")
    assert project.tasks()


def test_the_page_of_a_proxy_is_an_error_like_any_other(tend, project):
    assert "a page" in tend(NotFoundError("404: a page", status=404))
    assert project.tasks() and project.get("denied_since") == "" and delayed(project) <= tending.RETRY_DELAY


def test_set_aside_it_is_not_tended_and_forgotten_a_week_later(tend, project, store):
    now = time.time()
    project.set(denied_since=str(now - BELIEVED_AFTER - 60), denied_at=str(now - 60))
    assert tend() == "set aside" and project.tasks()
    assert tend(ZeroDivisionError()) == "set aside", "it is asked for each hour"
    project.set(set_aside=str(now - ASIDE - 60), denied_at=str(now - 2 * ASK_EVERY))
    tend()
    assert Project.all(store) == []
    assert [key for key in store.scan_iter("*") if project.key.encode() in key] == []


def test_a_look_that_forgets_a_project_leaves_nothing_even_if_it_writes_on(tend, project, store):
    """`error`, `tending` and the lock are written after the look itself."""
    project.store.zadd("lq:delayed", {project.key: 1.0})

    def forgotten_meanwhile():
        project.forget()
        raise LabelStudioError("no answer", unanswered=True)

    denying = Denying(DENIED)
    denying.whoami = forgotten_meanwhile
    tend()  # installs a runtime
    tending.current().__dict__["client"] = denying
    assert tending.tend_job(project.key) == "no answer"
    assert list(store.scan_iter(f"lq:{project.key}:*")) == [] and project.get("error") == ""


def test_a_project_of_another_label_studio_is_left_alone(tend, project, redis_home):
    other = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": "http://staging.test"}
    project.store.set(project.name("queued"), "")
    assert "another Label Studio" in tend(settings=Deployment.from_environment(other))
    assert project.tasks() and project.get("denied_since") == ""
    assert not project.store.exists(project.name("queued")), "nobody asks again and again"


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
    assert len(journal) == 0 and project.get("error") == "" and People(project).at_work() == 1


@pytest.mark.parametrize(("asked", "put_off"), [(0.0, 10), (60.0, 60), (86_400.0, 300)])
def test_a_label_studio_that_asks_to_be_left_alone_is_but_not_for_ever(desk, project, monkeypatch, asked, put_off):
    busy = LabelStudioError("429 too many requests", status=429, retry_after=asked)
    monkeypatch.setattr(desk.server, "tasks", fail(busy))
    assert "429" in tending.tend_job(project.key)
    assert delayed(project) == pytest.approx(put_off, abs=2)
    with ProjectLock(project) as lock:
        assert lock.acquired, "nobody holds it while waiting"


@pytest.mark.parametrize("error", [LabelStudioError("away", unanswered=True), LabelStudioError("502", status=502)])
def test_after_label_studio_was_away_there_is_one_complete_reading(desk, project, monkeypatch, error):
    """Killed in the middle of a submit, it kept an annotation and did not move the task's `updated_at`."""
    tending.tend_job(project.key)
    desk.server.label(3, "cat")
    desk.server.rows[3]["updated_at"] = "2026-11-20T00:00:00+00:00"
    assert tending.tend_job(project.key) == "the live order holds"
    assert project.task_rows([3])[3].state == UNLABELED, "nothing tells"
    for call in ("project", "tasks", "import_predictions"):
        project.set(want_full="0")
        with monkeypatch.context() as patch:
            patch.setattr(desk.server, call, fail(error))
            if call == "import_predictions":
                admin.retrain(project)
            assert tending.tend_job(project.key) == str(error)
        assert project.get("want_full") == "1", call
    tending.tend_job(project.key)
    assert project.task_rows([3])[3].state == ANNOTATED and project.get("want_full") == "0"


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
    job = type("Job", (), {"id": "1", "worker_name": "w2"})()
    monkeypatch.setattr(tending, "get_current_job", lambda: job)
    project.store.mset({project.name("queued"): "1", project.name("tending"): "w1"})
    with ProjectLock(project):
        assert tending.tend_job(project.key) == "another worker tends it"
    assert delayed(project) <= 1 and not project.store.exists(project.name("queued"))
    assert project.store.get(project.name("tending")) == b"w1"


def test_a_project_that_was_forgotten_meanwhile_is_no_error(desk, project):
    project.forget()
    assert "is not known here" in tending.tend_job(project.key)


def test_the_task_of_a_deleted_annotation_is_found_though_the_event_does_not_name_it(desk, project):
    desk.label(3)
    desk.tend()
    book, task = LabelBook(project), next(iter(LabelBook(project).labels(project.target()).values))
    (annotation,) = desk.server.rows[task]["annotations"]
    desk.server.rows[task]["annotations"] = []  # Label Studio lost count of it
    Journal(project).append(Event("ANNOTATIONS_DELETED", (annotation["id"],)))
    desk.tend()
    assert task not in book.labels(project.target()).values and book.annotations_of([task]) == {}


def test_a_refill_that_failed_is_followed_by_a_new_order_at_once(desk, project, monkeypatch):
    project.set(single_seconds="1", bulk_seconds="0.1")
    before, complete = desk.live, desk.server.import_predictions
    calls = []

    def half(project, rows):
        calls.append(rows[0]["model_version"])
        return complete(project, rows[:-1]) if len(calls) == 1 else complete(project, rows)

    monkeypatch.setattr(desk.server, "import_predictions", half)
    desk.label(9)
    assert desk.tend() == "r2·k7f FreeSel is live with 30 tasks (the refill before it failed)"
    assert calls == ["r1·k7f FreeSel", "r2·k7f FreeSel"] and before.version == "r1·k7f FreeSel"
    controls = {place.task for place in desk.live.places if place.control}
    assert {task for task, version in desk.memory.controls.items() if version == "r2·k7f FreeSel"} == controls
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
    shutil.rmtree(desk.runtime.spool, ignore_errors=True)
    desk.label(9)
    with pytest.raises(CacheError, match="does not match its checksum"):
        desk.tend()
    assert project.get("generation") == "" and desk.live == before
    assert desk.tend() == "no image is embedded yet"
    assert project.get("generation") == generation
    pending = {int(raw) for raw in project.store.zrange(project.name("pending"), 0, -1)}
    assert pending | shards.in_flight(project) == set(range(1, 61))
    desk.embed(8)
    assert desk.tend().startswith("r1·k7f FreeSel refilled with")


def test_a_look_leaves_what_pages_show_without_reading_tasks(desk, project):
    """Counts of tasks, who labeled when and for how long, and what they are called."""
    desk.label(12)
    for task, row in desk.server.rows.items():
        for one in row["annotations"]:
            one |= {"completed_by": 3, "created_at": "2026-11-21T10:00:00Z", "lead_time": 4.0 + task % 2}
    desk.server.people = lambda: [{"id": 3, "first_name": "Ada", "last_name": "Byron"}]
    project.set(want_full="1")
    project.drop("labels:*")  # read again
    desk.tend()
    facts = admin.project_glance(project)
    assert (facts["tasks"], facts["labeled"], facts["skipped"]) == (60, 12, 0)
    assert facts["work"]["days"] == [["2026-11-21", 12, 0]]
    ((user, labels, skips, seconds),) = facts["work"]["people"]
    assert (user, labels, skips) == (3, 12, 0) and 4.0 <= seconds <= 5.0
    assert facts["names"] == {"3": "Ada Byron"} and facts["version"] == desk.live.version
    whole = admin.project_status(project)
    for name in facts.keys() & whole.keys():
        assert facts[name] == whole[name], name
