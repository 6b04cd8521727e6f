"""A fit ends whole or leaves nothing behind, not even what an earlier fit left."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import integer
from hybridlearn._fitting import whole_fit


class Estimator(BaseEstimator):
    _parameter_constraints: ClassVar[dict] = {"depth": [integer(1)]}

    def __init__(self, *, depth: int = 1):
        self.depth = depth

    @whole_fit
    def fit(self, X: Any, y: Any = None, *, fail: BaseException | None = None) -> Self:
        """Learn."""
        self.first_ = X
        if fail is not None:
            raise fail
        self.second_ = y
        return self


FAILURES = [ValueError("no"), KeyboardInterrupt(), SystemExit(1), MemoryError(), NotFittedError("inner")]


def learned(estimator: BaseEstimator) -> list[str]:
    return [name for name in vars(estimator) if name.endswith("_")]


def test_a_fit_that_ends_is_as_it_was_written() -> None:
    estimator = Estimator()
    assert estimator.fit(1, y=2) is estimator
    assert (estimator.first_, estimator.second_) == (1, 2)
    assert Estimator.fit.__name__ == "fit"
    assert Estimator.fit.__doc__ == "Learn."
    assert list(inspect.signature(Estimator.fit).parameters) == ["self", "X", "y", "fail"]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("fitted_before", [False, True], ids=["new", "fitted before"])
def test_a_fit_that_fails_leaves_nothing(fitted_before: bool, failure: BaseException) -> None:
    estimator = Estimator(depth=3)
    if fitted_before:
        estimator.fit(1, 2)
    with pytest.raises(type(failure)) as caught:
        estimator.fit(3, 4, fail=failure)
    assert caught.value is failure
    assert learned(estimator) == []
    assert estimator.get_params() == {"depth": 3}
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert estimator.fit(5, 6).first_ == 5


def test_a_parameter_that_is_refused_leaves_nothing_of_an_earlier_fit() -> None:
    """Else the predictions would come from other parameters than the estimator shows."""
    estimator = Estimator().fit(1, 2).set_params(depth=0)
    with pytest.raises(ValueError, match="'depth' parameter of Estimator must be an int"):
        estimator.fit(3, 4)
    assert learned(estimator) == []


def test_an_argument_that_fit_does_not_know_leaves_nothing_of_an_earlier_fit() -> None:
    estimator = Estimator().fit(1, 2)
    with pytest.raises(TypeError, match="weight"):
        estimator.fit(3, 4, weight=1)
    assert learned(estimator) == []


def test_an_earlier_fit_does_not_shine_through_a_later_one() -> None:
    estimator = Estimator().fit(1, 2)
    estimator.leftover_ = True
    estimator.remembered = "not learned"
    estimator.fit(3, 4)
    assert learned(estimator) == ["first_", "second_"]
    assert estimator.remembered == "not learned"
