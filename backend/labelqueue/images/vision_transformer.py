"""One pass through a timm vision transformer that also brings out what its last block looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .last_block import LastBlock

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["ViT"]


class ViT:
    """A timm `VisionTransformer` or `Eva` whose last block is computed by hand.

    All blocks but the last run as timm has them (fused attention, in which no attention matrix ever exists). Of the
    last block only what is asked for is computed: where the embedding is the class token, attention, values, projection
    and MLP of that token alone; for patterns also the attention matrix. Registers are never patches: neither their
    tokens nor their columns of the attention are brought out.

    Parameters
    ----------
    model : timm.models.vision_transformer.VisionTransformer or timm.models.eva.Eva
        In evaluation mode, on its device.

    Attributes
    ----------
    dim : int
        Width of the tokens.
    image_size : int
        Side of the input square in pixels.
    grid : (int, int)
        Rows and columns of patches.

    Raises
    ------
    ValueError
        If the model is not such a transformer; see `check`.

    Notes
    -----
    The embedding is what the model itself makes of an image: what its attention pooling gives (SigLIP, Perception
    Encoder); else the class token after the final norm; else, of models that have a class token and norm the mean of
    their patches (EVA), that mean.
    """

    def __init__(self, model: Any) -> None:
        self.check(model)
        self._model = model
        self._prefix = int(model.num_prefix_tokens)  # the class token, then registers
        self._last = LastBlock(model.blocks[-1], self._prefix)
        self._pooled = model.attn_pool is not None
        self._class_token = not self._pooled and not _is_identity(model.norm)
        self.dim = int(model.embed_dim)
        self.image_size = int(model.patch_embed.img_size[0])
        rows, columns = model.patch_embed.grid_size
        self.grid = (int(rows), int(columns))

    @staticmethod
    def check(model: Any) -> None:
        """Raise ValueError, saying why, if this is not a model whose last block we know how to compute."""
        from timm.layers.attention_pool import AttentionPoolLatent
        from timm.models.eva import Eva
        from timm.models.vision_transformer import VisionTransformer

        if not isinstance(model, VisionTransformer | Eva):
            raise ValueError(f"it is a {type(model).__name__}, not a plain vision transformer")
        pool = model.attn_pool
        if pool is not None and (type(pool) is not AttentionPoolLatent or pool.latent_len != 1):
            raise ValueError(f"its embedding is pooled by {type(pool).__name__}, which has no single query for patches")
        if model.cls_token is None and pool is None:
            raise ValueError("it has no class token and no attention pooling, whose attention FreeSel follows")
        if pool is None and _is_identity(model.norm) and (_is_identity(model.fc_norm) or model.global_pool != "avg"):
            raise ValueError("it has no norm after the last block, its embedding is not the class token")
        LastBlock.check(model.blocks[-1])
        size = model.patch_embed.img_size
        if size is None or size[0] != size[1]:
            raise ValueError(f"its input is not a square of a fixed size but {size}")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = next(self._model.parameters()).device
        return found

    def embed(self, images: Tensor) -> Tensor:
        """Return the embedding, such as the class token after the final norm, ``forward_features(images)[:, 0]``.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S), float32
            Normalized.

        Returns
        -------
        Tensor of shape (B, dim), float32
        """
        if not self._class_token:
            model = self._model
            return model.forward_head(model.forward_features(images), pre_logits=True)  # type: ignore[no-any-return]
        tokens, rope = self._all_but_last(images)
        seen = self._last.seen(tokens)
        return self._finished(tokens, seen, self._last.class_attention(seen, rope))

    def embed_with_patches(self, images: Tensor, *, last: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the embedding, and what semantic patterns are made from.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S), float32
            Normalized.
        last : bool, default False
            Patch tokens of the last block rather than of the one before it.

        Returns
        -------
        embeddings : Tensor of shape (B, dim)
            As `embed`.
        patch_tokens : Tensor of shape (B, hw, dim)
            After the final norm.
        attention : Tensor of shape (B, hw)
            Of the class token in the last block, or of the query that pools the patches, to the patches: mean of the
            heads, summing to 1 over the patches.
        patch_attention : Tensor of shape (B, hw, hw)
            Patch to patch in the last block, mean of the heads; rows sum to less than 1, since patches look at the
            class token and registers too.
        """
        model, prefix = self._model, self._prefix
        tokens, rope = self._all_but_last(images)
        seen = self._last.seen(tokens)
        mean, class_rows, context = self._last.attention(seen, rope, values=last or not self._class_token)
        if context is None:
            embeddings, patches = self._finished(tokens, seen, class_rows), None
        else:
            out = model.norm(self._last.rest(tokens, seen, context))
            embeddings = out[:, 0] if self._class_token else model.forward_head(out, pre_logits=True)
            patches = out[:, prefix:]
        if self._pooled:
            assert context is not None
            attention = self._pool_attention(out)
        else:
            attention = mean[:, 0, prefix:]
        return (
            embeddings,
            patches if last and patches is not None else model.norm(tokens)[:, prefix:],
            attention / attention.sum(dim=1, keepdim=True),
            mean[:, prefix:, prefix:],
        )

    # -- parts of the pass

    def _all_but_last(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tokens before the last block (B, N, dim), and what rotates that block's positions, if anything."""
        from timm.models.eva import Eva

        model = self._model
        patches = model.patch_embed(images)
        if isinstance(model, Eva):
            tokens, rope = model._pos_embed(patches)
            tokens = model.norm_pre(tokens)
            each = list(rope) if rope is not None and model.rope_mixed else [rope] * len(model.blocks)
            for block, turn in zip(model.blocks[:-1], each[:-1], strict=True):
                tokens = block(tokens, rope=turn)
            return tokens, each[-1]
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(patches)))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
        return tokens, None

    def _finished(self, tokens: Tensor, seen: Tensor, attention: Tensor) -> Tensor:
        """Run the rest of the last block, and the final norm, for the class token: (B, dim)."""
        mixed = self._last.mixed(seen, attention)
        return self._model.norm(self._last.rest(tokens[:, 0], seen[:, 0], mixed))  # type: ignore[no-any-return]

    def _pool_attention(self, tokens: Tensor) -> Tensor:
        """Return how much of each patch the query of the attention pooling takes, mean of the heads: (B, hw)."""
        pool = self._model.attn_pool
        if pool.pos_embed is not None:
            tokens = tokens + pool.pos_embed.unsqueeze(0)
        keys = pool.kv(tokens)[..., : pool.num_heads * pool.head_dim]
        keys = keys.view(*keys.shape[:2], pool.num_heads, pool.head_dim).transpose(1, 2)
        query = pool.q(pool.latent).view(1, 1, pool.num_heads, pool.head_dim).transpose(1, 2)
        scores = (pool.q_norm(query) * pool.scale @ pool.k_norm(keys).transpose(2, 3)).squeeze(2)
        # Where registers and a class token are pooled as well, they take part in the softmax.
        skipped = 0 if self._pools_prefix() else self._prefix
        attention: Tensor = scores[..., skipped:].softmax(dim=2).mean(dim=1)
        return attention[:, self._prefix - skipped :]

    def _pools_prefix(self) -> bool:
        """Tell whether tokens before the patches are pooled: `Eva` always does, `VisionTransformer` has a switch."""
        return bool(getattr(self._model, "pool_include_prefix", True))


def _is_identity(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.Identity)
