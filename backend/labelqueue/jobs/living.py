"""Signs of life: which workers live, of which kind, on which machine, and which of them were told to stop."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from ..state import Redis, shared_time, text
from .queues import KINDS

__all__ = [
    "Sign",
    "alive",
    "all_tell",
    "bury",
    "by_machine",
    "heartbeat",
    "is_leaving",
    "living_here",
    "name_worker",
    "say_leaving",
    "signs",
]

HEARTBEAT_TTL = 15  # seconds after which a silent worker counts as dead
LEAVING_TTL = 3600  # seconds
_SIGN, _LEAVING = "lq:worker:", "lq:leaving:"


@dataclass(frozen=True)
class Sign:
    """What is known of a worker that lives.

    Attributes
    ----------
    worker : str
        Its name.
    kind : str
        What it serves; the first part of a name that was not made here.
    machine : str
        Host name.
    number : int
        Of its process there; 0 where the name does not tell.
    label_studio : str
        Its LABEL_STUDIO_URL; empty for a worker of the version before.
    trouble : str
        Why it leaves work to others; empty while it does not.
    ahead : float
        Seconds that its machine's clock is ahead of Redis', to within a second or so; 0 where it is not told.
    """

    worker: str
    kind: str
    machine: str
    number: int
    label_studio: str = ""
    trouble: str = ""
    ahead: float = 0.0


def name_worker(kind: str) -> str:
    """Return a name for the worker that this process is: its kind, its machine, its number there, and chance."""
    return f"{kind}-{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def heartbeat(store: Redis, worker: str, *, label_studio: str = "", trouble: str = "") -> None:
    """Say that a worker of this name lives; see `name_worker`, and `Sign` for what it says of itself."""
    said = {"at": time.time(), "label_studio": label_studio, "trouble": trouble}
    store.set(f"{_SIGN}{worker}", json.dumps(said), ex=HEARTBEAT_TTL)


def alive(store: Redis, kind: str = "") -> set[str]:
    """Return the names of the workers that live: of one kind, or of all."""
    return {text(raw).removeprefix(_SIGN) for raw in store.scan_iter(match=f"{_SIGN}{kind}*", count=1000)}


def signs(store: Redis) -> list[Sign]:
    """Return what is known of the workers that live, by machine, kind and name."""
    names = sorted(alive(store))
    with store.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.get(f"{_SIGN}{name}")
            pipe.pttl(f"{_SIGN}{name}")
        rows = pipe.execute()
    now = shared_time(store)
    found = []
    for name, raw, left in zip(names, rows[::2], rows[1::2], strict=True):
        said = json.loads(raw) if raw else {}
        said = said if isinstance(said, dict) else {}  # the version before said the time alone
        then = now - (HEARTBEAT_TTL - max(int(left), 0) / 1000)
        found.append(
            Sign(
                name,
                *_parts(name),
                label_studio=str(said.get("label_studio", "")),
                trouble=str(said.get("trouble", "")),
                ahead=float(said["at"]) - then if "at" in said else 0.0,
            )
        )
    return sorted(found, key=lambda sign: (sign.machine, sign.kind, sign.worker))


def _parts(worker: str) -> tuple[str, str, int]:
    """Return a worker's kind, machine and number, see `name_worker`; a host name may have dashes."""
    kind, _, rest = worker.partition("-")
    machine, _, tail = rest.rpartition("-")[0].rpartition("-")
    return kind, machine or rest, int(tail) if tail.isdecimal() else 0


def by_machine(found: Iterable[Sign]) -> dict[str, dict[str, int]]:
    """Return which workers live where: host name to kind to how many."""
    machines: dict[str, dict[str, int]] = {}
    for sign in found:
        kinds = machines.setdefault(sign.machine, {})
        kinds[sign.kind] = kinds.get(sign.kind, 0) + 1
    return machines


def all_tell(store: Redis) -> bool:
    """Tell whether all workers that live say what they write, see `state.Project.changes`: those of 0.1.0, whose names
    begin with no kind, do not."""
    return all(name.partition("-")[0] in KINDS for name in alive(store))


def living_here(store: Redis) -> set[int]:
    """Return the numbers of the processes on this machine whose workers live."""
    here = os.uname().nodename
    found = [_parts(name) for name in alive(store)]
    return {number for _, machine, number in found if machine == here and number}


def bury(store: Redis, worker: str) -> None:
    """Take back the sign of life of a worker that stops."""
    store.delete(f"{_SIGN}{worker}")


def say_leaving(store: Redis, worker: str) -> None:
    """Say that a worker was told to stop: whatever ends it from now on, no image is to blame."""
    store.set(f"{_LEAVING}{worker}", "1", ex=LEAVING_TTL)


def is_leaving(store: Redis, worker: str) -> bool:
    """Tell whether a worker had been told to stop."""
    return bool(store.exists(f"{_LEAVING}{worker}"))
