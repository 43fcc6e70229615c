"""What a look at a project sees: a frozen snapshot made of columns, from which everything else is decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin, find
from ..labels import ANNOTATED, SKIPPED, UNLABELED, Target, Value
from .campaign_state import CampaignState
from .order import LEFT_OUT, Order

__all__ = ["Features", "Labels", "Snapshot", "Tasks"]


@dataclass(frozen=True, eq=False)
class Tasks:
    """Every known task, one row each.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Ascending.
    states : ndarray of shape (n,), uint8
        Character code of what became of each: `labels.UNLABELED`, `ANNOTATED` or `SKIPPED`.
    rows : ndarray of shape (n,), int64
        Row of each task in the snapshot's embeddings; -1 for a task without one.
    bad : mapping of int to str
        Tasks whose image cannot be used, and why; those that an admin left out are among them.
    groups : ndarray of shape (n,), int64, optional
        Code of each task's value of the field by which places are shared out; None when they are not.
    """

    ids: NDArray[np.int64]
    states: NDArray[np.uint8]
    rows: NDArray[np.int64]
    bad: Mapping[int, str] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, states: Mapping[int, str], embedded: Collection[int] = (), bad: Mapping[int, str] | None = None
    ) -> Tasks:
        """Return the columns of a few tasks.

        Parameters
        ----------
        states : mapping of int to str
            Task to what became of it.
        embedded : collection of int
            Those of them that have embeddings, whose rows ascend with the ids.
        bad : mapping of int to str, optional
        """
        ids = np.array(sorted(states), dtype=np.int64)
        codes = np.array([ord(states[task]) for task in ids.tolist()], dtype=np.uint8)
        return cls(ids, codes, rows_in_turn(np.isin(ids, np.array(list(embedded), dtype=np.int64))), bad or {})

    def __len__(self) -> int:
        return int(self.ids.size)

    @cached_property
    def unlabeled(self) -> NDArray[np.bool_]:
        """Which rows nobody labeled or skipped."""
        return np.equal(self.states, ord(UNLABELED))

    @cached_property
    def annotated(self) -> NDArray[np.bool_]:
        """Which rows have an annotation that is no skip."""
        return np.equal(self.states, ord(ANNOTATED))

    @cached_property
    def skipped(self) -> NDArray[np.bool_]:
        """Which rows have skips only."""
        return np.equal(self.states, ord(SKIPPED))

    @cached_property
    def skipped_ids(self) -> set[int]:
        """Tasks that have skips only."""
        return set(self.ids[self.skipped].tolist())

    @cached_property
    def excluded(self) -> dict[int, str]:
        """Tasks that an admin left out, and why."""
        return {task: why for task, why in self.bad.items() if why.startswith(LEFT_OUT)}

    @cached_property
    def out(self) -> NDArray[np.bool_]:
        """Which rows an admin left out and nobody annotated anyway."""
        return self.among(self.excluded.keys()) & ~self.annotated

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Which rows nobody labeled, skipped or left out."""
        return np.asarray(self.unlabeled & ~self.out)

    @cached_property
    def embedded(self) -> int:
        """Number of tasks with a row of embeddings."""
        return int(np.count_nonzero(self.rows >= 0))

    @property
    def newest(self) -> int:
        """Highest id, 0 without tasks."""
        return int(self.ids[-1]) if self.ids.size else 0

    def newer(self, task: int) -> int:
        """Return how many tasks have a higher id."""
        return len(self) - int(np.searchsorted(self.ids, task, side="right"))

    def find(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row here of each of these ids, -1 for one that is not here."""
        return find(self.ids, ids)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of embeddings of each of these tasks, -1 for one without."""
        at = self.find(ids)
        return np.where(at >= 0, self.rows[at], -1) if len(self) else at

    def open(self, ids: Sequence[int]) -> NDArray[np.bool_]:
        """Return which of these tasks can still be served: known, and neither labeled nor skipped."""
        at = self.find(np.asarray(ids, dtype=np.int64))
        return (at >= 0) & self.unlabeled[at] if len(self) else at >= 0

    def still(self, ids: Sequence[int]) -> list[int]:
        """Return those of these tasks that can still be served, in their sequence."""
        return [task for task, served in zip(ids, self.open(ids).tolist(), strict=True) if served]

    def among(self, ids: Collection[int]) -> NDArray[np.bool_]:
        """Return which rows are of these tasks."""
        mask, at = np.zeros(len(self), dtype=bool), self.find(np.fromiter(ids, dtype=np.int64, count=len(ids)))
        mask[at[at >= 0]] = True
        return mask


def rows_in_turn(embedded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows of tasks whose embeddings stand in the same sequence, -1 where there are none.

    Parameters
    ----------
    embedded : ndarray of shape (n,), bool
        Which tasks have embeddings.
    """
    return np.where(embedded, np.cumsum(embedded) - 1, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a project, one row for each labeled task, in order of arrival.

    Attributes
    ----------
    tasks : ndarray of shape (m,), int64
        Oldest label first.
    codes : ndarray of shape (m,), int32
        Row of each label in `values`.
    values : tuple of Value
        The labels there are, each once.
    dropped : mapping of str to int
        Labels that annotations give and the label config does not have (any more), with the number of tasks.
    without : mapping of str to int
        Why annotated tasks have no label, with the number of tasks.
    """

    tasks: NDArray[np.int64]
    codes: NDArray[np.int32]
    values: tuple[Value, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    without: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        labels: Mapping[int, Value],
        dropped: Mapping[str, int] | None = None,
        without: Mapping[str, int] | None = None,
    ) -> Labels:
        """Return the columns of a mapping from task to label, oldest first."""
        code = {value: number for number, value in enumerate(dict.fromkeys(labels.values()))}
        codes = np.array([code[value] for value in labels.values()], dtype=np.int32)
        return cls(np.array(list(labels), dtype=np.int64), codes, tuple(code), dropped or {}, without or {})

    def __len__(self) -> int:
        return int(self.tasks.size)

    @cached_property
    def by_task(self) -> dict[int, Value]:
        """Task to label, oldest first."""
        return dict(zip(self.tasks.tolist(), map(self.values.__getitem__, self.codes.tolist()), strict=True))


@dataclass(frozen=True)
class Features:
    """What BAL's clusters are made of instead of the embeddings.

    Attributes
    ----------
    generation : str
        Fingerprint of the network they come from.
    rows : Block
        Ids ascending; tasks may be missing.
    mark : str
        How far their cache was filled.
    """

    generation: str
    rows: Block
    mark: str = ""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One project at one moment. What is large is read when it is asked for first.

    Attributes
    ----------
    target : Target
        What the label config asks of an image.
    settings : mapping
        The project's settings.
    tasks : Tasks
    labels : Labels
        Of tasks that are embedded.
    state : CampaignState
        What was learned and decided before.
    live : Order or None
        The order that is served.
    generation : str
        Fingerprint of the embeddings.
    load_rows : callable
        Returns the embeddings of the tasks that have some, ids ascending.
    load_features : callable, optional
        Returns what BAL clusters instead, if the settings ask for that.
    now : float
        Unix time.
    arrivals : int
        Rows ever embedded.
    arriving : bool
        Whether images still wait to be embedded.
    annotators : int
        People who annotated within the last hour.
    pace : int
        Tasks that are labeled per hour.
    prelabels : bool
        Whether Label Studio shows pre-labels in this project.
    hold : bool
        A person chose the live order: it is refilled but not replaced.
    cut_short : bool
        The last refill of the live order ended half-way, so that nobody knows what Label Studio stored.
    lost : str
        What Label Studio no longer has of the live order, for people; empty when it has everything.
    wanted : str
        The wish of a person for a training; empty without one.
    learned : str
        Why a new order was due already and could not be published; empty otherwise.
    gap : float
        Seconds between two orders that only arrivals ask for.
    missing : str
        What the settings ask for and is not there, for people; empty when nothing is.
    mark : str
        How far the cache of the embeddings was filled, and with what.
    answers : ndarray of shape (a,), int64, optional
        Who answered first, in order of creation: each task at its first annotation, and less than zero at its first
        skip. Without it, the labels in their order.
    load_inputs : callable, optional
        Returns what is stored of the inputs of the live order.
    recall : callable, optional
        Returns rows as they were: see `inputs.Recall`.
    pins : frozenset of int
        Tasks that an admin wants labeled first.
    act : int
        Number of the newest act that pinned tasks or left some out.
    curve : bool
        Whether the learning curve is measured, which changes no order and takes as long as a few trainings.
    work : mapping
        What people did by day and by person, which is passed on to people and changes no order.
    shares : mapping
        How the tasks' values of the field are spread by which places are shared out, which is passed on likewise.
    """

    target: Target
    settings: Mapping[str, Any]
    tasks: Tasks
    labels: Labels
    state: CampaignState
    live: Order | None
    generation: str
    load_rows: Callable[[], Block]
    load_features: Callable[[], Features] | None = None
    now: float = 0.0
    arrivals: int = 0
    arriving: bool = False
    annotators: int = 0
    pace: int = 0
    prelabels: bool = True
    hold: bool = False
    cut_short: bool = False
    lost: str = ""
    wanted: str = ""
    learned: str = ""
    gap: float = 0.0
    missing: str = ""
    mark: str = ""
    answers: NDArray[np.int64] | None = None
    load_inputs: Callable[[], bytes] | None = None
    recall: Callable[[NDArray[np.int64], Origin], Block] | None = None
    pins: frozenset[int] = frozenset()
    act: int = 0
    curve: bool = True
    work: Mapping[str, Any] = field(default_factory=dict)
    shares: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def rows(self) -> Block:
        """Embeddings of the tasks that have some, ids ascending."""
        return self.load_rows()

    @cached_property
    def features(self) -> Features | None:
        """What BAL clusters instead, or None for the embeddings."""
        return None if self.load_features is None else self.load_features()

    def as_of(self, label: int) -> Tasks:
        """Return the tasks as they were when this task got its label; as they are now if it has none any more."""
        answers = self.labels.tasks if self.answers is None else self.answers
        at = np.flatnonzero(answers == label)
        if not at.size:
            return self.tasks
        before, later = answers[: at[0] + 1], np.unique(np.abs(answers[at[0] + 1 :]))
        states = self.tasks.states.copy()
        rows = self.tasks.find(later)
        states[rows[rows >= 0]] = ord(UNLABELED)
        again = before[np.isin(np.abs(before), later)]
        rows = self.tasks.find(np.abs(again))
        codes = np.where(again > 0, ord(ANNOTATED), ord(SKIPPED)).astype(np.uint8)
        states[rows[rows >= 0]] = codes[rows >= 0]  # of two answers of one task the last one stays
        return replace(self.tasks, states=states)
