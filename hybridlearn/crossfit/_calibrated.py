"""A margin for classifiers that only decide: sigmoid calibration on inner folds of the training part."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from hybridlearn._splits import Split, folds
from hybridlearn.table import TrainingRows, take_rows

_N_FOLDS = 3


class _Decisions(ClassifierMixin, BaseEstimator):
    """Gives back the decision values that it is given as `X`."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0] if X.shape[1] == 1 else X

    def predict(self, X: np.ndarray) -> np.ndarray:
        """scikit-learn asks for the method; nothing calls it."""
        raise NotImplementedError


class _CalibratedDecider(ClassifierMixin, BaseEstimator):
    """A fitted classifier with ``decision_function`` and the sigmoids that make probabilities of it."""

    def __init__(self, decider: Any, calibrator: Any):
        self.decider = decider
        self.calibrator = calibrator
        self.classes_ = decider.classes_

    def predict(self, X: Any) -> np.ndarray:
        """Class codes of shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of shape (n_rows, n_classes)."""
        return self.calibrator.predict_proba(_decide(self.decider, X))


def fit_calibrated(
    decider: Any, training: TrainingRows, fit_params: Callable[..., dict[str, np.ndarray]], *, weighted: bool, seed: int
) -> _CalibratedDecider:
    """Fit a decider in place on all rows, and its sigmoids on decisions for rows that inner folds left out.

    `CalibratedClassifierCV` alone would lose the weights and groups of a pipeline; here it only fits the sigmoids.
    Where rows have a time, inner folds decide on later rows than they train on; the first rows do not calibrate.
    """
    inner = _inner_folds(training, seed)
    # the only row of a class must be known to each inner model, though it then decides on it too
    alone = np.flatnonzero(np.bincount(training.target)[training.target] == 1)
    held_out = []
    for train, test in inner:
        part = training.take(np.union1d(train, alone))
        fitted = clone(decider).fit(part.X, part.target, **fit_params(decider, part, weighted=weighted))
        held_out.append(_decide(fitted, take_rows(training.X, test)))
    order = np.concatenate([test for _, test in inner])
    calibrator = _fit_sigmoids(np.concatenate(held_out), order, training, weighted=weighted)
    decider.fit(training.X, training.target, **fit_params(decider, training, weighted=weighted))
    return _CalibratedDecider(decider, calibrator)


def _inner_folds(training: TrainingRows, seed: int) -> list[Split]:
    if training.time is None:
        return folds(training.target, training.groups, n_rows=len(training), n_splits=_N_FOLDS, seed=seed)
    # each inner model must know each class: the first part goes on until the last of them has come
    order = np.argsort(training.time, kind="stable")
    _, first_of_class = np.unique(training.target[order], return_index=True)
    time = np.maximum(training.time, training.time[order[first_of_class]].max())
    n_later = len(np.unique(time)) - 1
    if n_later == 0:
        raise ValueError(
            "a classifier without predict_proba is calibrated on later rows than it was fitted on, but no row is later "
            "than the first of each class; leave it out, or lower cv for a longer training part"
        )
    return folds(None, None, n_rows=len(training), n_splits=min(_N_FOLDS, n_later), seed=seed, time=time)


def _fit_sigmoids(held_out: np.ndarray, order: np.ndarray, training: TrainingRows, *, weighted: bool) -> Any:
    """Sigmoids of the decisions `held_out` on the rows `order`."""
    decisions, weight = np.zeros((len(training), held_out.shape[1])), np.zeros(len(training))
    decisions[order] = held_out
    # a row that no inner model has decided on makes its class known, and has no weight
    weight[order] = training.weight[order] if weighted else 1.0
    frozen = FrozenEstimator(_Decisions().fit(decisions, training.target))
    everything = np.arange(len(training))
    calibrator = CalibratedClassifierCV(frozen, method="sigmoid", cv=[(everything, everything)])
    with warnings.catch_warnings():
        # the sigmoids alone are to have the weights: the decider has had them
        warnings.filterwarnings("ignore", message="Since FrozenEstimator does not appear to accept sample_weight")
        return calibrator.fit(decisions, training.target, sample_weight=weight)


def _decide(decider: Any, X: Any) -> np.ndarray:
    """Decision values of shape (n_rows, n_decisions)."""
    decisions = np.asarray(decider.decision_function(X), dtype=np.float64)
    return decisions.reshape(len(decisions), -1)
