"""The flagship: a cross-fitted, calibrated, non-negative sum of margins as one scikit-learn estimator."""

from __future__ import annotations

from typing import ClassVar

from hybridlearn._compat import HasMethods, StrOptions, integer
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with
from hybridlearn.crossfit import check_members
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._base import BaseEnsemble, Members, Work, refitted
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._members import default_members
from hybridlearn.ensemble._pair import BLENDS, CV, ESTIMATORS, hybrid_estimator

CV_CONSTRAINT = [integer(2), HasMethods(["split"]), list]


class BaseOfMembers(BaseComposed, BaseEnsemble):
    """A hybrid whose members are the parameter ``estimators``."""

    _is_classifier: ClassVar[bool]
    _parts_parameter = "estimators"
    _parameter_constraints: ClassVar[dict] = {
        **BaseEnsemble._parameter_constraints,
        "estimators": [StrOptions({"auto"}), list],
    }

    def _default_parts(self) -> Members:
        return default_members(classification=self._is_classifier)

    def _check_parts(self) -> None:
        reserved = super(BaseComposed, self).get_params(deep=False)
        check_members(self._parts(), classification=self._is_classifier, reserved=reserved)

    def _inner_estimators(self) -> Members:
        return self._known_parts()

    def _check_parameters(self) -> None:
        self._check_parts()

    def _members(self) -> Members:
        """The members as they are fitted."""
        return [(name, self._on_device(member)) for name, member in self._parts()]


@leads_with(estimators="auto", cv=5, final_estimator="greedy")
class BaseHybrid(BaseOfMembers):
    """A blend of members that are cross-fitted side by side."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseOfMembers._parameter_constraints,
        "cv": CV_CONSTRAINT,
        "final_estimator": [StrOptions({"greedy", "nonnegative", "mean"})],
    }

    def _learn(self, work: Work) -> None:
        work, splits = self._splits(work, self.cv)
        members = self._members()
        with self._progress(len(members) * len(splits)) as progress:
            oof = self._cross_fit(members, work, splits, progress)
            models = oof.models
            if not oof.covered.all():
                models = refitted(members, oof, work, running=self._running_for(work, len(members)))
        learn = blend_learner(oof, self.final_estimator, seed=work.seed)
        self._keep(assemble(oof, learn, deadline=work.deadline), models)


_PARAMETERS = ESTIMATORS + CV + BLENDS


@hybrid_estimator(parameters=_PARAMETERS)
class HybridClassifier(HybridClassifierHead, BaseHybrid):
    """Nets, boosted trees and a linear model as one cross-fitted, calibrated classifier.

    Every member is fitted on each fold's training part and gives margins (log-odds) for the rows it never saw.
    From these alone the non-negative weights of the sum and its temperature are learned. A prediction is the
    weighted sum of each member's mean margin over its fold models: K fits a member and no refit, unlike
    scikit-learn's stacking with K + 1. Being linear in margins, it can be explained and certified.

    <sections>

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn import BoostedTreesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> members = [
    ...     ("trees", BoostedTreesClassifier(n_estimators=50)),
    ...     ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
    ... ]
    >>> hybrid = HybridClassifier(estimators=members, cv=3, random_state=0).fit(X, y)
    >>> hybrid.leaderboard_.columns.tolist()
    ['member', 'weight', 'score', 'fit_seconds']
    >>> hybrid.ledger_.assert_leak_free()
    """


@hybrid_estimator(parameters=_PARAMETERS)
class HybridRegressor(HybridRegressorHead, BaseHybrid):
    """Nets, boosted trees and a linear model as one cross-fitted regressor.

    As :class:`HybridClassifier`; margins are predictions in units of the target, and weights minimise squared
    error.

    <sections>

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import LinearRegression, RidgeCV
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> members = [("linear", RidgeCV()), ("neighbours", KNeighborsRegressor(20))]
    >>> hybrid = HybridRegressor(estimators=members, random_state=0).fit(X, y)
    >>> hybrid.predict(X).shape
    (442,)
    """
