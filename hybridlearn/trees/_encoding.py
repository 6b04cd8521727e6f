"""Mixed columns as numbers that a booster splits without native categories."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridlearn.table import Schema, TrainingRows, fit_target_codes, target_codes


class TreeEncoder:
    """Numbers as they are; few levels one-hot; many levels as cross-fitted target codes.

    A missing or unseen level of a one-hot column is missing in each of its columns; of a target-coded one, a missing
    level is a level of its own, and an unseen one is average: see :func:`hybridlearn.table.fit_target_codes`.

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
        self._learn_levels(rows.X)
        codes = self.schema.category_codes(rows.X)
        coded = codes[:, self._coded]
        self._target_encoder = None
        if len(self._coded):
            coded, self._target_encoder = fit_target_codes(coded, rows, classification=classification, seed=seed)
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
            coded = target_codes(self._target_encoder, coded)
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
        return np.where(codes[:, None] < 0, np.nan, codes[:, None] == self._shown(j))

    def _shown(self, j: int) -> np.ndarray:
        """Codes of the levels of a category that have an indicator."""
        n_levels = len(self.schema.categorical[j].levels)
        return np.arange(n_levels) if n_levels > 2 else np.array([max(n_levels - 1, 0)])

    def column_of(self, n_encoded: int) -> np.ndarray:
        """Position of the column of the table that each encoded column is made of, shape (n_encoded,), int."""
        numbers, categorical = self.schema.numeric_places, self.schema.categorical_places
        indicators = [1 if self.native else len(self._shown(int(j))) for j in self._onehot]
        onehot = np.repeat(categorical[self._onehot], indicators)
        n_coded = n_encoded - len(numbers) - len(onehot)
        codes = np.repeat(categorical[self._coded], n_coded // max(len(self._coded), 1))
        return np.concatenate([numbers, onehot, codes])

    def feature_types(self, n_encoded: int) -> list[str]:
        """XGBoost's ``"c"`` for native categories, ``"q"`` for all other encoded columns."""
        n_numbers = len(self.schema.numeric_names)
        n_native = len(self._onehot) if self.native else 0
        return ["q"] * n_numbers + ["c"] * n_native + ["q"] * (n_encoded - n_numbers - n_native)
