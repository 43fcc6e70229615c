"""Tending a project that Label Studio denies: nothing is dropped on one answer, and nothing is left after many."""

import time

import pytest

from labelqueue.exceptions import CredentialError, NotFoundError
from labelqueue.labels.annotations import UNLABELED
from labelqueue.settings import Deployment
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
