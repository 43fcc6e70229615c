"""`labelqueue simulate`: replay whole annotation campaigns on labeled images, strategy against strategy."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..exceptions import LabelQueueError
from ..offline import add_model_arguments, at_least, chosen_model, chosen_size, embed_folder, load_embedder
from ..progress import write_line
from .coco import read_coco
from .dataset import Dataset, encode, half_of, locate
from .experiment import Experiment, label_counts, parse_set, parse_strategy, splits
from .forecasts import Outcome, coverage, coverage_line, outcomes, write_forecasts
from .labels_file import LabelFile, check_classes, listed, read_csv
from .picture import plot
from .pools import Split
from .scores import Score, judged, scores_of
from .simulate import simulate
from .summary import Point, Summary, summarize, table, write_curves, write_summary

__all__ = ["add_arguments", "run"]

EPILOG = """\
An annotator who always answers what the label file says works through the queue that the live service would serve: cold
start, retraining, switch to the warm strategy, control share. At given numbers of labels a model is trained on the
labels so far and measured on the test set. The reference, by default `random`, always runs along.

strategies, each with settings of its own in brackets, if it is to have some; quote them, or the shell takes them away:
  auto                             the service's default settings
  bal, margin, …                   one strategy throughout; one that needs a model starts with the cold start, as live
  typiclust+margin                 auto with this cold start and this warm strategy
  bal_paper                        BAL's Algorithm 1 from the first label on, its budget being --budget
  'auto[switch_after=50,trials=1]' auto with these settings; --set gives them to all

labels, one of:
  a CSV with the columns file,label       one class per image; `cat|dog` in some cell: several labels, or none
  a CSV with file and a column per label  1 where the image shows it, else 0
  a COCO file, NAME.json                  the labels of which an image has an object; --set n_patterns=5 embeds as live

  labelqueue simulate --images photos/ --labels labels.csv --budget 200 --output out/
  labelqueue simulate --images photos/ --labels labels.csv --strategy bal auto 'auto[warm=margin]' \\
      --set control_share=0 --budget 400 --seeds 10 --imbalance 10:1 --output out/
  labelqueue simulate --images coco/ --labels coco/instances.json --strategy auto --budget 100 --output out/

