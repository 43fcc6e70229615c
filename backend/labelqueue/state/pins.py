"""What admins wish for single tasks: label these first, leave those out; and the log of their acts, to be undone."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..records import known_fields
from ..store import drop_fields, get_fields, in_chunks, put_fields, scan_fields, text
from .project import Project

if TYPE_CHECKING:
    from redis.client import Pipeline

__all__ = ["WHOLE_ACTS", "Act", "Kind", "Pins", "Wish"]

ACTS = 1_000  # newest acts of which there is anything on record
WHOLE_ACTS = 100  # newest acts that can be undone: what was before is kept of these

Kind = Literal["pin", "unpin", "exclude", "include", "undo"]


@dataclass(frozen=True)
class Wish:
    """A pin, or an exclusion, of one task.

    Attributes
    ----------
    at : float
        Unix time of the act.
    source : str
        Where it came from, such as ``REST``.
    act : int
        Its number.
    reason : str
        Why the task is left out; empty for a pin.
    """

    at: float
    source: str
    act: int
    reason: str = ""

    def dump(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, raw: bytes | str) -> Wish:
        """Parse `dump`'s form."""
        return cls(**known_fields(cls, json.loads(raw)))


@dataclass(frozen=True)
class Act:
    """What an admin did at once, to one task or to many.

    Attributes
    ----------
    number : int
        Counts the acts of this project, from 1.
    kind : {'pin', 'unpin', 'exclude', 'include', 'undo'}
    at : float
        Unix time.
    source : str
        Where it came from.
    tasks : int
        Tasks that it changed.
    reason : str
        Of an exclusion.
    undoes : int
        Number of the act that it undid; 0 for none.
    undone_by : int
        Number of the act that undid it; 0 while it stands.
    """

    number: int
    kind: Kind
    at: float
    source: str
    tasks: int
    reason: str = ""
    undoes: int = 0
    undone_by: int = 0


State = tuple[Wish | None, Wish | None]  # of a task: its pin and its exclusion, never both
Change = Callable[[State, Wish], State]

# What becomes of a task. What it has already stays as it was, with its time and source.
CHANGES: Mapping[str, Change] = {
    "pin": lambda was, wish: (was[0] or wish, None),
    "unpin": lambda was, wish: (None, was[1]),
    "exclude": lambda was, wish: (None, was[1] if was[1] and was[1].reason == wish.reason else wish),
    "include": lambda was, wish: (was[0], None),
}


