"""Thumbnails in Redis: one cache for all projects, whose oldest pictures give way. All of it can be cut again.

A project's thumbnails are the fields of one hash, so that they go with their tasks and with the project. Beside them a
sorted set over all projects has one member per thumbnail, ``project:task:bytes``, by the time it was cut, and a number
their sum. A task or project that goes does not touch these: what stands there and is gone is struck off later, and
counts until then.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from redis.exceptions import OutOfMemoryError

from ..block import source_hash
from ..jobs import Answer, Question, ask
from ..state import Project, Redis, scan_members, text

__all__ = ["MEGABYTE", "Thumbnails", "kept_bytes", "tidy", "trim"]

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
AROUND = 350  # bytes that Redis takes for a thumbnail besides its file: names, table entries, what it rounds up to
NEARLY_FULL = 0.9  # share of the memory that Redis may use, from which on thumbnails give way to everything else
TOGETHER = 500  # thumbnails that one command strikes off
LOOKED_FOR = 30.0  # seconds that a thumbnail is looked for after a page has asked for it
REMEMBERED = 3600  # seconds that a reason is kept at most
_INDEX, _SUM = "lq:thumbs", "lq:thumbs_sum"
_SOURCE = 8  # bytes before each file: the hash of the image's URI

# A task that is gone gets none: whoever cut it was late.
_PUT = """
local sum = tonumber(redis.call('get', KEYS[1]) or 0)
for i = 4, #ARGV, 2 do
  local task, size = ARGV[i], #ARGV[i + 1]
  if redis.call('hexists', KEYS[3], task) == 1 then
    local start = ARGV[1] .. ':' .. task .. ':'
    local before = redis.call('hstrlen', KEYS[4], task)
    if before > 0 and redis.call('zrem', KEYS[2], start .. before) == 1 then sum = sum - before - ARGV[3] end
    redis.call('hset', KEYS[4], task, ARGV[i + 1])
    redis.call('hdel', KEYS[5], task)
    if redis.call('zadd', KEYS[2], ARGV[2], start .. size) == 1 then sum = sum + size + ARGV[3] end
  end
end
redis.call('set', KEYS[1], string.format('%.0f', sum))
return string.format('%.0f', sum)
"""
# Members in order of their age: those that are gone are struck off, and the others as long as the sum is too large. The
# sum is written last, which a server whose memory is full allows once something was removed.
_STRIKE = """
local sum, struck = tonumber(redis.call('get', KEYS[1]) or 0), 0
for i = 3, #KEYS do
  local task, size = string.match(ARGV[i], ':(%d+):(%d+)$')
  local gone = redis.call('hstrlen', KEYS[i], task) ~= tonumber(size)
  if (gone or sum > tonumber(ARGV[1])) and redis.call('zrem', KEYS[2], ARGV[i]) == 1 then
    if not gone then redis.call('hdel', KEYS[i], task) end
    sum, struck = sum - size - ARGV[2], struck + 1
  end
