"""Odd images: every format in every mode, turned, deep, tiny, long, cut, damaged, or no image, beside good ones."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, unquote

import numpy as np
from PIL import Image

from chaos.judge import PATIENCE, Judge, Verdict
from chaos.people import People
from chaos.scene import Scene
from http_stub import serving
from labelqueue.pixels.decoding import FORMATS
from processes import until

MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "PA")
SIZES = ((1, 1), (1, 700), (2000, 3), (31, 17))
FRAMES = ("GIF", "WEBP", "TIFF", "PNG")
OTHERS = ("PPM", "ICO", "TGA", "PCX", "SGI", "PDF", "JPEG2000", "DDS")  # Pillow writes them, and we do not read them

Odd = tuple[str, bytes, bool | None]  # name, content, whether it is to be read; None: either, but decided


def odd_images(count: int) -> list[Odd]:
    """Return so many odd images, of all kinds."""
    found = [*_readable(), *_unreadable()]
    damaged = _damaged(random.Random(0))
    while len(found) < count:
        found.append(next(damaged))
    random.Random(1).shuffle(found)
    return found[:count]


def images(scene: Scene, *, count: int = 200) -> Verdict:
    """Import odd images amid drawn ones; every one is embedded, or put aside with a reason."""
    odd = odd_images(count)
    content = {f"/{number:04d}-{name}": data for number, (name, data, _) in enumerate(odd)}
    project = scene.project("odd images")
    before = {one.pid for one in scene.processes("embedding")}

    def give(method: str, path: str, headers: object, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("-redirects%20in%20circles"):
            return 302, {"Location": path}, b""
        return (404, {}, b"nothing here") if path.endswith("-gone") else (200, {}, content[unquote(path)])

    people = People(scene, project, pace=2.0, habits={"label": 1})
    with serving(give) as (url, _), Judge(scene, project, "odd images", [people]) as judge, people:
        known = set(scene.api.task_ids(project))
        scene.api.import_tasks(project, [{"image": url + quote(path)} for path in content])
        tasks = [task for task in scene.api.task_ids(project) if task not in known]
        ours = scene.known(project)

        def decided() -> bool:
            now = scene.facts(project)
            return bool(now and now["tasks"] == scene.pool + count and not now["pending"] and not now["journal"])

        with suppress(AssertionError):
            until(decided, PATIENCE, "every image is embedded or put aside")
        now, aside = scene.facts(project), ours.quarantined()
        faults = judge.verdict.faults
        if now["embedded"] + len(aside) != scene.pool + count or now["pending"]:
            faults.append(
                f"{now['embedded']} embedded, {len(aside)} put aside, {now['pending']} wait of {scene.pool + count}"
            )
        for task, (name, _, wanted) in zip(tasks, odd, strict=True):
            if wanted is not None and wanted == (task in aside):
                faults.append(f"{name}: {aside[task][1] if task in aside else 'is embedded'}")
        if before != {one.pid for one in scene.processes("embedding")}:
            faults.append("an embedding worker ended")
        judge.verdict.did = f"{count} images, {len(aside)} of them put aside"
    return judge.verdict


def _picture(mode: str = "RGB", size: tuple[int, int] = (90, 60), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    if mode in ("LA", "PA", "I", "F"):
        return image.convert("RGBA" if mode in ("LA", "PA") else "L").convert(mode)
    return image.convert(mode)


def _written(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _readable() -> Iterator[Odd]:
    for kind in FORMATS:
        for mode in MODES:
            with suppress(OSError, ValueError, KeyError):  # no such pixels in this format
                yield f"{kind} {mode}", _written(_picture(mode), kind), True
        for size in SIZES:
            yield f"{kind} {size[0]}x{size[1]}", _written(_picture(size=size), kind), True
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        for turn in range(2, 9):
            exif = Image.Exif()
            exif[0x0112] = turn
            yield f"{kind} turned {turn}", _written(_picture(), kind, exif=exif), True
    for kind in FRAMES:
        more = [_picture(seed=seed) for seed in range(3)]
        yield f"{kind} of frames", _written(_picture(), kind, save_all=True, append_images=more), True
    yield "JPEG progressive", _written(_picture(), "JPEG", progressive=True), True
    yield "JPEG with a broken EXIF block", _written(_picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1"), True
    for how in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"TIFF {how}", _written(_picture(), "TIFF", compression=how), True
    yield "PNG called .jpg", _written(_picture(), "PNG"), True
    yield "JPEG and more behind it", _written(_picture(), "JPEG") + b"\0" * 1000, True


def _unreadable() -> Iterator[Odd]:
    for kind in FORMATS:
        whole = _written(_picture(), kind)
        for share in (0.02, 0.5, 0.9):
            yield f"{kind} cut at {share}", whole[: max(3, int(len(whole) * share))], False
    for kind in OTHERS:
        with suppress(OSError, KeyError):
            yield kind, _written(_picture(), kind), False
    yield "nothing", b"", False
    yield "a zero", b"\0", False
    yield "zeros", b"\0" * 5000, False
    yield "text", b"Hello, I am a picture.", False
    yield "a page", b"<!doctype html><title>Sign in</title>", False
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', False
    yield "a zip", b"PK\3\4" + b"\0" * 100, False
    yield "JSON", b'{"error": "no such key"}', False
    yield "noise", np.random.default_rng(0).bytes(3000), False
    yield "PNG of 196 megapixels", _written(Image.new("1", (14_000, 14_000)), "PNG"), False
    yield "PNG of 100,001 in a row", _written(Image.new("1", (100_001, 1)), "PNG"), False
    yield "TIFF without a finite value", _written(Image.fromarray(np.full((8, 8), np.nan, "f4")), "TIFF"), False
    yield "gone", b"", False
    yield "redirects in circles", b"", False


def _damaged(dice: random.Random) -> Iterator[Odd]:
    while True:
        for kind in FORMATS:
            whole = bytearray(_written(_picture(), kind))
            for _ in range(dice.randint(1, 20)):
                whole[dice.randrange(len(whole))] = dice.randrange(256)
            yield f"{kind} damaged", bytes(whole), None
