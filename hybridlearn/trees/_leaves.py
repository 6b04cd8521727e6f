"""How low and how high the sum of a forest's trees may be when rows move: the leaves that they can reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridlearn.trees._forest import Forest

_CELLS_AT_ONCE = 2_000_000


def reachable_sums(
    forest: Forest, encoded: np.ndarray, others: Sequence[np.ndarray], n_outputs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and largest sum of leaves, tree by tree: sound, for each node of each tree is left as any table leaves it.

    Where the tables are the lower and the upper ends of intervals, and a level each, a tree's least leaf is exact for
    intervals; the sum over trees is a lower bound, for trees may disagree on the row that is worst (the basic bound of
    [1]_). Values are compared in float32, as the booster does.

    Parameters
    ----------
    forest : Forest
    encoded : ndarray of shape (n_rows, n_encoded)
        Rows as they are.
    others : sequence of ndarray of shape (n_rows, n_encoded)
        What they may become; none is the rows alone.
    n_outputs : int

    Returns
    -------
    least, largest : ndarray of shape (n_rows, n_outputs), float64
    rounding : ndarray of shape (n_rows, n_outputs), float64
        How far the booster's own sum, in float32, may be from that of its leaves.

    References
    ----------
    .. [1] Chen, Zhang, Si, Li, Boning and Hsieh, "Robustness Verification of Tree-based Models", NeurIPS 2019.
    """
    levels = _levels(forest)
    found = np.zeros((3, len(encoded), n_outputs))
    step = max(1, _CELLS_AT_ONCE // max(len(forest.left), 1))
    for start in range(0, len(encoded), step):
        rows = slice(start, start + step)
        found[:, rows] = _sums(forest, levels, [table[rows] for table in (encoded, *others)], n_outputs)
    return found[0], found[1], found[2]


def _levels(forest: Forest) -> list[np.ndarray]:
    """Inner nodes by their depth, roots first."""
    levels = [np.flatnonzero(forest.parent < 0)]
    while len(levels[-1]):
        inner = levels[-1][forest.left[levels[-1]] >= 0]
        levels[-1] = inner
        levels.append(np.concatenate([forest.left[inner], forest.right[inner]]))
    return levels[:-1]


def _sums(forest: Forest, levels: list[np.ndarray], tables: list[np.ndarray], n_outputs: int) -> np.ndarray:
    low = np.repeat(forest.threshold.astype(np.float64)[:, None], len(tables[0]), axis=1)
    high = low.copy()
    for nodes in reversed(levels):
        left = np.stack([forest.goes_left(table, nodes).T for table in tables])
        some_left, some_right = left.any(axis=0), ~left.all(axis=0)
        one, other = forest.left[nodes], forest.right[nodes]
        low[nodes] = np.minimum(np.where(some_left, low[one], np.inf), np.where(some_right, low[other], np.inf))
        high[nodes] = np.maximum(np.where(some_left, high[one], -np.inf), np.where(some_right, high[other], -np.inf))
    roots = np.flatnonzero(forest.parent < 0)
    owner = np.eye(n_outputs)[forest.output[roots]]
    size = np.maximum(np.abs(low[roots]), np.abs(high[roots])).T @ owner
    # of a sum of n numbers, one after the other: at most n - 1 roundings of the sum of their sizes
    rounding = size * owner.sum(axis=0) * np.finfo(np.float32).eps / 2
    return np.stack([low[roots].T @ owner, high[roots].T @ owner, rounding])
