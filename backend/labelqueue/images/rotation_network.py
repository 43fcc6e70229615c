"""The rotation pretext task of BAL: a small network learns which way up images are, and gives features on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError, EmbedderError
from ..records import pack, unpack

if TYPE_CHECKING:
    import torch

__all__ = ["ANGLES", "LEAST_IMAGES", "RotationNet", "small_cnn", "train_rotation"]

ANGLES = 4  # 0, 90, 180, 270 degrees; guessing is right once in so many times
LEAST_IMAGES = 20
ARCHITECTURE = 1  # raise it when `small_cnn` changes
PREPROCESSING = 2  # raise it when `decode` or `_normalized` changes what the network sees
MINIBATCH = 32  # images; the network sees each in four rotations
HELD_OUT = 0.1  # share of the images that are not trained on, at most MOST_HELD_OUT
MOST_HELD_OUT = 500
_RATE, _MOMENTUM, _DECAY = 0.05, 0.9, 5e-4
_TAG = "labelqueue_rotation"
_WAY_OUT = "train it again with `labelqueue pretext --retrain`"


class RotationNet:
    """A small convolutional network for images of one size. `train_rotation` trains one, `from_bytes` reads one.

    Parameters
    ----------
    image_size : int
        Side of the square images in pixels: a multiple of 16 from 16 to 128.

    Attributes
    ----------
    name : str
    dim : int
        Length of a feature vector.
    image_size : int
    minibatch_size : int
        Images per forward pass.
    epochs, seed, images : int
        How it was trained, and on how many images; 0 epochs: it was not, and gives no features.
    accuracy : float or None
        Share of held-out rotated images whose rotation it recognized (chance: 0.25); None when nothing was held out.

    Notes
    -----
    It has the shape that `embed_stream` asks of a model, so its features are read, decoded and stored like embeddings.
    On one machine the same images and seed give the same weights, and an image the same features bit for bit, whatever
    its companions.
    """

    name = "rotation"
    minibatch_size = MINIBATCH

    def __init__(self, image_size: int) -> None:
        if image_size % 16 or not 16 <= image_size <= 128:
            raise EmbedderError(f"image size {image_size} must be a multiple of 16 from 16 to 128 pixels")
        self.image_size = image_size
        self.epochs = self.seed = self.images = 0
        self.accuracy: float | None = None
        self._network = small_cnn(image_size, ANGLES)
        self.dim = int(self._network[-1].in_features)  # type: ignore[arg-type]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the last layer but one sees in the images as they are, un-rotated.

        Parameters
        ----------
        images : ndarray of shape (n, image_size, image_size, 3), uint8
            RGB, as `decode` gives it.

        Returns
        -------
        ndarray of shape (n, dim), float32

        Raises
        ------
        EmbedderError
            If the network was never trained: random weights are never used silently.
        """
        import torch

        self._check(images)
        if not self.epochs:
            raise EmbedderError(f"this rotation network was never trained, its features would be noise: {_WAY_OUT}")
        body, found = self._network[:-1].eval(), np.empty((len(images), self.dim), np.float32)
        full = np.zeros((MINIBATCH, *images.shape[1:]), np.uint8)
        with torch.inference_mode():
            for start in range(0, len(images), MINIBATCH):
                part = images[start : start + MINIBATCH]
                full[: len(part)] = part  # always a full minibatch, so that companions change no rounding
                found[start : start + MINIBATCH] = body(_normalized(full)).numpy()[: len(part)]
        return found

    def embed(
        self, pixels: NDArray[np.uint8], **options: Any
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
        """Return the features as embeddings which are also each image's one pattern; see `Embedder.embed`."""
        if options.get("n_patterns", 1) != 1:
            raise EmbedderError(f"a rotation network has one vector per image, not n_patterns={options['n_patterns']}")
        vectors = self.features(pixels).astype(np.float16)
        return vectors, vectors, np.arange(len(vectors) + 1, dtype=np.int64)

    def lanes(self) -> AbstractContextManager[int]:
        """Tell that one thread at a time may call `embed`; that one uses all cores."""
        return nullcontext(1)

    def fingerprint(self) -> str:
        """Return the name of its generation in a pattern cache: 32 hex digits over weights and preprocessing."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:32]

    def to_bytes(self) -> bytes:
        """Return the weights and how they came about as a safetensors file, the same bytes for the same network."""
        tensors = {name: value.numpy() for name, value in self._network.state_dict().items()}
        record = {
            "architecture": ARCHITECTURE,
            "preprocessing": PREPROCESSING,
            "image_size": self.image_size,
            "epochs": self.epochs,
            "seed": self.seed,
            "images": self.images,
            "accuracy": self.accuracy,
        }
        return pack(tensors, _TAG, json.dumps(record, sort_keys=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> RotationNet:
        """Return the network that `to_bytes` wrote.

        Raises
        ------
        EmbedderError
            If the bytes are damaged, of another version, or hold an untrained network.
        """
        import torch

        try:
            tensors, note = unpack(data, _TAG)
            record: Mapping[str, Any] = json.loads(note or "{}")
            versions = (record["architecture"], record["preprocessing"])
            if versions != (ARCHITECTURE, PREPROCESSING):
                raise EmbedderError(
                    f"the stored rotation network has version {versions}, this one reads "
                    f"{(ARCHITECTURE, PREPROCESSING)}: {_WAY_OUT}"
                )
            net = cls(int(record["image_size"]))
            net._network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
            net.epochs, net.seed, net.images = (int(record[fact]) for fact in ("epochs", "seed", "images"))
            net.accuracy = None if record["accuracy"] is None else float(record["accuracy"])
        except (CacheError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EmbedderError(f"the stored rotation network cannot be read ({reason}): {_WAY_OUT}") from error
        if net.epochs < 1:
            raise EmbedderError(f"the stored rotation network was never trained: {_WAY_OUT}")
        return net

    def _check(self, images: NDArray[np.uint8]) -> None:
        side = self.image_size
        if images.ndim != 4 or images.shape[1:] != (side, side, 3) or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}, must be uint8 (n, {side}, {side}, 3)")


def train_rotation(
    images: NDArray[np.uint8], *, epochs: int = 10, seed: int = 0, progress: Callable[[int], None] | None = None
) -> RotationNet:
    """Train a network to tell by how much images were rotated.

    The loss of an image is the mean of the cross-entropies of its four rotations, which stand in one minibatch (Eq. 1
    of Li et al., "BAL: Balancing Diversity and Novelty for Active Learning", TPAMI 2023).

    Parameters
    ----------
    images : ndarray of shape (n, s, s, 3), uint8
        RGB, at least `LEAST_IMAGES`; `s` as in `RotationNet`.
    epochs : int, default 10
        Passes over the images, at least 1.
    seed : int, default 0
        Of the first weights, the held-out images and the order of the others.
    progress : callable, optional
        Gets the number of images that have been seen since its last call; `n` for each epoch in all.

    Returns
    -------
    RotationNet

    Raises
    ------
    EmbedderError
        If there are too few images or epochs, the size is no allowed one, or the training diverges.

    Notes
    -----
    The paper trains VGG16 for 100 epochs; this is a network of its kind, small enough for two cores. A tenth of the
    images is held out, so that the accuracy it reports is not that of images it has seen. Images are neither flipped
    nor cropped.
    """
    import torch

    if len(images) < LEAST_IMAGES:
        raise EmbedderError(
            f"{len(images)} images are too few to learn rotations from: at least {LEAST_IMAGES} are needed"
        )
    if epochs < 1:
        raise EmbedderError(f"epochs={epochs} must be at least 1: an untrained network has no features")
    rng = np.random.default_rng([seed % 2**63, 4])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        net = RotationNet(images.shape[1])
    net._check(images)
    held_out, rows = np.split(rng.permutation(len(images)), [min(int(HELD_OUT * len(images)), MOST_HELD_OUT)])
    with _one_core_spared():
        loss = _fit(net._network, images, rows, epochs, rng, progress or (lambda count: None), len(held_out))
        if not np.isfinite(loss):
            raise EmbedderError(f"the rotation network diverged (loss {loss}): try another seed")
        net.accuracy = _accuracy(net._network, images, held_out)
    net.epochs, net.seed, net.images = epochs, seed, len(images)
    return net


def _fit(
    network: torch.nn.Module,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    epochs: int,
    rng: np.random.Generator,
    progress: Callable[[int], None],
    held_out: int,
) -> float:
    """Train on some rows and return the last loss; each epoch counts as `held_out` images more than it has."""
    import torch
    from torch.nn.functional import cross_entropy

    optimizer = torch.optim.SGD(network.parameters(), lr=_RATE, momentum=_MOMENTUM, weight_decay=_DECAY, nesterov=True)
    steps = epochs * -(-len(rows) // MINIBATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_RATE, total_steps=steps + 1)
    network.train()
    for _ in range(epochs):
        for part in _minibatches(rng.permutation(rows)):
            turned, angles = _rotations(_normalized(images[part]))
            loss = cross_entropy(network(turned), angles)  # Eq. 1: each image's four rotations are in this mean
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(len(part))
        progress(held_out)
    return float(loss.detach())


@contextmanager
def _one_core_spared() -> Iterator[None]:
    """Leave a core to others: threads wait for each other many times a step, and one that waits for its core, because
    the service embeds meanwhile, holds up all."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def small_cnn(image_size: int, outputs: int) -> torch.nn.Sequential:
    """Return an untrained network in the manner of VGG with batch normalization and one linear layer at its end.

    Parameters
    ----------
    image_size : int
        Side of its images in pixels, which decides how often they are halved.
    outputs : int
        Length of what the linear layer gives.

    Returns
    -------
    torch.nn.Sequential
        All but its last element turn (n, 3, s, s) into features (n, 256); weights from torch's global generator.
    """
    import torch
    from torch import nn

    halvings = 0
    while image_size >> (halvings + 1) >= 4:
        halvings += 1
    layers: list[nn.Module] = []
    before = 3

    def convolution(width: int, *, halve: bool) -> None:
        nonlocal before
        layers.append(nn.Conv2d(before, width, 3, padding=1, bias=False))
        if halve:  # before the normalization, which then has a quarter of the work
            layers.append(nn.MaxPool2d(2))
        layers.extend((nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
        before = width

    for left in range(halvings, 0, -1):
        width = max(256 >> left, 16)
        convolution(width, halve=True)
        if left == 1:
            convolution(width, halve=False)
    convolution(256, halve=False)
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))
    return network.to(memory_format=torch.channels_last)


def _normalized(images: NDArray[np.uint8]) -> torch.Tensor:
    """Return images (n, s, s, 3) as a tensor (n, 3, s, s) of about zero mean and unit deviation."""
    import torch

    # The memory stays as it is, channels last, which is what the convolutions like best.
    return (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() - 127.5) / 64.0


def _rotations(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all four rotations of all images, (4 n, 3, s, s), and which one each is, (4 n,)."""
    import torch

    turned = torch.cat([torch.rot90(images, angle, dims=(2, 3)) for angle in range(ANGLES)])
    return (
        turned.contiguous(memory_format=torch.channels_last),
        torch.arange(ANGLES).repeat_interleave(len(images)),
    )


def _minibatches(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), MINIBATCH):
        yield rows[start : start + MINIBATCH]


def _accuracy(network: torch.nn.Module, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> float | None:
    """Return the share of rotated images whose rotation the network names."""
    import torch

    network.eval()
    right = 0
    with torch.inference_mode():
        for part in _minibatches(rows):
            turned, angles = _rotations(_normalized(images[part]))
            right += int((network(turned).argmax(1) == angles).sum())
    return right / (ANGLES * len(rows)) if len(rows) else None
