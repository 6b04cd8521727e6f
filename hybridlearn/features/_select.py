"""Which families of features lower the out-of-fold loss of a fast member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn._row_losses import row_losses
from hybridlearn._splits import Split
from hybridlearn.crossfit import FoldFit, MemberError, fit_fold, fit_fronts, sample_of
from hybridlearn.features._screen import MOST_ROWS, fast_trees, few_splits
from hybridlearn.table import TrainingRows

NOISE = "noise"
_N_NOISE = 8


@dataclass(frozen=True)
class Judged:
    """What the families are worth.

    Attributes
    ----------
    kept : list of str
    report : DataFrame
        ``family``, ``n_features``, ``gain``, ``standard_error``, ``kept``.
    """

    kept: list[str]
    report: pd.DataFrame


@dataclass(frozen=True)
class _Bench:
    """A fast member on rows with every feature, and what it loses with some of them.

    Attributes
    ----------
    fronted : list of TrainingRows
        Of each fold, as a builder of all features makes them that was fitted on the training part.
    families : list of dict of str to list of str
        Of each fold, the columns of each family.
    """

    fronted: list[TrainingRows]
    families: list[dict[str, list[str]]]
    splits: list[Split]
    n_classes: int
    weighted: bool
    seed: int

    def losses(self, chosen: Sequence[str]) -> np.ndarray:
        """Loss of each row of the test parts, with the features of some families."""
        return np.concatenate([self._losses(k, chosen) for k in range(len(self.splits))])

    def _losses(self, k: int, chosen: Sequence[str]) -> np.ndarray:
        rows, split, families = self.fronted[k], self.splits[k], self.families[k]
        left_out = [name for family, names in families.items() if family not in chosen for name in names]
        few = replace(rows, X=rows.X.drop(columns=left_out))
        fit = FoldFit("trees", fast_trees(self.n_classes, self.seed), few, split)
        outcome = fit_fold(fit, n_classes=self.n_classes, weighted=self.weighted, seed=self.seed)
        if isinstance(outcome, MemberError):
            raise outcome
        return row_losses(outcome.margin, few.target[split[1]], classification=self.n_classes > 0)


def judge_families(builder: Any, rows: TrainingRows, n_classes: int, *, weighted: bool, seed: int) -> Judged | None:
    """Fit a builder of all features inside folds, and see which families help.

    A family is kept where the mean loss falls by more than its standard error, and by more than it does with noise:
    columns of the builder whose rows have been shuffled. Families are tried alone first, then added to each other,
    the best first, as long as that holds.

    Parameters
    ----------
    builder : FeatureBuilder
        That keeps all families.
    rows : TrainingRows
    n_classes : int
        0 in regression.
    weighted : bool
    seed : int

    Returns
    -------
    Judged or None
        None where there are too few rows, groups or times for two folds.
    """
    classification = n_classes > 0
    few = rows.take(sample_of(rows.target if classification else None, np.arange(len(rows)), MOST_ROWS, seed=seed))
    splits = few_splits(few, classification=classification, seed=seed)
    if not splits:
        return None
    rng = np.random.RandomState(seed)
    fronts = fit_fronts(builder, few, splits, weighted=weighted, rng=rng, n_jobs=None)
    families = [dict(front.transformer.names_by_family_) for front in fronts]
    fronted = []
    for front, names in zip(fronts, families, strict=True):
        noisy, made = _with_noise(front.rows.X, [name for own in names.values() for name in own], rng)
        fronted.append(replace(front.rows, X=noisy))
        names[NOISE] = made
    bench = _Bench(fronted, families, splits, n_classes, weighted, seed)
    weight = np.concatenate([few.weight[test] for _, test in splits])
    return _judged(bench, weight)


def _with_noise(table: pd.DataFrame, names: list[str], rng: np.random.RandomState) -> tuple[pd.DataFrame, list[str]]:
    """The table with shuffled copies of some of its features."""
    chosen = rng.choice(names, min(_N_NOISE, len(names)), replace=False) if names else []
    noise = {f"{NOISE}({name})": rng.permutation(table[name].to_numpy()) for name in chosen}
    return pd.concat([table, pd.DataFrame(noise, index=table.index)], axis=1), list(noise)


def _judged(bench: _Bench, weight: np.ndarray) -> Judged:
    plain = bench.losses([])
    in_all = [name for name in bench.families[0] if any(own[name] for own in bench.families)]
    gains = {name: _gain(plain, bench.losses([name]), weight) for name in in_all}
    yardstick = max(0.0, gains[NOISE][0]) if NOISE in gains else 0.0

    def helps(gain: float, error: float) -> bool:
        return gain > yardstick and gain > error

    kept: list[str] = []
    best = plain
    for name in sorted(gains, key=lambda name: -gains[name][0]):
        if name == NOISE or not helps(*gains[name]):
            continue
        losses = bench.losses([*kept, name])
        if helps(*_gain(best, losses, weight)):
            kept, best = [*kept, name], losses
    report = [
        (name, max(len(own[name]) for own in bench.families), *gains.get(name, (0.0, 0.0)), name in kept)
        for name in bench.families[0]
    ]
    columns = ["family", "n_features", "gain", "standard_error", "kept"]
    return Judged(kept, pd.DataFrame(report, columns=columns))


def _gain(before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Mean loss that is saved, and its standard error."""
    saved = before - after
    mean = np.average(saved, weights=weight)
    error = np.sqrt(np.average((saved - mean) ** 2, weights=weight) / len(saved))
    return float(mean), float(error)
