"""The two phases of a queue: the cold start, and the warm phase once the model can be trusted to steer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..labels import Value
from ..records import known_fields
from .trust import Trust

__all__ = ["LEAST_TRUST", "Course", "advance", "balancing_factor", "waits_for"]

QUIET = 20  # labels in a row without a new class, after which a class seen once holds nothing up
LABELED_SHARE = 0.01  # of the pool must be labeled before the switch ...
ENOUGH = 200  # ... but never more than this
LEAST_TRUST = 0.1  # the switch needs more
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
    trust: Trust,
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
    trust : Trust
        Trust in the model.
    switch_after : int
        Labels that the cold start takes at least.
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
    deleted); a fall in trust only narrows BAL's sub-pools. A class gained during the cold start begins it again.
    """
    n = len(values)
    # Fewer labels than when the phase began: some were deleted, and what is left must not count as less than none.
    course = replace(course, since_labels=min(course.since_labels, n))
    seen = _times_seen(values)
    gained = [name for name in classes if course.classes and name not in course.classes and not seen[name]]
    course = replace(course, classes=tuple(classes))
    if gained:
        names = " and ".join(f"'{name}'" for name in gained)
        return replace(course, phase="cold", since_labels=n, reason=f"the label config gained {names}")
    if course.phase == "cold":
        if waits_for(
            course,
            values=values,
            classes=classes,
            multi=multi,
            pool=pool,
            trust=trust,
            switch_after=switch_after,
            has_model=has_model,
        ):
            return course
        every = all(seen[name] >= 2 for name in classes)
        covered = "every class seen twice" if every else f"no new class in the last {QUIET} labels"
        reason = f"{_labels(n - course.since_labels)}, {covered}, trust {trust.value:.2f}"
        return replace(course, phase="warm", since_labels=n, reason=reason)
    if not has_model:
        return replace(course, phase="cold", since_labels=n, reason="there is no model any more")
    if new_tasks > NEW_SHARE * pool:
        reason = f"{new_tasks:,} of {pool:,} tasks are new, more than {NEW_SHARE:.0%}"
        return replace(course, phase="cold", since_labels=n, reason=reason)
    return course


def waits_for(
    course: Course,
    *,
    values: Sequence[Value],
    classes: Sequence[str],
    multi: bool,
    pool: int,
    trust: Trust,
    switch_after: int,
    has_model: bool,
) -> list[str]:
    """Return what the cold start still waits for, one clause each, for people; nothing left means that it ends.

    Parameters
    ----------
    course, values, classes, multi, pool, trust, switch_after, has_model
        See `advance`.

    Notes
    -----
    Labels since the cold start began: at least ``max(switch_after, 2 c, min(200, 1 % of the pool))``, c being the
    classes seen. Every class of the config seen twice, or no new one in the last 20 labels; of several labels for one
    task, those that are present are seen. Trust above 0.1. A model.
    """
    seen = _times_seen(values)
    counted = len(values) - course.since_labels
    wanted = max(switch_after, 2 * len(seen), min(ENOUGH, math.ceil(LABELED_SHARE * pool)))
    waits = []
    if counted < wanted:
        waits.append(f"{_labels(counted)} of {wanted}")
    rare = [name for name in classes if seen[name] < 2]
    if rare and not _quiet(values):
        times = "seen once" if seen[rare[0]] else "never seen"
        more = len(rare) - 1
        others = f" (and {more} more {'class' if more == 1 else 'classes'} less than twice)" if more else ""
        waits.append(f"'{rare[0]}' was {times}{others}, and not yet {QUIET} labels in a row came without a new class")
    if trust.value <= LEAST_TRUST:
        waits.append(f"trust {trust.value:.2f} must be above {LEAST_TRUST:.2f}")
    if not has_model:
        waits.append("no model yet: labels of " + ("one value" if multi else "one class") + " teach none")
    return waits


def balancing_factor(trust: float, cycles: float) -> float:
    """Return BAL's balancing factor: the width of a sub-pool in slots.

    Parameters
    ----------
    trust : float
        Trust in the model.
    cycles : float
        Slots the pool is divided into, at least 1.

    Returns
    -------
    float
        ``1 + (cycles - 1) * clip(trust / 0.7, 0, 1)``: from one slot (diversity decides) to the whole pool
        (uncertainty decides).
    """
    return 1.0 + (max(cycles, 1.0) - 1.0) * min(max(trust / FULL_TRUST, 0.0), 1.0)


def _labels(count: int) -> str:
    return f"{count} label" if count == 1 else f"{count} labels"


def _shown(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def _times_seen(values: Sequence[Value]) -> Counter[str]:
    return Counter(name for value in values for name in _shown(value))


def _quiet(values: Sequence[Value]) -> bool:
    """Whether the last `QUIET` labels showed no class for the first time."""
    if len(values) < QUIET:
        return False
    before, lately = _times_seen(values[:-QUIET]), _times_seen(values[-QUIET:])
    return all(before[name] for name in lately)
