"""A limit to the seconds of a hybrid's fit: what is told of what was cut, by a clock that made-up members move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from _slow import CLOCK, Limited, Slow, SlowRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB

import hybridlearn._clock
from hybridlearn.crossfit import Ledger, OutOfFold
from hybridlearn.ensemble import (
    HybridBaggingClassifier,
    HybridBaggingRegressor,
    HybridBoostingClassifier,
    HybridBoostingRegressor,
    HybridClassifier,
    HybridRegressor,
    HybridStackingClassifier,
    HybridStackingRegressor,
)
from hybridlearn.ensemble._assembly import assemble
from hybridlearn.ensemble._blend import Blend
from hybridlearn.ensemble._time import LearnInTime, reserve
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

N_ROWS = 1500
FAMILIES = [
    HybridClassifier,
    HybridRegressor,
    HybridStackingClassifier,
    HybridStackingRegressor,
    HybridBaggingClassifier,
    HybridBaggingRegressor,
    HybridBoostingClassifier,
    HybridBoostingRegressor,
]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    CLOCK.seconds = 0.0
    CLOCK.log.clear()
    monkeypatch.setattr(hybridlearn._clock, "now", CLOCK)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    return X, (X[:, 0] + rng.normal(size=N_ROWS) > 1).astype(int)


def told(hybrid: Any) -> dict[str, str]:
    return dict(zip(hybrid.leaderboard_["member"], hybrid.leaderboard_["cut"], strict=True))


# -- the leaderboard


def test_the_leaderboard_tells_what_was_cut_and_who_was_skipped(data: Any) -> None:
    members = [("slow", Slow(a_row=0.3)), ("ours", Limited(wants=500.0)), ("fast", Slow(a_row=1e-4))]
    hybrid = HybridClassifier(estimators=members, cv=3, time_limit=300, random_state=0)
    with pytest.warns(UserWarning, match=r"members \['slow'\] were skipped .* raise time_limit") as caught:
        hybrid.fit(*data)
    assert len(caught) == 1
    board = hybrid.leaderboard_.set_index("member")
    assert board.columns.tolist() == ["weight", "score", "fit_seconds", "cut"]
    assert board.index[-1] == "slow"
    assert board.loc["slow", ["weight", "score"]].isna().all()
    assert board.loc["slow", "cut"].startswith("skipped: ")
    assert board.loc["ours", "cut"] == "stopped early at its share"
    assert board.loc["fast", "cut"] == board.loc["blend", "cut"] == ""
    assert list(hybrid.named_estimators_) == list(hybrid.models_) == ["ours", "fast"]
    assert CLOCK.seconds <= 300
    assert hybrid.predict_proba(data[0]).shape == (N_ROWS, 2)
    assert len(hybrid.plot_blend().patches) == 4
    hybrid.ledger_.assert_leak_free()


@pytest.mark.parametrize("final_estimator", ["greedy", LogisticRegression()])
def test_the_same_in_stacking(data: Any, final_estimator: Any) -> None:
    members = [("slow", Slow(a_row=1.0)), ("ours", Limited(wants=1.0))]
    stack = HybridStackingClassifier(estimators=members, final_estimator=final_estimator, cv=3, time_limit=100)
    with pytest.warns(UserWarning, match="slow"):
        stack.fit(*data)
    assert told(stack)["slow"].startswith("skipped: ")


def test_without_a_limit_there_is_no_such_column(data: Any) -> None:
    hybrid = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=2).fit(*data)
    assert "cut" not in hybrid.leaderboard_
    assert hybrid.oof_.cut is None


# -- nothing is changed by a limit that is not reached


def small(cls: type) -> Any:
    is_regressor = cls.__name__.endswith("Regressor")
    trees = (BoostedTreesRegressor if is_regressor else BoostedTreesClassifier)(n_estimators=5)
    if "Bagging" in cls.__name__:
        return cls(estimator=trees, n_estimators=3, random_state=0)
    if "Boosting" in cls.__name__:
        return cls(estimators=[("trees", trees), ("linear", Ridge())], cv=2, inner_cv=2, random_state=0)
    linear = Ridge() if is_regressor else GaussianNB()
    return cls(estimators=[("trees", trees), ("linear", linear)], cv=2, random_state=0)


@pytest.mark.parametrize("cls", FAMILIES)
def test_a_limit_that_is_not_reached_changes_nothing(data: Any, cls: type) -> None:
    X, y = data
    plain, timed = small(cls).fit(X, y), small(cls).set_params(time_limit=1e6).fit(X, y)
    np.testing.assert_array_equal(timed.margin(X), plain.margin(X))
    assert set(told(timed).values()) == {""}
    assert timed.leaderboard_.drop(columns=["cut", "fit_seconds"]).equals(
        plain.leaderboard_.drop(columns="fit_seconds")
    )


@pytest.mark.parametrize("cls", FAMILIES)
@pytest.mark.parametrize("limit", [0, -1.0, "1 h", float("nan")])
def test_a_limit_is_a_positive_number(data: Any, cls: type, limit: Any) -> None:
    with pytest.raises(ValueError, match="time_limit"):
        small(cls).set_params(time_limit=limit).fit(*data)


# -- the clock runs from the beginning of fit to its end


def test_the_time_for_reading_the_table_counts(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [("ours", Limited(wants=500.0))]
    hybrid = HybridClassifier(estimators=members, cv=2, time_limit=100)
    read = HybridClassifier._read_work

    def slow_read(self: Any, *args: Any) -> Any:
        CLOCK.seconds += 50
        return read(self, *args)

    monkeypatch.setattr(HybridClassifier, "_read_work", slow_read)
    hybrid.fit(*data)
    assert CLOCK.seconds <= 100
    assert CLOCK.seconds > 80


def test_a_part_of_the_time_is_kept_for_what_follows() -> None:
    assert reserve(100, 1000, 4) == pytest.approx(10, abs=0.1)
    assert reserve(100, 10**6, 4) == pytest.approx(15)
    assert reserve(10, 10**8, 4) == 4


def table_of(n_rows: int) -> OutOfFold:
    rng = np.random.default_rng(0)
    margins = {name: rng.normal(size=(n_rows, 1)) for name in ("a", "b")}
    target = (margins["a"][:, 0] + rng.normal(size=n_rows) > 0).astype(int)
    return OutOfFold(
        margins=margins, fold=np.arange(n_rows) % 3, target=target, classes=np.array([0, 1]), weight=np.ones(n_rows),
        positions=np.arange(n_rows), is_ordered=False, tests=[], models={"a": [], "b": []}, fit_seconds={}, failed={},
        ledger=Ledger(),
    )  # fmt: skip


def counting(sizes: list[int], a_row: float) -> Callable[[np.ndarray], Blend]:
    def learn(rows: np.ndarray) -> Blend:
        sizes.append(len(rows))
        CLOCK.seconds += a_row * len(rows)
        return Blend(np.array([0.5, 0.5]), np.zeros(1))

    return learn


def test_weights_are_learned_from_as_many_rows_as_there_is_time_for() -> None:
    oof, sizes = table_of(30_000), []
    # of all rows it would take 11 s
    deadline = hybridlearn._clock.Deadline.after(8.0)
    assembly = assemble(oof, counting(sizes, 1e-4), deadline=deadline)
    assert sizes[0] == 2000
    assert all(2000 < size < 20_000 for size in sizes[1:])
    assert len(sizes) == 5
    assert 2 < CLOCK.seconds <= 4.1
    assert not np.isnan(assembly.oof.margins["blend"]).any()


def test_with_time_enough_all_rows_teach() -> None:
    oof, sizes = table_of(30_000), []
    in_time = LearnInTime(counting(sizes, 1e-6), hybridlearn._clock.Deadline.after(60.0), 2, oof)
    in_time(np.arange(30_000))
    in_time(np.arange(20_000))
    assert sizes == [2000, 30_000, 20_000]
    assert len(in_time.few(np.arange(30_000))) == 30_000


# -- rows that no fold tests


def test_members_are_fitted_on_all_rows_where_there_is_time(data: Any) -> None:
    members = [("ours", Limited(wants=500.0)), ("fast", Slow(a_row=1e-4))]
    hybrid = HybridClassifier(estimators=members, cv=TimeSeriesSplit(3), time_limit=100).fit(*data)
    assert [len(own) for own in hybrid.models_.values()] == [1, 1]
    assert all(own[0].n_train == N_ROWS for own in hybrid.models_.values())
    assert 60 < CLOCK.seconds <= 100
    slow = [("ours", Limited(wants=1.0)), ("slow", Slow(a_row=0.02))]
    CLOCK.seconds = 0.0
    late = HybridClassifier(estimators=slow, cv=TimeSeriesSplit(3), time_limit=92)
    late.fit(*data)
    assert told(late) == {"blend": "", "ours": "", "slow": "not refitted on all rows"}
    assert late.models_["slow"][0] is late.oof_.models["slow"][-1]
    assert CLOCK.seconds <= 92


# -- families


# a draw takes 4 s, 3 s, 1.5 s
LIMITS = {"folds": 30, "bootstrap": 25, "under": 12}


@pytest.mark.parametrize("resample", LIMITS)
def test_bagging_makes_as_many_draws_as_fit(data: Any, resample: str) -> None:
    bag = HybridBaggingClassifier(
        estimator=Slow(a_row=3e-3), n_estimators=10, resample=resample, time_limit=LIMITS[resample], random_state=0
    ).fit(*data)
    n_draws = len(bag.estimators_[0])
    assert 4 <= n_draws < 10
    assert told(bag) == {"blend": "", "estimator": f"{n_draws} of 10 fits"}
    assert CLOCK.seconds <= LIMITS[resample]
    assert 0 < bag.oof_.coverage <= 1
    assert not np.isnan(bag.margin(data[0])).any()
    bag.ledger_.assert_leak_free()


def test_bagging_makes_two_draws_in_any_case(data: Any) -> None:
    bag = HybridBaggingClassifier(estimator=Slow(start=20.0), n_estimators=5, time_limit=5, random_state=0)
    with pytest.warns(UserWarning, match="samples"):
        bag.fit(*data)
    assert len(bag.estimators_[0]) == 2


def test_boosting_ends_when_time_is_over(data: Any) -> None:
    X, y = data
    stages = [("first", SlowRegressor(a_row=1e-3)), ("second", SlowRegressor(a_row=0.1))]
    boost = HybridBoostingRegressor(estimators=stages, cv=2, inner_cv=2, time_limit=60, random_state=0)
    with pytest.warns(UserWarning, match=r"members \['second'\] were skipped"):
        boost.fit(X, X[:, 0] + y)
    assert boost.stages_["estimator"].unique().tolist() == ["first"]
    assert told(boost)["second"].startswith("skipped: ")
    assert told(boost)["first"] == ""
    boost.ledger_.assert_leak_free()


def test_boosting_chooses_among_those_that_fit(data: Any) -> None:
    X, y = data
    stages = [("fast", SlowRegressor()), ("slow", SlowRegressor(a_row=0.1))]
    boost = HybridBoostingClassifier(
        estimators=stages, order="auto", n_estimators=2, cv=2, inner_cv=2, time_limit=100, random_state=0
    )
    with pytest.warns(UserWarning, match=r"members \['slow'\] were skipped"):
        boost.fit(X, y)
    assert set(boost.stages_["estimator"]) == {"fast"}
    assert told(boost)["stage 1"].startswith("slow: some ")


def test_a_second_layer_needs_time(data: Any) -> None:
    members = [("some", Slow(a_row=3e-3)), ("fast", Slow())]
    stack = HybridStackingClassifier(estimators=members, cv=3, layers=2, time_limit=200, random_state=0)
    with pytest.warns(UserWarning, match="layers=2 is switched off: on .* rows"):
        # there is time to look at it
        stack.fit(*data)
    assert not np.isnan(stack.layer_gain_)
    CLOCK.seconds = 0.0
    # folds take longer than was foreseen
    stack.set_params(estimators=[("tricky", Slow(a_row=1e-3, late=900))], time_limit=30)
    with pytest.warns(UserWarning, match="time_limit") as caught:
        stack.fit(*data)
    messages = [str(warning.message) for warning in caught]
    assert any("layers=2 is switched off: time_limit=30 leaves too little" in message for message in messages)
    assert stack.n_layers_ == 1
    assert np.isnan(stack.layer_gain_)
