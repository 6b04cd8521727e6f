"""Rows of a mixed table as points whose squared distance counts every column alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from hybridlearn.table import CATEGORICAL, DATETIME, Column, Schema, to_datetime, to_float

# Up to so many indicators they stand in a dense table, which is searched faster.
_DENSE_LEVELS = 400


class Space:
    """The rows of a table as points in a space where distances are Gower-like.

    A number, or a moment, counts in standard deviations of its column; another category, or a value on one side only,
    counts as one of these. A category that is missing is a level.

    Parameters
    ----------
    schema : Schema
        Of `X`.
    X : DataFrame of shape (n_rows, n_columns)
    """

    def __init__(self, schema: Schema, X: pd.DataFrame):
        numbers = [
            coordinate
            for i, column in enumerate(schema.columns)
            if column.kind != CATEGORICAL
            for coordinate in _standardised(as_numbers(column, X.iloc[:, i]))
        ]
        self._numbers = np.column_stack(numbers) if numbers else np.empty((len(X), 0), dtype=np.float32)
        self._codes = schema.category_codes(X)

    def points(self, rows: np.ndarray) -> Any:
        """Points of some rows, ndarray or csr matrix of shape (n_rows, n_dimensions), float32."""
        dense = self._numbers[rows]
        if dense.shape[1] + self._codes.shape[1] == 0:
            # of rows that nothing is known of, all are alike
            return np.zeros((len(rows), 1), dtype=np.float32)
        if not self._codes.shape[1]:
            return dense
        # two rows of different levels differ in two indicators
        levels = OneHotEncoder(dtype=np.float32).fit_transform(self._codes[rows]) * np.float32(np.sqrt(0.5))
        if levels.shape[1] <= _DENSE_LEVELS:
            return np.hstack([dense, levels.toarray()])
        return sparse.hstack([sparse.csr_matrix(dense), levels], format="csr")


def as_numbers(column: Column, values: pd.Series) -> np.ndarray:
    """A column that is not categorical as float64 with NaN; moments in seconds."""
    if column.kind != DATETIME:
        return to_float(values)
    moments = to_datetime(values).to_numpy(dtype="datetime64[ms]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1000)


def _standardised(numbers: np.ndarray) -> list[np.ndarray]:
    """The numbers in standard deviations, the mean where they are missing, and an indicator of that."""
    missing = np.isnan(numbers)
    if missing.all():
        return []
    present = numbers[~missing]
    with np.errstate(over="ignore"):
        scale = present.std() or np.inf
        steps = np.where(missing, 0.0, (numbers - present.mean()) / scale)
    coordinates = [steps, missing] if missing.any() else [steps]
    return [coordinate.astype(np.float32) for coordinate in coordinates]
