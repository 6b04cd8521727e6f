"""The flagship: a cross-fitted, calibrated, non-negative sum of margins as one scikit-learn estimator."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from hybridlearn._compat import (
    BaseComposition,
    CallbackSupportMixin,
    HasMethods,
    StrOptions,
    integer,
    parallel_block,
    real,
)
from hybridlearn._docs import also_takes, shares_doc
from hybridlearn._fitting import whole_fit
from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn._progress import FitProgress
from hybridlearn._random import RandomState, draw_seed, seed_nested
from hybridlearn.crossfit import (
    FoldModel,
    OutOfFold,
    check_can_score,
    check_members,
    cross_fit_rows,
    fit_model,
    fold_margins,
    make_splits,
)
from hybridlearn.ensemble._assembly import assemble, leaderboard
from hybridlearn.ensemble._members import default_members
from hybridlearn.table import Schema, TrainingRows, UnseenCategoryWarning, read_raw_table, read_training_rows


class BaseHybrid(CallbackSupportMixin, BaseComposition):
    """Everything of a hybrid but its task."""

    _parameter_constraints: ClassVar[dict] = {
        "estimators": [StrOptions({"auto"}), list],
        "cv": [integer(2), HasMethods(["split"]), list],
        "final_estimator": [StrOptions({"greedy", "nonnegative", "mean"})],
        "scoring": [str, callable],
        "device": [str],
        "n_jobs": [int, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        estimators: str | list[tuple[str, Any]] = "auto",
        cv: Any = 5,
        final_estimator: str = "greedy",
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.estimators = estimators
        self.cv = cv
        self.final_estimator = final_estimator
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _members(self) -> list[tuple[str, Any]]:
        if isinstance(self.estimators, str):
            return default_members(classification=self._is_classifier)
        return self.estimators

    def _known_members(self) -> list[tuple[str, Any]]:
        """The members, none where ``estimators`` is not a list of them: that is for ``fit`` to say."""
        try:
            self._check_members()
        except (TypeError, ValueError):
            return []
        return self._members()

    def _check_members(self) -> None:
        reserved = super().get_params(deep=False)
        check_members(self._members(), classification=self._is_classifier, reserved=reserved)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the hybrid and, with `deep`, of its members as ``member__parameter``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params = super().get_params(deep=False)
        if deep:
            for name, member in self._known_members():
                params[name] = member
                params |= {f"{name}__{key}": value for key, value in member.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the hybrid or of its members.

        Setting a parameter of a default member writes the default members out: ``estimators`` becomes a list.

        Parameters
        ----------
        **params
            ``parameter``, ``member`` (replaces it) or ``member__parameter``.

        Returns
        -------
        self
        """
        if isinstance(params.get("estimators", self.estimators), str):
            members = default_members(classification=self._is_classifier)
            names = {name for name, _ in members}
            if any(key.partition("__")[0] in names for key in params):
                params["estimators"] = members
        self._set_params("estimators", **params)
        return self

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """Cross-fit the members and learn the blend from their out-of-fold margins.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
            Handed to the members as it is; the default members take numbers, booleans, datetimes and categories
            with missing values, and no sparse matrix.
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Weighs rows in members, blend and scores; rows of weight 0 are left out. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group share a fold, and a side of each inner split.

        Returns
        -------
        self

        Raises
        ------
        MemberError
            Naming the member that failed.
        ValueError
            On data, folds or parameters that cannot be used; the message names them.
        """
        self._check_members()
        check_scoring(self, self.scoring)
        rows = read_training_rows(self, X, y, sample_weight, groups, reader=type(self)._read)
        if isinstance(rows.X, pd.DataFrame):
            # rows of weight 0 are as if they had never been
            self.schema_ = Schema.from_data(rows.X)
        self._check_target()
        _check_sparse(rows.X, self._members())
        seed = draw_seed(self.random_state)
        splits = make_splits(self.cv, rows, classes=getattr(self, "classes_", None), seed=seed)
        if len(splits) < 2:
            raise ValueError("cv gave one fold; the blend needs two, to be judged by weights of the other")
        check_can_score(rows.target, rows.weight, getattr(self, "classes_", None), self.scoring)
        members = [(name, _on_device(clone(member), self.device)) for name, member in self._members()]
        with FitProgress(self, len(members) * len(splits), unit="fit", verbose=self.verbose) as progress:
            oof = cross_fit_rows(
                members,
                rows,
                splits,
                classes=getattr(self, "classes_", None),
                weighted=sample_weight is not None,
                on_error="raise",
                n_jobs=self.n_jobs,
                seed=seed,
                on_fit=lambda name: progress.step({"member": name}),
            )
        self._assemble(oof, seed)
        self.models_ = oof.models
        if not oof.covered.all():
            self.models_ = self._refit(members, rows, weighted=sample_weight is not None, seed=seed)
        self.estimators_ = [[model.estimator for model in models] for models in self.models_.values()]
        self.named_estimators_ = Bunch(**dict(zip(self.models_, self.estimators_, strict=True)))
        return self

    def _read(self, X: Any, *, reset: bool) -> Any:
        """`X` as the members get it."""
        table = read_raw_table(X, any_object=get_tags(self).input_tags.string)
        validate_data(self, X if isinstance(X, pd.DataFrame) else table, reset=reset, skip_check_array=True)
        if not isinstance(table, pd.DataFrame):
            return table
        if reset:
            self.schema_ = Schema.from_data(table)
        return self.schema_.settled(table)

    def _assemble(self, oof: OutOfFold, seed: int) -> None:
        assembly = assemble(oof, self.final_estimator, seed=seed)
        self.oof_, self.ledger_ = assembly.oof, assembly.oof.ledger
        self.weights_ = pd.Series(assembly.blend.weights, index=oof.members, name="weight")
        self.intercept_, self.temperature_ = assembly.blend.intercept, assembly.temperature
        self.leaderboard_ = leaderboard(assembly, self.scoring, threshold=getattr(self, "threshold", 0.5))

    def _refit(
        self, members: list[tuple[str, Any]], rows: TrainingRows, *, weighted: bool, seed: int
    ) -> dict[str, list[FoldModel]]:
        """Rows that no test part holds must not be lost: each member once more, on all rows."""
        rng = np.random.RandomState(seed)
        n_classes = len(getattr(self, "classes_", ()))
        seeded = {name: seed_nested(clone(member), rng) for name, member in members}
        return {
            name: [fit_model(member, rows, n_classes=n_classes, weighted=weighted, seed=seed)]
            for name, member in seeded.items()
        }

    def member_margins(self, X: Any) -> dict[str, np.ndarray]:
        """Margin of each member: the mean over its fold models.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        dict of str to ndarray of shape (n_rows, n_outputs), float64
        """
        check_is_fitted(self)
        table = self._read(X, reset=False)
        if isinstance(table, pd.DataFrame):
            self.schema_.warn_unseen(table)
        with warnings.catch_warnings():
            # said once for the hybrid, not once a fold model
            warnings.simplefilter("ignore", UnseenCategoryWarning)
            return {
                name: np.mean(fold_margins(models, [table] * len(models)), axis=0)
                for name, models in self.models_.items()
            }

    def margin(self, X: Any) -> np.ndarray:
        """Calibrated margin: ``(intercept_ + sum of weights_ * member_margins(X)) / temperature_``.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
        """
        margins = self.member_margins(X)
        total = sum(self.weights_[name] * margin for name, margin in margins.items())
        return (self.intercept_ + total) / self.temperature_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "named_estimators_")

    def _sk_visual_block_(self) -> Any:
        return parallel_block(self._known_members())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inputs = [get_tags(member).input_tags for _, member in self._known_members()]
        tags.input_tags.sparse = all(i.sparse for i in inputs)
        tags.input_tags.allow_nan = all(i.allow_nan for i in inputs)
        tags.input_tags.string = all(i.string for i in inputs)
        tags.input_tags.categorical = all(i.categorical for i in inputs)
        return tags


