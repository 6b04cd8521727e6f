"""From an out-of-fold table to what combines the members, its calibration and its leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from hybridlearn._clock import Deadline
from hybridlearn._row_losses import row_losses
from hybridlearn.crossfit import BLEND, Entry, OutOfFold, score_margin
from hybridlearn.ensemble._blend import Blend, equal_weights, fit_blend, fit_temperature
from hybridlearn.ensemble._time import LearnInTime
from hybridlearn.table import take_rows


class Combiner(Protocol):
    """What makes one margin of those of the members."""

    def margin(self, margins: np.ndarray, X: Any = None) -> np.ndarray:
        """Combine (n_members, n_rows, n_outputs) to (n_rows, n_outputs); `X` is the table of the rows, if asked for."""
        ...


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A combiner and the temperature that divides its margin."""

    combiner: Combiner
    temperature: float

    def margin(self, margins: np.ndarray, X: Any = None) -> np.ndarray:
        """As :meth:`Combiner.margin`."""
        return self.combiner.margin(margins, X) / self.temperature


@dataclass(frozen=True, eq=False)
class Assembly:
    """What combines the members, learned from all covered rows, and how it was judged.

    Attributes
    ----------
    final : Calibrated
    by_fold : dict of int to Calibrated
        What judged each fold, learned without it.
    oof : OutOfFold
        With the blend's honest margins.
    """

    final: Calibrated
    by_fold: dict[int, Calibrated]
    oof: OutOfFold


def uncalibrated(oof: OutOfFold) -> Assembly:
    """The mean of the members' margins as they are: nothing is learned, and nothing corrected."""
    margins = stacked(oof)
    mean = Calibrated(equal_weights(*margins.shape[::2]), 1.0)
    return Assembly(mean, {k: mean for k, _, _ in oof.second_level()}, oof.with_blend(mean.margin(margins), []))


def assemble(
    oof: OutOfFold,
    learn: Callable[[np.ndarray], Combiner],
    X: Any = None,
    *,
    unlearned: Blend | None = None,
    deadline: Deadline | None = None,
) -> Assembly:
    """Learn what combines the members, and its temperature, and judge them by folds.

    The combined margin of a row comes from a combiner and a temperature that were learned without the row's fold; in
    order of time, from earlier folds, and in the first of these it is not learned. A temperature is kept only if such
    temperatures lower the log loss: of a fold, that of the others it is learned from.

    Parameters
    ----------
    oof : OutOfFold
    learn : callable
        From row positions to a combiner that has learned from their out-of-fold margins.
    X : table of n_rows rows, optional
        Where the combiner looks at it.
    unlearned : Blend, optional
        What combines margins where there is no row to learn from. Default: the mean.
    deadline : Deadline, optional
        To keep it, weights and temperatures are learned from samples of the rows.

    Returns
    -------
    Assembly
    """
    margins = stacked(oof)
    unlearned = unlearned or equal_weights(*margins.shape[::2])
    levels = oof.second_level()
    few: Callable[[np.ndarray], np.ndarray] = np.asarray
    if deadline is not None:
        in_time = LearnInTime(learn, deadline, len(levels) + 1, oof)
        learn, few = in_time, in_time.few
    margin = np.full(margins.shape[1:], np.nan)
    combiners: dict[int, Combiner] = {}
    entries = []
    for fold, others, held_out in levels:
        combiners[fold] = learn(others) if len(others) else unlearned
        margin[held_out] = combiners[fold].margin(margins[:, held_out], None if X is None else take_rows(X, held_out))
        entries.append(Entry("blend weights", BLEND, fold, others, held_out, order=2))
    temperature, temperatures = _temperatures(margin, oof, few) if oof.classes is not None else (1.0, {})
    if any(value != 1 for value in (temperature, *temperatures.values())):
        for fold, _, held_out in levels:
            margin[held_out] /= temperatures[fold]
        entries += [Entry("calibration", e.member, e.fold, e.fitted_on, e.predicted, order=2) for e in entries]
    final = Calibrated(learn(np.flatnonzero(oof.covered)), temperature)
    by_fold = {fold: Calibrated(combiner, temperatures.get(fold, 1.0)) for fold, combiner in combiners.items()}
    return Assembly(final, by_fold, oof.with_blend(margin, entries))


