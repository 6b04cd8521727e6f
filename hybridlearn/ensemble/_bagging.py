"""Bagging: one estimator on folds, bootstraps or balanced draws of the rows, judged by the rows left out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from hybridlearn._compat import StrOptions
from hybridlearn._docs import leads_with
from hybridlearn._progress import FitProgress
from hybridlearn.crossfit import OutOfFold, resamples, warn_unweighted
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._bags import LEAST, BaseBags, balanced_draws, bootstraps, check_not_in_time
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._pair import hybrid_estimator
from hybridlearn.ensemble._refit import refitted
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor


@leads_with(estimator="auto", n_estimators=10, resample="folds")
class BaseBagging(BaseBags):
    """Bags that are folds, bootstraps or balanced draws."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseBags._parameter_constraints,
        "resample": [StrOptions({"folds", "bootstrap", "under"})],
    }

    def _default_estimator(self) -> Any:
        return TabularMLPClassifier() if self._is_classifier else TabularMLPRegressor()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.resample == "under" and not self._is_classifier:
            raise ValueError("resample='under' balances classes, a regression has none; use 'folds' or 'bootstrap'")

    def _learn(self, work: Work) -> None:
        members = self._members()
        with self._progress(self.n_estimators) as progress:
            if self.resample == "folds":
                work, splits = self._splits(work, self.n_estimators, parameter="n_estimators")
                n_covered = len(np.concatenate([test for _, test in splits]))
                oof = self._cross_fit(members, work, splits, progress, least=LEAST)
                models = oof.models
                if n_covered < len(work.rows):
                    running = self._running_for(work, 1)
                    models = refitted(members, oof, work, running=running, n_each=self.n_estimators)
            else:
                oof = self._of_bags(members, work, progress)
                models = oof.models
        # what a temperature does to a prior that was put back, an intercept mends
        kind = "nonnegative" if self.resample == "under" else "mean"
        recalibrate = oof.classes is not None and resamples(members[0][1])
        learn = blend_learner(oof, kind, seed=work.seed, recalibrate=recalibrate)
        self._keep(assemble(oof, learn, deadline=work.deadline), models, work)

    def _of_bags(self, members: Members, work: Work, progress: FitProgress) -> OutOfFold:
        check_not_in_time(work, f"resample={self.resample!r}", "'folds'")
        rng = np.random.RandomState(work.seed)
        parts = self._parts(work, most=len(work.rows) if self.resample == "bootstrap" else self.n_estimators)
        if self.resample == "bootstrap":
            bags = bootstraps(work.rows, self.n_estimators, rng)
        else:
            bags = balanced_draws(work.rows, self.n_estimators, work.n_classes, parts, rng)
        warn_unweighted(members, work.weighted)
        running = self._running_for(work, 1)
        bags, fitted, cut = self._fit_bags(bags, members, work, running, rng, progress, least=LEAST)
        return self._table(bags, fitted, parts, members, work, cut)


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
