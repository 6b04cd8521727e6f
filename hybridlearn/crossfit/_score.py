"""Scores of margins by scikit-learn's scorers."""

from __future__ import annotations

import warnings
from inspect import signature
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import check_scoring, log_loss, make_scorer

from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn.crossfit._out_of_fold import BLEND, OutOfFold


def check_can_score(target: np.ndarray, weight: np.ndarray, classes: np.ndarray | None, scoring: Any) -> None:
    """Score constant margins, so that a score that does not suit the target is known before hours of fitting."""
    n_outputs = 1 if classes is None or len(classes) == 2 else len(classes)
    constant = target.mean() if classes is None else 0.0
    margin = np.full((len(target), n_outputs), constant)
    with warnings.catch_warnings():
        # metrics warn of labels that are never predicted
        warnings.simplefilter("ignore")
        try:
            score = score_margin(margin, target, weight, classes, scoring)
        except AttributeError as error:
            raise ValueError(f"scoring={scoring!r} does not suit this target: {error}") from error
    if not np.isfinite(score):
        raise ValueError(f"scoring={scoring!r} gives {score} for this target; choose another")


def score_margin(
    margin: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    classes: np.ndarray | None,
    scoring: Any,
    *,
    threshold: Any = 0.5,
) -> float:
    """What scikit-learn's scorer says of an estimator with these margins."""
    if classes is not None and isinstance(scoring, str) and classes.dtype.kind not in "biuf":
        # "f1" and its like look for a label 1, and mean the second class
        classes = np.arange(len(classes))
    told = _told(margin, classes, threshold)
    scorer = _scorer(told, scoring, classes)
    labels = target if classes is None else classes[target]
    return float(scorer(told, np.arange(len(target))[:, None], labels, **_weights_for(scorer, weight)))


def score_labels(
    counts: np.ndarray, oof: OutOfFold, rows: np.ndarray, thresholds: np.ndarray, scoring: Any
) -> np.ndarray:
    """What a scorer says of the labels of two classes at some thresholds.

    Parameters
    ----------
    counts : ndarray of shape (n_thresholds, 2, 2)
        Weight of the rows by true and by predicted class: all that a scorer of scikit-learn needs to know.
    oof : OutOfFold
    rows : ndarray of int
        Those that were counted; a callable is asked about them one by one.
    thresholds : ndarray of shape (n_thresholds,)
    scoring : str or callable

    Returns
    -------
    ndarray of shape (n_thresholds,)

    Raises
    ------
    ValueError
        On a score of probabilities, which no threshold changes.
    """
    with warnings.catch_warnings():
        # metrics warn of labels that are never predicted
        warnings.simplefilter("ignore")
        if callable(scoring):
            margin, target, weight = oof.margins[BLEND][rows], oof.target[rows], oof.weight[rows]
            try:
                return np.array(
                    [score_margin(margin, target, weight, oof.classes, scoring, threshold=t) for t in thresholds]
                )
            except (TypeError, ValueError) as error:
                raise ValueError(f"threshold={scoring!r} cannot score these labels: {error}") from error
        cells = _ToldLabels()
        cells.classes_ = np.arange(2)
        true, predicted = np.array([0, 0, 1, 1]), np.array([[0], [1], [0], [1]])
        try:
            scorer = check_scoring(cells, scoring)
            # rows of a cell are as one, of their weight
            return np.array([scorer(cells, predicted, true, sample_weight=own.ravel()) for own in counts])
        except (AttributeError, TypeError) as error:
            raise ValueError(
                f"threshold={scoring!r} is no score of labels, such as 'f1' and 'balanced_accuracy': {error}"
            ) from error


class _ToldLabels(ClassifierMixin, BaseEstimator):
    """A classifier that knows labels only: those it was told."""

    def fit(self, X: Any, y: Any) -> Self:
        """Scorers ask for the method; nothing calls it."""
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0]


def _scorer(told: _Told, scoring: Any, classes: np.ndarray | None) -> Any:
    if scoring == "neg_log_loss":
        # a class may be in no test part: scikit-learn's own scorer would not know of it
        return make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=classes)
    return check_scoring(told, scoring)


class _Told(BaseEstimator):
    """An estimator for scorers that says the margins it was told; `X` holds row positions."""

    told_margin_: np.ndarray

    def fit(self, X: Any, y: Any) -> Self:
        """Scorers ask for the method; nothing calls it."""
        return self

    def margin(self, X: np.ndarray) -> np.ndarray:
        return self.told_margin_[X[:, 0]]


class _ToldClassifier(ClassifierHead, _Told):
    pass


class _ToldRegressor(RegressorHead, _Told):
    pass


def _told(margin: np.ndarray, classes: np.ndarray | None, threshold: Any) -> _Told:
    if classes is None:
        told: _Told = _ToldRegressor()
    else:
        told = _ToldClassifier()
        told.classes_, told.threshold = classes, threshold
    told.told_margin_ = margin
    return told


def _weights_for(scorer: Any, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Weights, where there is something to weigh and the scorer takes them: a callable of the user's may not."""
    takes = "sample_weight" in signature(scorer).parameters
    return {"sample_weight": weight} if takes and (weight != weight[0]).any() else {}
