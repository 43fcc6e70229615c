"""Where a model computes, and at which precision: what a device does best, and what of that its vectors tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..exceptions import EmbedderError

if TYPE_CHECKING:
    import torch

__all__ = ["BOUND", "FLOAT32", "PRECISIONS", "best_of", "check", "computing", "device_of"]

# Largest 1 - cosine between two embeddings of one image of which people may say that one model made both: what rounding
# to float16, in which vectors are kept, takes away from each of them. float32 stays within it on every device; what is
# shorter does not (benchmarks/gpu.md), and is in a fingerprint. So devices need not be.
BOUND = 1e-7
FLOAT32 = "float32"
PRECISIONS = (FLOAT32, "bfloat16", "float16")
_TENSOR_CORES, _BFLOAT16 = (7, 0), (8, 0)  # compute capabilities of CUDA from which each is in hardware


def best_of(device: torch.device) -> str:
    """Return the precision that a device computes with when nobody asked for one.

    float32 on a CPU; on CUDA bfloat16, or float16 where only that is in hardware, which overflows sooner.
    """
    import torch

    if device.type != "cuda":
        return FLOAT32
    capability = torch.cuda.get_device_capability(device)
    if capability >= _BFLOAT16:
        return "bfloat16"
    return "float16" if capability >= _TENSOR_CORES else FLOAT32


def device_of(name: str | None) -> torch.device:
    """Return the device of this name; without a name, CUDA if there is one."""
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EmbedderError(f"the device {name!r} is not known: say cpu, cuda, or cuda:1") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EmbedderError(
            f"the device {name!r} is asked for, and torch finds no CUDA here: say cpu, or see the driver"
        )
    return device


def check(precision: str) -> str:
    """Return the name of a precision; raise EmbedderError when it is none."""
    if precision not in PRECISIONS:
        raise EmbedderError(f"the precision {precision!r} is not known: {', '.join(PRECISIONS)} are")
    return precision


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Let what is computed inside be computed with this precision: matrix products; norms and softmax stay in float32.

    float32 means float32: no TF32, in which CUDA computes convolutions unless it is told.
    """
    import torch

    if precision != FLOAT32:
        with torch.autocast(device.type, dtype=getattr(torch, precision)):
            yield
    elif device.type == "cuda":
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    else:
        yield
