"""From an out-of-fold table to a blend, its calibration and its leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn.crossfit import BLEND, Entry, OutOfFold, score_margin
from hybridlearn.ensemble._blend import Blend, fit_blend, fit_temperature
from hybridlearn.ensemble._loss import mean_loss


@dataclass(frozen=True, eq=False)
class Assembly:
    """A blend learned from all covered rows, its temperature, and the table with the blend's honest margins."""

    blend: Blend
    temperature: float
    oof: OutOfFold


def assemble(oof: OutOfFold, kind: str, *, seed: int) -> Assembly:
    """Learn weights and temperature, and judge them by folds.

    The blend's own margin of a row comes from weights and a temperature that were learned without the row's fold.
    The temperature is kept only if it lowers the log loss so.

    Parameters
    ----------
    oof : OutOfFold
    kind : {"greedy", "nonnegative", "mean"}
    seed : int

    Returns
    -------
    Assembly
    """
    classification = oof.classes is not None
    stack = np.stack([oof.margins[name] for name in oof.members])
    rows = np.flatnonzero(oof.covered)

    def learn(on: np.ndarray) -> Blend:
        return fit_blend(kind, stack[:, on], oof.target[on], oof.weight[on], classification=classification, seed=seed)

    margin = np.full(stack.shape[1:], np.nan)
    entries = []
    for fold, others, held_out in _leave_one_fold_out(oof, rows):
        margin[held_out] = learn(others).margin(stack[:, held_out])
        entries.append(Entry("blend weights", BLEND, fold, others, held_out, order=2))
    temperature = 1.0
    if classification:
        scaled, temperature = _calibrate(margin, oof, rows)
        if temperature != 1.0:
            margin = scaled
            entries += [Entry("calibration", e.member, e.fold, e.fitted_on, e.predicted, order=2) for e in entries]
    return Assembly(learn(rows), temperature, oof.with_blend(margin, entries))


def _leave_one_fold_out(oof: OutOfFold, rows: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(fold, rows of the other folds, rows of the fold)."""
    return [(int(k), rows[oof.fold[rows] != k], rows[oof.fold[rows] == k]) for k in np.unique(oof.fold[rows])]


def _calibrate(margin: np.ndarray, oof: OutOfFold, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Margins under temperatures of the other folds, and the temperature of all; 1.0 where it does not help."""
    scaled = margin.copy()
    for _, others, held_out in _leave_one_fold_out(oof, rows):
        scaled[held_out] /= fit_temperature(margin[others], oof.target[others], oof.weight[others])

    def loss(of: np.ndarray) -> float:
        return mean_loss(of[rows], oof.target[rows], oof.weight[rows], classification=True)

    if loss(scaled) >= loss(margin):
        return margin, 1.0
    return scaled, fit_temperature(margin[rows], oof.target[rows], oof.weight[rows])


def leaderboard(assembly: Assembly, scoring: Any, *, threshold: float) -> pd.DataFrame:
    """Members and blend by out-of-fold score, best first.

    Parameters
    ----------
    assembly : Assembly
    scoring : str or callable
        As in scikit-learn: greater is better.
    threshold : float
        Of the labels that a scorer may ask for.

    Returns
    -------
    DataFrame
        ``member``, ``weight``, ``score``, ``fit_seconds``; the blend's score is that of weights learned without
        the row's fold, its weight NaN, its seconds the sum.
    """
    oof = assembly.oof
    rows = np.flatnonzero(oof.covered)
    weights = dict(zip(oof.members, assembly.blend.weights, strict=True))
    records = []
    for name in [BLEND, *oof.members]:
        margin, target, weight = oof.margins[name][rows], oof.target[rows], oof.weight[rows]
        score = score_margin(margin, target, weight, oof.classes, scoring, threshold=threshold)
        seconds = oof.fit_seconds.get(name, sum(oof.fit_seconds.values()))
        records.append((name, weights.get(name, np.nan), score, seconds))
    board = pd.DataFrame(records, columns=["member", "weight", "score", "fit_seconds"])
    return board.sort_values("score", ascending=False, ignore_index=True, kind="stable")
