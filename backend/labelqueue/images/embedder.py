"""The embedding model: a frozen vision transformer, read through one forward pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..exceptions import EmbedderError
from .fingerprint import ModelCard
from .precision import FLOAT32, best_of, check, computing, device_of
from .timm_models import BUNDLED, build_model, own_size
from .vision_transformer import ViT
from .weights import download, fill

if TYPE_CHECKING:
    import torch

__all__ = ["BUNDLED", "Embedder"]

PREPROCESSING = 3  # raise it when `decode` or `_minibatches` changes what the model sees
MINIBATCH = {"cpu": 16, "cuda": 64}
READERS, MOST_READERS = 4, 16  # threads that decode for a CPU; a GPU takes as many as there are cores
LARGEST_BY_ITSELF = 224  # pixels: a model that was trained on larger images looks at this size unless it is told
_WEIGHTS = Path(__file__).parents[1] / "weights"


class Embedder:
    """A vision transformer that turns images into embeddings and semantic patterns. Make one with `load`.

    Attributes
    ----------
    name : str
        timm model name, or ``bundled``.
    weights_digest : str
        sha256 (hex) of the file the weights came from.
    dim : int
        Length of every embedding and pattern.
    image_size : int
        Side of the square the model looks at, in pixels.
    grid : (int, int)
        Rows and columns of patches.
    minibatch_size : int
        Images per forward pass; give `embed` a multiple of it for full speed.
    precision : str
        With which it computes, see `precision`.
    readers : int
        Threads that decoding for it takes, so that it does not wait.

    Notes
    -----
    On one machine an image gives the same float16 numbers bit for bit, whatever its companions, its place in the
    minibatch and the number of threads. Minibatches are always full (the last one is padded), so the matrix products
    always have one shape; tests hold the rest. Another kind of processor, or a GPU, may round differently.
    """

    def __init__(
        self,
        model: ViT,
        *,
        name: str,
        weights_digest: str,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        precision: str = FLOAT32,
    ) -> None:
        self._model = model
        self.name = name
        self.weights_digest = weights_digest
        self.dim, self.image_size, self.grid = model.dim, model.image_size, model.grid
        self.minibatch_size = MINIBATCH.get(model.device.type, 16)
        self.readers = READERS if model.device.type == "cpu" else min(MOST_READERS, os.cpu_count() or READERS)
        self.precision = precision
        self._mean, self._std = mean, std
        self._threads: int | None = None

    @classmethod
    def load(
        cls,
        name: str,
        weights: Path | None = None,
        *,
        device: str | None = None,
        image_size: int | None = None,
        doubled: bool = False,
        precision: str | None = None,
    ) -> Embedder:
        """Build a model and give it its weights.

        Parameters
        ----------
        name : str
            Name of a timm model of the class `VisionTransformer` or `Eva` with a class token or attention pooling, such
            as ``vit_small_patch14_reg4_dinov2.lvd142m`` (its tag also decides mean and standard deviation), or
            ``bundled``.
        weights : Path, optional
            safetensors file in timm's key names; a classifier in it is ignored. Default: timm's hub, or the package.
        device : str, optional
            ``cpu`` or ``cuda``. Default: CUDA if there is one.
        image_size : int, optional
            Side in pixels of the images, a multiple of the patch size; position embeddings are resampled. Default: 224,
            or the model's own size where that is smaller.
        doubled : bool, default False
            Twice that size, which segmentation uses.
        precision : {'float32', 'bfloat16', 'float16'}, optional
            Of the matrix products, on any device. Default: what the device does best, see `precision.best_of`.

        Raises
        ------
        EmbedderError
            If there is no such device or precision, timm has no such model, it is no such transformer, or the weights
            cannot be had or do not fit. There is no substitute and there are never random weights.
        """
        place = device_of(device)
        precision = best_of(place) if precision is None else check(precision)
        if name == BUNDLED:
            if weights is not None:
                raise EmbedderError(
                    f"the model 'bundled' brings its own weights, but LABELQUEUE_WEIGHTS is {weights}: set "
                    "LABELQUEUE_EMBEDDER to the timm name of that file's model, or leave the weights out"
                )
            config = json.loads((_WEIGHTS / "config.json").read_text(encoding="utf-8"))
            shape = config["constructor"]
            own, file = int(shape["img_size"]), _WEIGHTS / config["weights"]
            build = partial(build_model, "vit_tiny_patch16_224", depth=shape["depth"])
        else:
            own = own_size(name)
            build = partial(build_model, name)
        size = image_size or min(own, LARGEST_BY_ITSELF)
        model = build(2 * size if doubled else size)
        if name != BUNDLED:
            config = model.pretrained_cfg
            file = weights or download(name, config)
        digest = fill(model, name, file)
        wrapped = ViT(model.eval().requires_grad_(False).to(place))
        return cls(
            wrapped,
            name=name,
            weights_digest=digest,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            precision=precision,
        )

    def fingerprint(self, parameters: Mapping[str, Any]) -> str:
        """Return the name of a generation: 32 hex digits over everything that shapes the numbers.

        Parameters
        ----------
        parameters : mapping
            JSON values: the keyword arguments given to `embed`.
        """
        return self.card.fingerprint(parameters)

    @property
    def card(self) -> ModelCard:
        """What tells this model from another."""
        from poolselect.patterns import ALGORITHM

        return ModelCard(
            self.name,
            self.weights_digest,
            self.image_size,
            self._mean,
            self._std,
            PREPROCESSING,
            ALGORITHM,
            self.minibatch_size,
            self.precision,
        )

    @contextmanager
    def lanes(self) -> Iterator[int]:
        """Tell how many threads may call `embed` at once; inside, they share the processor's cores.

        On a CPU two minibatches side by side, each on half of the cores, beat one on all of them: while one waits at
        a barrier, decodes patterns or copies, the other computes, and a core that another program takes holds up
        only one of them. On a GPU two threads take turns: one hands the next minibatch over while the other waits for
        its numbers.
        """
        import torch

        cores, on_cpu = torch.get_num_threads(), self._model.device.type == "cpu"
        lanes = 2 if cores > 1 or not on_cpu else 1
        self._threads = cores // lanes if on_cpu and lanes > 1 else None
        try:
            yield lanes
        finally:
            self._threads = None
            torch.set_num_threads(cores)  # threads started from now on take over what was set last

    def embed(
        self,
        pixels: NDArray[np.uint8],
        *,
        n_patterns: int = 1,
        attention_ratio: float = 0.5,
        neighborhood: int = 2,
        layer: Literal["penultimate", "last"] = "penultimate",
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
        """Embed images.

        Parameters
        ----------
        pixels : ndarray of shape (n, image_size, image_size, 3), uint8
            RGB, as `decode` gives it.
        n_patterns : int, default 1
            Semantic patterns per image at most. 1: the embedding itself is the pattern (classification).
        attention_ratio : float, default 0.5
            Share of the attention whose patches are kept; not used for one pattern.
        neighborhood : int, default 2
            Attention between patches further apart than this does not count; not used for one pattern.
        layer : {'penultimate', 'last'}, default 'penultimate'
            Block whose patch tokens (through the final norm) make the patterns: FreeSel's paper says the last, its
            released code takes the one before.

        Returns
        -------
        embeddings : ndarray of shape (n, dim), float16
            The class token after the final norm. A row may be NaN where the model's numbers overflow: check it.
        patterns : ndarray of shape (m, dim), float16
        offsets : ndarray of shape (n + 1,), int64
            Image `i` owns ``patterns[offsets[i]:offsets[i + 1]]``, at least one.
        """
        import torch

        side = self.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, must be uint8 (n, {side}, {side}, 3)")
        if n_patterns < 1 or layer not in ("penultimate", "last"):
            raise ValueError(f"n_patterns={n_patterns!r} must be at least 1, layer={layer!r} 'penultimate' or 'last'")
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # of the calling thread
        embeddings, patterns, counts = [], [], []
        options = (n_patterns, attention_ratio, neighborhood, layer)
        with torch.inference_mode():
            for images, used in self._minibatches(pixels):
                vectors, found, sizes = self._embed(images, used, self.precision, *options)
                if self.precision != FLOAT32 and not bool(vectors.isfinite().all()):
                    # What overflowed in fewer bits is computed in all of them: an image is bad only if that fails.
                    vectors, found, sizes = self._mended(images, (vectors, found, sizes), options)
                embeddings.append(vectors.cpu().numpy())
                patterns.append(found.cpu().numpy())
                counts.append(sizes.cpu().numpy())
        nothing = np.empty((0, self.dim), np.float16)
        return (
            np.concatenate([nothing, *embeddings]),
            np.concatenate([nothing, *patterns]),
            np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *counts]))]).astype(np.int64),
        )

    def _embed(
        self,
        images: torch.Tensor,
        used: int,
        precision: str,
        n_patterns: int,
        attention_ratio: float,
        neighborhood: int,
        layer: str,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return float16 embeddings and patterns of the first `used` images, and how many patterns each of them has."""
        import torch

        with computing(self._model.device, precision):
            if n_patterns == 1:
                vectors = self._model.embed(images)[:used].half()
                return vectors, vectors, torch.ones(used, dtype=torch.int64)
            vectors, tokens, attention, links = self._model.embed_with_patches(images, last=layer == "last")
        # Patterns are clustered in float32 and float64 whatever the precision, where the tensors are.
        vectors = vectors[:used].float()
        found, offsets = self._patterns(
            tokens[:used].float(),
            attention[:used].float(),
            links[:used].float(),
            vectors,
            n_patterns,
            attention_ratio,
            neighborhood,
        )
        return vectors.half(), found.half(), offsets.diff()

    def _mended(
        self,
        images: torch.Tensor,
        short: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        options: tuple[int, float, int, str],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Put what float32 gives in place of the images that overflowed, and of no others."""
        import torch

        vectors, found, sizes = short
        bad = ~vectors.isfinite().all(dim=1)
        whole, patterns, counts = self._embed(images, len(vectors), FLOAT32, *options)
        each = zip(
            bad.tolist(), torch.split(found, sizes.tolist()), torch.split(patterns, counts.tolist()), strict=True
        )
        mixed = torch.cat([theirs if wrong else ours for wrong, ours, theirs in each])
        return torch.where(bad[:, None], whole, vectors), mixed, torch.where(bad.cpu(), counts.cpu(), sizes.cpu())

    def _minibatches(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield normalized images (minibatch_size, 3, S, S) and how many of them are real."""
        import torch

        device, side = self._model.device, self.image_size
        # A row of pixels at a time, channels innermost as they come: three numbers at a time would be no vector.
        mean, std = ((torch.tensor(v, device=device) * 255).repeat(side) for v in (self._mean, self._std))
        for start in range(0, len(pixels), self.minibatch_size):
            part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + self.minibatch_size]))
            part = part.view(len(part), side, side * 3)
            full = torch.zeros((self.minibatch_size, side, side * 3), device=device)
            if device.type == "cpu":  # each image stays in the processor's cache from its first step to its last
                for image, raw in zip(full, part, strict=False):
                    image.copy_(raw).sub_(mean).div_(std)
                full[len(part) :].sub_(mean).div_(std)
            else:  # a byte a number goes over, from memory that the device reads by itself
                full[: len(part)] = (part.pin_memory() if device.type == "cuda" else part).to(device, non_blocking=True)
                full.sub_(mean).div_(std)
            yield full.view(-1, side, side, 3).permute(0, 3, 1, 2), len(part)

    def _patterns(
        self,
        tokens: torch.Tensor,
        attention: torch.Tensor,
        links: torch.Tensor,
        vectors: torch.Tensor,
        n_patterns: int,
        attention_ratio: float,
        neighborhood: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        from poolselect.patterns import semantic_patterns

        # One image whose numbers overflow must not cost its companions theirs: it is marked by its embedding.
        # A sum is finite only where everything in it is, and many times faster than looking at each number.
        if not bool((tokens.sum() + links.sum() + attention.sum()).isfinite()):
            bad = ~(tokens.isfinite().all(2).all(1) & links.isfinite().all(2).all(1) & attention.isfinite().all(1))
            vectors[bad] = float("nan")
            tokens, attention, links = (
                t.masked_fill(bad.view(-1, *[1] * (t.ndim - 1)), 0) for t in (tokens, attention, links)
            )
        patterns, offsets = semantic_patterns(
            tokens,
            attention,
            links,
            grid=self.grid,
            n_patterns=n_patterns,
            attention_ratio=attention_ratio,
            neighborhood=neighborhood,
        )
        return patterns, offsets
