"""The two phases of a queue: the cold start, and the warm phase once a model has a say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..labels import Value
from ..records import known_fields

__all__ = ["Course", "advance", "balancing_factor", "waits_for"]

FULL_TRUST = 0.7  # from here on the sub-pool is the whole pool
NEW_SHARE = 0.2  # of the pool being new ends the warm phase


@dataclass(frozen=True)
class Course:
    """Where a queue stands.

    Attributes
    ----------
    phase : {'cold', 'warm'}
    reason : str
        Why this phase began, for people.
    since_labels : int
        Labels there were when this phase began.
    classes : tuple of str
        Classes of the label config when it was last looked at; empty before the first time.
    """

    phase: Literal["cold", "warm"] = "cold"
    reason: str = "labeling begins"
    since_labels: int = 0
    classes: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """Return the form that goes into JSON."""
        return asdict(self)

    @classmethod
    def load(cls, raw: Mapping[str, Any]) -> Course:
        """Read `dump`'s form."""
        return cls(**{**known_fields(cls, raw), "classes": tuple(raw.get("classes", ()))})


def advance(
    course: Course,
    *,
    values: Sequence[Value],
    classes: Sequence[str],
    multi: bool,
    pool: int,
    new_tasks: int,
    switch_after: int,
    has_model: bool,
) -> Course:
    """Return where the queue stands now.

    Parameters
    ----------
    course : Course
        Where it stood.
    values : sequence of Value
        Every label, in order of arrival.
    classes : sequence of str
        Classes of the label config.
    multi : bool
        Whether several labels may hold for one task.
    pool : int
        Tasks in the project.
    new_tasks : int
        Those among them that came after this phase began.
    switch_after : int
        Labels that the cold start takes.
    has_model : bool
        Whether there is a model.

    Returns
    -------
    Course
        An equal one if nothing moved it. The same facts a second time move nothing: a phase that has just begun
        counts its labels from zero.

    Notes
    -----
    The cold start ends when `waits_for` waits for nothing. The warm phase ends when the label config gains a class that
    no label shows yet, when more than 20 % of the pool is new, or when there is no model any more (its labels were
    deleted). A class gained during the cold start begins it again.

    There is no gate of trust, of classes seen or of the pool's size: a warm rule that keeps coverage loses nothing by
    beginning early (benchmarks/simulate.md). Trust still says how wide BAL's sub-pools are, and about pre-labels.
    """
    n = len(values)
    # Fewer labels than when the phase began: some were deleted, and what is left must not count as less than none.
    course = replace(course, since_labels=min(course.since_labels, n))
    seen = {name for value in {*values} for name in _shown(value)}
    gained = [name for name in classes if course.classes and name not in course.classes and name not in seen]
    course = replace(course, classes=tuple(classes))
    if gained:
        names = " and ".join(f"'{name}'" for name in gained)
        return replace(course, phase="cold", since_labels=n, reason=f"the label config gained {names}")
    if course.phase == "cold":
        if waits_for(course, labels=n, multi=multi, switch_after=switch_after, has_model=has_model):
            return course
        reason = f"{_labels(n - course.since_labels)} and a model"
        return replace(course, phase="warm", since_labels=n, reason=reason)
    if not has_model:
        return replace(course, phase="cold", since_labels=n, reason="there is no model any more")
    if new_tasks > NEW_SHARE * pool:
        reason = f"{new_tasks:,} of {pool:,} tasks are new, more than {NEW_SHARE:.0%}"
        return replace(course, phase="cold", since_labels=n, reason=reason)
    return course


def waits_for(course: Course, *, labels: int, multi: bool, switch_after: int, has_model: bool) -> list[str]:
    """Return what the cold start still waits for, one clause each, for people; nothing left means that it ends.

    Parameters
    ----------
    course, multi, switch_after, has_model
        See `advance`.
    labels : int
        Labels there are: `switch_after` are needed since the cold start began.
    """
    waits = []
    if (counted := labels - course.since_labels) < switch_after:
        waits.append(f"{_labels(counted)} of {switch_after}")
    if not has_model:
        waits.append("no model yet: labels of " + ("one value" if multi else "one class") + " teach none")
    return waits


def balancing_factor(trust: float, cycles: float, least: float = 0.0) -> float:
    """Return BAL's balancing factor: the width of a sub-pool in slots.

    Parameters
    ----------
    trust : float
        Trust in the model.
    cycles : float
        Slots the pool is divided into, at least 1.
    least : float, default 0.0
        Share of the pool that a sub-pool has without any trust, if that is more than one slot.

    Returns
    -------
    float
        ``w + (cycles - w) * clip(trust / 0.7, 0, 1)`` with ``w = max(1, least * cycles)``: from there (diversity
        decides) to the whole pool (uncertainty decides).
    """
    slots = max(cycles, 1.0)
    narrow = max(1.0, least * slots)
    return narrow + (slots - narrow) * min(max(trust / FULL_TRUST, 0.0), 1.0)


def _labels(count: int) -> str:
    return f"{count} label" if count == 1 else f"{count} labels"


def _shown(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)
