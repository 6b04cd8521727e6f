"""The flagship: a cross-fitted, calibrated, non-negative sum of margins as one scikit-learn estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

from scipy import sparse
from sklearn.base import clone
from sklearn.utils import get_tags

from hybridlearn._compat import HasMethods, StrOptions, integer
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with
from hybridlearn.crossfit import FRONT, Running, check_members, resamples
from hybridlearn.ensemble._assembly import assemble, blend_learner, uncalibrated
from hybridlearn.ensemble._base import BaseEnsemble, Members, Work
from hybridlearn.ensemble._heads import HybridClassifierHead, HybridRegressorHead
from hybridlearn.ensemble._members import PRESETS, additive_members, costly_members, default_members
from hybridlearn.ensemble._pair import BLENDS, CV, ESTIMATORS, hybrid_estimator
from hybridlearn.ensemble._pipeline import in_front, refuse_steps
from hybridlearn.ensemble._refit import refitted
from hybridlearn.features import FeatureBuilder
from hybridlearn.resampling import SAMPLER_NAMES, Resampling

SAMPLER_CONSTRAINT = [StrOptions(set(SAMPLER_NAMES)), HasMethods(["fit_resample"])]
CV_CONSTRAINT = [integer(2), HasMethods(["split"]), list]
_ADDITIVE = "additive"
# Rows by which features="auto" can judge features; and rows times classes up to which it is worth while to give all to
# the trees, of which each class has one a round.
_FEWEST_ROWS = 5000
_MOST_CELLS_UNJUDGED = 100_000
# Of less time, judging takes more than its share, and often ends without a verdict.
_SECONDS_TO_JUDGE = 150


class BaseOfMembers(BaseComposed, BaseEnsemble):
    """A hybrid whose members are the parameter ``estimators``."""

    _is_classifier: ClassVar[bool]
    _parts_parameter = "estimators"
    # of the families that do not have it as a parameter
    preset: str = "balanced"
    _parameter_constraints: ClassVar[dict] = {
        **BaseEnsemble._parameter_constraints,
        "estimators": [StrOptions({"auto"}), list],
    }

    def _default_parts(self) -> Members:
        return default_members(preset=self.preset, classification=self._is_classifier)

    def _check_parts(self) -> None:
        reserved = super(BaseComposed, self).get_params(deep=False)
        check_members(self._parts(), classification=self._is_classifier, reserved=reserved)

    def _inner_estimators(self) -> Members:
        return self._known_parts()

    def _check_parameters(self) -> None:
        self._check_parts()

    def _costly_members(self, work: Work) -> frozenset[str]:
        """Names of the members that nobody has asked for by name and that take long on these rows."""
        n_classes = 0 if work.classes is None else len(work.classes)
        return costly_members(len(work.rows), n_classes) if isinstance(self.estimators, str) else frozenset()

    def _members(self, work: Work) -> Members:
        """The members as they are fitted on these rows."""
        left_out = frozenset() if self.preset == "best" else self._costly_members(work)
        return [(name, self._on_device(member)) for name, member in self._parts() if name not in left_out]


class BaseBlend(BaseEnsemble):
    """A sum of members that are cross-fitted side by side."""

    def _learn_blend(
        self,
        members: Members,
        work: Work,
        *,
        cv: Any,
        kind: str,
        resampling: Resampling | None = None,
        front: Any = None,
    ) -> None:
        work, splits = self._splits(work, cv)
        with self._progress(len(members) * len(splits)) as progress:
            oof = self._cross_fit(members, work, splits, progress, resampling=resampling, front=front)
            models = oof.models
            if not oof.covered.all():
                running = self._running_for(work, len(members))
                models = refitted(members, oof, work, running=running, resampling=resampling, front=front)
        if resampling is not None and resampling.correct == "none":
            self._keep(uncalibrated(oof), models)
            return
        is_shifted = any(resamples(member) for _, member in members)
        recalibrate = oof.classes is not None and (is_shifted if resampling is None else resampling.recalibrates)
        learn = blend_learner(oof, kind, seed=work.seed, recalibrate=recalibrate)
        self._keep(assemble(oof, learn, deadline=work.deadline), models, work)


@leads_with(estimators="auto", cv=5, final_estimator="greedy")
class BaseHybrid(BaseOfMembers, BaseBlend):
    """A blend of the members."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseOfMembers._parameter_constraints,
        "cv": CV_CONSTRAINT,
        "final_estimator": [StrOptions({"greedy", "nonnegative", "mean"})],
    }

    def behind(self, front: Members, name: str) -> Self:
        """As in the base."""
        if isinstance(self.cv, str):
            # members that come fitted
            return super().behind(front, name)
        self._check_parts()
        return clone(self).set_params(estimators=[(key, in_front(front, name, part)) for key, part in self._parts()])


