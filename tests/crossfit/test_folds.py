"""The folds that a ``cv`` stands for: disjoint, within groups, in the order of time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, StratifiedKFold, TimeSeriesSplit

from hybridlearn.crossfit import cross_fit, make_splits
from hybridlearn.table import TrainingRows

N_ROWS = 40
ROWS = np.arange(N_ROWS)
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
SHUFFLED = np.random.default_rng(1).permutation(N_ROWS)


def rows_with(*, groups: Any = None, time: Any = None) -> TrainingRows:
    time = None if time is None else np.unique(time, return_inverse=True)[1]
    return TrainingRows(X, X[:, 0], np.ones(N_ROWS), groups, ROWS, N_ROWS, time)


def splits_of(cv: Any, *, groups: Any = None, time: Any = None) -> tuple[Any, list[tuple[np.ndarray, np.ndarray]]]:
    rows, splits = make_splits(cv, rows_with(groups=groups, time=time), classes=None, seed=0)
    return rows.time, splits


def assert_goes_forward(splits: list[tuple[np.ndarray, np.ndarray]], time: np.ndarray) -> None:
    """Each fold trains on earlier rows than it tests, and is tested before the next."""
    for train, test in splits:
        assert time[train].max() < time[test].min()
    for (_, one), (_, two) in pairwise(splits):
        assert time[one].max() < time[two].min()


# the order of rows as that of time


def test_folds_that_go_forward_say_that_rows_stand_in_order() -> None:
    time, splits = splits_of(TimeSeriesSplit(3))
    np.testing.assert_array_equal(time, ROWS)
    for (train, test), (given_train, given_test) in zip(splits, TimeSeriesSplit(3).split(X), strict=True):
        np.testing.assert_array_equal(train, given_train)
        np.testing.assert_array_equal(test, given_test)


@pytest.mark.parametrize("cv", [3, KFold(4), KFold(4, shuffle=True, random_state=0)])
def test_other_folds_do_not(cv: Any) -> None:
    assert splits_of(cv)[0] is None


def test_groups_and_folds_that_go_forward_are_an_error() -> None:
    """Inner splits could follow one of them only."""
    forward = [(ROWS[:10], ROWS[10:20]), (ROWS[:20], ROWS[20:])]
    with pytest.raises(ValueError, match="cv goes forward in the order of the rows, and groups are given"):
        splits_of(forward, groups=ROWS // 5)


def test_forward_folds_in_any_order_are_put_in_order() -> None:
    forward = list(TimeSeriesSplit(3).split(X))
    for shuffled in (forward[::-1], [forward[i] for i in (1, 0, 2)]):
        time, splits = splits_of(shuffled)
        assert_goes_forward(splits, time)
        oof = cross_fit([("ridge", Ridge())], X, X[:, 0], cv=shuffled)
        assert oof.is_ordered
        assert oof.fold.tolist() == [-1] * 10 + [0] * 10 + [1] * 10 + [2] * 10


def test_test_parts_that_mingle_are_no_order_of_time() -> None:
    """One training part, and two halves of the rest by chance."""
    cv = [(ROWS[:20], ROWS[20::2]), (ROWS[:20], ROWS[21::2])]
    time, splits = splits_of(cv)
    assert time is None
    np.testing.assert_array_equal(splits[1][1], ROWS[21::2])
    with pytest.raises(ValueError, match="test parts that overlap in time; with time, give an int or TimeSeriesSplit"):
        splits_of(cv, time=ROWS)


# times that are given


def test_a_splitter_sees_the_rows_in_the_order_of_time() -> None:
    _, in_order = splits_of(TimeSeriesSplit(3), time=ROWS)
    _, splits = splits_of(TimeSeriesSplit(3), time=SHUFFLED)
    for (train, test), (early, late) in zip(splits, in_order, strict=True):
        assert sorted(SHUFFLED[train]) == early.tolist()
        assert sorted(SHUFFLED[test]) == late.tolist()


@given(
    time=st.lists(st.integers(0, 12), min_size=N_ROWS, max_size=N_ROWS).filter(lambda t: len(set(t)) > 6),
    n_splits=st.integers(1, 5),
)
def test_no_time_is_on_both_sides_of_a_step(time: list[int], n_splits: int) -> None:
    _, splits = splits_of(n_splits, time=np.array(time))
    assert_goes_forward(splits, np.array(time))
    assert len(splits) == n_splits


def test_a_time_at_the_border_of_two_test_parts_is_tested_with_the_later() -> None:
    """What judges a fold is learned from the test parts before it: they must be earlier."""
    time = ROWS // 7
    _, splits = splits_of(TimeSeriesSplit(3), time=time)
    assert_goes_forward(splits, time)
    assert [sorted(set(time[test])) for _, test in splits] == [[1], [2, 3], [4, 5]]
    assert [time[train].max() for train, _ in splits] == [0, 1, 3]
    # and no row is lost
    np.testing.assert_array_equal(np.concatenate([test for _, test in splits]), ROWS[10:])


def test_two_test_parts_of_one_time_are_refused() -> None:
    time = np.where(ROWS < 10, 0, 1)
    with pytest.raises(ValueError, match="test parts that overlap in time"):
        splits_of(TimeSeriesSplit(3), time=time)


@pytest.mark.parametrize("cv", [KFold(3), StratifiedKFold(2), [(ROWS[20:], ROWS[:20]), (ROWS[:20], ROWS[20:])]])
def test_training_rows_later_than_those_tested_are_refused(cv: Any) -> None:
    rows = rows_with(time=ROWS)
    rows = TrainingRows(rows.X, ROWS % 2, rows.weight, None, ROWS, N_ROWS, ROWS)
    with pytest.raises(
        ValueError, match="cv trains on rows that are later than those it tests; with time, give an int"
    ):
        make_splits(cv, rows, classes=np.arange(2), seed=0)


def test_a_training_part_of_the_time_of_its_test_part_is_refused() -> None:
    with pytest.raises(ValueError, match="a training part without a row that is earlier than its test part"):
        splits_of([(ROWS[:10], ROWS[10:20]), (ROWS[:20], ROWS[20:])], time=np.where(ROWS < 20, 0, 1))


# groups


@pytest.mark.parametrize("cv", [KFold(4, shuffle=True, random_state=0), PredefinedSplit(ROWS % 3)])
def test_groups_that_are_torn_are_refused(cv: Any) -> None:
    with pytest.raises(ValueError, match=r"cv tears \d+ groups apart in fold 0; give an int or .* such as GroupKFold"):
        splits_of(cv, groups=ROWS // 5)


@pytest.mark.parametrize("cv", [4, GroupKFold(4), KFold(4), PredefinedSplit(ROWS // 10)])
def test_groups_that_are_whole_pass(cv: Any) -> None:
    groups = ROWS // 5
    for train, test in splits_of(cv, groups=groups)[1]:
        assert not set(groups[train]) & set(groups[test])


def test_groups_and_times_are_too_much() -> None:
    with pytest.raises(ValueError, match="give groups or time, not both"):
        cross_fit([("ridge", Ridge())], X, X[:, 0], cv=2, groups=ROWS // 5, time=ROWS)


# what is no cv


@pytest.mark.parametrize("cv", ["prefit", "5"])
def test_a_text_is_no_splitter(cv: str) -> None:
    """It has a method split."""
    with pytest.raises(ValueError, match=f"cv='{cv}' must be an int, a splitter or a list of"):
        splits_of(cv)
