"""What a page asks of a worker, and the answer: one job per question; the web process never waits for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ..state import Redis, text
from .living import alive
from .queues import PAGE, PAGE_SLOW, is_on_its_way, queue

__all__ = ["Answer", "Question", "answer_of", "ask", "give_answer", "is_waited_for"]

ANSWER = "lq:answer:"  # and the question's id: what came out
WAITED = "lq:waited:"  # and the question's id: a page asked for it, and still waits
# Seconds that an answer holds whatever became of what it tells: of a project that changes all the time, each answer is
# one of a moment ago.
MOMENT = 2.0


@dataclass(frozen=True)
class Question:
    """What a page wants to know.

    Attributes
    ----------
    name : str
        Which of `pagework`'s answers.
    project : str
        The project's key.
    details : tuple
        What else it depends on, ready for JSON. Two questions that agree in everything up to here are one.
    state : str
        Of what the answer tells: when it is another one by now, the question is asked again. Pages that ask meanwhile
        wait for the job that is on its way, whichever state they saw.
    deadline : float
        Seconds after which nobody waits any more who has not asked again, and the job is not done; and that it may
        take.
    keep : float
        Seconds that the answer is kept.
    slow : bool
        Whether it takes so long that images which wait come first.
    """

    name: str
    project: str
    details: tuple[Any, ...] = ()
    state: str = ""
    deadline: float = 30.0
    keep: float = 600.0
    slow: bool = False

    @property
    def id(self) -> str:
        """Name of the question, the same in every process."""
        parts = json.dumps([self.name, self.project, self.details], sort_keys=True)
        return f"page-{self.name}-{hashlib.sha256(parts.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class Answer:
    """What came out: a value that JSON holds, or why there is none."""

    value: Any = None
    error: str = ""


def ask(store: Redis, question: Question) -> Answer | None:
    """Return the answer, or None while a worker is to find it; asked twice meanwhile is asked once."""
    if (known := answer_of(store, question)) is not None:
        return known
    name = PAGE_SLOW if question.slow else PAGE
    store.set(WAITED + question.id, "1", px=max(int(1000 * question.deadline), 1))
    if not is_on_its_way(store, name, question.id, alive(store)):
        queue(store, name).enqueue(
            "labelqueue.pagework.page_job",
            args=(question.project, question.name, list(question.details), question.keep),
            kwargs={"state": question.state},
            job_id=question.id,
            job_timeout=max(int(question.deadline), 1),
            result_ttl=0,
            failure_ttl=60,
        )
    return None


def is_waited_for(store: Redis, question_id: str) -> bool:
    """Tell whether a page still waits for the answer to a question."""
    return bool(store.exists(WAITED + question_id))


def answer_of(store: Redis, question: Question) -> Answer | None:
    """Return the answer that is known and holds, and ask nobody."""
    raw, left = store.get(ANSWER + question.id), store.pttl(ANSWER + question.id)
    if raw is None:
        return None
    told = json.loads(text(raw))
    answer, state = Answer(told["value"], told["error"]), told["state"]
    if answer.error or state in (None, question.state) or 1000 * told["keep"] - left < 1000 * MOMENT:
        return answer
    return None


def give_answer(store: Redis, question_id: str, answer: Answer, keep: float, state: str | None = None) -> None:
    """Keep the answer to a question for so many seconds; `state`: see `Question`, None for whichever."""
    told = {"value": answer.value, "error": answer.error, "state": state, "keep": keep}
    store.set(ANSWER + question_id, json.dumps(told), px=max(int(1000 * keep), 1))
