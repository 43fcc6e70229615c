"""How long a selection from a collection takes, and how much memory: synthetic vectors in shards as `embed` writes.

Run: python benchmarks/scale.py --rows 5000000 -n 10000 FOLDER
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from labelqueue.block import Block
from labelqueue.collection import Collection
from labelqueue.collection.part import Part
from labelqueue.collection.shards import write_shard
from labelqueue.images import ModelCard
from labelqueue.offline.select import select_from

ROWS, PARTS, CLUSTERS = 4096, 16, 2000


def make(folder: Path, rows: int, dimension: int) -> float:
    """Write shards of clustered vectors, as 16 parts would; return the seconds of writing alone."""
    card = ModelCard("synthetic", "0" * 64, 224, (0.5,) * 3, (0.5,) * 3, 1, 1)
    collection = Collection.make(folder, card, 1, dimension)
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, dimension), dtype=np.float32)
    seconds = 0.0
    for part in range(PARTS):
        numbers = np.arange(part, rows, PARTS)
        for start in range(0, len(numbers), ROWS):
            some = numbers[start : start + ROWS]
            noise = rng.standard_normal((len(some), dimension), dtype=np.float32)
            vectors = (centers[rng.integers(CLUSTERS, size=len(some))] + noise).astype(np.float16)
            block = Block(
                ids=some,
                sources=some.astype(np.uint64),
                embeddings=vectors,
                patterns=vectors,
                offsets=np.arange(len(some) + 1),
                hashes=rng.integers(1, 2**63, len(some)).astype(np.uint64),
            )
            begin = time.perf_counter()
            uris = [f"s3://bucket/photos/{number // 1000:06d}/{number:09d}.jpg" for number in some]
            write_shard(collection, uris, [""] * len(some), block)
            seconds += time.perf_counter() - begin
        collection.note(Part(part + 1, PARTS), {"source": "s3://bucket/photos", "complete": True})
    return seconds


def measure(folder: Path, n: int, trials: int) -> None:
    """Select in this process and print what it took."""
    begin, cpu = time.perf_counter(), time.process_time()
    picks = select_from(folder, n, trials=trials, progress=False)
    told = {
        "picks": len(picks),
        "trials": trials,
        "seconds": round(time.perf_counter() - begin, 1),
        "processor": round(time.process_time() - cpu, 1),
        "resident_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }
    print(json.dumps(told), flush=True)


def main() -> None:
    """Make the shards, then select twice, each time in a process of its own: with and without arrays to make."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--trials", type=int, nargs="*", default=[200, 1])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.folder, options.n, options.measure)
        return
    if not Collection.is_one(options.folder):
        print(f"shards written in {make(options.folder, options.rows, options.dimension):.0f} s", flush=True)
    for n, trials in ((1, 1), *((options.n, trials) for trials in options.trials)):
        line = [sys.executable, __file__, str(options.folder), "-n", str(n), "--measure", str(trials)]
        subprocess.run(line, check=True)


if __name__ == "__main__":
    main()