def _check_sparse(table: Any, members: list[tuple[str, Any]]) -> None:
    refusing = [name for name, member in members if not get_tags(member).input_tags.sparse]
    if hasattr(table, "tocsr") and refusing:
        raise TypeError(f"X is a sparse matrix, which members {refusing} do not take; use X.toarray()")


def _on_device(member: Any, device: str) -> Any:
    """Members that leave their device open take the hybrid's."""
    params = member.get_params(deep=True)
    names = [name for name in params if name == "device" or name.endswith("__device")]
    member.set_params(**{name: device for name in names if params[name] == "auto"})
    return member


_PARAMETERS = """
    estimators : "auto" or list of (str, estimator), default="auto"
        The members: any scikit-learn estimators, pipelines included. "auto" takes two boosted trees of different
        shape (``trees``, ``deep_trees``), a net (``mlp``) and a regularised linear model (``linear``). Nested
        parameters are reached by name, e.g. ``mlp__learning_rate``.
    cv : int, splitter or list of (train, test), default=5
        An int gives shuffled folds, by `groups` where given. Each row may be in at most one test part.
    final_estimator : {"greedy", "nonnegative", "mean"}, default="greedy"
        How the weights are learned from out-of-fold margins: selection with replacement, averaged over bags
        (Caruana et al. [1]_); the non-negative weights of least loss; or equal
        weights of the temperature-scaled margins.
    device : str, default="auto"
        Device of the members that leave it open.
    n_jobs : int or None, default=None
        Processes over members and folds; results do not depend on it where each computes with as many threads
        (``OMP_NUM_THREADS``).
    random_state : int, RandomState or None, default=None
        Decides folds, members and bags; a seed that a member or splitter brings is kept.
    verbose : int, default=0
        From 1 on, a progress bar over the fits.
"""

