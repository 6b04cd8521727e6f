"""Splits of rows that follow classes, groups or time: of a fit's own early stopping and of cross-fitting."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
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
    codes: np.ndarray | None,
    groups: np.ndarray | None,
    *,
    n_rows: int,
    fraction: float,
    seed: int,
    time: np.ndarray | None = None,
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
    time : ndarray of shape (n_rows,) or None
        The latest rows stop, all that are strictly earlier train: neither `codes` nor `seed` changes that.

    Returns
    -------
    train, valid : ndarray of int
        Sorted row positions. Without `groups` and `time` each class keeps a row in `train`.

    Raises
    ------
    ValueError
        When there are too few rows, groups or times for two sides.
    """
    if time is not None:
        return _time_split(time, fraction)
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


def _time_split(time: np.ndarray, fraction: float) -> Split:
    if len(np.unique(time)) < 2:
        raise ValueError("time cannot be split for early stopping: all rows are of one time; set early_stopping=False")
    stops = _blocks(time, [1 - fraction]) > 0
    return np.flatnonzero(~stops), np.flatnonzero(stops)


def folds(
    codes: np.ndarray | None,
    groups: np.ndarray | None,
    *,
    n_rows: int,
    n_splits: int,
    seed: int,
    time: np.ndarray | None = None,
    parameter: str = "cv",
) -> list[Split]:
    """Shuffled K-fold partition of rows; with `time`, forward chaining.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,) or None
        Classes to stratify by; None in regression.
    groups : ndarray of shape (n_rows,) or None
        Rows of a group share a fold.
    n_rows : int
    n_splits : int
        Reduced to the rows of the largest class where that is smaller, but not with `time`.
    seed : int
    time : ndarray of shape (n_rows,) or None
        The rows in its order are cut into ``n_splits + 1`` blocks as equal as its ties let them be; each fold tests
        a block and trains on all before it. Neither `codes` nor `seed` changes that.
    parameter : str, default="cv"
        The user's name for `n_splits`, in messages.

    Returns
    -------
    list of (train, test)
        Row positions; each row is in one test part, but with `time` the rows of the first block are in none.

    Raises
    ------
    ValueError
        When there are fewer rows or groups than splits, or too few times.
    """
    if time is not None:
        return _forward_folds(time, n_splits, parameter)
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < max(n_splits, 2):
            raise ValueError(
                f"groups cannot be split: {n_groups} distinct for {parameter}={n_splits} folds; lower {parameter}, or "
                "give finer groups"
            )
    if n_splits < 2:
        raise ValueError(f"{parameter}={n_splits} must be at least 2 folds")
    if n_rows < n_splits:
        raise ValueError(f"{parameter}={n_splits} folds need as many rows, got n_samples = {n_rows}; lower {parameter}")
    if codes is not None:
        n_splits = max(2, min(n_splits, int(np.bincount(codes).max())))
    if groups is None:
        kind = KFold if codes is None else StratifiedKFold
    else:
        kind = GroupKFold if codes is None else StratifiedGroupKFold
    with _no_word_on_rare_classes():
        splitter = kind(n_splits, shuffle=True, random_state=seed)
        return list(splitter.split(np.empty(n_rows), codes, groups))


def _forward_folds(time: np.ndarray, n_splits: int, parameter: str) -> list[Split]:
    n_times = len(np.unique(time))
    if n_splits < 1:
        raise ValueError(f"{parameter}={n_splits} must be at least 1 fold")
    if n_times <= n_splits:
        raise ValueError(
            f"time cannot be split: {n_times} distinct for the {n_splits + 1} blocks of {parameter}={n_splits} folds; "
            f"lower {parameter}, or give finer times"
        )
    blocks = _blocks(time, np.arange(1, n_splits + 1) / (n_splits + 1))
    return [(np.flatnonzero(blocks <= i), np.flatnonzero(blocks == i + 1)) for i in range(n_splits)]


def _blocks(time: np.ndarray, shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """In which block each row is: they follow each other in time, cut where about `shares` of the rows lie before.

    Rows of one time share a block, and each block has a time: there must be more of them than `shares`.
    """
    _, place, counts = np.unique(time, return_inverse=True, return_counts=True)
    before, steps = counts.cumsum() / len(time), np.arange(len(shares))
    # the last time of each block but the last; pushed on where two would share one, back where none would be left
    lasts = np.abs(before[:, None] - shares).argmin(axis=0)
    lasts = np.maximum.accumulate(lasts - steps) + steps
    lasts = np.minimum(lasts, len(counts) - 1 - len(steps) + steps)
    return np.searchsorted(lasts, place)


@contextmanager
def _no_word_on_rare_classes() -> Iterator[None]:
    """Who asks for a split says what there is to say of rare classes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield
