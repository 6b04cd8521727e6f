"""Any table in, one frame out, and rows by position of whatever came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from hybridlearn.table import read_raw_table, read_table, take_rows

TWICE = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])


def test_a_frame_keeps_its_dtypes_and_is_remembered() -> None:
    X = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "c": ["a", None]})
    estimator = BaseEstimator()
    assert read_table(estimator, X, reset=True) is X
    assert estimator.n_features_in_ == 2
    assert estimator.feature_names_in_.tolist() == ["n", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        read_table(estimator, X[["c", "n"]], reset=False)


def test_an_array_becomes_a_frame_with_numbered_columns() -> None:
    estimator = BaseEstimator()
    frame = read_table(estimator, [[1.0, np.nan], [np.inf, 2.0]], reset=True)
    np.testing.assert_array_equal(frame, [[1.0, np.nan], [np.inf, 2.0]])
    assert frame.columns.to_list() == [0, 1]
    assert not hasattr(estimator, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 3 features"):
        read_table(estimator, np.zeros((2, 3)), reset=False)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        pytest.param(TWICE, ValueError, r"columns \['a'\] stand more than once", id="duplicate names"),
        pytest.param(pd.DataFrame({"z": [1j]}), ValueError, r"Complex data not supported.*'z'", id="complex frame"),
        pytest.param(np.array([[1j]]), ValueError, "Complex data not supported", id="complex array"),
        pytest.param(pd.DataFrame({"a": []}), ValueError, r"0 sample\(s\)", id="no rows"),
        pytest.param(pd.DataFrame(index=[0, 1]), ValueError, r"0 feature\(s\)", id="no columns"),
        pytest.param(np.zeros(3), ValueError, "Expected 2D array", id="one dimension"),
        pytest.param(sparse.eye(3, format="csr"), TypeError, r"needs a dense table: X.toarray\(\)", id="sparse"),
    ],
)
def test_what_is_no_table_is_named(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_table(BaseEstimator(), X, reset=True)


def test_duplicate_names_are_refused_at_the_raw_door_too() -> None:
    with pytest.raises(ValueError, match=r"columns \['a'\] stand more than once"):
        read_raw_table(TWICE)


def test_a_raw_table_is_numbers_where_it_can_be_and_typed_columns_where_not() -> None:
    numbers = read_raw_table(np.array([[1, None], [2, 3.5]], dtype=object))
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, [[1, np.nan], [2, 3.5]])
    mixed = read_raw_table(np.array([[1, "a"], [2, "b"]], dtype=object))
    assert mixed[0].dtype == np.int64
    assert mixed[1].to_list() == ["a", "b"]
    assert read_raw_table(sparse.eye(3, format="coo")).format == "csr"


def test_a_raw_table_takes_other_objects_only_when_told() -> None:
    X = np.array([[{}, 1], [{}, 2]], dtype=object)
    assert read_raw_table(X)[1].dtype == np.int64
    with pytest.raises(TypeError):
        read_raw_table(X, any_object=False)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda a: pd.DataFrame(a, index=[7, 7, 7, 7]), id="frame"),
        pytest.param(np.asarray, id="array"),
        pytest.param(sparse.csr_array, id="sparse"),
    ],
)
def test_rows_are_taken_by_position(wrap: Any) -> None:
    values = np.arange(8).reshape(4, 2)
    taken = take_rows(wrap(values), np.array([3, 0]))
    dense = taken.toarray() if sparse.issparse(taken) else np.asarray(taken)
    np.testing.assert_array_equal(dense, values[[3, 0]])
