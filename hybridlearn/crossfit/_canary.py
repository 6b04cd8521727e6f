"""A leak shows on shuffled labels: there is nothing to learn, so whoever does better than chance has cheated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from hybridlearn._heads import probabilities
from hybridlearn._protocols import Additive
from hybridlearn._random import RandomState, draw_seed, seed_nested
from hybridlearn.crossfit._engine import cross_fit
from hybridlearn.crossfit._out_of_fold import BLEND, OutOfFold


@dataclass(frozen=True, eq=False)
class LeakCanary:
    """Out-of-fold AUC on shuffled targets.

    Attributes
    ----------
    auc : float
        Mean over the shuffles; 0.5 without a leak.
    standard_error : float
        Of that mean.
    aucs : ndarray of shape (n_repeats,)
    """

    auc: float
    standard_error: float
    aucs: np.ndarray

    @property
    def leaks(self) -> bool:
        """Whether the mean is more than 3 standard errors above 0.5."""
        return self.auc - 0.5 > 3 * self.standard_error


def leak_canary(
    estimator: Any, X: Any, y: Any, *, n_repeats: int = 20, cv: Any = 5, random_state: RandomState = None
) -> LeakCanary:
    """Shuffle the target, refit everything, and see whether the out-of-fold AUC leaves 0.5.

    A hybrid, or a pipeline that ends in one, is judged by its own out-of-fold table: what a step in front of it
    leaks into the folds shows. Any other estimator is cross-fitted.

    Parameters
    ----------
    estimator : estimator
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y : array-like of shape (n_rows,)
        In regression, the AUC is that of being above the median; in multiclass, one class against the rest.
    n_repeats : int, default=20
        Shuffles; at least 2.
    cv : int or splitter, default=5
        For an estimator that does not cross-fit itself.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    LeakCanary

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> leak_canary(GaussianNB(), X, y, n_repeats=5, random_state=0).leaks
    False
    """
    if n_repeats < 2:
        raise ValueError(f"n_repeats={n_repeats}; a standard error needs at least 2 shuffles")
    rng = np.random.RandomState(draw_seed(random_state))
    y = np.asarray(y)
    aucs = []
    for _ in range(n_repeats):
        shuffled = y[rng.permutation(len(y))]
        table = _out_of_fold(seed_nested(clone(estimator), rng, overwrite=True), X, shuffled, cv, rng)
        aucs.append(_auc(table))
    standard_error = float(np.std(aucs, ddof=1) / np.sqrt(n_repeats))
    return LeakCanary(float(np.mean(aucs)), standard_error, np.array(aucs))


def _out_of_fold(estimator: Any, X: Any, y: np.ndarray, cv: Any, rng: np.random.RandomState) -> OutOfFold:
    last = estimator
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    if isinstance(last, Additive):
        estimator.fit(X, y)
        # a pipeline fits its own steps in place
        return last.oof_  # type: ignore[attr-defined]
    return cross_fit([("estimator", estimator)], X, y, cv=cv, random_state=rng)


def _auc(table: OutOfFold) -> float:
    name = BLEND if BLEND in table.margins else table.members[0]
    margin, target = table.margins[name][table.covered], table.target[table.covered]
    if table.classes is None:
        return float(roc_auc_score(target > np.median(target), margin[:, 0]))
    if margin.shape[1] == 1:
        return float(roc_auc_score(target, margin[:, 0]))
    return float(roc_auc_score(target, probabilities(margin), multi_class="ovr"))
