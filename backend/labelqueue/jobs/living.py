"""Signs of life: which workers live, of which kind, and which of them were told to stop."""

from __future__ import annotations

import os
import time
import uuid

from ..state import Redis, text
from .queues import KINDS

__all__ = ["alive", "all_tell", "bury", "heartbeat", "is_leaving", "living_here", "name_worker", "say_leaving"]

HEARTBEAT_TTL = 15  # seconds after which a silent worker counts as dead
LEAVING_TTL = 3600  # seconds
_SIGN, _LEAVING = "lq:worker:", "lq:leaving:"


def name_worker(kind: str) -> str:
    """Return a name for the worker that this process is: its kind, its machine, its number there, and chance."""
    return f"{kind}-{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def heartbeat(store: Redis, worker: str) -> None:
    """Say that a worker of this name lives; see `name_worker`."""
    store.set(f"{_SIGN}{worker}", str(time.time()), ex=HEARTBEAT_TTL)


def alive(store: Redis, kind: str = "") -> set[str]:
    """Return the names of the workers that live: of one kind, or of all."""
    return {text(raw).removeprefix(_SIGN) for raw in store.scan_iter(match=f"{_SIGN}{kind}*", count=1000)}


def all_tell(store: Redis) -> bool:
    """Tell whether all workers that live say what they write, see `state.Project.changes`: those of 0.1.0, whose names
    begin with no kind, do not."""
    return all(name.partition("-")[0] in KINDS for name in alive(store))


def living_here(store: Redis) -> set[int]:
    """Return the numbers of the processes on this machine whose workers live."""
    here = f"-{os.uname().nodename}-"
    tails = [name.partition(here)[2].partition("-")[0] for name in alive(store)]
    return {int(number) for number in tails if number.isdecimal()}


def bury(store: Redis, worker: str) -> None:
    """Take back the sign of life of a worker that stops."""
    store.delete(f"{_SIGN}{worker}")


def say_leaving(store: Redis, worker: str) -> None:
    """Say that a worker was told to stop: whatever ends it from now on, no image is to blame."""
    store.set(f"{_LEAVING}{worker}", "1", ex=LEAVING_TTL)


def is_leaving(store: Redis, worker: str) -> bool:
    """Tell whether a worker had been told to stop."""
    return bool(store.exists(f"{_LEAVING}{worker}"))
