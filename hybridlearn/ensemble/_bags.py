"""Draws of the rows, a model of each, and the table of the rows that each left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.base import clone

from hybridlearn._compat import integer
from hybridlearn._docs import leads_with
from hybridlearn._progress import FitProgress
from hybridlearn._random import seed_nested
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit import (
    FittedFold,
    FoldFit,
    Fronted,
    OutOfFold,
    Running,
    collect,
    fit_in_time,
    takes_weights,
    tell_of_cuts,
)
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._of_one import NAME, BaseOfOne
from hybridlearn.resampling import prior_shift
from hybridlearn.table import TrainingRows

_N_PARTS = 5
# Draws without which there are no two to judge each other.
LEAST = 2


@dataclass(frozen=True)
class Bag:
    """A draw of the rows.

    Attributes
    ----------
    counts : ndarray of shape (n_rows,), int
        How often each row was drawn.
    test : ndarray of int
        Rows that were left out, which the bag's model predicts.
    shift : ndarray of shape (n_outputs,) or None
        Puts back the prior of the classes, where the draw has changed it.
    front : Fronted or None
        The rows as its model sees them, where that is not as they are.
    """

    counts: np.ndarray
    test: np.ndarray
    shift: np.ndarray | None = None
    front: Fronted | None = None

    def seen(self, rows: TrainingRows) -> TrainingRows:
        """The rows as its model sees them."""
        return rows if self.front is None else self.front.rows


def bootstraps(rows: TrainingRows, n_bags: int, rng: np.random.RandomState) -> list[Bag]:
    """Draws with replacement of as many rows, or of as many groups, as there are."""
    units = np.arange(len(rows)) if rows.groups is None else np.unique(rows.groups, return_inverse=True)[1]
    n_units = units.max() + 1
    drawn = [np.bincount(rng.randint(n_units, size=n_units), minlength=n_units)[units] for _ in range(n_bags)]
    return [Bag(counts, np.flatnonzero(counts == 0)) for counts in drawn]


def balanced_draws(
    rows: TrainingRows,
    n_bags: int,
    n_classes: int,
    parts: list[Split],
    rng: np.random.RandomState,
    likely: list[np.ndarray] | None = None,
    fronts: list[Fronted] | None = None,
) -> list[Bag]:
    """Of the training part of a fold, as many rows of each class as the rarest has; the folds take turns.

    All rows of a class are as likely to be drawn, or as the chances in `likely` say, one array a fold. `fronts`, one a
    fold, are how the models of a fold see the rows.
    """
    bags = []
    for i in range(n_bags):
        train, test = parts[i % len(parts)]
        codes = rows.target[train]
        n_of = np.bincount(codes, minlength=n_classes)
        least = n_of[n_of > 0].min()
        chances = None if likely is None else likely[i % len(parts)]
        chosen = [
            rng.choice(train[codes == c], size=least, replace=False, p=None if chances is None else chances[codes == c])
            for c in np.flatnonzero(n_of)
        ]
        counts = np.bincount(np.concatenate(chosen), minlength=len(rows))
        shift = prior_shift(np.where(n_of > 0, n_of, least) / least)
        bags.append(Bag(counts, test, shift, None if fronts is None else fronts[i % len(parts)]))
    return bags


def check_not_in_time(work: Work, what: str, instead: str) -> None:
    """A ValueError where rows have a time."""
    if work.rows.time is not None:
        raise ValueError(f"{what} draws rows of all times to predict others; with time use {instead}")


@leads_with(estimator="auto", n_estimators=10)
class BaseBags(BaseOfOne):
    """The mean margin of one estimator on many draws of the rows."""

    _parameter_constraints: ClassVar[dict] = {**BaseOfOne._parameter_constraints, "n_estimators": [integer(2)]}

    def _parts(self, work: Work, *, most: int) -> list[Split]:
        """Parts of the rows that are left out together when weights and temperature are judged."""
        rows = work.rows
        codes = None if work.classes is None else rows.target
        n_units = len(rows) if rows.groups is None else len(np.unique(rows.groups))
        n_parts = min(_N_PARTS, n_units, most)
        return folds(codes, rows.groups, n_rows=len(rows), n_splits=n_parts, seed=work.seed, parameter="n_estimators")

    def _fit_bags(
        self,
        bags: list[Bag],
        members: Members,
        work: Work,
        running: Running,
        rng: np.random.RandomState,
        progress: FitProgress,
        *,
        least: int,
    ) -> tuple[list[Bag], list[FittedFold], dict[str, str]]:
        """Fit one model a bag; those bags for which there was time, their fits, and what was cut."""
        ((_, estimator),) = members
        weighs = takes_weights(estimator)
        fits = [
            FoldFit(NAME, seed_nested(clone(estimator), rng), *_drawn(bag.seen(work.rows), bag, weighs)) for bag in bags
        ]
        # a row that was drawn twice has a weight
        how = work.how | {"weighted": work.weighted or (weighs and any(bag.counts.max() > 1 for bag in bags))}
        parts, cut = fit_in_time(fits, how, running, on_fit=lambda name: progress.step({"member": name}), least=least)
        fitted = [_finished(part, bags[i]) for i, part in sorted(parts.items())]
        return [bags[i] for i in sorted(parts)], fitted, cut

    def _table(
        self,
        bags: list[Bag],
        fitted: list[FittedFold],
        parts: list[Split],
        members: Members,
        work: Work,
        cut: dict[str, str],
    ) -> OutOfFold:
        """The out-of-fold table: a row's margin is the mean over the bags that left it out."""
        rows = work.rows
        fold = np.full(len(rows), -1)
        for k, (_, test) in enumerate(parts):
            fold[test] = k
        tests = [bag.test for bag in bags]
        left_out = np.bincount(np.concatenate(tests), minlength=len(rows)) > 0
        told = None if work.deadline is None else cut
        if told is not None:
            tell_of_cuts(told)
        fold = np.where(left_out, fold, -1)
        return collect(dict(members), {NAME: fitted}, tests, fold, rows, work.classes, cut=told)


def _drawn(rows: TrainingRows, bag: Bag, weighs: bool) -> tuple[TrainingRows, Split]:
    """Rows and split of a bag: drawn twice is a weight of two, so that no row both trains and stops a training.

    For who takes no weights, the row is there twice.
    """
    if weighs:
        return rows.reweighted(bag.counts), (np.flatnonzero(bag.counts), bag.test)
    return rows, (np.repeat(np.arange(len(rows)), bag.counts), bag.test)


def _finished(part: FittedFold, bag: Bag) -> FittedFold:
    """With the front and the shift of the bag."""
    if bag.front is not None:
        part = part.behind(bag.front.transformer)
    if bag.shift is None:
        return part
    return replace(part, model=replace(part.model, shift=bag.shift), margin=part.margin + bag.shift)
