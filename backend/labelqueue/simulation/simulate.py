"""Replaying every strategy with every seed, in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..exceptions import LabelQueueError
from ..progress import Progress
from .dataset import Dataset
from .experiment import Experiment
from .pools import Split
from .summary import Point

__all__ = ["simulate"]

BEAT = 1.0  # seconds between looks at how far the processes are


# What a worker process replays on, and where it counts the labels: set once when it starts, so that the embeddings
# cross to it once.
_dataset: Dataset
_labels: Any


def _start_worker(dataset: Dataset, labels: Any) -> None:
    global _dataset, _labels
    _dataset, _labels = dataset, labels
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback; the parent says it


def _replay_in_worker(*arguments: Any) -> list[Point]:
    def count(labels: int) -> None:
        with _labels.get_lock():
            _labels.value += labels

    return _replay(_dataset, count, *arguments)


def _replay(
    dataset: Dataset,
    labeled: Any,
    part: Split,
    name: str,
    settings: Mapping[str, Any],
    seed: int,
    counts: tuple[int, ...],
) -> list[Point]:
    from .replay import replay

    return replay(dataset, part, strategy=name, settings={**settings, "seed": seed}, counts=counts, labeled=labeled)


def simulate(
    dataset: Dataset, parts: Sequence[Split], experiment: Experiment, *, jobs: int, progress: bool = True
) -> list[Point]:
    """Replay every strategy with every seed.

    Parameters
    ----------
    dataset : Dataset
    parts : sequence of Split, one per seed
        Pools and test sets; see `splits`.
    experiment : Experiment
    jobs : int
        Processes; 1 stays in this one. The result does not depend on it.
    progress : bool, default True
        Whether to show progress on standard error.

    Returns
    -------
    list of Point
        By strategy in the order of the experiment, then seed, then labels.
    """
    tasks = [
        (parts[seed], name, settings, seed, experiment.counts)
        for name, settings in experiment.strategies.items()
        for seed in range(experiment.seeds)
    ]
    with Progress(len(tasks) * experiment.counts[-1], "labels", enabled=progress) as bar:
        if min(jobs, len(tasks)) == 1:
            curves = [_replay(dataset, bar.add, *task) for task in tasks]
        else:
            curves = _in_processes(dataset, tasks, min(jobs, len(tasks)), bar)
    return [point for curve in curves for point in curve]


def _in_processes(dataset: Dataset, tasks: Sequence[tuple[Any, ...]], jobs: int, bar: Progress) -> list[list[Point]]:
    """Return the curve of each task."""
    # Fresh processes: a fork would copy locks and threads of torch.
    context = multiprocessing.get_context("spawn")
    labels = context.Value("q", 0)
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(dataset, labels)) as pool:
        futures = [pool.submit(_replay_in_worker, *task) for task in tasks]
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=BEAT, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()  # what went wrong is said now, not after all the others
                bar.reach(labels.value)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise LabelQueueError("a process ended early, perhaps for want of memory: try fewer with --jobs") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():  # a campaign may have minutes to go
                worker.kill()
            raise
