"""The booster's columns: every code of a training row against a cross-fit made by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.preprocessing import TargetEncoder

from hybridlearn._splits import folds
from hybridlearn.table import TrainingRows, UnseenCategoryWarning, _target_codes
from hybridlearn.trees._encoding import TreeEncoder

N_ROWS = 120
CITIES = np.array([f"city {i}" for i in range(10)])
JOBS = np.array([f"job {i}" for i in range(12)])
SEED = 3


def table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.normal(size=N_ROWS),
            "city": rng.choice(CITIES, N_ROWS),
            "colour": rng.choice(["red", "green", "blue"], N_ROWS),
            "job": rng.choice(JOBS, N_ROWS),
        }
    )
    X.loc[:4, "city"] = None
    return X


def training_rows(
    X: pd.DataFrame, target: np.ndarray, groups: np.ndarray | None = None, time: np.ndarray | None = None
) -> TrainingRows:
    return TrainingRows(X, target, np.ones(len(X)), groups, np.arange(len(X)), len(X), time)


def target_of(kind: str, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "continuous":
        return rng.normal(size=N_ROWS)
    return rng.integers(2 if kind == "binary" else 3, size=N_ROWS)


def encoder() -> TreeEncoder:
    return TreeEncoder(max_onehot_levels=8, native=False)


def fit_transform(
    X: pd.DataFrame, target: np.ndarray, groups: np.ndarray | None = None, time: np.ndarray | None = None
) -> np.ndarray:
    classification = target.dtype.kind == "i"
    return encoder().fit_transform(training_rows(X, target, groups, time), classification=classification, seed=SEED)


def coded_columns(X: pd.DataFrame) -> pd.DataFrame:
    """The columns of many levels, a missing value as one level more."""
    return X[["city", "job"]].fillna("missing")


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_target_codes_are_those_of_a_cross_fit_by_hand(kind: str, grouped: bool) -> None:
    X, target = table(), target_of(kind)
    groups = np.arange(N_ROWS) // 4 if grouped else None
    strata = None if kind == "continuous" else target
    by_hand = np.full((N_ROWS, 6 if kind == "multiclass" else 2), np.nan)
    for train, test in folds(strata, groups, n_rows=N_ROWS, n_splits=5, seed=SEED):
        learned = TargetEncoder(target_type=kind).fit(coded_columns(X).iloc[train], target[train])
        by_hand[test] = learned.transform(coded_columns(X).iloc[test])
    codes = fit_transform(X, target, groups)[:, 4:]
    np.testing.assert_allclose(codes, by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_new_rows_get_the_codes_of_all_training_rows(kind: str) -> None:
    X, target = table(), target_of(kind)
    learned = encoder()
    learned.fit_transform(training_rows(X, target), classification=kind != "continuous", seed=SEED)
    expected = TargetEncoder(target_type=kind).fit(coded_columns(X), target).transform(coded_columns(X))
    np.testing.assert_allclose(learned.transform(X)[:, 4:], expected, rtol=0, atol=1e-12)


@given(row=st.integers(0, N_ROWS - 1), value=st.floats(-1e3, 1e3))
def test_no_code_depends_on_the_rows_own_number(row: int, value: float) -> None:
    X, target = table(), target_of("continuous")
    before = fit_transform(X, target)
    target[row] = value
    after = fit_transform(X, target)
    np.testing.assert_array_equal(before[row], after[row])


def test_other_rows_codes_do_depend_on_it() -> None:
    """Without this, the test above would let an encoder pass that never looks at the target."""
    X, target = table(), target_of("continuous")
    before = fit_transform(X, target)
    target[50] += 100
    moved = (before != fit_transform(X, target)).any(axis=1)
    same_city = (X["city"] == X["city"][50]).to_numpy() | (X["job"] == X["job"][50]).to_numpy()
    assert moved[same_city].any()


@given(row=st.integers(0, N_ROWS - 1), kind=st.sampled_from(["binary", "multiclass"]))
def test_no_code_depends_on_the_rows_own_class(row: int, kind: str) -> None:
    """The folds are held fast: stratified ones move with the classes."""
    X, target = table(), target_of(kind)
    fixed = folds(None, None, n_rows=N_ROWS, n_splits=5, seed=SEED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_target_codes, "folds", lambda *args, **kwargs: fixed)
        before = fit_transform(X, target)
        target[row] = (target[row] + 1) % (target.max() + 1)
        after = fit_transform(X, target)
    np.testing.assert_array_equal(before[row], after[row])


def test_no_code_depends_on_the_rows_own_group() -> None:
    X, target, groups = table(), target_of("continuous"), np.arange(N_ROWS) // 6
    before = fit_transform(X, target, groups)
    target[groups == 7] += 100
    after = fit_transform(X, target, groups)
    np.testing.assert_array_equal(before[groups == 7], after[groups == 7])
    assert (before != after).any()


TIME = np.random.default_rng(2).integers(0, 40, N_ROWS)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_target_codes_in_time_are_those_of_earlier_blocks_by_hand(kind: str) -> None:
    X, target = table(), target_of(kind)
    by_hand = np.full((N_ROWS, 6 if kind == "multiclass" else 2), np.nan)
    blocks = folds(None, None, n_rows=N_ROWS, n_splits=5, seed=SEED, time=TIME)
    for train, test in blocks:
        learned = TargetEncoder(target_type=kind).fit(coded_columns(X).iloc[train], target[train])
        by_hand[test] = learned.transform(coded_columns(X).iloc[test])
    codes = fit_transform(X, target, time=TIME)[:, 4:]
    np.testing.assert_allclose(codes, by_hand, rtol=0, atol=1e-12)
    assert np.isnan(codes[blocks[0][0]]).all()
    assert 15 < len(blocks[0][0]) < 25


@given(moment=st.integers(0, 39), kind=st.sampled_from(["binary", "multiclass", "continuous"]))
def test_no_code_depends_on_a_row_of_its_own_time_or_later(moment: int, kind: str) -> None:
    X, target = table(), target_of(kind)
    before = fit_transform(X, target, time=TIME)
    changed = np.where(moment <= TIME, np.roll(target, 1), target)
    after = fit_transform(X, changed, time=TIME)
    np.testing.assert_array_equal(before[moment >= TIME], after[moment >= TIME])


def test_later_codes_do_depend_on_earlier_rows() -> None:
    X, target = table(), target_of("continuous")
    moved = (fit_transform(X, target, time=TIME) != fit_transform(X, np.where(TIME < 5, 9, target), time=TIME))[:, 4:]
    assert moved[TIME > 20].all()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_rows_of_one_time_have_no_codes_but_give_codes_to_new_rows(kind: str) -> None:
    X, target = table(), target_of(kind)
    learned = encoder()
    rows = training_rows(X, target, time=np.zeros(N_ROWS, dtype=np.int64))
    codes = learned.fit_transform(rows, classification=kind != "continuous", seed=SEED)
    expected = TargetEncoder(target_type=kind).fit(coded_columns(X), target).transform(coded_columns(X))
    assert codes.shape == (N_ROWS, 4 + expected.shape[1])
    assert np.isnan(codes[:, 4:]).all()
    np.testing.assert_allclose(learned.transform(X)[:, 4:], expected, rtol=0, atol=1e-12)


def test_two_times_are_enough_for_codes() -> None:
    time = (np.arange(N_ROWS) >= 90).astype(np.int64)
    codes = fit_transform(table(), target_of("continuous"), time=time)[:, 4:]
    np.testing.assert_array_equal(np.isnan(codes), np.repeat(time[:, None] == 0, 2, axis=1))


@pytest.mark.parametrize("present", [[0], [1, 2], [0, 2]], ids=str)
def test_a_side_of_a_split_may_have_lost_classes(present: list[int]) -> None:
    """As the earlier rows often have: they hold codes of all that ``fit`` was given, not each of them."""
    X, target = table(), np.array(present)[np.arange(N_ROWS) % len(present)]
    expected = TargetEncoder(target_type="binary").fit(coded_columns(X), target == present[-1])
    learned = encoder()
    learned.fit_transform(training_rows(X, target, time=TIME), classification=True, seed=SEED)
    if len(present) > 1:
        np.testing.assert_allclose(
            learned.transform(X)[:, 4:], expected.transform(coded_columns(X)), rtol=0, atol=1e-12
        )
    assert learned.transform(X).shape == (N_ROWS, 6)


def test_few_levels_become_one_column_each() -> None:
    X = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "c": ["b", "a", None, "c"], "two": ["x", "y", "x", None]})
    codes = fit_transform(X, np.array([0.0, 1.0, 2.0, 3.0]))
    nan = np.nan
    expected = [[1, 0, 1, 0, 0], [2, 1, 0, 0, 1], [3, nan, nan, nan, 0], [4, 0, 0, 1, nan]]
    np.testing.assert_array_equal(codes, expected)


def test_max_onehot_levels_is_the_last_count_that_is_one_hot() -> None:
    X = pd.DataFrame({"c": list("abcd") * 5})
    rows = training_rows(X, target_of("continuous")[:20])
    one_hot = TreeEncoder(max_onehot_levels=4, native=False).fit_transform(rows, classification=False, seed=0)
    coded = TreeEncoder(max_onehot_levels=3, native=False).fit_transform(rows, classification=False, seed=0)
    assert (one_hot.shape[1], coded.shape[1]) == (4, 1)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_unseen_levels_are_missing_or_average_and_said_once(kind: str) -> None:
    X, target = table(), target_of(kind)
    learned = encoder()
    learned.fit_transform(training_rows(X, target), classification=kind != "continuous", seed=SEED)
    new = X.iloc[20:23].reset_index(drop=True)
    known = learned.transform(new)
    new.loc[0, "job"], new.loc[1, "colour"] = "astronaut", "octarine"
    with pytest.warns(UnseenCategoryWarning, match=r"'colour' \(1 rows\), column 'job' \(1 rows\)") as said:
        codes = learned.transform(new)
    assert len(said) == 1
    per_column = 3 if kind == "multiclass" else 1
    unseen = np.zeros_like(known, dtype=bool)
    unseen[1, 1:4] = True  # colour
    np.testing.assert_array_equal(np.isnan(codes), unseen)
    # job; city keeps its codes. As of a training row whose level no other fold holds
    average = np.eye(3)[target].mean(axis=0) if kind == "multiclass" else np.mean(target)
    np.testing.assert_allclose(codes[0, 4 + per_column :], average)
    unseen[0, 4 + per_column :] = True
    np.testing.assert_array_equal(codes[~unseen], known[~unseen])


def test_the_warning_can_be_left_unsaid() -> None:
    X = pd.DataFrame({"c": list("abab")})
    learned = encoder()
    learned.fit_transform(training_rows(X, np.arange(4.0)), classification=False, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(learned.transform(pd.DataFrame({"c": ["z"]}), warn=False)).all()


def test_native_categories_stay_codes() -> None:
    X = table()
    learned = TreeEncoder(max_onehot_levels=8, native=True)
    codes = learned.fit_transform(training_rows(X, target_of("binary")), classification=True, seed=SEED)
    assert codes.shape == (N_ROWS, 4)
    assert learned.feature_types(4) == ["q", "c", "c", "c"]
    assert np.isnan(codes[:5, 1]).all()
    for j, name in enumerate(["city", "colour", "job"], start=1):
        expected = pd.Categorical(X[name], sorted(X[name].dropna().unique())).codes.astype(float)
        np.testing.assert_array_equal(codes[:, j], np.where(expected < 0, np.nan, expected))
    with pytest.warns(UnseenCategoryWarning):
        assert np.isnan(learned.transform(X.assign(job="astronaut"))[:, 3]).all()


def test_encoded_columns_are_numeric_for_the_booster() -> None:
    learned = encoder()
    codes = learned.fit_transform(training_rows(table(), target_of("multiclass")), classification=True, seed=SEED)
    assert learned.feature_types(codes.shape[1]) == ["q"] * (1 + 3 + 2 * 3)


@pytest.mark.parametrize("grouped", [False, True])
def test_metadata_routing_changes_no_code(grouped: bool) -> None:
    X = table()
    rows = training_rows(X, target_of("binary"), np.arange(len(X)) // 4 if grouped else None)
    plain = TreeEncoder(max_onehot_levels=2, native=False).fit_transform(rows, classification=True, seed=0)
    with config_context(enable_metadata_routing=True):
        routed = TreeEncoder(max_onehot_levels=2, native=False).fit_transform(rows, classification=True, seed=0)
    np.testing.assert_array_equal(routed, plain)
