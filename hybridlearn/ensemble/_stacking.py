"""Stacking: any estimator on out-of-fold margins, a second layer that has to prove itself, members that come fitted."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import HasMethods, StrOptions, integer
from hybridlearn._docs import leads_with
from hybridlearn._row_losses import row_losses
from hybridlearn._splits import Split
from hybridlearn.crossfit import OutOfFold, check_task, no_news_of_levels, resamples, warn_unweighted
from hybridlearn.ensemble._assembly import Assembly, assemble, blend_learner
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._hybrid import CV_CONSTRAINT, BaseHybrid
from hybridlearn.ensemble._meta import margin_columns, meta_learner, with_second_layer
from hybridlearn.ensemble._pair import ESTIMATORS, hybrid_estimator
from hybridlearn.ensemble._prefit import table_of_fitted
from hybridlearn.ensemble._refit import refitted

# Of the time for fits, the share of the first layer where there may be two: each is fitted twice.
_FIRST_LAYER = 0.25


@leads_with(estimators="auto", final_estimator="greedy", cv=5, passthrough=False, layers=1)
class BaseStacking(BaseHybrid):
    """A blend that may be any estimator, may have two layers, or members that come fitted."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseHybrid._parameter_constraints,
        "cv": [*CV_CONSTRAINT, StrOptions({"prefit"})],
        "final_estimator": [*BaseHybrid._parameter_constraints["final_estimator"], HasMethods(["fit", "get_params"])],
        "passthrough": ["boolean"],
        "layers": [integer(1, 2)],
    }

    @property
    def _has_prefit_members(self) -> bool:
        return isinstance(self.cv, str) and self.cv == "prefit"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with `deep` those of the members and of a final estimator by their names as well.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        final: Any = params.get("final_estimator")
        if deep and hasattr(final, "get_params") and not isinstance(final, type):
            params |= {f"final_estimator__{name}": value for name, value in final.get_params().items()}
        return params

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not isinstance(self.final_estimator, str):
            check_task("final_estimator", self.final_estimator, classification=self._is_classifier)
        elif self.passthrough:
            raise ValueError(
                f"passthrough=True hands X to the final estimator, but final_estimator={self.final_estimator!r} is a "
                "sum of margins; give an estimator"
            )
        if self._has_prefit_members and self.layers == 2:
            raise ValueError("layers=2 fits members on margins, which cv='prefit' does not; set layers=1")
        if self._has_prefit_members and isinstance(self.estimators, str):
            raise ValueError("cv='prefit' needs fitted estimators; estimators='auto' names some that are not")

    def _learn(self, work: Work) -> None:
        self.n_layers_, self.layer_gain_ = 1, np.nan
        if not isinstance(self.final_estimator, str):
            warn_unweighted([("final_estimator", self.final_estimator)], work.weighted)
        if self._has_prefit_members:
            for name, member in self.estimators:
                check_is_fitted(
                    member,
                    msg=f"member {name!r} (%(name)s) is not fitted, as cv='prefit' needs it; cloning forgets a fit: "
                    "wrap fitted members in FrozenEstimator",
                )
            oof = table_of_fitted(self.estimators, work)
            self._finish(self._assemble(oof, work), oof.models, work)
            return
        work, splits = self._splits(work, self.cv)
        members = self._members(work)
        # two layers of all folds, and before them two of all but one
        n_fits = len(splits) if self.layers == 1 else 4 * len(splits) - 2
        with self._progress(n_fits * len(members)) as progress:
            before = _time_left(work)
            oof = self._cross_fit(members, work, splits, progress, share=1.0 if self.layers == 1 else _FIRST_LAYER)
            spent = before - _time_left(work)
            if self.layers == 2 and self._is_confirmed(members, work, splits, oof, progress, spent):
                # a member that the first layer had no time for has no margins
                members = [(name, member) for name, member in members if name in oof.models]
                oof = with_second_layer(oof, self._second_layer(members, oof, work, splits, progress))
                self.n_layers_ = 2
        models = oof.models
        if not oof.covered.all():
            models = refitted(members, oof, work, running=self._running_for(work, len(members)))
        self._finish(self._assemble(oof, work), models, work)

    def _finish(self, assembly: Assembly, models: dict[str, list[Any]], work: Work) -> None:
        self._keep(assembly, models, work)
        self.final_estimator_ = getattr(getattr(self._final_, "model", None), "estimator", self._final_)

    def _second_layer(
        self, members: Members, oof: OutOfFold, work: Work, splits: list[Split], progress: Any, *, share: float = 1.0
    ) -> OutOfFold:
        """The members once more, on the table and the out-of-fold margins of the first layer."""
        margins = np.stack([oof.margins[name] for name in oof.members])
        above = replace(work, rows=replace(work.rows, X=margin_columns(margins, list(oof.members), work.rows.X)))
        return self._cross_fit_again(members, above, splits, progress, share=share)

    def _cross_fit_again(
        self, members: Members, work: Work, splits: list[Split], progress: Any, *, share: float
    ) -> OutOfFold:
        """Cross-fit members of which all that is to be said was said when they were cross-fitted first."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="members .* take no sample_weight")
            return self._cross_fit(members, work, splits, progress, share=share)

    def _assemble(self, oof: OutOfFold, work: Work) -> Assembly:
        if isinstance(self.final_estimator, str):
            recalibrate = oof.classes is not None and any(resamples(own[0].estimator) for own in oof.models.values())
            blend = blend_learner(oof, self.final_estimator, seed=work.seed, recalibrate=recalibrate)
            return assemble(oof, blend, deadline=work.deadline)
        final = self._on_device(self.final_estimator)
        learn = meta_learner(oof, final, work, passthrough=self.passthrough)
        with no_news_of_levels():
            return assemble(oof, learn, work.rows.X if self.passthrough else None, deadline=work.deadline)

    def _is_confirmed(
        self, members: Members, work: Work, splits: list[Split], oof: OutOfFold, progress: Any, spent: float
    ) -> bool:
        """Whether two layers beat one on a fold that both have not seen; says so where they do not.

        Nor where the time that is left is less than what was `spent` on the first layer.
        """
        if not oof.covered.all():
            raise ValueError("layers=2 needs folds that cover all rows: a row of the second layer has margins")
        if len(splits) < 3:
            raise ValueError("layers=2 needs cv of at least 3 folds: one is kept out of both layers")
        deadline = self._running_for(work, len(members)).deadline
        if deadline is not None and deadline.left() < spent:
            warnings.warn(
                f"layers=2 is switched off: time_limit={self.time_limit:g} leaves too little for a second layer",
                UserWarning,
                stacklevel=7,
            )
            return False
        rest, held_out = splits[0]
        rest = np.unique(rest)
        inside = replace(work, rows=work.rows.take(rest))
        inner = [
            (np.searchsorted(rest, np.intersect1d(train, rest)), np.searchsorted(rest, np.intersect1d(test, rest)))
            for train, test in splits[1:]
        ]
        inner = [(train, test) for train, test in inner if len(test)]
        if not all(len(train) for train, _ in inner):
            raise ValueError("layers=2 needs folds that share training rows with the first; give an int")
        first = self._cross_fit_again(members, inside, inner, progress, share=1 / 3)
        known = [(name, member) for name, member in members if name in first.models]
        both = with_second_layer(first, self._second_layer(known, first, inside, inner, progress, share=1 / 2))
        inside = replace(inside, deadline=None if work.deadline is None else work.deadline.part(_FIRST_LAYER))
        outside = work.rows.take(held_out)
        losses = [self._losses(self._assemble(table, inside), outside) for table in (first, both)]
        gain, share = losses[0] - losses[1], outside.weight / outside.weight.sum()
        self.layer_gain_ = float(gain @ share)
        error = float(np.sqrt(share**2 @ (gain - self.layer_gain_) ** 2))
        if self.layer_gain_ > 2 * error:
            return True
        warnings.warn(
            f"layers=2 is switched off: on {len(held_out)} rows kept out of both layers the second lowered the loss by "
            f"{self.layer_gain_:.2g} +- {error:.2g}, which does not confirm it",
            UserWarning,
            stacklevel=7,
        )
        return False

    def _losses(self, assembly: Assembly, rows: Any) -> np.ndarray:
        models = assembly.oof.models.values()
        with no_news_of_levels():
            margins = np.stack([np.mean([model.margin(rows.X) for model in own], axis=0) for own in models])
            margin = assembly.final.margin(margins, rows.X)
        return row_losses(margin, rows.target, classification=self._is_classifier)


def _time_left(work: Work) -> float:
    return 0.0 if work.deadline is None else work.deadline.left()


_FINAL = """
    final_estimator : {"greedy", "nonnegative", "mean"} or estimator, default="greedy"
        What combines the members' out-of-fold margins. A word names a weighted sum, see :class:`HybridClassifier`. An
        estimator of the same task is fitted on the margins; the hybrid is then no sum of its members', and what needs
        one (``weights_``, additive explanations, certificates) is not to be had.
    cv : int, splitter, list of (train, test) or "prefit", default=5
        An int gives shuffled folds, by `groups` or forward in `time` where given. Each row may be in at most one test
        part. "prefit" takes fitted members as they are; the rows given to ``fit`` are then a holdout: an error where
        an estimator of this package was trained on one of them; for others that is taken on trust, and the ledger
        says so. (Cloning keeps a fitted member in a `FrozenEstimator`.)
    passthrough : bool, default=False
        Whether an estimator that combines gets the columns of `X` too.
    layers : {1, 2}, default=1
        With 2 the members are fitted once more, on `X` and the margins of the first layer, and both layers are
        combined. A second layer may thrive on what out-of-fold margins give away of their own targets: unless it
        lowers the loss by 2 standard errors on a fold that neither layer has seen, it is switched off with a warning.
