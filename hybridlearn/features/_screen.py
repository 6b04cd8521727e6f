"""Cheap scores of a candidate: how much it says of what a fast model leaves of the target.

All are z-scores: about standard normal for a candidate that has nothing to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridlearn._heads import probabilities
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit import FoldFit, MemberError, fit_fold, sample_of
from hybridlearn.table import TrainingRows
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

# Rows by which candidates are judged.
MOST_ROWS = 10_000
# A chosen candidate has a score that is larger than each of its parents' by so much.
LEAST_SCORE = 4.0
_N_SPLITS = 3
_FEWEST_ROWS = 20
_N_BINS = 24
# A rare level says little: its mean counts as if so many rows without a residual were in it.
_SMOOTHING = 5.0
# Trees of a booster that is stopped before it has learned all: what it leaves is what takes trees long to say.
_N_TREES, _FEWEST_TREES = 60, 12


def short_of_trees(n_classes: int, seed: int) -> Any:
    """A booster of few trees; `n_classes` is 0 in regression."""
    n_rounds = _N_TREES if n_classes < 3 else max(_FEWEST_TREES, 4 * _N_TREES // n_classes)
    kind = BoostedTreesClassifier if n_classes else BoostedTreesRegressor
    return kind(
        n_estimators=n_rounds,
        learning_rate=min(0.3, 8 / n_rounds),
        max_depth=5,
        early_stopping=False,
        random_state=seed,
    )


def few_splits(rows: TrainingRows, *, classification: bool, seed: int, n_splits: int = _N_SPLITS) -> list[Split]:
    """Folds that follow groups and time; none where rows, groups or times are too few to be split twice."""
    by = rows.groups if rows.time is None else rows.time
    if len(rows) < _FEWEST_ROWS or (by is not None and len(np.unique(by)) < 2 * (n_splits + 1)):
        return []
    codes = rows.target if classification else None
    groups = rows.groups
    if rows.parents is not None and by is None:
        # copies of a row, and what was made of it, share its fold
        groups = np.unique(rows.parents[:, 0], return_inverse=True)[1]
    return folds(codes, groups, n_rows=len(rows), n_splits=n_splits, seed=seed, time=rows.time)


def left_over(rows: TrainingRows, n_classes: int, *, weighted: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the rows, and what a fast model that never saw them leaves of their target.

    Returns
    -------
    sample : ndarray of int of shape (n_sample,)
    residual : ndarray of shape (n_sample, n_outputs)
        Of two classes, one: the second one's indicator less its probability.
    """
    classification = n_classes > 0
    sample = sample_of(rows.target if classification else None, np.arange(len(rows)), MOST_ROWS, seed=seed)
    few = rows.take(sample)
    residual = np.full((len(few), n_classes if n_classes > 2 else 1), np.nan)
    for split in few_splits(few, classification=classification, seed=seed):
        fit = FoldFit("trees", short_of_trees(n_classes, seed), few, split)
        outcome = fit_fold(fit, n_classes=n_classes, weighted=weighted, seed=seed)
        if isinstance(outcome, MemberError):
            raise outcome
        residual[split[1]] = _residual(outcome.margin, few.target[split[1]], n_classes)
    judged = ~np.isnan(residual[:, 0])
    return sample[judged], residual[judged]


def _residual(margin: np.ndarray, target: np.ndarray, n_classes: int) -> np.ndarray:
    if n_classes == 0:
        return target[:, None] - margin
    surprise = np.eye(n_classes)[target] - probabilities(margin)
    return surprise if n_classes > 2 else surprise[:, [1]]


def number_score(values: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> float:
    """Of a number: how far apart the residuals are of its quantile bins.

    Parameters
    ----------
    values : ndarray of shape (n_sample,)
    residual : ndarray of shape (n_sample, n_outputs)
    weight : ndarray of shape (n_sample,)
    """
    bins = _bins(values)
    # the variance of a weighted sum
    spread = np.bincount(bins, weight**2)
    # a bin of next to no weight is none
    used = spread > 1e-12 * spread.max(initial=0.0)
    n_free = used.sum() - 1
    if n_free < 1:
        return 0.0
    centred, variance = _centred(residual, weight)
    sums = (np.bincount(bins, weight * column)[used] for column in centred.T)
    between = sum(float((total**2 / spread[used]).sum()) for total in sums) / variance
    n_free = n_free * residual.shape[1]
    return float((between - n_free) / np.sqrt(2 * n_free))


def level_score(codes: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> float:
    """Of levels: whether the residual of a row goes with the mean of the others of its level.

    Parameters
    ----------
    codes : ndarray of int of shape (n_sample,)
    residual : ndarray of shape (n_sample, n_outputs)
    weight : ndarray of shape (n_sample,)
    """
    if len(codes) == 0:
        return 0.0
    _, codes = np.unique(codes, return_inverse=True)
    of_level = np.bincount(codes, weight)[codes]
    centred, variance = _centred(residual, weight)
    score = 0.0
    for column in centred.T:
        own = weight * column
        others = (np.bincount(codes, own)[codes] - own) / (of_level - weight + _SMOOTHING)
        spread = np.sqrt(((weight * others) ** 2).sum() * variance)
        score += (own @ others) / spread if spread > 0 else 0.0
    # two rows of a level say the same of each other, and count twice
    return float(score / np.sqrt(2 * residual.shape[1]))


def _centred(residual: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Residuals without their mean, and their variance: that of all outputs, lest a rare class weighs as any other."""
    centred = residual - np.average(residual, axis=0, weights=weight)
    return centred, float(np.average((centred**2).mean(axis=1), weights=weight)) or 1.0


def _bins(values: np.ndarray) -> np.ndarray:
    """Quantile bins of a number, missing values being one: codes from 0, shape (n_sample,)."""
    present = values[~np.isnan(values)]
    if len(present) == 0:
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(present, np.arange(1, _N_BINS) / _N_BINS))
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
