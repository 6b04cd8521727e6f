"""Progress of a fit: a bar for a person, ``sklearn.callback`` for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tqdm import tqdm

from hybridlearn._compat import CallbackSupportMixin, start_callbacks


class FitProgress:
    """Tell of each task of a fit; a scikit-learn callback may ask it to stop.

    Parameters
    ----------
    estimator : estimator with callback support
    n_tasks : int or None
        None where it is not known in advance.
    unit : str
        What a task is.
    verbose : int
        A bar from 1 on.
    """

    def __init__(self, estimator: CallbackSupportMixin, n_tasks: int | None, *, unit: str, verbose: int):
        self.estimator = estimator
        self.unit = unit
        self.context = start_callbacks(estimator, n_tasks)
        self.bar = tqdm(total=n_tasks, desc=type(estimator).__name__, unit=unit, disable=not verbose)

    def __enter__(self) -> Self:
        self.context.call_on_fit_task_begin(estimator=self.estimator)
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.close()
        if error[0] is None:
            self.context.call_on_fit_task_end(estimator=self.estimator)

    def step(self, figures: Mapping[str, Any]) -> bool:
        """One task has ended: show its figures; whether a callback asks to stop."""
        self.bar.set_postfix(figures)
        self.bar.update()
        task = self.context.subcontext(task_name=self.unit)
        task.call_on_fit_task_begin(estimator=self.estimator)
        return task.call_on_fit_task_end(estimator=self.estimator)
