"""Boosting across kinds: trees, nets and any regressor, each going on where those before it have stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import StrOptions, integer, real
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with
from hybridlearn._extras import require
from hybridlearn._progress import FitProgress
from hybridlearn._random import seed_nested
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit import (
    BLEND,
    FittedFold,
    FoldFit,
    FoldModel,
    Ledger,
    OutOfFold,
    check_is_estimator,
    fit_all,
    starts_from_margin,
    warn_unweighted,
)
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._hybrid import CV_CONSTRAINT, BaseOfMembers
from hybridlearn.ensemble._loss import mean_loss
from hybridlearn.ensemble._pair import CV, hybrid_estimator
from hybridlearn.ensemble._stage import MeanModel, as_one, left_over, log_prior
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


@dataclass
class Chain:
    """Boosting on some of the rows: their inner folds, and the margins so far of rows that no inner model saw.

    Attributes
    ----------
    test : ndarray of int
        Rows outside, which each stage predicts; may be empty.
    inner : list of (train, test)
        Inner folds; rows are positions in the whole table.
    margin : ndarray of shape (n_rows, n_outputs)
        Where the next stage starts; NaN outside, and where a stage that went forward in time has left rows uncovered.
    start : ndarray of shape (n_outputs,)
        Where the first stage starts, and a part of it: the log prior of the rows inside, or 0.
    stages : list of FoldModel
        Each the mean over the inner folds.
    names : list of str
        The estimators chosen.
    losses : list of float
        On the rows inside, after each stage.
    steps : list of ndarray of shape (n_test, n_outputs)
        What each stage says of the rows outside.
    fits : list of list of (train, FittedFold, predicted)
        Of each stage, for the ledger.
    """

    test: np.ndarray
    inner: list[Split]
    margin: np.ndarray
    start: np.ndarray
    stages: list[FoldModel] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)
    fits: list[list[tuple[FittedFold, np.ndarray]]] = field(default_factory=list)
    has_ended: bool = False

    def usable(self) -> list[Split]:
        """The inner folds whose training rows all have a margin to start from."""
        known = ~np.isnan(self.margin[:, 0])
        splits = [(train[known[train]], test) for train, test in self.inner]
        return [(train, test) for train, test in splits if len(train) >= 2]


@dataclass(frozen=True, eq=False)
class Step:
    """A candidate for the next stage of a chain: its models, and what they say of rows that they have not seen."""

    name: str
    model: FoldModel
    inside: np.ndarray
    outside: np.ndarray
    fits: list[tuple[FittedFold, np.ndarray]]


@leads_with(estimators="auto", order="given", n_estimators=6, learning_rate=1.0, cv=5, inner_cv=3)
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
        members = self._members()
        warn_unweighted(members, work.weighted)
        is_covered = len(np.concatenate([test for _, test in splits])) == len(work.rows)
        parts = splits if is_covered else [*splits, (np.arange(len(work.rows)), np.empty(0, dtype=np.int64))]
        chains = [self._begin(work, train, test) for train, test in parts]
        with self._progress(None) as progress:
            for candidates in self._rounds(members):
                going_on = [chain for chain in chains if not chain.has_ended]
                self._grow(going_on, candidates, work, progress)
                if all(chain.has_ended for chain in chains):
                    break
        names = self._stage_names(members, max(len(chain.stages) for chain in chains))
        oof = _table(chains[: len(splits)], splits, names, work)
        assembly = assemble(oof, blend_learner(oof, "nonnegative", seed=work.seed))
        last = chains[-1]
        models = oof.models if is_covered else {n: [m] for n, m in zip(names, _filled(last, names, work), strict=True)}
        self._keep(assembly, models)
        self.stages_ = pd.DataFrame(
            [
                (k, s + 1, name, loss)
                for k, chain in enumerate(chains[: len(splits)])
                for s, (name, loss) in enumerate(zip(chain.names, chain.losses, strict=True))
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
        inner = folds(codes, rows.groups, n_rows=len(rows), n_splits=self.inner_cv, seed=work.seed, time=rows.time)
        start = np.zeros(self._n_outputs) if codes is None else log_prior(codes, rows.weight, work.n_classes)
        margin = np.full((len(work.rows), self._n_outputs), np.nan)
        margin[train] = start
        return Chain(test, [(train[a], train[b]) for a, b in inner], margin, start)

    def _grow(self, chains: list[Chain], candidates: Members, work: Work, progress: FitProgress) -> None:
        """One stage more of each chain: the candidate that helps most on the rows inside; none ends the chain."""
        found = self._steps(chains, candidates, work, progress)
        for i, chain in enumerate(chains):
            steps = found[i]
            losses = [self._loss_after(chain, step, work) for step in steps]
            if not steps or (chain.stages and min(losses) >= self._loss_before(chain, steps, work)):
                chain.has_ended = True
                continue
            best = steps[int(np.argmin(losses))]
            chain.margin = chain.margin + self.learning_rate * best.inside
            first = 0.0 if chain.stages else chain.start
            chain.stages.append(best.model if chain.stages else replace(best.model, shift=chain.start))
            chain.names.append(best.name)
            chain.losses.append(min(losses))
            chain.steps.append(best.outside + first)
            chain.fits.append(best.fits)

    def _loss_after(self, chain: Chain, step: Step, work: Work) -> float:
        rows = ~np.isnan(step.inside[:, 0])
        margin = (chain.margin + self.learning_rate * step.inside)[rows]
        return mean_loss(margin, work.rows.target[rows], work.rows.weight[rows], classification=self._is_classifier)

    def _loss_before(self, chain: Chain, steps: list[Step], work: Work) -> float:
        rows = ~np.isnan(steps[0].inside[:, 0])
        classification = self._is_classifier
        return mean_loss(
            chain.margin[rows], work.rows.target[rows], work.rows.weight[rows], classification=classification
        )

    def _steps(
        self, chains: list[Chain], candidates: Members, work: Work, progress: FitProgress
    ) -> dict[int, list[Step]]:
        """The step of every candidate in every chain; what can be computed as one goes together."""
        rng = np.random.RandomState(work.seed + len(chains[0].stages))
        jobs: dict[bool, list[tuple[tuple[int, str, int], FoldFit]]] = {True: [], False: []}
        for i, chain in enumerate(chains):
            start = np.nan_to_num(chain.margin)
            for name, estimator in candidates:
                for j, (train, test) in enumerate(chain.usable()):
                    split = (train, np.concatenate([test, chain.test]))
                    seeded = seed_nested(clone(estimator), rng)
                    for rows in left_over(estimator, work.rows, start, n_classes=work.n_classes):
                        fit = FoldFit(name, clone(seeded), rows, split)
                        jobs[is_classifier(estimator)].append(((i, name, j), fit))
        models: dict[tuple[int, str, int], list[FittedFold]] = defaultdict(list)
        for classification, keyed in jobs.items():
            fitted = fit_all(
                [fit for _, fit in keyed],
                n_classes=work.n_classes if classification else 0,
                # the Hessian is a weight
                weighted=work.weighted or (not classification and work.n_classes > 0),
                n_jobs=self.n_jobs,
                seed=work.seed,
                on_fit=lambda name: progress.step({"stage": name}),
            )
            for (key, _), part in zip(keyed, fitted, strict=True):
                models[key].append(part)  # type: ignore[arg-type]
        return {
            i: [_step(chain, name, i, models) for name, _ in candidates if (i, name, 0) in models]
            for i, chain in enumerate(chains)
        }

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
        if ax is None:
            ax = require("matplotlib.pyplot", purpose="plot_stages").subplots()[1]
        for _, fold in self.stages_.groupby("fold"):
            ax.plot(fold["stage"], fold["loss"], color="0.8", marker="o")
            for _, stage in fold.iterrows():
                ax.annotate(stage["estimator"], (stage["stage"], stage["loss"]), fontsize="x-small", color="0.5")
        mean = self.stages_.groupby("stage")["loss"].mean()
        ax.plot(mean.index, mean, marker="o", label="mean of the folds that got so far")
        ax.set(xlabel="stage", ylabel="loss inside the folds", title=type(self).__name__, xticks=mean.index)
        ax.legend()
        return ax


def _step(chain: Chain, name: str, i: int, models: dict[tuple[int, str, int], list[FittedFold]]) -> Step:
    """The fits of a candidate on the inner folds of a chain, as one step."""
    inside, outside, parts, fits = np.full_like(chain.margin, np.nan), [], [], []
    for j, (_, test) in enumerate(chain.usable()):
        fitted = models[i, name, j]
        margin = np.column_stack([part.margin for part in fitted])
        if len(fitted) > 1:
            margin -= margin.mean(axis=1, keepdims=True)
        inside[test] = margin[: len(test)]
        outside.append(margin[len(test) :])
        parts.append(as_one([part.model for part in fitted]))
        fits += [(part, np.concatenate([test, chain.test])) for part in fitted]
    n_outputs = chain.margin.shape[1]
    model = FoldModel(MeanModel(tuple(parts), n_outputs), max(m.n_train for m in parts), None, parts[0].n_classes)
    return Step(name, model, inside, np.mean(outside, axis=0), fits)


def _filled(chain: Chain, names: list[str], work: Work) -> list[FoldModel]:
    """The chain's stages, and steps of zero for those that others have more."""
    n_outputs = chain.margin.shape[1]
    nothing = FoldModel(MeanModel((), n_outputs), 1, None, work.n_classes)
    return [*chain.stages, *[nothing] * (len(names) - len(chain.stages))]


