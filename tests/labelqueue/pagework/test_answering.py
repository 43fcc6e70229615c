"""The job that answers pages: values, errors of ours, errors that are none of ours, other versions."""

import pytest

from labelqueue.exceptions import CacheError
from labelqueue.jobs.pages import Answer, Question, answer_of, ask
from labelqueue.pagework import answering
from labelqueue.worker.runtime import Runtime


@pytest.fixture
def answered(store, project, deployment, monkeypatch):
    """Return what a question gets, answered in this process."""
    runtime = Runtime(deployment)
    monkeypatch.setattr(answering, "current", lambda: runtime)

    def find(name, *details, waited=True):
        question = Question(name, project.key, details)
        ask(store, question)
        if not waited:
            store.delete(f"lq:waited:{question.id}")
        monkeypatch.setattr(answering, "get_current_job", lambda: question)
        answering.page_job(project.key, name, list(details), 60.0)
        return answer_of(store, question)

    return find


def failing(runtime, project, error):
    raise {"ours": CacheError("the embeddings are gone"), "other": ZeroDivisionError("x")}[error]


def test_answers(answered, monkeypatch):
    monkeypatch.setattr(answering, "ANSWERS", {"add": lambda runtime, project, a, b: a + b, "fail": failing})
    assert answered("add", 1, 2) == Answer(3)
    assert answered("fail", "ours") == Answer(error="the embeddings are gone")
    assert answered("fail", "other") == Answer(error="it failed; labelqueue's log says why")
    assert "another version" in answered("gone").error
    assert answered("add", 3, 4, waited=False) is None
