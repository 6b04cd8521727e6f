"""The half of an estimator that owns the target: labels in, margins out as labels, probabilities, numbers.

A family base (a net, a booster, a blend) supplies ``margin(X)`` and ``_fit(X, target, ...)``; the head makes a
classifier or a regressor of it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from hybridlearn._target import encode_classes, find_classes, to_numbers


def probabilities(margin: np.ndarray) -> np.ndarray:
    """Turn margins into probabilities.

    Parameters
    ----------
    margin : ndarray of shape (n_rows, 1) or (n_rows, n_classes)
        Log-odds of the second class, or log-probabilities up to a constant a row.

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float64
        Rows sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> probabilities(np.array([[0.0]]))
    array([[0.5, 0.5]])
    """
    if margin.shape[1] > 1:
        return softmax(margin, axis=1)
    return np.column_stack([expit(-margin[:, 0]), expit(margin[:, 0])])


def centred(log_probabilities: np.ndarray) -> np.ndarray:
    """Shift each row to sum to 0: the margin of a multiclass model."""
    return log_probabilities - log_probabilities.mean(axis=1, keepdims=True)


def decided(probability: np.ndarray, threshold: Any) -> np.ndarray:
    """Class codes that are predicted.

    Parameters
    ----------
    probability : ndarray of shape (n_rows, n_classes)
    threshold : float, ndarray of shape (n_rows,) or ndarray of shape (n_classes, n_classes)
        Above it is the second of two classes; or what it costs to predict class j where it is i: then the class of
        least expected cost is predicted.

    Returns
    -------
    ndarray of shape (n_rows,), int
    """
    if np.ndim(threshold) == 2:
        return (probability @ threshold).argmin(axis=1)
    if probability.shape[1] == 2:
        return (probability[:, 1] > threshold).astype(int)
    return probability.argmax(axis=1)


class ClassifierHead(ClassifierMixin):
    """Owns ``classes_`` and all that is said of a class; a ``threshold``, where it is a parameter, moves labels."""

    _is_classifier: ClassVar[bool] = True
    threshold: float = 0.5

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Class codes of shape (n_rows,), int64; sets ``classes_``, unless a continued fit has kept them."""
        if not hasattr(self, "classes_"):
            self.classes_ = find_classes(self, y)
        return encode_classes(self.classes_, y)

    def _class_weights(self, codes: np.ndarray) -> np.ndarray:
        """Weight of each row by ``class_weight``, shape (n_rows,)."""
        weights = compute_sample_weight(self.class_weight, self.classes_[codes])
        if (weights < 0).any() or not weights.any():
            raise ValueError(f"class_weight={self.class_weight!r} must hold no negative weight, and a positive one")
        return weights

    @property
    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def decision_function(self, X: Any) -> np.ndarray:
        """Margin of each row: log-odds of ``classes_[1]``, or centred log-probabilities of all classes.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes), float64
        """
        margin = self.margin(X)
        return margin[:, 0] if margin.shape[1] == 1 else margin

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            Rows sum to 1; columns in the order of ``classes_``.
        """
        return probabilities(self.margin(X))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class; of two, ``classes_[1]`` where its probability is above 0.5, or above ``threshold``.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,)
            Of the type of ``classes_``.
        """
        check_is_fitted(self)
        return self._labels_of(self.predict_proba(X))

    def _labels_of(self, probability: np.ndarray) -> np.ndarray:
        """What is predicted where the classes have these probabilities, shape (n_rows, n_classes)."""
        return self.classes_[decided(probability, self.threshold)]


class RegressorHead(RegressorMixin):
    """Owns a target of numbers."""

    _is_classifier: ClassVar[bool] = False

    @property
    def _n_outputs(self) -> int:
        return 1

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Numbers of shape (n_rows,), float64."""
        return to_numbers(y)

    def _class_weights(self, target: np.ndarray) -> np.ndarray:
        """Ones: a regression has no classes to weigh."""
        return np.ones(len(target))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,), float64
            In units of the target.
        """
        return self.margin(X)[:, 0]
