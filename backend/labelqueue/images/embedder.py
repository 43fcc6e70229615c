"""The embedding model: a frozen vision transformer, read through one forward pass. The one door for torch and timm."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..exceptions import EmbedderError
from .fingerprint import ModelCard
from .vision_transformer import ViT

if TYPE_CHECKING:
    import torch

__all__ = ["BUNDLED", "Embedder"]

BUNDLED = "bundled"
PREPROCESSING = 3  # raise it when `decode` or `_normalize` changes what the model sees
MINIBATCH = {"cpu": 16, "cuda": 64}
_HUB_TIMEOUT = 5.0  # seconds to find out whether timm's hub answers
_WEIGHTS = Path(__file__).parents[1] / "weights"
_WAYS_OUT = (
    "Set LABELQUEUE_WEIGHTS=file.safetensors to a file with this model's weights, or LABELQUEUE_EMBEDDER=bundled for "
    "the small model in this package"
)


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

    Notes
    -----
    On one machine an image gives the same float16 numbers bit for bit, whatever its companions, its place in the
    minibatch and the number of threads. Minibatches are always full (the last one is padded), so the matrix products
    always have one shape; tests hold the rest. Another kind of processor, or a GPU, may round differently.
    """

    def __init__(
        self, model: ViT, *, name: str, weights_digest: str, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        self._model = model
        self.name = name
        self.weights_digest = weights_digest
        self.dim, self.image_size, self.grid = model.dim, model.image_size, model.grid
        self.minibatch_size = MINIBATCH.get(model.device.type, 16)
        self._mean, self._std = mean, std
        self._threads: int | None = None

    @classmethod
    def load(
        cls, name: str, weights: Path | None = None, *, device: str | None = None, image_size: int | None = None
    ) -> Embedder:
        """Build a model and give it its weights.

        Parameters
        ----------
        name : str
            Name of a timm vision transformer with a class token, such as ``vit_small_patch16_224.dino`` (its tag
            also decides mean and standard deviation), or ``bundled``.
        weights : Path, optional
            safetensors file in timm's key names; a classifier in it is ignored. Default: timm's hub, or the package.
        device : str, optional
            ``cpu`` or ``cuda``. Default: CUDA if there is one.
        image_size : int, optional
            Another input size, a multiple of the patch size; position embeddings are resampled.

        Raises
        ------
        EmbedderError
            If timm has no such model, it is no such transformer, or the weights cannot be had or do not fit. There is
            no substitute and there are never random weights.
        """
        import torch

        if name == BUNDLED:
            if weights is not None:
                raise EmbedderError(
                    f"the model 'bundled' brings its own weights, but LABELQUEUE_WEIGHTS is {weights}: set "
                    "LABELQUEUE_EMBEDDER to the timm name of that file's model, or leave the weights out"
                )
            config = json.loads((_WEIGHTS / "config.json").read_text(encoding="utf-8"))
            shape = config["constructor"]
            model = _build("vit_tiny_patch16_224", depth=shape["depth"], img_size=image_size or shape["img_size"])
            weights = _WEIGHTS / config["weights"]
        else:
            model = _build(name, **({} if image_size is None else {"img_size": image_size}))
            config = model.pretrained_cfg
            weights = weights or _download(name, config)
        digest = _fill(model, name, weights)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            wrapped = ViT(model.eval().requires_grad_(False).to(device))
        except ValueError as error:
            raise EmbedderError(f"model {name!r} cannot be used: {error}") from error
        return cls(wrapped, name=name, weights_digest=digest, mean=tuple(config["mean"]), std=tuple(config["std"]))

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
            self.name, self.weights_digest, self.image_size, self._mean, self._std, PREPROCESSING, ALGORITHM
        )

    @contextmanager
    def lanes(self) -> Iterator[int]:
        """Tell how many threads may call `embed` at once; inside, they share the processor's cores.

        On a CPU two minibatches side by side, each on half of the cores, beat one on all of them: while one waits at
        a barrier, decodes patterns or copies, the other computes, and a core that another program takes holds up
        only one of them.
        """
        import torch

        cores = torch.get_num_threads()
        lanes = 2 if cores > 1 and self._model.device.type == "cpu" else 1
        self._threads = None if lanes == 1 else cores // lanes
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
        with torch.inference_mode():
            for images, used in self._minibatches(pixels):
                if n_patterns == 1:
                    vectors = self._model.embed(images)[:used]
                    found, offsets = vectors, torch.arange(used + 1)
                else:
                    vectors, tokens, attention, links = self._model.embed_with_patches(images, last=layer == "last")
                    vectors = vectors[:used]
                    found, offsets = self._patterns(
                        tokens[:used],
                        attention[:used],
                        links[:used],
                        vectors,
                        n_patterns,
                        attention_ratio,
                        neighborhood,
                    )
                embeddings.append(vectors.half().cpu().numpy())
                patterns.append(found.half().cpu().numpy())
                counts.append(offsets.diff().cpu().numpy())
        nothing = np.empty((0, self.dim), np.float16)
        return (
            np.concatenate([nothing, *embeddings]),
            np.concatenate([nothing, *patterns]),
            np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *counts]))]).astype(np.int64),
        )

    def _minibatches(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield normalized images (minibatch_size, 3, S, S) and how many of them are real."""
        import torch

        device = self._model.device
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (self._mean, self._std))
        for start in range(0, len(pixels), self.minibatch_size):
            part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + self.minibatch_size])).to(device)
            full = part.new_zeros((self.minibatch_size, *part.shape[1:]))
            full[: len(part)] = part
            yield (full.permute(0, 3, 1, 2).float() - mean) / std, len(part)

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
        bad = ~(tokens.isfinite().all(2).all(1) & links.isfinite().all(2).all(1) & attention.isfinite().all(1))
        if bool(bad.any()):
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


def _build(name: str, **options: Any) -> Any:
    """Return a timm model without weights."""
    import timm

    if not timm.is_model(name):
        raise EmbedderError(
            f"timm has no model {name!r}: set LABELQUEUE_EMBEDDER to a name such as vit_small_patch16_224.dino, or to "
            f"{BUNDLED!r}"
        )
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except Exception as error:  # whatever the model's constructor dislikes
        raise EmbedderError(
            f"timm cannot build the model {name!r} with {options or 'its defaults'}: {error}"
        ) from error
    try:
        ViT.check(model)
    except ValueError as error:
        raise EmbedderError(
            f"model {name!r} cannot be used: {error}. Set LABELQUEUE_EMBEDDER to a vision transformer with a class "
            f"token such as vit_small_patch16_224.dino, or to {BUNDLED!r}"
        ) from error
    return model


def _download(name: str, config: Mapping[str, Any]) -> Path:
    """Return the local file of a model's weights on timm's hub, from the hub's cache if it is there."""
    import huggingface_hub

    repository = config.get("hf_hub_id")
    if not repository:
        raise EmbedderError(f"timm's hub has no weights for {name!r}. {_WAYS_OUT}")
    try:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors", local_files_only=True))
        except FileNotFoundError:
            # Ask first, without the retries of a download: where there is no way out, say so within seconds.
            url = huggingface_hub.hf_hub_url(repository, "model.safetensors")
            huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_TIMEOUT)
            return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
    except Exception as error:
        told = re.sub(r"\(Request ID: [^)]*\)", "", str(error))  # a header of the hub's answer
        reason = " ".join(told.split())[:300] or type(error).__name__
        raise EmbedderError(
            f"the weights of {name!r} could not be had from timm's hub ({repository}): {reason}. {_WAYS_OUT}"
        ) from error


