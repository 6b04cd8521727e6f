"""A fit ends whole or leaves nothing behind, not even what an earlier fit left; one that goes on leaves what was."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import integer
from hybridlearn._fitting import continued_fit, whole_fit


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


class Continuing(Estimator):
    _parameter_constraints: ClassVar[dict] = {**Estimator._parameter_constraints, "warm_start": ["boolean"]}

    def __init__(self, *, depth: int = 1, warm_start: bool = False):
        super().__init__(depth=depth)
        self.warm_start = warm_start

    @continued_fit
    def partial_fit(self, X: Any, y: Any = None, *, fail: BaseException | None = None) -> Self:
        """Go on."""
        self.first_ = [*getattr(self, "first_", []), X]
        self.third_ = y
        if fail is not None:
            raise fail
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


# -- going on


def test_a_continued_fit_sees_what_was_learned() -> None:
    estimator = Continuing()
    assert estimator.partial_fit(1).partial_fit(2, y=5) is estimator
    assert (estimator.first_, estimator.third_) == ([1, 2], 5)
    assert Continuing.partial_fit.__doc__ == "Go on."
    assert list(inspect.signature(Continuing.partial_fit).parameters) == ["self", "X", "y", "fail"]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_continued_fit_that_fails_leaves_what_was_there(failure: BaseException) -> None:
    estimator = Continuing().partial_fit(1)
    first = estimator.first_
    estimator.remembered = "not learned"
    with pytest.raises(type(failure)) as caught:
        estimator.partial_fit(2, 5, fail=failure)
    assert caught.value is failure
    assert estimator.first_ is first
    assert learned(estimator) == ["first_", "third_"]
    assert estimator.third_ is None
    assert estimator.remembered == "not learned"


def test_a_first_continued_fit_that_fails_leaves_nothing() -> None:
    estimator = Continuing()
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(1, fail=KeyboardInterrupt())
    assert learned(estimator) == []
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


def test_a_first_continued_fit_validates_parameters() -> None:
    """Later ones do not: so it is with every ``partial_fit`` of scikit-learn."""
    with pytest.raises(ValueError, match="'depth' parameter of Continuing must be an int"):
        Continuing(depth=0).partial_fit(1)


def test_an_argument_that_a_continued_fit_does_not_know_loses_nothing() -> None:
    estimator = Continuing().partial_fit(1)
    with pytest.raises(TypeError, match="weight"):
        estimator.partial_fit(2, weight=1)
    assert estimator.first_ == [1]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_warm_fit_is_a_continued_one(failure: BaseException) -> None:
    estimator = Continuing(warm_start=True).fit(1, 2)
    with pytest.raises(type(failure)):
        estimator.fit(3, 4, fail=failure)
    assert (estimator.first_, estimator.second_) == (1, 2)
    estimator.leftover_ = True
    assert estimator.fit(5, 6).leftover_


def test_a_fit_that_is_not_warm_forgets_the_continued_ones() -> None:
    estimator = Continuing().partial_fit(1).fit(2, 3)
    assert learned(estimator) == ["first_", "second_"]
    assert estimator.first_ == 2


def test_a_warm_start_that_is_refused_loses_nothing_and_one_that_is_no_boolean_is_named() -> None:
    estimator = Continuing(warm_start=True).fit(1, 2).set_params(depth=0)
    with pytest.raises(ValueError, match="depth"):
        estimator.fit(3, 4)
    assert estimator.first_ == 1
    with pytest.raises(ValueError, match="warm_start"):
        Continuing(warm_start="yes").fit(1, 2)
