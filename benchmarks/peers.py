"""What people would use instead, on the same embeddings: how good a first selection is, and how long it takes.

    python -m venv peers
    peers/bin/pip install numpy scikit-learn threadpoolctl                        # ours needs no more
    peers/bin/pip install scikit-activeml faiss-cpu apricot-select submodlib-py   # what is not there is passed over
    peers/bin/python benchmarks/peers.py features.npz more.npz --json peers.json

Each file holds `emb` (n, d) and the classes `y` (n,). For every seed a fifth of the images becomes the test set; each
method chooses among the others without labels; logistic regression learns what it chose. The figure is the mean
balanced accuracy over the budgets, in points above a random order (the mean of five). Methods that go on from one
choice to the next are asked once and read at each budget; the others are asked for each budget anew.

Seconds are CPU seconds on one thread, for the largest budget. Figures: `README.md`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selectors"))

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.cluster import kmeans_plusplus
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from poolselect import FreeSel, MaxHerding, Pool, QueryStrategy, TypiClust

Vectors = NDArray[np.float32]
Choose = Callable[[Vectors, int, int], NDArray[np.int64]]

_RANDOM_ORDERS = 5


def ours(make: Callable[..., QueryStrategy]) -> Choose:
    return lambda x, count, seed: make(random_state=seed).query(Pool(np.arange(len(x)), x), batch_size=count).indices


def core_set(x: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    from skactiveml.pool import CoreSet

    return np.asarray(CoreSet(random_state=seed).query(x, np.full(len(x), np.nan), batch_size=count))


def their_typiclust(x: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    from skactiveml.pool import TypiClust as Theirs

    return np.asarray(Theirs(random_state=seed).query(x, np.full(len(x), np.nan), batch_size=count))


def faiss_kmeans(x: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    """Choose the image nearest to each of as many centroids as are wanted; where two share one, the next nearest."""
    import faiss

    faiss.omp_set_num_threads(1)
    clustering = faiss.Kmeans(x.shape[1], count, niter=25, seed=seed + 1, min_points_per_centroid=1)
    clustering.train(x)
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    taken: dict[int, None] = {}
    for near in index.search(clustering.centroids, min(count, len(x)))[1]:
        taken.setdefault(next(int(row) for row in near if int(row) not in taken))
    return np.array(list(taken))


def apricot_facility(x: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    from apricot import FacilityLocationSelection

    chooser = FacilityLocationSelection(count, metric="cosine", random_state=seed, verbose=False)
    return np.asarray(chooser.fit(x.astype(np.float64)).ranking)


def submodlib_facility(x: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    from submodlib import FacilityLocationFunction

    function = FacilityLocationFunction(n=len(x), mode="dense", data=x, metric="cosine")
    found = function.maximize(budget=count, optimizer="LazyGreedy", verbose=False, show_progress=False)
    return np.array([row for row, _ in found])


# Name: the package it needs, how it chooses, whether a smaller budget is the beginning of a larger one.
METHODS: dict[str, tuple[str, Choose, bool]] = {
    "labelqueue FreeSel, centered (default)": ("", ours(lambda **s: FreeSel(metric="centered", **s)), True),
    "labelqueue FreeSel, cosine": ("", ours(FreeSel), True),
    "labelqueue FreeSel, as published": ("", ours(lambda **s: FreeSel(trials=1, **s)), True),
    "labelqueue MaxHerding": ("", ours(MaxHerding), True),
    "labelqueue TypiClust": ("", ours(TypiClust), True),
    "scikit-learn kmeans_plusplus": ("", lambda x, n, seed: kmeans_plusplus(x, n, random_state=seed)[1], True),
    "scikit-activeml CoreSet": ("skactiveml", core_set, True),
    "scikit-activeml TypiClust": ("skactiveml", their_typiclust, False),
    "faiss k-means, nearest image": ("faiss", faiss_kmeans, False),
    "apricot facility location": ("apricot", apricot_facility, True),
    "submodlib facility location": ("submodlib", submodlib_facility, True),
}


def installed(package: str) -> bool:
    try:
        importlib.import_module(package or "numpy")
    except ImportError as error:
        print(f"{package} is not installed ({error}): passed over", flush=True)
        return False
    return True


def load(path: Path, most: int) -> tuple[Vectors, NDArray[np.int64]]:
    with np.load(path, allow_pickle=False) as stored:
        x, y = stored["emb"].astype(np.float32), stored["y"].astype(np.int64)
    if len(x) > most:
        x, _, y, _ = train_test_split(x, y, train_size=most, stratify=y, random_state=0)
    return np.ascontiguousarray(x), y


@dataclass(frozen=True, eq=False)
class Split:
    """Images to choose from, as they are and standardized, and those that are held out."""

    pool: Vectors
    seen: Vectors
    labels: NDArray[np.int64]
    unseen: Vectors
    truth: NDArray[np.int64]

    def score(self, rows: NDArray[np.int64]) -> float:
        """Return the balanced accuracy of logistic regression on the rows chosen, in points."""
        if np.unique(self.labels[rows]).size == 1:
            return 100.0 / np.unique(self.truth).size
        model = LogisticRegression(max_iter=300, class_weight="balanced").fit(self.seen[rows], self.labels[rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes that nobody chose
            return 100.0 * float(balanced_accuracy_score(self.truth, model.predict(self.unseen)))


def split(x: Vectors, y: NDArray[np.int64], seed: int) -> Split:
    pool, held, labels, truth = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    scale = StandardScaler().fit(pool)
    return Split(np.ascontiguousarray(pool), scale.transform(pool), labels, scale.transform(held), truth)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval."""
    spread = student.ppf(0.975, max(len(values) - 1, 1)) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(spread)


