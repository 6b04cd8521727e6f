"""Splits of rows: partitions that follow classes, groups or time, decided by the seed."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from hybridlearn._splits import folds, inner_split

Rows = tuple[np.ndarray | None, np.ndarray | None]
SEEDS = st.integers(0, 2**31 - 2)
FRACTIONS = st.sampled_from([0.01, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.95])
many = settings(max_examples=100)


def as_codes(values: Any) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


@st.composite
def classes(draw: st.DrawFn, min_size: int = 2) -> np.ndarray:
    """Class codes 0, 1, ... of at least two classes, one of at least two rows."""
    labels = draw(st.lists(st.integers(0, 4), min_size=max(min_size, 3), max_size=40))
    return as_codes([*labels, 5, 5])


@st.composite
def grouped(draw: st.DrawFn, min_groups: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Class codes (at least two classes), and group codes of at least `min_groups` groups."""
    rows = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=1, max_size=40))
    labels, groups = zip(*rows, *[(3, 9 + i) for i in range(min_groups)], strict=True)
    return as_codes(labels), as_codes(groups)


@st.composite
def timed(draw: st.DrawFn, min_times: int = 2) -> np.ndarray:
    """Times of rows in any order and with many ties, at least `min_times` of them distinct."""
    times = draw(st.lists(st.integers(0, 12), max_size=40))
    return np.array(draw(st.permutations([*times, *(20 + i for i in range(min_times))])))


def check_partition(parts: list[np.ndarray], n_rows: int) -> None:
    assert all(len(part) for part in parts)
    assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n_rows))


# -- the split of a fit's own early stopping


@given(st.integers(2, 60), FRACTIONS, SEEDS)
def test_rows_without_classes_are_split_by_the_fraction(n_rows: int, fraction: float, seed: int) -> None:
    train, valid = inner_split(None, None, n_rows=n_rows, fraction=fraction, seed=seed)
    check_partition([train, valid], n_rows)
    assert len(valid) == np.clip(round(fraction * n_rows), 1, n_rows - 1)
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()


@many
@given(classes(), FRACTIONS, SEEDS)
@example(as_codes([0, 0, 1, 1, 2, 2, 3]), 0.3, 5)  # fewer rows stop than there are classes
@example(as_codes([0, 0, 1, 1]), 0.95, 0)
def test_every_class_keeps_a_row_to_train(codes: np.ndarray, fraction: float, seed: int) -> None:
    train, valid = inner_split(codes, None, n_rows=len(codes), fraction=fraction, seed=seed)
    check_partition([train, valid], len(codes))
    assert set(codes[train]) == set(codes)


@many
@given(classes(), st.sampled_from([0.1, 0.15, 0.2, 0.3, 0.5]), SEEDS)
def test_the_rows_that_stop_are_stratified_within_one_row(codes: np.ndarray, fraction: float, seed: int) -> None:
    codes = np.concatenate([codes, codes])  # two rows a class or more
    n_valid = round(fraction * len(codes))
    _, valid = inner_split(codes, None, n_rows=len(codes), fraction=fraction, seed=seed)
    if n_valid >= codes.max() + 1:
        assert len(valid) == n_valid
        shares = np.bincount(codes) * len(valid) / len(codes)
        assert (np.abs(np.bincount(codes[valid], minlength=codes.max() + 1) - shares) < 1).all()


def test_a_class_of_one_row_trains() -> None:
    codes = np.array([0] * 10 + [1] * 10 + [2])
    for seed in range(20):
        train, _ = inner_split(codes, None, n_rows=21, fraction=0.3, seed=seed)
        assert 20 in train


@many
@given(grouped(), st.booleans(), FRACTIONS, SEEDS)
@example((as_codes([0, 0, 0, 1, 1]), as_codes([0, 0, 1, 2, 3])), True, 0.5, 0)  # a class of two rows
def test_groups_never_cross(data: Rows, stratified: bool, fraction: float, seed: int) -> None:
    codes, groups = data
    train, valid = inner_split(codes if stratified else None, groups, n_rows=len(groups), fraction=fraction, seed=seed)
    check_partition([train, valid], len(groups))
    assert not set(groups[train]) & set(groups[valid])


