"""What labels tell a linear classifier about its weights: Fisher information, and its inverse as rows come and go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolselect.pool import Pool
from poolselect.standardized import Standardized

# The whole matrix up to this many weights on a side, and all numbers of one block per class: 0.3 GB in float64.
_LARGEST_WHOLE, _LARGEST_BLOCKS = 4096, 2**25
_ROWS = 2048

Floats = NDArray[np.floating[Any]]


class Factors:
    """The information that each row of a pool would bring, as a product of two small factors.

    A label of row x adds ``(diag(p) - p p^T) (x) z z^T`` to the information about the c d weights of the last layer, or
    ``diag(p (1 - p)) (x) z z^T`` if labels are independent. Both are V V^T per *group* of weights, V = root (x) z:

    * **whole**: one group, k = c - 1; the direction that all classes share is left out, since a softmax ignores it;
    * **blocks**: one group per class, k = 1. That is exact for independent labels. For a softmax it leaves out what
      classes have to do with each other, and is taken where (c - 1) d exceeds 4,096.

    Parameters
    ----------
    pool : Pool
        With probabilities.
    rows : ndarray of shape (r,), int64
        On which principal components are fitted, where z is too long: then z is what of it lies along the largest.

    Attributes
    ----------
    groups, breadth, length : int
        g, k, and the length of z.
    """

    def __init__(self, pool: Pool, probabilities: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        self._probabilities = probabilities
        self._vectors = Standardized(pool.embeddings)
        classes, length = probabilities.shape[1], pool.embeddings.shape[1]
        self.whole = not pool.multilabel and (classes - 1) * length <= _LARGEST_WHOLE
        self.groups = 1 if self.whole else classes
        self.breadth = classes - 1 if self.whole else 1
        # Orthonormal directions that are orthogonal to the one shared by all classes.
        self._contrasts = np.linalg.qr(np.eye(classes) - 1.0 / classes)[0][:, : classes - 1]
        self.length = length if self.whole else min(length, max(1, math.isqrt(_LARGEST_BLOCKS // classes)))
        self._directions: Floats | None = None
        if self.length < length:
            z = self._vectors.of(rows).astype(np.float64)
            self._directions = np.linalg.eigh(z.T @ z)[1][:, -self.length :]

    def of(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return z (r, d) and the roots (g, r, k, k) of some rows."""
        z = self._vectors.of(rows).astype(np.float64)
        if self._directions is not None:
            z = z @ self._directions
        p = self._probabilities[rows].astype(np.float64)
        if not self.whole:
            return z, np.sqrt(np.clip(p * (1.0 - p), 0.0, None)).T[:, :, None, None]
        # Q^T (diag(p) - p p^T) Q and its symmetric square root.
        seen = p @ self._contrasts
        spread = np.einsum("rc,ca,cb->rab", p, self._contrasts, self._contrasts, optimize=True)
        spread -= seen[:, :, None] * seen[:, None]
        values, vectors = np.linalg.eigh(spread)
        roots = (vectors * np.sqrt(np.clip(values, 0.0, None))[:, None]) @ vectors.transpose(0, 2, 1)
        return z, roots[None]

    def information(self, rows: NDArray[np.int64]) -> Floats:
        """Return the sum over some rows of the information that they would bring, shape (g, k d, k d)."""
        g, k, d = self.groups, self.breadth, self.length
        total = np.zeros((g, k, d, k, d))
        for start in range(0, rows.size, _ROWS):
            z, roots = self.of(rows[start : start + _ROWS])
            weights = roots @ roots.transpose(0, 1, 3, 2)
            for group in range(g):
                for a in range(k):
                    for b in range(a, k):
                        total[group, a, :, b] += (z * weights[group, :, a, b, None]).T @ z
        for a in range(k):
            for b in range(a):
                total[:, a, :, b] = total[:, b, :, a]
        return total.reshape(g, k * d, k * d)


