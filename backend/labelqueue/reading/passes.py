"""A pass through Label Studio's list of tasks, by id: how far it came is kept, and the next look goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..exceptions import PublishError
from ..records import known_fields
from ..state import Project, list_items, remove

__all__ = ["CHANGES", "WHOLE", "Pass", "Progress"]

WHOLE, CHANGES = "reading", "changes"  # facts: the pass through all tasks, and the one through those that changed

# A job that stalled must not put back what its successor wrote: only who knows the last state goes on from it.
_MOVE = """
if redis.call('hget', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] ~= '' then redis.call('rpush', KEYS[2], ARGV[4]) end
return 1
"""


@dataclass(frozen=True)
class Progress:
    """How far a pass came.

    Attributes
    ----------
    began : float
        Unix time.
    since : str
        Only tasks changed after this time, as Label Studio writes it; empty for all.
    last : int
        Every task up to this id was read.
    seen : int
        Tasks that were read.
    of : int
        Tasks that Label Studio counted when the pass began.
    newest : str
        When one of the tasks was changed last.
    bound : str
        When a task was changed last at the end of the first slice; what changed later may have done so behind the pass.
    image_field : str
        Where their images were looked for.
    balance : str
        The field of their data whose values were kept; empty for none.
    fields : str
        The fields of the first task, for people.
    pictured : bool
        Whether one had an image there.
    bare : str
        The fields of a task without one, for people.
    left_out : mapping of str to str
        Tasks that cannot be read, by name, and why.
    """

    began: float = field(default_factory=time.time)
    since: str = ""
    last: int = 0
    seen: int = 0
    of: int = 0
    newest: str = ""
    bound: str = ""
    image_field: str = ""
    balance: str = ""
    fields: str = ""
    pictured: bool = False
    bare: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


class Pass:
    """One of a project's two passes, as it stands in Redis.

    Parameters
    ----------
    project : Project
    fact : str
        `WHOLE` or `CHANGES`.

    Attributes
    ----------
    at : Progress or None
        How far it came; None while there is none.
    """

    def __init__(self, project: Project, fact: str) -> None:
        self._project, self._fact = project, fact
        self._seen = project.name("seen")  # ids, while the whole pass goes on
        self._raw = project.get(fact)
        self.at = Progress(**known_fields(Progress, json.loads(self._raw))) if self._raw else None

    def begin(self, start: Progress) -> None:
        """Start from the first task, whatever was read before."""
        if self._fact == WHOLE:
            remove(self._project.store, self._seen)
        self._raw, self.at = _dumped(start), start
        self._project.set(**{self._fact: self._raw})

    def move(self, at: Progress, seen: Collection[int] = (), left_out: Mapping[str, str] | None = None) -> None:
        """Write down how far it came.

        Parameters
        ----------
        at : Progress
        seen : collection of int
            Tasks that exist and can be read.
        left_out : mapping of str to str, optional
            Others that cannot be read, by name, and why.

        Raises
        ------
        PublishError
            When another job went on with the pass meanwhile.
        """
        fine = {f"task {task}" for task in seen}
        kept = {name: why for name, why in at.left_out.items() if name not in fine}
        at = replace(at, left_out=kept | dict(left_out or {}))
        raw, ids = _dumped(at), np.fromiter(seen, dtype=np.int64, count=len(seen))
        keys = self._project.name("info"), self._seen
        if not self._project.store.eval(_MOVE, 2, *keys, self._fact, self._raw, raw, ids.tobytes()):
            raise PublishError("this job stalled for too long; another one goes on reading the tasks")
        self._raw, self.at = raw, at

    def seen(self) -> NDArray[np.int64] | None:
        """Return the ids that were seen, ascending; None when Redis lost some of them."""
        assert self.at is not None
        parts = [np.frombuffer(raw, np.int64) for raw in list_items(self._project.store, self._seen)]
        ids = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
        return ids if ids.size >= self.at.seen else None

    def end(self) -> None:
        """Forget the pass: it is through."""
        self._project.settle(self._fact, self._raw)
        if self._fact == WHOLE:
            remove(self._project.store, self._seen)
        self._raw, self.at = "", None


def _dumped(at: Progress) -> str:
    return json.dumps(asdict(at))
