"""Rows of the same values have the same fingerprint, whatever holds them; others have others."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from hybridlearn.table import row_hashes
from hybridlearn.table._fingerprint import _NUMBERS_AT_ONCE

DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 250)
NOTHING = [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN"), float("-nan")]
FLOATS = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(width=64))
INTS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=6))
TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=6)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.dates(),
)


def hashes(X: Any, target: Any = None) -> list[int]:
    got = row_hashes(X, np.zeros(X.shape[0]) if target is None else target)
    assert got.dtype == np.uint64
    assert got.shape == (X.shape[0],)
    return got.tolist()


def of_column(values: Any, dtype: Any = None) -> list[int]:
    return hashes(pd.DataFrame({"c": pd.Series(values, dtype=dtype)}))


def key(value: Any) -> Any:
    """What makes two values one, in other words."""
    if value is None or value != value:
        return "nothing"
    if isinstance(value, bool | int | float):
        return "number", value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return type(value), value


# -- the same


@given(FLOATS)
def test_a_table_of_floats_is_the_same_in_every_container(X: np.ndarray) -> None:
    expected = hashes(X)
    assert hashes(pd.DataFrame(X)) == expected
    assert hashes(pd.DataFrame(X, index=np.arange(len(X))[::-1]).add_prefix("name")) == expected
    assert hashes(np.asfortranarray(X)) == expected
    assert hashes(X[:, None, :]) == expected
    assert hashes(np.repeat(X, 2, axis=0)[::2]) == expected
    assert hashes(X.astype(object)) == expected
    assert hashes(pd.DataFrame(X).astype("Float64")) == expected
    assert hashes(pd.DataFrame(X).astype(pd.ArrowDtype(pa.float64()))) == expected
    assert hashes(pd.DataFrame(X).astype("category")) == expected
    for kind in (sparse.csr_matrix, sparse.csc_array, sparse.coo_array):
        assert hashes(kind(X)) == expected
    assert hashes(X, X) == row_hashes(pd.DataFrame(X), pd.DataFrame(X)).tolist() == hashes(X.astype(object), X.tolist())


@given(INTS)
def test_integers_are_the_same_in_every_dtype_that_holds_them(X: np.ndarray) -> None:
    expected = hashes(X)
    frame = pd.DataFrame(X)
    for same in (frame, frame.astype("Int64"), X.astype(object), frame.astype("category"), sparse.csr_array(X)):
        assert hashes(same) == expected
    small = X % 2**20
    for dtype in (np.int32, np.uint64, np.float32, np.float64, "Int32", "Float64", pd.ArrowDtype(pa.int64())):
        assert hashes(pd.DataFrame(small).astype(dtype)) == hashes(small)


@given(TEXTS)
def test_texts_are_the_same_in_every_dtype(texts: list[str | None]) -> None:
    expected = of_column(texts, object)
    for dtype in ("str", "string", "string[pyarrow]", "category", pd.ArrowDtype(pa.string())):
        assert of_column(texts, dtype) == expected
    more_levels = pd.Series(texts, dtype="category").cat.add_categories("a text that is not there")
    assert of_column(more_levels) == expected
    assert hashes(np.array([[text] for text in texts], dtype=object)) == expected


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_mixed_values_are_the_same_where_they_are_and_only_there(values: list[Any]) -> None:
    got = of_column(values, object)
    keys = list(map(key, values))
    assert len(set(got)) == len(set(keys)) == len(set(zip(keys, got, strict=True)))
    for value, own in zip(values, got, strict=True):
        assert of_column([value], object) == [own], "the rows beside a row do not matter"


@given(st.lists(st.datetimes(timezones=st.timezones() | st.none()), min_size=1, max_size=5))
def test_moments_are_their_instants(moments: list[dt.datetime]) -> None:
    in_utc = [pd.Timestamp(m).tz_localize("UTC") if m.tzinfo is None else m.astimezone(dt.UTC) for m in moments]
    expected = of_column(moments, object)
    assert of_column(in_utc, object) == expected
    assert of_column(pd.DatetimeIndex(in_utc)) == expected
    assert of_column(pd.DatetimeIndex(in_utc).tz_convert("Asia/Tokyo")) == expected
    assert of_column(pd.DatetimeIndex(in_utc).tz_localize(None)) == expected


TIMES = {
    "moment": [NOON, [object, "datetime64[us]", "datetime64[ns]", pd.ArrowDtype(pa.timestamp("us")), "category"]],
    "zoned": [NOON, [object, "datetime64[us, UTC]", pd.ArrowDtype(pa.timestamp("ns", tz="UTC"))]],
    "day": [DAY, [object, "datetime64[s]", "datetime64[ns]", pd.ArrowDtype(pa.date32()), "period[D]"]],
    "span": [dt.timedelta(1, 5), [object, "timedelta64[s]", "timedelta64[ns]", pd.ArrowDtype(pa.duration("us"))]],
}


@pytest.mark.parametrize("name", TIMES)
def test_times_are_the_same_in_every_dtype(name: str) -> None:
    value, dtypes = TIMES[name]
    got = [of_column(pd.Series([value, None], dtype=object).astype(dtype)) for dtype in dtypes]
    assert got == [got[0]] * len(dtypes)


def test_arrays_of_numpys_times_too() -> None:
    days = np.array([["2024-02-29"], ["NaT"]], dtype="M8[D]")
    assert (
        hashes(days) == of_column([DAY, None], object) == hashes(days.astype("M8[ns]")) == hashes(days.astype(object))
    )


def test_nothing_is_nothing_in_every_dtype() -> None:
    (expected,) = set(hashes(np.array([[nothing] for nothing in NOTHING], dtype=object)))
    typed = [
        "float64",
        "Int64",
        "boolean",
        "str",
        "string",
        "category",
        "datetime64[ns]",
        "timedelta64[s]",
        "period[D]",
    ]
    for dtype in [*typed, "datetime64[ns, UTC]", pd.ArrowDtype(pa.int8()), pd.ArrowDtype(pa.string())]:
        assert of_column([None], dtype) == [expected]
    assert hashes(sparse.csr_array(np.array([[np.nan]]))) == [expected]


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ([True, False, None], [1, 0, None]),
        ([True, False, None], pd.Series([True, False, None], dtype="boolean")),
        ([0.0, -0.0], [0, 0]),
        ([Decimal("1.5"), Decimal(2)], [1.5, 2.0]),
        ([Decimal("1.5"), None], pd.Series([Decimal("1.5"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2)))),
        ([2**53 + 1, None], pd.Series([2**53 + 1, None], dtype="Int64")),
        ([2**64 - 1], np.array([2**64 - 1], dtype=np.uint64)),
        ([2.0**60, -(2.0**63)], [2**60, -(2**63)]),
        ([0.0, 3.0], pd.Series(pd.arrays.SparseArray([0, 3]))),
        ([np.str_("a"), np.float32(0.5), np.int8(1)], ["a", 0.5, 1]),
        ([(1, 2), [1]], ["(1, 2)", "[1]"]),
        ([10**400, 1], [str(10**400), 1]),
    ],
    ids=str,
)
def test_the_same_values(values: Any, same: Any) -> None:
    assert of_column(values, object) == of_column(same) == of_column(pd.Series(same).astype(object))


def test_half_a_surrogate_pair_is_text_too() -> None:
    got = of_column(["\ud800", "\ud801"], object)
    assert len(set(got)) == 2


# -- not the same


def changed(X: np.ndarray, i: int, j: int, value: Any) -> np.ndarray:
    X = X.copy()
    X[i, j] = value
    return X


@given(FLOATS, st.data())
def test_a_value_that_changes_changes_its_row_alone(X: np.ndarray, data: st.DataObject) -> None:
    i, j = (data.draw(st.integers(0, n - 1)) for n in X.shape)
    value = data.draw(st.floats().filter(lambda v: v != X[i, j] and not (np.isnan(v) and np.isnan(X[i, j]))))
    before, after = hashes(X), hashes(changed(X, i, j, value))
    assert [k for k in range(len(X)) if before[k] != after[k]] == [i]
    in_target = hashes(X, X), hashes(X, changed(X, i, j, value))
    assert [k for k in range(len(X)) if in_target[0][k] != in_target[1][k]] == [i]


def test_values_have_their_places_and_kinds() -> None:
    rows = [[1, 2, 0], [2, 1, 0], [1, 0, 2], ["1", 2, 0], [None, 2, 0], ["nan", 2, 0], ["", 2, 0], ["None", 2, 0]]
    rows += [[dt.datetime(1970, 1, 1), 2, 0], [0, 2, 0], [dt.datetime(1970, 1, 1, 0, 0, 1), 2, 0], [1e-300, 2, 0]]
    rows += [[2**53, 2, 0], [2**53 + 1, 2, 0], [np.inf, 2, 0], [-np.inf, 2, 0], [1e300, 2, 0]]
    assert len(set(hashes(np.array(rows, dtype=object)))) == len(rows)
    X = np.array([[1.0, 2.0]])
    assert len({*hashes(X, [0]), *hashes(X, [1]), *hashes(X[:, :1], [2]), *hashes(X, [[0, 0]]), *hashes(X, ["0"])}) == 5


def test_a_million_pairs_of_neighbouring_rows_differ() -> None:
    grid = np.stack(np.meshgrid(np.arange(1000), np.arange(1000)), axis=-1).reshape(-1, 2)
    assert len(np.unique(row_hashes(grid, np.zeros(len(grid))))) == len(grid)


# -- shapes


@pytest.mark.parametrize("target", [[0, 1, 0], ["no", "yes", "no"], [[0, 1], [1, 1], [0, 1]]], ids=str)
@pytest.mark.parametrize("container", [list, np.array, pd.DataFrame], ids=lambda c: c.__name__)
def test_targets_are_labels_or_numbers_of_one_or_more_outputs(target: list, container: Callable[[Any], Any]) -> None:
    X = np.ones((3, 2))
    got = hashes(X, container(target))
    assert got == hashes(X, np.array(target, dtype=object))
    assert got[0] == got[2] != got[1]


def test_no_rows_no_columns_and_more_rows_than_are_read_at_once() -> None:
    for X in (np.empty((0, 3)), np.empty((0, 2, 2)), pd.DataFrame({"a": []}), sparse.csr_array((0, 3))):
        assert hashes(X) == []
    assert len(set(hashes(np.empty((5, 0)), np.arange(5)))) == 5
    X = np.random.default_rng(0).normal(size=(_NUMBERS_AT_ONCE // 2, 3))
    assert hashes(X) == hashes(X[: len(X) // 2]) + hashes(X[len(X) // 2 :]) == hashes(pd.DataFrame(X))


def test_a_sparse_matrix_may_hold_a_place_twice_and_stays_as_it_is() -> None:
    twice = sparse.csr_array((np.array([1.0, 2.0, 0.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    assert hashes(twice) == hashes(np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]))
    assert twice.data.tolist() == [1, 2, 0]


def test_another_process_says_the_same() -> None:
    """Python's own hash of a text would not."""
    code = "import numpy as np; from hybridlearn.table import row_hashes\n"
    code += "print(*row_hashes(np.array([['a', 1.5], [None, 2]], dtype=object), ['x', 'y']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = row_hashes(np.array([["a", 1.5], [None, 2]], dtype=object), ["x", "y"])
    assert [int(own) for own in done.stdout.split()] == here.tolist()
