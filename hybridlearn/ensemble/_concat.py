"""Concatenation: what nets and trees have learned to see, side by side, under one head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hybridlearn._compat import HasMethods, StrOptions, integer
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with, shares_doc
from hybridlearn._fitting import whole_fit
from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn._protocols import Embedder
from hybridlearn._random import seed_nested
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit import (
    FoldFit,
    FoldModel,
    check_is_estimator,
    check_task,
    fit_in_time,
    fit_model,
    no_news_of_levels,
    warn_unweighted,
)
from hybridlearn.ensemble._base import BaseMeta, Members, Work
from hybridlearn.ensemble._pair import SHARED
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


@dataclass(frozen=True, eq=False)
class Concatenation:
    """Embedders that were fitted on some rows, and the head on what they see of others.

    Attributes
    ----------
    embedders : dict of str to estimator
    scalers : dict of str to transformer
        Standardise features, make indicators of codes.
    head : FoldModel
    embedder_rows, head_rows : ndarray of int
        Rows that each was fitted on: no row is in both.
    """

    embedders: dict[str, Any]
    scalers: dict[str, Any]
    head: FoldModel
    embedder_rows: np.ndarray
    head_rows: np.ndarray

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row of the table."""
        return self.head.margin(side_by_side(self.scalers, seen_by(self.embedders, X)))


def seen_by(embedders: dict[str, Any], X: Any) -> dict[str, np.ndarray]:
    """What each embedder sees of the rows."""
    return {name: e.embed(X) if isinstance(e, Embedder) else e.transform(X) for name, e in embedders.items()}


def side_by_side(scalers: dict[str, Any], seen: dict[str, np.ndarray]) -> Any:
    """Scaled features and indicators of codes as one table, sparse where one of them is."""
    blocks = [scalers[name].transform(block) for name, block in seen.items()]
    if any(sparse.issparse(block) for block in blocks):
        return sparse.hstack(blocks, format="csr")
    return np.hstack(blocks)


def _scaler(block: Any) -> Any:
    if sparse.issparse(block):
        return StandardScaler(with_mean=False).fit(block)
    if np.asarray(block).dtype.kind in "iu":
        return OneHotEncoder(handle_unknown="ignore").fit(block)
    return StandardScaler().fit(block)


@leads_with(embedders="auto", head="auto", cv=3)
class BaseConcat(BaseComposed, BaseMeta):
    """The embedders and the head of each inner fold."""

    _is_classifier: ClassVar[bool]
    _parts_parameter = "embedders"
    _parameter_constraints: ClassVar[dict] = {
        **BaseMeta._parameter_constraints,
        "embedders": [StrOptions({"auto"}), list],
        "head": [StrOptions({"auto"}), HasMethods(["fit", "get_params"])],
        "cv": [integer(2)],
    }

    def _default_parts(self) -> Members:
        trees = BoostedTreesClassifier if self._is_classifier else BoostedTreesRegressor
        net = TabularMLPClassifier if self._is_classifier else TabularMLPRegressor
        return [("trees", trees(max_depth=4, learning_rate=0.1)), ("mlp", net())]

    def _check_part(self, name: str, part: Any) -> None:
        check_is_estimator(name, part)
        if not isinstance(part, Embedder) and not hasattr(part, "transform"):
            raise TypeError(f"embedder {name!r} ({type(part).__name__}) has neither embed nor transform")
        if isinstance(part, Embedder):
            check_task(name, part, classification=self._is_classifier)

    def _inner_estimators(self) -> Members:
        return self._known_parts()

    def _head(self) -> Any:
        if not isinstance(self.head, str):
            return self.head
        return LogisticRegression(C=0.1, max_iter=1000) if self._is_classifier else RidgeCV(np.logspace(0, 5, 11))

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Fit embedders on some rows and a head on others, once an inner fold.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Weighs rows in embedders and heads; rows of weight 0 are left out. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group are all of the embedders' or all of the head's.
        time : array-like of shape (n_rows,), optional
            Numbers or datetimes: heads learn from rows later than those of their embedders.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On data, folds or parameters that cannot be used; the message names them.
        """
        self._check_parts()
        head = self._on_device(self._head())
        check_task("head", head, classification=self._is_classifier)
        work = self._read_work(X, y, sample_weight, groups, time)
        rows = work.rows
        members = [(name, self._on_device(part)) for name, part in self._parts()]
        warn_unweighted([*members, ("head", head)], work.weighted)
        codes = None if work.classes is None else rows.target
        splits = folds(codes, rows.groups, n_rows=len(rows), n_splits=self.cv, seed=work.seed, time=rows.time)
        _check_classes(work, splits)
        rng = np.random.RandomState(work.seed)
        fits = [
            [FoldFit(name, seed_nested(clone(part), rng), rows, split) for name, part in members] for split in splits
        ]
        with self._progress(len(members) * len(splits)) as progress:
            parts, _ = fit_in_time(
                [fit for own in fits for fit in own if isinstance(fit.estimator, Embedder)],
                work.how,
                self._running(),
                on_fit=lambda name: progress.step({"embedder": name}),
            )
            learned = (parts[i] for i in range(len(parts)))
            self.concatenations_ = []
            for own, split in zip(fits, splits, strict=True):
                embedders = {}
                for fit in own:
                    if isinstance(fit.estimator, Embedder):
                        embedders[fit.name] = next(learned).model.estimator
                    else:
                        embedders[fit.name] = _fitted(fit, work, n_classes=0).estimator
                        progress.step({"embedder": fit.name})
                self.concatenations_.append(_concatenate(embedders, split, seed_nested(clone(head), rng), work))
        return self

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row: the mean over the inner folds.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
        """
        table = self._read_new(X)
        with no_news_of_levels():
            return np.mean([each.margin(table) for each in self.concatenations_], axis=0)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "concatenations_")


