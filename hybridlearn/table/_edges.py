"""Edges of bins along a column: where a piecewise linear function of it may bend."""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeRegressor


def quantile_edges(column: np.ndarray, *, n_bins: int) -> np.ndarray:
    """Edges of bins that hold as many values each; equal quantiles count once.

    Parameters
    ----------
    column : ndarray of shape (n_rows,)
        Without missing values.
    n_bins : int

    Returns
    -------
    ndarray of shape (at most n_bins + 1,), float64
        Increasing, from the least value to the largest; one value for a constant column.

    Examples
    --------
    >>> quantile_edges(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), n_bins=2)
    array([0., 2., 4.])
    """
    return np.unique(np.quantile(column, np.linspace(0, 1, n_bins + 1)))


def target_edges(
    column: np.ndarray, target: np.ndarray, *, n_bins: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Edges of bins where the target changes most: the splits of a decision tree on the column alone [1]_.

    Parameters
    ----------
    column : ndarray of shape (n_rows,)
        Without missing values.
    target : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Numbers; a column of zeros and ones for each class.
    n_bins : int
        At most; a leaf holds 64 rows or more, or a tenth of them if that is less.
    weight : ndarray of shape (n_rows,), optional
        Default: 1 each.

    Returns
    -------
    ndarray of shape (at most n_bins + 1,), float64
        Increasing, from the least value to the largest; one value for a constant column.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
       NeurIPS 2022 (the target-aware bins).

    Examples
    --------
    >>> column = np.arange(100.0)
    >>> target_edges(column, column > 70, n_bins=2)
    array([ 0. , 70.5, 99. ])
    """
    ends = np.array([column.min(), column.max()])
    if n_bins < 2:
        return np.unique(ends)
    tree = DecisionTreeRegressor(max_leaf_nodes=n_bins, min_samples_leaf=max(1, min(64, len(column) // 10)))
    tree = tree.set_params(random_state=0).fit(column[:, None], target, sample_weight=weight).tree_
    inner = tree.threshold[tree.children_left != tree.children_right]
    return np.unique([*ends, *inner])
