"""The only file that touches private or version-dependent names of scikit-learn, imbalanced-learn and skorch.

``sklearn.callback`` is new in 1.9; its parameter validation, weight checks and fit context are private.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._metadata_requests import MethodMetadataRequest
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "BaseComposition",
    "CallbackContext",
    "CallbackSupportMixin",
    "HasMethods",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "has_callbacks",
    "integer",
    "lasting_state",
    "parallel_block",
    "real",
    "request_again",
    "requests_of",
    "safe_indexing",
    "start_callbacks",
    "validate_params",
]


def validate_params(estimator: BaseEstimator) -> None:
    """Check the parameters, which `fit_context` omits in a ``partial_fit`` that is not the first."""
    if not get_config()["skip_parameter_validation"]:
        estimator._validate_params()


def start_callbacks(estimator: CallbackSupportMixin, n_tasks: int | None) -> CallbackContext:
    """Open the callback context of a ``fit`` of `n_tasks` tasks (None: unknown); call ``subcontext`` on it for each."""
    return estimator._init_callback_context(max_subtasks=n_tasks)


def has_callbacks(estimator: CallbackSupportMixin) -> bool:
    """Whether ``set_callbacks`` gave it any."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def lasting_state(state: dict[str, Any]) -> dict[str, Any]:
    """What of an estimator's attributes is its own: no callbacks, which belong to a fit, no requests, no version."""
    passing = ("_metadata_request", "_sklearn_version")
    return {name: v for name, v in state.items() if name not in passing and not name.startswith("_skl_callback")}


def requests_of(estimator: Any) -> dict[str, dict[str, Any]] | None:
    """What its ``set_fit_request`` and their like were told, by method and parameter; None where nothing was."""
    told = vars(estimator).get("_metadata_request")
    if told is None:
        return None
    return {name: dict(of.requests) for name, of in vars(told).items() if isinstance(of, MethodMetadataRequest)}


def request_again(estimator: Any, requests: dict[str, dict[str, Any]]) -> None:
    """Give an estimator what :func:`requests_of` told of another."""
    told = MetadataRequest(owner=estimator)
    for method, of in requests.items():
        for parameter, alias in of.items():
            getattr(told, method).add_request(param=parameter, alias=alias)
    vars(estimator)["_metadata_request"] = told


def parallel_block(members: list[tuple[str, Any]]) -> _VisualBlock:
    """How a notebook shows an estimator whose members stand side by side."""
    return _VisualBlock("parallel", [member for _, member in members], names=[name for name, _ in members])


def integer(low: int, high: int | None = None) -> Interval:
    """Constraint of a parameter: an int in [low, high]."""
    return Interval(Integral, low, high, closed="left" if high is None else "both")


def real(low: float, high: float | None = None, *, closed: Literal["left", "right", "both", "neither"]) -> Interval:
    """Constraint of a parameter: a number between `low` and `high`."""
    return Interval(Real, low, high, closed=closed)
