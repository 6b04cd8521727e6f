"""One member on one fold: weights handed through, classes made gapless, a margin made possible."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from hybridlearn._protocols import HasMargin
from hybridlearn._splits import Split
from hybridlearn.crossfit._calibrated import fit_calibrated
from hybridlearn.crossfit._margin import FoldModel
from hybridlearn.resampling import Drawn, Resampling
from hybridlearn.table import TrainingRows, UnseenCategoryWarning, take_rows


class MemberError(ValueError):
    """A member could not be fitted, or could not predict; names it."""


@dataclass(frozen=True)
class FittedFold:
    """What one member on one fold leaves behind; rows are positions in the table."""

    model: FoldModel
    margin: np.ndarray
    seconds: float
    fitted_on: np.ndarray
    stopping_rows: np.ndarray | None

    def behind(self, front: Any) -> FittedFold:
        """The same with the transformer, or None, that the member sees new rows through."""
        return replace(self, model=replace(self.model, front=front))


@dataclass(frozen=True)
class FoldFit:
    """A member that is to be fitted on the training part of a fold and to predict the test part.

    Attributes
    ----------
    name : str
        Of the member, for errors.
    estimator : estimator
        A fresh clone with its seeds: it is fitted in place.
    rows : TrainingRows
    split : (train, test)
        `test` may be empty.
    known_as : estimator, optional
        What it was before it was given a share of the time, which another fit would give it otherwise.
    resampling : Resampling, optional
        What is done to the rows of the training part first.
    """

    name: str
    estimator: Any
    rows: TrainingRows
    split: Split
    known_as: Any = None
    resampling: Resampling | None = None

    def drawn(self) -> Drawn:
        """The rows to train on, their origins being positions in the training part."""
        training = self.rows.take(self.split[0])
        if self.resampling is None:
            return Drawn(training, np.arange(len(training)))
        return self.resampling.draw(training, takes_weights=takes_weights(self.estimator))

    @property
    def test(self) -> Any:
        """`X` of the test part."""
        return take_rows(self.rows.X, self.split[1])

    def fitted(self, model: FoldModel, margin: np.ndarray, seconds: float, drawn: Drawn) -> FittedFold:
        """What the fit leaves behind."""
        train = self.split[0]
        stopping = _stopping_rows(model.estimator)
        return FittedFold(
            model, margin, seconds, train, None if stopping is None else train[np.unique(drawn.origin[stopping])]
        )

    def failed(self, error: Exception) -> MemberError:
        """The error that names the member."""
        hint = "; members see class codes 0, 1, ... in the order of classes_" if "class_weight" in str(error) else ""
        named = MemberError(f"member {self.name!r} failed: {type(error).__name__}: {error}{hint}")
        named.__cause__ = error
        return named


@contextmanager
def no_news_of_levels() -> Iterator[None]:
    """A level that only the test part holds is not worth a warning: the fold made it so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenCategoryWarning)
        yield


def fit_fold(fit: FoldFit, *, n_classes: int, weighted: bool, seed: int) -> FittedFold | MemberError:
    """Fit on the training part of a fold and read the margins of the test part.

    Parameters
    ----------
    fit : FoldFit
    n_classes : int
        0 in regression.
    weighted : bool
        Whether the user gave weights; without them none are handed on.
    seed : int
        Of the inner folds that calibrate a member without ``predict_proba``.
    """
    started = time.perf_counter()
    try:
        drawn = fit.drawn()
        weighted = weighted or drawn.is_weighted
        model = fit_model(fit.estimator, drawn.rows, n_classes=n_classes, weighted=weighted, seed=seed)
        model = replace(model, shift=drawn.shift)
        seconds = time.perf_counter() - started
        with no_news_of_levels():
            margin = model.margin(fit.test) if len(fit.split[1]) else np.empty((0, 1))
        return fit.fitted(model, margin, seconds, drawn)
    except Exception as error:
        return fit.failed(error)


def fit_model(estimator: Any, training: TrainingRows, *, n_classes: int, weighted: bool, seed: int) -> FoldModel:
    """Fit an estimator in place on all of the rows; a classifier sees gapless class codes."""
    present, target = gapless(training.target, n_classes)
    if present is not None and len(present) == 1:
        estimator = DummyClassifier(strategy="prior")
    elif present is not None and not _gives_margin(estimator):
        training = replace(training, target=target)
        model = fit_calibrated(estimator, training, fit_params, weighted=weighted, seed=seed)
        return FoldModel(model, len(training), present, n_classes)
    training = starting_among(training, present, n_classes)
    estimator.fit(training.X, target, **fit_params(estimator, training, weighted=weighted))
    return FoldModel(estimator, len(training), present, n_classes, is_step=training.base_margin is not None)