class Variance:
    """How much a model's answers could vary, tr(M^-1 F), while rows join and leave M.

    Parameters
    ----------
    information : ndarray of shape (g, D, D), float64
        M, positive definite.
    target : ndarray of shape (g, D, D), float64
        F, of everything that the model is to answer.

    Attributes
    ----------
    total : float
        tr(M^-1 F) at the start.

    Notes
    -----
    A row that joins (sign 1) or leaves (sign -1) changes M by sign V V^T, so with A = V^T M^-1 V, B = V^T M^-1 F M^-1 V
    and C = A + sign I (Woodbury)

        tr(M'^-1 F) = tr(M^-1 F) - tr(C^-1 B)

    and A and B of every other row follow from k columns. Only those columns are written down until `watch` starts over,
    which puts them into the large matrices all at once.
    """

    def __init__(self, information: Floats, target: Floats) -> None:
        self._inverse = np.linalg.inv(information)
        half = self._inverse @ target
        self.total = float(np.trace(half, axis1=1, axis2=2).sum())
        self._spread = half @ self._inverse
        self._changes: list[tuple[Floats, Floats, Floats]] = []

    def watch(self, z: Floats, roots: Floats) -> None:
        """Look at other rows from now on: z (m, d) and roots (g, m, k, k)."""
        if self._changes:
            w, y, e = (np.concatenate(parts, axis=2) for parts in zip(*self._changes, strict=True))
            self._changes = []
            self._inverse -= w @ y.transpose(0, 2, 1)
            both = y @ e.transpose(0, 2, 1)
            self._spread -= both
            self._spread -= both.transpose(0, 2, 1)
        self._z, self._roots = z, roots
        self._a, self._b = self._squares(self._inverse), self._squares(self._spread)

    def keep(self, places: NDArray[np.int64]) -> None:
        """Look at some of the rows only, as places among those before."""
        self._z, self._roots = self._z[places], self._roots[:, places]
        self._a, self._b = self._a[:, places], self._b[:, places]

    def gains(self, sign: int) -> Floats:
        """Return what tr(M^-1 F) would fall by if each row joined (1) or left (-1; never above 0), shape (m,)."""
        changed = _inverted(self._a + float(sign) * np.eye(self._a.shape[-1]))
        gains: Floats = np.einsum("gmab,gmba->m", changed, self._b)
        return gains

    def change(self, place: int, sign: int) -> None:
        """Let a row join (1) or leave (-1)."""
        z, root, k = np.asarray(self._z[place]), self._roots[:, place], self._roots.shape[-1]
        v = np.einsum("gab,d->gadb", root, z).reshape(root.shape[0], -1, k)
        w, h = self._contracted(self._inverse, z, root), self._contracted(self._spread, z, root)
        if self._changes:
            for old_w, old_y, old_e in self._changes:
                along_y, along_e = old_y.transpose(0, 2, 1) @ v, old_e.transpose(0, 2, 1) @ v
                w -= old_w @ along_y
                h -= old_y @ along_e + old_e @ along_y
        y = w @ _inverted(self._a[:, place] + sign * np.eye(k))
        e = h - 0.5 * y @ self._b[:, place]
        self._changes.append((w, y, e))
        by_w, by_y, by_e = (self._along(columns) for columns in (w, y, e))
        self._a -= by_w @ by_y.transpose(0, 1, 3, 2)
        both = by_y @ by_e.transpose(0, 1, 3, 2)
        self._b -= both
        self._b -= both.transpose(0, 1, 3, 2)

    def _contracted(self, matrix: Floats, z: Floats, root: Floats) -> Floats:
        """Return matrix V of one row, shape (g, D, k)."""
        g, k, d = root.shape[0], root.shape[-1], z.size
        found: Floats = (matrix.reshape(-1, d) @ z).reshape(g, k * d, k) @ root
        return found

    def _along(self, columns: Floats) -> Floats:
        """Return V^T columns of every row watched, shape (g, m, k, k)."""
        g, k, d = columns.shape[0], columns.shape[2], self._z.shape[1]
        wide = columns.reshape(g, k, d, k).transpose(0, 2, 1, 3).reshape(g, d, k * k)
        found: Floats = self._roots.transpose(0, 1, 3, 2) @ (self._z @ wide).reshape(g, -1, k, k)
        return found

    def _squares(self, matrix: Floats) -> Floats:
        """Return V^T matrix V of every row watched, for a symmetric matrix; shape (g, m, k, k)."""
        (g, m, k), d = self._roots.shape[:3], self._z.shape[1]
        blocks, found = matrix.reshape(g, k, d, k, d), np.empty((g, m, k, k))
        for group in range(g):
            for a in range(k):
                for b in range(a, k):
                    found[group, :, a, b] = np.einsum("md,md->m", self._z @ blocks[group, a, :, b], self._z)
                    found[group, :, b, a] = found[group, :, a, b]
        return self._roots.transpose(0, 1, 3, 2) @ found @ self._roots


def _inverted(matrices: Floats) -> Floats:
    inverted: Floats = 1.0 / matrices if matrices.shape[-1] == 1 else np.linalg.inv(matrices)
    return inverted
