"""What a fitted booster shows of itself: encoded columns, trees, leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.utils.validation import check_is_fitted

from hybridlearn.table import NUMERIC, read_table
from hybridlearn.trees._encoding import TreeEncoder
from hybridlearn.trees._forest import Forest


class BoosterViews:
    """Of an estimator that keeps ``encoder_`` and ``booster_``."""

    encoder_: TreeEncoder
    booster_: xgb.Booster

    @property
    def _n_threads(self) -> int:
        raise NotImplementedError

    def encoded(self, X: Any) -> np.ndarray:
        """The columns that the trees split.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_encoded), float64
        """
        check_is_fitted(self)
        return self.encoder_.transform(read_table(self, X, reset=False))

    def plain_columns(self) -> np.ndarray:
        """The columns of the table that the trees split as they are.

        Returns
        -------
        ndarray of shape (n_encoded,), int
            Position of the column of numbers that each encoded column is; -1 of one that is made of a column.
        """
        check_is_fitted(self)
        n_encoded = self.booster_.num_features()
        schema, columns = self.encoder_.schema, self.encoder_.column_of(n_encoded)
        plain = [c.kind == NUMERIC and c.n_missing < schema.n_rows for c in schema.columns]
        return np.where(np.array(plain, dtype=bool)[columns], columns, -1)

    def forest(self) -> Forest:
        """The trees.

        Returns
        -------
        Forest
            Whose leaves sum to the margin, up to a constant.
        """
        check_is_fitted(self)
        return Forest.of(self.booster_)

    def embed(self, X: Any) -> np.ndarray:
        """The leaf that each row falls into, tree by tree: codes, that is names of regions of the table.

        Those of two fits have nothing in common: do not average or compare them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_trees), int64
            With more than two classes a round has a tree for each.
        """
        encoded = self.encoded(X)
        types = self.encoder_.feature_types(encoded.shape[1])
        table = xgb.DMatrix(encoded, feature_types=types, enable_categorical=True, nthread=self._n_threads)
        return (
            self.booster_.predict(table, pred_leaf=True, strict_shape=True).reshape(len(encoded), -1).astype(np.int64)
        )