def starting_among(training: TrainingRows, present: np.ndarray | None, n_classes: int) -> TrainingRows:
    """The rows with margins to start from of the classes that are present."""
    if training.base_margin is None or present is None or len(present) == n_classes:
        return training
    if len(present) == 1:
        # nothing is learned of one class
        return replace(training, base_margin=np.zeros((len(training), 1)))
    start = training.base_margin[:, present]
    return replace(training, base_margin=start[:, 1:] - start[:, :1] if len(present) == 2 else start)


def gapless(target: np.ndarray, n_classes: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Which class codes there are, and the target as positions among them; a regression's stays as it is."""
    return np.unique(target, return_inverse=True) if n_classes else (None, target)


def _gives_margin(estimator: Any) -> bool:
    return isinstance(estimator, HasMargin) or hasattr(estimator, "predict_proba")


def fit_params(estimator: Any, training: TrainingRows, *, weighted: bool) -> dict[str, np.ndarray]:
    """Weights, groups, ranks in time and margins to start from, under the names by which ``fit`` takes them."""
    wanted = {"sample_weight": training.weight if weighted else None}
    wanted |= {name: getattr(training, name) for name in ("groups", "time", "base_margin", "parents")}
    named = {fit_name(estimator, name): value for name, value in wanted.items() if value is not None}
    return {name: value for name, value in named.items() if name is not None}


def _stopping_rows(estimator: Any) -> np.ndarray | None:
    """Positions of the rows that ended the training, of a pipeline's last step too."""
    while hasattr(estimator, "steps"):
        if resamples(estimator):
            # positions among the rows that came out
            return None
        estimator = estimator.steps[-1][1]
    return getattr(estimator, "stopping_rows_", None)


def takes(estimator: Any, parameter: str) -> bool:
    """Whether a parameter of ``fit`` reaches the estimator."""
    return fit_name(estimator, parameter) is not None


def resamples(estimator: Any) -> bool:
    """Whether it is a pipeline that resamples rows: its margins are then those of other shares of the classes."""
    steps = getattr(estimator, "steps", [])
    return any(hasattr(step, "fit_resample") or resamples(step) for _, step in steps)


def takes_weights(estimator: Any) -> bool:
    """Whether ``sample_weight`` reaches the estimator."""
    return takes(estimator, "sample_weight")


def starts_from_margin(estimator: Any) -> bool:
    """Whether ``base_margin`` reaches the estimator: it can go on where others have stopped."""
    return takes(estimator, "base_margin")


def fit_name(estimator: Any, parameter: str) -> str | None:
    """Name of a parameter of ``fit``, that of a pipeline's last step with its prefix; None where it is not taken."""
    is_routed = get_config()["enable_metadata_routing"]
    if not hasattr(estimator, "steps"):
        is_taken = has_fit_parameter(estimator, parameter) and not (is_routed and _refuses(estimator, parameter))
        return parameter if is_taken else None
    if is_routed:
        return parameter if get_routing_for_object(estimator).consumes("fit", [parameter]) else None
    if has_fit_parameter(estimator, parameter):
        # a pipeline of ours hands it on itself
        return parameter if takes(estimator.steps[-1][1], parameter) else None
    if resamples(estimator):
        # weights, groups and times of the rows that went in do not fit those that come out
        return None
    step, last = estimator.steps[-1]
    inner = fit_name(last, parameter)
    return None if inner is None else f"{step}__{inner}"


def _refuses(estimator: Any, parameter: str) -> bool:
    """Whether the estimator itself has said, by ``set_fit_request``, that it does not want the parameter."""
    try:
        routing = get_routing_for_object(estimator)
    except NotImplementedError:
        # it holds others, and routes nothing to them
        return False
    return isinstance(routing, MetadataRequest) and routing.fit.requests.get(parameter) is False


def frozen_parts(estimator: Any) -> list[str]:
    """Paths of the parts that come fitted and that cloning keeps so; ``""`` for the estimator itself."""
    parts = {"": estimator} | estimator.get_params(deep=True)
    return [path for path, part in parts.items() if _is_frozen(part) or _is_bound_to_estimator(part)]


def _is_frozen(part: Any) -> bool:
    return hasattr(part, "fit") and not isinstance(part, type) and clone(part, safe=False) is part


def _is_bound_to_estimator(part: Any) -> bool:
    """A method of an estimator, as of a fitted encoder in a FunctionTransformer: cloning keeps what it has learned."""
    while isinstance(part, partial):
        part = part.func
    return callable(part) and hasattr(getattr(part, "__self__", None), "fit")


def check_is_estimator(name: str, estimator: Any) -> None:
    """A TypeError unless the member is an instance with ``fit`` and ``get_params``."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise TypeError(f"member {name!r} is {estimator!r}, not a scikit-learn estimator")


def check_task(name: str, estimator: Any, *, classification: bool) -> None:
    """A TypeError unless the member is a classifier (or, in regression, has ``predict`` and is none)."""
    wanted = "classifier" if classification else "regressor"
    predicts = classification or hasattr(estimator, "predict")
    if is_classifier(estimator) != classification or not predicts:
        raise TypeError(f"member {name!r} ({type(estimator).__name__}) is not a {wanted}")
