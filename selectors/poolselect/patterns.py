"""Semantic patterns: a few vectors per image, from one vision-transformer pass (FreeSel, Eq. 2 to 4, Alg. 1 and 3).

Needs torch, as does `clusters`, and nothing else here does. Everything is batched over images and runs where the
tensors are. An image's patterns never depend on its companions in the batch, so splitting a pool into other shards
never changes an order: all images get the same random numbers, and the padding of an image depends on that image alone.
"""

from __future__ import annotations

from typing import Literal

from poolselect.exceptions import InvalidParameterError, name_some

try:
    import torch
except ImportError as error:  # pragma: no cover
    raise ImportError("poolselect.patterns needs torch, which is not installed: pip install torch") from error

from poolselect.clusters import kmeans

# Stands for the numbers that `semantic_patterns` gives. Raise it when they change for the same input, be it by an
# improvement: whoever keeps patterns keeps this with them, so that old and new ones never end up in one pool.
ALGORITHM = 1

# Kept patches are padded to a multiple of this, so that images of similar size share one batched eigensolver call.
_PADDING = 16
# A link between any two patches, this small against the mean degree: see `_spectral_embedding`.
_LINK = 1e-6


def attention_filter(attention: torch.Tensor, ratio: float = 0.5) -> torch.Tensor:
    """Keep the most attended patches that together hold a share of the attention (Eq. 2).

    Parameters
    ----------
    attention : Tensor of shape (..., hw), floats
        Attention from [CLS] to each patch, non-negative; it need not sum to one.
    ratio : float, default 0.5
        Share of the attention to keep, within (0, 1].

    Returns
    -------
    Tensor of shape (..., hw), bool
        True for kept patches, at least one per image. It is the smallest set of largest values that reaches the
        share; of equal values the earlier patch comes first.

    Raises
    ------
    InvalidParameterError
        If `ratio` is out of range, or values are negative, NaN or infinite.

    Notes
    -----
    Where we differ from the released code: it sorts ascending and keeps ``cumsum > 1 - ratio``. That is the same set
    without ties and rounding at the boundary; this form keeps a patch even if all values are zero.

    Examples
    --------
    >>> import torch
    >>> attention_filter(torch.tensor([0.1, 0.4, 0.2, 0.3]), ratio=0.5).tolist()
    [False, True, False, True]
    """
    if not 0 < ratio <= 1:
        raise InvalidParameterError(f"attention_ratio={ratio!r} must lie within (0, 1].")
    fine = torch.isfinite(attention) & (attention >= 0)
    if not bool(fine.all()):
        raise InvalidParameterError(
            f"attention is negative, NaN or infinite at {_bad_images(fine)} of the batch; leave these images out."
        )
    values, order = torch.sort(attention.double(), dim=-1, descending=True, stable=True)
    before = values.cumsum(dim=-1) - values
    kept = before < ratio * values.sum(dim=-1, keepdim=True)
    kept[..., 0] = True
    return torch.zeros_like(kept).scatter(-1, order, kept)


def neighborhood_mask(height: int, width: int, radius: int) -> torch.Tensor:
    """Tell which patches of a grid are neighbors: at most `radius` rows and columns apart (Eq. 3).

    Parameters
    ----------
    height, width : int
        Patches per column and per row; patch `r` lies at row ``r // width``, column ``r % width``.
    radius : int
        Largest Chebyshev distance, at least 0.

    Returns
    -------
    Tensor of shape (height * width, height * width), bool
        Symmetric, True on the diagonal.

    Examples
    --------
    >>> neighborhood_mask(1, 4, 1).int().tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """
    if height < 1 or width < 1 or radius < 0:
        raise InvalidParameterError(
            f"A {height} x {width} grid with neighborhood={radius} makes no sense; sizes start at 1, radii at 0."
        )
    patches = torch.arange(height * width)
    rows, columns = patches // width, patches % width
    apart = torch.maximum((rows[:, None] - rows).abs(), (columns[:, None] - columns).abs())
    return apart <= radius


