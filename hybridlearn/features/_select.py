"""Which families of features lower the out-of-fold loss of a fast member."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn._clock import Deadline
from hybridlearn._row_losses import row_losses
from hybridlearn._splits import Split
from hybridlearn.crossfit import FoldFit, MemberError, fit_fold, fit_fronts, sample_of
from hybridlearn.features._screen import MOST_ROWS, few_splits
from hybridlearn.table import TrainingRows
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

NOISE, TOGETHER = "noise", "all that stayed"
_N_NOISE = 8
_ROUNDS_IN_TIME = 100
_MANY_ROWS, _MORE_SPLITS, _N_REPEATS = 3000, 5, 2
# Of more classes than this, rows are fewer in proportion: each class is a tree a round.
_MANY_CLASSES = 8
# Rounds of a fast member at most, of one of many classes, and of none fewer.
_MOST_ROUNDS, _MOST_TREES, _FEWEST_ROUNDS = 150, 300, 15


def fast_trees(n_classes: int, seed: int) -> Any:
    """A booster of larger and fewer steps than the default; `n_classes` is 0 in regression."""
    many = n_classes > 2
    n_rounds = max(_FEWEST_ROUNDS, _MOST_TREES // n_classes) if many else _MOST_ROUNDS
    kind = BoostedTreesClassifier if n_classes else BoostedTreesRegressor
    return kind(
        n_estimators=n_rounds,
        learning_rate=0.4 if many else 0.2,
        # the fewest rounds are too few to stop before the end
        early_stopping=n_rounds > _FEWEST_ROUNDS,
        n_iter_no_change=8,
        random_state=seed,
    )


class OutOfTimeError(Exception):
    """No more families are judged."""


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
    n_rows: int
    n_classes: int
    weighted: bool
    seed: int
    deadline: Deadline | None = None

    def losses(self, chosen: Sequence[str]) -> np.ndarray:
        """Loss of each row that is in a test part, with the features of some families: the mean over these parts."""
        if self.deadline is not None and self.deadline.is_over:
            raise OutOfTimeError
        total, count = np.zeros(self.n_rows), np.zeros(self.n_rows)
        for k, (_, test) in enumerate(self.splits):
            total[test] += self._losses(k, chosen)
            count[test] += 1
        return total[count > 0] / count[count > 0]

    def _losses(self, k: int, chosen: Sequence[str]) -> np.ndarray:
        rows, split, families = self.fronted[k], self.splits[k], self.families[k]
        left_out = [name for family, names in families.items() if family not in chosen for name in names]
        few = replace(rows, X=rows.X.drop(columns=left_out))
        trees = fast_trees(self.n_classes, self.seed)
        if rows.time is not None:
            # an early part may have no two times, of which one could stop the training
            trees.set_params(early_stopping=False, n_estimators=min(trees.n_estimators, _ROUNDS_IN_TIME))
        fit = FoldFit("trees", trees, few, split)
        outcome = fit_fold(fit, n_classes=self.n_classes, weighted=self.weighted, seed=self.seed)
        if isinstance(outcome, MemberError):
            raise outcome
        return row_losses(outcome.margin, few.target[split[1]], classification=self.n_classes > 0)


def judge_families(
    builder: Any, rows: TrainingRows, n_classes: int, *, weighted: bool, seed: int, deadline: Deadline | None = None
) -> Judged | None:
    """Fit a builder of all features inside folds, and see which families help.

    From all of them the one is left out without which the mean loss is least, again and again, as long as it does not
    rise. Those that stay are kept where they together lower it by more than the standard error, and by more than noise
    does: features whose rows have been shuffled.

    Parameters
    ----------
    builder : FeatureBuilder
        That keeps all families.
    rows : TrainingRows
    n_classes : int
        0 in regression.
    weighted : bool
    seed : int
    deadline : Deadline, optional
        When it comes, those stay that have not been left out, where they are known to help together; else none.

    Returns
    -------
    Judged or None
        None where there are too few rows, groups or times for two folds.
    """
    classification = n_classes > 0
    most = max(_MANY_ROWS, MOST_ROWS * _MANY_CLASSES // max(n_classes, _MANY_CLASSES))
    few = rows.take(sample_of(rows.target if classification else None, np.arange(len(rows)), most, seed=seed))
    splits = _judging_splits(few, classification=classification, seed=seed)
    if not splits:
        return None
    rng = np.random.RandomState(seed)
    fronts = fit_fronts(builder, few, splits, classification=classification, weighted=weighted, rng=rng, n_jobs=None)
    families = [dict(front.transformer.names_by_family_) for front in fronts]
    fronted = []
    for front, names in zip(fronts, families, strict=True):
        noisy, made = _with_noise(front.rows.X, [name for own in names.values() for name in own], rng)
        fronted.append(replace(front.rows, X=noisy))
        names[NOISE] = made
    bench = _Bench(fronted, families, splits, len(few), n_classes, weighted, seed, deadline)
    is_judged = np.isin(np.arange(len(few)), np.concatenate([test for _, test in splits]))
    return _judged(bench, few.weight[is_judged])


def _judging_splits(rows: TrainingRows, *, classification: bool, seed: int) -> list[Split]:
    """Few folds of many rows; of few rows more, and those twice, lest chance decides."""
    if len(rows) >= _MANY_ROWS:
        return few_splits(rows, classification=classification, seed=seed)
    n_repeats = 1 if rows.time is not None else _N_REPEATS
    repeats = [
        few_splits(rows, classification=classification, seed=seed + i, n_splits=_MORE_SPLITS) for i in range(n_repeats)
    ]
    return [split for splits in repeats for split in splits]


def _with_noise(table: pd.DataFrame, names: list[str], rng: np.random.RandomState) -> tuple[pd.DataFrame, list[str]]:
    """The table with shuffled copies of some of its features."""
    chosen = rng.permutation(names)[:_N_NOISE]
    noise = {f"{NOISE}({name})": rng.permutation(table[name].to_numpy()) for name in chosen}
    return pd.concat([table, pd.DataFrame(noise, index=table.index)], axis=1), list(noise)


def _judged(bench: _Bench, weight: np.ndarray) -> Judged:
    n_features = {name: max(len(own[name]) for own in bench.families) for name in bench.families[0]}
    kept = [name for name, n in n_features.items() if n and name != NOISE]
    worth: dict[str, tuple[float, float]] = {}
    try:
        if kept:
            plain, losses = bench.losses([]), bench.losses(kept)
            worth[NOISE] = _gain(plain, bench.losses([NOISE]), weight)
    except OutOfTimeError:
        kept = []
    with suppress(OutOfTimeError):
        while kept:
            without = {name: bench.losses([other for other in kept if other != name]) for name in kept}
            worth |= {name: _gain(without[name], losses, weight) for name in kept}
            worst = min(kept, key=lambda name: worth[name][0])
            if worth[worst][0] > 0:
                break
            kept, losses = [name for name in kept if name != worst], without[worst]
    if kept:
        gain, error = worth[TOGETHER] = _gain(plain, losses, weight)
        if gain <= max(error, worth[NOISE][0]):
            kept = []
    n_features[TOGETHER] = sum(n_features[name] for name in kept)
    facts = [(name, n, *worth.get(name, (np.nan, np.nan)), name in kept) for name, n in n_features.items()]
    return Judged(kept, pd.DataFrame(facts, columns=["family", "n_features", "gain", "standard_error", "kept"]))


def _gain(before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Mean loss that is saved, and its standard error."""
    saved = before - after
    mean = np.average(saved, weights=weight)
    error = np.sqrt(weight**2 @ (saved - mean) ** 2) / weight.sum()
    return float(mean), float(error)
