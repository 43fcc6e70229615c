"""Batched k-means: many small point sets at once, where their tensors are."""

from __future__ import annotations

import torch

__all__ = ["kmeans"]

_RESTARTS = 10
# Lloyd steps of every restart, and then of the best one alone.
_STEPS_EACH, _STEPS_BEST = 8, 30


def kmeans(points: torch.Tensor, valid: torch.Tensor, n_clusters: int, *, seed: int) -> torch.Tensor:
    """Cluster many small point sets at once: k-means++ with restarts, then Lloyd. Labels (B, L), -1 for padding."""
    width = points.shape[2]
    real = valid.to(points.dtype)
    points = points - (points * real[:, :, None]).sum(dim=1, keepdim=True) / real.sum(dim=1)[:, None, None].clamp_min(1)
    points = points * real[:, :, None]
    squares = points.square().sum(dim=2)
    centers = _seed_centers(points, squares, real, n_clusters, seed)
    centers, inertia, _ = _lloyd(points, squares, real, centers, _STEPS_EACH)
    best = centers.gather(1, inertia.argmin(dim=1)[:, None, None, None].expand(-1, 1, n_clusters, width))
    _, _, labels = _lloyd(points, squares, real, best, _STEPS_BEST)
    return torch.where(valid, _number_by_first(labels[:, :, 0], valid, n_clusters), -1)


def _lloyd(
    points: torch.Tensor, squares: torch.Tensor, real: torch.Tensor, centers: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Move centers (B, R, k, d) to the means of their points; return them, the inertia (B, R) and labels (B, L, R)."""
    batch, restarts, n_clusters, width = centers.shape
    length = points.shape[1]
    for step in range(steps + 1):
        # |x|^2 is left out of the comparison: it is the same for every center.
        products = torch.bmm(points, centers.reshape(batch, -1, width).transpose(1, 2))
        products = products.view(batch, length, restarts, n_clusters)
        nearest, labels = (centers.square().sum(dim=3)[:, None] - 2 * products).min(dim=3)
        if step == steps:
            break
        members = torch.zeros_like(products).scatter_(3, labels[..., None], real[:, :, None, None].expand_as(products))
        sizes = members.sum(dim=1)[..., None]
        sums = torch.bmm(members.view(batch, length, -1).transpose(1, 2), points).view_as(centers)
        moved = torch.where(sizes > 0, sums / sizes.clamp_min(1), centers)
        # An image that has converged stays where it is, however long the others take.
        if torch.equal(moved, centers):
            break
        centers = moved
    inertia = ((nearest + squares[:, :, None]) * real[:, :, None]).sum(dim=1)
    return centers, inertia, labels


def _seed_centers(
    points: torch.Tensor, squares: torch.Tensor, real: torch.Tensor, n_clusters: int, seed: int
) -> torch.Tensor:
    """Draw k-means++ centers for every restart: shape (B, restarts, n_clusters, d)."""
    batch, length, _ = points.shape
    # Drawn on the CPU, so that every device sees the same numbers, and shared by all images of the batch. The mask
    # folds any integer, negative ones included, into what torch accepts.
    random = torch.Generator().manual_seed(seed & 0xFFFF_FFFF_FFFF)
    uniforms = torch.rand((n_clusters, _RESTARTS), generator=random, dtype=torch.float64).to(points.device)
    images = torch.arange(batch, device=points.device)[:, None]
    everywhere = real.double()[:, None].expand(batch, _RESTARTS, length)
    weights, chosen, nearest = everywhere, [], None
    for draws in uniforms:
        cumulative = weights.cumsum(dim=2)
        total = cumulative[:, :, -1:]
        target = draws[None, :, None] * total
        # The last node with a weight is the limit: rounding must not lead beyond it, into the padding.
        place = torch.minimum((cumulative <= target).sum(dim=2), (cumulative < total).sum(dim=2))
        center = points[images, place]
        chosen.append(center)
        apart = (
            squares[:, None] - 2 * torch.bmm(center, points.transpose(1, 2)) + center.square().sum(dim=2)[:, :, None]
        )
        apart = apart.clamp_min(0)
        nearest = apart if nearest is None else torch.minimum(nearest, apart)
        weights = nearest.double() * everywhere
        # Fewer distinct points than centers: any point will do, its cluster stays empty.
        weights = torch.where(weights.sum(dim=2, keepdim=True) > 0, weights, everywhere)
    return torch.stack(chosen, dim=2)


def _number_by_first(labels: torch.Tensor, valid: torch.Tensor, n_clusters: int) -> torch.Tensor:
    """Renumber clusters by their first node, so that the numbering does not depend on how they were found."""
    length = labels.shape[1]
    members = (labels[:, :, None] == torch.arange(n_clusters, device=labels.device)) & valid[:, :, None]
    places = torch.arange(length, device=labels.device)[None, :, None].expand_as(members)
    first = torch.where(members, places, length).amin(dim=1)
    rank = first.argsort(dim=1, stable=True).argsort(dim=1)
    return rank.gather(1, labels)
