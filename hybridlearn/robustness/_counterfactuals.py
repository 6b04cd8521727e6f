"""Counterfactuals: the smallest changes found that turn a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from hybridlearn._random import RandomState
from hybridlearn.robustness._decision import Decision
from hybridlearn.robustness._descent import descend
from hybridlearn.robustness._search import search
from hybridlearn.robustness._target import Candidates, Target, verified
from hybridlearn.table import FeatureConstraints, as_constraints, as_frame, robust_deviation

# Halvings by which a number comes back to what it was.
_N_HALVINGS = 6


@dataclass(frozen=True, eq=False)
class Counterfactuals:
    """Rows that are decided otherwise, near to those that were asked about.

    Attributes
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        The changed rows; where none was found, the row as it was.
    found : ndarray of shape (n_rows,), bool
        Whether the changed row is predicted otherwise.
    label : ndarray of shape (n_rows,)
        What is predicted of the changed row.
    n_changed : ndarray of shape (n_rows,), int
        Columns that differ.
    distance : ndarray of shape (n_rows,), float64
        Sum of the changes of numbers, in robust standard deviations, and 1 for each level that differs; NaN where none
        was found.
    frame : DataFrame
        One row a change: ``row``, ``column``, ``from``, ``to``.
    """

    X: Any
    found: np.ndarray
    label: np.ndarray
    n_changed: np.ndarray
    distance: np.ndarray
    frame: pd.DataFrame


def counterfactuals(
    model: Any,
    X: Any,
    constraints: FeatureConstraints,
    *,
    eps: Any = None,
    budget: int = 500,
    random_state: RandomState = 0,
) -> Counterfactuals:
    """Look for the nearest rows, within constraints, that a classifier decides otherwise.

    First any row that turns the decision is looked for, as :func:`attack` does; then, as long as it stays turned,
    columns go back one by one to what they were, and numbers half-way again and again.

    Parameters
    ----------
    model : fitted classifier
    X : array-like or DataFrame of shape (n_rows, n_columns)
    constraints : FeatureConstraints
        Which columns may move, and within which bounds: :meth:`FeatureConstraints.from_data` of the training rows
        gives their range. Columns of numbers without bounds stay, unless `eps` is given.
    eps : float, array-like of shape (n_columns,) or dict of column to float, optional
        How far numbers move at most, as in :func:`attack`. Default: as far as their bounds.
    budget : int, default=500
        Questions about each row until its decision has turned.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    Counterfactuals

    Raises
    ------
    TypeError
        On a regressor, or a model whose decision is not taken by its margin.
    ValueError
        On constraints that do not fit.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier, FeatureConstraints
    >>> from hybridlearn.robustness import counterfactuals
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X, y)
    >>> near = counterfactuals(trees, X[:3], FeatureConstraints.from_data(X), budget=100)
    >>> near.found, bool((trees.predict(near.X) != trees.predict(X[:3])).all())
    (array([ True,  True,  True]), True)
    """
    rng = check_random_state(random_state)
    frame, constraints = as_frame(X), as_constraints(constraints)
    if eps is None:
        endless = [name for name, ends in constraints.bounds.items() if not np.isfinite(ends).all()]
        if endless:
            raise ValueError(f"bounds of {endless} have no end; give two ends, or eps")
        eps = {
            name: high - low for name, (low, high) in constraints.bounds.items() if name not in constraints.immutable
        }
    box = constraints.box(X, eps)
    target = Target(model, box, constraints, Decision.of(model, box))
    rows = np.arange(len(box))
    descend(target, rows, n_steps=min(budget // 4, 50), rng=rng)
    search(target, rows, n_queries=budget, rng=rng)
    turned = np.flatnonzero(target.ahead < 0)
    scale = np.array([_scale(constraints, name, frame) for name in frame.columns[box.places]])
    _come_back(target, turned, scale)
    success, codes = verified(target)
    given, changed = box.numbers, box.numbers_in(target.frame())
    distance = np.nansum(np.abs(changed - given) / scale, axis=1) + (target.best.levels >= 0).sum(axis=1)
    table = _table_of_changes(box.frame, target.frame(), success)
    n_changed = table["row"].value_counts().reindex(rows, fill_value=0).to_numpy()
    return Counterfactuals(
        box.as_given(target.frame()),
        success,
        model.classes_[codes],
        n_changed,
        np.where(success, distance, np.nan),
        table,
    )


def _scale(constraints: FeatureConstraints, name: Any, frame: pd.DataFrame) -> float:
    known = constraints.scale or {}
    return float(known.get(name) or robust_deviation(frame[name].to_numpy(dtype=np.float64, na_value=np.nan)) or 1.0)


def _come_back(target: Target, rows: np.ndarray, scale: np.ndarray) -> None:
    """Undo what is not needed, the smallest changes first, then halve what is left."""
    box = target.box
    n_numbers = box.lower.shape[1]
    for j in range(target.best.levels.shape[1]):
        levels = target.best.levels.copy()
        levels[:, j] = -1
        _try(target, rows, Candidates(target.best.numbers, levels))
    size = np.abs(target.best.numbers - box.numbers) / scale
    for rank in range(n_numbers):
        numbers = target.best.numbers.copy()
        columns = np.argsort(np.nan_to_num(size), axis=1, kind="stable")[:, rank]
        numbers[np.arange(len(box)), columns] = box.numbers[np.arange(len(box)), columns]
        _try(target, rows, Candidates(numbers, target.best.levels))
    moved = np.flatnonzero((target.best.numbers != box.numbers)[rows].any(axis=0) & (box.upper > box.lower).any(axis=0))
    for column in moved:
        near = box.numbers[:, column].copy()
        for _ in range(_N_HALVINGS):
            numbers = target.best.numbers.copy()
            numbers[:, column] = (near + numbers[:, column]) / 2
            numbers = target.settled(numbers, np.arange(len(box)))
            tried = _try(target, rows, Candidates(numbers, target.best.levels))
            failed = np.setdiff1d(rows, tried)
            near[failed] = numbers[failed, column]


def _try(target: Target, rows: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Take candidates whose decision is still turned; the rows of which they are."""
    differs = (candidates.numbers != target.best.numbers) & ~np.isnan(candidates.numbers)
    asked = rows[(differs.any(axis=1) | (candidates.levels != target.best.levels).any(axis=1))[rows]]
    if not len(asked):
        return asked
    ahead = target.ask(candidates.take(asked), asked, keep=False)
    good = asked[ahead < 0]
    target.best.put(good, candidates.take(good))
    target.ahead[good] = ahead[ahead < 0]
    return good


def _table_of_changes(before: pd.DataFrame, after: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    changes = []
    for name in before.columns:
        old, new = before[name].astype(object), after[name].astype(object)
        differs = rows & ~((old == new) | (old.isna() & new.isna())).to_numpy()
        own = np.arange(len(before))[differs]
        changes.append(pd.DataFrame({"row": own, "column": name, "from": old.iloc[own], "to": new.iloc[own]}))
    return pd.concat(changes, ignore_index=True).sort_values("row", kind="stable", ignore_index=True)
