"""Estimators with a guard at the door: rows unlike those of ``fit`` are told from the others."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from hybridlearn._compat import HasMethods, StrOptions, integer, real
from hybridlearn._docs import shares_doc
from hybridlearn._fitting import whole_fit
from hybridlearn._random import RandomState, draw_seed
from hybridlearn._target import read_groups, read_time
from hybridlearn.crossfit import check_task
from hybridlearn.robustness._conformal import GUARDS, ConformalGuard, check_detector
from hybridlearn.table import read_table


class AnomalyError(ValueError):
    """Rows are unlike those that a guarded estimator has seen, and it was told to raise."""


def _has_probabilities(guarded: Any) -> bool:
    used = [getattr(guarded, "estimator_", guarded.estimator)]
    if guarded.on_anomaly == "fallback" and guarded.fallback is not None:
        used.append(getattr(guarded, "fallback_", guarded.fallback))
    return all(hasattr(each, "predict_proba") for each in used)


class BaseGuarded(MetaEstimatorMixin, BaseEstimator):
    """An estimator and its guard."""

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "guard": [StrOptions(set(GUARDS)), HasMethods(["fit"])],
        "alpha": [real(0, 1, closed="neither")],
        "on_anomaly": [StrOptions({"flag", "abstain", "fallback", "raise"})],
        "abstain_label": "no_validation",
        "fallback": [HasMethods(["fit", "predict"]), None],
        "cv": [integer(2), HasMethods(["split"]), list],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        estimator: Any,
        guard: Any = "lof",
        alpha: float = 0.05,
        on_anomaly: str = "flag",
        abstain_label: Any = None,
        fallback: Any = None,
        cv: Any = 5,
        random_state: RandomState = None,
    ):
        self.estimator = estimator
        self.guard = guard
        self.alpha = alpha
        self.on_anomaly = on_anomaly
        self.abstain_label = abstain_label
        self.fallback = fallback
        self.cv = cv
        self.random_state = random_state

    def _default_fallback(self) -> Any:
        raise NotImplementedError

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Fit the estimator on all rows, and the guard in folds.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
        sample_weight : array-like of shape (n_rows,), optional
            Handed to the estimator, where it is given; the guard counts rows alike.
        groups : array-like of shape (n_rows,), optional
            Rows of a group share a fold of the guard; handed to the estimator, where it is given.
        time : array-like of shape (n_rows,), optional
            The guard's folds go forward in it; handed to the estimator, where it is given.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where there are too few rows for `alpha`, or `on_anomaly` is "abstain" without an `abstain_label`.
        """
        check_detector(self.guard)
        check_task("estimator", self.estimator, classification=isinstance(self, ClassifierMixin))
        if self.on_anomaly == "abstain" and self.abstain_label is None:
            raise ValueError("on_anomaly='abstain' needs abstain_label: what predict gives in place of a prediction")
        table, y = read_table(self, X, reset=True), column_or_1d(y, warn=True)
        if self.on_anomaly == "abstain" and isinstance(self.abstain_label, str) != isinstance(y[0], str):
            raise ValueError(f"abstain_label={self.abstain_label!r} is of another type than y: one is text, one is not")
        extra = {"sample_weight": sample_weight, "groups": groups, "time": time}
        extra = {name: value for name, value in extra.items() if value is not None}
        self.estimator_ = clone(self.estimator).fit(X, y, **extra)
        if self.on_anomaly == "fallback":
            fallback = self._default_fallback() if self.fallback is None else clone(self.fallback)
            check_task("fallback", fallback, classification=isinstance(self, ClassifierMixin))
            self.fallback_ = fallback.fit(X, y)
        self.guard_ = ConformalGuard.fit(
            self.guard,
            table,
            y,
            cv=self.cv,
            seed=draw_seed(self.random_state),
            groups=read_groups(groups, table),
            time=read_time(time, table),
        )
        least = int(np.ceil(1 / self.alpha)) - 1
        if self.guard_.n_rows < least:
            raise ValueError(f"alpha={self.alpha} needs at least {least} rows to calibrate, got {self.guard_.n_rows}")
        return self

    def p_values(self, X: Any) -> np.ndarray:
        """How rarely a row like those of ``fit`` looks as strange as each of these.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,), float64
            In (0, 1]; of rows like those of ``fit``, a share of about `alpha` has one of at most `alpha`.
        """
        check_is_fitted(self)
        return self.guard_.p_values(read_table(self, X, reset=False))

    def predict_with_guard(self, X: Any) -> Bunch:
        """Predictions of the estimator, and which of them the guard lets pass.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        Bunch
            ``y_pred`` and ``p_value`` of shape (n_rows,), ``accepted`` (n_rows,) bool: a p-value above `alpha`.
        """
        p_value = self.p_values(X)
        return Bunch(y_pred=self.estimator_.predict(X), accepted=p_value > self.alpha, p_value=p_value)

    def predict(self, X: Any) -> np.ndarray:
        """Predictions; for anomalies what `on_anomaly` says.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        AnomalyError
            Naming rows, where `on_anomaly` is "raise".
        """
        found = self.predict_with_guard(X)
        self._check(found)
        if self.on_anomaly == "abstain":
            return np.where(found.accepted, found.y_pred, self.abstain_label)
        if self.on_anomaly == "fallback":
            return np.where(found.accepted, found.y_pred, self.fallback_.predict(X))
        return found.y_pred

    def coverage_score(self, X: Any) -> float:
        """Share of rows that the guard lets pass.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        float
        """
        return float((self.p_values(X) > self.alpha).mean())

    def _check(self, found: Bunch) -> None:
        if self.on_anomaly != "raise" or found.accepted.all():
            return
        rows = np.flatnonzero(~found.accepted)
        some = ", ".join(f"{row} (p={found.p_value[row]:.3g})" for row in rows[:10])
        raise AnomalyError(f"{len(rows)} of {len(found.accepted)} rows are unlike those of fit: rows {some}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = getattr(self.estimator, "__sklearn_tags__", None)
        if inner is not None:
            given = inner().input_tags
            tags.input_tags.allow_nan = given.allow_nan
            tags.input_tags.string = given.string
            tags.input_tags.categorical = given.categorical
        return tags


_PARAMETERS = """
    estimator : estimator
        What predicts.
    guard : {"lof", "one_class_svm", "isolation_forest"} or detector, default="lof"
        What tells strange rows: scikit-learn's detectors by name, or any with ``fit`` and ``score_samples`` or
        ``decision_function``, higher where a row is normal. It sees robustly scaled numbers and one-hot levels; rows
        with what no row of ``fit`` has shown (a gap in a column without gaps, another value of a constant, a new level
        where such are rare) are the strangest of all.
    alpha : float, default=0.05
        Share of rows like those of ``fit`` that may be taken for anomalies.
    on_anomaly : {"flag", "abstain", "fallback", "raise"}, default="flag"
        What ``predict`` does with them: predicts all the same (:meth:`predict_with_guard` tells which they are), gives
        `abstain_label`, predicts by `fallback`, or raises an `AnomalyError`.
    abstain_label : label or number, optional
        What stands in place of a prediction; needed where `on_anomaly` is "abstain".
    fallback : estimator, optional
        Default: the share of the classes, or the mean. Fitted as ``fallback_`` where `on_anomaly` is "fallback".
    cv : int, splitter or list of (train, test), default=5
        Folds of the guard.
    random_state : int, RandomState or None, default=None
        Seeds folds and detector; the estimator has its own.
"""
_ATTRIBUTES = """
    estimator_ : estimator
        Fitted on all rows.
    guard_ : ConformalGuard
        The detectors of the folds, and the scores of rows that they have not seen.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
class GuardedClassifier(ClassifierMixin, BaseGuarded):
    """A classifier that tells rows unlike those that it has learned from.

    A detector is fitted in each fold, on the encoded training part, and scores the rows left out. A new row's p-value
    counts the rows that looked as strange to a detector that had not seen them (cross-conformal [1]_ novelty detection
    [2]_): so about `alpha` of rows like those of ``fit`` are flagged, whatever the detector; it decides how many
    others are.

    This is not selective prediction: a strange row may be predicted well, a usual one may lie on the border of two
    classes. For the latter see :class:`SelectiveClassifier`.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    <attributes>

    References
    ----------
    .. [1] Vovk, "Cross-Conformal Predictors", Annals of Mathematics and Artificial Intelligence 74, 2015.
    .. [2] Bates, Candès, Lei, Romano and Sesia, "Testing for Outliers with Conformal p-values", Annals of Statistics
       51, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from hybridlearn import BoostedTreesClassifier, GuardedClassifier
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0)
    >>> guarded = GuardedClassifier(estimator=trees, random_state=0).fit(X, y)
    >>> guarded.predict_with_guard(X.iloc[:2] * 10).accepted
    array([False, False])
    """

    def _default_fallback(self) -> Any:
        return DummyClassifier(strategy="prior")

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        return self.estimator_.classes_

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, of the estimator or, for anomalies, of the fallback where there is one.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
        """
        found = self.predict_with_guard(X)
        self._check(found)
        probability = self.estimator_.predict_proba(X)
        if self.on_anomaly != "fallback":
            return probability
        return np.where(found.accepted[:, None], probability, self.fallback_.predict_proba(X))


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
class GuardedRegressor(RegressorMixin, BaseGuarded):
    """A regressor that tells rows unlike those that it has learned from; see :class:`GuardedClassifier`.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from hybridlearn import GuardedRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> guarded = GuardedRegressor(estimator=Ridge(), on_anomaly="abstain", abstain_label=float("nan"), random_state=0)
    >>> guarded.fit(X, y).predict(X.iloc[:2] + 1)
    array([nan, nan])
    """

    def _default_fallback(self) -> Any:
        return DummyRegressor()