@pytest.mark.parametrize("codes", [None, np.arange(40) % 2], ids=["regression", "classification"])
def test_the_fraction_is_a_share_of_the_groups(codes: np.ndarray | None) -> None:
    groups = np.arange(40) // 2
    for fraction, expected in [(0.05, 1), (0.2, 4), (0.25, 5), (0.5, 10)]:
        _, valid = inner_split(codes, groups, n_rows=40, fraction=fraction, seed=0)
        assert len(set(groups[valid])) == expected


def test_a_rare_class_among_groups_is_no_reason_to_speak_of_splits_nobody_asked_for() -> None:
    """scikit-learn would warn of ``n_splits=7``, which is no parameter of any estimator here."""
    codes = np.array([0] * 18 + [1] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inner_split(codes, np.arange(20), n_rows=20, fraction=0.15, seed=0)


@given(st.one_of(st.just(None), classes()), SEEDS)
def test_the_seed_decides_the_split(codes: np.ndarray | None, seed: int) -> None:
    n_rows = 30 if codes is None else len(codes)
    once, again = (inner_split(codes, None, n_rows=n_rows, fraction=0.3, seed=seed) for _ in range(2))
    assert_array_equal(once[1], again[1])


@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("codes", [None, np.arange(60) % 2], ids=["regression", "classification"])
def test_another_seed_is_another_split(codes: np.ndarray | None, with_groups: bool) -> None:
    groups = np.arange(60) // 2 if with_groups else None
    splits = [inner_split(codes, groups, n_rows=60, fraction=0.3, seed=seed)[1] for seed in range(5)]
    assert not any(np.array_equal(one, other) for one, other in combinations(splits, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"codes": None, "groups": None, "n_rows": 1}, "needs 2 rows, got n_samples=1; set early_stopping", id="row"
        ),
        pytest.param(
            {"codes": np.arange(5), "groups": None, "n_rows": 5}, "a class of two rows; set early_stopping", id="rare"
        ),
        pytest.param(
            {"codes": None, "groups": np.zeros(5, int), "n_rows": 5},
            "groups cannot be split for early stopping: all rows are of one group; set early_stopping=False",
            id="one group",
        ),
        pytest.param(
            {"codes": None, "groups": None, "n_rows": 5, "time": np.full(5, 7)},
            "time cannot be split for early stopping: all rows are of one time; set early_stopping=False",
            id="one time",
        ),
    ],
)
def test_what_cannot_be_split_is_named_with_the_way_out(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inner_split(**arguments, fraction=0.2, seed=0)


@many
@given(timed(), FRACTIONS, SEEDS)
def test_the_latest_rows_stop_those_strictly_before_them(time: np.ndarray, fraction: float, seed: int) -> None:
    n_rows = len(time)
    train, valid = inner_split(np.arange(n_rows) % 2, None, n_rows=n_rows, fraction=fraction, seed=seed, time=time)
    check_partition([train, valid], n_rows)
    assert time[train].max() < time[valid].min()
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()
    # no other cut between two times is nearer to the fraction
    off = [abs(np.mean(time >= t) - fraction) for t in np.unique(time)[1:]]
    assert abs(len(valid) / n_rows - fraction) == pytest.approx(min(off))


def test_the_fraction_of_a_split_in_time_is_one_of_rows() -> None:
    time = np.repeat([5, 3, 4, 1, 2], [1, 30, 9, 30, 30])
    _, valid = inner_split(None, None, n_rows=100, fraction=0.1, seed=0, time=time)
    assert_array_equal(valid, np.flatnonzero(time >= 4))


# -- the folds of cross-fitting


@many
@given(classes(min_size=6), st.booleans(), st.integers(2, 6), SEEDS)
def test_folds_are_a_partition(codes: np.ndarray, stratified: bool, n_splits: int, seed: int) -> None:
    n_rows = len(codes)
    found = folds(codes if stratified else None, None, n_rows=n_rows, n_splits=n_splits, seed=seed)
    check_partition([test for _, test in found], n_rows)
    for train, test in found:
        check_partition([train, test], n_rows)
    sizes = [len(test) for _, test in found]
    assert max(sizes) - min(sizes) <= (codes.max() + 1 if stratified else 1)


@many
@given(classes(min_size=6), st.integers(2, 6), SEEDS)
def test_folds_are_stratified_within_one_row(codes: np.ndarray, n_splits: int, seed: int) -> None:
    found = folds(codes, None, n_rows=len(codes), n_splits=n_splits, seed=seed)
    counts = np.array([np.bincount(codes[test], minlength=codes.max() + 1) for _, test in found])
    assert len(found) == min(n_splits, max(2, np.bincount(codes).max()))
    assert (np.ptp(counts, axis=0) <= 1).all()


@many
@given(grouped(min_groups=6), st.booleans(), st.integers(2, 6), SEEDS)
def test_a_group_lies_in_one_fold(data: Rows, stratified: bool, n_splits: int, seed: int) -> None:
    codes, groups = data
    n_rows = len(groups)
    found = folds(codes if stratified else None, groups, n_rows=n_rows, n_splits=n_splits, seed=seed)
    check_partition([test for _, test in found], n_rows)
    for train, test in found:
        check_partition([train, test], n_rows)
        assert not set(groups[train]) & set(groups[test])


@many
@given(timed(min_times=7), st.booleans(), st.integers(1, 6), SEEDS)
def test_folds_in_time_test_the_block_after_all_that_train(
    time: np.ndarray, stratified: bool, n_splits: int, seed: int
) -> None:
    n_rows = len(time)
    codes = np.arange(n_rows) % 2 if stratified else None
    found = folds(codes, None, n_rows=n_rows, n_splits=n_splits, seed=seed, time=time)
    assert len(found) == n_splits
    check_partition([found[0][0], *(test for _, test in found)], n_rows)
    for i, (train, test) in enumerate(found):
        assert time[train].max() < time[test].min()
        assert_array_equal(train, np.sort(np.concatenate([found[0][0], *(test for _, test in found[:i])])))


@given(st.integers(12, 60), st.integers(1, 6), SEEDS)
def test_blocks_in_time_are_of_one_size_where_all_times_differ(n_rows: int, n_splits: int, seed: int) -> None:
    time = np.random.default_rng(seed).permutation(n_rows)
    found = folds(None, None, n_rows=n_rows, n_splits=n_splits, seed=seed, time=time)
    sizes = [len(found[0][0]), *(len(test) for _, test in found)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([50, 1, 1, 1], [50, 1, 1, 1]),
        ([1, 1, 1, 50], [1, 1, 1, 50]),
        ([1, 50, 1, 1, 1], [1, 50, 1, 2]),
        ([10, 2, 11, 9, 8], [10, 13, 9, 8]),
    ],
)
def test_ties_make_blocks_unequal_but_none_empty(counts: list[int], sizes: list[int]) -> None:
    time = np.repeat(np.arange(len(counts)), counts)
    found = folds(None, None, n_rows=len(time), n_splits=3, seed=0, time=time)
    assert [len(found[0][0]), *(len(test) for _, test in found)] == sizes


