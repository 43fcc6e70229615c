"""What a page asks of a worker, and the answer: one job per question; the web process never waits for it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from ..state import Redis, text
from .living import alive
from .queues import PAGE, PAGE_SLOW, is_on_its_way, queue

__all__ = ["Answer", "Question", "answer_of", "ask", "give_answer"]

ANSWER = "lq:answer:"  # and the question's id: what came out


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
    deadline : float
        Seconds after which nobody waits any more, and the job is not done.
    keep : float
        Seconds that the answer is kept.
    slow : bool
        Whether it takes so long that images which wait come first.
    """

    name: str
    project: str
    details: tuple[Any, ...] = ()
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
    if not is_on_its_way(store, name, question.id, alive(store)):
        queue(store, name).enqueue(
            "labelqueue.pagework.page_job",
            args=(question.project, question.name, list(question.details), question.keep),
            kwargs={"until": time.time() + question.deadline},
            job_id=question.id,
            job_timeout=max(int(question.deadline), 1),
            result_ttl=0,
            failure_ttl=60,
        )
    return None


def answer_of(store: Redis, question: Question) -> Answer | None:
    """Return the answer that is known, and ask nobody."""
    raw = store.get(ANSWER + question.id)
    return None if raw is None else Answer(**json.loads(text(raw)))


def give_answer(store: Redis, question_id: str, answer: Answer, keep: float) -> None:
    """Keep the answer to a question for so many seconds."""
    store.set(ANSWER + question_id, json.dumps({"value": answer.value, "error": answer.error}), px=int(1000 * keep))