end
if struck > 0 then redis.call('set', KEYS[1], string.format('%.0f', sum)) end
return struck
"""


class Thumbnails:
    """The thumbnails of one project, why some images have none, and which a page waits for.

    Parameters
    ----------
    project : Project

    Notes
    -----
    An image is known by the hash of its URI (`source_hash`): with another image a task has another thumbnail.
    """

    def __init__(self, project: Project) -> None:
        self._project, self._store = project, project.store
        self._pictures, self._none = project.name("thumbs"), project.name("thumbless")
        self._wanted = project.name("thumbs_wanted")

    # -- what is there

    def get(self, task: int) -> tuple[int, bytes] | None:
        """Return a task's thumbnail, a WebP file, after the hash of the image that it shows."""
        raw = self._store.hget(self._pictures, str(task))
        return None if raw is None else _load(raw)  # type: ignore[arg-type]

    def sources_of(self, tasks: Sequence[int]) -> dict[int, int]:
        """Return those of a few hundred tasks that have a thumbnail, each with the hash of the image that it shows."""
        raws = self._store.hmget(self._pictures, [str(task) for task in tasks]) if tasks else []
        return {task: _load(raw)[0] for task, raw in zip(tasks, raws, strict=True) if raw is not None}  # type: ignore[arg-type]

    def put(self, thumbnails: Mapping[int, tuple[int, bytes]], limit: int) -> bool:
        """Keep thumbnails, and let the oldest of all projects go that are too many then.

        Parameters
        ----------
        thumbnails : mapping of int to (int, bytes)
            Task to the hash of its image and the WebP file.
        limit : int
            Bytes of Redis for the thumbnails of all projects; 0 keeps none. Several workers that keep some at the same
            moment are above it for that moment.

        Returns
        -------
        bool
            Whether they are kept.

        Notes
        -----
        Everything else that is kept is worth more: a server that is nearly full, or refuses to take any, gets none, and
        half of those it has are given up.
        """
        if not thumbnails or not limit:
            return False
        project, store = self._project, self._store
        pairs = [part for task, (source, file) in thumbnails.items() for part in (str(task), _dump(source, file))]
        keys = (_SUM, _INDEX, project.name("tasks"), self._pictures, self._none)
        if _nearly_full(store):
            _give_way(store)
            return False
        try:
            kept = int(store.eval(_PUT, len(keys), *keys, project.key, repr(time.time()), AROUND, *pairs))
        except OutOfMemoryError:
            _give_way(store)
            return False
        if kept > limit:
            trim(store, limit)
        return True

    # -- why there is none

    def note(self, reasons: Mapping[int, tuple[int, str]], seconds: float) -> None:
        """Remember for so long why images have no thumbnail: task to the hash of its image and the reason."""
        if reasons:
            until = time.time() + min(seconds, REMEMBERED)
            rows = {str(task): json.dumps([f"{source:016x}", until, why]) for task, (source, why) in reasons.items()}
            with self._store.pipeline(transaction=False) as pipe:
                pipe.hset(self._none, mapping=rows)  # type: ignore[arg-type]
                pipe.expire(self._none, REMEMBERED)
                pipe.execute()

    def forgive(self, tasks: Collection[int]) -> None:
        """Forget why these have none."""
        if tasks:
            self._store.hdel(self._none, *map(str, tasks))

    def reasons(self, sources: Mapping[int, int]) -> dict[int, str]:
        """Return why images have no thumbnail, where that is known.

        Parameters
        ----------
        sources : mapping of int to int
            A few hundred tasks, each with the hash of its image.

        Returns
        -------
        dict of int to str
            Also of images that could not be embedded: nobody tries them here.
        """
        if not sources:
            return {}
        names = [str(task) for task in sources]
        with self._store.pipeline(transaction=False) as pipe:
            pipe.hmget(self._none, names)
            pipe.hmget(self._project.name("quarantine"), names)
            noted, quarantined = pipe.execute()
        found, now = {}, time.time()
        for (task, source), raw, other in zip(sources.items(), noted, quarantined, strict=True):
            if raw is not None:
                of, until, why = json.loads(raw)
                if int(of, 16) == source and until > now:
                    found[task] = why
            if other is not None:
                row = json.loads(other)
                if source_hash(row.get("uri", "")) == source:
                    found[task] = row.get("reason", "")
        return found

    # -- what a page waits for

    def want(self, tasks: Collection[int]) -> Answer | None:
        """Ask for the thumbnails of tasks to be cut. What is asked for at about the same time is one job."""
        now = time.time()
        with self._store.pipeline(transaction=False) as pipe:
            pipe.zadd(self._wanted, dict.fromkeys(map(str, tasks), now))
            pipe.expire(self._wanted, int(2 * LOOKED_FOR))
            pipe.execute()
        # The thumbnails themselves are the answer: what is said besides is kept when it is an error only.
        return ask(self._store, Question("thumbnails", self._project.key, deadline=LOOKED_FOR, keep=0.001))

    def take_wanted(self, count: int) -> list[int]:
        """Return some of the tasks that a page waits for, those asked for last first, and strike them off."""
        taken: list[tuple[bytes, float]] = self._store.zpopmax(self._wanted, count)  # type: ignore[assignment]
        return [int(task) for task, at in taken if at > time.time() - LOOKED_FOR]


def _dump(source: int, file: bytes) -> bytes:
    return source.to_bytes(_SOURCE, "big") + file


def _load(raw: bytes) -> tuple[int, bytes]:
    return int.from_bytes(raw[:_SOURCE], "big"), raw[_SOURCE:]


# -- of all projects


def kept_bytes(store: Redis) -> int:
    """Return how many bytes of Redis the thumbnails of all projects take."""
    return int(store.get(_SUM) or 0)


def trim(store: Redis, limit: int) -> None:
    """Let the oldest thumbnails go until all of them take no more than so many bytes."""
    while kept_bytes(store) > limit:
        oldest = store.zrange(_INDEX, 0, TOGETHER - 1)
        if not oldest:
            store.delete(_SUM)  # Redis lost the one and not the other
            return
        _strike(store, oldest, limit)  # type: ignore[arg-type]


def tidy(store: Redis, limit: int) -> None:
    """Strike off the thumbnails that went with their tasks or projects, and let those go that are too many."""
    for members in scan_members(store, _INDEX):
        for start in range(0, len(members), TOGETHER):
            _strike(store, [raw for raw, _ in members[start : start + TOGETHER]], None)
    trim(store, limit)
    if _nearly_full(store):
        _give_way(store)


def _strike(store: Redis, members: Iterable[bytes], limit: int | None) -> None:
    """Strike off those members that are gone, and while there is more than the limit the others."""
    names = [text(raw) for raw in members]
    keys = [f"lq:{name.partition(':')[0]}:thumbs" for name in names]
    most = 2**53 if limit is None else limit
    store.eval(_STRIKE, 2 + len(keys), _SUM, _INDEX, *keys, most, AROUND, *names)


def _nearly_full(store: Redis) -> bool:
    memory = store.info("memory")
    return 0 < NEARLY_FULL * int(memory.get("maxmemory", 0)) <= int(memory.get("used_memory", 0))


def _give_way(store: Redis) -> None:
    kept = kept_bytes(store)
    if kept > MEGABYTE:
        log.warning("Redis is nearly full: half of the %d MB of thumbnails go", kept // MEGABYTE)
    trim(store, kept // 2)