def compare(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    x, y = load(path, arguments.most)
    budgets, methods = arguments.budgets, [name for name in METHODS if installed(METHODS[name][0])]
    scores: dict[str, list[float]] = {name: [] for name in methods}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    by_lot: list[float] = []
    for seed in range(arguments.seeds):
        drawn = split(x, y, seed)
        orders = [np.random.default_rng([seed, k]).permutation(len(drawn.pool)) for k in range(_RANDOM_ORDERS)]
        by_lot.append(float(np.mean([drawn.score(order[:size]) for order in orders for size in budgets])))
        for name in methods:
            _, choose, sequential = METHODS[name]
            start = time.process_time()
            longest = choose(drawn.pool, budgets[-1], seed)
            seconds[name].append(time.process_time() - start)
            picks = [longest[:size] if sequential else choose(drawn.pool, size, seed) for size in budgets[:-1]] + [
                longest
            ]
            if [len(set(rows.tolist())) for rows in picks] != list(budgets):
                raise RuntimeError(f"{name} repeated rows, or gave fewer than were asked for")
            scores[name].append(float(np.mean([drawn.score(rows) for rows in picks])))
    rows = {}
    print(f"\n{path.name}: {len(x):,} x {x.shape[1]}, random {np.mean(by_lot):.1f}", flush=True)
    for name in methods:
        mean, spread = interval([mine - lot for mine, lot in zip(scores[name], by_lot, strict=True)])
        took = float(np.median(seconds[name]))
        rows[name] = {"gain": mean, "interval": spread, "seconds": took, "scores": scores[name]}
        print(f"{name:>40}: {mean:+5.1f} ± {spread:3.1f} points, {took:7.3f} s", flush=True)
    return {"images": len(x), "random": by_lot, "methods": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="+", help="files of embeddings and classes")
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 50, 100, 200])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--most", type=int, default=2500, help="images of a file, drawn by class (some need n x n)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    arguments.budgets = sorted(arguments.budgets)
    with threadpool_limits(1):
        results = {path.stem: compare(path, arguments) for path in arguments.features}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
