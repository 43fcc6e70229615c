"""One pass through a timm vision transformer that also brings out what its last block looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["ViT"]


class ViT:
    """A timm `VisionTransformer` whose last block is computed by hand.

    All blocks but the last run as timm has them (fused attention, in which no attention matrix ever exists). Of the
    last block only what is asked for is computed: for the embedding, attention, values, projection and MLP of the
    class token alone; for patterns also the attention matrix.

    Parameters
    ----------
    model : timm.models.vision_transformer.VisionTransformer
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
    """

    def __init__(self, model: Any) -> None:
        self.check(model)
        self._model = model
        self._prefix = int(model.num_prefix_tokens)  # the class token, then registers
        self.dim = int(model.embed_dim)
        self.image_size = int(model.patch_embed.img_size[0])
        rows, columns = model.patch_embed.grid_size
        self.grid = (int(rows), int(columns))

    @staticmethod
    def check(model: Any) -> None:
        """Raise ValueError, saying why, if this is not a model whose last block we know how to compute."""
        from timm.layers.attention import Attention
        from timm.models.vision_transformer import Block, VisionTransformer
        from torch import nn

        if not isinstance(model, VisionTransformer):
            raise ValueError(f"it is a {type(model).__name__}, not a plain vision transformer")
        if model.cls_token is None:
            raise ValueError("it has no class token, whose attention FreeSel follows")
        last = model.blocks[-1]
        if type(last) is not Block or type(last.attn) is not Attention:
            raise ValueError(f"its blocks are of the kind {type(last).__name__} with {type(last.attn).__name__}")
        if getattr(last.attn, "gate", None) is not None or not isinstance(last.attn.norm, nn.Identity):
            raise ValueError("its attention is gated or normalized")
        if isinstance(model.norm, nn.Identity):
            raise ValueError("it has no norm after the last block, its embedding is not the class token")
        size = model.patch_embed.img_size
        if size is None or size[0] != size[1]:
            raise ValueError(f"its input is not a square of a fixed size but {size}")
        patch = model.patch_embed.patch_size
        if size[0] % patch[0] or size[1] % patch[1]:
            raise ValueError(f"its patches of {patch[0]} x {patch[1]} pixels do not tile its input of {size[0]}")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = self._model.cls_token.device
        return found

    def embed(self, images: Tensor) -> Tensor:
        """Return the class token after the final norm: equal to ``forward_features(images)[:, 0]``.

        Parameters
        ----------
        images : Tensor of shape (B, 3, S, S), float32
            Normalized.

        Returns
        -------
        Tensor of shape (B, dim), float32
        """
        tokens = self._all_but_last(images)
        seen = self._model.blocks[-1].norm1(tokens)
        return self._class_token(tokens, seen, self._class_attention(seen))

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
            Class token to patches in the last block, mean of the heads, summing to 1 over the patches.
        patch_attention : Tensor of shape (B, hw, hw)
            Patch to patch in the last block, mean of the heads; rows sum to less than 1, since patches look at the
            class token too.
        """
        model, block = self._model, self._model.blocks[-1]
        tokens = self._all_but_last(images)
        seen = block.norm1(tokens)
        mean, class_rows, context = self._attention(seen, values=last)
        if last:
            assert context is not None
            out = tokens + block.ls1(block.attn.proj(context))
            out = out + block.ls2(block.mlp(block.norm2(out)))
            out = model.norm(out)
            embeddings, patches = out[:, 0], out[:, self._prefix :]
        else:
            embeddings = self._class_token(tokens, seen, class_rows)
            patches = model.norm(tokens)[:, self._prefix :]
        attention = mean[:, 0, self._prefix :]
        return (
            embeddings,
            patches,
            attention / attention.sum(dim=1, keepdim=True),
            mean[:, self._prefix :, self._prefix :],
        )

    # -- parts of the pass

    def _all_but_last(self, images: Tensor) -> Tensor:
        model = self._model
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
        return tokens  # type: ignore[no-any-return]

    def _project(self, part: int) -> tuple[Tensor, Tensor | None]:
        """Return weight (heads, head_dim, dim) and bias (heads, head_dim) of the query (0), key (1) or value (2)."""
        attn = self._model.blocks[-1].attn
        weight = attn.qkv.weight.view(3, attn.num_heads, attn.head_dim, -1)[part]
        bias = None if attn.qkv.bias is None else attn.qkv.bias.view(3, attn.num_heads, attn.head_dim)[part]
        return weight, bias

    def _split(self, seen: Tensor, part: int) -> Tensor:
        """Return queries, keys or values of all given tokens: (B, N, dim) to (B, heads, N, head_dim)."""
        from torch.nn.functional import linear

        weight, bias = self._project(part)
        flat = linear(seen, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return flat.view(*flat.shape[:2], *weight.shape[:2]).transpose(1, 2)

    def _class_attention(self, seen: Tensor) -> Tensor:
        """Return the attention of the class token alone: (B, heads, N).

        q·k = q·(W s + b) = (Wᵀq)·s + const, and softmax forgets the constant: the keys are never computed.
        """
        import torch

        attn = self._model.blocks[-1].attn
        if not isinstance(attn.k_norm, torch.nn.Identity):
            query, keys = attn.q_norm(self._split(seen[:, :1], 0)), attn.k_norm(self._split(seen, 1))
            scores: Tensor = (query * attn.scale @ keys.transpose(2, 3)).squeeze(2)
        else:
            query = attn.q_norm(self._split(seen[:, :1], 0)).squeeze(2) * attn.scale
            weight, _ = self._project(1)
            scores = torch.einsum("bhe,hed->bhd", query, weight) @ seen.transpose(1, 2)
        return scores.softmax(dim=2)

    def _attention(self, seen: Tensor, *, values: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return attention (B, N, N) averaged over heads, its class rows (B, heads, N), and the heads' mixed values.

        One head at a time: the matrices of all heads together would not stay in the processor's cache.
        """
        import torch

        attn = self._model.blocks[-1].attn
        queries, keys = attn.q_norm(self._split(seen, 0)) * attn.scale, attn.k_norm(self._split(seen, 1))
        inputs = self._split(seen, 2) if values else None
        mean, rows, mixed = seen.new_zeros(1), [], []
        for head in range(attn.num_heads):
            weights = (queries[:, head] @ keys[:, head].transpose(1, 2)).softmax(dim=2)
            mean = mean + weights
            rows.append(weights[:, 0])
            if inputs is not None:
                mixed.append(weights @ inputs[:, head])
        return mean / attn.num_heads, torch.stack(rows, dim=1), torch.cat(mixed, dim=2) if mixed else None

    def _class_token(self, tokens: Tensor, seen: Tensor, attention: Tensor) -> Tensor:
        """Run the rest of the last block, and the final norm, for the class token: (B, dim).

        The attention sums to 1, so mixing first and projecting then gives the values of one token only.
        """
        import torch

        model, block = self._model, self._model.blocks[-1]
        weight, bias = self._project(2)
        mixed = torch.einsum("bhd,hed->bhe", attention @ seen, weight)
        if bias is not None:
            mixed = mixed + bias
        out = tokens[:, 0] + block.ls1(block.attn.proj(mixed.flatten(1)))
        out = out + block.ls2(block.mlp(block.norm2(out)))
        return model.norm(out)  # type: ignore[no-any-return]