def spectral_clusters(
    affinity: torch.Tensor, n_clusters: int, *, valid: torch.Tensor | None = None, seed: int = 0
) -> torch.Tensor:
    """Cluster the nodes of many small graphs at once by normalized cuts (Alg. 3).

    Parameters
    ----------
    affinity : Tensor of shape (B, L, L), floats
        Weights between nodes; made symmetric by averaging, negative ones count as 0, the diagonal is ignored.
    n_clusters : int
        Clusters per graph, at least 1.
    valid : Tensor of shape (B, L), bool, optional
        False for padding. Default: every node is real.
    seed : int, default 0
        Of the k-means restarts; every graph of the batch gets the same random numbers.

    Returns
    -------
    Tensor of shape (B, L), int64
        Cluster of each node, -1 for padding. Clusters are numbered by their first node. There may be fewer than
        `n_clusters` of them; the numbers in use are then the lowest ones.

    Notes
    -----
    The embedding holds the `n_clusters` smoothest eigenvectors of the random walk on the graph, as in scikit-learn
    (Shi and Malik), followed by k-means++ with restarts. Eigenvectors are computed in float64.

    Where we differ: the paper names Ng, Jordan and Weiss, whose row normalization gave a 5 % worse cut in a trial. A
    graph in more pieces than clusters has no unique answer; a link a millionth as strong as the mean degree, stronger
    between nodes with closer numbers, settles which pieces belong together. Nodes without any edge share one place in
    the embedding instead of becoming a cluster each.

    References
    ----------
    Ng, Jordan, Weiss: On Spectral Clustering, NIPS 2001. Shi, Malik: Normalized Cuts and Image Segmentation, 2000.

    Examples
    --------
    >>> import torch
    >>> graph = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0.0]])
    >>> spectral_clusters(graph[None], 2).tolist()
    [[0, 0, 1, 1]]
    """
    if n_clusters < 1:
        raise InvalidParameterError(f"n_clusters={n_clusters!r} must be at least 1.")
    if valid is None:
        valid = torch.ones(affinity.shape[:2], dtype=torch.bool, device=affinity.device)
    if not _all_finite(affinity):
        raise InvalidParameterError(
            f"affinity is NaN or infinite at {_bad_images(torch.isfinite(affinity))} of the batch; "
            "leave these graphs out."
        )
    embedding = _spectral_embedding(affinity, valid, n_clusters)
    return kmeans(embedding, valid, n_clusters, seed=seed)


