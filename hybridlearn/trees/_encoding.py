"""Mixed columns as numbers that a booster splits without native categories."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.preprocessing import TargetEncoder

from hybridlearn._splits import Split, folds
from hybridlearn.table import UNSEEN, Schema, TrainingRows

_N_FOLDS = 5


class TreeEncoder:
    """Numbers as they are; few levels one-hot; many levels as cross-fitted target codes; unseen levels missing.

    A missing level of a one-hot column is missing in each of its columns; of a target-coded one it is a level of
    its own. Codes of training rows come from the other folds' targets (Micci-Barreca's smoothed means, by
    scikit-learn's `TargetEncoder`); those of new rows from all. Weights do not enter the codes:
    scikit-learn's encoder takes none. Where rows have a time, codes of training rows come from strictly earlier rows
    only, and are missing for the first block of them.

    Parameters
    ----------
    max_onehot_levels : int
        Columns of up to so many levels become one-hot.
    native : bool
        Give categories as integer codes for the booster's own categorical splits instead.

    Attributes
    ----------
    schema : Schema
        Of the training rows. The encoded columns are its numeric block, then the one-hot (or native) categories,
        then the target codes: one a column, in multiclass one a class.
    """

    def __init__(self, *, max_onehot_levels: int, native: bool):
        self.max_onehot_levels = max_onehot_levels
        self.native = native

    def fit_transform(self, rows: TrainingRows, *, classification: bool, seed: int) -> np.ndarray:
        """Learn levels and target codes; encode the training rows by codes of the folds that they are not in.

        Returns
        -------
        ndarray of shape (n_rows, n_encoded), float64
        """
        self._target_encoder: TargetEncoder | None = None
        self._learn_levels(rows.X)
        codes = self.schema.category_codes(rows.X)
        coded = codes[:, self._coded]
        if len(self._coded):
            splits = _code_folds(rows, classification, seed)
            tested = np.concatenate([np.empty(0, dtype=np.int64), *(test for _, test in splits)])
            without_past = np.setdiff1d(np.arange(len(rows)), tested)
            if len(without_past):
                # scikit-learn wants each row tested once: these test themselves, and then lose their codes
                splits = [(without_past, without_past), *splits]
            self._target_encoder = TargetEncoder(target_type=_target_type(rows, classification), cv=splits)
            with config_context(enable_metadata_routing=False):
                # with routing on, it asks for groups even where it is given the folds themselves
                coded = self._target_encoder.fit_transform(coded, rows.target)
            coded[without_past] = np.nan
        return self._assemble(rows.X, codes, coded)

    def _learn_levels(self, X: pd.DataFrame) -> None:
        self.schema = Schema.from_data(X)
        n_levels = np.array([len(c.levels) for c in self.schema.categorical], dtype=np.int64)
        coded = (n_levels > self.max_onehot_levels) & (not self.native)
        self._coded = np.flatnonzero(coded)
        self._onehot = np.flatnonzero(~coded)

    def transform(self, X: pd.DataFrame, *, warn: bool = True) -> np.ndarray:
        """Encode new rows, shape (n_rows, n_encoded), float64; with `warn`, unseen levels give one warning."""
        codes = self.schema.category_codes(X, warn=warn)
        coded = codes[:, self._coded]
        if self._target_encoder is not None:
            unseen = coded == UNSEEN
            coded = self._target_encoder.transform(coded)
            n_repeats = coded.shape[1] // unseen.shape[1]
            coded[np.repeat(unseen, n_repeats, axis=1)] = np.nan
        return self._assemble(X, codes, coded)

    def _assemble(self, X: pd.DataFrame, codes: np.ndarray, coded: np.ndarray) -> np.ndarray:
        numbers = self.schema.numeric_block(X)
        onehot = [self._indicators(int(j), codes[:, j]) for j in self._onehot]
        return np.column_stack([numbers, *onehot, coded])

    def _indicators(self, j: int, codes: np.ndarray) -> np.ndarray:
        """Columns of one category, NaN where missing or unseen; one column is enough for two levels."""
        values = np.where(codes < 0, np.nan, codes)
        if self.native:
            return values
        n_levels = len(self.schema.categorical[j].levels)
        levels = np.arange(n_levels) if n_levels > 2 else np.array([max(n_levels - 1, 0)])
        return np.where(codes[:, None] < 0, np.nan, codes[:, None] == levels)

    def feature_types(self, n_encoded: int) -> list[str]:
        """XGBoost's ``"c"`` for native categories, ``"q"`` for all other encoded columns."""
        n_numbers = len(self.schema.numeric_names)
        n_native = len(self._onehot) if self.native else 0
        return ["q"] * n_numbers + ["c"] * n_native + ["q"] * (n_encoded - n_numbers - n_native)


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