class Pins:
    """The pins and exclusions of one project.

    Parameters
    ----------
    project : Project
    """

    def __init__(self, project: Project) -> None:
        self._project, self._store = project, project.store
        self._pins, self._exclusions = project.name("pins"), project.name("exclusions")
        self._acts, self._before = project.name("acts"), project.name("acts_before")

    def pins(self) -> dict[int, Wish]:
        """Return the pinned tasks."""
        return self._read(self._pins)

    def exclusions(self) -> dict[int, Wish]:
        """Return the tasks that are left out."""
        return self._read(self._exclusions)

    def counts(self) -> tuple[int, int]:
        """Return how many tasks are pinned, and how many are left out."""
        return int(self._store.hlen(self._pins)), int(self._store.hlen(self._exclusions))

    def newest(self, kind: Kind, count: int) -> dict[int, Wish]:
        """Return so many of the pinned tasks, or of those left out, of the newest acts first, and of one act by id.

        There may be as many as the project has tasks; the log of acts leads to the newest without reading all of them.
        """
        key, found = {"pin": self._pins, "exclude": self._exclusions}[kind], dict[int, Wish]()
        acts = self.acts() if count < int(self._store.hlen(key)) else []
        for act in (act for act in acts if act.kind == kind and not act.undone_by):
            for some in in_chunks(sorted(self.tasks_of(act.number) or ())):
                raws = get_fields(self._store, key, [str(task) for task in some])
                wishes = {task: Wish.load(raw) for task, raw in zip(some, raws, strict=True) if raw is not None}
                found |= {task: wish for task, wish in wishes.items() if wish.act == act.number}
                if len(found) >= count:
                    return dict(list(found.items())[:count])
        rows = sorted(self._read(key).items(), key=lambda row: (-row[1].act, row[0]))
        return dict(rows[:count])

    def _read(self, key: str) -> dict[int, Wish]:
        return {int(task): Wish.load(raw) for part in scan_fields(self._store, key) for task, raw in part.items()}

    def acts(self) -> list[Act]:
        """Return the acts on record, newest first."""
        parts = scan_fields(self._store, self._acts)
        found = {int(number): raw for part in parts for number, raw in part.items()}
        return [_act(found[number]) for number in sorted(found, reverse=True)]

    def act(self, number: int) -> Act | None:
        """Return one act; None when it is not on record."""
        raw = self._store.hget(self._acts, str(number))
        return None if raw is None else _act(raw)

    def tasks_of(self, number: int) -> list[int] | None:
        """Return the tasks that an act changed; None when what was before it is no longer on record."""
        before = self._before_of(number)
        return None if before is None else list(before)

    def _before_of(self, number: int) -> dict[int, State] | None:
        rows = self._rows_before(number)
        return None if rows is None else {task: (_wish(pin), _wish(exclusion)) for task, pin, exclusion in rows}

    def _rows_before(self, number: int) -> list[Any] | None:
        """Return task, pin and exclusion of each task that an act changed, as they were before it."""
        raw = self._store.hget(self._before, str(number))
        return json.loads(zlib.decompress(raw)) if isinstance(raw, bytes) else None

    def dump(self) -> dict[str, Any]:
        """Return everything, ready for JSON; see `bring`."""
        acts = self.acts()
        before = {act.number: rows for act in acts if (rows := self._rows_before(act.number)) is not None}
        return {
            "pins": [[task, asdict(wish)] for task, wish in sorted(self.pins().items())],
            "exclusions": [[task, asdict(wish)] for task, wish in sorted(self.exclusions().items())],
            "acts": [asdict(act) for act in acts],
            "before": list(before.items()),
        }

    def bring(self, dumped: Mapping[str, Any], ids: Mapping[int, int]) -> None:
        """Write what `dump` returned, told with the ids that tasks have now; those without one are left out."""
        for key, name in ((self._pins, "pins"), (self._exclusions, "exclusions")):
            wishes = {str(ids[task]): Wish(**known_fields(Wish, row)) for task, row in dumped[name] if task in ids}
            put_fields(self._store, key, {task: wish.dump() for task, wish in wishes.items()})
        acts = [Act(**known_fields(Act, row)) for row in dumped["acts"]]
        put_fields(self._store, self._acts, {str(act.number): json.dumps(asdict(act)) for act in acts})
        rows = {
            str(number): [[ids[row[0]], *row[1:]] for row in rows if row[0] in ids] for number, rows in dumped["before"]
        }
        put_fields(self._store, self._before, {number: _packed(some) for number, some in rows.items()})

    def write(self, kind: Kind, tasks: Sequence[int], source: str, reason: str = "") -> Act | None:
        """Pin, unpin, exclude or include tasks, all of them at once.

        Parameters
        ----------
        kind : {'pin', 'unpin', 'exclude', 'include'}
        tasks : sequence of int
            Each once.
        source : str
            Where the act comes from.
        reason : str
            Of an exclusion.

        Returns
        -------
        Act or None
            None when every task is so already, and nothing was written.
        """
        change = CHANGES[kind]

        def wanted(was: Mapping[int, State], wish: Wish) -> dict[int, State]:
            return {task: change(state, wish) for task, state in was.items()}

        return self._write(Act(0, kind, time.time(), source, 0, reason), tasks, wanted)

    def undo(self, act: Act, source: str) -> Act | None:
        """Give every task of an act that is still there what it had before that act.

        Returns
        -------
        Act or None
            None when what was before is no longer on record, or it was undone already.
        """
        before = self._before_of(act.number)
        if before is None:
            return None
        known = self._project.task_rows(list(before))
        return self._write(
            Act(0, "undo", time.time(), source, 0, undoes=act.number),
            [task for task in before if task in known],
            lambda was, wish: {task: before[task] for task in was},
        )

    def _write(
        self, act: Act, tasks: Sequence[int], wanted: Callable[[Mapping[int, State], Wish], Mapping[int, State]]
    ) -> Act | None:
        """Write an act down with what it changes, in one step; it is decided again when another act came between."""
        names = [str(task) for task in tasks]

        def write(pipe: Pipeline) -> Act | None:
            number = int(self._project.get("act_number") or 0) + 1
            undone = self.act(act.undoes) if act.undoes else None
            pins, exclusions = (get_fields(self._store, key, names) for key in (self._pins, self._exclusions))
            was = {
                task: (_wish(pin), _wish(exclusion))
                for task, pin, exclusion in zip(tasks, pins, exclusions, strict=True)
            }
            now = wanted(was, Wish(act.at, act.source, number, act.reason))
            changed = {task: state for task, state in now.items() if state != was[task]}
            done = replace(act, number=number, tasks=len(changed))
            pipe.multi()
            if undone.undone_by if undone else not changed:
                return None
            pipe.hset(self._project.name("info"), "act_number", str(number))
            for key, part in ((self._pins, 0), (self._exclusions, 1)):
                there = {str(task): wish.dump() for task, state in changed.items() if (wish := state[part])}
                gone = [str(task) for task, state in changed.items() if state[part] is None and was[task][part]]
                for some in in_chunks(there.items()):
                    pipe.hset(key, mapping=dict(some))
                for names_ in in_chunks(gone):
                    pipe.hdel(key, *names_)
            rows = [[task, *(wish and asdict(wish) for wish in was[task])] for task in changed]
            pipe.hset(self._before, str(number), _packed(rows))
            pipe.hset(self._acts, str(number), json.dumps(asdict(done)))
            if undone is not None:
                pipe.hset(self._acts, str(undone.number), json.dumps(asdict(replace(undone, undone_by=number))))
                if undone.kind == "undo" and (again := self.act(undone.undoes)) is not None:
                    pipe.hset(self._acts, str(again.number), json.dumps(asdict(replace(again, undone_by=0))))
            return done

        # The client's types do not know that the callable's value is returned.
        done: Act | None = self._store.transaction(write, self._acts, value_from_callable=True)  # type: ignore
        if done is not None:
            self._drop_old()
        return done

    def _drop_old(self) -> None:
        """Forget the oldest acts, and of more of them what was before."""
        for key, most in ((self._acts, ACTS), (self._before, WHOLE_ACTS)):
            numbers = sorted(map(int, self._store.hkeys(key)), reverse=True)
            drop_fields(self._store, key, [str(number) for number in numbers[most:]])


def _packed(rows: Sequence[Any]) -> bytes:
    return zlib.compress(json.dumps(rows).encode())


def _act(raw: bytes | str) -> Act:
    return Act(**known_fields(Act, json.loads(text(raw))))


def _wish(raw: Any) -> Wish | None:
    """Return a stored wish, in JSON or parsed; None for none."""
    if raw is None:
        return None
    return Wish(**known_fields(Wish, raw)) if isinstance(raw, dict) else Wish.load(raw)
