"""Near-duplicates: how many different images of a folder fall out, and how many changed copies are found.

    python benchmarks/near_duplicates.py FOLDER... [--model bundled] [--weights FILE] [--copies 70]

See near_duplicates.md for what came out.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from labelqueue.block import Block, concatenate
from labelqueue.images import Embedder, Item, embed_stream
from poolselect import near_duplicates

Change = Callable[[Image.Image], Image.Image]


def cropped(share: float) -> Change:
    """Cut a share off each side, at least a pixel."""

    def change(image: Image.Image) -> Image.Image:
        x, y = (max(1, round(side * share)) for side in image.size)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def shifted(share: float) -> Change:
    """Move the image right and down by a share of its width; what was cut off there is gone."""

    def change(image: Image.Image) -> Image.Image:
        by = max(1, round(image.width * share))
        pixels = np.pad(np.asarray(image), ((by, 0), (by, 0), (0, 0)), mode="edge")
        return Image.fromarray(pixels[: image.height, : image.width])

    return change


def noisy(image: Image.Image) -> Image.Image:
    """Add the noise of a camera in the evening."""
    noise = np.random.default_rng(0).normal(0, 5, size=(image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


CHANGES: dict[str, tuple[Change, int]] = {
    **{f"JPEG {quality}": ((lambda image: image), quality) for quality in (30, 60, 90)},
    "half as large": (lambda image: image.resize((max(image.width // 2, 1), max(image.height // 2, 1))), 92),
    "10 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), 92),
    "10 % darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.9), 92),
    "noise": (noisy, 92),
    "cropped by 1 %": (cropped(0.01), 92),
    "cropped by 3 %": (cropped(0.03), 92),
    "shifted by 1/160": (shifted(1 / 160), 92),
    "shifted by 3/160": (shifted(3 / 160), 92),
}


def changed(path: Path, name: str) -> bytes:
    """Return an image as another file."""
    change, quality = CHANGES[name]
    file = io.BytesIO()
    with Image.open(path) as image:
        change(image.convert("RGB")).save(file, "JPEG", quality=quality)
    return file.getvalue()


def embedded(model: Embedder, items: list[Item]) -> Block:
    """Embed images; bad ones are left out."""
    return concatenate([part.block for part in embed_stream(model, items)])


def lines(folder: Path, model: Embedder, copies: int) -> Iterator[str]:
    """Yield what came out of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    rows = embedded(model, [Item(number, str(path), path.read_bytes) for number, path in enumerate(files)])
    began = time.process_time()
    leaders = near_duplicates(rows.embeddings, rows.hashes, np.full(len(rows), -1))
    seconds = time.process_time() - began
    out = int((leaders >= 0).sum())
    yield f"{folder}: {out} of {len(rows)} fall out ({out / len(rows):.2%}), found in {seconds:.2f} s"
    some = np.sort(np.random.default_rng(0).permutation(len(rows))[:copies])
    for name in CHANGES:
        items = [
            Item(int(row), name, lambda at=int(rows.ids[row]), name=name: changed(files[at], name))  # type: ignore[misc]
            for row in some
        ]
        others = embedded(model, items)
        pairs = [concatenate([rows.take([row]), others.take([at])]) for at, row in enumerate(others.ids.tolist())]
        found = [near_duplicates(pair.embeddings, pair.hashes, np.full(2, -1))[1] == 0 for pair in pairs]
        yield f"  {name:<18} {np.mean(found):.2f}"


def main() -> None:
    """Print what came out of each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--copies", type=int, default=70, help="images of each folder that copies are made of")
    args = parser.parse_args()
    model = Embedder.load(args.model, args.weights)
    for folder in args.folders:
        for line in lines(folder, model, args.copies):
            print(line, flush=True)


if __name__ == "__main__":
    main()
