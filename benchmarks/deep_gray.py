"""What scaling deep gray images by their own range is worth, on labeled 8-bit images written with more bits.

    python benchmarks/deep_gray.py tiles_dev chest_dev --json deep_gray.json

A folder holds `labels.csv` (columns file and label) and the images it names. Each is written as a PNG of 10 or 12 bits
in 16, as a float TIFF with negative values, and as a dim one with hot pixels; then decoded by the rule of before and by
the present one, embedded with the bundled model, and classified by logistic regression in five folds.
Figures and the machine they come from: `deep_gray.md`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelqueue.images import Embedder
from labelqueue.pixels import decode, levels

TAILS = (0.0, 0.001, 0.005, 0.02)
Gray = NDArray[np.uint8]


def written(pixels: NDArray[np.generic], kind: str) -> bytes:
    """Return a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def in_sixteen(gray: Gray, bits: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the image with that many bits, the new ones drawn at random, in a container of 16."""
    step = 2 ** (bits - 8)
    return (gray.astype(np.uint16) * step + rng.integers(0, step, gray.shape)).astype(np.uint16)


def as_floats(gray: Gray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the image from -1000 to 1000, one pixel infinite and one NaN."""
    values = ((gray + rng.random(gray.shape)) / 256 * 2000 - 1000).astype(np.float32)
    values[0, 0], values[-1, -1] = np.inf, np.nan
    return values


def dim(gray: Gray, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the image in a quarter of 12 bits, with one hot pixel of 4095 in 4,000."""
    values = (in_sixteen(gray, 10, rng)).astype(np.uint16)
    values[rng.random(gray.shape) < 1 / 4000] = 4095
    return values


KINDS: dict[str, Callable[[Gray, np.random.Generator], bytes]] = {
    "8 bits": lambda gray, rng: written(gray, "PNG"),
    "10 bits in 16": lambda gray, rng: written(in_sixteen(gray, 10, rng), "PNG"),
    "12 bits in 16": lambda gray, rng: written(in_sixteen(gray, 12, rng), "PNG"),
    "float, -1000 to 1000": lambda gray, rng: written(as_floats(gray, rng), "TIFF"),
    "dim, hot pixels": lambda gray, rng: written(dim(gray, rng), "PNG"),
}


def decode_as_before(data: bytes, size: int) -> Gray:
    """Decode by the rule up to 0.1: integers by what 16 bits could hold, floats as shares of one or as 0 to 255."""
    with Image.open(io.BytesIO(data)) as image:
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        if image.mode == "F":
            flat = (values * (255 if values.max() <= 1 else 1)).clip(0, 255).round()
        else:
            flat = values if image.mode == "L" else values // 257
    square = Image.fromarray(flat.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(square.convert("RGB"))


def accuracy(pixels: NDArray[np.uint8], labels: list[str], embedder: Embedder) -> float:
    """Return the balanced accuracy (0 to 1) of a logistic regression on the embeddings, over five folds."""
    vectors = embedder.embed(pixels)[0].astype(np.float64)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted, truth = cross_val_predict(model, vectors, labels, cv=folds), np.array(labels)
    return float(np.mean([(predicted[truth == name] == name).mean() for name in sorted(set(labels))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    embedder = Embedder.load("bundled", device="cpu")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for folder in arguments.folders:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        images = [np.asarray(Image.open(folder / row["file"]).convert("L")) for row in rows]
        labels = [row["label"] for row in rows]
        print(f"{folder.name}: {len(rows)} images, {len(set(labels))} classes")
        for kind, write in KINDS.items():
            rng = np.random.default_rng(0)
            files = [write(gray, rng) for gray in images]
            rules: dict[str, Callable[[bytes, int], Gray]] = {"before": decode_as_before}
            rules |= dict.fromkeys([f"tail {tail:g}" for tail in TAILS] if kind != "8 bits" else ["now"], decode)
            found = figures.setdefault(folder.name, {}).setdefault(kind, {})
            for rule, read in rules.items():
                levels.TAIL = float(rule[5:]) if rule.startswith("tail") else levels.TAIL
                pixels = np.stack([read(data, embedder.image_size) for data in files])
                found[rule] = accuracy(pixels, labels, embedder)
            print(f"  {kind:>22}  " + "  ".join(f"{rule} {value:.3f}" for rule, value in found.items()), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
