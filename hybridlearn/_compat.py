"""The only file that touches private or version-dependent names of scikit-learn, imbalanced-learn and skorch.

``sklearn.callback`` is new in 1.9; its parameter validation, weight checks and fit context are private.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Literal

from sklearn.base import _fit_context as fit_context
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
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
    "integer",
    "real",
    "start_callbacks",
]


def start_callbacks(estimator: CallbackSupportMixin, n_tasks: int | None) -> CallbackContext:
    """Open the callback context of a ``fit``; call ``subcontext`` on it for each of the `n_tasks` tasks (unknown: None)."""
    return estimator._init_callback_context(max_subtasks=n_tasks)


def integer(low: int, high: int | None = None) -> Interval:
    """Constraint of a parameter: an int in [low, high]."""
    return Interval(Integral, low, high, closed="left" if high is None else "both")


def real(low: float, high: float | None = None, *, closed: Literal["left", "right", "both", "neither"]) -> Interval:
    """Constraint of a parameter: a number between `low` and `high`."""
    return Interval(Real, low, high, closed=closed)
