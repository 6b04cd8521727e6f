"""Edges of bins: where they may be, what they hold, and that those of the target find where it changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hybridlearn.table import quantile_edges, target_edges

columns = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40).map(np.array)
tied_columns = st.lists(st.integers(-4, 4), min_size=1, max_size=40).map(lambda v: np.array(v, dtype=float))


def assert_edges_of(column: np.ndarray, edges: np.ndarray, n_bins: int) -> None:
    assert edges.dtype == np.float64
    assert edges.ndim == 1
    assert (np.diff(edges) > 0).all()
    assert edges[0] == column.min()
    assert edges[-1] == column.max()
    assert len(edges) <= n_bins + 1
    assert (len(edges) == 1) == (column.min() == column.max())


def target_of(column: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(column))


# -- quantiles


@given(column=columns | tied_columns, n_bins=st.integers(1, 12))
def test_quantile_edges_increase_from_the_least_value_to_the_largest(column: np.ndarray, n_bins: int) -> None:
    assert_edges_of(column, quantile_edges(column, n_bins=n_bins), n_bins)


@given(n_bins=st.integers(1, 12), size=st.integers(2, 20), seed=st.integers(0, 100))
def test_bins_between_quantiles_hold_as_many_values_each(n_bins: int, size: int, seed: int) -> None:
    column = np.random.default_rng(seed).normal(size=n_bins * size)
    counts = np.histogram(column, quantile_edges(column, n_bins=n_bins))[0]
    assert len(counts) == n_bins
    assert_allclose(counts, size, atol=1)


def test_quantile_edges_by_hand() -> None:
    assert_array_equal(quantile_edges(np.arange(9.0)[::-1], n_bins=4), [0, 2, 4, 6, 8])
    assert_array_equal(quantile_edges(np.array([1.0, 2.0]), n_bins=4), [1, 1.25, 1.5, 1.75, 2])


def test_equal_quantiles_count_once() -> None:
    mostly_zero = np.array([0.0] * 90 + list(range(1, 11)))
    assert_allclose(quantile_edges(mostly_zero, n_bins=20), [0, 0.1, 5.05, 10])  # at 0, 90, 95 and 100 %


# -- splits of a tree on the target


@given(column=columns | tied_columns, n_bins=st.integers(1, 12), seed=st.integers(0, 100))
def test_target_edges_increase_from_the_least_value_to_the_largest(column: np.ndarray, n_bins: int, seed: int) -> None:
    assert_edges_of(column, target_edges(column, target_of(column, seed), n_bins=n_bins), n_bins)


@given(column=tied_columns, n_bins=st.integers(1, 12), seed=st.integers(0, 100))
def test_several_outputs_give_edges_too(column: np.ndarray, n_bins: int, seed: int) -> None:
    target = np.column_stack([target_of(column, seed), column > 0])
    assert_edges_of(column, target_edges(column, target, n_bins=n_bins), n_bins)


@given(jump=st.integers(10, 89), seed=st.integers(0, 100), n_bins=st.integers(2, 5))
def test_a_planted_jump_is_found(jump: int, seed: int, n_bins: int) -> None:
    column = np.random.default_rng(seed).permutation(100).astype(float)
    noise = np.random.default_rng(seed + 1).normal(size=100) * 0.01
    edges = target_edges(column, (column > jump) + noise, n_bins=n_bins)
    assert jump + 0.5 in edges
    if n_bins == 2:
        assert_array_equal(edges, [0, jump + 0.5, 99])


def test_the_largest_jumps_come_first() -> None:
    column = np.arange(300.0)
    target = 10.0 * (column > 50) + 5.0 * (column > 150) + 1.0 * (column > 250)
    assert_array_equal(target_edges(column, target, n_bins=3), [0, 50.5, 150.5, 299])
    assert_array_equal(target_edges(column, target, n_bins=4), [0, 50.5, 150.5, 250.5, 299])
    assert_array_equal(target_edges(column, target, n_bins=9), [0, 50.5, 150.5, 250.5, 299])


def test_jumps_of_every_output_are_found() -> None:
    column = np.arange(200.0)
    target = np.column_stack([column > 60, column > 140]).astype(float)
    assert_array_equal(target_edges(column, target, n_bins=3), [0, 60.5, 140.5, 199])
    assert_array_equal(target_edges(column, target[:, 0], n_bins=3), [0, 60.5, 199])


@pytest.mark.parametrize("target", [np.ones(50), np.zeros((50, 3))])
def test_a_target_that_never_changes_leaves_one_bin(target: np.ndarray) -> None:
    assert_array_equal(target_edges(np.arange(50.0), target, n_bins=5), [0, 49])


@pytest.mark.parametrize("n_bins", [1, 2, 7])
def test_a_constant_column_gives_one_value(n_bins: int) -> None:
    column = np.full(30, 2.5)
    assert_array_equal(target_edges(column, np.arange(30.0), n_bins=n_bins), [2.5])
    assert_array_equal(quantile_edges(column, n_bins=n_bins), [2.5])


def test_one_bin_reaches_from_end_to_end() -> None:
    column = np.arange(30.0)
    assert_array_equal(target_edges(column, column > 10, n_bins=1), [0, 29])
    assert_array_equal(quantile_edges(column, n_bins=1), [0, 29])


@pytest.mark.parametrize(("n_rows", "least"), [(5, 1), (200, 20), (640, 64), (2000, 64)])
def test_a_bin_holds_64_rows_or_a_tenth_of_them(n_rows: int, least: int) -> None:
    column = np.arange(float(n_rows))
    for seed in range(5):
        edges = target_edges(column, np.random.default_rng(seed).normal(size=n_rows), n_bins=n_rows)
        counts = np.histogram(column, edges)[0]
        assert counts.min() >= least
        assert counts.max() < 3 * least, "and as many are made as can be"


@given(seed=st.integers(0, 100))
def test_edges_do_not_depend_on_the_order_of_the_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    column, target = rng.normal(size=60), rng.integers(0, 2, 60).astype(float)
    order = rng.permutation(60)
    assert_array_equal(target_edges(column, target, n_bins=4), target_edges(column[order], target[order], n_bins=4))
    assert_array_equal(quantile_edges(column, n_bins=4), quantile_edges(column[order], n_bins=4))


# -- weights


rows = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 3), st.integers(1, 2)),  # value, target, weight
    min_size=2,
    max_size=9,
    unique_by=lambda row: row[0],
)


@given(rows=rows, n_bins=st.integers(2, 6))
def test_a_row_of_weight_two_is_that_row_twice(rows: list[tuple[int, int, int]], n_bins: int) -> None:
    """At most 18 rows in all: a bin may hold a single one."""
    column, target, weight = np.array(rows, dtype=float).T
    twice = weight.astype(int)
    weighted = target_edges(column, target, n_bins=n_bins, weight=weight)
    repeated = target_edges(column.repeat(twice), target.repeat(twice), n_bins=n_bins)
    assert_array_equal(weighted, repeated)


def test_weights_of_one_are_no_weights_and_only_their_ratios_count() -> None:
    rng = np.random.default_rng(0)
    column, target, weight = rng.normal(size=200), rng.normal(size=200), rng.integers(1, 5, 200).astype(float)
    plain = target_edges(column, target, n_bins=5)
    assert_array_equal(target_edges(column, target, n_bins=5, weight=np.ones(200)), plain)
    weighted = target_edges(column, target, n_bins=5, weight=weight)
    assert_array_equal(target_edges(column, target, n_bins=5, weight=weight * 4), weighted)
    assert not np.array_equal(weighted, plain)


def test_the_jump_among_heavy_rows_is_the_one_found() -> None:
    column = np.arange(200.0)
    target = 1.0 * (column > 60) - 1.0 * (column > 140)
    for heavy, edge in itertools.product([column < 100, column >= 100], [60.5, 140.5]):
        is_heavy_side = (edge < 100) == bool(heavy[0])
        weight = np.where(heavy, 100.0, 1.0)
        assert (edge in target_edges(column, target, n_bins=2, weight=weight)) == is_heavy_side
