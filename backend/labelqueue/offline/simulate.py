"""`labelqueue simulate`: replay whole annotation campaigns on labeled images, strategy against strategy."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import LabelQueueError
from ..progress import Progress, write_line
from .arguments import add_model_arguments, at_least, chosen_model, ratio
from .curves import Point, Summary, plot, summarize, table, write_curves, write_summary
from .dataset import Dataset, Split, check_classes, encode, half_of, locate, read_rows
from .experiment import Experiment, label_counts, parse_set, parse_strategy, splits
from .forecasts import Outcome, coverage, coverage_line, outcomes, write_forecasts
from .select import embed_folder

__all__ = ["add_arguments", "run", "simulate"]

REFERENCE = "random"
EPILOG = """\
An annotator who always answers with the CSV's label works through the queue that the live service would serve: cold
start, retraining, switch to the warm strategy, control share. At given numbers of labels a model is trained on the
labels so far and measured on the test set. `random` always runs along as the reference.

strategies:
  auto                 the service's default settings
  bal, margin, …       one strategy throughout; one that needs a model starts with the cold start, as it does live
  typiclust+margin     auto with this cold start and this warm strategy
  bal_paper            BAL's Algorithm 1 from the first label on, its budget being --budget

  labelqueue simulate --images photos/ --labels labels.csv --strategy auto --budget 200 --seeds 5 --output out/
  labelqueue simulate --images photos/ --labels labels.csv --strategy bal auto typiclust+margin --set control_share=0 \\
      --budget 400 --seeds 10 --imbalance 0.6 --output out/

