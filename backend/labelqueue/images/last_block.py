"""The last block of a vision transformer, computed by hand: its attention is looked at, and most of the rest is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LastBlock"]


class LastBlock:
    """The last block of timm's `VisionTransformer` or `Eva`.

    Parameters
    ----------
    block : torch.nn.Module
        A `Block`, `EvaBlock`, or the one of either that normalizes afterwards.
    prefix : int
        Tokens before those of the patches: class token and registers. Positions do not rotate them.

    Raises
    ------
    ValueError
        If its parts are others than those known here.
    """

    def __init__(self, block: Any, prefix: int) -> None:
        self.check(block)
        self._block, self._attn, self._prefix = block, block.attn, prefix
        self._late_norm = type(block).__name__ in ("ResPostBlock", "EvaBlockPostNorm")

    @staticmethod
    def check(block: Any) -> None:
        """Raise ValueError, saying why, if we do not know how to compute it."""
        from timm.layers.attention import Attention, AttentionRope
        from timm.models import eva, vision_transformer

        blocks = (vision_transformer.Block, vision_transformer.ResPostBlock, eva.EvaBlock, eva.EvaBlockPostNorm)
        if type(block) not in blocks or type(block.attn) not in (Attention, AttentionRope, eva.EvaAttention):
            attention = type(getattr(block, "attn", None)).__name__
            raise ValueError(f"its blocks are of the kind {type(block).__name__} with {attention}")

    def seen(self, tokens: Tensor) -> Tensor:
        """Return what the attention looks at: (B, N, dim)."""
        return tokens if self._late_norm else self._block.norm1(tokens)

    def class_attention(self, seen: Tensor, rope: Tensor | None) -> Tensor:
        """Return the attention of the first token alone: (B, heads, N).

        q·k = q·(W s + b) = (Wᵀq)·s + const, and softmax forgets the constant: without a norm or a rotation of the keys
        these are never computed.
        """
        import torch

        attn = self._attn
        if rope is not None or not isinstance(attn.k_norm, torch.nn.Identity):
            query = attn.q_norm(self._split(seen[:, :1], 0))  # a token of the prefix, which is not rotated
            keys = self._rotated(attn.k_norm(self._split(seen, 1)), rope)
            scores: Tensor = (query * attn.scale @ keys.transpose(2, 3)).squeeze(2)
        else:
            query = attn.q_norm(self._split(seen[:, :1], 0)).squeeze(2) * attn.scale
            weight, _ = self._project(1)
            scores = torch.einsum("bhe,hed->bhd", query, weight) @ seen.transpose(1, 2)
        return scores.softmax(dim=2)

    def attention(self, seen: Tensor, rope: Tensor | None, *, values: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return attention (B, N, N) averaged over heads, its first rows (B, heads, N), and the heads' mixed values.

        One head at a time: the matrices of all heads together would not stay in the processor's cache.
        """
        import torch

        attn = self._attn
        queries = self._rotated(attn.q_norm(self._split(seen, 0)), rope) * attn.scale
        keys = self._rotated(attn.k_norm(self._split(seen, 1)), rope)
        inputs = self._split(seen, 2) if values else None
        mean, rows, mixed = seen.new_zeros(1), [], []
        for head in range(attn.num_heads):
            weights = (queries[:, head] @ keys[:, head].transpose(1, 2)).softmax(dim=2)
            mean = mean + weights
            rows.append(weights[:, 0])
            if inputs is not None:
                mixed.append(weights @ inputs[:, head])
        return mean / attn.num_heads, torch.stack(rows, dim=1), torch.cat(mixed, dim=2) if mixed else None

    def mixed(self, seen: Tensor, attention: Tensor) -> Tensor:
        """Return the values that one token's attention (B, heads, N) mixes: (B, attention's width).

        The attention sums to 1, so mixing first and projecting then gives the values of one token only.
        """
        import torch

        weight, bias = self._project(2)
        mixed = torch.einsum("bhd,hed->bhe", attention @ seen, weight)
        if bias is not None:
            mixed = mixed + bias
        return mixed.flatten(1)

    def rest(self, tokens: Tensor, seen: Tensor, mixed: Tensor) -> Tensor:
        """Return tokens after this block, of those that are given: (..., dim) each, `mixed` being their values."""
        block, attn = self._block, self._attn
        mixed = attn.norm(mixed)
        if getattr(attn, "gate", None) is not None:
            mixed = mixed * attn.gate(seen).sigmoid()
        out = attn.proj(mixed)
        if self._late_norm:
            tokens = tokens + block.norm1(out)
            return tokens + block.norm2(block.mlp(tokens))  # type: ignore[no-any-return]
        tokens = tokens + self._scaled(out, 1)
        return tokens + self._scaled(block.mlp(block.norm2(tokens)), 2)

    # -- parts

    def _scaled(self, out: Tensor, branch: int) -> Tensor:
        """Apply the scale of the layer, which `Block` has as a module, `EvaBlock` as a parameter or not at all."""
        layer = getattr(self._block, f"ls{branch}", None)
        if layer is not None:
            return layer(out)  # type: ignore[no-any-return]
        gamma = getattr(self._block, f"gamma_{branch}", None)
        return out if gamma is None else gamma * out

    def _project(self, part: int) -> tuple[Tensor, Tensor | None]:
        """Return weight (heads, head_dim, dim) and bias (heads, head_dim) of the query (0), key (1) or value (2)."""
        attn = self._attn
        if attn.qkv is None:  # three projections, of keys and values perhaps fewer heads than of queries
            linear = (attn.q_proj, attn.k_proj, attn.v_proj)[part]
            weight, bias = linear.weight.view(-1, attn.head_dim, linear.in_features), linear.bias
            bias = None if bias is None else bias.view(-1, attn.head_dim)
            times = attn.num_heads // weight.shape[0]
            if times > 1:
                weight = weight.repeat_interleave(times, dim=0)
                bias = None if bias is None else bias.repeat_interleave(times, dim=0)
            return weight, bias
        weight = attn.qkv.weight.view(3, attn.num_heads, attn.head_dim, -1)[part]
        apart = getattr(attn, "q_bias", None) is not None  # `EvaAttention` keeps three, that of the keys being zero
        bias = (attn.q_bias, attn.k_bias, attn.v_bias)[part] if apart else attn.qkv.bias
        if bias is None:
            return weight, None
        return weight, bias.view(-1, attn.head_dim) if apart else bias.view(3, attn.num_heads, attn.head_dim)[part]

    def _split(self, seen: Tensor, part: int) -> Tensor:
        """Return queries, keys or values of all given tokens: (B, N, dim) to (B, heads, N, head_dim)."""
        from torch.nn.functional import linear

        weight, bias = self._project(part)
        flat = linear(seen, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return flat.view(*flat.shape[:2], *weight.shape[:2]).transpose(1, 2)

    def _rotated(self, heads: Tensor, rope: Tensor | None) -> Tensor:
        """Rotate queries or keys (B, heads, N, head_dim) by the positions of their patches."""
        if rope is None:
            return heads
        import torch
        from timm.layers.pos_embed_sincos import apply_rot_embed_cat

        first, patches = heads[:, :, : self._prefix], heads[:, :, self._prefix :]
        turned = apply_rot_embed_cat(patches, rope, half=getattr(self._attn, "rotate_half", False))
        return torch.cat([first, turned], dim=2).type_as(heads)
