"""What a look of a large project decides, when nothing is new and after one label: seconds of CPU.

The snapshot is made up, as a campaign leaves it: nothing is read, trained or published.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import statistics
import time
from dataclasses import replace

import numpy as np

from labelqueue.block import Block
from labelqueue.labels import ANNOTATED, UNLABELED, parse_label_config
from labelqueue.learning import Course, Model, Predictions
from labelqueue.ordering import LEFT_OUT, CampaignState, Labels, Order, Place, Snapshot, Tasks, arranged, decide
from labelqueue.ordering.campaign import Campaign
from labelqueue.ordering.campaign_state import Cycle, Guess
from labelqueue.settings import PROJECT
from labelqueue.simulation.replay import label_config
from labelqueue.stopping import Measurement, Watch
from labelqueue.stopping.hints import Step

CLASSES = tuple(f"class {number}" for number in range(10))
TARGET = parse_label_config(label_config(CLASSES))
SETTINGS = {name: setting.default for name, setting in PROJECT.items()}
WIDTH = 384
VERSION = "r9·k7f BAL cycle 20"


def unneeded() -> Block:
    raise AssertionError("no look that trains nothing needs the embeddings")


def scene(n: int, *, labels: int, places: int, guesses: int, controls: int, out: int, pins: int) -> Snapshot:
    """Return the snapshot of a campaign in its warm phase, whose live order holds."""
    rng = np.random.default_rng(0)
    ids = np.arange(1, n + 1, dtype=np.int64)
    turn = rng.permutation(ids)
    labeled, queue, rest = np.split(turn, [labels, labels + places])
    states = np.full(n, ord(UNLABELED), np.uint8)
    states[labeled - 1] = ord(ANNOTATED)
    said = {task: CLASSES[task % 10] for task in labeled.tolist()}
    here = min(out, places) // 2
    left_out = [*queue[:here].tolist(), *rest[: out - here].tolist()]
    pinned = rest[-pins:].tolist() if pins else []
    why = dict.fromkeys(left_out, f"{LEFT_OUT}: blurred")
    ones, weights = np.ones(WIDTH, np.float32), rng.normal(size=(len(CLASSES), WIDTH)).astype(np.float32)
    model = Model(CLASSES, False, ones, ones, weights, np.zeros(len(CLASSES), np.float32), 1.0, labels, labels, "f")
    chances = rng.random((n, len(CLASSES)), np.float32).astype(np.float16)
    learned = dict(list(said.items())[: labels - labels // 50])
    drawn = set(queue[rng.choice(places, controls, replace=False)].tolist())
    state = CampaignState(
        course=Course("warm", "labels and a model", 200, CLASSES),
        cycle=Cycle(20, 500, None, 1.0),
        trainings=40,
        trained_on=learned,
        classes=CLASSES,
        generation="g",
        trust=0.4,
        guesses=tuple(
            Guess(task, CLASSES[task % 9], 1 + at // 200, 500, VERSION if at % 10 == 0 else "", blind=at % 2 == 0)
            for at, task in enumerate(labeled[-guesses:].tolist())
        ),
        controls=dict.fromkeys(drawn, VERSION),
        model=model,
        predictions=Predictions(ids, chances),
        heard=tuple(said)[len(learned) :],
        watch=Watch(
            tuple(Step(at, 0.7, 60, 0.3, 0.99, 0.001) for at in range(300)),
            tuple(Measurement(int(40 * 1.1**at), n, *[0.8] * 7) for at in range(100) if 40 * 1.1**at < labels),
        ),
    )
    state = Campaign(TARGET, SETTINGS, state).state
    tasks = Tasks(ids, states, np.arange(n), why)
    recipe = Campaign(TARGET, SETTINGS, state).recipe()
    order = Order(
        number=9,
        version=VERSION,
        strategy=type(recipe.strategy).__name__,
        parameters=recipe.parameters,
        generation="g",
        arrivals=n,
        labeled=labels,
        embedded=n,
        places=tuple(
            Place(task, "drawn at random" if task in drawn else "unsure, unlike the others", task in drawn)
            for task in queue.tolist()
        ),
        phase="warm",
        model=model.fingerprint,
    )
    first = tuple(Place(task, "pinned by an admin; unsure") for task in pinned)
    live = arranged(order, first, why, act=3, fresh=True)
    assert live is not None
    return Snapshot(
        TARGET, SETTINGS, tasks, Labels.of(said), state, live, "g", unneeded, arrivals=n, annotators=4, pace=400,
        answers=labeled, pins=frozenset(pinned), act=3,
    )  # fmt: skip


def fresh(snapshot: Snapshot) -> Snapshot:
    """Return the same snapshot with nothing worked out yet."""
    tasks, labels = snapshot.tasks, snapshot.labels
    live = snapshot.live
    return replace(
        snapshot,
        tasks=replace(tasks),
        labels=replace(labels),
        state=replace(snapshot.state),
        live=None if live is None else replace(live),
    )


def labeled(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot after the next task of the queue got a label."""
    tasks, labels, live = snapshot.tasks, snapshot.labels, snapshot.live
    assert live is not None
    task = next(place.task for place in live.queue if tasks.open([place.task])[0])
    states = tasks.states.copy()
    states[tasks.find(np.array([task]))] = ord(ANNOTATED)
    return replace(
        snapshot,
        tasks=replace(tasks, states=states),
        labels=Labels(np.append(labels.tasks, task), np.append(labels.codes, 1).astype(np.int32), labels.values),
        answers=np.append(labels.tasks, task),
    )


def measure(snapshot: Snapshot, times: int) -> list[float]:
    """Return the CPU seconds of deciding, of what people are told, and of both, from a snapshot that nobody saw yet."""
    rows = []
    for _ in range(times):
        seen, start = fresh(snapshot), time.process_time()
        decision = decide(seen)
        middle = time.process_time()
        assert decision.due.action == "none" and decision.order is None and decision.arranged is None, decision.due
        decision.summarize()
        end = time.process_time()
        rows.append((middle - start, end - middle, end - start))
    return [statistics.median(row) for row in zip(*rows, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="where the time of the first case goes")
    options = parser.parse_args()
    print(platform.platform(), f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    usual = {"labels": 10_000, "places": 15_000, "guesses": 5_000, "controls": 200, "out": 100, "pins": 0}
    cases = {
        "nothing pinned, nothing left out": usual | {"out": 0},
        "100 images left out": usual,
        "100 left out, 300 pinned": usual | {"pins": 300},
        "10,000 left out": usual | {"out": 10_000},
        "100,000 left out": usual | {"out": 100_000},
        "100,000 labels": usual | {"labels": 100_000},
    }
    for name, case in cases.items():
        snapshot = scene(options.tasks, **case)
        for what, seen in (("nothing new", snapshot), ("one label", labeled(snapshot))):
            decided, told, both = measure(seen, options.times)
            print(f"| {name}: {what} | {decided:.3f} s | {told:.3f} s | {both:.3f} s |", flush=True)
            if options.profile and "100 images" in name:
                with cProfile.Profile() as profile:
                    decide(fresh(seen)).summarize()
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
