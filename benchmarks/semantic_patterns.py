"""How long semantic patterns take per image, against scikit-learn's SpectralClustering, and whether they agree.

    python benchmarks/semantic_patterns.py --help
    python benchmarks/semantic_patterns.py --json semantic_patterns.json

All figures are CPU time on one thread, so that other work on the machine disturbs them less.
Figures and the machine they come from: `semantic_patterns.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selectors"))

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from poolselect import attention_filter, neighborhood_mask, semantic_patterns, spectral_clusters


def images(batch: int, grid: int, coarse: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Make smooth features (384-d), attention and patch attention: coarse random maps, enlarged to the grid."""
    random = torch.Generator().manual_seed(seed)

    def enlarged(channels: int, size: int) -> torch.Tensor:
        maps = torch.randn(batch, channels, size, size, generator=random)
        return torch.nn.functional.interpolate(maps, (grid, grid), mode="bicubic").flatten(2).transpose(1, 2)

    content = enlarged(8, 4)
    attention = (enlarged(1, coarse)[..., 0] * 0.7).softmax(dim=1)
    noise = torch.randn(batch, grid * grid, grid * grid, generator=random)
    walk = (content @ content.transpose(1, 2) * 0.5 + 0.5 * noise).softmax(dim=2)
    tokens = content @ torch.randn(8, 384, generator=random)
    return tokens + 0.3 * torch.randn(tokens.shape, generator=random), attention, walk


def normalized_cut(weights: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Sum over clusters of the weight that leaves the cluster, as a share of its volume."""
    total = 0.0
    for label in np.unique(labels):
        inside = labels == label
        volume = weights[inside].sum()
        total += (volume - weights[inside][:, inside].sum()) / volume if volume else 0.0
    return float(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--grid", type=int, default=14, help="patches per side")
    parser.add_argument("--patterns", type=int, default=5)
    parser.add_argument("--coarse", type=int, default=2, help="side of the coarse attention map; more = more pieces")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="runs per figure; the fastest counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    tokens, attention, walk = images(arguments.images, arguments.grid, arguments.coarse)
    grid = (arguments.grid, arguments.grid)

    def milliseconds(mode: Any) -> float:
        best = float("inf")
        for _ in range(arguments.repeats):
            start = time.process_time()
            for part in range(0, arguments.images, arguments.batch):
                rows = slice(part, part + arguments.batch)
                semantic_patterns(
                    tokens[rows], attention[rows], walk[rows], grid=grid, n_patterns=arguments.patterns, mode=mode
                )
            best = min(best, time.process_time() - start)
        return 1e3 * best / arguments.images

    kept = attention_filter(attention)
    figures: dict[str, Any] = {
        "images": arguments.images, "grid": arguments.grid, "patterns": arguments.patterns,
        "mean_kept_patches": float(kept.sum(dim=1).float().mean()),
        "spectral_ms": milliseconds("spectral"), "kmeans_ms": milliseconds("kmeans"),
    }  # fmt: skip
    near = neighborhood_mask(*grid, 2)
    seconds, agreement, itself, ours, theirs = 0.0, [], [], [], []
    for mask, graph in zip(kept, walk * near, strict=True):
        weights = graph[mask][:, mask].double().numpy()
        weights = (weights + weights.T) / 2
        np.fill_diagonal(weights, 0)
        with warnings.catch_warnings():
            # scikit-learn warns of graphs in several pieces.
            warnings.simplefilter("ignore")
            start = time.process_time()
            expected = SpectralClustering(arguments.patterns, affinity="precomputed", random_state=0).fit_predict(
                weights
            )
            seconds += time.process_time() - start
            if connected_components(weights)[0] > 1:
                continue
            other = SpectralClustering(arguments.patterns, affinity="precomputed", random_state=1).fit_predict(weights)
        found = spectral_clusters(torch.tensor(weights)[None], arguments.patterns)[0].numpy()
        agreement.append(adjusted_rand_score(expected, found))
        itself.append(adjusted_rand_score(expected, other))
        ours.append(normalized_cut(weights, found))
        theirs.append(normalized_cut(weights, expected))
    figures["sklearn_ms"] = 1e3 * seconds / arguments.images
    figures["ratio"] = figures["sklearn_ms"] / figures["spectral_ms"]
    figures["connected_graphs"] = len(agreement)
    if agreement:
        figures["ari_with_sklearn"] = float(np.mean(agreement))
        figures["ari_of_sklearn_with_itself"] = float(np.mean(itself))
        figures["cut_ratio"] = float(np.mean(ours) / np.mean(theirs))
    for name, value in figures.items():
        print(f"{name:>28}  {value:.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