def semantic_patterns(
    patch_tokens: torch.Tensor,
    attention: torch.Tensor,
    patch_attention: torch.Tensor | None = None,
    *,
    grid: tuple[int, int],
    n_patterns: int = 5,
    attention_ratio: float = 0.5,
    neighborhood: int = 2,
    mode: Literal["spectral", "kmeans"] = "spectral",
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum up each image in a few vectors: means over clusters of its attended patches (Alg. 1).

    Parameters
    ----------
    patch_tokens : Tensor of shape (B, hw, d), floats
        Patch features, [CLS] left out.
    attention : Tensor of shape (B, hw), floats
        Attention from [CLS] to the patches, averaged over heads.
    patch_attention : Tensor of shape (B, hw, hw), floats, optional
        Attention from patch to patch, averaged over heads. Required by ``mode="spectral"``, not used by "kmeans".
    grid : (int, int)
        Height and width of the patch grid; their product is hw.
    n_patterns : int, default 5
        Patterns per image at most (K). Paper: 5 for detection, 10 for segmentation, 1 for classification.
    attention_ratio : float, default 0.5
        Share of the attention whose patches are kept (tau, Eq. 2).
    neighborhood : int, default 2
        Attention counts between patches at most this many rows and columns apart (d0, Eq. 3).
    mode : {"spectral", "kmeans"}, default "spectral"
        "spectral" clusters the attention graph (paper); "kmeans" the kept features (what the released code does).
    seed : int, default 0
        Of the k-means restarts.

    Returns
    -------
    patterns : Tensor of shape (m, d), float32
        On the device of `patch_tokens`; an image's patterns are ordered by their first patch. An image that keeps no
        more than `n_patterns` patches has each of them as a pattern; empty clusters are dropped; every image has at
        least one pattern.
    offsets : Tensor of shape (B + 1,), int64
        On the same device; image `i` owns ``patterns[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    InvalidParameterError
        If shapes do not fit `grid`, a parameter is out of range, or an image holds NaN or infinities (its place in the
        batch is named).

    Notes
    -----
    Patterns are means of the raw features (Eq. 4), not normalized. Where we differ from the released code: it has no
    spectral clustering, its k-means starts from unseeded random patches, may end before it converged, and turns an
    empty cluster into one random patch. Ours starts from seeded k-means++ (best of 10 restarts).

    References
    ----------
    Xie, Lu, Yan, Tomizuka, Zhan: Towards Free Data Selection with General-Purpose Models, NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> tokens = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [0.0, 5.0], [0.0, 7.0]]])
    >>> walk = torch.tensor([[[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]])
    >>> patterns, offsets = semantic_patterns(
    ...     tokens, torch.full((1, 4), 0.25), walk, grid=(2, 2), n_patterns=2, attention_ratio=1.0
    ... )
    >>> patterns.tolist(), offsets.tolist()
    ([[2.0, 0.0], [0.0, 6.0]], [0, 2])
    """
    _check_shapes(patch_tokens, attention, patch_attention, grid, n_patterns, mode)
    tokens = patch_tokens.float()
    if not _all_finite(tokens):
        raise InvalidParameterError(
            f"patch_tokens are NaN or infinite at {_bad_images(torch.isfinite(tokens))} of the batch; "
            "leave these images out."
        )
    kept = attention_filter(attention, attention_ratio)
    clusters = _cluster_patches(tokens, kept, patch_attention, grid, n_patterns, neighborhood, mode, seed)
    members = clusters[:, :, None] == torch.arange(n_patterns, device=clusters.device)
    sizes = members.sum(dim=1)
    means = torch.bmm(members.transpose(1, 2).float(), tokens) / sizes[:, :, None].clamp_min(1)
    offsets = torch.zeros(tokens.shape[0] + 1, dtype=torch.int64, device=tokens.device)
    torch.cumsum((sizes > 0).sum(dim=1), dim=0, out=offsets[1:])
    return means[sizes > 0], offsets


def _check_shapes(
    tokens: torch.Tensor,
    attention: torch.Tensor,
    patch_attention: torch.Tensor | None,
    grid: tuple[int, int],
    n_patterns: int,
    mode: str,
) -> None:
    patches = grid[0] * grid[1]
    if tokens.ndim != 3 or tokens.shape[1] != patches or attention.shape != tokens.shape[:2]:
        raise InvalidParameterError(
            f"patch_tokens {tuple(tokens.shape)} and attention {tuple(attention.shape)} must be (B, {patches}, d) and "
            f"(B, {patches}) for grid={grid}."
        )
    if mode not in ("spectral", "kmeans"):
        raise InvalidParameterError(f"mode={mode!r} must be 'spectral' or 'kmeans'.")
    if n_patterns < 1:
        raise InvalidParameterError(f"n_patterns={n_patterns!r} must be at least 1.")
    if mode == "spectral" and n_patterns > 1:
        found = None if patch_attention is None else tuple(patch_attention.shape)
        if found != (tokens.shape[0], patches, patches):
            raise InvalidParameterError(
                f"mode='spectral' needs patch_attention of shape {(tokens.shape[0], patches, patches)}, not {found}; "
                "pass it or use mode='kmeans'."
            )


def _cluster_patches(
    tokens: torch.Tensor,
    kept: torch.Tensor,
    patch_attention: torch.Tensor | None,
    grid: tuple[int, int],
    n_patterns: int,
    neighborhood: int,
    mode: str,
    seed: int,
) -> torch.Tensor:
    """Give each kept patch the number of its cluster, all others -1: shape (B, hw)."""
    if n_patterns == 1:
        return torch.where(kept, 0, -1)
    counts = kept.sum(dim=1)
    # Right for images that keep no more patches than patterns are wanted; the others are overwritten below.
    clusters = torch.where(kept, kept.cumsum(dim=1) - 1, -1)
    padded = (-(-counts // _PADDING) * _PADDING).clamp_max(kept.shape[1])
    near = neighborhood_mask(*grid, neighborhood).to(kept.device)
    for length in sorted(set(padded[counts > n_patterns].tolist())):
        images = torch.nonzero((padded == length) & (counts > n_patterns)).squeeze(1)
        # Stable, so kept patches come first and in the order of the grid.
        valid, patches = torch.sort(kept[images].to(torch.uint8), dim=1, descending=True, stable=True)
        valid, patches = valid[:, :length].bool(), patches[:, :length]
        if mode == "kmeans":
            found = kmeans(tokens[images[:, None], patches], valid, n_patterns, seed=seed)
        else:
            assert patch_attention is not None
            pairs = (patches[:, :, None], patches[:, None, :])
            graph = patch_attention[images[:, None, None], pairs[0], pairs[1]] * near[pairs]
            found = spectral_clusters(graph, n_patterns, valid=valid, seed=seed)
        clusters[images] = torch.full_like(clusters[images], -1).scatter(1, patches, found)
    return clusters


def _spectral_embedding(affinity: torch.Tensor, valid: torch.Tensor, dimensions: int) -> torch.Tensor:
    """Embed nodes by the smoothest eigenvectors of the random walk: shape (B, L, dimensions), float64."""
    length = affinity.shape[1]
    weights = affinity.double().clamp_min(0)
    weights = (weights + weights.transpose(1, 2)) / 2
    weights = (
        weights
        * (valid[:, :, None] & valid[:, None, :])
        * (1 - torch.eye(length, dtype=torch.float64, device=affinity.device))
    )
    degrees = weights.sum(dim=2)
    linked = degrees > 0
    # In a graph of several pieces the eigenvalue 1 repeats, and which basis of its space comes out depends on rounding.
    # The weak links make the eigenvalues differ by far more than float64 rounds and far less than the graph means.
    numbers = torch.arange(length, device=affinity.device, dtype=torch.float64)
    link = 1 / (1 + (numbers[:, None] - numbers).abs())
    link.fill_diagonal_(0)
    strength = _LINK * degrees.sum(dim=1) / linked.sum(dim=1).clamp_min(1)
    weights = weights + strength[:, None, None] * link * (linked[:, :, None] & linked[:, None, :])
    degrees = weights.sum(dim=2)
    scale = torch.where(linked, degrees.clamp_min(torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
    normalized = weights * scale[:, :, None] * scale[:, None, :]
    # Eigenvalues lie within [-1, 1]; padding and lone nodes get -2, out of reach of the largest ones.
    normalized = normalized - torch.diag_embed((~linked).double() * 2)
    vectors: torch.Tensor = torch.linalg.eigh(normalized).eigenvectors[:, :, -dimensions:]
    return vectors * scale[:, :, None]


def _all_finite(values: torch.Tensor) -> bool:
    # One NaN or infinity spoils the sum, and summing is many times faster than testing each value. A sum can overflow
    # all by itself, so only a good one is proof.
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def _bad_images(fine: torch.Tensor) -> str:
    """Name the images of a batch for which a condition (B, ...) does not hold everywhere."""
    bad = ~fine.reshape(fine.shape[0], -1).all(dim=1)
    return name_some(torch.nonzero(bad).flatten().tolist())
