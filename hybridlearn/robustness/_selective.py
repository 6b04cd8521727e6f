"""Selective prediction: a classifier that leaves alone what it is least sure of."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted, validate_data

from hybridlearn._compat import HasMethods, real
from hybridlearn._extras import axes_for
from hybridlearn._fitting import whole_fit
from hybridlearn._heads import probabilities
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.crossfit import check_task, cross_fit, margin
from hybridlearn.ensemble import fit_temperature


class SelectiveClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that rejects the rows of which it is least sure, so that it is right more often on the others [1]_.

    How sure it is, the largest calibrated probability, is learned out of fold: the threshold below which a row is
    rejected is the one that keeps a share `coverage` of rows that the model had not seen.

    This is no guard: rows unlike all others may be predicted with confidence. For those see
    :class:`GuardedClassifier`.

    Parameters
    ----------
    estimator : classifier
        With a margin (see :func:`hybridlearn.crossfit.margin`).
    coverage : float, default=0.9
        Share of rows that are to be accepted, in (0, 1].
    cv : int, splitter or iterable, default=5
        Folds that the threshold is learned by.
    random_state : int, RandomState or None, default=None
        Seeds the folds, and the models of the folds where they have no seed of their own.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all rows.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    temperature_ : float
        What divides margins before they are probabilities.
    threshold_ : float
        Confidence below which a row is rejected.
    risk_coverage_ : DataFrame
        ``coverage``, ``threshold`` and ``error`` (share of accepted rows that are wrong), out of fold.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.

    References
    ----------
    .. [1] Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017. Their threshold
       bounds the risk; ours keeps a share of the rows, and the curve shows the risk.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn import SelectiveClassifier
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> linear = make_pipeline(StandardScaler(), LogisticRegression())
    >>> selective = SelectiveClassifier(estimator=linear, random_state=0).fit(X[::2], y[::2])
    >>> found = selective.predict_with_rejection(X[1::2])
    >>> right = found.y_pred == y[1::2]
    >>> bool(right[found.accepted].mean() > right.mean())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "coverage": [real(0, 1, closed="right")],
        "cv": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(self, *, estimator: Any, coverage: float = 0.9, cv: Any = 5, random_state: RandomState = None):
        self.estimator = estimator
        self.coverage = coverage
        self.cv = cv
        self.random_state = random_state

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Learn by folds how sure the estimator must be, and fit it on all rows.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
        sample_weight, groups, time : array-like of shape (n_rows,), optional
            As in :func:`hybridlearn.crossfit.cross_fit`; handed to the estimator, where given.

        Returns
        -------
        self
        """
        check_task("estimator", self.estimator, classification=True)
        extra = {"sample_weight": sample_weight, "groups": groups, "time": time}
        extra = {name: value for name, value in extra.items() if value is not None}
        seed = draw_seed(self.random_state)
        # first: what it says of data that it cannot use is plainer than what a fold would say
        self.estimator_ = clone(self.estimator).fit(X, y, **extra)
        oof = cross_fit([("estimator", self.estimator)], X, y, cv=self.cv, random_state=seed, **extra)
        rows = np.flatnonzero(oof.covered)
        margins, target, weight = oof.margins["estimator"][rows], oof.target[rows], oof.weight[rows]
        self.temperature_ = fit_temperature(margins, target, weight)
        probability = probabilities(margins / self.temperature_)
        self.risk_coverage_ = _curve(probability, target, weight)
        kept = self.risk_coverage_["coverage"] >= self.coverage - 1e-9
        self.threshold_ = float(self.risk_coverage_["threshold"][kept].max())
        self.classes_ = self.estimator_.classes_
        validate_data(self, X, reset=True, skip_check_array=True)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Calibrated probability of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
        """
        check_is_fitted(self)
        return probabilities(margin(self.estimator_, X) / self.temperature_)

    def predict(self, X: Any) -> np.ndarray:
        """Labels that the estimator predicts, of all rows.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_with_rejection(self, X: Any) -> Bunch:
        """Labels, and which of them to rely on.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        Bunch
            ``y_pred`` and ``confidence`` of shape (n_rows,), ``accepted`` (n_rows,) bool.
        """
        confidence = self.predict_proba(X).max(axis=1)
        return Bunch(y_pred=self.predict(X), accepted=confidence >= self.threshold_, confidence=confidence)

    def plot_risk_coverage(self, ax: Any = None) -> Any:
        """Draw the share of wrong labels among accepted rows by how many are accepted.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        ax = axes_for(ax, purpose="plot_risk_coverage")
        curve = self.risk_coverage_
        ax.plot(curve["coverage"], curve["error"])
        ax.axvline(self.coverage, linestyle="--", color="grey", label=f"coverage {self.coverage:g}")
        ax.set(xlabel="share of rows accepted", ylabel="share of these that are wrong", title=type(self).__name__)
        ax.legend()
        return ax

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = getattr(self.estimator, "__sklearn_tags__", None)
        if inner is not None:
            tags.input_tags = inner().input_tags
        return tags


def _curve(probability: np.ndarray, target: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
    """Coverage and error of each threshold, the surest rows first."""
    confidence = probability.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    weight, confidence = weight[order], confidence[order]
    wrong = weight * (probability.argmax(axis=1) != target)[order]
    ends = np.flatnonzero(np.append(np.diff(confidence) != 0, True))
    covered = weight.cumsum()[ends]
    return pd.DataFrame(
        {
            "coverage": covered / weight.sum(),
            "threshold": confidence[ends],
            "error": wrong.cumsum()[ends] / covered,
        }
    )