def _fill(model: Any, name: str, file: Path) -> str:
    """Load a safetensors file into a model, every tensor or none, and return the file's sha256."""
    from safetensors import SafetensorError
    from safetensors.torch import load
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        data = file.read_bytes()
        tensors = {key: value for key, value in load(data).items() if not key.startswith(("head.", "head_dist."))}
    except OSError as error:
        raise EmbedderError(f"the weights {file} of {name!r} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise EmbedderError(
            f"the weights {file} of {name!r} are not a whole safetensors file ({error}); pickled checkpoints (.pth, "
            ".bin) are not read, convert them with safetensors.torch.save_file"
        ) from error
    patches, expected = tensors.get("patch_embed.proj.weight"), model.patch_embed.proj.weight
    # timm would quietly resample patches of another size; position embeddings it may, for another image size.
    if patches is not None and patches.ndim == 4 and patches.shape != expected.shape:
        raise EmbedderError(
            f"the weights {file} do not fit the model {name!r}: patch_embed.proj.weight has the shape "
            f"{tuple(patches.shape)}, the model's has {tuple(expected.shape)}"
        )
    try:
        model.load_state_dict(checkpoint_filter_fn(tensors, model), strict=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise EmbedderError(f"the weights {file} do not fit the model {name!r}: {reason}") from error
    return hashlib.sha256(data).hexdigest()
