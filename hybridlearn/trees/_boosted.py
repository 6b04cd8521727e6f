"""XGBoost as a pair of estimators that take a table as it is and know when to stop."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import xgboost as xgb
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hybridlearn._clock import Deadline
from hybridlearn._compat import CallbackSupportMixin, StrOptions, integer, real
from hybridlearn._device import resolve_device
from hybridlearn._docs import also_takes, shares_doc
from hybridlearn._fitting import whole_fit
from hybridlearn._heads import ClassifierHead, RegressorHead, centred
from hybridlearn._progress import FitProgress
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.table import TrainingRows, read_training_rows
from hybridlearn.trees._constraints import interaction_constraints, monotone_constraints
from hybridlearn.trees._encoding import TreeEncoder
from hybridlearn.trees._time import InTime, SearchInTime, rate_of_round
from hybridlearn.trees._views import BoosterViews

# Shrinkage of each round where nobody has set it.
_RATE, _RATE_OF_MANY_CLASSES, _MANY_CLASSES = 0.05, 0.1, 10


class BaseBoostedTrees(CallbackSupportMixin, BoosterViews, BaseEstimator):
    """Parameters, encoding, inner split and training of a booster; the heads name the loss."""

    _parameter_constraints: ClassVar[dict] = {
        "n_estimators": [integer(1)],
        "learning_rate": [real(0, closed="neither"), StrOptions({"auto"})],
        "max_depth": [integer(0)],
        "max_leaf_nodes": [integer(0)],
        "min_child_weight": [real(0, closed="left")],
        "subsample": [real(0, 1, closed="right")],
        "max_features": [real(0, 1, closed="right")],
        "l2_regularization": [real(0, closed="left")],
        "monotonic_cst": ["array-like", dict, None],
        "interaction_cst": [str, list, tuple, None],
        "categories": [StrOptions({"encode", "native"})],
        "max_onehot_levels": [integer(0)],
        "early_stopping": ["boolean"],
        "validation_fraction": [real(0, 1, closed="neither")],
        "n_iter_no_change": [integer(1)],
        "time_limit": [real(0, closed="neither"), None],
        "device": [str],
        "n_jobs": [integer(-1), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_estimators: int = 1000,
        learning_rate: float | str = "auto",
        max_depth: int = 6,
        max_leaf_nodes: int = 0,
        min_child_weight: float = 1.0,
        subsample: float = 0.8,
        max_features: float = 0.5,
        l2_regularization: float = 1.0,
        monotonic_cst: Any = None,
        interaction_cst: Any = None,
        categories: str = "encode",
        max_onehot_levels: int = 16,
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 50,
        time_limit: float | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_leaf_nodes = max_leaf_nodes
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.max_features = max_features
        self.l2_regularization = l2_regularization
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.categories = categories
        self.max_onehot_levels = max_onehot_levels
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.time_limit = time_limit
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @whole_fit
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        base_margin: Any = None,
        parents: Any = None,
    ) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            Numbers, booleans, datetimes and categories, missing values allowed.
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Multiplies a row's loss; rows of weight 0 are left out. Weights that sum to 1 are taken as shares of the
            rows and scaled to a mean of 1. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side of the early-stopping split and of the target codes' folds.
        time : array-like of shape (n_rows,), optional
            Numbers or points in time: the latest rows stop the boosting of those strictly before them, and target
            codes come from earlier rows. Not with `groups`.
        base_margin : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
            Margins to start from (XGBoost's word): what is learned is to be added to them, and ``margin`` gives that
            alone. Default: 0.
        parents : array-like of int of shape (n_rows, 2), optional
            For a classifier, where rows were resampled: names of the rows that each lies between, or is a copy of; of
            a row that is neither, its own name twice. Rows that were made never stop the training, nor do any train
            that were made of one that stops it. Default: none was made.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On a target, weights, groups, times or parameters that cannot be used; the message names them.
        """
        deadline = Deadline.after(self.time_limit)
        rows = read_training_rows(
            self, X, y, sample_weight, groups, time=time, base_margin=base_margin, parents=parents
        )
        rows = rows.reweighted(self._class_weights(rows.target))
        if np.isclose(rows.weight.sum(), 1):
            # shares of the rows, as AdaBoost's: too light for any leaf
            rows = rows.reweighted(np.full(len(rows), len(rows)))
        self._check_target(rows.target)
        self._is_step_ = rows.base_margin is not None
        seed = draw_seed(self.random_state)
        self.stopping_rows_ = np.empty(0, dtype=np.int64)
        self.history_: list[float] = []
        n_tasks = None if self.early_stopping else self.n_estimators
        in_time = None if deadline is None else InTime(deadline)
        self.timed_out_ = False
        with FitProgress(self, n_tasks, unit="round", verbose=self.verbose) as progress:
            if self.early_stopping:
                grown = self._search_and_grow(rows, seed, progress, in_time)
            else:
                grown = self._grow(rows, self.n_estimators, seed, progress, in_time)
        self.encoder_, self.booster_ = grown
        self.n_iter_ = self.booster_.num_boosted_rounds()
        return self

    def _search_and_grow(
        self, rows: TrainingRows, seed: int, progress: FitProgress, in_time: InTime | None
    ) -> tuple[TreeEncoder, xgb.Booster]:
        """As many rounds on all rows as give the rows kept aside the lowest loss; their losses and positions are kept.

        Where the search took all the time, its own trees stay.
        """
        training, stopping = rows.split(stratify=self._is_classifier, fraction=self.validation_fraction, seed=seed)
        self.stopping_rows_ = stopping.positions
        search = None
        if in_time is not None:
            is_free = isinstance(self.learning_rate, str)
            search = SearchInTime(in_time.deadline, self.history_, rate=self._shrinkage, is_free=is_free)
        encoder, booster = self._grow(training, self.n_estimators, seed, progress, search, stopping)
        n_rounds = int(np.argmin(self.history_)) + 1
        if search is not None and search.deadline.left() < search.preparation:
            return encoder, booster[:n_rounds]
        rates = None if search is None else rate_of_round(self._shrinkage, search.later_rate)
        return self._grow(rows, n_rounds, seed, progress, in_time, rates=rates)

    def rounds_found(self) -> dict[str, Any]:
        """Parameters under which a fit on all rows runs as long as early stopping has found best.

        Returns
        -------
        dict of str to Any
            ``early_stopping`` and ``n_estimators``; empty without early stopping.
        """
        check_is_fitted(self)
        return {"early_stopping": False, "n_estimators": self.n_iter_} if self.early_stopping else {}

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row, what hybrids add up.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
            Log-odds of ``classes_[1]``; centred log-probabilities; or the prediction in units of the target.
        """
        check_is_fitted(self)
        encoded = self.encoded(X)
        # a booster that was given margins adds none of its own to those that it is given
        start = np.zeros((len(encoded), self._n_outputs)) if self._is_step_ else None
        outputs = self.booster_.inplace_predict(
            encoded, predict_type=self._predict_type, base_margin=start, strict_shape=True
        )
        return self._to_margin(np.asarray(outputs, dtype=np.float64))

    def _grow(
        self,
        rows: TrainingRows,
        n_rounds: int,
        seed: int,
        progress: FitProgress,
        in_time: InTime | SearchInTime | None,
        stopping: TrainingRows | None = None,
        rates: xgb.callback.TrainingCallback | None = None,
    ) -> tuple[TreeEncoder, xgb.Booster]:
        """Encode and boost; rows that stop the boosting are not seen by the target codes."""
        encoder = TreeEncoder(max_onehot_levels=self.max_onehot_levels, native=self.categories == "native")
        encoded = encoder.fit_transform(rows, classification=self._is_classifier, seed=seed)
        types = encoder.feature_types(encoded.shape[1])
        train = self._matrix(rows, encoded, types)
        watched = []
        if stopping is not None:
            watched = [(self._matrix(stopping, encoder.transform(stopping.X, warn=False), types, train), "valid")]
        callbacks: list[xgb.callback.TrainingCallback] = [_RoundHook(progress, self.history_)]
        callbacks += [own for own in (in_time, rates) if own is not None]
        if stopping is not None:
            callbacks.append(xgb.callback.EarlyStopping(rounds=self.n_iter_no_change))
        params = self._booster_params(encoder, len(types), seed)
        booster = xgb.train(params, train, n_rounds, evals=watched, callbacks=callbacks, verbose_eval=False)
        self.timed_out_ = self.timed_out_ or (in_time is not None and in_time.has_stopped)
        return encoder, booster

    def _matrix(
        self, rows: TrainingRows, encoded: np.ndarray, types: list[str], like: xgb.QuantileDMatrix | None = None
    ) -> xgb.QuantileDMatrix:
        return xgb.QuantileDMatrix(
            encoded,
            rows.target,
            weight=rows.weight,
            base_margin=rows.base_margin,
            feature_types=types,
            enable_categorical=True,
            nthread=self._n_threads,
            ref=like,
        )

    def _booster_params(self, encoder: TreeEncoder, n_encoded: int, seed: int) -> dict[str, Any]:
        device = resolve_device(self.device)
        params = {
            **self._objective_params(),
            "tree_method": "hist",
            "learning_rate": self._shrinkage,
            "max_depth": self.max_depth,
            "max_leaves": self.max_leaf_nodes,
            "grow_policy": "lossguide" if self.max_leaf_nodes else "depthwise",
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bynode": self.max_features,
            "reg_lambda": self.l2_regularization,
            "nthread": self._n_threads,
            "seed": seed,
            "verbosity": 0,
            "device": str(device) if device.type == "cuda" else "cpu",
        }
        if self.monotonic_cst is not None:
            constraints = monotone_constraints(self.monotonic_cst, encoder.schema, n_encoded)
            params["monotone_constraints"] = constraints
        if self.interaction_cst is not None:
            column_of = encoder.column_of(n_encoded)
            params["interaction_constraints"] = interaction_constraints(self.interaction_cst, encoder.schema, column_of)
        return params

    @property
    def _shrinkage(self) -> float:
        automatic = _RATE_OF_MANY_CLASSES if self._n_outputs > _MANY_CLASSES else _RATE
        return automatic if isinstance(self.learning_rate, str) else self.learning_rate

    @property
    def _n_threads(self) -> int:
        """Zero lets XGBoost take what OpenMP grants."""
        return 0 if self.n_jobs in (None, -1) else self.n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class _RoundHook(xgb.callback.TrainingCallback):
    """Tells of each round and keeps the loss of the rows kept aside; True stops."""

    def __init__(self, progress: FitProgress, losses: list[float]):
        self.progress = progress
        self.losses = losses

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:
        watched = {name: values[-1] for name, values in evals_log.get("valid", {}).items()}
        self.losses += watched.values()
        return self.progress.step({name: f"{loss:.4f}" for name, loss in watched.items()})


_PARAMETERS = """
    n_estimators : int, default=1000
        Upper bound of boosting rounds.
    learning_rate : float or "auto", default="auto"
        Shrinkage of each round. "auto" is 0.05, and 0.1 of more than ten classes, of which each has a tree in a round;
        with a `time_limit` that leaves few rounds, up to 0.3.
    max_depth : int, default=6
        Depth of a tree; 0 is unbounded.
    max_leaf_nodes : int, default=0
        Leaves of a tree, grown where the loss falls most; 0 is unbounded and grows level by level.
    min_child_weight : float, default=1.0
        Least sum of Hessians of a leaf (XGBoost's word).
    subsample : float, default=0.8
        Share of the rows a tree sees.
    max_features : float, default=0.5
        Share of the encoded columns a split sees.
    l2_regularization : float, default=1.0
        On leaf values.
    monotonic_cst : dict of str to int, array-like of int or None, default=None
        1, 0 or -1 by column name, or one a column of `X`: the margin may only rise or fall along it. Not for
        categorical columns. None constrains nothing.
    interaction_cst : {"no_interactions", "pairwise"}, list of lists of columns or None, default=None
        Columns, by name or position, that may be split on one way from root to leaf, as in scikit-learn: columns in no
        list are one more. With "no_interactions" the margin is a sum of a function a column; None constrains nothing.
    categories : {"encode", "native"}, default="encode"
        "encode" keeps all splits numeric: up to `max_onehot_levels` levels become one-hot columns, more become
        cross-fitted target codes; levels unseen in ``fit`` are missing. "native" uses the booster's own
        categorical splits.
    max_onehot_levels : int, default=16
        See `categories`.
    early_stopping : bool, default=True
        Whether to find the number of rounds on rows kept aside, where their loss is lowest, and then to boost all
        rows for as many. Otherwise `n_estimators` rounds.
    validation_fraction : float, default=0.15
        Share of the rows (of the groups, if given) kept aside; stratified in classification, the latest with `time`.
    n_iter_no_change : int, default=50
        Rounds without a lower loss before the search stops.
    time_limit : float or None, default=None
        Seconds that ``fit`` may take, of which the search leaves enough to boost all rows; where it cannot, its own
        trees stay. At least one round is boosted. None sets no limit.
    device : str, default="auto"
        "auto" takes CUDA where present, else the CPU.
    n_jobs : int or None, default=None
        Threads; None and -1 take what OpenMP grants.
    random_state : int, RandomState or None, default=None
        Decides the split, the folds of the target codes and the subsamples.
    verbose : int, default=0
        From 1 on, a progress bar over the rounds.
"""

_ATTRIBUTES = """
    booster_ : xgboost.Booster
        On the encoded columns of all rows.
    encoder_ : TreeEncoder
        What turns a table into the booster's columns.
    history_ : list of float
        Loss of the rows kept aside, after each round of the search; empty without early stopping.
    n_iter_ : int
        Rounds boosted.
    timed_out_ : bool
        Whether `time_limit` ended the search or the boosting.
    stopping_rows_ : ndarray of int
        Positions of the rows kept aside in the search; empty without early stopping.
    row_hashes_ : ndarray of uint64
        Of the rows seen in ``fit``: what tells that a holdout was trained on.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
@also_takes(class_weight=None)
class BoostedTreesClassifier(ClassifierHead, BaseBoostedTrees):
    """XGBoost for classification of mixed tables, with inner early stopping.

    Differs from ``xgboost.XGBClassifier`` [1]_ in what surrounds the booster: any labels, gaps included; text
    categories, datetimes and missing values as they are; categories encoded inside ``fit``, so that the booster
    holds numeric splits only and can be explained, certified and exported; rows kept aside for early stopping that
    no target code has seen.

    Parameters
    ----------
    <parameters>
    class_weight : "balanced", dict or None, default=None
        Multiplies ``sample_weight`` by class, as in scikit-learn; None is 1 each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    <attributes>

    References
    ----------
    .. [1] Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X, y)
    >>> trees.predict_proba(X).shape
    (178, 3)
    """

    _predict_type: ClassVar[str] = "margin"

    def _objective_params(self) -> dict[str, Any]:
        if self._n_outputs == 1:
            return {"objective": "binary:logistic", "eval_metric": "logloss"}
        return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": self._n_outputs}

    def _check_target(self, target: np.ndarray) -> None:
        """Class codes are always fine."""

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if outputs.shape[1] == 1 else centred(outputs)


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
@also_takes(loss="squared_error", quantile=0.5)
class BoostedTreesRegressor(RegressorHead, BaseBoostedTrees):
    """XGBoost for regression on mixed tables, with inner early stopping.

    As :class:`BoostedTreesClassifier`, for a choice of losses.

    Parameters
    ----------
    <parameters>
    loss : {"squared_error", "absolute_error", "quantile", "poisson"}, default="squared_error"
        What is minimised. "poisson" needs a target >= 0 and predicts its mean.
    quantile : float, default=0.5
        Which quantile ``loss="quantile"`` predicts, in (0, 1).

    Attributes
    ----------
    <attributes>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesRegressor(n_estimators=20, random_state=0).fit(X, y)
    >>> trees.predict(X).shape
    (442,)
    """

    _predict_type: ClassVar[str] = "value"
    _OBJECTIVES: ClassVar[dict[str, tuple[str, str]]] = {
        "squared_error": ("reg:squarederror", "rmse"),
        "absolute_error": ("reg:absoluteerror", "mae"),
        "quantile": ("reg:quantileerror", "quantile"),
        "poisson": ("count:poisson", "poisson-nloglik"),
    }
    _parameter_constraints: ClassVar[dict] = {
        **BaseBoostedTrees._parameter_constraints,
        "loss": [StrOptions(set(_OBJECTIVES))],
        "quantile": [real(0, 1, closed="neither")],
    }

    def _objective_params(self) -> dict[str, Any]:
        objective, metric = self._OBJECTIVES[self.loss]
        extra = {"quantile_alpha": self.quantile} if self.loss == "quantile" else {}
        return {"objective": objective, "eval_metric": metric, **extra}

    def _check_target(self, target: np.ndarray) -> None:
        if self.loss == "poisson" and (target < 0).any():
            raise ValueError("loss='poisson' needs y >= 0; use loss='squared_error' for a target below 0")

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return outputs
