"""Splits of rows that follow classes and groups: those of a fit's own early stopping and those of cross-fitting."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

Split = tuple[np.ndarray, np.ndarray]


def inner_split(
    codes: np.ndarray | None, groups: np.ndarray | None, *, n_rows: int, fraction: float, seed: int
) -> Split:
    """Split the rows of one fit into those that train and those that stop the training.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,) or None
        Classes to stratify by; None in regression.
    groups : ndarray of shape (n_rows,) or None
        Rows of a group stay on one side.
    n_rows : int
    fraction : float
        Share of the rows (with `groups`: of the groups) that stop.
    seed : int

    Returns
    -------
    train, valid : ndarray of int
        Sorted row positions. Without `groups` each class keeps a row in `train`.

    Raises
    ------
    ValueError
        When there are too few rows or groups for two sides.
    """
    if groups is not None:
        return _group_split(codes, groups, fraction, seed)
    if n_rows < 2:
        raise ValueError(f"early stopping needs 2 rows, got n_samples={n_rows}; set early_stopping=False")
    rows = np.arange(n_rows)
    n_valid = min(max(1, round(fraction * n_rows)), n_rows - 1)
    splitter, splittable, strata = ShuffleSplit, rows, None
    if codes is not None:
        counts = np.bincount(codes)
        # a class of one row cannot be on both sides: it trains
        splittable, strata = rows[counts[codes] > 1], codes[counts[codes] > 1]
        n_classes = len(np.unique(strata))
        n_valid = min(n_valid, len(splittable) - 1)
        if n_classes <= n_valid <= len(splittable) - n_classes:
            splitter = StratifiedShuffleSplit
    if n_valid < 1:
        raise ValueError("early stopping needs a class of two rows; set early_stopping=False")
    split = splitter(1, test_size=n_valid, random_state=seed).split(splittable, strata)
    valid = np.sort(splittable[next(split)[1]])
    if codes is not None:
        _, first_of_class = np.unique(codes[valid], return_index=True)
        lost = ~np.isin(codes[valid[first_of_class]], np.delete(codes, valid))
        valid = np.delete(valid, first_of_class[lost])
    return np.setdiff1d(rows, valid), valid


def _group_split(codes: np.ndarray | None, groups: np.ndarray, fraction: float, seed: int) -> Split:
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            "groups cannot be split for early stopping: all rows are of one group; set early_stopping=False"
        )
    n_splits = min(round(1 / fraction), n_groups)
    if codes is None or n_splits < 2 or np.bincount(codes).max() < n_splits:
        n_valid = min(max(1, round(fraction * n_groups)), n_groups - 1)
        splitter = GroupShuffleSplit(1, test_size=n_valid, random_state=seed)
    else:
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    with _no_word_on_rare_classes():
        train, valid = next(splitter.split(groups, codes, groups))
    return np.sort(train), np.sort(valid)


def folds(codes: np.ndarray | None, groups: np.ndarray | None, *, n_rows: int, n_splits: int, seed: int) -> list[Split]:
    """Shuffled K-fold partition of rows.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,) or None
        Classes to stratify by; None in regression.
    groups : ndarray of shape (n_rows,) or None
        Rows of a group share a fold.
    n_rows : int
    n_splits : int
        Reduced to the rows of the largest class where that is smaller.
    seed : int

    Returns
    -------
    list of (train, test)
        Row positions; each row is in one test part.

    Raises
    ------
    ValueError
        When there are fewer rows or groups than splits.
    """
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < max(n_splits, 2):
            raise ValueError(
                f"groups cannot be split: {n_groups} distinct for cv={n_splits} folds; lower cv, or give finer groups"
            )
    if n_splits < 2:
        raise ValueError(f"cv={n_splits} must be at least 2 folds")
    if n_rows < n_splits:
        raise ValueError(f"cv={n_splits} folds need as many rows, got n_samples = {n_rows}; lower cv")
    if codes is not None:
        n_splits = max(2, min(n_splits, int(np.bincount(codes).max())))
    if groups is None:
        kind = KFold if codes is None else StratifiedKFold
    else:
        kind = GroupKFold if codes is None else StratifiedGroupKFold
    with _no_word_on_rare_classes():
        splitter = kind(n_splits, shuffle=True, random_state=seed)
        return list(splitter.split(np.empty(n_rows), codes, groups))


@contextmanager
def _no_word_on_rare_classes() -> Iterator[None]:
    """Who asks for a split says what there is to say of rare classes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield
