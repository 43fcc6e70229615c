"""The live loop in a real Label Studio of many tasks: from a label to the next order, and what of it is whose.

    PYTHONPATH=backend:selectors:tests python benchmarks/live_loop.py                       # 100,000 tasks, SQLite
    PYTHONPATH=backend:selectors:tests python benchmarks/live_loop.py --database postgresql
    PYTHONPATH=backend:selectors:tests python benchmarks/live_loop.py --tasks 2000 --repeat 2

Needs what `make test` installs, and for PostgreSQL its server on the PATH or in the usual places; the script starts a
cluster of its own in a temporary folder. Images do not exist: their vectors come by `labelqueue embeddings import`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from live_loop_costs import call_costs
from live_loop_scene import MODEL, Scene, Span, scene

from e2e.conftest import VERSION
from labelqueue.labels import UNLABELED
from labelqueue.state import NOT_CONNECTED, Orders

LABEL, REFILL, PIN, WHOLE = "label to new order", "refill", "pin to first in queue", "complete reading"
CONNECT, IMPORT, FIRST, AGAIN = (
    "connecting to all known",
    "vectors imported",
    "vectors to first order",
    "connecting again",
)
PARTS = (CONNECT, IMPORT, FIRST, LABEL, PIN, REFILL, AGAIN, WHOLE)
UNTIL_WARM = 20  # labels, after which the model takes part
FAR = 6  # labels that a head of 10 lasts at least before it is refilled


def connect(here: Scene) -> Iterator[Span]:
    """Connect a project that is new here, bring its vectors, and wait for its first order."""
    began, before = time.perf_counter(), here.cpu()
    here.api.connect(here.number, here.backend.url, extra_params={"embedder": f"imported {MODEL}"})
    answered = time.perf_counter()
    ended = here.until(lambda: here.fact("full_at") and here.fact("webhook_secured_at"), what="everything is read")
    yield here.close_span(Span(CONNECT), began, ended, before, [(began, answered)])
    here.settle()
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        file = Path(folder) / "vectors.parquet"
        here.write_vectors(file)
        with here.measured(IMPORT) as span:
            here.backend.command("embeddings", "import", str(here.number), str(file), "--name", MODEL)
    yield span
    with here.measured(FIRST) as span:
        here.until(here.live, what="a first order")
    yield span
    here.settle()
    check_served(here)


def first_task(here: Scene) -> int:
    """Return the task that the live order has first among those that nobody labeled."""
    project = here.project()
    assert project is not None
    live = Orders(project).live()
    assert live is not None
    rows = project.task_rows([place.task for place in live.queue])
    return next(place.task for place in live.queue if rows[place.task].state == UNLABELED)


def check_served(here: Scene) -> None:
    """Fail unless Label Studio serves what the live order has first."""
    served, first = here.api.next(here.number)["id"], first_task(here)
    if served != first:
        raise SystemExit(f"Label Studio serves task {served}, and {here.live()!r} has task {first} first")


def warm_up(here: Scene, labels: int) -> None:
    """Label until the model takes part in each order, and let each label make one."""
    here.set(retrain_every=10_000, switch_after=labels)
    for _ in range(labels):
        here.annotate_next()
    here.settle()
    version = here.live()
    here.set(retrain_every=1)
    here.until(lambda: here.live() != version, what="an order by the model")
    here.settle()


def label(here: Scene) -> Span:
    """Label one task, and wait for the order that follows from it."""
    version, before = here.live(), here.cpu()
    began, answered = here.annotate_next()
    ended = here.until(lambda: here.live() != version, what="a new order")
    span = here.close_span(Span(LABEL), began, ended, before, [(began, answered)])
    here.settle()
    check_served(here)
    return span


def refills(here: Scene, count: int) -> Iterator[Span]:
    """Label, with no training due, until the head of the live order was refilled, some times."""
    version = here.live()
    here.set(horizon=10)
    here.ask("/retrain")
    here.until(lambda: here.live() != version, what="a shorter order")
    here.settle()
    for _ in range(count):
        for _ in range(FAR):
            here.annotate_next()
        here.settle()
        places = _places(here)
        while True:
            before = here.cpu()
            began, answered = here.annotate_next()
            here.settle()
            if _places(here) > places:
                break
        ended = max(one.ended for one in here.clock.heard if "predictions" in one.kind and "GET" not in one.kind)
        yield here.close_span(Span(REFILL), began, ended, before, [(began, answered)])
        check_served(here)


def _places(here: Scene) -> int:
    project = here.project()
    live = Orders(project).live() if project is not None else None
    return len(live.places) if live is not None else 0


def pin(here: Scene) -> Span:
    """Pin a task that is not in the queue, and wait until it is first there."""
    here.annotate_next()  # else the task that is open comes back first
    here.settle()
    project = here.project()
    assert project is not None
    live, rows = Orders(project).live(), project.tasks()
    assert live is not None
    queued = {place.task for place in live.queue}
    task = next(task for task, row in rows.items() if task not in queued and row.state == UNLABELED)

    with here.measured(PIN) as span:
        here.ask("/pin", tasks=[task])
        here.until(
            lambda: first_task(here) == task and project.get("moving") in ("", "{}"), what="the pinned task comes first"
        )
    here.settle()
    check_served(here)
    return span


def read_everything(here: Scene) -> Span:
    """Ask for a complete reading, and wait for its end."""
    before = here.fact("full_at")
    with here.measured(WHOLE) as span:
        here.ask("/reconcile")
        here.until(lambda: here.fact("full_at") != before, what="everything is read")
    here.settle()
    return span


def connect_again(here: Scene) -> Span:
    """Remove the connection, make it anew, and wait until the queue is ordered again."""
    here.annotate_next()  # else the task that is open comes back first
    here.settle()
    here.api.disconnect(here.number)
    here.ask("/reconcile")
    # A reading that was begun waits until it is connected again: it is not quiet before.
    here.until(lambda: here.fact("paused") == NOT_CONNECTED, what="that the connection is gone is noticed")
    with here.measured(AGAIN) as span:
        here.api.connect(here.number, here.backend.url, extra_params={"embedder": f"imported {MODEL}"})
        here.until(here.live, what="an order")
    here.settle()
    check_served(here)
    return span


def run(here: Scene, repeat: int, labels: int = UNTIL_WARM) -> Iterator[Span]:
    """Measure everything, each a few times, and yield what was found.

    Parameters
    ----------
    here : Scene
    repeat : int
        How often; labels twice as often.
    labels : int
        After which the model takes part.
    """
    yield from connect(here)
    warm_up(here, labels)
    for _ in range(2 * repeat):
        yield label(here)
    here.set(retrain_every=10_000)
    for _ in range(repeat):
        yield pin(here)
    yield from refills(here, repeat)
    for _ in range(repeat):
        yield connect_again(here)
    for _ in range(repeat):  # last: it takes minutes
        yield read_everything(here)


def summary(spans: Sequence[Span]) -> str:
    """Return the table: medians, and the slowest."""
    lines = ["| | runs | clock: median | slowest | Label Studio | ours | of it before the first call | our CPU |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for what in dict.fromkeys(span.what for span in spans):
        some = [span for span in spans if span.what == what]
        values = [
            statistics.median(span.seconds for span in some),
            max(span.seconds for span in some),
            *(
                statistics.median(getattr(span, name) for span in some)
                for name in ("theirs", "ours", "waited", "our_cpu")
            ),
        ]
        lines.append(f"| {what} | {len(some)} | " + " | ".join(f"{value:.2f} s" for value in values) + " |")
    lines += ["", "| call | in | calls a run | seconds each |", "|---|---|---|---|"]
    for what in dict.fromkeys(span.what for span in spans):
        some = [span for span in spans if span.what == what]
        for kind in sorted({kind for span in some for kind in span.calls}):
            counts = [span.calls.get(kind, (0, 0.0)) for span in some]
            n, seconds = sum(n for n, _ in counts), sum(seconds for _, seconds in counts)
            lines.append(f"| `{kind}` | {what} | {n / len(some):.1f} | {seconds / n:.3f} |")
    lines += [
        "",
        "| CPU seconds, median | " + " | ".join(names := _programs(spans)) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for what in dict.fromkeys(span.what for span in spans):
        some = [span for span in spans if span.what == what]
        cells = (f"{statistics.median(span.cpu.get(name, 0.0) for span in some):.2f}" for name in names)
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _programs(spans: Sequence[Span]) -> list[str]:
    return sorted({name for span in spans for name in span.cpu})


def measure(database: str, tasks: int, repeat: int) -> dict[str, Any]:
    """Start everything, measure, and return the figures; also print them."""
    began, spans, costs = time.perf_counter(), list[Span](), dict[str, float]()
    try:
        with scene(database, tasks) as here:
            print(f"{tasks:,} tasks on {database}, imported after {time.perf_counter() - began:.0f} s", flush=True)
            for span in run(here, repeat):
                spans.append(span)
            known = {name: here.fact(name) for name in ("single_seconds", "bulk_seconds")}
            print(f"what the service measured of sending predictions: {known}")
            costs = call_costs(here, repeat)
    finally:  # a run that was stopped shows what it has
        machine = f"{platform.platform()}, Python {platform.python_version()}, Label Studio {VERSION}"
        print(f"{machine}, {database}, load {os.getloadavg()}\n\n{summary(spans)}\n")
        print("| call by itself | seconds |\n|---|---|")
        print("\n".join(f"| {name} | {seconds:.3f} |" for name, seconds in costs.items()), flush=True)
    found = {"database": database, "tasks": tasks, "load": os.getloadavg(), "costs": costs}
    return {**found, "spans": [asdict(one) for one in spans]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured, labels twice as often (3)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started ends with us
    found = measure(options.database, options.tasks, options.repeat)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