_ATTRIBUTES = """
    estimators_ : list of list of estimator
        The fitted members, one a fold each; where folds leave rows uncovered, one on all rows each.
    named_estimators_ : Bunch of str to list of estimator
        The same by name.
    models_ : dict of str to list of FoldModel
        The same with what turns their answers into margins.
    oof_ : OutOfFold
        Out-of-fold margins of members and blend, folds and targets.
    ledger_ : Ledger
        Which rows each step saw; ``ledger_.assert_leak_free()`` proves it.
    weights_ : Series of shape (n_members,)
        Weight of each member's margin.
    intercept_ : ndarray of shape (n_outputs,)
        Added to the weighted sum.
    temperature_ : float
        Divides the sum; 1.0 where calibration did not lower the out-of-fold log loss, and in regression.
    leaderboard_ : DataFrame
        ``member``, ``weight``, out-of-fold ``score``, ``fit_seconds``, best first. The blend's score is that of
        weights learned without the row's fold.
    schema_ : Schema
        Of `X`, where it is a DataFrame or an array of mixed types.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
@also_takes(scoring="neg_log_loss", threshold=0.5)
class HybridClassifier(ClassifierHead, BaseHybrid):
    """Nets, boosted trees and a linear model as one cross-fitted, calibrated classifier.

    Every member is fitted on each fold's training part and gives margins (log-odds) for the rows it never saw.
    From these alone the non-negative weights of the sum and its temperature are learned. A prediction is the
    weighted sum of each member's mean margin over its fold models: K fits a member and no refit, unlike
    scikit-learn's stacking with K + 1. Being linear in margins, it can be explained and certified.

    Parameters
    ----------
    <parameters>
    scoring : str or callable, default="neg_log_loss"
        What the leaderboard shows, greater is better. A callable gets row positions as `X`, and the weights if it
        takes ``sample_weight``.
    threshold : float, default=0.5
        Of two classes, the second is predicted where its probability is above; changes ``predict`` only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    <attributes>

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
        **BaseHybrid._parameter_constraints,
        "threshold": [real(0, 1, closed="both")],
    }

    def _check_target(self) -> None:
        if self.threshold != 0.5 and len(self.classes_) > 2:
            raise ValueError(f"threshold={self.threshold} is for two classes, y has {len(self.classes_)}")


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
@also_takes(scoring="neg_root_mean_squared_error")
class HybridRegressor(RegressorHead, BaseHybrid):
    """Nets, boosted trees and a linear model as one cross-fitted regressor.

    As :class:`HybridClassifier`; margins are predictions in units of the target, and weights minimise squared
    error.

    Parameters
    ----------
    <parameters>
    scoring : str or callable, default="neg_root_mean_squared_error"
        What the leaderboard shows, greater is better. A callable gets row positions as `X`, and the weights if it
        takes ``sample_weight``.

    Attributes
    ----------
    <attributes>

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

    def _check_target(self) -> None:
        """Any numbers can be learned."""
