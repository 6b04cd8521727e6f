"""Attacks: rows within their box that turn a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from hybridlearn._random import RandomState
from hybridlearn.robustness._decision import Decision
from hybridlearn.robustness._descent import descend
from hybridlearn.robustness._exact import strike
from hybridlearn.robustness._search import search
from hybridlearn.robustness._target import Target, verified
from hybridlearn.table import Box, FeatureConstraints, as_constraints

_METHODS = ("auto", "pgd", "search", "veritas")


@dataclass(frozen=True, eq=False)
class Attack:
    """What an attack has found.

    Attributes
    ----------
    X_adversarial : DataFrame or ndarray of shape (n_rows, n_columns)
        The rows; those that turned are changed, within the constraints, all others are as they were.
    success : ndarray of shape (n_rows,), bool
        Whether the changed row is predicted otherwise than the row; asked of ``predict``.
    distance : ndarray of shape (n_rows,), float64
        The longest way of a number, as a share of the way that it had to that end of the box; NaN without success.
    ahead : ndarray of shape (n_rows,), float64
        How far, in units of the margin, the worst row that was found is from turning; below 0 it has.
    n_queries : ndarray of shape (n_rows,), int
        Candidates that the model was asked about.
    attacked : ndarray of shape (n_rows,), bool
        Rows that were attacked: with `y` given, those that are predicted right.
    masked : ndarray of shape (n_rows,), bool
        Where gradients told nothing: no number had any slope, or the search turned what they did not, of a model all
        of which has a slope.
    """

    X_adversarial: Any
    success: np.ndarray
    distance: np.ndarray
    ahead: np.ndarray
    n_queries: np.ndarray
    attacked: np.ndarray
    masked: np.ndarray

    @property
    def frame(self) -> pd.DataFrame:
        """One row a row."""
        return pd.DataFrame(
            {
                "attacked": self.attacked,
                "success": self.success,
                "distance": self.distance,
                "ahead": self.ahead,
                "n_queries": self.n_queries,
                "masked": self.masked,
            }
        )


def attack(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    eps: Any,
    constraints: FeatureConstraints | None = None,
    method: str = "auto",
    budget: int = 200,
    time_limit: float = 1.0,
    random_state: RandomState = 0,
) -> Attack:
    """Look for small changes of rows that turn a classifier's decision.

    Parameters
    ----------
    model : fitted classifier
        Of any kind that has a margin (see :func:`hybridlearn.crossfit.margin`), in a `Pipeline` too.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y : array-like of shape (n_rows,), optional
        Labels: rows that are predicted wrong are then left alone. Default: all rows are attacked.
    eps : float, array-like of shape (n_columns,) or dict of column to float
        How far numbers move: a number is in robust standard deviations of each column, an array or a dict in its units.
    constraints : FeatureConstraints, optional
        What else a row may become. Default: all but numbers stays, and numbers have no bounds.
    method : {"auto", "pgd", "search", "veritas"}, default="auto"
        "pgd" descends through the nets of the model (auto-PGD [1]_), whose best rows the whole model is asked about;
        "search" needs no gradient: columns alone, together, and an evolution of the best; "auto" does both, as the
        constrained adaptive attack [2]_ does; "veritas" does both, and then looks for the row in which the sum of all
        trees of the model is least: of a model of trees no attack is stronger. It needs the extra ``robust``.
    budget : int, default=200
        Steps of the descent, and questions about each row in the search.
    time_limit : float, default=1.0
        Seconds that "veritas" may look for a row.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    Attack

    Raises
    ------
    TypeError
        On a regressor, or a model whose decision is not taken by its margin.
    ValueError
        On `eps`, constraints or labels that do not fit.

    References
    ----------
    .. [1] Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
       Attacks", ICML 2020.
    .. [2] Simonetto et al., "Constrained Adaptive Attack: Effective Adversarial Attack Against Deep Neural Networks
       for Tabular Data", NeurIPS 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.robustness import attack
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X[::2], y[::2])
    >>> found = attack(trees, X[1::2], y[1::2], eps=0.3, budget=80)
    >>> changed = trees.predict(found.X_adversarial) != trees.predict(X[1::2])
    >>> bool((changed == found.success).all()), bool(found.success.any())
    (True, True)
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}, got {method!r}")
    if budget < 1:
        raise ValueError(f"budget must be at least 1, got {budget!r}")
    rng = check_random_state(random_state)
    constraints = as_constraints(constraints)
    box = constraints.box(X, eps)
    decision = Decision.of(model, box)
    target = Target(model, box, constraints, decision)
    attacked = np.ones(len(box), dtype=bool) if y is None else decision.is_right(model, y)
    rows, masked = np.flatnonzero(attacked), np.zeros(len(box), dtype=bool)
    is_whole = False
    if method != "search" and len(rows):
        masked[rows], is_whole = descend(target, rows, n_steps=budget, rng=rng)
    resisted = target.ahead > 0
    if method != "pgd" and len(rows):
        search(target, rows, n_queries=budget, rng=rng)
    if method == "veritas":
        strike(target, rows, seconds=time_limit)
    if is_whole:
        masked |= resisted & (target.ahead <= 0)
    ahead = target.ahead.copy()
    # rows that are left alone have not been asked about, and have not turned
    success, _ = verified(target)
    frame = target.frame()
    distance = np.where(success, _distance(box, box.numbers_in(frame)), np.nan)
    return Attack(box.as_given(frame), success, distance, ahead, target.n_queries, attacked, masked)


def _distance(box: Box, numbers: np.ndarray) -> np.ndarray:
    """The longest way of a number, as a share of what it had."""
    given = box.numbers
    had = np.where(numbers > given, box.upper - given, given - box.lower)
    ways = np.divide(np.abs(numbers - given), had, out=np.zeros(given.shape), where=had > 0)
    return ways.max(axis=1, initial=0.0)
