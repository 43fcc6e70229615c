"""How much of the bare model's speed is left when images are read, decoded, embedded, clustered and stored.

    python benchmarks/embedding.py                     ViT-S/16 at 224 and the bundled model, K = 1 and K = 5
    python benchmarks/embedding.py --select FOLDER     also: how long `labelqueue select` takes, first and second run
    python benchmarks/embedding.py --doubled           instead: the double input size of segmentation, per model
    python benchmarks/embedding.py --bundled           the bundled model alone
    python benchmarks/embedding.py --thumbnails        instead: what cutting thumbnails costs, per model

Draws pictures of 640 x 480 as JPEGs into a temporary folder. For each model and K three things take turns over as many
images in the same process, `--rounds` times: the bare timm forward pass (`forward_features`, minibatches of the same
size, images already normalized in memory) with all cores on one minibatch, the same pass with two minibatches side by
side, and the whole pipeline (`embed_stream`, blocks written to disk). Speeds are medians over the rounds; the ratio is
taken within each round, to the faster of the two bare passes. Processor time per image is shown beside it: other
programs on the same cores disturb it less. ViT-S gets random weights: only its speed matters here.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from labelqueue.images.embedder import BUNDLED, Embedder
from labelqueue.images.pipeline import Item, embed_stream
from labelqueue.offline.select import select


def draw(path: Path, seed: int) -> None:
    """Write a JPEG with broad shapes, edges and grain; about as large as a photograph of that size."""
    rng = np.random.default_rng(seed)
    broad = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(broad, np.int16).copy()
    for _ in range(12):
        y, x, height, width = rng.integers(0, [400, 560, 200, 200])
        pixels[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    pixels += rng.normal(0, 8, pixels.shape).astype(np.int16)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def small_vit(folder: Path) -> Embedder:
    """Return the real embedder around ViT-S/16 with random weights."""
    torch.manual_seed(0)
    file = folder / "vit_small.safetensors"
    save_file(timm.create_model("vit_small_patch16_224", num_classes=0).state_dict(), file)
    return Embedder.load("vit_small_patch16_224", file)


def bare(embedder: Embedder, images: torch.Tensor) -> None:
    """Run timm's own pass, all cores on one minibatch."""
    model, size = embedder._model._model, embedder.minibatch_size
    with torch.inference_mode():
        for start in range(0, len(images), size):
            model.forward_features(images[start : start + size])