def _check_classes(work: Work, splits: list[Split]) -> None:
    parts = [part for split in splits for part in split] if work.classes is not None else []
    if any(len(np.unique(work.rows.target[part])) < 2 for part in parts):
        raise ValueError("an inner fold holds one class only (n_samples too few); lower cv or merge rare classes")


def _fitted(fit: FoldFit, work: Work, *, n_classes: int) -> FoldModel:
    """A transformer (it has no classes of its own) or a head, fitted; an error names it."""
    try:
        return fit_model(fit.estimator, fit.drawn().rows, n_classes=n_classes, weighted=work.weighted, seed=work.seed)
    except Exception as error:
        raise fit.failed(error) from error


def _concatenate(embedders: dict[str, Any], split: Split, head: Any, work: Work) -> Concatenation:
    train, test = split
    rows = work.rows.take(test)
    with no_news_of_levels():
        seen = seen_by(embedders, rows.X)
    scalers = {name: _scaler(block) for name, block in seen.items()}
    rows = replace(rows, X=side_by_side(scalers, seen))
    fit = FoldFit("head", head, rows, (np.arange(len(rows)), np.empty(0, dtype=np.int64)))
    model = _fitted(fit, work, n_classes=work.n_classes)
    return Concatenation(embedders, scalers, model, work.rows.positions[train], work.rows.positions[test])


_PARAMETERS = """
    embedders : "auto" or list of (str, estimator), default="auto"
        What sees a row in its own way: estimators of the same task with ``embed`` (of nets, what their output layer
        sees; of boosted trees, the leaf in each tree), and transformers. "auto" is boosted trees (``trees``) and a
        multilayer perceptron (``mlp``). Nested parameters are reached by name, e.g. ``mlp__dropout``.
    head : "auto" or estimator, default="auto"
        What is fitted on all that they see, standardised, codes as indicators; "auto" is logistic regression or ridge.
        Where there are codes, it must take a sparse matrix.
    cv : int, default=3
        Inner folds, by `groups` or forward in `time` where given: embedders are fitted on the training part, the head
        on the rows left out. Margins are averaged over them: embeddings of two fits have nothing in common.
"""
_ATTRIBUTES = """
    concatenations_ : list of Concatenation
        Fitted embedders and head of each inner fold, with the rows that each was fitted on.
    schema_ : Schema
        Of `X`, where it is a DataFrame or an array of mixed types.
    row_hashes_ : ndarray of uint64
        Of the rows seen in ``fit``: what tells that a holdout was trained on.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""


@shares_doc(parameters=_PARAMETERS + SHARED, attributes=_ATTRIBUTES)
class ConcatClassifier(ClassifierHead, BaseConcat):
    """What nets and boosted trees have learned to see, side by side, under one classifier.

    Leaves of boosted trees as features of a linear model are those of He et al. [1]_; here hidden states of nets stand
    beside them, and the head never learns from a row that an embedder was trained on. For nets alone,
    :class:`~hybridlearn.nets.JointNetClassifier` trains branches and head end to end.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    <attributes>

    References
    ----------
    .. [1] He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier, TabularMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> embedders = [
    ...     ("trees", BoostedTreesClassifier(n_estimators=20, max_depth=3)),
    ...     ("mlp", TabularMLPClassifier(max_epochs=5)),
    ... ]
    >>> concat = ConcatClassifier(embedders=embedders, cv=2, random_state=0).fit(X, y)
    >>> concat.predict_proba(X).shape
    (569, 2)
    """


@shares_doc(parameters=_PARAMETERS + SHARED, attributes=_ATTRIBUTES)
class ConcatRegressor(RegressorHead, BaseConcat):
    """What nets and boosted trees have learned to see, side by side, under one regressor.

    As :class:`ConcatClassifier`.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from hybridlearn import BoostedTreesRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> trees = BoostedTreesRegressor(n_estimators=20, max_depth=3)
    >>> ConcatRegressor(embedders=[("trees", trees)], cv=2, random_state=0).fit(X, y).predict(X).shape
    (442,)
    """
