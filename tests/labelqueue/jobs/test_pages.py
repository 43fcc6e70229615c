"""Questions of pages: asked once while on the way, answered by a worker, kept, given up when nobody waits any more."""

import time

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from labelqueue.jobs import pages
from labelqueue.jobs.pages import Answer, Question, answer_of, ask, give_answer, is_waited_for
from labelqueue.jobs.queues import PAGE, PAGE_SLOW, queue
from labelqueue.worker.runtime import Runtime, install


def test_a_question_is_asked_once_and_its_answer_kept(store, project):
    question = Question("nearest", project.key, (3, "x"))
    assert ask(store, question) is None and ask(store, Question("nearest", project.key, (3, "x"), keep=9)) is None
    assert queue(store, PAGE).job_ids == [question.id]
    assert ask(store, Question("nearest", project.key, (4, "x"))) is None and len(queue(store, PAGE)) == 2
    give_answer(store, question.id, Answer({"tasks": [1]}), 60.0)
    assert ask(store, question) == answer_of(store, question) == Answer({"tasks": [1]})
    assert answer_of(store, Question("nearest", project.key, (4, "x"))) is None


def test_what_takes_long_waits_behind_images(store, project):
    ask(store, Question("projection", project.key, slow=True))
    assert len(queue(store, PAGE)) == 0 and len(queue(store, PAGE_SLOW)) == 1


def test_an_answer_that_is_an_error_is_one_for_a_while(store, project):
    question = Question("nearest", project.key)
    give_answer(store, question.id, Answer(error="gone"), 30.0)
    assert ask(store, question) == Answer(error="gone")
    assert 0 < store.pttl(pages.ANSWER + question.id) <= 30_000
    give_answer(store, question.id, Answer(error="gone"), 0.05)
    time.sleep(0.1)
    assert ask(store, question) is None


def test_while_a_project_changes_there_are_answers_all_the_same(store, project, monkeypatch):
    one, two = (Question("nearest", project.key, (1,), state) for state in ("before", "after"))
    assert ask(store, one) is None and ask(store, two) is None
    assert queue(store, PAGE).job_ids == [one.id], "one job, whichever state the page saw"
    give_answer(store, one.id, Answer(1), 60.0, "before")
    assert ask(store, one) == ask(store, two) == Answer(1)
    monkeypatch.setattr(pages, "MOMENT", 0.0)
    assert ask(store, one) == Answer(1) and answer_of(store, two) is None
    give_answer(store, one.id, Answer(error="gone"), 60.0, "before")
    assert ask(store, two) == Answer(error="gone")


def test_a_page_that_goes_on_asking_waits_as_long_as_it_takes(store, project):
    question = Question("nearest", project.key, deadline=60.0)
    for _ in range(4):
        ask(store, question)
        assert store.pttl(pages.WAITED + question.id) > 30_000
        store.pexpire(pages.WAITED + question.id, 20_000)  # 40 seconds later
    assert len(queue(store, PAGE)) == 1 and is_waited_for(store, question.id)
    store.pexpire(pages.WAITED + question.id, 10)
    time.sleep(0.1)
    assert not is_waited_for(store, question.id)


def test_a_question_that_nobody_waits_for_is_dropped(store, project, deployment):
    install(Runtime(deployment))
    ask(store, Question("nearest", project.key, deadline=0.001))
    time.sleep(0.05)
    worker = SimpleWorker([queue(store, PAGE)], connection=store, serializer=JSONSerializer)
    worker.work(burst=True)
    assert answer_of(store, Question("nearest", project.key)) is None and not store.keys("rq:job:page-*")
