"""Every estimator of the package, saved here and loaded in a fresh process: the same to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
from _estimators import public_estimators
from _models import TASKS, estimator, every_public, fits_task

import hybridlearn
from hybridlearn import TableEncoder


@pytest.mark.parametrize("task", TASKS)
def test_every_public_estimator_answers_and_fits_the_same_elsewhere(task: str, same_elsewhere: Any) -> None:
    same_elsewhere(task, every_public(task), "both" if task == "two" else "fitted")


def test_one_that_is_not_fitted_fits_the_same_elsewhere(same_elsewhere: Any) -> None:
    task = "number"
    classes = [cls for cls in public_estimators(hybridlearn) if fits_task(cls, task) and cls is not TableEncoder]
    same_elsewhere(task, {cls.__name__: estimator(cls, task) for cls in classes}, "unfitted")
