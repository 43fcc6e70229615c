"""Where a model's weights come from, and how they get into it: every tensor or none, never random ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..exceptions import EmbedderError

__all__ = ["download", "fill", "weights_file"]

_HUB_TIMEOUT = 5.0  # seconds to find out whether timm's hub answers
_WAYS_OUT = (
    "Set LABELQUEUE_WEIGHTS=file.safetensors to a file with this model's weights (or to a folder of such files, each "
    "called NAME.safetensors), or LABELQUEUE_EMBEDDER=bundled for the small model in this package"
)


def weights_file(setting: Path | None, owner: str, name: str, digest: str = "") -> Path | None:
    """Return which file LABELQUEUE_WEIGHTS has for a model; None: its weights are on timm's hub, or in the package.

    Parameters
    ----------
    setting : Path or None
        Its value: a file, or a folder of files that are named after their models.
    owner : str
        The model that a single file belongs to, LABELQUEUE_EMBEDDER.
    name : str
        The model that is wanted.
    digest : str
        sha256 (hex) of the weights that are wanted; empty: whichever there are. A single file with this digest is the
        one, whichever model it belongs to by now.
    """
    if setting is None:
        return None
    if setting.is_dir():
        file = setting / f"{name}.safetensors"
        return file if file.is_file() else None
    if name == owner or (digest and setting.is_file() and _digest(setting) == digest):
        return setting
    return None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(name: str, config: Mapping[str, Any]) -> Path:
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


def fill(model: Any, name: str, file: Path) -> str:
    """Load a safetensors file into a model, every tensor or none, and return the file's sha256."""
    from safetensors import SafetensorError
    from safetensors.torch import load
    from timm.models import eva, vision_transformer

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
    family = eva if isinstance(model, eva.Eva) else vision_transformer
    try:
        model.load_state_dict(family.checkpoint_filter_fn(tensors, model), strict=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise EmbedderError(f"the weights {file} do not fit the model {name!r}: {reason}") from error
    return hashlib.sha256(data).hexdigest()