@leads_with(estimators="auto", preset="balanced", cv=5, final_estimator="greedy", features="auto")
class BaseFlagship(BaseHybrid):
    """A blend of members that may see the rows through a transformer, fitted on each fold's training part."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseHybrid._parameter_constraints,
        "estimators": [StrOptions({"auto", _ADDITIVE}), list],
        "preset": [StrOptions(set(PRESETS))],
        "features": [StrOptions({"auto"}), HasMethods(["fit", "transform"]), None],
    }

    @property
    def _is_additive(self) -> bool:
        return isinstance(self.estimators, str) and self.estimators == _ADDITIVE

    def _default_parts(self) -> Members:
        if self._is_additive:
            return additive_members(classification=self._is_classifier)
        return super()._default_parts()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self._is_additive and self.features not in (None, "auto"):
            raise ValueError("estimators='additive' is a sum of a function a column; features= mixes columns: set None")

    def _running_for(self, work: Work, n_members: int, share: float = 1.0) -> Running:
        return replace(super()._running_for(work, n_members, share), extras=self._costly_members(work))

    def _front(self, work: Work) -> Any:
        """What members see these rows through, or None."""
        if not isinstance(self.features, str):
            return self.features
        if self._is_additive:
            return None
        # of a sparse table there are no features, and members may fail on gaps in them
        takes_features = not sparse.issparse(work.rows.X) and get_tags(self).input_tags.allow_nan
        is_hurried = work.deadline is not None and work.deadline.left() < _SECONDS_TO_JUDGE
        is_unjudged = self.preset == "fast" or is_hurried
        is_many = is_unjudged and work.n_classes > 2 and len(work.rows) * work.n_classes > _MOST_CELLS_UNJUDGED
        if len(work.rows) < _FEWEST_ROWS or is_many or not takes_features:
            return None
        return FeatureBuilder(select=None if is_unjudged else "auto")

    def _inner_estimators(self) -> Members:
        return super()._inner_estimators() if self.features in (None, "auto") else [(FRONT, self.features)]

    def behind(self, front: Members, name: str) -> Self:
        """As in the base; "auto" leaves features to the steps."""
        if self.features not in (None, "auto"):
            refuse_steps(self, front)
        own = super().behind(front, name)
        return own if isinstance(self.cv, str) else own.set_params(features=None)

    def _resampling(self, work: Work) -> Resampling | None:
        return None

    def _learn(self, work: Work) -> None:
        front = self._front(work)
        self._learn_blend(
            self._members(work),
            work,
            cv=self.cv,
            kind=self.final_estimator,
            resampling=self._resampling(work),
            front=front,
        )
        one = next(iter(self.models_.values()))
        self.features_ = None if front is None else [model.front for model in one]


_PRESET = """
    preset : {"fast", "balanced", "best"}, default="balanced"
        How many members "auto" takes: see :func:`hybridlearn.ensemble.default_members`. Those that "best" has more than
        "balanced" are fitted one after the other, with a `time_limit` as far as there is time.
"""
_ADDITIVE_TOO = """
        "additive" stands for members that are sums of a function a column each: boosted trees of one column a tree, a
        net with a small perceptron a column, and a linear model. What it has learned is then a curve a column.
"""
_PARAMETERS = (
    ESTIMATORS.rstrip()
    + _ADDITIVE_TOO
    + _PRESET
    + CV
    + BLENDS
    + """
    features : "auto", transformer or None, default="auto"
        What is put in front of the members, and fitted on the training part of each fold, once for all of them: it may
        look at the target. Weights, groups and times reach it where its ``fit_transform`` takes them by name. "auto" is
        :class:`FeatureBuilder`, of 5,000 rows or more whose members all take missing values: of fewer rows, it is
        mostly chance which features help. Its families of features stay that lower the loss of trees; with
        ``preset="fast"``, or less than 150 seconds, all do, but of many rows of many classes none. Behind steps of a
        :func:`make_tabular_pipeline` that look at the target it is None.
"""
)
_ATTRIBUTES = """
    features_ : list of transformer or None
        With `features`: the fitted ones, one for each model of a member.
"""
_RESAMPLE = """
    resample : str, sampler or None, default=None
        What is done to the training part of each fold, by name or as a sampler of imbalanced-learn: see
        :class:`ResampledClassifier`. Probabilities are put right again.
"""


@hybrid_estimator(parameters=_PARAMETERS + _RESAMPLE, attributes=_ATTRIBUTES)
@leads_with(estimators="auto", preset="balanced", cv=5, final_estimator="greedy", features="auto", resample=None)
class HybridClassifier(HybridClassifierHead, BaseFlagship):
    """Nets, boosted trees and a linear model as one cross-fitted, calibrated classifier.

    Every member is fitted on each fold's training part and gives margins (log-odds) for the rows it never saw.
    From these alone the non-negative weights of the sum and its temperature are learned. A prediction is the
    weighted sum of each member's mean margin over its fold models: K fits a member and no refit, unlike
    scikit-learn's stacking with K + 1. As a mean of K models varies less than one, it is stretched about its own mean,
    by how much the models differ on the rows that they have seen; no label is looked at. Being linear in margins, it
    can be explained and certified.

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

    _parameter_constraints: ClassVar[dict] = {
        **BaseFlagship._parameter_constraints,
        "resample": [*SAMPLER_CONSTRAINT, None],
    }

    def _resampling(self, work: Work) -> Resampling | None:
        return None if self.resample is None else Resampling.of(self.resample, work.classes)


@hybrid_estimator(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
class HybridRegressor(HybridRegressorHead, BaseFlagship):
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