"""
_LAYERS = """
    final_estimator_ : Blend or estimator
        What combines the margins, fitted.
    n_layers_ : int
        Layers in use.
    layer_gain_ : float
        By how much a second layer lowered the loss (log loss in nats, or squared error) on the rows kept out; NaN for
        one layer.
"""


@hybrid_estimator(parameters=ESTIMATORS + _FINAL, attributes=_LAYERS)
class HybridStackingClassifier(HybridClassifierHead, BaseStacking):
    """Stacking of any classifiers: cross-fitted once, combined by weights or by any classifier.

    Differs from scikit-learn's `StackingClassifier` [1]_ in that members are fitted K times, not K + 1 (a member
    predicts by the mean margin of its fold models); in margins instead of probabilities; in folds that may follow
    groups or time and leave rows uncovered; in weights that reach every step; in a ledger of it all.

    <sections>

    References
    ----------
    .. [1] Wolpert, "Stacked Generalization", Neural Networks 5, 1992. Greedy weights: Caruana, Niculescu-Mizil, Crew
       and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from hybridlearn import BoostedTreesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> members = [("trees", BoostedTreesClassifier(n_estimators=50)), ("bayes", GaussianNB())]
    >>> stack = HybridStackingClassifier(
    ...     estimators=members, final_estimator=LogisticRegression(), cv=3, random_state=0
    ... ).fit(X, y)
    >>> stack.predict_set(X[:2]).shape
    (2, 2)
    """


@hybrid_estimator(parameters=ESTIMATORS + _FINAL, attributes=_LAYERS)
class HybridStackingRegressor(HybridRegressorHead, BaseStacking):
    """Stacking of any regressors: cross-fitted once, combined by weights or by any regressor.

    As :class:`HybridStackingClassifier`; margins are predictions in units of the target.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import RidgeCV
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> members = [("linear", RidgeCV()), ("neighbours", KNeighborsRegressor(20))]
    >>> stack = HybridStackingRegressor(estimators=members, random_state=0).fit(X, y)
    >>> stack.predict_interval(X[:2], alpha=0.2).shape
    (2, 2)
    """