@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("codes", [None, np.arange(60) % 2], ids=["regression", "classification"])
def test_the_seed_decides_the_folds(codes: np.ndarray | None, with_groups: bool) -> None:
    groups = np.arange(60) // 2 if with_groups else None
    tests = [[t for _, t in folds(codes, groups, n_rows=60, n_splits=3, seed=seed)] for seed in (0, 0, 1, 2)]
    fold_of = [[{row: k for k, test in enumerate(found) for row in test}[row] for row in range(60)] for found in tests]
    assert fold_of[0] == fold_of[1]
    assert not any(one == other for one, other in combinations(fold_of[1:], 2))


def test_rare_classes_pass_in_silence_and_lower_the_folds_only_when_all_are_rare() -> None:
    assert len(folds(np.array([0] * 8 + [1] * 2), None, n_rows=10, n_splits=5, seed=0)) == 5
    assert len(folds(np.array([0, 0, 0, 1, 1, 1]), None, n_rows=6, n_splits=5, seed=0)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"codes": None, "groups": np.arange(6) // 2, "n_rows": 6},
            "groups cannot be split: 3 distinct for cv=5 folds",
        ),
        ({"codes": np.arange(6) % 2, "groups": np.zeros(6, int), "n_rows": 6}, "1 distinct for cv=5 folds; lower cv"),
        ({"codes": None, "groups": None, "n_rows": 4}, "cv=5 folds need as many rows, got n_samples = 4; lower cv"),
        (
            {"codes": None, "groups": None, "n_rows": 10, "time": np.arange(10) // 2},
            "time cannot be split: 5 distinct for the 6 blocks of cv=5 folds; lower cv, or give finer times",
        ),
    ],
    ids=["few groups", "one group", "few rows", "few times"],
)
def test_folds_that_cannot_be_made_name_what_is_short(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folds(**arguments, n_splits=5, seed=0)
