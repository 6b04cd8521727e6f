"""Boosting across kinds: trees, nets and any regressor, each going on where those before it have stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import StrOptions, integer, real
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with
from hybridlearn._extras import axes_for
from hybridlearn._progress import FitProgress
from hybridlearn._random import seed_nested
from hybridlearn._splits import folds
from hybridlearn.crossfit import (
    BLEND,
    FittedFold,
    FoldFit,
    Running,
    check_is_estimator,
    fit_in_time,
    starts_from_margin,
    tell_of_cuts,
    warn_unweighted,
)
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._blend import Blend
from hybridlearn.ensemble._chain import Chain, Step, loss_of, table_of_chains
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._hybrid import CV_CONSTRAINT, BaseOfMembers
from hybridlearn.ensemble._pair import CV, hybrid_estimator
from hybridlearn.ensemble._stage import cut_of_stage, left_over, log_prior
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


@leads_with(estimators="auto", order="given", n_estimators=6, learning_rate=1.0, cv=5, inner_cv=5)
class BaseBoosting(BaseOfMembers):
    """Stages that add up; each is cross-fitted inside every training part."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseOfMembers._parameter_constraints,
        "order": [StrOptions({"given", "auto"})],
        "n_estimators": [integer(1)],
        "learning_rate": [real(0, 1, closed="right")],
        "cv": CV_CONSTRAINT,
        "inner_cv": [integer(2)],
    }

    def _default_parts(self) -> Members:
        if self._is_classifier:
            return [("trees", BoostedTreesClassifier()), ("mlp", TabularMLPClassifier())]
        return [("trees", BoostedTreesRegressor()), ("mlp", TabularMLPRegressor())]

    def _check_parts(self) -> None:
        BaseComposed._check_parts(self)
        if BLEND in dict(self._parts()):
            raise ValueError(f"names in estimators must not be {BLEND!r}")

    def _check_part(self, name: str, part: Any) -> None:
        check_is_estimator(name, part)
        if not is_classifier(part):
            if not hasattr(part, "predict"):
                raise TypeError(f"stage {name!r} ({type(part).__name__}) is neither a classifier nor a regressor")
        elif not self._is_classifier:
            raise TypeError(f"stage {name!r} ({type(part).__name__}) is not a regressor")
        elif not starts_from_margin(part):
            raise TypeError(
                f"stage {name!r} ({type(part).__name__}) cannot go on from a margin: its fit takes no base_margin; "
                "give a regressor, which is fitted to the gradient"
            )

    def _learn(self, work: Work) -> None:
        work, splits = self._splits(work, self.cv)
        members = self._members(work)
        warn_unweighted(members, work.weighted)
        is_covered = len(np.concatenate([test for _, test in splits])) == len(work.rows)
        parts = splits if is_covered else [*splits, (np.arange(len(work.rows)), np.empty(0, dtype=np.int64))]
        chains = [self._begin(work, train, test) for train, test in parts]
        cut: dict[str, str] = {}
        said: dict[str, str] = {}
        rounds = list(self._rounds(members))
        with self._progress(None) as progress:
            for s, candidates in enumerate(rounds):
                running = self._running_for(work, len(rounds), 1 / (len(rounds) - s))
                going = [chain for chain in chains if not chain.has_ended]
                told = self._grow(going, candidates, work, running, progress)
                cut |= told if self.order == "given" else {f"stage {s + 1}": cut_of_stage(told)}
                said |= {name: what for name, what in told.items() if what}
                if all(chain.has_ended for chain in chains):
                    break
        if work.deadline is not None:
            tell_of_cuts(said)
        outer = chains[: len(splits)]
        names = self._stage_names(members, max(len(chain.stages) for chain in outer))
        oof = replace(table_of_chains(outer, splits, names, work), cut=None if work.deadline is None else cut)
        models = oof.models
        if not is_covered:
            # the last chain had all rows
            models = {name: [model] for name, model in zip(names, chains[-1].models(len(names)), strict=True)}
        # stages add up, also where nothing is learned of their weights
        whole_sum = Blend(np.ones(len(names)), np.zeros(self._n_outputs))
        learn = blend_learner(oof, "nonnegative", seed=work.seed)
        self._keep(assemble(oof, learn, unlearned=whole_sum, deadline=work.deadline), models, work)
        self.stages_ = pd.DataFrame(
            [
                (k, s, step.name, step.loss)
                for k, chain in enumerate(outer)
                for s, step in enumerate(chain.stages, start=1)
            ],
            columns=["fold", "stage", "estimator", "loss"],
        )

    def _rounds(self, members: Members) -> Iterator[Members]:
        """The candidates of each stage."""
        if self.order == "given":
            yield from ([member] for member in members)
        else:
            yield from (members for _ in range(self.n_estimators))

    def _stage_names(self, members: Members, n_stages: int) -> list[str]:
        if self.order == "given":
            return [name for name, _ in members[:n_stages]]
        return [f"stage {s + 1}" for s in range(n_stages)]

    def _begin(self, work: Work, train: np.ndarray, test: np.ndarray) -> Chain:
        rows = work.rows.take(train)
        codes = None if work.classes is None else rows.target
        inner = folds(
            codes,
            rows.groups,
            n_rows=len(rows),
            n_splits=self.inner_cv,
            seed=work.seed,
            time=rows.time,
            parameter="inner_cv",
        )
        start = np.zeros(self._n_outputs) if codes is None else log_prior(codes, rows.weight, work.n_classes)
        margin = np.full((len(work.rows), self._n_outputs), np.nan)
        margin[train] = start
        return Chain(test, [(train[a], train[b]) for a, b in inner], margin, start)

    def _grow(
        self, chains: list[Chain], candidates: Members, work: Work, running: Running, progress: FitProgress
    ) -> dict[str, str]:
        """One stage more of each chain: the candidate that helps most on the rows inside; none ends the chain.

        Returns what was cut of the candidates.
        """
        steps_of, cut = self._steps(chains, candidates, work, running, progress)
        for chain, steps in zip(chains, steps_of, strict=True):
            judged = [
                replace(step, loss=loss_of(chain.margin + self.learning_rate * step.inside, work)) for step in steps
            ]
            best = min(judged, key=lambda step: step.loss, default=None)
            if best is None or (chain.stages and best.loss >= loss_of(_where_both(chain.margin, best.inside), work)):
                chain.has_ended = True
            else:
                chain.add(best, self.learning_rate)
        return cut

    def _steps(
        self, chains: list[Chain], candidates: Members, work: Work, running: Running, progress: FitProgress
    ) -> tuple[list[list[Step]], dict[str, str]]:
        """The step of every candidate that there is time for, of each chain, and what was cut of the candidates.

        What can be computed as one goes together.
        """
        stage = len(chains[0].stages)
        rng = np.random.RandomState(work.seed + stage)
        # classifiers and regressors are fitted as such; of a regressor, one a class
        fits: dict[bool, list[FoldFit]] = {True: [], False: []}
        keys: dict[bool, list[tuple[int, str, int]]] = {True: [], False: []}
        for i, chain in enumerate(chains):
            start = np.nan_to_num(chain.margin)
            for name, estimator in candidates:
                is_among_classes = is_classifier(estimator)
                for j, (train, test) in enumerate(chain.usable()):
                    split = (train, np.concatenate([test, chain.test]))
                    seeded = seed_nested(clone(estimator), rng)
                    for rows in left_over(estimator, work.rows, start, n_classes=work.n_classes):
                        fits[is_among_classes].append(FoldFit(name, clone(seeded), rows, split))
                        keys[is_among_classes].append((i, name, j))
        found: dict[tuple[int, str, int], list[FittedFold]] = defaultdict(list)
        cut: dict[str, str] = {}
        for is_among_classes in fits:
            # the Hessian is a weight
            steps = {"n_classes": 0, "weighted": work.weighted or work.n_classes > 0}
            how = work.how if is_among_classes else work.how | steps
            fitted, told = fit_in_time(
                fits[is_among_classes],
                how,
                running,
                on_fit=lambda name: progress.step({"stage": name}),
                # of a stage all fits, or none; and one stage in any case
                is_needed=stage == 0 and not found,
            )
            cut |= told
            for i, part in sorted(fitted.items()):
                found[keys[is_among_classes][i]].append(part)
        done = [(name, estimator) for name, estimator in candidates if any(name == key[1] for key in found)]
        return [
            [chain.step(name, [found[i, name, j] for j in range(len(chain.usable()))]) for name, _ in done]
            if chain.usable()
            else []
            for i, chain in enumerate(chains)
        ], cut

    def plot_stages(self, ax: Any = None) -> Any:
        """Draw the loss after each stage, on rows that its models never saw: a line a fold, and their mean.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        ax = axes_for(ax, purpose="plot_stages")
        for _, fold in self.stages_.groupby("fold"):
            ax.plot(fold["stage"], fold["loss"], color="0.8", marker="o")
            for _, stage in fold.iterrows():
                ax.annotate(stage["estimator"], (stage["stage"], stage["loss"]), fontsize="x-small", color="0.5")
        mean = self.stages_.groupby("stage")["loss"].mean()
        ax.plot(mean.index, mean, marker="o", label="mean of the folds that got so far")
        ax.set(xlabel="stage", ylabel="loss inside the folds", title=type(self).__name__, xticks=mean.index)
        ax.legend()
        return ax


def _where_both(margin: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The margin of rows that the step reaches: forward in time, a stage leaves some out."""
    return np.where(np.isnan(step), np.nan, margin)


