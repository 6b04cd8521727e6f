"""What our samplers share: they take tables as they are, and targets that are classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from imblearn.base import BaseSampler
from imblearn.utils import check_target_type

from hybridlearn.resampling._classes import check_has_classes
from hybridlearn.table import read_table


class BaseTableSampler(BaseSampler):
    """A sampler of mixed tables that tells which row each row is, or was begun from: ``sample_indices_``."""

    def fit_resample(self, X: Any, y: Any, **params: Any) -> Any:
        """Add rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            Numbers, booleans, datetimes and categories, missing values allowed.
        y : array-like of shape (n_rows,)
            Labels.

        Returns
        -------
        X_resampled : ndarray, list or DataFrame of shape (n_rows_out, n_columns)
            As `X`, its rows first.
        y_resampled : array-like of shape (n_rows_out,)

        Raises
        ------
        ValueError
            On a class of too few rows, a target of numbers, or parameters that do not fit the table.
        """
        check_has_classes(y, self)
        return super().fit_resample(X, y, **params)

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = None) -> tuple[Any, np.ndarray, bool]:  # noqa: N802
        y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
        table = read_table(self, X, reset=True)
        if len(table) != len(y):
            raise ValueError(f"X and y have inconsistent numbers of samples: {[len(table), len(y)]}")
        return table if isinstance(X, pd.DataFrame) else table.to_numpy(), y, is_one_vs_all

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.sampler_tags.sample_indices = True
        return tags
