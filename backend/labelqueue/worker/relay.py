"""The shards that a worker has, one after the other, as one stream: the next is read while the last is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ..images import Item
from ..state import TaskRow
from .gathering import Gathering

__all__ = ["Relay", "Shard"]


@dataclass
class Shard:
    """One shard at this worker.

    Attributes
    ----------
    job_id : str
    ids : list of int
        Its tasks.
    rows : mapping of int to TaskRow
        Those of them that are to be embedded.
    gathering : Gathering
        What reads their images.
    servers : mapping of str to (float, str)
        Those that were slow when it was taken, see `jobs.slow_servers`.
    begun : float
        `time.monotonic()` at which it was taken.
    read : bool
        Whether the gathering is at its end.
    open : set of int
        Images that were read and are not accounted for.
    """

    job_id: str
    ids: list[int]
    rows: Mapping[int, TaskRow]
    gathering: Gathering
    servers: Mapping[str, tuple[float, str]]
    begun: float
    read: bool = False
    open: set[int] = field(default_factory=set)


class Relay:
    """Hands over the images of a shard, then those of the next one that is taken, and so on.

    Parameters
    ----------
    first : Shard
    take : callable
        Returns the next shard, None when this one was the last; asked when all images of a shard are handed over, while
        the model still has some of them to do.
    load : callable
        Gets the job of a shard and one of its items, and returns the bytes, in a thread.

    Attributes
    ----------
    held : list of Shard
        Those that are not over, oldest first.
    """

    def __init__(self, first: Shard, take: Callable[[], Shard | None], load: Callable[[str, Item], bytes]) -> None:
        self.held, self._take, self._load = [first], take, load

    def __iter__(self) -> Iterator[Item]:
        shard: Shard | None = self.held[0]
        while shard is not None:
            for item in shard.gathering:
                shard.open.add(item.id)
                yield replace(item, load=partial(self._load, shard.job_id, item))
            shard.read = True
            shard = self._take()
            if shard is not None:
                self.held.append(shard)

    def row(self, task: int) -> TaskRow:
        """Return what is known of an image at work."""
        return next(shard.rows[task] for shard in self.held if task in shard.rows)

    def account(self, tasks: Iterable[int]) -> dict[str, list[int]]:
        """Note that it is known what became of images; return them by the job of their shard."""
        found: dict[str, list[int]] = {}
        for task in tasks:
            shard = next(one for one in self.held if task in one.open)
            shard.open.discard(task)
            found.setdefault(shard.job_id, []).append(task)
        return found

    def over(self) -> list[Shard]:
        """Return the shards of which every image is accounted for; they are held no more."""
        done = [shard for shard in self.held if shard.read and not shard.open]
        self.held = [shard for shard in self.held if shard not in done]
        return done
