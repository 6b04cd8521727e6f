"""Many nets fitted as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import joblib
from sklearn.base import BaseEstimator, clone

from hybridlearn._clock import Deadline
from hybridlearn._compat import has_callbacks
from hybridlearn._fitting import forget, whole_fit
from hybridlearn._protocols import Fit
from hybridlearn.training import Task, program_size, train_together

# What each net of a program has for itself; the others shape it.
_OWN = {
    "class_weight",
    "dropout",
    "early_stopping",
    "gradient_clipping",
    "l1",
    "learning_rate",
    "max_epochs",
    "n_iter_no_change",
    "random_state",
    "time_limit",
    "validation_fraction",
    "verbose",
    "warm_start",
    "weight_averaging",
    "weight_decay",
}


class BaseTogether(BaseEstimator):
    """What lets nets of one shape be fitted as one tensor program; see :class:`hybridlearn._protocols.FitsTogether`."""

    verbose: int
    warm_start: bool

    def likeness(self) -> Hashable | None:
        """The same for nets that differ in rates, regularisation, stopping and seed only; None for one of its own.

        A net whose progress is watched, that goes on from its last fit, or whose class has a ``fit`` of its own, is
        fitted alone.
        """
        if self.verbose or self.warm_start or has_callbacks(self) or not _is_ours(type(self).fit):
            return None
        try:
            return type(self), joblib.hash(self._shaping())
        except Exception:
            # a module that is a lambda, or made in a function
            return None

    def _shaping(self) -> dict[str, Any]:
        """The parameters that decide what the net's program looks like."""
        return {name: value for name, value in self.get_params(deep=False).items() if name not in _OWN}

    @staticmethod
    def n_together(first: Fit, estimators: Sequence[Any]) -> int:
        """How many of the nets to train as one program: see :func:`hybridlearn.training.program_size`.

        The longest of their settings counts.
        """
        longest = {
            "max_epochs": max(net.max_epochs for net in estimators),
            "early_stopping": all(net.early_stopping for net in estimators),
        }
        try:
            return program_size(_prepare(clone(first.estimator).set_params(**longest), first.X, first.y, first.params))
        except Exception:
            # the fit itself will say what is wrong
            return 1

    @staticmethod
    def fit_together(fits: Sequence[Fit]) -> list[Exception | None]:
        """Fit nets, each as its own ``fit`` would, up to rounding; the error of each that failed."""
        errors: dict[int, Exception | None] = {}
        tasks = {}
        # the time of all begins now, not when those before have been prepared
        deadlines = [Deadline.after(fit.estimator.time_limit) for fit in fits]
        try:
            for i, fit in enumerate(fits):
                try:
                    tasks[i] = _prepare(*fit, deadlines[i])
                except Exception as error:
                    errors[i] = error
            for i, outcome in zip(tasks, train_together(list(tasks.values())), strict=True):
                if isinstance(outcome, Exception):
                    errors[i] = outcome
                    forget(fits[i].estimator)
                else:
                    fits[i].estimator._keep(outcome)
                    errors[i] = None
        except BaseException:
            for fit in fits:
                forget(fit.estimator)
            raise
        return [errors[i] for i in range(len(fits))]


def _prepare(net: Any, X: Any, y: Any, params: dict[str, Any], deadline: Deadline | None = None) -> Task:
    """All of ``fit`` but the training; the net is as good as fitted or as new."""
    return whole_fit(type(net)._prepare)(net, X, y, **params, deadline=deadline)


def _is_ours(method: Any) -> bool:
    """Whether it is that of our nets, not one that a subclass of the user's puts in its place."""
    return method.__module__.startswith("hybridlearn.")
