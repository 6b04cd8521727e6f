"""One stage of boosting: what is handed to an estimator to learn the rest, and the step that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import is_classifier

from hybridlearn._heads import centred
from hybridlearn._protocols import Term
from hybridlearn.crossfit import SKIPPED, FoldModel, starts_from_margin, takes_weights
from hybridlearn.table import TrainingRows

# Newton's target is unbounded where a row is badly wrong. The usual bound of 4 (Friedman, Hastie and Tibshirani, 2000)
# is for a start at even odds; from the log prior, the rows of a class of 1 % ask for steps of 100.
_LARGEST_STEP = 100.0


@dataclass(frozen=True, eq=False)
class MeanModel:
    """The mean margin of models that were fitted on parts of the same rows; of none, zero."""

    models: tuple[FoldModel, ...]
    n_outputs: int

    def terms(self) -> list[Term]:
        """The sum that the margin is."""
        return [Term("", 1 / len(self.models), model) for model in self.models]

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row of the table, shape (n_rows, n_outputs)."""
        if not self.models:
            return np.zeros((X.shape[0], self.n_outputs))
        return np.mean([model.margin(X) for model in self.models], axis=0)


@dataclass(frozen=True, eq=False)
class ClasswiseModel:
    """A regressor a class, fitted to the gradient of each."""

    models: tuple[FoldModel, ...]

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row of the table, shape (n_rows, n_classes)."""
        return classwise(np.column_stack([model.margin(X) for model in self.models]))


def log_prior(codes: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """The margin that knows the shares of the classes only, each counted half a row more, shape (n_outputs,)."""
    share = np.bincount(codes, weight / weight.mean(), minlength=n_classes) + 0.5
    log_share = np.log(share)
    return log_share[1:] - log_share[:1] if n_classes == 2 else centred(log_share[None])[0]


def left_over(estimator: Any, rows: TrainingRows, start: np.ndarray, *, n_classes: int) -> list[TrainingRows]:
    """What is left to learn behind margins, as the estimator can take it.

    Parameters
    ----------
    estimator : estimator
    rows : TrainingRows
    start : ndarray of shape (n_rows, n_outputs)
        Margins so far.
    n_classes : int
        0 in regression.

    Returns
    -------
    list of TrainingRows
        In regression, the residuals. For a classifier that starts from margins, the rows with these. For a regressor
        among classes, Newton's step of the log loss, weighted by the Hessian; with more than two classes, one table
        a class.
    """
    if not n_classes:
        return [replace(rows, target=rows.target - start[:, 0])]
    if is_classifier(estimator) and starts_from_margin(estimator):
        return [replace(rows, base_margin=start)]
    codes = rows.target if n_classes == 2 else np.eye(n_classes)[rows.target].T
    probability = expit(start[:, 0]) if n_classes == 2 else softmax(start, axis=1).T
    weighs = takes_weights(estimator)
    return [_newton(rows, y, p, weighs) for y, p in zip(*np.atleast_2d(codes, probability), strict=True)]


def _newton(rows: TrainingRows, indicator: np.ndarray, probability: np.ndarray, weighs: bool) -> TrainingRows:
    """Newton's step for one class; its square times the Hessian, what a row weighs in a fit, stays below the bound."""
    residual, hessian = indicator - probability, probability * (1 - probability)
    # who takes no weights gets the gradient, in units of the largest Hessian
    step = residual / np.maximum(hessian, 1e-6) if weighs else residual / 0.25
    weight = rows.weight * hessian if weighs else rows.weight
    return replace(rows, target=np.clip(step, -_LARGEST_STEP, _LARGEST_STEP), weight=weight)


def classwise(columns: np.ndarray) -> np.ndarray:
    """Steps of the classes, each taken as if the others stood still, as one step of all: shape (n_rows, n_classes)."""
    return centred(columns) * (1 - 1 / columns.shape[1])


def as_one(models: Sequence[FoldModel]) -> FoldModel:
    """The step of a stage on one part of the rows: its only model, or one a class."""
    if len(models) == 1:
        return models[0]
    return FoldModel(ClasswiseModel(tuple(models)), models[0].n_train, None, len(models))


def cut_of_stage(cut: dict[str, str]) -> str:
    """What was cut of the candidates for a stage, as one; "" where nothing was."""
    told = "; ".join(f"{name}: {what.removeprefix(SKIPPED)}" for name, what in cut.items() if what)
    is_gone = bool(cut) and all(what.startswith(SKIPPED) for what in cut.values())
    return f"{SKIPPED}{told}" if is_gone else told
