"""The margin of any estimator: the one quantity that hybrids add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator

from hybridlearn._heads import centred
from hybridlearn._protocols import HasMargin


def margin(estimator: Any, X: Any, *, floor: float = 1e-6) -> np.ndarray:
    """Read the margin of a fitted estimator.

    Natively where there is one: our estimators, a net's logits, an XGBoost wrapper's ``output_margin``, a
    regressor's prediction. Otherwise from ``predict_proba``, clipped so that a forest or k-NN that says 0 or 1
    cannot swamp a sum.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    X : array-like or DataFrame of shape (n_rows, n_columns)
    floor : float, default=1e-6
        Probabilities are clipped to [floor, 1 - floor]; cross-fitting takes ``1 / (2 * n_train)``.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs), float64
        Binary: log-odds of ``classes_[1]``; multiclass: centred log-probabilities; regression: the prediction.

    Raises
    ------
    TypeError
        When a classifier has neither ``predict_proba`` nor a native margin, or has learned several labels.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> margin(KNeighborsClassifier().fit(X, y), X[:2], floor=0.01).round(2)
    array([[-4.6],
           [-4.6]])
    """
    if isinstance(estimator, FrozenEstimator):
        # what is frozen answers for itself: not every Python sees its methods through the ice
        return margin(estimator.estimator, X, floor=floor)
    if isinstance(estimator, HasMargin):
        return estimator.margin(X)
    if not is_classifier(estimator):
        predicted = np.asarray(estimator.predict(X), dtype=np.float64)
        return predicted.reshape(len(predicted), -1)
    native = _native_margin(estimator, X)
    if native is not None:
        return native if native.shape[1] == 1 else centred(native)
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{type(estimator).__name__} has no predict_proba, so it has no margin; wrap it: "
            "CalibratedClassifierCV(estimator, method='sigmoid')"
        )
    probabilities = estimator.predict_proba(X)
    if isinstance(probabilities, list):
        raise TypeError(f"{type(estimator).__name__} has learned several labels a row, of which there is no one margin")
    return _margin_of_probabilities(np.asarray(probabilities, dtype=np.float64), floor)


def _native_margin(estimator: Any, X: Any) -> np.ndarray | None:
    """(n_rows, n_outputs) where the last step of the estimator knows its margin."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if isinstance(last, HasMargin):
        raw = estimator.decision_function(X)
    elif _takes_output_margin(last) and not (last is not estimator and get_config()["enable_metadata_routing"]):
        raw = estimator.predict(X, output_margin=True)
    else:
        return None
    raw = np.asarray(raw, dtype=np.float64)
    return raw.reshape(len(raw), -1)


def _takes_output_margin(estimator: Any) -> bool:
    return hasattr(estimator, "predict") and "output_margin" in signature(estimator.predict).parameters


def _margin_of_probabilities(probabilities: np.ndarray, floor: float) -> np.ndarray:
    clipped = np.clip(probabilities, floor, 1 - floor)
    if clipped.shape[1] == 2:
        return (np.log(clipped[:, 1]) - np.log1p(-clipped[:, 1]))[:, None]
    return centred(np.log(clipped))


@dataclass(frozen=True)
class FoldModel:
    """A member fitted on the training part of one fold.

    Attributes
    ----------
    estimator : estimator
        Fitted; a classifier knows the classes of its training part as 0, 1, ... without gaps.
    n_train : int
        Rows of that part.
    present : ndarray of int or None
        Which class codes stand behind 0, 1, ...; None in regression.
    n_classes : int
        Classes of the whole target; 0 in regression.
    shift : ndarray of shape (n_outputs,) or None, default=None
        Added to each margin: where learning started, or what puts back a prior that sampling has changed.
    is_step : bool, default=False
        Whether the estimator has learned what is to be added to margins: of a class that it has not seen, nothing.
    front : transformer or None, default=None
        What the estimator sees the rows through: fitted on the same training part, and shared with other members.
    """

    estimator: Any
    n_train: int
    present: np.ndarray | None
    n_classes: int
    shift: np.ndarray | None = None
    is_step: bool = False
    front: Any = None

    @property
    def lacks_classes(self) -> bool:
        """Whether a class of the whole target was not among its rows."""
        return self.present is not None and len(self.present) < self.n_classes

    @property
    def floor(self) -> float:
        """To what probabilities are clipped, [floor, 1 - floor], where the estimator has no margin of its own."""
        return 1 / (2 * self.n_train)

    def margin(self, X: Any) -> np.ndarray:
        """Margin over all classes, shape (n_rows, n_outputs); an absent class has probability 1 / (2 n_train)."""
        return self.margin_behind(self.seen(X))

    def seen(self, X: Any) -> Any:
        """The rows as the estimator sees them."""
        return X if self.front is None else self.front.transform(X)

    def margin_behind(self, seen: Any) -> np.ndarray:
        """As :meth:`margin`, of rows as the estimator sees them."""
        plain = self._margin(seen)
        return plain if self.shift is None else plain + self.shift

    def _margin(self, X: Any) -> np.ndarray:
        floor = self.floor
        if not self.lacks_classes:
            return margin(self.estimator, X, floor=floor)
        if self.is_step:
            seen, elsewhere = _one_a_class(self.estimator, X, floor), 0.0
        else:
            seen, elsewhere = log_softmax(_one_a_class(self.estimator, X, floor), axis=1), np.log(floor)
        full = np.full((len(seen), self.n_classes), elsewhere)
        full[:, self.present] = seen
        return full[:, [1]] - full[:, [0]] if self.n_classes == 2 else centred(full)


def margins_by_member(models: Mapping[str, Sequence[FoldModel]], table: Any) -> dict[str, list[np.ndarray]]:
    """Of each member, the margin of each of its models for the rows of one table.

    What a front makes of the table is made once for all members behind it.
    """
    fronts = {id(model.front): model for own in models.values() for model in own}
    seen = {key: model.seen(table) for key, model in fronts.items()}
    return {name: [model.margin_behind(seen[id(model.front)]) for model in own] for name, own in models.items()}


def _one_a_class(estimator: Any, X: Any, floor: float) -> np.ndarray:
    """Margins of the classes that the estimator knows, shape (n_rows, n_known)."""
    if len(estimator.classes_) == 1:
        return np.zeros((X.shape[0], 1))
    known = margin(estimator, X, floor=floor)
    return np.column_stack([-known / 2, known / 2]) if known.shape[1] == 1 else known
