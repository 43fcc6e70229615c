"""timm's models by name, without weights; which of them can serve."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from ..exceptions import EmbedderError
from .vision_transformer import ViT

__all__ = ["BUNDLED", "build_model", "own_size"]

BUNDLED = "bundled"
_NAME_ONE = f"name one such as vit_small_patch14_reg4_dinov2.lvd142m, or {BUNDLED!r}"
_CHOOSE = (
    "Take a vision transformer with a class token or attention pooling, such as "
    f"vit_small_patch14_reg4_dinov2.lvd142m, vit_small_patch16_dinov3.lvd1689m or {BUNDLED!r}"
)


def own_size(name: str) -> int:
    """Return the side in pixels of the images that a timm model was trained on."""
    import timm

    if not timm.is_model(name):
        raise EmbedderError(f"timm has no model {name!r}: {_NAME_ONE}")
    try:
        config: Any = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise EmbedderError(f"timm has no such weights of the model {name!r} ({error}): {_NAME_ONE}") from error
    return int(config.input_size[-1])


def build_model(name: str, size: int, **options: Any) -> Any:
    """Return a timm model without weights that looks at images of this size."""
    import timm

    create = partial(timm.create_model, name, pretrained=False, num_classes=0, **options)
    config: Any = timm.get_pretrained_cfg(name)
    try:
        model: Any = create() if config.fixed_input_size and config.input_size[-1] == size else create(img_size=size)
    except Exception as error:  # whatever the model's constructor dislikes
        with suppress(TypeError, ValueError, RuntimeError, AssertionError):
            _check(name, create())  # one that takes no size of images is of another kind, which says more
        raise EmbedderError(f"timm cannot build the model {name!r} for images of {size} pixels: {error}") from error
    _check(name, model)
    patch = model.patch_embed.patch_size[0]
    if size % patch:
        raise EmbedderError(
            f"images of {size} x {size} pixels are not tiled by the patches of {patch} x {patch} pixels of the model "
            f"{name!r}: set LABELQUEUE_IMAGE_SIZE to a multiple of {patch}, such as {max(size // patch, 1) * patch}"
        )
    return model


def _check(name: str, model: Any) -> None:
    try:
        ViT.check(model)
    except ValueError as error:
        raise EmbedderError(f"model {name!r} cannot be used: {error}. {_CHOOSE}") from error
