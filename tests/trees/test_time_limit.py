"""A limit to the seconds of a fit: search and boosting of all rows both fit into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _slow import Ticking
from sklearn.datasets import load_breast_cancer

import hybridlearn._clock
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    monkeypatch.setattr(hybridlearn._clock, "now", clock)
    return clock


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return load_breast_cancer(return_X_y=True)


def trees(**options: Any) -> BoostedTreesClassifier:
    return BoostedTreesClassifier(**{"random_state": 0, "learning_rate": 0.01, **options})


def test_one_round_is_boosted_in_any_case(data: Any) -> None:
    for early_stopping in (True, False):
        model = trees(time_limit=1e-9, early_stopping=early_stopping).fit(*data)
        assert model.timed_out_
        assert model.n_iter_ == 1
        assert len(model.history_) == early_stopping
        assert np.isfinite(model.margin(data[0])).all()


def test_where_the_search_takes_all_the_time_its_trees_stay(data: Any) -> None:
    X, y = data
    model = trees(time_limit=1e-9).fit(X, y)
    training = np.delete(np.arange(len(y)), model.stopping_rows_)
    alone = trees(n_estimators=1, early_stopping=False).fit(X[training], y[training])
    np.testing.assert_array_equal(model.margin(X), alone.margin(X))


def test_a_limit_that_is_not_reached_changes_nothing(data: Any) -> None:
    plain, timed = trees(n_estimators=30).fit(*data), trees(n_estimators=30, time_limit=1e6).fit(*data)
    assert not plain.timed_out_
    assert not timed.timed_out_
    assert timed.history_ == plain.history_
    np.testing.assert_array_equal(timed.margin(data[0]), plain.margin(data[0]))


def test_search_and_boosting_both_fit_into_the_limit(data: Any, ticking: Ticking) -> None:
    """The search looks twice a round at the clock, the boosting of all rows once."""
    model = trees(time_limit=200.0).fit(*data)
    assert model.timed_out_
    assert ticking.seconds <= 201
    n_searched = len(model.history_)
    assert 30 < n_searched < 100
    assert model.n_iter_ == int(np.argmin(model.history_)) + 1
    assert model.rounds_found() == {"early_stopping": False, "n_estimators": model.n_iter_}
    # the trees are those that as many rounds give without a limit
    again = trees(early_stopping=False, n_estimators=model.n_iter_).fit(*data)
    np.testing.assert_array_equal(model.margin(data[0]), again.margin(data[0]))


def test_without_a_search_rounds_end_with_the_time(data: Any, ticking: Ticking) -> None:
    model = trees(time_limit=20.5, early_stopping=False).fit(*data)
    assert model.timed_out_
    # one look at the clock set the deadline, each round takes one more
    assert model.n_iter_ == 21
    assert ticking.seconds == 22


def test_a_regression_has_a_limit_too() -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    assert BoostedTreesRegressor(time_limit=1e-9).fit(X, X[:, 0]).n_iter_ == 1


@pytest.mark.parametrize("limit", [0, -1.0, "1 h", float("nan")])
def test_a_limit_is_a_positive_number(limit: Any, data: Any) -> None:
    with pytest.raises(ValueError, match="time_limit"):
        trees(time_limit=limit).fit(*data)


def test_few_rounds_take_longer_steps_where_nobody_has_set_them(data: Any, ticking: Ticking) -> None:
    """There is time for some fifty rounds: after the first ones, which tell how long a round takes, steps grow."""
    free = trees(learning_rate="auto", time_limit=200.0).fit(*data)
    fixed = trees(learning_rate=0.05, time_limit=200.0).fit(*data)
    assert free.history_[:5] == fixed.history_[:5]
    assert min(free.history_) < min(fixed.history_) / 1.5
    at_ease = trees(learning_rate="auto", time_limit=1e6).fit(*data)
    assert at_ease.history_ == trees(learning_rate=0.05).fit(*data).history_
