"""Does the accuracy that the random controls report cover the truth, when people also label tasks of their own choice?

Replays campaigns through the service's own decisions. A share of the labels comes from outside the queue: somebody
opens the easiest task that is left. The truth is the accuracy over all unlabeled tasks at each moment at which a
control was served, averaged over the controls that counted. Printed: how often the 95 % interval covers it, and how far
the reported accuracy lies from it on average.

    python benchmarks/controls.py                   100 campaigns for each share
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from labelqueue.block import Block
from labelqueue.learning.accuracy import wilson
from labelqueue.simulation.replay import Replay

CLASSES = ("ant", "bee", "cat")
TASKS, LABELS = 400, 200
SETTINGS = {"strategy": "auto", "trials": 1, "control_share": 0.2, "horizon": 20, "switch_after": 20, "warm": "margin"}


def pool(seed: int) -> tuple[Block, dict[int, str], NDArray[np.int64]]:
    """Return images of three overlapping classes, their answers, and the tasks from the easiest to the hardest."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(CLASSES), size=TASKS)
    noise = rng.normal(size=(TASKS, 8)) * rng.uniform(0.4, 1.6, size=(TASKS, 1))
    vectors = (2.2 * np.eye(len(CLASSES), 8)[kinds] + noise).astype(np.float16)
    ids = np.arange(1, TASKS + 1, dtype=np.int64)
    rows = Block(ids, np.zeros(TASKS, np.uint64), vectors, vectors, np.arange(TASKS + 1, dtype=np.int64))
    answers = {task: CLASSES[kind] for task, kind in zip(ids.tolist(), kinds, strict=True)}
    return rows, answers, ids[np.argsort((noise**2).sum(axis=1))]


def campaign(seed: int, outside: float, **change: float | None) -> tuple[int, int, float]:
    """Replay one campaign, with some settings changed; return right and counted controls, and the truth."""
    rows, answers, easiest = pool(seed)
    replay, rng = Replay(rows, answers, CLASSES, {**SETTINGS, "seed": seed, **change}), np.random.default_rng([seed, 1])
    truth: list[float] = []
    counted = right = 0
    for _ in range(LABELS):
        task = replay.next()
        if rng.random() < outside:
            task = next(int(task) for task in easiest if task not in replay.labels)
        accuracy, before = _accuracy(replay, answers), _controls(replay)
        replay.label(task)
        if (now := _controls(replay)) != before:
            counted, right = now
            truth.append(accuracy)
    return right, counted, float(np.mean(truth)) if truth else float("nan")


def _accuracy(replay: Replay, answers: dict[int, str]) -> float:
    """Return the model's accuracy over everything that is unlabeled."""
    model, predictions = replay.state.model, replay.state.predictions
    if model is None or predictions is None:
        return float("nan")
    said = model.decide(predictions.probabilities.astype(np.float32))
    pairs = zip(predictions.ids.tolist(), said, strict=True)
    return float(np.mean([says == answers[task] for task, says in pairs if task not in replay.labels]))


def _controls(replay: Replay) -> tuple[int, int]:
    guesses = [guess for guess in replay.state.guesses if guess.control]
    return len(guesses), sum(guess.predicted == replay.labels[guess.task] for guess in guesses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=100)
    parser.add_argument("--outside", type=float, nargs="+", default=[0.0, 0.3, 0.5])
    parser.add_argument("--share", type=float, default=SETTINGS["control_share"], help="control_share")
    parser.add_argument("--start", type=float, help="control_share_start")
    arguments = parser.parse_args()
    shares = {"control_share": arguments.share, "control_share_start": arguments.start}
    print("outside the queue | controls a campaign | reported | truth | 95 % interval covers the truth")
    for outside in arguments.outside:
        began, rows = time.monotonic(), [campaign(seed, outside, **shares) for seed in range(arguments.campaigns)]
        covers = sum(low <= truth <= high for right, n, truth in rows for low, high in [wilson(right, n)])
        reported, truth = np.mean([[right / n, truth] for right, n, truth in rows], axis=0)
        number, took = np.mean([n for _, n, _ in rows]), time.monotonic() - began
        figures = f"{outside:17.0%} | {number:19.1f} | {reported:8.3f} | {truth:5.3f} | {covers} of {len(rows)}"
        print(f"{figures} ({took:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