Written to the output folder: curves.csv, summary.csv, forecasts.csv (each forecast beside what came; not where an image
may have several labels) and, with matplotlib, curves.png. The area is the score averaged
over the label counts of the curve, in points: balanced accuracy; where an image may have several labels, mean average
precision, over the labels that some test images show and some do not. Labels saved tell of the end of the curves: what
the reference needs for the best score that both reach, minus what the strategy needs. Intervals hold with 95 %
confidence over the seeds, compared seed by seed. The same command writes the same CSV files, whatever --jobs.
Exit status: 0 done, 1 error, 2 wrong usage, 130 interrupted."""


def max_to_min(text: str) -> float:
    """Argparse type: MAX:MIN, as how many times MIN is MAX."""
    numbers = text.split(":")
    try:
        most, least = (float(number) for number in numbers)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pair MAX:MIN; 10:1 leaves the smallest class a tenth of the images of the largest"
        ) from None
    if not 0 < least <= most < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: MIN is above 0 and at most MAX, as in 10:1")
    return most / least


def separator(text: str) -> str:
    """Argparse type: what stands between labels; `none` is nothing."""
    if not text.strip():
        raise argparse.ArgumentTypeError("nothing can stand between labels: give a character, or the word none")
    return "" if text.lower() == "none" else text.strip()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue simulate`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="FILE", help="which labels the images have, see below"
    )
    parser.add_argument("--strategy", nargs="+", default=["auto"], metavar="NAME", help="see below (default: auto)")
    parser.add_argument(
        "--reference", default="random", metavar="NAME", help="what the others are compared with (default: random)"
    )
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
        "--split", choices=("redraw", "file"), default="redraw",
        help="redraw: every seed draws its own test set from all images, as large as the one in the column split, else "
        "a fifth; file: what the column split calls test, for every seed, so that ± tells nothing of other pools "
        "(default: redraw)",
    )  # fmt: skip
    parser.add_argument(
        "--separator", type=separator, metavar="TEXT",
        help="what stands between the labels of an image in the column label; none: a cell is one class, whatever is "
        "in it (default: | where some cell has one)",
    )  # fmt: skip
    parser.add_argument(
        "--imbalance", type=max_to_min, metavar="MAX:MIN",
        help="thin the classes of the pool until the largest has MAX images for each MIN of the smallest, the others "
        "in between by size (default: as they are)",
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


@dataclass(frozen=True)
class Scene:
    """What the campaigns run on."""

    dataset: Dataset
    parts: list[Split]

    @property
    def scores(self) -> tuple[Score, ...]:
        """What is measured."""
        return scores_of(self.dataset.multi)

    def describe(self, experiment: Experiment) -> str:
        """Return the sizes, for people."""
        pool, test = self.parts[0].pool.size, self.parts[0].test.size
        kind = "labels, several per image" if self.dataset.multi else "classes"
        drawn = "" if experiment.keep_split or experiment.seeds == 1 else ", drawn anew for each seed"
        seeds = "1 seed" if experiment.seeds == 1 else f"{experiment.seeds} seeds"
        return f"pool of {pool:,} images, test set of {test:,}{drawn}, {len(self.dataset.classes)} {kind}, {seeds}"

    def forecasts(self, points: Sequence[Point], *, thinned: bool) -> list[Outcome] | None:
        """Return every forecast beside what came; None where an image may have several labels. The accuracy on a pool
        that was thinned is another one than that on the test set, which was not."""
        if self.dataset.multi:
            return None
        labels, sizes = self.dataset.labels, len(self.dataset.classes)
        tests = {seed: np.bincount(labels[part.test], minlength=sizes) for seed, part in enumerate(self.parts)}
        found = outcomes(points, tests)
        return [one for one in found if one.measure != "accuracy"] if thinned else found


def _experiment(args: argparse.Namespace) -> Experiment:
    if args.start > args.budget:
        raise LabelQueueError(f"--start {args.start} is more than --budget {args.budget}: let the curve start earlier")
    common = parse_set(args.set)
    names = dict.fromkeys([*args.strategy, args.reference])
    return Experiment(
        {name: parse_strategy(name, common, args.budget) for name in names},
        args.seeds,
        label_counts(args.start, args.budget, args.step),
        args.reference,
        args.imbalance,
        args.split == "file",
    )


def _read(args: argparse.Namespace) -> LabelFile:
    if args.labels.suffix.lower() != ".json":
        return read_csv(args.labels, args.separator)
    if args.separator is not None:
        raise LabelQueueError(f"--separator {args.separator or 'none'} is for a CSV, and {args.labels} is a COCO file")
    return read_coco(args.labels)


def _prepare(args: argparse.Namespace, experiment: Experiment, say: Callable[[str], None]) -> Scene:
    """Read, check and embed. What can be wrong is found before images are embedded, a missing model before all else."""
    model, weights, cache = chosen_model(args)
    embedder = load_embedder(model, weights, chosen_size(args))
    found = _read(args)
    for note in found.notes:
        say(note)
    rows = found.rows
    files, others = locate(rows, args.images)
    if others:
        say(f"note: {others:,} other images of {args.images} have no part in this")
    if args.half is not None:
        mine = [place for place, row in enumerate(rows) if half_of(row.file) == args.half]
        rows, files = [rows[place] for place in mine], [files[place] for place in mine]
        check_classes(rows, f"half {args.half} of {args.labels}")
    splits(*encode(rows)[1:], experiment)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabelQueueError(f"--output {args.output} cannot be made: {error.strerror}") from error
    if not experiment.keep_split and any(row.part == "test" for row in rows):
        say("note: every seed draws its own pool and test set; --split file keeps the test set of the label file")
    patterns = next(iter(experiment.strategies.values())).get("n_patterns") or 1
    embed = partial(
        embed_folder, args.images, embedder=embedder, patterns=patterns, cache_dir=cache, progress=True, say=say
    )
    dataset = Dataset.load(rows, files, embed)
    if len(dataset) < len(rows):
        say(f"note: {len(rows) - len(dataset):,} of {len(rows):,} images cannot be read and are left out")
        check_classes([rows[place] for place in dataset.rows.ids.tolist()], f"the readable images of {args.labels}")
    return Scene(dataset, splits(dataset.labels, dataset.test, experiment))


def _said_of(scene: Scene, experiment: Experiment) -> list[str]:
    """Return what is to be known of the pools and test sets before hours are spent on them."""
    dataset, notes = scene.dataset, []
    if dataset.multi:
        counted = [judged(dataset.labels[part.test]) for part in scene.parts]
        missing = np.flatnonzero(~np.all(counted, axis=0))
        if missing.size:
            where = "the test set" if experiment.keep_split or experiment.seeds == 1 else "the test set of some seed"
            names = listed([dataset.classes[number] for number in missing.tolist()])
            notes.append(f"note: not counted there, since no image of {where} shows them or all do: {names}")
    if experiment.imbalance is not None:
        sizes = np.bincount(dataset.labels[scene.parts[0].pool], minlength=len(dataset.classes))
        told = [f"{dataset.classes[number]} {sizes[number]:,}" for number in np.argsort(-sizes, kind="stable").tolist()]
        notes.append(f"note: --imbalance leaves in the pool: {', '.join(told)}")
    return notes


def run(args: argparse.Namespace) -> int:
    """Run `labelqueue simulate`; errors and Ctrl-C are left to the caller.

    Returns
    -------
    int
        0.
    """
    experiment = _experiment(args)
    scene = _prepare(args, experiment, write_line)
    for note in _said_of(scene, experiment):
        write_line(note)
    what = scene.describe(experiment)
    jobs = args.jobs or len(os.sched_getaffinity(0))
    write_line(
        f"{what}: {len(experiment.strategies) * experiment.seeds} campaigns of {args.budget} labels, {jobs} at a time"
    )
    points = simulate(scene.dataset, scene.parts, experiment, jobs=jobs)
    summaries = summarize(points, experiment.reference, scene.scores)
    write_curves(points, scene.scores, args.output / "curves.csv")
    write_summary(summaries, args.output / "summary.csv")
    forecasts = scene.forecasts(points, thinned=experiment.imbalance is not None)
    if forecasts is not None:
        write_forecasts(forecasts, args.output / "forecasts.csv")
    missing = _draw(points, args.output / "curves.png", experiment.reference, scene.scores[0].name, what)
    names = ["curves.csv", "summary.csv", *([] if forecasts is None else ["forecasts.csv"])]
    written = [args.output / name for name in (*names, *([] if missing else ["curves.png"]))]
    if args.json:
        facts = _facts(args, experiment, scene, summaries) | {"forecasts": coverage(forecasts or ())}
        print(json.dumps(facts, indent=2))
    else:
        print(_told(experiment, scene, summaries, what))
        if held := coverage_line(forecasts or ()):
            print(held)
        print(f"Written: {', '.join(map(str, written))}")
    if missing:
        write_line(missing)
    return 0


def _draw(points: Sequence[Point], path: Path, reference: str, score: str, title: str) -> str:
    """Draw the picture, or return why it is left out; hours of computing must not be lost for want of it."""
    try:
        plot(points, path, reference=reference, score=score, title=title)
    except ImportError as error:
        path.unlink(missing_ok=True)  # one of an earlier run would not belong to the numbers beside it
        return (
            f"note: the picture {path.name} is left out, matplotlib cannot be loaded ({error}): "
            "pip install 'labelqueue[offline]' brings it, and the same command draws the picture"
        )
    return ""


def _facts(
    args: argparse.Namespace, experiment: Experiment, scene: Scene, summaries: Sequence[Summary]
) -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "labels": experiment.counts,
        "seeds": experiment.seeds,
        "reference": experiment.reference,
        "output": str(args.output),
        "pool": int(scene.parts[0].pool.size),
        "test": int(scene.parts[0].test.size),
        "split": args.split,
        "classes": scene.dataset.classes,
        "several_labels": scene.dataset.multi,
        "scores": {score.key: score.name for score in scene.scores},
        "strategies": [summary.as_dict() for summary in summaries],
    }


def _told(experiment: Experiment, scene: Scene, summaries: Sequence[Summary], what: str) -> str:
    """Return what is printed for people."""
    low, high = experiment.counts[0], experiment.counts[-1]
    interval = "± is the 95 % interval over the seeds" if experiment.seeds > 1 else "no interval from a single seed"
    return (
        f"{table(summaries, experiment.reference, scene.scores)}\n\n"
        f"Mean over {low} to {high} labels, in points; {interval}: {what}.\n"
        f"Labels saved, at the end of the curves: what {experiment.reference} needs for the best "
        f"{scene.scores[0].name} that both reach, minus what the strategy needs."
    )
