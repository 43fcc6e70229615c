"""How work is asked for: the queues, requests for a look at a project, shards of images, signs of life.

Imports `state`; what the jobs do is in `worker`.
"""

from .queues import alive, heartbeat, job_queues, release_due, request_tend
from .shards import claim, enqueue_shards, give_back, in_flight, reclaim

__all__ = [
    "alive",
    "claim",
    "enqueue_shards",
    "give_back",
    "heartbeat",
    "in_flight",
    "job_queues",
    "reclaim",
    "release_due",
    "request_tend",
]
