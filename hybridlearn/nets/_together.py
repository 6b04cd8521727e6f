"""Many nets fitted, and asked, as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone

from hybridlearn._compat import has_callbacks
from hybridlearn._device import resolve_device
from hybridlearn._fitting import forget, whole_fit
from hybridlearn._protocols import Fit
from hybridlearn.training import Task, infer_together, program_size, train_together

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
    "validation_fraction",
    "verbose",
    "warm_start",
    "weight_averaging",
    "weight_decay",
}


# Where and beyond how many rows predictions go model by model; measured by benchmarks/program.py.
LOOP_DEVICES = {"cpu"}
MOST_ROWS = 2**16


class BaseTogether(BaseEstimator):
    """What lets nets of one shape be fitted as one tensor program; see :class:`hybridlearn._protocols.FitsTogether`."""

    verbose: int
    warm_start: bool

    def likeness(self) -> Hashable | None:
        """The same for nets that differ in rates, regularisation, stopping and seed only; None for one of its own.

        A net whose progress is watched, or that goes on from its last fit, is fitted alone.
        """
        if self.verbose or self.warm_start or has_callbacks(self):
            return None
        shaping = {name: value for name, value in self.get_params(deep=False).items() if name not in _OWN}
        try:
            return type(self), joblib.hash(shaping)
        except Exception:
            # a module that is a lambda, or made in a function
            return None

    def n_together(self, X: Any, y: Any, **params: Any) -> int:
        """How many fits like this one to train as one program: see :func:`hybridlearn.training.program_size`."""
        try:
            return program_size(_prepare(clone(self), X, y, params))
        except Exception:
            # the fit itself will say what is wrong
            return 1

    @staticmethod
    def fit_together(fits: Sequence[Fit]) -> list[Exception | None]:
        """Fit nets, each as its own ``fit`` would, up to rounding; the error of each that failed."""
        errors: dict[int, Exception | None] = {}
        tasks = {}
        try:
            for i, fit in enumerate(fits):
                try:
                    tasks[i] = _prepare(*fit)
                except Exception as error:
                    errors[i] = error
            for i, outcome in zip(tasks, train_together(list(tasks.values())), strict=True):
                if isinstance(outcome, Exception):
                    errors[i] = outcome
                    forget(fits[i].estimator)
                else:
                    errors[i] = fits[i].estimator._keep(outcome)
        except BaseException:
            for fit in fits:
                forget(fit.estimator)
            raise
        return [errors[i] for i in range(len(fits))]

    @staticmethod
    def margins_together(estimators: Sequence[Any], tables: Sequence[Any]) -> list[np.ndarray]:
        """Margin of each net for the rows of its own table, as its own ``margin`` would give it.

        In one program, but for the CPU, which has enough to do with one net, and for more rows than `MOST_ROWS`.
        """
        device, dtype = resolve_device(estimators[0].device), estimators[0]._inference_dtype
        if device.type in LOOP_DEVICES or max(map(len, tables)) > MOST_ROWS:
            return [net.margin(table) for net, table in zip(estimators, tables, strict=True)]
        inputs = [net._read_inputs(table) for net, table in zip(estimators, tables, strict=True)]
        outputs = infer_together([net.module_ for net in estimators], inputs, device, dtype=dtype)
        return [net._to_margin(output) for net, output in zip(estimators, outputs, strict=True)]


def _prepare(net: Any, X: Any, y: Any, params: dict[str, Any]) -> Task:
    """All of ``fit`` but the training; the net is as good as fitted or as new."""
    return whole_fit(type(net)._prepare)(net, X, y, **params)
