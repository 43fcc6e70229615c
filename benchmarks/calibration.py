"""How often is the model right when it says how sure it is?

Trains on the first labels of a random order and of FreeSel's, and compares, on all images of the pool that are left,
how sure the model is of its answer with how often that is right: by the probabilities of equally frequent classes that
it is trained for, by those times the root of each class's share of the labels (the product's), and by those times the
share itself. Printed: the expected calibration error in ten bins, and at 0.8 how many answers would be filled in and
how many of them were right.

    python benchmarks/calibration.py --images photos/ --labels labels.csv --model bundled --half 1
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labelqueue.learning import Model, train
from labelqueue.offline import embed_folder, load_embedder
from labelqueue.simulation.dataset import Dataset, half_of, locate
from labelqueue.simulation.labels_file import read_csv
from labelqueue.simulation.pools import split
from poolselect import FreeSel, Pool, Random

COUNTS = (40, 80, 160, 320)
SURE = 0.8  # of answers that would be filled in
Array = NDArray[np.float64]


def calibration(sure: Array, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy, bin by bin."""
    place = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs(sure[place == b].sum() - right[place == b].sum()) for b in range(bins)) / sure.size)


def ways(model: Model, said: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the three readings of what a model says."""
    assert model.shares is not None
    whole = replace(model, shares=model.shares**2 / (model.shares**2).sum())
    return {"equal": said, "root": model.in_proportion(said), "share": whole.in_proportion(said)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".labelqueue/select"))
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--imbalance", type=float, help="images of the largest class for one of the smallest")
    arguments = parser.parse_args()
    embedder = load_embedder(arguments.model, arguments.weights)
    rows = [row for row in read_csv(arguments.labels).rows if arguments.half in (None, half_of(row.file))]
    files, _ = locate(rows, arguments.images)
    embed = partial(
        embed_folder, arguments.images, embedder=embedder, patterns=1, cache_dir=arguments.cache, progress=True,
        say=print,
    )  # fmt: skip
    data = Dataset.load(rows, files, embed)
    print("order | labels | reading | calibration error | filled in at 0.8 | of these right")
    for name, kind in (("random", Random), ("freesel", FreeSel)):
        found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
        for seed in range(arguments.seeds):
            measure(data, kind, seed, arguments.imbalance, found)
        for (count, reading), figures in found.items():
            error, filled, hits = np.nanmean(np.array(figures), axis=0)
            print(f"{name:8} | {count:4} | {reading:5} | {error:.3f} | {filled:.2f} | {hits:.2f}", flush=True)


def measure(
    data: Dataset,
    kind: type[Random | FreeSel],
    seed: int,
    imbalance: float | None,
    found: dict[tuple[int, str], list[tuple[float, float, float]]],
) -> None:
    """Add the figures of one seed: a pool redrawn, an order, a model at each count of labels."""
    rows = split(data.labels, None, seed=seed, imbalance=imbalance).pool
    x, y = data.rows.embeddings[rows].astype(np.float32), data.labels[rows]
    order = kind(random_state=seed).query(Pool(np.arange(rows.size), x), batch_size=max(COUNTS)).indices
    for count in COUNTS:
        if count > 0.8 * rows.size:
            return
        first, left = np.sort(order[:count]), np.setdiff1d(np.arange(rows.size), order[:count])
        values = [data.classes[number] for number in y[first]]
        model = train(x[first], values, classes=data.classes, multi=False, seed=seed, fingerprint="")
        if model is None:
            continue
        said = model.predict(x[left])
        answer = said.argmax(axis=1)
        right = np.array([model.classes[k] == data.classes[number] for k, number in zip(answer, y[left], strict=True)])
        for reading, often in ways(model, said).items():
            sure = often[np.arange(left.size), answer].astype(np.float64)
            filled = sure >= SURE
            figures = (
                calibration(sure, right),
                float(filled.mean()),
                float(right[filled].mean()) if filled.any() else np.nan,
            )
            found.setdefault((count, reading), []).append(figures)


if __name__ == "__main__":
    main()
