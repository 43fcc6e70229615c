"""How long an order by FreeSel takes, against the released procedure, and how that grows with the pool.

    python benchmarks/freesel_order.py --help
    python benchmarks/freesel_order.py --parts released default growth remembered --json freesel_order.json

All figures are CPU seconds on one BLAS thread, so that other work on the machine disturbs them less.
Figures and the machine they come from: `freesel_order.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selectors"))

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from poolselect import BAL, FreeSel, Pool, QueryStrategy, proposals
from poolselect.metric import Cosine
from poolselect.reference import Reference

DIMENSIONS = 384
TRIALS = 200  # FreeSel's default


class Plain(Reference):
    """The potential without a memory: every product of every draw, at every pick."""

    def best(self, rows: NDArray[np.int64]) -> int:
        distinct, first = np.unique(rows, return_index=True)
        affinity = self._metric.affinity(self._vectors, self._metric.vectors(distinct))
        self.products += affinity.size
        covered = self._covered(np.maximum(affinity, self._closeness[:, None]))
        return int(first[covered >= covered.max()].min())


def clustered(rows: int, seed: int = 0, clusters: int = 200) -> NDArray[np.float32]:
    """Make vectors in clusters, rounded to float16 as a pattern cache stores them, back in float32."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, DIMENSIONS), dtype=np.float32)
    vectors = np.empty((rows, DIMENSIONS), dtype=np.float32)
    for start in range(0, rows, 8192):
        part = vectors[start : start + 8192]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = (centers[rng.integers(clusters, size=len(part))] + 0.6 * noise).astype(np.float16)
    return vectors


def make_pool(images: int, patterns: int) -> Pool:
    """Make a pool of images that own the same number of patterns each."""
    flat = clustered(images * patterns)
    if patterns == 1:
        return Pool(np.arange(images), flat)
    return Pool(np.arange(images), flat[:images], flat, np.arange(images + 1) * patterns)


def warm_pool(images: int, classes: int = 10, labeled: int = 100) -> Pool:
    """Make a pool of one pattern an image with some labels and a linear model's probabilities."""
    rng, vectors = np.random.default_rng(1), clustered(images)
    scores = vectors @ rng.standard_normal((DIMENSIONS, classes), dtype=np.float32) * np.float32(2 / DIMENSIONS**0.5)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    labels = np.full(images, -1)
    labels[rng.choice(images, labeled, replace=False)] = 0
    return Pool(np.arange(images), vectors, labels=labels, probabilities=odds / odds.sum(axis=1, keepdims=True))


