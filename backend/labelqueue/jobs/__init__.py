"""How work is asked for: the queues, requests for a look at a project, shards of images and what embeds them, signs of
life.

Imports `state` and `telemetry`; what the jobs do is in `worker`.
"""

from .embedders import EmbedderChoice, embedder_status, imported_vectors
from .living import Sign, alive, all_tell, bury, by_machine, heartbeat, living_here, name_worker, say_leaving, signs
from .looks import begin_look, drop_request, end_look, look_again, release_due, request_soon, request_tend
from .pages import Answer, Question, answer_of, ask, give_answer, is_waited_for
from .queues import EMBEDDING, KINDS, PAGE, TEND, TENDING, is_on_its_way, job_queues, oldest_job, queue
from .servers import cool_down, slow_servers, warm_up
from .shards import (
    claim,
    enqueue_shards,
    finish,
    give_back,
    held_back,
    holds,
    in_flight,
    mark,
    reclaim,
    unmark,
    wait_until,
)

__all__ = [
    "EMBEDDING",
    "KINDS",
    "PAGE",
    "TEND",
    "TENDING",
    "Answer",
    "EmbedderChoice",
    "Question",
    "Sign",
    "alive",
    "all_tell",
    "answer_of",
    "ask",
    "begin_look",
    "bury",
    "by_machine",
    "claim",
    "cool_down",
    "drop_request",
    "embedder_status",
    "end_look",
    "enqueue_shards",
    "finish",
    "give_answer",
    "give_back",
    "heartbeat",
    "held_back",
    "holds",
    "imported_vectors",
    "in_flight",
    "is_on_its_way",
    "is_waited_for",
    "job_queues",
    "living_here",
    "look_again",
    "mark",
    "name_worker",
    "oldest_job",
    "queue",
    "reclaim",
    "release_due",
    "request_soon",
    "request_tend",
    "say_leaving",
    "signs",
    "slow_servers",
    "unmark",
    "wait_until",
    "warm_up",
]
