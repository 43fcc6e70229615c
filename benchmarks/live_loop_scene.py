"""What `live_loop` measures with: a Label Studio with many tasks, our service beside it, and a clock between the two.

Every call of the service to Label Studio goes through a proxy on loopback that times it. What a span took beside these
calls is ours: work, and waiting.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil

from chaos.proxy import Answer, Call, Proxy
from e2e.conftest import ACCOUNT, EXECUTABLE, TEMPLATE
from e2e.databases import label_studio_on
from e2e.harness import Backend, LabelStudioApi
from labelqueue.settings import Deployment
from labelqueue.state import Journal, Orders, Project, Redis
from labelqueue.store import connect

CLASSES, DIMENSION, IMPORTED_AT_ONCE = 10, 384, 10_000
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    + "".join(f'<Choice value="c{n}"/>' for n in range(CLASSES))
    + "</Choices></View>"
)
MODEL = "synthetic"
OURS = {"labelqueue.web": "web", "worker tending": "tending worker", "worker embedding": "embedding worker"}


class Heard(NamedTuple):
    """A call of the service to Label Studio; times are of `time.perf_counter`."""

    kind: str
    began: float
    ended: float
    status: int


def kind_of(method: str, path: str, body: bytes) -> str:
    """Return what a call is for, without its numbers."""
    parts = urlsplit(path)
    name, query = re.sub(r"\d+", "N", parts.path), parse_qs(parts.query)
    if name == "/api/tasks":
        asked, include = query.get("query", [""])[0], query.get("include", [""])[0]
        if "selectedItems" in asked:
            what = "annotations of named" if "annotations" in include else "named"
        elif "predictions" in asked:
            what = "with predictions"
        elif "-tasks:updated_at" in asked:
            what = "newest change"
        else:
            what = "a page of changed" if "tasks:updated_at" in asked else "a page of all"
        return f"{method} {name} ({what})"
    if method == "PATCH" and name == "/api/projects/N":
        with suppress(ValueError):
            return f"{method} {name} ({', '.join(sorted(json.loads(body)))})"
    return f"{method} {name}"


class Clock:
    """Times every call that goes through a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.heard: list[Heard] = []
        proxy.fault = self._time

    def _time(self, call: Call) -> Answer | None:
        began = time.perf_counter()
        answer = call.forward()
        kind = kind_of(call.method, call.path, call.body)
        self.heard.append(Heard(kind, began, time.perf_counter(), answer.status))
        return answer


@dataclass
class Span:
    """One measured stretch.

    Attributes
    ----------
    what : str
    seconds : float
        By the clock.
    theirs : float
        Of these, while Label Studio worked for us or for whoever began the span.
    waited : float
        Of ours, until the service first called Label Studio.
    cpu : dict of str to float
        CPU seconds by process.
    calls : dict of str to (int, float)
        Kind to how many, and their seconds together.
    """

    what: str
    seconds: float = 0.0
    theirs: float = 0.0
    waited: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    calls: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """Seconds that Label Studio did not work for us."""
        return self.seconds - self.theirs

    @property
    def our_cpu(self) -> float:
        """CPU seconds of our processes, Redis among them."""
        return sum(seconds for name, seconds in self.cpu.items() if name not in ("Label Studio", "PostgreSQL"))


def union(parts: Sequence[tuple[float, float]]) -> float:
    """Return how long at least one of some stretches of time goes on."""
    total, until = 0.0, float("-inf")
    for began, ended in sorted(parts):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


