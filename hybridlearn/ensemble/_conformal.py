"""Intervals and sets of labels from the out-of-fold table: the conformal method CV+, and jackknife+ after bootstrap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax

from hybridlearn.crossfit import BLEND, OutOfFold
from hybridlearn.ensemble._replay import judges
from hybridlearn.table import take_rows

# Scores of training rows, times new rows, that are held at once.
_MOST_SCORES = 2**24


def check_conformal(oof: OutOfFold, alpha: Any) -> None:
    """A ValueError unless `alpha` is a level and rows are exchangeable."""
    if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number) or not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} must be a number between 0 and 1: the share of targets that may be missed")
    if oof.is_ordered:
        raise ValueError(
            "folds that go forward in time give no intervals and no sets: these take it that the rows to come are like "
            "those seen, in any order"
        )


def intervals(ensemble: Any, table: Any, alpha: float) -> np.ndarray:
    """Lower and upper end for each row of the table, shape (n_rows, 2); infinite where there are too few residuals.

    The row `i` of the training and what was predicted for it without it give a residual; the ends are quantiles over
    `i` of the prediction of the same models for the new row, minus and plus that residual.
    """
    oof = ensemble.oof_
    residual = np.abs(oof.target - oof.margins[BLEND][:, 0])
    rows = np.flatnonzero(oof.covered)
    place = np.cumsum(oof.covered) - 1
    ends = [np.empty((0, 2))]
    for part in _parts(table, len(rows)):
        told = np.empty((len(rows), _length(part)))
        for judged, margin in judges(ensemble, part):
            told[place[judged]] = margin[:, 0]
        of_row = residual[rows, None]
        weight = oof.weight[rows]
        lower, upper = -_quantile(of_row - told, weight, alpha), _quantile(told + of_row, weight, alpha)
        ends.append(np.column_stack([lower, upper]))
    return np.concatenate(ends)


def _quantile(values: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Of each column, the least value that (1 - alpha) (n + 1) of the n rows do not exceed; infinite if n are few."""
    n = len(values)
    wanted = (1 - alpha) * (n + 1) - 1e-9
    if wanted > n:
        return np.full(values.shape[1], np.inf)
    if (weight == weight[0]).all():
        k = math.ceil(wanted) - 1
        return np.partition(values, k, axis=0)[k]
    order = np.argsort(values, axis=0)
    reached = np.cumsum(weight[order] * (n / weight.sum()), axis=0) >= wanted
    return np.take_along_axis(np.take_along_axis(values, order, axis=0), reached.argmax(axis=0)[None], axis=0)[0]


def label_sets(ensemble: Any, table: Any, alpha: float) -> np.ndarray:
    """Which labels are in the set of each row, bool of shape (n_rows, n_classes).

    A label is in it unless too many rows of that label have, by models that never saw them, a higher probability of
    their label than the same models give it for the new row: class by class, so that each is covered.
    """
    oof = ensemble.oof_
    n_classes = len(oof.classes)
    rows = np.flatnonzero(oof.covered)
    score = np.full(len(oof.target), np.nan)
    score[rows] = -_log_probabilities(oof.margins[BLEND][rows])[np.arange(len(rows)), oof.target[rows]]
    n_of = np.bincount(oof.target[rows], minlength=n_classes)
    weight_of = np.bincount(oof.target[rows], oof.weight[rows], minlength=n_classes)
    # of a class whose rows all lie outside the test parts nothing is known: it is in every set
    weight = oof.weight * np.divide(n_of, weight_of, out=np.zeros(n_classes), where=n_of > 0)[oof.target]
    sets = [np.empty((0, n_classes), dtype=bool)]
    for part in _parts(table, n_classes):
        below = np.zeros((_length(part), n_classes))
        for judged, margin in judges(ensemble, part):
            told = -_log_probabilities(margin)
            for label in np.unique(oof.target[judged]):
                own = judged[oof.target[judged] == label]
                own = own[np.argsort(score[own])]
                reached = np.concatenate([[0.0], np.cumsum(weight[own])])
                below[:, label] += reached[np.searchsorted(score[own], told[:, label], side="left")]
        sets.append(below < (1 - alpha) * (n_of + 1) - 1e-9)
    return np.concatenate(sets)


def _log_probabilities(margin: np.ndarray) -> np.ndarray:
    """Shape (n_rows, n_classes)."""
    if margin.shape[1] > 1:
        return log_softmax(margin, axis=1)
    return np.column_stack([log_expit(-margin[:, 0]), log_expit(margin[:, 0])])


def _parts(table: Any, n_scores: int) -> Iterator[Any]:
    """The table, some rows at a time."""
    size = max(1, _MOST_SCORES // max(n_scores, 1))
    for start in range(0, _length(table), size):
        yield take_rows(table, np.arange(start, min(start + size, _length(table))))


def _length(table: Any) -> int:
    return int(table.shape[0])
