"""A deadline: who is fitted first, for how long, on which rows, and who is not; by a clock that members move."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from _slow import CLOCK, Limited, Slow, SlowRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridlearn._clock import Deadline
from hybridlearn.crossfit import MemberError, OutOfFold, Running, cross_fit_rows, sample_of
from hybridlearn.crossfit._engine import begin
from hybridlearn.crossfit._pace import Pace, limit_name, limited

N_ROWS = 3000
Members = list[tuple[str, Any]]


@pytest.fixture(autouse=True)
def clock() -> None:
    CLOCK.seconds = 0.0
    CLOCK.log.clear()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    return X, (X[:, 0] + rng.normal(size=N_ROWS) > 1).astype(int)


def fit(members: Members, data: Any, limit: float | None, **options: Any) -> OutOfFold:
    n_jobs, cv, extras = options.pop("n_jobs", None), options.pop("cv", 3), frozenset(options.pop("extras", ()))
    rows, classes, splits, seed = begin(members, *data, None, None, cv, 0)
    running = Running(n_jobs, deadline=Deadline.after(limit, CLOCK), extras=extras)
    arguments = {"on_error": "raise", "on_fit": lambda name: None, "weighted": False, **options}
    return cross_fit_rows(members, rows, splits, classes=classes, seed=seed, running=running, **arguments)


def limits_of(oof: OutOfFold, name: str) -> list[float]:
    """What the fits of a member were told."""
    return [model.estimator.time_limit for model in oof.models[name]]


def cut_of(members: Members, data: Any, limit: float, **options: Any) -> tuple[OutOfFold, dict[str, str]]:
    """The table, and what was cut; a warning there must be."""
    with pytest.warns(UserWarning, match="time_limit was short") as caught:
        oof = fit(members, data, limit, **options)
    assert len(caught) == 1
    assert oof.cut is not None
    return oof, oof.cut


# -- enough time


def test_with_enough_time_nothing_is_cut_and_the_table_is_the_same(data: Any) -> None:
    members = [("one", Slow(a_row=1e-3)), ("two", Limited(wants=1.0)), ("plain", LogisticRegression(C=0.01))]
    whole = fit(members, data, None)
    assert whole.cut is None
    timed = fit(members, data, 1000)
    assert timed.cut == dict.fromkeys(["one", "two", "plain"], "")
    assert timed.members == whole.members
    for name, margin in whole.margins.items():
        np.testing.assert_array_equal(timed.margins[name], margin, err_msg=name)


def test_small_fits_cost_a_small_part(data: Any) -> None:
    members = [("one", Slow(a_row=1e-3)), ("two", Slow(a_row=2e-3)), ("three", Limited(wants=50.0))]
    fit(members, data, 600)
    probed = sum(seconds for _, n_rows, seconds in CLOCK.log if n_rows != N_ROWS * 2 // 3)
    assert 0 < probed < 0.1 * 600


# -- who is skipped


def test_a_stranger_that_would_take_too_long_is_skipped_and_named(data: Any) -> None:
    members = [("slow", Slow(a_row=1.0)), ("fast", Slow(a_row=1e-4)), ("ours", Limited(wants=2.0))]
    oof, cut = cut_of(members, data, 400)
    assert oof.members == ["fast", "ours"]
    assert cut["slow"].startswith("skipped: some 6e+03 s expected")
    assert cut["fast"] == ""
    assert list(oof.models) == list(oof.fit_seconds) == ["fast", "ours"]
    oof.ledger.assert_leak_free()


def test_a_stranger_that_is_slow_on_the_fewest_rows_is_not_tried_on_more(data: Any) -> None:
    members = [("slow", Slow(start=30.0)), ("ours", Limited(wants=1.0))]
    _, cut = cut_of(members, data, 100)
    assert [n_rows for name, n_rows, _ in CLOCK.log if name.startswith("30")] == [50]
    assert "skipped" in cut["slow"]


def test_what_takes_long_only_once_says_nothing_of_the_pace(data: Any) -> None:
    class Loading(Slow):
        """Loads something when it is fitted first."""

        is_loaded = False

        def fit(self, X: Any, y: Any) -> Any:
            CLOCK.seconds += 0 if Loading.is_loaded else 5
            Loading.is_loaded = True
            return super().fit(X, y)

    assert fit([("loading", Loading()), ("ours", Limited(wants=1.0))], data, 60).cut == {"loading": "", "ours": ""}


def test_a_cost_that_grows_with_the_square_is_foreseen(data: Any) -> None:
    # 250 and 1000 rows take 0.06 s and 1 s, each of three fits of 2000 takes 4 s
    members = [("ours", Limited(wants=1.0)), ("square", Slow(a_row=1e-6, power=2.0))]
    assert "square" in fit(members, data, 60).members
    _, cut = cut_of(members, data, 13)
    assert cut["square"].startswith("skipped: some 12 s expected")


def test_when_time_is_over_the_rest_is_skipped(data: Any) -> None:
    members = [("ours", Limited(start=5.0, wants=50.0)), ("later", Limited(wants=1.0)), ("last", Slow())]
    oof, cut = cut_of(members, data, 3)
    assert oof.members == ["ours"]
    assert cut["later"] == cut["last"] == "skipped: no time was left"


def test_the_more_useful_of_two_that_do_not_both_fit_is_kept(data: Any) -> None:
    for names in (["blind", "seeing"], ["seeing", "blind"]):
        members = [(name, Slow(a_row=4e-3, blind=name == "blind")) for name in names]
        # each takes 24 s
        CLOCK.seconds = 0.0
        oof, cut = cut_of([("ours", Limited(blind=True)), *members], data, 40)
        assert set(oof.members) == {"ours", "seeing"}
        assert "skipped" in cut["blind"]


def test_a_member_that_turns_out_slower_than_foreseen_is_dropped_on_the_way(data: Any) -> None:
    members = [("ours", Limited(wants=1.0)), ("tricky", Slow(a_row=1e-3, late=1900))]
    oof, cut = cut_of(members, data, 60)
    assert oof.members == ["ours"]
    assert cut["tricky"] == "skipped: 1 of its 3 fits took too long for the rest"
    assert oof.coverage == 1.0


# -- extras


def test_extras_take_what_is_left_in_their_order(data: Any) -> None:
    # three fits of the one take 30 s, though its share of three would be 20
    members = [("useful", Slow(a_row=1e-6)), ("first", Limited(wants=8.0, blind=True)), ("one", Limited(wants=10.0))]
    oof = fit(members, data, 60, extras=["useful", "first"])
    assert oof.cut is not None
    assert list(oof.cut.items()) == [("one", ""), ("useful", ""), ("first", "")]
    assert min(limits_of(oof, "one")) > 10


def test_extras_that_there_is_no_time_for_are_left_out_without_a_warning(data: Any) -> None:
    members = [("one", Limited(wants=10.0)), ("slow", Slow(a_row=0.02)), ("net", Limited(a_row=0.01, wants=50.0))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oof = fit(members, data, 45, extras=["slow", "net"])
    assert oof.members == ["one"]
    assert oof.cut is not None
    assert all(oof.cut[name].startswith("skipped: some ") for name in ("slow", "net"))


def test_extras_take_nothing_of_the_shares_of_the_others(data: Any) -> None:
    core: Members = [(name, Limited(wants=100.0)) for name in ("one", "two")]
    more: Members = [(name, Limited(wants=100.0)) for name in ("three", "four", "five")]
    alone = fit(core, data, 60)
    CLOCK.seconds = 0.0
    beside = fit([*core, *more], data, 60, extras=["three", "four", "five"])
    for name, _ in core:
        assert limits_of(beside, name) == pytest.approx(limits_of(alone, name), rel=0.1)


def test_where_all_are_extras_one_is_fitted(data: Any) -> None:
    oof = fit([("one", Limited(wants=10.0)), ("two", Slow(a_row=1.0))], data, 20, extras=["one", "two"])
    assert oof.members == ["one"]


# -- there is always a model


@pytest.mark.parametrize("limit", [1e-3, 1.0, 10.0])
def test_the_first_member_is_fitted_whatever_it_takes(data: Any, limit: float) -> None:
    oof, cut = cut_of([("slow", Slow(a_row=0.02)), ("slower", Slow(a_row=0.1))], data, limit)
    assert oof.members == ["slow"]
    assert oof.coverage == 1.0
    assert "skipped" in cut["slower"]


def test_where_all_rows_are_too_many_training_parts_are_samples_and_test_parts_whole(data: Any) -> None:
    # a fold takes 40 s of all its rows
    oof, cut = cut_of([("slow", Slow(a_row=0.02))], data, 60)
    sizes = {len(entry.fitted_on) for entry in oof.ledger.entries if entry.fitted_on is not None}
    assert all(250 <= size < 2000 for size in sizes)
    assert cut["slow"] in (f"sample of {max(sizes)} rows", f"sample of {min(sizes)} to {max(sizes)} rows")
    assert oof.coverage == 1.0
    oof.ledger.assert_leak_free()
    share = data[1].mean()
    for entry in oof.ledger.entries:
        assert data[1][entry.fitted_on].mean() == pytest.approx(share, abs=0.01)
    assert CLOCK.seconds < 66


def test_samples_are_the_same_for_a_seed_and_of_their_own_for_each_fold(data: Any) -> None:
    one, _ = cut_of([("slow", Slow(a_row=0.02))], data, 60)
    CLOCK.seconds = 0.0
    two, _ = cut_of([("slow", Slow(a_row=0.02))], data, 60)
    for entry, again in zip(one.ledger.entries, two.ledger.entries, strict=True):
        np.testing.assert_array_equal(entry.fitted_on, again.fitted_on)


def test_a_regressor_is_sampled_too(data: Any) -> None:
    X, _ = data
    oof, cut = cut_of([("slow", SlowRegressor(a_row=0.02))], (X, X[:, 0]), 60)
    assert cut["slow"].startswith("sample of ")
    np.testing.assert_allclose(oof.margins["slow"][:, 0], X[:, 0], atol=0.1)


def test_a_member_that_fails_ends_the_fit_as_it_does_without_a_limit(data: Any) -> None:
    with pytest.raises(MemberError, match="member 'broken' failed"):
        fit([("broken", LogisticRegression(C=-1.0))], data, 10)


# -- shares


def test_who_has_a_limit_gets_its_share_and_is_told_of_it(data: Any) -> None:
    members = [(name, Limited(wants=100.0)) for name in ("one", "two")]
    oof = fit(members, data, 60)
    assert oof.cut == dict.fromkeys(["one", "two"], "stopped early at its share")
    limits = [limit for name in oof.models for limit in limits_of(oof, name)]
    # a tenth of the time shows how fast they are; the rest is shared by six fits
    assert limits == pytest.approx([9.5] * 6, rel=0.1)
    assert CLOCK.seconds == pytest.approx(60, rel=0.02)


def test_what_one_leaves_the_others_may_take(data: Any) -> None:
    members = [("modest", Limited(wants=0.1)), ("greedy", Limited(wants=100.0))]
    oof = fit(members, data, 60)
    assert oof.cut == {"modest": "", "greedy": "stopped early at its share"}
    assert [model.estimator.time_limit for model in oof.models["greedy"]] == pytest.approx([18.7] * 3, rel=0.1)


def test_a_limit_of_the_users_own_is_kept(data: Any) -> None:
    members = [("mine", Limited(wants=100.0, time_limit=2.0)), ("other", Limited(wants=1.0))]
    oof = fit(members, data, 60)
    assert [model.estimator.time_limit for model in oof.models["mine"]] == [2.0] * 3


def test_a_limit_is_found_in_the_last_step_of_pipelines(data: Any) -> None:
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Limited(wants=100.0)))
    assert limit_name(nested) == "pipeline__limited__time_limit"
    assert limit_name(make_pipeline(Limited(), LogisticRegression())) is None
    assert limited(nested, 3.0).get_params()["pipeline__limited__time_limit"] == 3.0
    assert fit([("nested", nested)], data, 60).cut == {"nested": "stopped early at its share"}


def test_rows_that_cost_too_much_of_a_share_are_sampled(data: Any) -> None:
    # the least that a fit of all rows does takes 8 s
    members = [("one", Limited(a_row=0.004, wants=30.0)), ("two", Limited(a_row=0.004, wants=30.0))]
    oof, cut = cut_of(members, data, 60)
    assert oof.members == ["one", "two"]
    assert all(told.startswith("sample of ") for told in cut.values())
    assert CLOCK.seconds < 66


def test_samples_grow_where_their_share_leaves_room(data: Any) -> None:
    # small fits of this one seem to take long: it is slow to start
    oof, cut = cut_of([("one", Limited(start=2.0, a_row=1e-5, wants=2.5))], data, 30)
    sizes = [len(entry.fitted_on) for entry in oof.ledger.entries if entry.fitted_on is not None]
    assert sizes[0] < sizes[1] <= sizes[2] <= 2000
    assert cut["one"].startswith(f"sample of {sizes[0]}")


def test_several_processes_share_the_time(data: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oof = fit([("one", Limited(wants=3.0)), ("two", Slow(a_row=1e-4))], data, 600, n_jobs=2)
    assert oof.cut == {"one": "", "two": ""}


def test_of_one_member_some_folds_may_be_enough(data: Any) -> None:
    # a fold takes 3.7 s
    oof = fit([("slow", Slow(a_row=1.4e-3))], data, 30, cv=10, least=2)
    assert oof.cut is not None
    n_done = len(oof.tests)
    assert 5 <= n_done < 10
    assert CLOCK.seconds <= 30
    assert oof.cut["slow"] == f"{n_done} of 10 fits"
    assert oof.coverage == pytest.approx(n_done / 10)
    assert len(oof.models["slow"]) == n_done
    assert not np.isnan(oof.margins["slow"][oof.covered]).any()
    assert np.isnan(oof.margins["slow"][~oof.covered]).all()


# -- the parts


def pace(sizes: tuple[float, ...], seconds: tuple[float, ...]) -> Pace:
    return Pace(sizes, seconds, 0.0, 0.0, np.inf)


def test_seconds_follow_the_power_law_of_the_largest_small_fits() -> None:
    square = pace((250, 1000, 4000), (1.0, 2.0, 32.0))
    assert square.fit_seconds(40_000) == pytest.approx(3200)
    assert square.fit_seconds(625) == pytest.approx(1.5)
    assert square.fit_seconds(100) == 1.0
    # never steeper than the cube
    assert pace((250, 1000), (0.001, 1.0)).fit_seconds(2000) == pytest.approx(8)
    # a start and a line
    assert pace((1000, 2000), (1.5, 2.0)).fit_seconds(10_000) == pytest.approx(6)
    # what seems to cost nothing more is not believed
    assert pace((1000, 2000), (2.0, 1.0)).fit_seconds(20_000) == pytest.approx(2 + 0.2 * 9)
    assert pace((250,), (1.0,)).fit_seconds(2500) == pytest.approx(10)


def test_rows_within_some_seconds() -> None:
    line = pace((1000, 2000), (1.0, 2.0))
    assert line.rows_within(5.0, 100_000) == pytest.approx(5000, abs=1)
    assert line.rows_within(5.0, 3000) == 3000
    assert line.rows_within(0.5, 100_000) == 0


def test_samples_keep_the_shares_of_the_classes_and_two_of_each() -> None:
    codes = np.repeat([0, 1, 2, 3], [700, 290, 9, 1])
    among = np.arange(1000)
    chosen = sample_of(codes, among, 100, seed=0)
    assert np.bincount(codes[chosen]).tolist() == [70, 29, 2, 1]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(sample_of(codes, among, 100, seed=0), chosen)
    assert not np.array_equal(sample_of(codes, among, 100, seed=1), chosen)
    assert sample_of(None, among, 50, seed=0).shape == (50,)
    np.testing.assert_array_equal(sample_of(codes, among, 5000, seed=0), among)