class Scene:
    """A project of many tasks in a Label Studio, and our service, which is not connected to it yet.

    Parameters
    ----------
    api : LabelStudioApi
        Its owner, past the clock.
    backend : Backend
    clock : Clock
    programs : dict of str to int
        Process ids of others that are timed, by name; their children count with them.
    tasks : int
    """

    def __init__(
        self, api: LabelStudioApi, backend: Backend, clock: Clock, programs: dict[str, int], tasks: int
    ) -> None:
        self.api, self.backend, self.clock, self.tasks = api, backend, clock, tasks
        self.store: Redis = connect(Deployment.from_environment(backend.environment))
        self._programs = programs
        rng = np.random.default_rng(0)
        self.classes = rng.integers(CLASSES, size=tasks)
        self.number = api.create_project(f"live loop of {tasks:,}", CONFIG)
        for start in range(0, tasks, IMPORTED_AT_ONCE):
            part = range(start, min(tasks, start + IMPORTED_AT_ONCE))
            api.import_tasks(self.number, [{"image": address(n)} for n in part])

    def project(self) -> Project | None:
        """Return the project as the service keeps it; None before it is connected."""
        found = [one for one in Project.all(self.store) if one.ref.id == self.number]
        return found[0] if found else None

    def fact(self, name: str) -> str:
        project = self.project()
        return project.get(name) if project is not None else ""

    def write_vectors(self, file: Path) -> None:
        """Write a table of vectors: a cloud for each class, which overlap."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        rng = np.random.default_rng(1)
        centers = rng.normal(size=(CLASSES, DIMENSION))
        vectors = (centers[self.classes] + 2 * rng.standard_normal((self.tasks, DIMENSION))).astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
        names = pa.array([address(n) for n in range(self.tasks)])
        parquet.write_table(pa.table({"file": names, "vector": column}), file)

    def annotate_next(self) -> tuple[float, float]:
        """Label what Label Studio serves next; return when its answer was sent and when that was acknowledged."""
        task = self.api.next(self.number)
        choice = f"c{self.classes[number_of(task['data']['image'])]}"
        began = time.perf_counter()
        self.api.annotate(task["id"], choice)
        return began, time.perf_counter()

    def live(self) -> str:
        """Return the version of the live order, empty before the first."""
        project = self.project()
        order = Orders(project).live() if project is not None else None
        return order.version if order is not None else ""

    def settle(self, seconds: float = 600.0) -> None:
        """Wait until nothing is left to do."""

        def idle() -> bool:
            project = self.project()
            if project is None or len(Journal(project)) or project.get("reading") or project.get("changes"):
                return False
            busy = self.store.mget(project.name("tending"), project.name("queued"))
            return not any(busy) and self.store.zscore("lq:delayed", project.key) is None

        self.until(idle, seconds, "quiet")

    def until(self, condition: Callable[[], Any], seconds: float = 1800.0, what: str = "") -> float:
        """Wait until something is so, and return since when."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {seconds:.0f} s: {what}\n{self.backend.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return time.perf_counter()

    def ask(self, path: str, **body: Any) -> None:
        """Call the service's own REST API, as a person's program would."""
        import requests

        answer = requests.post(f"{self.backend.url}/api/v1/projects/{self.number}{path}", json=body, timeout=60)
        if answer.status_code >= 400:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")

    def set(self, **values: Any) -> None:
        """Change settings of the project."""
        self.backend.command("set", str(self.number), *(f"{name}={value}" for name, value in values.items()))

    def cpu(self) -> Counter[str]:
        """Return the CPU seconds that each program used so far."""
        ended = psutil.Process().cpu_times()
        used: Counter[str] = Counter({"commands": ended.children_user + ended.children_system})
        for name, pid in self._programs.items():
            with suppress(psutil.NoSuchProcess):
                for one in (top := psutil.Process(pid), *top.children(recursive=True)):
                    used[name] += _seconds(one)
        for one in psutil.Process(self.backend.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                line = " ".join(one.cmdline())
                used[next((name for mark, name in OURS.items() if mark in line), "Redis")] += _seconds(one)
        return used

    @contextmanager
    def measured(self, what: str) -> Iterator[Span]:
        """Measure what happens inside, to the moment it ends."""
        span, before, began = Span(what), self.cpu(), time.perf_counter()
        yield span
        self.close_span(span, began, time.perf_counter(), before)

    def close_span(
        self, span: Span, began: float, ended: float, before: Counter[str], theirs: Sequence[tuple[float, float]] = ()
    ) -> Span:
        """Fill a span in.

        Parameters
        ----------
        began, ended : float
            Of `time.perf_counter`.
        before : Counter
            CPU seconds at its beginning.
        theirs : sequence of (float, float)
            When Label Studio worked besides the calls that the clock heard.
        """
        heard = [one for one in self.clock.heard if one.ended > began and one.began < ended]
        inside = [(max(one.began, began), min(one.ended, ended)) for one in heard]
        span.seconds, span.theirs = ended - began, union([*inside, *theirs])
        # What the searcher asks every three seconds is no step of a look.
        first = min((one.began for one in heard if "version" not in one.kind and one.began > began), default=ended)
        span.waited = max(0.0, first - max([began, *(end for _, end in theirs)]))
        for one in heard:
            n, total = span.calls.get(one.kind, (0, 0.0))
            span.calls[one.kind] = n + 1, total + one.ended - one.began
        span.cpu = {name: seconds - before[name] for name, seconds in self.cpu().items()}
        print(f"{span.what}: {span.seconds:.2f} s, of it ours {span.ours:.2f} s", file=sys.stderr, flush=True)
        return span


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def address(n: int) -> str:
    """Return the address of an image, which nobody serves: its vector is imported."""
    return f"http://images.invalid/{n:07d}.jpg"


def number_of(uri: str) -> int:
    """Return which image an address is of."""
    return int(uri.rsplit("/", 1)[1].partition(".")[0])


@contextmanager
def scene(database: str, tasks: int) -> Iterator[Scene]:
    """Start a Label Studio on a database, import tasks, and start the service beside it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lq-")))
        server, postgres = stack.enter_context(
            label_studio_on(database, EXECUTABLE, folder / "label-studio", ACCOUNT, TEMPLATE)
        )
        programs = {"Label Studio": server.pid} | ({"PostgreSQL": postgres.pid} if postgres else {})
        yield stack.enter_context(beside(server.url, tasks, programs))


@contextmanager
def beside(url: str, tasks: int, programs: dict[str, int]) -> Iterator[Scene]:
    """Make the project in a Label Studio that runs, and start the service with a clock between the two."""
    with ExitStack() as stack:
        proxy = stack.enter_context(closing(Proxy(url)))
        api = stack.enter_context(closing(LabelStudioApi(url, ACCOUNT.token)))
        clock = Clock(proxy)
        backend = stack.enter_context(Backend(proxy.url, ACCOUNT.token))
        made = Scene(api, backend, clock, programs, tasks)
        stack.callback(made.store.close)
        yield made
