"""What a classifier decides, as functions of its margin that are above 0."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted, column_or_1d

from hybridlearn._heads import ClassifierHead
from hybridlearn._target import encode_classes
from hybridlearn.crossfit import margin, no_news_of_levels, unwrapped
from hybridlearn.modules import NotCertifiableError
from hybridlearn.table import Box

# Margins nearer to each other than this may be the same once they have become probabilities in float32.
TIE = 1e-6


@dataclass(frozen=True, eq=False)
class Decision:
    """What a classifier decides, and how far its margin is from another decision.

    Attributes
    ----------
    codes : ndarray of shape (n_rows,), int
        Positions in ``classes_``.
    wanted : ndarray of shape (n_rows, n_functions, n_outputs)
        Functions of the margin, all above 0 where the decision is this one: of two classes one, of more one a class.
    ahead : ndarray of shape (n_rows, n_functions), float64
        Their values, above 0; infinite where there is nothing to be ahead of.
    turns_at : float, default=0.0
        Of two classes, the margin above which the second is decided for.
    """

    codes: np.ndarray
    wanted: np.ndarray
    ahead: np.ndarray
    turns_at: float = 0.0

    @classmethod
    def of(cls, model: Any, box: Box) -> Decision:
        """Of a fitted model on the rows of a box as they are."""
        inner = unwrapped(model)
        if hasattr(inner, "fit") and not hasattr(inner, "steps"):
            check_is_fitted(inner)
        if not is_classifier(model):
            raise NotCertifiableError(f"{type(inner).__name__} is no classifier: it takes no decision")
        if getattr(inner, "multilabel_", False):
            raise NotCertifiableError(f"{type(inner).__name__} has learned several labels a row, not one decision")
        margins = margin(model, box.table)
        with no_news_of_levels():
            labels = np.asarray(model.predict(box.table))
        if not np.isin(labels, model.classes_).all():
            raise NotCertifiableError(f"{type(inner).__name__} predicts more than its classes, which no margin decides")
        codes = encode_classes(model.classes_, labels)
        if margins.shape[1] == 1:
            sign = np.where(codes == 1, 1.0, -1.0)
            turns_at = float(logit(_threshold(model)))
            wanted, ahead = sign[:, None, None], sign[:, None] * (margins - turns_at)
        else:
            turns_at = 0.0
            each = np.eye(margins.shape[1])
            wanted = each[codes][:, None] - each
            ahead = (wanted @ margins[..., None])[..., 0]
            ahead[np.arange(len(codes)), codes] = np.inf
        if (ahead < -TIE).any() or np.ndim(_threshold(model)) == 2:
            raise NotCertifiableError(
                f"{type(inner).__name__} does not decide by its margin alone: a cost matrix, or a calibration that "
                "does not keep the order of classes, has no certificate"
            )
        # what is a tie to float32, predict has decided
        return cls(codes, wanted, np.maximum(ahead, np.finfo(np.float64).tiny), turns_at)

    def take(self, rows: np.ndarray) -> Decision:
        """Of some rows."""
        return Decision(self.codes[rows], self.wanted[rows], self.ahead[rows], self.turns_at)

    def is_right(self, model: Any, y: Any) -> np.ndarray:
        """Whether each decision is that of a label, shape (n_rows,), bool."""
        y = column_or_1d(y)
        if len(y) != len(self.codes):
            raise ValueError(f"y has {len(y)} labels, X has {len(self.codes)} rows")
        return self.codes == encode_classes(model.classes_, y)

    @property
    def distance(self) -> np.ndarray:
        """How far each row is from another decision."""
        return self.ahead.min(axis=1)

    def at(self, margins: np.ndarray) -> np.ndarray:
        """How far other rows with these margins, shape (n_rows, n_outputs), are from another decision than these."""
        n_outputs = margins.shape[1]
        ahead = (self.wanted @ (margins - self.turns_at)[..., None])[..., 0]
        # a tie is the first class's
        others = np.arange(n_outputs)[None] if n_outputs > 1 else 1 - self.codes[:, None]
        tiny = np.where(others < self.codes[:, None], -1, 1) * np.finfo(np.float64).tiny
        ahead = np.where(ahead == 0, tiny, ahead)
        return np.where(np.isinf(self.ahead), np.inf, ahead).min(axis=1)


def _threshold(model: Any) -> Any:
    last = unwrapped(model)
    while hasattr(last, "steps"):
        last = unwrapped(last.steps[-1][1])
    if not isinstance(last, ClassifierHead):
        return 0.5
    # as its predict: a number may have been set since fit
    return last.threshold if isinstance(last.threshold, Real) else last.threshold_  # type: ignore[attr-defined]
