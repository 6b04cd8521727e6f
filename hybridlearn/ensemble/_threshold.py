"""Where a classifier draws the line: learned from out-of-fold margins, for a score or for what mistakes cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import expit

from hybridlearn.crossfit import BLEND, OutOfFold, score_labels

Threshold = float | np.ndarray
# Thresholds that are tried: so many by the ranks of all rows, and by those of the second class.
_N_TRIED = 50


@dataclass(frozen=True, eq=False)
class Cells:
    """What happens to the rows of two classes at some thresholds.

    Attributes
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        A probability above one is of the second class.
    counts : ndarray of shape (n_thresholds, 2, 2)
        Weight of the rows by true and by predicted class.
    """

    thresholds: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, oof: OutOfFold, rows: np.ndarray) -> Cells:
        """Of rows of the table, by the blend's margin."""
        probability, target = expit(oof.margins[BLEND][rows, 0]), oof.target[rows]
        thresholds = _tried(probability, target)
        order = np.argsort(probability, kind="stable")
        weight = oof.weight[rows][order][:, None] * (target[order][:, None] == [0, 1])
        below = np.vstack([np.zeros(2), weight.cumsum(axis=0)])
        under = below[np.searchsorted(probability[order], thresholds, side="right")]
        return cls(thresholds, np.stack([under, below[-1] - under], axis=2))


def _tried(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Thresholds half-way between probabilities of rows that follow each other."""
    found = []
    for some in (probability, probability[target == 1]):
        ranked = np.unique(some)
        found.append(ranked[np.linspace(0, len(ranked) - 1, min(len(ranked), _N_TRIED)).astype(int)])
    chosen = np.unique(np.concatenate(found))
    return np.concatenate([(chosen[1:] + chosen[:-1]) / 2, [0.5]]) if len(chosen) > 1 else np.array([0.5])


def check_threshold(threshold: Any, classes: np.ndarray) -> None:
    """Raise unless it can be used for these classes."""
    n_classes = len(classes)
    if _is_cost(threshold):
        _read_cost(threshold, n_classes)
    elif n_classes > 2 and not (isinstance(threshold, Real) and threshold == 0.5):
        raise ValueError(
            f"threshold={threshold!r} is for two classes, y has {n_classes}; give what mistakes cost, as an array of "
            f"shape ({n_classes}, {n_classes})"
        )


def learn_threshold(threshold: Any, oof: OutOfFold, rows: np.ndarray) -> Threshold:
    """The threshold that is best on rows of the table; of more than two classes, the costs themselves.

    Parameters
    ----------
    threshold : float, str, callable or array-like of shape (n_classes, n_classes)
    oof : OutOfFold
        With the blend's margins.
    rows : ndarray of int
        To learn from; 0.5 (or what the costs imply) where there are none.
    """
    if isinstance(threshold, Real):
        return float(threshold)
    if not _is_cost(threshold):
        return _best(Cells.of(oof, rows), _score_of(threshold, oof, rows)) if len(rows) else 0.5
    cost = _read_cost(threshold, len(np.asarray(oof.classes)))
    if len(cost) > 2:
        return cost
    implied = _implied(cost)
    return _least_cost(cost, oof, rows, implied) if len(rows) else implied


def _score_of(scoring: Any, oof: OutOfFold, rows: np.ndarray) -> Callable[[Cells], np.ndarray]:
    def score(cells: Cells) -> np.ndarray:
        return score_labels(cells.counts, oof, rows, cells.thresholds, scoring)

    return score


def _best(cells: Cells, score: Callable[[Cells], np.ndarray]) -> float:
    """The middle one of the best."""
    scores = score(cells)
    if np.isnan(scores).all():
        raise ValueError("threshold is a score that is NaN whatever the threshold")
    best = np.sort(cells.thresholds[scores >= np.nanmax(scores)])
    return float(best[len(best) // 2])


def _least_cost(cost: np.ndarray, oof: OutOfFold, rows: np.ndarray, implied: float) -> float:
    """The threshold of least cost, where by folds it saves more than a standard error; else the implied one."""

    def gain(cells: Cells) -> np.ndarray:
        return -np.tensordot(cells.counts, cost)

    saved = []
    for fold in np.unique(oof.fold[rows]):
        own, others = rows[oof.fold[rows] == fold], rows[oof.fold[rows] != fold]
        if len(others):
            found = _best(Cells.of(oof, others), gain)
            saved.append(_cost_at(implied, cost, oof, own) - _cost_at(found, cost, oof, own))
    is_cheaper = len(saved) > 1 and np.mean(saved) > np.std(saved, ddof=1) / np.sqrt(len(saved))
    return _best(Cells.of(oof, rows), gain) if is_cheaper else implied


def _cost_at(threshold: float, cost: np.ndarray, oof: OutOfFold, rows: np.ndarray) -> float:
    predicted = (expit(oof.margins[BLEND][rows, 0]) > threshold).astype(int)
    return float(oof.weight[rows] @ cost[oof.target[rows], predicted])


def _implied(cost: np.ndarray) -> float:
    """The threshold of least expected cost, if probabilities are right (Elkan, 2001)."""
    false_alarm, miss = cost[0, 1] - cost[0, 0], cost[1, 0] - cost[1, 1]
    return float(false_alarm / (false_alarm + miss))


def _is_cost(threshold: Any) -> bool:
    return not isinstance(threshold, str | Real) and not callable(threshold)


def _read_cost(cost: Any, n_classes: int) -> np.ndarray:
    try:
        array = np.asarray(cost, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"threshold={cost!r:.80} is no number, no score and no cost matrix: {error}") from error
    if array.shape != (n_classes, n_classes) or not np.isfinite(array).all():
        raise ValueError(
            f"threshold as a cost matrix must hold finite numbers of shape ({n_classes}, {n_classes}): what it costs "
            f"to predict class j where it is i; got shape {array.shape}"
        )
    if (array < array.diagonal()[:, None]).any() or (array.max(axis=1) <= array.diagonal()).any():
        raise ValueError("threshold as a cost matrix must make a mistake dearer than a right answer, row by row")
    return array


def plot_threshold(model: Any, ax: Any) -> Any:
    """Draw scores by threshold, and the one that was chosen, on matplotlib axes."""
    oof, wanted = model.oof_, model.threshold
    if len(oof.classes) > 2:
        raise ValueError(f"plot_threshold is for two classes, y had {len(oof.classes)}")
    rows = np.flatnonzero(oof.covered)
    cells = Cells.of(oof, rows)
    order = np.argsort(cells.thresholds)
    if _is_cost(wanted):
        mean = np.tensordot(cells.counts, _read_cost(wanted, 2)) / oof.weight[rows].sum()
        curves = {"mean cost": mean}
    else:
        names = ["f1", "balanced_accuracy"] if isinstance(wanted, Real) else [wanted]
        curves = {str(name): score_labels(cells.counts, oof, rows, cells.thresholds, name) for name in names}
    for name, values in curves.items():
        ax.plot(cells.thresholds[order], values[order], label=name)
    ax.axvline(model.threshold_, linestyle="--", color="grey", label=f"threshold {model.threshold_:.3g}")
    ax.set(xlabel=f"probability of {oof.classes[1]!r} above which it is predicted", title=type(model).__name__)
    ax.legend()
    return ax
