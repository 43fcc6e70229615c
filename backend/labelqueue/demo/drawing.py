"""Images that the demo draws for itself: six classes of textured shapes, unbalanced and full of near-duplicates."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "DrawnImage", "draw_images", "plan"]

SIZE = (320, 240)  # width, height in pixels
QUALITY = 85
BLOCK = 12  # length in images of the longest burst of near-duplicates

# Class and its share. Two classes are common and two are rare, as in real collections: import order meets the rare
# ones late and the bursts of the common ones early.
CLASSES: dict[str, float] = {"disc": 0.36, "square": 0.30, "triangle": 0.16, "star": 0.10, "ring": 0.05, "cross": 0.03}
BACKGROUNDS = ("plain", "gradient", "noise", "stripes", "checks", "blobs")
TEXTURES = ("plain", "dots", "stripes", "grain")


@dataclass(frozen=True)
class Scene:
    """Everything one picture is drawn from.

    Parameters
    ----------
    label : str
        One of CLASSES.
    background, texture : str
        Of the scene and of the shape.
    x, y, radius : float
        Center and size of the shape in pixels.
    angle : float
        Rotation in radians.
    hue, back_hue : float
        Colors of shape and background, 0 to 1.
    light : float
        Brightness of the whole picture, 1 = unchanged.
    grain : float
        Standard deviation of the camera noise, in gray levels.
    seed : int
        Of the noise in textures and background.
    """

    label: str
    background: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float
    hue: float
    back_hue: float
    light: float
    grain: float
    seed: int


@dataclass(frozen=True)
class DrawnImage:
    """One picture as a file that exists in memory only.

    Parameters
    ----------
    name : str
        File name; it does not give the class away.
    label : str
        The class that a careful annotator would choose.
    data : bytes
        JPEG.
    """

    name: str
    label: str
    data: bytes


def _scene(label: str, rng: np.random.Generator) -> Scene:
    width, height = SIZE
    return Scene(
        label=label,
        background=str(rng.choice(BACKGROUNDS)),
        texture=str(rng.choice(TEXTURES)),
        x=float(rng.uniform(0.25, 0.75) * width),
        y=float(rng.uniform(0.3, 0.7) * height),
        radius=float(rng.uniform(35, 95)),
        angle=float(rng.uniform(0, 2 * math.pi)),
        hue=float(rng.uniform()),
        back_hue=float(rng.uniform()),
        light=float(rng.uniform(0.75, 1.2)),
        grain=float(rng.uniform(2, 12)),
        seed=int(rng.integers(2**31)),
    )


def _again(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return nearly the same scene: the next frame of a burst."""
    return replace(
        scene,
        x=scene.x + float(rng.normal(0, 3)),
        y=scene.y + float(rng.normal(0, 3)),
        angle=scene.angle + float(rng.normal(0, 0.04)),
        light=scene.light * float(rng.normal(1, 0.02)),
    )


def plan(count: int, seed: int = 0) -> list[Scene]:
    """Return the scenes of a collection in import order.

    Parameters
    ----------
    count : int
        How many.
    seed : int, default 0
        Same seed, same scenes.

    Notes
    -----
    About half of the scenes belong to bursts of near-duplicates of the common classes, which stand together, as the
    frames of a camera do. Every class occurs once `count` reaches the number of classes.
    """
    rng = np.random.default_rng(seed)
    names = list(CLASSES)
    rest = count - len(names)
    extra = rng.multinomial(max(rest, 0), list(CLASSES.values()))
    amounts = {name: 1 + int(more) for name, more in zip(names, extra, strict=True)}
    bursts: list[list[Scene]] = []
    for name in names:
        left = amounts[name]
        while left > 0:
            common = CLASSES[name] >= 0.15
            length = min(left, int(rng.integers(3, BLOCK + 1))) if common and rng.uniform() < 0.2 else 1
            first = _scene(name, rng)
            bursts.append([first, *(_again(first, rng) for _ in range(length - 1))])
            left -= length
    ordered = [scene for index in rng.permutation(len(bursts)) for scene in bursts[index]]
    # Rare classes come last: what import order pays for and a diverse order does not.
    rare = [scene for scene in ordered if CLASSES[scene.label] < 0.15]
    common_first = [scene for scene in ordered if CLASSES[scene.label] >= 0.15]
    return [*common_first, *rare][: max(count, 0)] if count >= len(names) else ordered[: max(count, 0)]


