"""How long coverage orders take, what a reference sample loses, and how long the other orders by a model take.

    python benchmarks/herding.py --help
    python benchmarks/herding.py --json herding.json

Seconds are CPU seconds on one BLAS thread, so that other work on the machine disturbs them less.
Figures and the machine they come from: `herding.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selectors"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from freesel_order import DIMENSIONS, clustered
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from poolselect import (
    BADGE,
    BAIT,
    DropQuery,
    MaxHerding,
    Pool,
    ProbCover,
    QueryStrategy,
    UHerding,
    maxherding,
    probcover,
    similarities,
)  # fmt: skip
from poolselect.herding import Herd

CLASSES = 10


def make_pool(vectors: NDArray[np.float32], labeled: int, seed: int = 0) -> Pool:
    """Make a pool with a linear model's probabilities, and some rows labeled."""
    rng = np.random.default_rng(seed)
    scores = vectors @ rng.standard_normal((DIMENSIONS, CLASSES), dtype=np.float32) * np.float32(2 / DIMENSIONS**0.5)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    labels = np.full(len(vectors), -1)
    labels[rng.choice(len(vectors), labeled, replace=False)] = 0
    return Pool(np.arange(len(vectors)), vectors, labels=labels, probabilities=odds / odds.sum(axis=1, keepdims=True))


def isotropic(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, DIMENSIONS), dtype=np.float32)


def seconds(strategy: QueryStrategy, pool: Pool, picks: int, repeats: int) -> float:
    """Return the fastest of some runs of one query."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        strategy.query(pool, batch_size=picks)
        found.append(time.process_time() - start)
    return min(found)


def speed(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name, make in (("clustered", clustered), ("isotropic", isotropic)):
        vectors = make(arguments.images)
        cold, warm = make_pool(vectors, 0), make_pool(vectors, 100)
        runs: list[tuple[QueryStrategy, Pool, int]] = [
            (MaxHerding(), cold, 300), (ProbCover(), cold, 300), (UHerding(), warm, 300), (DropQuery(), warm, 300),
            (BADGE(), warm, 100), (BAIT(), warm, 100),
        ]  # fmt: skip
        for strategy, pool, picks in runs:
            took = seconds(strategy, pool, picks, arguments.repeats)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            title = type(strategy).__name__
            rows.append({"data": name, "strategy": title, "picks": picks, "seconds": took, "peak_gb": peak})
            print(f"{name:>10} {title:>10}: {picks} of {len(vectors):,} in {took:6.2f} s, {peak:.2f} GB", flush=True)
    return rows


def remembered(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time 300 picks with nothing labeled, with and without remembered similarities, in turns; count their products."""
    pool, rows = make_pool(clustered(arguments.images), 0), []
    strategies: list[QueryStrategy] = [MaxHerding(), ProbCover()]
    for strategy in strategies:
        room = {"multiplied again": 0, "remembered": similarities._MOST}
        took: dict[str, list[float]] = {kind: [] for kind in room}
        products: dict[str, int] = {}
        orders = []
        for _, (kind, most) in itertools.product(range(arguments.repeats), room.items()):
            similarities._MOST = most
            Counted.made.clear()
            maxherding.Herd = probcover.Herd = Counted  # type: ignore[misc]
            start = time.process_time()
            orders.append(strategy.query(pool, batch_size=300).indices.tolist())
            took[kind].append(time.process_time() - start)
            products[kind] = sum(herd.products for herd in Counted.made)
        if any(order != orders[0] for order in orders):
            raise RuntimeError("the orders differ")
        title = type(strategy).__name__
        rows += [{"strategy": title, "kind": k, "seconds": min(took[k]), "products": products[k]} for k in room]
        told = "; ".join(f"{k} {min(took[k]):5.2f} s, {products[k] / 1e6:5.1f} million products" for k in room)
        print(f"{title:>10}: 300 of {len(pool):,}: {told}", flush=True)
    return rows


class Counted(Herd):
    """Keeps every herd, so that its products can be read."""

    made: ClassVar[list[Herd]] = []

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.made.append(self)


def coverage(vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
    """Return the mean similarity of every row to the nearest chosen one."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = np.zeros(len(unit))
    for start in range(0, len(unit), 2048):
        part = unit[start : start + 2048]
        best[start : start + 2048] = np.exp(2 * np.minimum(part @ unit[rows].T, 1) - 2).max(axis=1)
    return float(best.mean())


def loss(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name, make in (("clustered", clustered), ("isotropic", isotropic)):
        vectors = make(arguments.compared)
        pool = make_pool(vectors, 0)
        for size in (len(vectors), *arguments.samples):
            picks = MaxHerding(reference_size=size).query(pool, batch_size=300).indices
            drawn = np.random.default_rng(1).choice(len(vectors), 300, replace=False)
            for count in (10, 50, 300):
                here, by_lot = coverage(vectors, picks[:count]), coverage(vectors, drawn[:count])
                rows.append({"data": name, "reference": size, "picks": count, "coverage": here, "random": by_lot})
                print(f"{name:>10} J = {size:>6,}, {count:>3} picks: {here:.4f} (random {by_lot:.4f})", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "remembered": remembered, "loss": loss}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="what to run (default: all)")
    parser.add_argument("--images", type=int, default=100_000, help="images in the pool that is timed")
    parser.add_argument("--compared", type=int, default=10_000, help="images in the pool of the comparison")
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000], help="reference sizes to compare")
    parser.add_argument("--repeats", type=int, default=2, help="runs per figure; the fastest counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        results = {name: parts[name](arguments) for name in arguments.parts}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