def released_seconds_per_pick(flat: NDArray[np.float32], patterns: int, picks: int, seed: int = 0) -> float:
    """Time the released procedure, written plainly: each pick normalizes the whole pool and measures it anew.

    Per pick: unit vectors of all patterns, their cosine distance to the patterns chosen last, the running minimum, its
    squares as weights, one draw.
    """
    rng = np.random.default_rng(seed)
    chosen = int(rng.integers(flat.shape[0] // patterns))
    nearest = np.full(flat.shape[0], np.inf, dtype=np.float32)
    start = time.process_time()
    for _ in range(picks):
        unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        new = unit[chosen * patterns : (chosen + 1) * patterns]
        nearest = np.minimum(nearest, (1 - unit @ new.T).min(axis=1))
        weights = np.maximum(nearest, 0).astype(np.float64) ** 2
        chosen = int(rng.choice(flat.shape[0], p=weights / weights.sum())) // patterns
    return (time.process_time() - start) / picks


def freesel_seconds(pool: Pool, picks: int, trials: int, repeats: int) -> float:
    """Return the fastest of some runs of one query."""
    seconds = []
    for seed in range(repeats):
        start = time.process_time()
        FreeSel(trials=trials, random_state=seed).query(pool, batch_size=picks)
        seconds.append(time.process_time() - start)
    return min(seconds)


def against_released(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for images, patterns in itertools.product(arguments.sizes, arguments.patterns):
        pool = make_pool(images, patterns)
        picks = images // 100
        tried = min(picks, max(3, 2_000_000 // (images * patterns)))
        released = released_seconds_per_pick(pool.patterns, patterns, tried) * picks
        ours = freesel_seconds(pool, picks, 1, arguments.repeats)
        rows.append(
            {
                "images": images, "patterns": patterns, "picks": picks, "freesel_s": ours, "released_s": released,
                "released_picks_run": tried, "ratio": released / ours,
            }
        )  # fmt: skip
        print(
            f"{images:>9,} images x {patterns}: {picks:>5} picks  freesel {ours:8.3f} s   released {released:9.1f} s "
            f"(from {tried} picks)   ratio {released / ours:7.0f}",
            flush=True,
        )
    return rows


def by_default(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the default settings against the released procedure, which draws once where they draw 200 times."""
    rows = []
    for patterns in arguments.patterns:
        pool = make_pool(arguments.sizes[-1], patterns)
        ours = freesel_seconds(pool, 1000, TRIALS, arguments.repeats)
        released = released_seconds_per_pick(pool.patterns, patterns, arguments.released_picks) * 1000
        rows.append({"images": len(pool), "patterns": patterns, "freesel_s": ours, "released_s": released})
        print(
            f"{len(pool):>9,} images x {patterns}: 1,000 picks, best of {TRIALS}  freesel {ours:8.3f} s   released "
            f"{released:9.1f} s (from {arguments.released_picks} picks)   ratio {released / ours:7.0f}",
            flush=True,
        )
    return rows


def growth(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    return [row for trials in (1, TRIALS) for row in _growth(arguments, trials)]


def _growth(arguments: argparse.Namespace, trials: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for images in arguments.growth_sizes:
        start = time.process_time()
        vectors = clustered(images)
        made = time.process_time()
        pool = Pool(np.arange(images), vectors)
        built = time.process_time() - made
        one = freesel_seconds(pool, 1, trials, arguments.repeats)
        total = freesel_seconds(pool, 1000, trials, arguments.repeats)
        rows.append(
            {
                "images": images,
                "trials": trials,
                "pool_s": built,
                "first_pick_s": one,
                "thousand_s": total,
                "made_s": made - start,
            }
        )
        reference = rows[0]
        print(
            f"{images:>9,} images, best of {trials}: checks {built:6.3f} s   first pick {one:6.3f} s   "
            f"1,000 picks {total:6.3f} s   ratio {total / reference['thousand_s']:.2f}, without first pick "
            f"{(total - one) / (reference['thousand_s'] - reference['first_pick_s']):.2f}",
            flush=True,
        )
        del pool, vectors
    return rows


def remembered(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the default settings with and without the potential's memory, in turns, and count the products of both."""
    rows = []
    pools = {f"{n:,} images x {p}": make_pool(n, p) for n, p in itertools.product(arguments.sizes, arguments.patterns)}
    for path in arguments.features:
        vectors = np.load(path)["emb"].astype(np.float32)
        pools[path.stem] = Pool(np.arange(len(vectors)), vectors)
    runs: list[tuple[str, QueryStrategy, Pool]] = [(name, FreeSel(trials=TRIALS), pool) for name, pool in pools.items()]
    runs += [(f"{n:,} images, warm rule", BAL(), warm_pool(n)) for n in arguments.warm_sizes]
    for name, strategy, pool in runs:
        kinds: dict[str, type[Reference]] = {"plain": Plain, "remembered": Reference}
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        products: dict[str, int] = {}
        orders = []
        for _, (kind, reference) in itertools.product(range(arguments.repeats), kinds.items()):
            made: list[Reference] = []

            def noted(
                pool: Pool, metric: Cosine, of: type[Reference] = reference, made: list[Reference] = made, **more: Any
            ) -> Reference:
                made.append(of(pool, metric, **more))
                return made[-1]

            proposals.Reference = noted  # type: ignore[misc, assignment]
            start = time.process_time()
            orders.append(strategy.query(pool, batch_size=300).indices.tolist())
            seconds[kind].append(time.process_time() - start)
            products[kind] = sum(each.products for each in made)
        proposals.Reference = Reference  # type: ignore[misc]
        if any(order != orders[0] for order in orders):
            raise RuntimeError("the orders differ")
        plain, ours = (min(seconds[kind]) for kind in kinds)
        rows.append({"pool": name, "plain_s": plain, "remembered_s": ours, "products": products})
        print(
            f"{name:>24}: 300 picks, best of {TRIALS}: plain {plain:6.3f} s, {products['plain'] / 1e6:5.1f} million "
            f"products; remembered {ours:6.3f} s, {products['remembered'] / 1e6:5.1f} million; {ours / plain:.2f}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"released": against_released, "default": by_default, "growth": growth, "remembered": remembered}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="what to run (default: all)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, 100_000], help="images in the pool")
    parser.add_argument("--patterns", type=int, nargs="+", default=[1, 5], help="patterns per image")
    parser.add_argument("--released-picks", type=int, default=50, help="picks of the released procedure (default part)")
    parser.add_argument("--features", type=Path, nargs="*", default=[], help="more pools: .npz files with `emb` (n, d)")
    parser.add_argument("--warm-sizes", type=int, nargs="*", default=[20_000, 100_000], help="images, warm rule")
    parser.add_argument("--growth-sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3, help="runs per figure; the fastest counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": platform.processor(), "python": platform.python_version()}
    # One thread for both sides: the released procedure would otherwise use more cores than ours.
    with threadpool_limits(1, user_api="blas"):
        for name in arguments.parts:
            results[name] = parts[name](arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
