"""The rows that a fit may use: validated together, those of weight zero dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn._splits import inner_split
from hybridlearn._target import plain_target, read_groups, read_weights
from hybridlearn.table._frame import read_table, take_rows


@dataclass(frozen=True)
class TrainingRows:
    """Rows of positive weight.

    Attributes
    ----------
    X : DataFrame, or whatever the reader gave
    target : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Class codes, or numbers; several outputs where the estimator takes them.
    weight : ndarray of shape (n_rows,), float64
    groups : ndarray of shape (n_rows,) or None
    positions : ndarray of shape (n_rows,), int
        Of these rows in what was handed to ``fit``.
    n_handed : int
        Rows that were handed to ``fit``.
    """

    X: Any
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None
    positions: np.ndarray
    n_handed: int

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: np.ndarray) -> TrainingRows:
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        X = take_rows(self.X, rows)
        return TrainingRows(X, self.target[rows], self.weight[rows], groups, self.positions[rows], self.n_handed)

    def reweighted(self, factor: np.ndarray) -> TrainingRows:
        """The rows with their weights multiplied by `factor`, shape (n_rows,)."""
        return replace(self, weight=self.weight * factor)

    def split(self, *, stratify: bool, fraction: float, seed: int) -> tuple[TrainingRows, TrainingRows]:
        """Rows that train and rows that stop the training, as :meth:`sides`."""
        train, valid = self.sides(stratify=stratify, fraction=fraction, seed=seed)
        return self.take(train), self.take(valid)

    def sides(self, *, stratify: bool, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the rows train and which stop the training; see :func:`hybridlearn._splits.inner_split`."""
        codes = self.target if stratify and self.target.ndim == 1 else None
        train, valid = inner_split(codes, self.groups, n_rows=len(self), fraction=fraction, seed=seed)
        if not self.weight[train].any() or not self.weight[valid].any():
            raise ValueError("early stopping needs weight on both sides of its split; set early_stopping=False")
        return train, valid


def read_training_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    reader: Callable[..., Any] = read_table,
) -> TrainingRows:
    """Validate what was handed to ``fit``.

    Parameters
    ----------
    estimator : estimator with a head
        Gets ``n_features_in_``, ``feature_names_in_`` and, from its head, ``classes_``.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y, sample_weight, groups : array-like of shape (n_rows,)
        The last two may be None.
    reader : callable, default=read_table
        Turns `X` into what the estimator works on.

    Returns
    -------
    TrainingRows

    Raises
    ------
    ValueError
        Naming what cannot be used.
    """
    # fitted attributes are there only where a fit goes on: then the columns must be the same
    goes_on = hasattr(estimator, "n_features_in_")
    table = reader(estimator, X, reset=not goes_on)
    target = plain_target(estimator, X if isinstance(X, pd.DataFrame) else table, y)
    weight = read_weights(sample_weight, table)
    groups = read_groups(groups, table)
    n_handed, rows = len(target), np.flatnonzero(weight)
    if len(rows) < n_handed:
        table, target, weight = take_rows(table, rows), target[rows], weight[rows]
        groups = read_groups(None if groups is None else groups[rows], table)
    if len(rows) < (1 if goes_on else 2):
        raise ValueError(f"a fit needs 2 rows of positive weight, got n_samples = {len(rows)}")
    return TrainingRows(table, estimator._encode_target(target), weight, groups, rows, n_handed)
