"""Bagging: one estimator on folds, bootstraps or balanced draws of the rows, judged by the rows left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone

from hybridlearn._compat import HasMethods, StrOptions, integer
from hybridlearn._docs import leads_with
from hybridlearn._heads import centred
from hybridlearn._progress import FitProgress
from hybridlearn._random import seed_nested
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit import (
    FittedFold,
    FoldFit,
    OutOfFold,
    check_members,
    collect,
    fit_in_time,
    takes_weights,
    tell_of_cuts,
    warn_unweighted,
)
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._base import BaseEnsemble, Members, Work, refitted
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._pair import hybrid_estimator
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import TrainingRows

NAME = "estimator"
_N_PARTS = 5
# Draws without which there are no two to judge each other.
_LEAST = 2


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
    """

    counts: np.ndarray
    test: np.ndarray
    shift: np.ndarray | None = None


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
) -> list[Bag]:
    """Of the training part of a fold, as many rows of each class as the rarest has; the folds take turns."""
    bags = []
    for i in range(n_bags):
        train, test = parts[i % len(parts)]
        codes = rows.target[train]
        n_of = np.bincount(codes, minlength=n_classes)
        least = n_of[n_of > 0].min()
        chosen = [rng.choice(train[codes == c], size=least, replace=False) for c in np.flatnonzero(n_of)]
        counts = np.bincount(np.concatenate(chosen), minlength=len(rows))
        bags.append(Bag(counts, test, prior_shift(np.where(n_of > 0, n_of, least) / least)))
    return bags


def prior_shift(odds: np.ndarray) -> np.ndarray:
    """What to add to a margin when a row of each class was `odds` times less likely to be drawn (Elkan, 2001)."""
    log_odds = np.log(odds)
    return log_odds[1:] - log_odds[:1] if len(odds) == 2 else centred(log_odds[None])[0]


@leads_with(estimator="auto", n_estimators=10, resample="folds")
class BaseBagging(BaseEnsemble):
    """The mean margin of one estimator on many draws of the rows."""

    _is_classifier: ClassVar[bool]
    _parameter_constraints: ClassVar[dict] = {
        **BaseEnsemble._parameter_constraints,
        "estimator": [StrOptions({"auto"}), HasMethods(["fit", "get_params"])],
        "n_estimators": [integer(2)],
        "resample": [StrOptions({"folds", "bootstrap", "under"})],
    }

    def _estimator(self) -> Any:
        if isinstance(self.estimator, str):
            return TabularMLPClassifier() if self._is_classifier else TabularMLPRegressor()
        return self.estimator

    def _check_parameters(self) -> None:
        check_members([(NAME, self._estimator())], classification=self._is_classifier)
        if self.resample == "under" and not self._is_classifier:
            raise ValueError("resample='under' balances classes, a regression has none; use 'folds' or 'bootstrap'")

    def _inner_estimators(self) -> Members:
        return [(NAME, self._estimator())]

    def _learn(self, work: Work) -> None:
        members = [(NAME, self._on_device(self._estimator()))]
        with self._progress(self.n_estimators) as progress:
            if self.resample == "folds":
                work, splits = self._splits(work, self.n_estimators, parameter="n_estimators")
                n_covered = len(np.concatenate([test for _, test in splits]))
                oof = self._cross_fit(members, work, splits, progress, least=_LEAST)
                models = oof.models
                if n_covered < len(work.rows):
                    running = self._running_for(work, 1)
                    models = refitted(members, oof, work, running=running, n_each=self.n_estimators)
            else:
                if work.rows.time is not None:
                    raise ValueError(
                        f"resample={self.resample!r} draws rows of all times to predict others; with time use 'folds'"
                    )
                oof = self._of_bags(members, work, progress)
                models = oof.models
        # what a temperature does to a prior that was put back, an intercept mends
        kind = "nonnegative" if self.resample == "under" else "mean"
        self._keep(assemble(oof, blend_learner(oof, kind, seed=work.seed), deadline=work.deadline), models)

    def _of_bags(self, members: Members, work: Work, progress: FitProgress) -> OutOfFold:
        """The out-of-fold table of draws: a row's margin is the mean over the bags that left it out."""
        rows, rng = work.rows, np.random.RandomState(work.seed)
        codes = None if work.classes is None else rows.target
        n_units = len(rows) if rows.groups is None else len(np.unique(rows.groups))
        n_parts = min(_N_PARTS, n_units, len(rows) if self.resample == "bootstrap" else self.n_estimators)
        parts = folds(codes, rows.groups, n_rows=len(rows), n_splits=n_parts, seed=work.seed, parameter="n_estimators")
        if self.resample == "bootstrap":
            bags = bootstraps(rows, self.n_estimators, rng)
        else:
            bags = balanced_draws(rows, self.n_estimators, work.n_classes, parts, rng)
        warn_unweighted(members, work.weighted)
        ((_, estimator),) = members
        weighs = takes_weights(estimator)
        fits = [FoldFit(NAME, seed_nested(clone(estimator), rng), *_drawn(rows, bag, weighs)) for bag in bags]
        # a row that was drawn twice has a weight
        how = work.how | {"weighted": work.weighted or (weighs and self.resample == "bootstrap")}
        parts_of, cut = fit_in_time(
            fits,
            how,
            self._running_for(work, 1),
            on_fit=lambda name: progress.step({"member": name}),
            least=_LEAST,
        )
        bags, fitted = [bags[i] for i in sorted(parts_of)], [parts_of[i] for i in sorted(parts_of)]
        if work.deadline is not None:
            tell_of_cuts(cut)
        fold = np.full(len(rows), -1)
        for k, (_, test) in enumerate(parts):
            fold[test] = k
        left_out = np.bincount(np.concatenate([bag.test for bag in bags]), minlength=len(rows)) > 0
        shifted = [_shifted(part, bag.shift) for part, bag in zip(fitted, bags, strict=True)]
        tests, fold = [bag.test for bag in bags], np.where(left_out, fold, -1)
        told = None if work.deadline is None else cut
        return collect(dict(members), {NAME: shifted}, tests, fold, rows, work.classes, cut=told)


