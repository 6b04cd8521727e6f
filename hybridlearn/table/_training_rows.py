"""The rows that a fit may use: validated together, those of weight zero dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from hybridlearn._splits import inner_split
from hybridlearn._target import plain_target, read_groups, read_time, read_weights
from hybridlearn.table._fingerprint import row_hashes
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
    time : ndarray of shape (n_rows,), int64, or None
        Ranks; equal times share one. Never with `groups`.
    base_margin : ndarray of shape (n_rows, n_outputs), float64, or None
        Margins to which those that are learned will be added.
    parents : ndarray of shape (n_rows, 2), int, or None
        Of rows some of which were made of others: names of the two that a row lies between, or is a copy of; of a row
        that was not made, its own name twice. Names are of no order, and the first row of its own name is no copy.
    """

    X: Any
    target: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None
    positions: np.ndarray
    n_handed: int
    time: np.ndarray | None = None
    base_margin: np.ndarray | None = None
    parents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: np.ndarray) -> TrainingRows:
        """Some of the rows."""
        names = ("target", "weight", "groups", "positions", "time", "base_margin", "parents")
        some = {name: values[rows] for name in names if (values := getattr(self, name)) is not None}
        return replace(self, X=take_rows(self.X, rows), **some)

    def reweighted(self, factor: np.ndarray) -> TrainingRows:
        """The rows with their weights multiplied by `factor`, shape (n_rows,)."""
        return replace(self, weight=self.weight * factor)

    def split(self, *, stratify: bool, fraction: float, seed: int) -> tuple[TrainingRows, TrainingRows]:
        """Rows that train and rows that stop the training, as :meth:`sides`."""
        train, valid = self.sides(stratify=stratify, fraction=fraction, seed=seed)
        return self.take(train), self.judging(train, valid).take(valid)

    def sides(self, *, stratify: bool, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the rows train and which stop the training; see :func:`hybridlearn._splits.inner_split`."""
        codes = self.target if stratify and self.target.ndim == 1 else None
        among = np.arange(len(self)) if self.parents is None else _not_made(self.parents)
        by = [None if values is None else values[among] for values in (codes, self.groups, self.time)]
        train, valid = inner_split(*by[:2], n_rows=len(among), fraction=fraction, seed=seed, time=by[2])
        train, valid = among[train], among[valid]
        if self.parents is not None:
            # nor does a row train that was made of one that stops
            train = np.flatnonzero(~np.isin(self.parents, self.parents[valid]).any(axis=1))
        if not self.weight[train].any() or not self.weight[valid].any():
            raise ValueError("early stopping needs weight on both sides of its split; set early_stopping=False")
        return train, valid

    def judging(self, train: np.ndarray, valid: np.ndarray) -> TrainingRows:
        """The rows, where some were made: `valid` ones weighed so that a class has the share it has in `train`."""
        if self.parents is None:
            return self
        trains, stops = (
            np.bincount(self.target[side], self.weight[side], self.target.max() + 1) for side in (train, valid)
        )
        factor = np.ones(len(self))
        factor[valid] = np.divide(trains, stops, out=np.ones(len(stops)), where=stops > 0)[self.target[valid]]
        return self.reweighted(factor)


def read_training_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any = None,
    reader: Callable[..., Any] = read_table,
    time: Any = None,
    base_margin: Any = None,
    parents: Any = None,
) -> TrainingRows:
    """Validate what was handed to ``fit``.

    Parameters
    ----------
    estimator : estimator with a head
        Gets ``n_features_in_``, ``feature_names_in_``, ``row_hashes_`` and, from its head, ``classes_``.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y, sample_weight, groups : array-like of shape (n_rows,)
        The last two may be None.
    reader : callable, default=read_table
        Turns `X` into what the estimator works on.
    time : array-like of shape (n_rows,), optional
        When the rows were; see :func:`hybridlearn._target.read_time`.
    base_margin : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
        Where a regression starts, its target becomes what is left of it.
    parents : array-like of int of shape (n_rows, 2), optional
        For a classifier: see :class:`TrainingRows`.

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
    groups, time = read_groups(groups, table), read_time(time, table)
    if groups is not None and time is not None:
        raise ValueError("give groups or time, not both: a cut in time would part the rows of a group")
    n_handed, rows = len(target), np.flatnonzero(weight)
    if len(rows) < n_handed:
        table, target, weight = take_rows(table, rows), target[rows], weight[rows]
        groups = read_groups(None if groups is None else groups[rows], table)
        time = read_time(None if time is None else time[rows], table)
    if len(rows) < (1 if goes_on else 2):
        raise ValueError(f"a fit needs 2 rows of positive weight, got n_samples = {len(rows)}")
    hashes = row_hashes(table, target)
    estimator.row_hashes_ = np.union1d(estimator.row_hashes_, hashes) if goes_on else hashes
    target = estimator._encode_target(target)
    training = TrainingRows(table, target, weight, groups, rows, n_handed, time)
    if parents is not None:
        training = replace(training, parents=_read_parents(parents, n_handed)[rows])
    return training if base_margin is None else _started(estimator, training, base_margin)


def _started(estimator: Any, rows: TrainingRows, base_margin: Any) -> TrainingRows:
    """Rows whose learning starts from margins: of a regression, the target less these."""
    n_outputs = estimator._n_outputs if estimator._is_classifier else rows.target.reshape(len(rows), -1).shape[1]
    start = check_array(base_margin, ensure_2d=False, dtype=np.float64, input_name="base_margin")
    start = start.reshape(len(start), -1)
    if start.shape != (rows.n_handed, n_outputs):
        raise ValueError(f"base_margin must be of shape ({rows.n_handed}, {n_outputs}), got {start.shape}")
    start = start[rows.positions]
    if estimator._is_classifier:
        return replace(rows, base_margin=start)
    return replace(rows, target=rows.target - start.reshape(rows.target.shape))


def _read_parents(parents: Any, n_rows: int) -> np.ndarray:
    names = check_array(parents, dtype=np.int64, input_name="parents")
    if names.shape != (n_rows, 2):
        raise ValueError(f"parents must be of shape ({n_rows}, 2), got {names.shape}")
    return names


def _not_made(parents: np.ndarray) -> np.ndarray:
    """Positions of the rows that are no copies, and lie between no others."""
    own = np.flatnonzero(parents[:, 0] == parents[:, 1])
    return np.sort(own[np.unique(parents[own, 0], return_index=True)[1]])