def _color(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    angles = 2 * math.pi * (hue + np.array([0, 1 / 3, 2 / 3]))
    channels = value * (1 - saturation * (0.5 - 0.5 * np.cos(angles)))
    red, green, blue = np.clip(255 * channels, 0, 255).astype(int).tolist()
    return red, green, blue


def _background(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a background of shape (height, width, 3), 0 to 255."""
    width, height = SIZE
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    dark = np.array(_color(scene.back_hue, 0.5, 0.45), np.float32)
    bright = np.array(_color(scene.back_hue + 0.08, 0.4, 0.8), np.float32)
    if scene.background == "plain":
        mix = np.full((height, width), 0.5, np.float32)
    elif scene.background == "gradient":
        mix = (columns * math.cos(scene.angle) + rows * math.sin(scene.angle)) / width % 1.0
    elif scene.background == "noise":
        mix = rng.random((height, width), dtype=np.float32)
    elif scene.background == "stripes":
        mix = 0.5 + 0.5 * np.sin((columns + rows * math.tan(scene.back_hue)) / rng.uniform(4, 12))
    elif scene.background == "checks":
        side = int(rng.integers(12, 36))
        mix = ((columns // side + rows // side) % 2).astype(np.float32)
    else:
        small = rng.random((6, 8), dtype=np.float32)
        mix = np.asarray(Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
    return dark + np.clip(mix, 0, 1)[..., None].astype(np.float32) * (bright - dark)


def _texture(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the surface of the shape, of shape (height, width, 3), 0 to 255."""
    width, height = SIZE
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    if scene.texture == "plain":
        mix = np.ones((height, width), np.float32)
    elif scene.texture == "dots":
        mix = ((columns % 14 - 7) ** 2 + (rows % 14 - 7) ** 2 > 16).astype(np.float32)
    elif scene.texture == "stripes":
        mix = (np.sin(columns / 4 * math.cos(scene.angle) + rows / 4 * math.sin(scene.angle)) > 0).astype(np.float32)
    else:
        mix = rng.random((height, width), dtype=np.float32)
    dark = np.array(_color(scene.hue, 0.9, 0.55), np.float32)
    bright = np.array(_color(scene.hue, 0.85, 1.0), np.float32)
    return dark + mix[..., None] * (bright - dark)


def _outline(scene: Scene) -> list[tuple[float, float]]:
    """Return the corners of the class's shape in pixels."""
    if scene.label in ("disc", "ring"):
        polar = [(1.0, 2 * math.pi * k / 60) for k in range(60)]
    elif scene.label == "square":
        polar = [(1.0, math.pi * (k / 2 + 0.25)) for k in range(4)]
    elif scene.label == "triangle":
        polar = [(1.0, 2 * math.pi * k / 3) for k in range(3)]
    elif scene.label == "star":
        polar = [(1.0 if k % 2 == 0 else 0.42, math.pi * k / 5) for k in range(10)]
    else:
        arm = 0.32
        corners = [(arm, arm), (arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm)]
        corners += [(-arm, -arm), (-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm)]
        polar = [(math.hypot(x, y), math.atan2(y, x)) for x, y in corners]
    return [
        (
            scene.x + scene.radius * r * math.cos(t + scene.angle),
            scene.y + scene.radius * r * math.sin(t + scene.angle),
        )
        for r, t in polar
    ]


def _mask(scene: Scene) -> NDArray[np.float32]:
    mask = Image.new("L", SIZE, 0)
    pen = ImageDraw.Draw(mask)
    pen.polygon(_outline(scene), fill=255)
    if scene.label == "ring":
        hole = replace(scene, radius=0.6 * scene.radius)
        pen.polygon(_outline(hole), fill=0)
    return np.asarray(mask, np.float32)[..., None] / np.float32(255)


def _draw(scene: Scene, camera: np.random.Generator) -> bytes:
    rng = np.random.default_rng(scene.seed)  # a burst shares it, so its frames share texture and background
    mask = _mask(scene)
    picture = (1 - mask) * _background(scene, rng) + mask * _texture(scene, rng)
    picture = picture * scene.light + camera.normal(0, scene.grain, picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def draw_images(count: int = 300, seed: int = 0) -> Iterator[DrawnImage]:
    """Draw a collection in import order.

    Parameters
    ----------
    count : int, default 300
        How many.
    seed : int, default 0
        Same seed, same pictures, byte for byte with the same Pillow.

    Yields
    ------
    DrawnImage
        320 x 240 pixels.
    """
    camera = np.random.default_rng([seed, 1])
    for number, scene in enumerate(plan(count, seed), start=1):
        yield DrawnImage(f"shape-{number:04d}.jpg", scene.label, _draw(scene, camera))