def bare_in_lanes(embedder: Embedder, images: torch.Tensor) -> None:
    """Run timm's own pass with the pipeline's threads: two minibatches side by side."""
    model, size, threads = embedder._model._model, embedder.minibatch_size, torch.get_num_threads()

    def work(start: int) -> None:
        with torch.inference_mode():
            model.forward_features(images[start : start + size])

    lanes = min(2, threads)
    with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(threads // lanes,)) as pool:
        list(pool.map(work, range(0, len(images), size)))
    torch.set_num_threads(threads)


def pipeline(embedder: Embedder, files: list[Path], n_patterns: int, folder: Path, readers: int) -> None:
    """Run everything together."""
    items = [Item(number, file.name, file.read_bytes) for number, file in enumerate(files)]
    done = 0
    for part in embed_stream(embedder, items, n_patterns=n_patterns, readers=readers):
        (folder / f"{done}.block").write_bytes(part.block.to_bytes())
        done += len(part.block)
    assert done == len(files)


def compare(embedder: Embedder, files: list[Path], n_patterns: int, rounds: int, folder: Path, readers: int) -> None:
    """Print one line of figures."""
    side = embedder.image_size
    images = torch.randn(len(files), 3, side, side)
    bare(embedder, images[: embedder.minibatch_size])
    pipeline(embedder, files[: embedder.minibatch_size], n_patterns, folder, readers)
    steps = (
        lambda: bare(embedder, images),
        lambda: bare_in_lanes(embedder, images),
        lambda: pipeline(embedder, files, n_patterns, folder, readers),
    )
    wall, cpu = np.zeros((rounds, 3)), np.zeros((rounds, 3))
    for turn in range(rounds):
        for number, step in enumerate(steps):
            started, burnt = time.perf_counter(), time.process_time()
            step()
            wall[turn, number] = len(files) / (time.perf_counter() - started)
            cpu[turn, number] = (time.process_time() - burnt) / len(files) * 1e3
    ratios = wall[:, 2] / wall[:, :2].max(axis=1)
    one, two, whole = np.median(wall, axis=0)
    print(
        f"{embedder.name:<22} K={n_patterns}  images/s: bare {one:.1f}, in lanes {two:.1f}, pipeline {whole:.1f}, "
        f"ratio to the faster {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) | CPU ms/image: "
        f"{' '.join(f'{ms:.1f}' for ms in np.median(cpu, axis=0))}, ratio in lanes : pipeline "
        f"{np.median(cpu[:, 1] / cpu[:, 2]):.2f}",
        flush=True,
    )


def time_doubled(folder: Path, rounds: int) -> None:
    """Print the processor time of an image at its usual size and at twice that, K = 5 and 10, turn about."""
    for name in ("vit_small_patch14_reg4_dinov2.lvd142m", "vit_small_patch16_224.dino", BUNDLED):
        file = None
        if name != BUNDLED:
            torch.manual_seed(0)
            file = folder / "weights.safetensors"
            save_file(timm.create_model(name, num_classes=0, img_size=224).state_dict(), file)
        models = [Embedder.load(name, file, device="cpu", doubled=doubled) for doubled in (False, True)]
        rng, spent = np.random.default_rng(0), np.zeros((rounds, 2))
        for turn in range(rounds):
            for at, (model, count) in enumerate(zip(models, (5, 10), strict=True)):
                side = model.image_size
                pixels = rng.integers(0, 256, (model.minibatch_size, side, side, 3), dtype=np.uint8)
                started = time.process_time()
                model.embed(pixels, n_patterns=count)
                spent[turn, at] = (time.process_time() - started) / len(pixels) * 1e3
        plain, twice = np.median(spent, axis=0)
        ratios = spent[:, 1] / spent[:, 0]
        print(
            f"{name:<38} {models[0].image_size} px {plain:.0f} ms, {models[1].image_size} px {twice:.0f} ms of CPU per "
            f"image, ratio {np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})",
            flush=True,
        )


def time_thumbnails(embedder: Embedder, files: list[Path], rounds: int, readers: int) -> None:
    """Print what the pipeline takes without and with thumbnails, turn about; the first to go changes each round."""
    items = [Item(number, file.name, file.read_bytes) for number, file in enumerate(files)]
    list(embed_stream(embedder, items[: embedder.minibatch_size], readers=readers))
    wall, cpu, size = np.zeros((rounds, 2)), np.zeros((rounds, 2)), 0
    for turn in range(rounds):
        for cutting in (0, 1) if turn % 2 else (1, 0):
            started, burnt = time.perf_counter(), time.process_time()
            done = list(embed_stream(embedder, items, readers=readers, thumbnails=bool(cutting)))
            wall[turn, cutting] = (time.perf_counter() - started) / len(files) * 1e3
            cpu[turn, cutting] = (time.process_time() - burnt) / len(files) * 1e3
            size = sum(len(file) for part in done for file in part.thumbnails.values()) or size
    ratios, burnt = wall[:, 0] / wall[:, 1], np.median(cpu, axis=0)
    print(
        f"{embedder.name:<38} throughput with thumbnails : without {np.median(ratios):.3f} ({ratios.min():.3f} to "
        f"{ratios.max():.3f}) | CPU ms/image: {burnt[0]:.1f} without, {burnt[1]:.1f} with, ratio "
        f"{np.median(cpu[:, 0] / cpu[:, 1]):.3f} | {size / len(files):.0f} bytes each",
        flush=True,
    )


def time_select(directory: Path, folder: Path) -> None:
    """Print how long choosing 100 images of a folder takes, without and with kept embeddings."""
    for run in ("first", "second"):
        started = time.perf_counter()
        picks = select(directory, 100, model="bundled", cache_dir=folder / "cache", progress=False)
        print(f"select {directory}: {run} run {time.perf_counter() - started:.1f} s, {len(picks)} picks", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--doubled", action="store_true")
    parser.add_argument("--thumbnails", action="store_true")
    parser.add_argument("--bundled", action="store_true", help="leave ViT-S/16 out")
    parser.add_argument("--select", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {arguments.threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.doubled:
            time_doubled(folder, arguments.rounds)
            print(f"load at the end {os.getloadavg()[0]:.1f}")
            return
        files = [folder / f"{number:04d}.jpg" for number in range(arguments.images)]
        for number, file in enumerate(files):
            draw(file, number)
        print(f"{len(files)} JPEGs of 640 x 480, {sum(f.stat().st_size for f in files) / len(files) / 1e3:.0f} kB each")
        for embedder in (*([] if arguments.bundled else [small_vit(folder)]), Embedder.load("bundled")):
            if arguments.thumbnails:
                time_thumbnails(embedder, files, arguments.rounds, arguments.readers)
                continue
            for n_patterns in (1, 5):
                compare(embedder, files, n_patterns, arguments.rounds, folder, arguments.readers)
        if arguments.select:
            time_select(arguments.select, folder)
    print(f"load at the end {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
