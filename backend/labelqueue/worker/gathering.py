"""Reading many images from many servers at once, for a limited time: a slow server keeps no other one's images."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from ..exceptions import LateImageError
from ..images import Item

__all__ = ["Gathering", "Wanted", "server_of"]

READERS, PER_SERVER = 8, 4  # images that are read at a time: altogether, and from one server
PATIENCE = 5.0  # seconds after which nothing more is asked of a server that has given nothing yet
LOOK_UP = 0.2  # seconds between two looks at the clock and at whether to stop


@dataclass(frozen=True)
class Wanted:
    """One image to read.

    Attributes
    ----------
    id : int
        Whose image.
    uri : str
        Its address.
    server : str
        Who gives it, see `server_of`.
    read : callable
        Called with the `time.monotonic()` at which to give up; returns the bytes or raises ImageError.
    """

    id: int
    uri: str
    server: str
    read: Callable[[float], bytes]


def server_of(uri: str) -> str:
    """Return who gives an image: ``host:port`` of the web, a cloud's bucket, ``Label Studio``; empty for a data:
    address, which nobody has to give."""
    uri = uri.strip()
    if uri[:5].lower() == "data:":
        return ""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:  # no address: whoever reads it says so
        return ""
    if not parts.scheme or not host:
        return "Label Studio"
    if parts.scheme in ("http", "https"):
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{port or {'http': 80, 'https': 443}[parts.scheme]}"
    return f"{parts.scheme}://{host}"


class Gathering:
    """Reads images, those of all servers in turn, until a deadline.

    Parameters
    ----------
    wanted : iterable of Wanted
    deadline : float
        Seconds for all of them together.
    slow : mapping of str to str, default empty
        Servers that are to be left alone now, and why.
    suspicious : callable
        Tells whether a server was slow lately, so that a single late image is its fault.
    stop : callable
        Tells whether to stop before the deadline.

    Attributes
    ----------
    late : dict of str to list of int
        After iterating: servers that were too slow, or are to be left alone, with their images that were not read.
    reasons : dict of str to str
        Why each server that this found too slow is: it was late with two images or more, or was slow lately, and
        answered nothing else.
    unread : list of int
        After iterating: images that nobody is to blame for; there was no time to begin them.
    answered : set of str
        After iterating: servers that gave an image, or said in time that they do not.
    """

    def __init__(
        self,
        wanted: Iterable[Wanted],
        *,
        deadline: float,
        slow: Mapping[str, str] | None = None,
        suspicious: Callable[[str], bool] = lambda server: False,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._waiting: dict[str, deque[Wanted]] = defaultdict(deque)
        self.late: dict[str, list[int]] = defaultdict(list)
        self.reasons: dict[str, str] = {}
        self.unread: list[int] = []
        self.answered: set[str] = set()
        for one in wanted:
            if slow and one.server in slow:
                self.late[one.server].append(one.id)
            else:
                self._waiting[one.server].append(one)
        self._deadline, self._suspicious, self._stop = deadline, suspicious, stop
        self._running: dict[int, tuple[Wanted, float]] = {}
        self._done: SimpleQueue[tuple[Wanted, bytes | Exception]] = SimpleQueue()
        self._overdue: dict[int, tuple[Wanted, str]] = {}
        self._held = 0.0  # seconds that whoever takes the images let us wait: no server is to blame for them

    def __iter__(self) -> Iterator[Item]:
        """Yield each image as it comes, read or failed by itself; `load` gives its bytes, or its error."""
        until = self._now() + self._deadline
        while (self._waiting or self._running) and self._now() < until and not self._stop():
            self._begin(until)
            if not self._running:
                break  # what waits is of servers of which nothing more is asked
            try:
                one, outcome = self._done.get(timeout=max(0.0, min(LOOK_UP, until - self._now())))
            except Empty:
                continue
            del self._running[one.id]
            if isinstance(outcome, LateImageError):
                self._overdue[one.id] = (one, str(outcome))
                continue
            self.answered.add(one.server)
            begun = time.monotonic()
            yield _item(one, outcome)
            self._held += time.monotonic() - begun
        if self._stop():
            self.unread += [one.id for one, _ in (*self._running.values(), *self._overdue.values())]
        else:
            for one, _ in self._running.values():
                self._overdue[one.id] = (one, f"{one.server} did not give it within {self._deadline:.0f} s")
            yield from self._judge()
        self.unread += [one.id for line in self._waiting.values() for one in line]

    def _now(self) -> float:
        return time.monotonic() - self._held

    def _begin(self, until: float) -> None:
        """Read on while there are readers left, from the server that has the fewest at work."""
        running = Counter(one.server for one, _ in self._running.values())
        while len(self._running) < READERS:
            open_ = [server for server in self._waiting if running[server] < PER_SERVER and not self._doubtful(server)]
            if not open_:
                return
            server = min(open_, key=lambda name: running[name])
            one = self._waiting[server].popleft()
            if not self._waiting[server]:
                del self._waiting[server]
            running[server] += 1
            self._running[one.id] = (one, self._now())
            # No pool: its threads would be waited for when the process ends, and a server can hold one for long.
            threading.Thread(
                target=self._read, args=(one, until + self._held), name="labelqueue-reader", daemon=True
            ).start()

    def _read(self, one: Wanted, until: float) -> None:
        try:
            self._done.put((one, one.read(until)))
        except Exception as error:
            self._done.put((one, error))

    def _doubtful(self, server: str) -> bool:
        """Tell whether a server has answered nothing yet and keeps us waiting."""
        if server in self.answered:
            return False
        since = [begun for one, begun in self._running.values() if one.server == server]
        late = any(one.server == server for one, _ in self._overdue.values())
        return late or bool(since and self._now() - min(since) > PATIENCE)

    def _judge(self) -> Iterator[Item]:
        """Decide whose fault late images are: the server's, when it answered nothing else, or their own."""
        overdue: dict[str, list[tuple[Wanted, str]]] = defaultdict(list)
        for one, why in self._overdue.values():
            overdue[one.server].append((one, why))
        for server, those in overdue.items():
            if server and server not in self.answered and (len(those) > 1 or self._suspicious(server)):
                self.reasons[server] = those[0][1]
                self.late[server] += [one.id for one, _ in those]
                self.late[server] += [one.id for one in self._waiting.pop(server, ())]
            else:
                for one, why in those:
                    yield _item(one, LateImageError(why))


def _item(one: Wanted, outcome: bytes | Exception) -> Item:
    kept = [outcome]  # let go of when it is loaded: decoded images are held in numbers, files need not be

    def load() -> bytes:
        found = kept.pop()
        if isinstance(found, Exception):
            raise found
        return found

    return Item(one.id, one.uri, load)
