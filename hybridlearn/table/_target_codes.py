"""Levels as smoothed means of the target, which no training row knows its own target by."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import TargetEncoder

from hybridlearn._splits import Split, folds
from hybridlearn.table._training_rows import TrainingRows

_N_FOLDS = 5


def fit_target_codes(
    codes: np.ndarray, rows: TrainingRows, *, classification: bool, seed: int
) -> tuple[np.ndarray, TargetEncoder]:
    """Learn cross-fitted target codes: Micci-Barreca's smoothed means, by scikit-learn's `TargetEncoder`.

    Codes of training rows come from the other folds' targets, those of new rows from all. Weights do not enter the
    codes: scikit-learn's encoder takes none. Where rows have a time, codes of training rows come from strictly earlier
    rows only, and are missing for the first block of them. A missing level is a level of its own.

    Parameters
    ----------
    codes : ndarray of int of shape (n_rows, n_columns)
        At least one column; see :meth:`Schema.category_codes`.
    rows : TrainingRows
    classification : bool
    seed : int
        Of the folds.

    Returns
    -------
    coded : ndarray of shape (n_rows, n_encoded), float64
        Of the training rows: one a column, in multiclass one a class.
    encoder : TargetEncoder
        For :func:`target_codes` of new rows.
    """
    splits = _code_folds(rows, classification, seed)
    tested = np.concatenate([np.empty(0, dtype=np.int64), *(test for _, test in splits)])
    without_past = np.setdiff1d(np.arange(len(rows)), tested)
    if rows.time is None:
        cv: Any = _one_at_a_time(splits, len(rows))
        del splits
    else:
        # scikit-learn wants each row tested once: these test themselves, and then lose their codes
        cv = [(without_past, without_past), *splits] if len(without_past) else splits
    encoder = TargetEncoder(target_type=_target_type(rows, classification), cv=cv)
    with config_context(enable_metadata_routing=False):
        # with routing on, it asks for groups even where it is given the folds themselves
        coded = encoder.fit_transform(codes, rows.target)
    coded[without_past] = np.nan
    # it would keep the folds, which are as long as the table
    return coded, encoder.set_params(cv=_N_FOLDS)


def target_codes(encoder: TargetEncoder, codes: np.ndarray) -> np.ndarray:
    """Codes of new rows, shape (n_rows, n_encoded), float64.

    A level that was not seen has the mean of all targets, as a training row has whose level no other fold holds.
    """
    return encoder.transform(codes)


def _one_at_a_time(splits: list[Split], n_rows: int) -> PredefinedSplit:
    """The same folds without their training parts, which would be several times as large as the column."""
    fold = np.empty(n_rows, dtype=np.int64)
    for k, (_, test) in enumerate(splits):
        fold[test] = k
    return PredefinedSplit(fold)


def _code_folds(rows: TrainingRows, classification: bool, seed: int) -> list[Split]:
    """Folds of the target codes: fewer where there are few rows, groups or times, none where there is one time."""
    by = rows.groups if rows.time is None else rows.time
    n_splits = min(_N_FOLDS, len(rows if by is None else np.unique(by)) - (rows.time is not None))
    if n_splits == 0:
        return []
    codes = rows.target if classification else None
    if rows.parents is not None and by is None:
        # copies of a row, and what was made of it, share its fold
        _, first, family = np.unique(rows.parents[:, 0], return_index=True, return_inverse=True)
        some = folds(None if codes is None else codes[first], None, n_rows=len(first), n_splits=n_splits, seed=seed)
        sides = [np.isin(family, test) for _, test in some]
        return [(np.flatnonzero(~side), np.flatnonzero(side)) for side in sides]
    return folds(codes, rows.groups, n_rows=len(rows), n_splits=n_splits, seed=seed, time=rows.time)


def _target_type(rows: TrainingRows, classification: bool) -> str:
    if not classification:
        return "continuous"
    # by the classes that these rows hold: a side of a split may have lost some
    return "binary" if len(np.unique(rows.target)) < 3 else "multiclass"
