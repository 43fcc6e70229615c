"""Questions of pages: asked once while on the way, answered by a worker, kept, given up when nobody waits any more."""

import time

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from labelqueue.jobs.pages import Answer, Question, answer_of, ask, give_answer
from labelqueue.jobs.queues import PAGE, PAGE_SLOW, queue


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
    give_answer(store, question.id, Answer(error="gone"), 0.05)
    assert ask(store, question) == Answer(error="gone")
    time.sleep(0.1)
    assert ask(store, question) is None


def test_a_question_that_nobody_waits_for_is_dropped(store, project):
    ask(store, Question("nearest", project.key, deadline=-1.0))
    worker = SimpleWorker([queue(store, PAGE)], connection=store, serializer=JSONSerializer)
    worker.work(burst=True)
    assert answer_of(store, Question("nearest", project.key)) is None and not store.keys("rq:job:page-*")
