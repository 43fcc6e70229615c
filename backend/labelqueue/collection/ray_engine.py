"""Embedding on a Ray cluster: Ray Data hands addresses to actors that hold the model. The one door for Ray.

Actors read and embed; what they made comes back to this process, which writes it. So nothing is twice when a node dies
and its work is done again, and the cluster needs no file system in common, only the images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..block import Block, concatenate, source_hash
from ..exceptions import CollectionError
from ..images import Embedded, Embedder
from .process_engine import embed_here

__all__ = ["embed_on_ray"]

BATCH = 64  # images that an actor takes at a time: what is done again when it dies
WAVE = 500_000  # images that Ray is told of at a time: it holds their addresses as objects
_FEW = 64  # blocks of addresses in the cluster for each actor, so that slow ones do not hold up the end


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise CollectionError(
            f'--engine ray needs Ray ({error}), the extra `ray`: pip install -c constraints.txt ".[ray]"; '
            "--engine process with --part needs no more than a scheduler"
        ) from error
    return ray


def embed_on_ray(
    work: Sequence[tuple[int, str]],
    embedder: Embedder,
    patterns: int,
    *,
    weights: Path | None = None,
    actors: int | None = None,
) -> Iterator[Embedded]:
    """Embed images on the cluster at RAY_ADDRESS, the one that runs on this machine, or one of its own.

    Parameters
    ----------
    work : sequence of (int, str)
        A number for each image, and its address.
    embedder : Embedder
        What the actors load too; theirs must be the same.
    patterns : int
    weights : Path, optional
        Its file, in the same place on every node.
    actors : int, optional
        Default: one for each GPU of the cluster, else one for each CPU.

    Yields
    ------
    Embedded
        Ids are those numbers.

    Raises
    ------
    CollectionError
        If Ray is not installed, cannot be reached, or an actor cannot load this model.
    """
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
        except Exception as error:
            raise CollectionError(f"Ray cannot be reached: {error}; see RAY_ADDRESS and `ray status`") from error
    try:
        for start in range(0, len(work), WAVE):
            yield from _stream(ray, work[start : start + WAVE], embedder, patterns, weights, actors)
    finally:
        if mine:
            ray.shutdown()


def _stream(
    ray: Any,
    work: Sequence[tuple[int, str]],
    embedder: Embedder,
    patterns: int,
    weights: Path | None,
    actors: int | None,
) -> Iterator[Embedded]:
    have: Mapping[str, float] = ray.cluster_resources()
    gpus = int(have.get("GPU", 0))
    count = min(actors or gpus or int(have.get("CPU", 1)) or 1, -(-len(work) // BATCH))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # there is one of ours
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context.execution_options.preserve_order = False
    rows = ray.data.from_items(
        [{"number": number, "uri": uri} for number, uri in work],
        override_num_blocks=min(-(-len(work) // BATCH), count * _FEW),
    )
    settings = {
        "model": embedder.name,
        "weights": str(weights.absolute()) if weights else None,
        "image_size": embedder.image_size,
        "precision": embedder.precision,
        "patterns": patterns,
        "fingerprint": embedder.fingerprint({"n_patterns": patterns}),
    }
    made = rows.map_batches(
        _Actor,
        fn_constructor_kwargs=settings,
        batch_size=BATCH,
        concurrency=count,
        num_gpus=1 if gpus else 0,
        num_cpus=0 if gpus else 1,
    )
    try:
        for batch in made.iter_batches(batch_size=None, batch_format="numpy"):
            yield _unpacked(batch, embedder.dim)
    except ray.exceptions.RayError as error:
        cause = error.__cause__ or error
        brief = " ".join(str(cause).split())[-300:]
        raise CollectionError(
            f"Ray gave up: {brief}; what came before is kept, and the same command goes on"
        ) from error


class _Actor:
    """Holds the model on some node of the cluster."""

    def __init__(
        self, model: str, weights: str | None, image_size: int, precision: str, patterns: int, fingerprint: str
    ) -> None:
        file = Path(weights) if weights else None
        self._embedder = Embedder.load(model, file, image_size=image_size, precision=precision)
        self._patterns = patterns
        mine = self._embedder.fingerprint({"n_patterns": patterns})
        if mine != fingerprint:
            raise CollectionError(
                f"a node of the cluster has other weights or another version of labelqueue: its {model} is {mine}, not "
                f"{fingerprint}"
            )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        work = list(zip(batch["number"].tolist(), (str(uri) for uri in batch["uri"]), strict=True))
        return _packed(list(embed_here(work, self._embedder, self._patterns)))


def _packed(parts: Sequence[Embedded]) -> dict[str, Any]:
    """Return what became of some images as columns that Ray can carry, one row each."""
    block = concatenate([part.block for part in parts])
    failed = [(*row, 0) for part in parts for row in part.failed]
    failed += [(*row, 1) for part in parts for row in part.transient]
    n, lost = len(block), len(failed)
    bounds = block.offsets.tolist()
    return {
        "number": np.concatenate([block.ids, np.array([row[0] for row in failed], np.int64)]),
        "hash": np.concatenate([block.hashes.astype(np.uint64), np.zeros(lost, np.uint64)]),
        "vector": [block.embeddings[i].tobytes() for i in range(n)] + [b""] * lost,
        "patterns": [block.patterns[bounds[i] : bounds[i + 1]].tobytes() for i in range(n)] + [b""] * lost,
        "reason": [""] * n + [str(row[1]) for row in failed],
        "again": np.concatenate([np.zeros(n, np.int64), np.array([row[2] for row in failed], np.int64)]),
    }


def _unpacked(batch: Mapping[str, Any], dimension: int) -> Embedded:
    """Return what `_packed` packed."""
    good = [row for row, reason in enumerate(batch["reason"]) if not reason]
    lost = [row for row, reason in enumerate(batch["reason"]) if reason]
    told: tuple[list[tuple[int, str]], list[tuple[int, str]]] = ([], [])
    for row in lost:
        told[int(batch["again"][row])].append((int(batch["number"][row]), str(batch["reason"][row])))
    if not good:
        return Embedded(concatenate([]), *told)
    vectors = [np.frombuffer(batch["vector"][row], np.float16) for row in good]
    patterns = [np.frombuffer(batch["patterns"][row], np.float16).reshape(-1, dimension) for row in good]
    ids = np.array([batch["number"][row] for row in good], np.int64)
    block = Block(
        ids=ids,
        sources=np.array([source_hash(str(number)) for number in ids.tolist()], np.uint64),  # known by the caller
        embeddings=np.stack(vectors),
        patterns=np.concatenate(patterns),
        offsets=np.concatenate([[0], np.cumsum([len(part) for part in patterns])]).astype(np.int64),
        hashes=np.array([batch["hash"][row] for row in good], np.uint64),
    )
    return Embedded(block, *told)