Written to the output folder: curves.csv, summary.csv, forecasts.csv and, with matplotlib, curves.png. The area is the
accuracy averaged over the label counts of the curve, in points; intervals hold with 95 % confidence over the seeds. The
same command writes the same CSV files, whatever --jobs.
Exit status: 0 done, 1 error, 2 wrong usage, 130 interrupted."""


# What a worker process replays on: set once when it starts, so that the embeddings cross to it once.
_dataset: Dataset


def _start_worker(dataset: Dataset) -> None:
    global _dataset
    _dataset = dataset
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback; the parent says it


def _replay_in_worker(*arguments: Any) -> list[Point]:
    return _replay(_dataset, *arguments)


def _replay(
    dataset: Dataset, part: Split, name: str, settings: Mapping[str, Any], seed: int, counts: tuple[int, ...]
) -> list[Point]:
    from .replay import replay

    return replay(dataset, part, strategy=name, settings={**settings, "seed": seed}, counts=counts)


def simulate(dataset: Dataset, experiment: Experiment, *, jobs: int, progress: bool = True) -> list[Point]:
    """Replay every strategy with every seed.

    Parameters
    ----------
    dataset : Dataset
    experiment : Experiment
    jobs : int
        Processes; 1 stays in this one. The result does not depend on it.
    progress : bool, default True
        Whether to show progress on standard error.

    Returns
    -------
    list of Point
        By strategy in the order of the experiment, then seed, then labels.

    Raises
    ------
    LabelQueueError
        If the budget is larger than the pool.
    """
    parts = splits(dataset.labels, dataset.test, experiment)
    tasks = [
        (parts[seed], name, settings, seed, experiment.counts)
        for name, settings in experiment.strategies.items()
        for seed in range(experiment.seeds)
    ]
    done: dict[int, list[Point]] = {}
    with Progress(len(tasks) * experiment.counts[-1], "labels", enabled=progress) as bar:
        for place, points in _results(dataset, tasks, min(jobs, len(tasks))):
            done[place] = points
            bar.add(experiment.counts[-1])
    return [point for place in range(len(tasks)) for point in done[place]]


def _results(dataset: Dataset, tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[tuple[int, list[Point]]]:
    """Yield the curve of each task with its place, as they are done."""
    if jobs == 1:
        for place, task in enumerate(tasks):
            yield place, _replay(dataset, *task)
        return
    # Fresh processes: a fork would copy locks and threads of torch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(dataset,)) as pool:
        place_of = {pool.submit(_replay_in_worker, *task): place for place, task in enumerate(tasks)}
        try:
            for future in as_completed(place_of):
                yield place_of[future], future.result()
        except BrokenProcessPool as error:
            raise LabelQueueError("a process ended early, perhaps for want of memory: try fewer with --jobs") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# -- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue simulate`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="CSV",
        help="columns file, label and optionally split (`test` = test set; without it a fifth is held out per seed)",
    )  # fmt: skip
    parser.add_argument("--strategy", nargs="+", default=["auto"], metavar="NAME", help="see below (default: auto)")
    parser.add_argument(
        "--budget", type=at_least(2), required=True, metavar="N", help="labels that a campaign pays for"
    )
    parser.add_argument("--seeds", type=at_least(1), default=5, metavar="N", help="campaigns per strategy (default: 5)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a project setting, such as control_share=0"
    )
    parser.add_argument(
        "--start", type=at_least(2), default=20, metavar="N", help="first point of a curve (default: 20)"
    )
    parser.add_argument(
        "--step", type=at_least(1), metavar="N", help="labels between points (default: each 1.4 times the one before)"
    )
    parser.add_argument(
        "--imbalance", type=ratio, default=1.0, metavar="R",
        help="thin the pool: the class number r by name keeps R^r of its images (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--half", type=int, choices=(0, 1),
        help="use one half of the images only, by hash of the file name: tune on one, report the other",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes (default: the number of cores that may be used)"
    )
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _experiment(args: argparse.Namespace) -> Experiment:
    if args.start > args.budget:
        raise LabelQueueError(f"--start {args.start} is more than --budget {args.budget}: let the curve start earlier")
    common = parse_set(args.set)
    names = dict.fromkeys([*args.strategy, REFERENCE])
    strategies = {name: parse_strategy(name, common, args.budget) for name in names}
    return Experiment(strategies, args.seeds, label_counts(args.start, args.budget, args.step), args.imbalance)


def _load(args: argparse.Namespace, experiment: Experiment, say: Callable[[str], None]) -> Dataset:
    """Read, check and embed; what can be wrong is found before the images are embedded."""
    rows = read_rows(args.labels)
    files, others = locate(rows, args.images)
    if others:
        say(f"note: {others:,} images of {args.images} are not in {args.labels} and are left out")
    if args.half is not None:
        mine = [place for place, row in enumerate(rows) if half_of(row.file) == args.half]
        rows, files = [rows[place] for place in mine], [files[place] for place in mine]
        check_classes(rows, f"half {args.half} of {args.labels}")
    splits(*encode(rows)[1:], experiment)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabelQueueError(f"--output {args.output} cannot be made: {error.strerror}") from error
    model, weights, cache = chosen_model(args)
    patterns = next(iter(experiment.strategies.values())).get("n_patterns") or 1
    embed = partial(
        embed_folder, args.images, model=model, weights=weights, patterns=patterns, cache_dir=cache, progress=True,
        say=say,
    )  # fmt: skip
    dataset = Dataset.load(rows, files, embed)
    if len(dataset) < len(rows):
        say(f"note: {len(rows) - len(dataset):,} of {len(rows):,} images cannot be read and are left out")
        check_classes([rows[place] for place in dataset.rows.ids.tolist()], f"the readable images of {args.labels}")
    return dataset


def run(args: argparse.Namespace) -> int:
    """Run `labelqueue simulate`; errors and Ctrl-C are left to the caller.

    Returns
    -------
    int
        0.
    """
    experiment = _experiment(args)
    dataset = _load(args, experiment, write_line)
    parts = splits(dataset.labels, dataset.test, experiment)
    first = parts[0]
    what = (
        f"pool of {first.pool.size:,} images, test set of {first.test.size:,}, {len(dataset.classes)} classes, "
        f"{experiment.seeds} {'seed' if experiment.seeds == 1 else 'seeds'}"
    )
    jobs = args.jobs or len(os.sched_getaffinity(0))
    write_line(
        f"{what}: {len(experiment.strategies) * experiment.seeds} campaigns of {args.budget} labels, {jobs} at a time"
    )
    points = simulate(dataset, experiment, jobs=jobs)
    summaries = summarize(points, REFERENCE)
    write_curves(points, args.output / "curves.csv")
    write_summary(summaries, args.output / "summary.csv")
    tests = {seed: np.bincount(dataset.labels[part.test]) for seed, part in enumerate(parts)}
    forecasts = outcomes(points, tests)
    write_forecasts(forecasts, args.output / "forecasts.csv")
    missing = _draw(points, args.output / "curves.png", what)
    files = ["curves.csv", "summary.csv", "forecasts.csv", *([] if missing else ["curves.png"])]
    _print(args, experiment, what, summaries, forecasts, files)
    if missing:
        write_line(missing)
    return 0


def _draw(points: Sequence[Point], path: Path, title: str) -> str:
    """Draw the picture, or return why it is left out; hours of computing must not be lost for want of it."""
    try:
        plot(points, path, reference=REFERENCE, title=title)
    except ImportError as error:
        path.unlink(missing_ok=True)  # one of an earlier run would not belong to the numbers beside it
        return (
            f"note: the picture {path.name} is left out, matplotlib cannot be loaded ({error}): "
            "pip install 'labelqueue[offline]' brings it, and the same command draws the picture"
        )
    return ""


def _print(
    args: argparse.Namespace,
    experiment: Experiment,
    what: str,
    summaries: list[Summary],
    forecasts: list[Outcome],
    written: list[str],
) -> None:
    if args.json:
        facts = {
            "labels": experiment.counts,
            "seeds": experiment.seeds,
            "reference": REFERENCE,
            "output": str(args.output),
        }
        facts |= {"strategies": [asdict(summary) for summary in summaries], "forecasts": coverage(forecasts)}
        print(json.dumps(facts, indent=2))
        return
    print(table(summaries, REFERENCE))
    low, high = experiment.counts[0], experiment.counts[-1]
    interval = "± is the 95 % interval over the seeds" if experiment.seeds > 1 else "no interval from a single seed"
    print(f"\nMean over {low} to {high} labels, in points; {interval}: {what}.")
    if held := coverage_line(forecasts):
        print(held)
    print(f"Written: {', '.join(str(args.output / name) for name in written)}")