def stacked(oof: OutOfFold) -> np.ndarray:
    """Margins of the members, shape (n_members, n_rows, n_outputs)."""
    return np.stack([oof.margins[name] for name in oof.members])


def blend_learner(oof: OutOfFold, kind: str, *, seed: int, recalibrate: bool = False) -> Callable[[np.ndarray], Blend]:
    """What learns a sum of margins, see :func:`fit_blend`."""
    margins, classification = stacked(oof), oof.classes is not None

    def learn(rows: np.ndarray) -> Blend:
        return fit_blend(
            kind,
            margins[:, rows],
            oof.target[rows],
            oof.weight[rows],
            classification=classification,
            seed=seed,
            recalibrate=recalibrate,
        )

    return learn


def _temperatures(
    margin: np.ndarray, oof: OutOfFold, few: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, dict[int, float]]:
    """The temperature of all rows, and by fold that of the rows it learns from; 1 where temperatures do not help.

    Whether they do is told by the folds that a fold learns from, for all rows by all folds: by what each loses or gains
    under a temperature learned without it. They are learned from `few` of the rows.
    """
    levels = oof.second_level()

    def learn(rows: np.ndarray) -> float:
        rows = few(rows)
        return fit_temperature(margin[rows], oof.target[rows], oof.weight[rows])

    learned = {fold: learn(others) if len(others) else 1.0 for fold, others, _ in levels}

    def gain(fold: int, rows: np.ndarray) -> float:
        before, after = (
            row_losses(margin[rows] / temperature, oof.target[rows], classification=True)
            for temperature in (1.0, learned[fold])
        )
        return float(oof.weight[rows] @ (before - after))

    gains = {fold: gain(fold, held_out) for fold, _, held_out in levels}
    by_fold = {
        fold: learned[fold]
        if sum(g for k, g in gains.items() if k < fold or not (oof.is_ordered or k == fold)) > 0
        else 1.0
        for fold in gains
    }
    if sum(gains.values()) <= 0:
        return 1.0, by_fold
    return learn(np.flatnonzero(oof.covered)), by_fold


def leaderboard(assembly: Assembly, scoring: Any, *, threshold: Any) -> pd.DataFrame:
    """Members and blend by out-of-fold score, best first.

    Parameters
    ----------
    assembly : Assembly
    scoring : str or callable
        As in scikit-learn: greater is better.
    threshold : float, ndarray of shape (n_rows,) or ndarray of shape (n_classes, n_classes)
        Of the labels that a scorer may ask for; see :func:`hybridlearn._heads.decided`.

    Returns
    -------
    DataFrame
        ``member``, ``weight``, ``score``, ``fit_seconds``; the blend's score is that of weights learned without
        the row's fold, its weight NaN, its seconds the sum. Under a time limit also ``cut``, and the members that
        were skipped, without a score.
    """
    oof, combiner = assembly.oof, assembly.final.combiner
    rows = np.flatnonzero(oof.covered)
    threshold = threshold[rows] if np.ndim(threshold) == 1 else threshold
    weights = dict(zip(oof.members, combiner.weights, strict=True)) if isinstance(combiner, Blend) else {}
    records = []
    for name in [BLEND, *oof.members]:
        margin, target, weight = oof.margins[name][rows], oof.target[rows], oof.weight[rows]
        score = score_margin(margin, target, weight, oof.classes, scoring, threshold=threshold)
        seconds = oof.fit_seconds.get(name, sum(oof.fit_seconds.values()))
        records.append((name, weights.get(name, np.nan), score, seconds))
    if oof.cut is not None:
        records += [(name, np.nan, np.nan, 0.0) for name in oof.cut if name not in oof.members]
    board = pd.DataFrame(records, columns=["member", "weight", "score", "fit_seconds"])
    if oof.cut is not None:
        board["cut"] = [oof.cut.get(name, "") for name in board["member"]]
    return board.sort_values("score", ascending=False, ignore_index=True, kind="stable")