def _drawn(rows: TrainingRows, bag: Bag, weighs: bool) -> tuple[TrainingRows, Split]:
    """Rows and split of a bag: drawn twice is a weight of two, so that no row both trains and stops a training.

    For who takes no weights, the row is there twice.
    """
    if weighs:
        return rows.reweighted(bag.counts), (np.flatnonzero(bag.counts), bag.test)
    return rows, (np.repeat(np.arange(len(rows)), bag.counts), bag.test)


def _shifted(part: Any, shift: np.ndarray | None) -> FittedFold:
    if shift is None:
        return part
    return replace(part, model=replace(part.model, shift=shift), margin=part.margin + shift)


_PARAMETERS = """
    estimator : "auto" or estimator, default="auto"
        What is fitted on each draw; "auto" is a multilayer perceptron. Nested parameters are reached by name, e.g.
        ``estimator__max_depth``.
    n_estimators : int, default=10
        How many draws; nets of one shape are trained as one program.
    resample : {"folds", "bootstrap", "under"}, default="folds"
        "folds": each fit leaves one of `n_estimators` folds out. "bootstrap": each fit has as many rows (with groups,
        groups) drawn with replacement. "under", for classes: of all rows but a fold, as many of each class as the
        rarest has; the margin is shifted so that probabilities are those of the whole.
"""


@hybrid_estimator(parameters=_PARAMETERS)
class HybridBaggingClassifier(HybridClassifierHead, BaseBagging):
    """Bagging of any classifier: the mean margin over many draws of the rows.

    Differs from scikit-learn's `BaggingClassifier` [1]_ in that every row is judged by the models that left it out
    (``oof_``), which calibrates the mean and gives sets of labels; in draws that keep groups together; in balanced
    draws whose prior is put back; in early stopping on in-bag rows that do not train.

    <sections>

    References
    ----------
    .. [1] Breiman, "Bagging Predictors", Machine Learning 24, 1996.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> trees = BoostedTreesClassifier(n_estimators=30)
    >>> bag = HybridBaggingClassifier(estimator=trees, n_estimators=5, resample="under", random_state=0).fit(X, y)
    >>> bag.oof_.coverage
    1.0
    """


@hybrid_estimator(parameters=_PARAMETERS)
class HybridBaggingRegressor(HybridRegressorHead, BaseBagging):
    """Bagging of any regressor: the mean prediction over many draws of the rows.

    As :class:`HybridBaggingClassifier`, without balanced draws.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> bag = HybridBaggingRegressor(estimator=DecisionTreeRegressor(), resample="bootstrap", random_state=0).fit(X, y)
    >>> bag.predict_interval(X[:2]).shape
    (2, 2)
    """
