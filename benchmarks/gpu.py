"""What a GPU makes of embedding: images a second, the share of its peak, where the time goes, and FreeSel end to end.

    python benchmarks/gpu.py                     a GPU where there is one: ViT-S/16, 16,551 images, 8,000 selected
    python benchmarks/gpu.py --device cpu        the bundled model, 64 images: what the script does, in two minutes
    python benchmarks/gpu.py --precision float32 --patterns 1 --json gpu.json

Draws JPEGs of 500 x 375 pixels, as those of PASCAL VOC mostly are, and embeds them again and again under other names
until there are enough. Then:

- **peak**: what the device reaches in a product of two large square matrices, in the precision the model computes with.
- **bare**: timm's own pass (`forward_features`), images normalized and on the device already; its arithmetic is counted
  (`torch.utils.flop_counter`) and compared with the peak.
- **stages**: each step of the pipeline alone, one after another: reading and decoding in as many threads as in use,
  handing over and normalizing, the pass with attention and patch tokens, semantic patterns, a block's bytes.
- **whole**: files in, blocks out, everything overlapped (`embed_stream`); its rate over that of the bare pass.
- **FreeSel**: the same vectors, selected as published (one draw a pick) and as the service does (200 draws). The paper
  tells 285 s for 16,551 images and 8,000 selected, on a Titan RTX, vectors and selection together.

On a CPU the selection is done once more at the paper's size, with drawn vectors: it runs on the CPU everywhere. The
weights of ViT-S are random: only the time matters. Times are by the clock; on a CPU processor time stands beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from labelqueue.block import concatenate
from labelqueue.images import Embedder, Item, embed_stream
from labelqueue.images.precision import PRECISIONS, computing
from labelqueue.pixels import decode
from poolselect import FreeSel, Pool, semantic_patterns

PAPER = {"images": 16_551, "selected": 8_000, "seconds": 285.0, "device": "Titan RTX"}
DISTINCT = 256  # pictures that are drawn
SIZE = (500, 375)
Step = Callable[[], object]


def draw(path: Path, seed: int) -> None:
    """Write a JPEG with broad shapes and grain, about as large as a photograph of that size."""
    rng = np.random.default_rng(seed)
    broad = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    pixels = np.asarray(broad, np.int16).copy()
    for _ in range(10):
        y, x, height, width = rng.integers(0, [300, 420, 160, 160])
        pixels[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    pixels += rng.normal(0, 8, pixels.shape).astype(np.int16)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def load(name: str, device: str, precision: str | None, folder: Path) -> Embedder:
    """Return the real embedder; but for the bundled one its weights are random."""
    if name == "bundled":
        return Embedder.load(name, device=device, precision=precision)
    torch.manual_seed(0)
    file = folder / "weights.safetensors"
    save_file(timm.create_model(name, num_classes=0).state_dict(), file)
    return Embedder.load(name, file, device=device, precision=precision)


class Clock:
    """Times steps on one device: by the clock, and in processor time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self, step: Step, images: int, rounds: int) -> tuple[float, float]:
        """Return the median milliseconds an image of some rounds, after one that is not counted: clock, processor."""
        step()
        wall, burnt = [], []
        for _ in range(rounds):
            self._wait()
            began, used = time.perf_counter(), time.process_time()
            step()
            self._wait()
            wall.append(time.perf_counter() - began)
            burnt.append(time.process_time() - used)
        return float(np.median(wall)) / images * 1e3, float(np.median(burnt)) / images * 1e3

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def peak(device: torch.device, precision: str, clock: Clock) -> float:
    """Return the arithmetic a second (multiplications and additions) of a product of two large matrices."""
    side = 8192 if device.type == "cuda" else 1024
    one, other = (torch.randn(side, side, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    seconds = clock(lambda: one @ other, 1, 5)[0] / 1e3
    return 2 * side**3 / seconds


def stages(embedder: Embedder, files: list[Path], patterns: int, clock: Clock, rounds: int) -> dict[str, Any]:
    """Return what each step takes alone, milliseconds an image: clock and processor time."""
    device, size, side = embedder._model.device, embedder.minibatch_size, embedder.image_size
    some = (files * (size // len(files) + 1))[:size]
    pixels = np.stack([decode(file.read_bytes(), side) for file in some])
    found: dict[str, Any] = {}

    def reading() -> None:
        with ThreadPoolExecutor(embedder.readers) as pool:
            list(pool.map(lambda file: decode(file.read_bytes(), side), some))

    found[f"reading and decoding, {embedder.readers} threads"] = clock(reading, size, rounds)
    with torch.inference_mode():
        (images, _), *_ = embedder._minibatches(pixels)
        found["handing over and normalizing"] = clock(lambda: list(embedder._minibatches(pixels)), size, rounds)

        def run(of: Callable[[torch.Tensor], Any]) -> Any:
            with computing(device, embedder.precision):
                return of(images)

        found["timm's whole pass"] = clock(lambda: run(embedder._model._model.forward_features), size, rounds)
        found["our pass, embedding only"] = clock(lambda: run(embedder._model.embed), size, rounds)
        if patterns > 1:
            found["our pass, with attention"] = clock(lambda: run(embedder._model.embed_with_patches), size, rounds)
            _, *parts = run(embedder._model.embed_with_patches)
            parts = [part.float() for part in parts]
            found[f"{patterns} patterns"] = clock(
                lambda: semantic_patterns(*parts, grid=embedder.grid, n_patterns=patterns), size, rounds
            )
    (done,) = embed_stream(embedder, [Item(0, "0", files[0].read_bytes)], n_patterns=patterns)
    block = concatenate([done.block] * size)
    found["a block's bytes"] = clock(block.to_bytes, size, rounds)
    return found


def select(pool: Pool, count: int) -> dict[str, float]:
    """Return the seconds that FreeSel takes, as published and as the service has it."""
    seconds = {}
    for name, trials in (("as published", 1), ("200 draws", 200)):
        began = time.perf_counter()
        FreeSel(trials=trials).query(pool, batch_size=count)
        seconds[name] = time.perf_counter() - began
        print(f"  FreeSel {name}: {count:,} of {len(pool):,} in {seconds[name]:.1f} s", flush=True)
    return seconds


def drawn_pool(images: int, patterns: int, dimension: int) -> Pool:
    """Make clustered vectors, as many for each image."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((200, dimension), dtype=np.float32)
    flat: NDArray[np.float32] = centers[rng.integers(200, size=images * patterns)]
    flat += 0.6 * rng.standard_normal(flat.shape, dtype=np.float32)
    return Pool(np.arange(images), flat[::patterns].copy(), flat, np.arange(images + 1) * patterns)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu or cuda (default: CUDA where there is one)")
    parser.add_argument("--precision", choices=PRECISIONS, help="(default: what the device does best)")
    parser.add_argument("--model", help="timm name or bundled (ViT-S/16 of 224 pixels; on a CPU bundled)")
    parser.add_argument("--images", type=int, help=f"to embed ({PAPER['images']:,}; on a CPU 64)")
    parser.add_argument("--selected", type=int, help=f"of them ({PAPER['selected']:,}; on a CPU half of the images)")
    parser.add_argument("--patterns", type=int, default=5, help="an image (5, as the paper for detection)")
    parser.add_argument("--rounds", type=int, default=5, help="of each stage (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args()
    on_gpu = (arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")) != "cpu"
    name = arguments.model or ("vit_small_patch16_224" if on_gpu else "bundled")
    count = arguments.images or (PAPER["images"] if on_gpu else 64)
    selected = min(arguments.selected or (PAPER["selected"] if on_gpu else count // 2), count)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number:04d}.jpg" for number in range(min(DISTINCT, count))]
        for number, file in enumerate(files):
            draw(file, number)
        embedder = load(name, arguments.device or ("cuda" if on_gpu else "cpu"), arguments.precision, Path(folder))
        told = measure(embedder, files, count, selected, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")


def measure(
    embedder: Embedder, files: list[Path], count: int, selected: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure everything, print it and return it."""
    device, patterns, clock = embedder._model.device, arguments.patterns, Clock(embedder._model.device)
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    print(
        f"{what}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, Python {platform.python_version()}, torch "
        f"{torch.__version__}, timm {timm.__version__}, load {os.getloadavg()[0]:.1f}\n{embedder.name} at "
        f"{embedder.image_size} pixels, {embedder.precision}, minibatches of {embedder.minibatch_size}, K = {patterns}",
        flush=True,
    )
    told: dict[str, Any] = {"device": what, "model": embedder.name, "precision": embedder.precision}
    size, side = embedder.minibatch_size, embedder.image_size
    images = torch.randn(size, 3, side, side, device=device)
    model = embedder._model._model
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.forward_features(images[:1])
    arithmetic, best = counter.get_total_flops(), peak(device, embedder.precision, clock)

    def bare() -> None:
        with torch.inference_mode(), computing(device, embedder.precision):
            model.forward_features(images)

    wall, burnt = clock(bare, size, 3 * arguments.rounds)
    rate = 1e3 / wall
    told |= {"bare": rate, "bare_cpu_ms": burnt, "arithmetic": arithmetic, "peak": best}
    print(
        f"  bare pass: {rate:,.1f} images/s, {arithmetic / 1e9:.2f} GFLOP an image, {rate * arithmetic / 1e12:.3g} of "
        f"{best / 1e12:.3g} TFLOP/s: {rate * arithmetic / best:.0%} of what a product of large matrices reaches"
    )
    told["stages"] = stages(embedder, files, patterns, clock, arguments.rounds)
    for step, (wall, burnt) in told["stages"].items():
        print(f"  {step}: {wall:.3f} ms an image, {burnt:.3f} of processor time", flush=True)
    items = [Item(number, str(number), files[number % len(files)].read_bytes) for number in range(count)]
    list(embed_stream(embedder, items[:size], n_patterns=patterns))
    began, used = time.perf_counter(), time.process_time()
    block = concatenate([part.block for part in embed_stream(embedder, items, n_patterns=patterns)])
    embedding, used = time.perf_counter() - began, time.process_time() - used
    told |= {"images": len(block), "embedding": embedding, "embedding_cpu_ms": used / count * 1e3}
    print(
        f"  whole: {count:,} files to vectors in {embedding:.1f} s, {count / embedding:,.1f} images/s, "
        f"{count / embedding / rate:.2f} of the bare pass by the clock; {used / count * 1e3:.2f} ms of processor time "
        f"an image",
        flush=True,
    )
    pool = Pool(block.ids, block.embeddings.astype(np.float32), block.patterns.astype(np.float32), block.offsets)
    told["select"] = select(pool, selected)
    if count != PAPER["images"]:
        print(f"  and at the paper's size, vectors drawn ({embedder.dim} numbers, {patterns} an image):")
        told["select_drawn"] = select(drawn_pool(PAPER["images"], patterns, embedder.dim), PAPER["selected"])
    for how, seconds in told["select"].items():
        print(f"  end to end, {how}: {embedding + seconds:.1f} s for {selected:,} of {count:,}")
    print(
        f"  the paper: {PAPER['seconds']:.0f} s for {PAPER['selected']:,} of {PAPER['images']:,} on a "
        f"{PAPER['device']}; load {os.getloadavg()[0]:.1f}"
    )
    return told


if __name__ == "__main__":
    sys.exit(main())
