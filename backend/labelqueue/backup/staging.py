"""Where a restore writes until all of it is there, and the one step that puts it in place."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from redis.exceptions import WatchError

from ..exceptions import BackupError
from ..state import Project, ProjectRef, Redis

__all__ = ["Staged", "switch"]

LIFETIME = 24 * 3600  # seconds after which Redis removes what a killed restore left
SETTLE = 0.2  # seconds; whoever has a number for a block by then has stored it
TRIES = 100


class Staged(Project):
    """A project whose keys lie aside, below a name of their own, and are otherwise those that they will be.

    Parameters
    ----------
    store : Redis
    ref : ProjectRef
        The project that they will belong to.
    """

    def __init__(self, store: Redis, ref: ProjectRef) -> None:
        self._token = uuid.uuid4().hex[:12]
        self._aside: dict[str, str] = {}  # name below the project's own to the key here
        super().__init__(store, ref)

    def name(self, *parts: str) -> str:
        """Return the Redis key of a part, aside."""
        key = super().name("restoring", ":".join((self._token, *parts)))
        self._aside[":".join(parts)] = key
        return key

    def present(self) -> dict[str, str]:
        """Return the keys that there are, by the name that they will have below the project's own."""
        names = list(self._aside)
        with self.store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(self._aside[name])
            return {name: self._aside[name] for name, here in zip(names, pipe.execute(), strict=True) if here}

    def keep_alive(self) -> None:
        """Let Redis remove the keys by itself, should nobody put them in place within a day."""
        with self.store.pipeline(transaction=False) as pipe:
            for key in self._aside.values():
                pipe.expire(key, LIFETIME)
            pipe.execute()

    def discard(self) -> None:
        """Remove the keys."""
        self.store.unlink(*self._aside.values())


def switch(
    staged: Staged,
    project: Project,
    facts: Mapping[str, str],
    check: Callable[[], None],
    *,
    counts: Sequence[str] = (),
    drops: Sequence[str] = (),
) -> None:
    """Put everything that is staged in place of what is here, and remember facts, in one step.

    Parameters
    ----------
    staged : Staged
    project : Project
    facts : mapping of str to str
    check : callable
        Raises when the project's lock was lost; called right before.
    counts : sequence of str
        Keys that count the blocks of embeddings that are replaced. Workers store blocks without the lock: the step is
        taken at a moment when none of them is about to.
    drops : sequence of str
        Keys of what is here that is removed.
    """
    there = staged.present()
    for _ in range(TRIES):
        with project.store.pipeline(transaction=True) as pipe:
            if counts:
                pipe.watch(*counts)  # type: ignore[no-untyped-call]
                before = project.store.mget(counts)
                if any(before):
                    time.sleep(SETTLE)
                if project.store.mget(counts) != before:
                    continue
            check()
            pipe.multi()
            pipe.unlink(project.changes.key, *drops)  # copies of what was here are worth nothing
            for name, key in there.items():
                pipe.rename(key, project.name(name))
                pipe.persist(project.name(name))
            if facts:
                pipe.hset(project.name("info"), mapping=dict(facts))  # type: ignore[arg-type]
            try:
                pipe.execute()
            except WatchError:
                continue
        return
    raise BackupError(
        f"images of project {project.ref.id} are being embedded all the time: stop the workers and try again; nothing "
        "was changed"
    )