_PARAMETERS = (
    """
    estimators : "auto" or list of (str, estimator), default="auto"
        The stages: what goes on from a margin (``fit`` takes ``base_margin``, as boosted trees and nets here do), or
        any regressor, which in classification is fitted to Newton's step of the log loss with the Hessian as weight.
        "auto" is boosted trees (``trees``), then a net (``mlp``).
    order : {"given", "auto"}, default="given"
        "given": one stage an estimator, in their order. "auto": each stage is the estimator that lowers the loss most.
    n_estimators : int, default=6
        Stages at most, for ``order="auto"``.
    learning_rate : float, default=1.0
        Share of a stage's step that the next one starts from, in (0, 1].
"""
    + CV
    + """
    inner_cv : int, default=5
        Folds of each training part from which a stage's margins come that the next one starts from. Each stage is
        fitted ``cv * inner_cv`` times, a regressor among more than two classes as often for each.
"""
)
_STAGES = """
    stages_ : DataFrame
        ``fold``, ``stage``, ``estimator`` and the ``loss`` after it (log loss in nats, or squared error) on rows of the
        fold's training part that its models never saw.
"""


@hybrid_estimator(parameters=_PARAMETERS, attributes=_STAGES)
class HybridBoostingClassifier(HybridClassifierHead, BaseBoosting):
    """Boosting of trees, nets and any regressors: each stage learns what those before it have left over.

    Within each fold the margins that a stage starts from are themselves out of fold: margins of rows that a model was
    trained on leave no residual. A chain ends where a stage does not lower the loss on such rows. In the end
    non-negative weights of all stages are learned together, as GrowNet's corrective step [1]_ does by gradient
    descent. Folds that go forward in time leave each stage fewer rows to start from.

    <sections>

    References
    ----------
    .. [1] Badirli et al., "Gradient Boosting Neural Networks: GrowNet", 2020. Newton's step: Friedman, Hastie and
       Tibshirani, "Additive Logistic Regression", Annals of Statistics 28, 2000.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn import BoostedTreesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> stages = [
    ...     ("linear", make_pipeline(StandardScaler(), Ridge())),
    ...     ("trees", BoostedTreesClassifier(n_estimators=20)),
    ... ]
    >>> boost = HybridBoostingClassifier(estimators=stages, cv=3, random_state=0).fit(X, y)
    >>> boost.stages_.columns.tolist()
    ['fold', 'stage', 'estimator', 'loss']
    """


@hybrid_estimator(parameters=_PARAMETERS, attributes=_STAGES)
class HybridBoostingRegressor(HybridRegressorHead, BaseBoosting):
    """Boosting of trees, nets and any regressors: each stage learns the residuals of those before it.

    As :class:`HybridBoostingClassifier`, with the squared error.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import RidgeCV
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> stages = [("linear", RidgeCV()), ("neighbours", KNeighborsRegressor(20))]
    >>> boost = HybridBoostingRegressor(estimators=stages, order="auto", n_estimators=2, random_state=0).fit(X, y)
    >>> boost.weights_.index.tolist()[0]
    'stage 1'
    """