def _table(chains: list[Chain], splits: list[Split], names: list[str], work: Work) -> OutOfFold:
    """The out-of-fold steps of each stage, from chains that never saw the row."""
    rows, n_outputs = work.rows, chains[0].margin.shape[1]
    fold, ledger = np.full(len(rows), -1), Ledger()
    margins = {name: np.full((len(rows), n_outputs), np.nan) for name in names}
    models: dict[str, list[FoldModel]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for k, (chain, (train, test)) in enumerate(zip(chains, splits, strict=True)):
        fold[test] = k
        for s, (name, model) in enumerate(zip(names, _filled(chain, names, work), strict=True)):
            has_stage = s < len(chain.stages)
            margins[name][test] = chain.steps[s] if has_stage else 0.0
            models[name].append(model)
            for part, predicted in chain.fits[s] if has_stage else []:
                seconds[name] += part.seconds
                _record(ledger, name, k, part, predicted)
            if has_stage and s:
                ledger.record("start of the stage", name, k, fitted_on=train, predicted=test, order=2)
    return OutOfFold(
        margins=margins,
        fold=fold,
        target=rows.target,
        classes=work.classes,
        weight=rows.weight,
        positions=rows.positions,
        is_ordered=rows.time is not None,
        tests=[test for _, test in splits],
        models=models,
        fit_seconds=seconds,
        failed={},
        ledger=ledger,
    )


def _record(ledger: Ledger, name: str, k: int, part: FittedFold, predicted: np.ndarray) -> None:
    ledger.record("fit", name, k, fitted_on=part.fitted_on, predicted=predicted)
    if part.stopping_rows is not None and len(part.stopping_rows):
        ledger.record("early stopping", name, k, fitted_on=part.stopping_rows, predicted=predicted)


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
    inner_cv : int, default=3
        Folds of each training part from which a stage's margins come that the next one starts from. Each stage is
        fitted ``cv * inner_cv`` times.
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
