"""Many estimators on the same folds, compared: tuning, repeats and weightings as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from tqdm import tqdm

from hybridlearn._random import RandomState
from hybridlearn.crossfit._engine import begin, cross_fit_rows
from hybridlearn.crossfit._out_of_fold import OutOfFold
from hybridlearn.crossfit._running import Running
from hybridlearn.crossfit._score import check_can_score, score_margin


@dataclass(frozen=True, eq=False)
class ManyFits:
    """What :func:`fit_many` leaves behind.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        As of scikit-learn's `GridSearchCV`: ``params`` (those in which the estimators differ), ``param_<name>``,
        ``split<k>_test_score``, ``mean_test_score``, ``std_test_score``, ``rank_test_score`` and
        ``mean_fit_time``: where fits went together, each has its share of the seconds.
    oof : OutOfFold
        Out-of-fold margins and fitted models; the names of its members are ``"0"``, ``"1"``, ...
    """

    cv_results_: dict[str, Any]
    oof: OutOfFold

    @property
    def estimators(self) -> list[list[Any]]:
        """The fitted estimators, one a fold each; classifiers know the classes as codes 0, 1, ..."""
        return [[model.estimator for model in models] for models in self.oof.models.values()]

    @property
    def best_index_(self) -> int:
        """Position of the estimator of the best mean score, the first of several."""
        return int(self.cv_results_["rank_test_score"].argmin())

    @property
    def best_params_(self) -> dict[str, Any]:
        """In what it differs from the others."""
        return self.cv_results_["params"][self.best_index_]

    @property
    def best_score_(self) -> float:
        """Its mean score over the folds."""
        return float(self.cv_results_["mean_test_score"][self.best_index_])

    @property
    def frame(self) -> pd.DataFrame:
        """``cv_results_`` with a row an estimator."""
        return pd.DataFrame(self.cv_results_)


def fit_many(
    estimators: Sequence[Any],
    X: Any,
    y: Any,
    *,
    folds: Any = 5,
    sample_weights: Any = None,
    groups: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    verbose: int = 0,
) -> ManyFits:
    """Fit every estimator on the training part of every fold and score it on the test part.

    Nets that differ only in learning rate, regularisation, stopping, seed or weights train as one tensor program
    where that is faster (see :func:`hybridlearn.training.program_size`): each as its own ``fit`` would, up to
    rounding. Everything else is fitted one by one, nets inside a Pipeline too.

    Parameters
    ----------
    estimators : sequence of estimator
        All classifiers or all regressors; not changed. Classifiers see class codes 0, 1, ...
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
    y : array-like of shape (n_rows,)
    folds : int, splitter or iterable of (train, test), default=5
        As `cv` of :func:`cross_fit`.
    sample_weights : array-like of shape (n_rows,) or (n_estimators, n_rows), optional
        For all estimators, weighing the scores too; or for each its own, in training only: a row of weight 0 is left
        out of the estimator's training parts, and stays in its test parts. Default: 1 each.
    groups : array-like of shape (n_rows,), optional
        Rows of a group share a fold, and a side of each inner split.
    scoring : str, callable or None, default=None
        As in scikit-learn, greater is better; None takes accuracy or the coefficient of determination. A callable
        gets an estimator that knows the margins, and row positions as `X`. Scores are of margins: probabilities of
        estimators that are not of this package are clipped at 1 / (2 n_train), and classifiers without any are
        calibrated.
    n_jobs : int or None, default=None
        Processes.
    random_state : int, RandomState or None, default=None
        Seeds folds and estimators; a seed that an estimator brings is kept.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    ManyFits

    Raises
    ------
    MemberError
        Naming the position of the estimator that failed.
    TypeError
        When estimators are not all of one task.
    ValueError
        On data, weights or folds that cannot be used.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import ParameterGrid
    >>> from hybridlearn.nets import TabularMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> grid = ParameterGrid({"learning_rate": [1e-3, 1e-2], "weight_decay": [0.0, 0.1]})
    >>> nets = [TabularMLPClassifier(hidden_layer_sizes=(16,), max_epochs=10, **params) for params in grid]
    >>> many = fit_many(nets, X, y, folds=3, scoring="neg_log_loss", random_state=0)
    >>> many.frame[["param_learning_rate", "param_weight_decay", "rank_test_score"]].shape
    (4, 3)
    >>> many.best_params_["learning_rate"]
    0.01
    """
    members = [(str(i), estimator) for i, estimator in enumerate(estimators)]
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise TypeError(f"scoring={scoring!r} must be one score: a name, a callable or None")
    own = _own_weights(sample_weights, len(members))
    # who has weights of its own may leave rows out; gone are only those that everybody leaves out
    shared = sample_weights if own is None else own.any(axis=0).astype(np.float64)
    rows, classes, splits, seed = begin(members, X, y, shared, groups, folds, random_state)
    check_can_score(rows.target, rows.weight, classes, scoring)
    with tqdm(total=len(members) * len(splits), desc="fit_many", unit="fit", disable=not verbose) as bar:
        oof = cross_fit_rows(
            members,
            rows,
            splits,
            classes=classes,
            weighted=sample_weights is not None,
            on_error="raise",
            seed=seed,
            running=Running(n_jobs),
            on_fit=lambda name: bar.update(),
            weights=None if own is None else {name: own[int(name), rows.positions] for name, _ in members},
        )
    scores = [
        [score_margin(margin[test], rows.target[test], rows.weight[test], classes, scoring) for _, test in splits]
        for margin in oof.margins.values()
    ]
    return ManyFits(_cv_results([e for _, e in members], np.array(scores), list(oof.fit_seconds.values())), oof)


def _own_weights(sample_weights: Any, n_estimators: int) -> np.ndarray | None:
    """Weights of shape (n_estimators, n_rows); None where they are the same for all."""
    try:
        own = np.asarray([] if sample_weights is None else sample_weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weights must be numbers, one array for all or one for each: {error}") from error
    if own.ndim < 2:
        return None
    if own.ndim > 2 or len(own) != n_estimators:
        raise ValueError(
            f"sample_weights must be of shape (n_rows,) or ({n_estimators}, n_rows), a row for each estimator; "
            f"got {own.shape}"
        )
    if not (np.isfinite(own).all() and (own >= 0).all()):
        raise ValueError("sample_weights must hold finite numbers, none below 0")
    if not own.any(axis=1).all():
        raise ValueError(f"sample_weights of estimator {int((~own.any(axis=1)).argmax())} are all 0; leave it out")
    return own


def _cv_results(estimators: Sequence[Any], scores: np.ndarray, seconds: list[float]) -> dict[str, Any]:
    params = _differing([estimator.get_params(deep=True) for estimator in estimators])
    names = sorted({name for own in params for name in own})
    mean = scores.mean(axis=1)
    if not np.isfinite(mean).all():
        warnings.warn("some scores are NaN: a test part may lack a class; they rank last", UserWarning, stacklevel=3)
    return {
        "mean_fit_time": np.array(seconds) / scores.shape[1],
        **{f"param_{name}": _masked(name, params) for name in names},
        "params": params,
        **{f"split{k}_test_score": of_fold for k, of_fold in enumerate(scores.T)},
        "mean_test_score": mean,
        "std_test_score": scores.std(axis=1),
        "rank_test_score": rankdata(-np.nan_to_num(mean, nan=-np.inf), method="min").astype(np.int32),
    }


def _differing(params: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each estimator's parameters those that are not the same in all; a nested estimator counts by its class."""
    shown = [{name: _shown(value) for name, value in own.items()} for own in params]
    same = {name for name, value in shown[0].items() if all(own.get(name) == value for own in shown)}
    return [{name: value for name, value in own.items() if name not in same} for own in params]


def _shown(value: Any) -> Any:
    """What stands for a value: of estimators, and of the lists that hold them, their classes."""
    if hasattr(value, "get_params"):
        return type(value)
    return tuple(map(_shown, value)) if isinstance(value, list | tuple) else repr(value)


def _masked(name: str, params: list[dict[str, Any]]) -> np.ma.MaskedArray:
    """A parameter of all estimators, masked where one has no such."""
    values = np.empty(len(params), dtype=object)
    values[:] = [own.get(name) for own in params]
    return np.ma.MaskedArray(values, mask=[name not in own for own in params])
