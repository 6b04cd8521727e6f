"""Targets, weights, groups and times: whatever comes in, plain validated arrays go out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.estimator_checks import _NotAnArray

from hybridlearn._target import (
    encode_classes,
    find_classes,
    plain_target,
    read_groups,
    read_time,
    read_weights,
    to_numbers,
)

X = np.zeros((3, 1))
NOBODY = BaseEstimator()


def plain(y: Any, X: Any = X) -> np.ndarray:
    return plain_target(NOBODY, X, y)


INTEGERS = {
    "list": [3, 1, 3],
    "tuple": (3, 1, 3),
    "int8": np.array([3, 1, 3], dtype="int8"),
    "object": np.array([3, 1, 3], dtype=object),
    "Series": pd.Series([3, 1, 3], index=[5, 5, 5]),
    "Int64": pd.Series([3, 1, 3], dtype="Int64"),
    "extension array": pd.array([3, 1, 3], dtype="UInt8"),
    "arrow": pd.Series([3, 1, 3], dtype=pd.ArrowDtype(pa.int32())),
    "category": pd.Series([3, 1, 3], dtype="category"),
    "Categorical": pd.Categorical([3, 1, 3]),
}
FLOATS = {
    "list": [0.5, 1, -2],
    "float32": np.array([0.5, 1, -2], dtype="float32"),
    "object": np.array([0.5, 1, -2], dtype=object),
    "Float64": pd.Series([0.5, 1, -2], dtype="Float64"),
    "arrow": pd.Series([0.5, 1, -2], dtype=pd.ArrowDtype(pa.float64())),
}
BOOLEANS = {
    "list": [True, False, True],
    "bool": np.array([True, False, True]),
    "boolean": pd.Series([True, False, True], dtype="boolean"),
    "arrow": pd.Series([True, False, True], dtype=pd.ArrowDtype(pa.bool_())),
    "object": np.array([True, False, True], dtype=object),
}
STRINGS = {
    "list": ["b", "a", "b"],
    "numpy": np.array(["b", "a", "b"]),
    "object": np.array(["b", "a", "b"], dtype=object),
    "str": pd.Series(["b", "a", "b"]),
    "string": pd.Series(["b", "a", "b"], dtype="string"),
    "arrow": pd.Series(["b", "a", "b"], dtype=pd.ArrowDtype(pa.string())),
    "category": pd.Series(["b", "a", "b"], dtype="category"),
}
PLAIN = [
    *[pytest.param(y, [3, 1, 3], "iu", id=f"integers: {name}") for name, y in INTEGERS.items()],
    *[pytest.param(y, [0.5, 1, -2], "f", id=f"floats: {name}") for name, y in FLOATS.items()],
    *[pytest.param(y, [True, False, True], "b", id=f"booleans: {name}") for name, y in BOOLEANS.items()],
    *[pytest.param(y, ["b", "a", "b"], "OU", id=f"strings: {name}") for name, y in STRINGS.items()],
]


@pytest.mark.parametrize(("y", "expected", "kinds"), PLAIN)
def test_a_target_becomes_a_plain_array(y: Any, expected: list, kinds: str) -> None:
    array = plain(y)
    assert type(array) is np.ndarray
    assert array.dtype.kind in kinds
    assert array.tolist() == expected


@pytest.mark.parametrize("y", [np.array([[1], [2], [3]]), pd.DataFrame({"y": [1, 2, 3]})], ids=["array", "frame"])
def test_a_column_vector_is_taken_with_a_warning(y: Any) -> None:
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert plain(y).tolist() == [1, 2, 3]


MISSING = {
    "list of numbers and nan": [1.0, np.nan, 2],
    "list of numbers and None": [1.0, None, 2],
    "list with NA": [1, pd.NA, 2],
    "list of strings and None": ["a", None, "b"],
    "list of strings and nan": ["a", np.nan, "b"],
    "float": np.array([1.0, np.nan, 2]),
    "object": np.array(["a", np.nan, "b"], dtype=object),
    "str": pd.Series(["a", None, "b"]),
    "string": pd.Series(["a", None, "b"], dtype="string"),
    "Int64": pd.Series([1, None, 2], dtype="Int64"),
    "Float64": pd.Series([1.5, None, 2], dtype="Float64"),
    "Float64 of 0 / 0": pd.Series([1.0, 0, 2], dtype="Float64") / pd.Series([1.0, 0, 2], dtype="Float64"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "category": pd.Series(["a", None, "b"], dtype="category"),
    "arrow": pd.Series([1, None, 2], dtype=pd.ArrowDtype(pa.int64())),
    "datetime": pd.Series(pd.to_datetime(["2024-01-01", None, "2024-01-02"])),
}


@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING)
def test_a_missing_target_is_an_error_that_counts(y: Any) -> None:
    with pytest.raises(ValueError, match="Input y contains NaN: 1 rows have no target; drop them"):
        plain(y)


@pytest.mark.parametrize("dtype", ["float64", "float32", object, "Float64"])
def test_an_infinite_target_is_an_error(dtype: Any) -> None:
    with pytest.raises(ValueError, match="Input y contains infinity"):
        plain(pd.Series([1.0, np.inf, 2.0], dtype=dtype))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        pytest.param(None, "BaseEstimator requires y to be passed, but the target y is None", id="none"),
        pytest.param([1, 2], r"inconsistent numbers of samples: \[3, 2\]", id="too short"),
        pytest.param(np.zeros((3, 2)), "y should be a 1d array", id="two columns"),
        pytest.param([1j, 2j, 3j], "Complex data not supported", id="complex"),
    ],
)
def test_what_is_no_target_is_named(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain(y)


LEAKS = {
    "numbers": pd.Series([1.5, 2, 3], name="t"),
    "Int64": pd.Series([1, 2, 3], dtype="Int64", name="t"),
    "str": pd.Series(["a", "b", "c"], name="t"),
    "category": pd.Series(["a", "b", "c"], dtype="category", name="t"),
}


@pytest.mark.parametrize("y", LEAKS.values(), ids=LEAKS)
def test_a_target_among_the_columns_is_an_error_that_says_how_to_drop_it(y: pd.Series) -> None:
    table = pd.DataFrame({"n": [1, 2, 3], "t": y})
    with pytest.raises(ValueError, match=r"column 't' of X is the target itself; drop it: X.drop\(columns='t'\)"):
        plain(y, table)
    with pytest.raises(ValueError, match="is the target itself"):
        plain(y, table.astype({"t": object}))


def test_a_target_with_the_name_of_another_column_is_none_of_the_columns() -> None:
    y = pd.Series([1, 2, 3], name="t")
    for column in ([1, 2, 4], ["1", "2", "3"], pd.to_datetime(["2024-01-01"] * 3), [None, None, None]):
        assert plain(y, pd.DataFrame({"t": column})).tolist() == [1, 2, 3]
    assert plain(y.rename("u"), pd.DataFrame({"t": y})).tolist() == [1, 2, 3]
    assert plain(y, np.array([[1], [2], [3]])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "string", "str", "category", "float64", object])
def test_a_target_made_of_a_column_with_gaps_keeps_its_name_and_is_no_leak(dtype: Any) -> None:
    """As ``y = X["t"].fillna(...)`` does."""
    for gap in range(3):
        values = [1, 0, 1] if dtype != "string" else ["1", "0", "1"]
        full = pd.Series(values, dtype=dtype, name="t")
        with_gap = full.where(np.arange(3) != gap)
        table = pd.DataFrame({"t": with_gap})
        assert len(plain(full, table)) == 3
        with pytest.raises(ValueError, match="1 rows have no target"):
            plain(with_gap, table)
        with pytest.raises(ValueError, match="1 rows have no target"):
            plain(with_gap, pd.DataFrame({"t": full}))


@pytest.mark.parametrize(
    ("y", "classes", "codes"),
    [
        pytest.param(np.array([5, 2, 5]), [2, 5], [1, 0, 1], id="ints with a gap"),
        pytest.param(np.array(["b", "a", "c"], dtype=object), ["a", "b", "c"], [1, 0, 2], id="strings"),
        pytest.param(np.array([True, False, True]), [False, True], [1, 0, 1], id="booleans"),
        pytest.param(np.array([1.0, -1.0, 1.0]), [-1, 1], [1, 0, 1], id="whole floats"),
    ],
)
def test_classes_are_sorted_and_of_their_own_type(y: np.ndarray, classes: list, codes: list[int]) -> None:
    found = find_classes(NOBODY, y)
    encoded = encode_classes(found, y)
    assert found.dtype == y.dtype
    assert found.tolist() == classes
    assert encoded.dtype == np.int64
    assert encoded.tolist() == codes


def test_one_class_is_an_error_that_shows_it() -> None:
    with pytest.raises(ValueError, match=r"y holds one class only \('yes'\); BaseEstimator needs at least 2 classes"):
        find_classes(NOBODY, np.array(["yes", "yes"], dtype=object))


def test_a_continuous_target_has_no_classes() -> None:
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        find_classes(NOBODY, np.array([0.5, 1.5, 2.5]))


@pytest.mark.parametrize(
    ("classes", "y"),
    [([2, 5], [5, 7, 2]), (["a", "b"], ["c", "a"]), ([False, True], [2, 1]), ([0.0, 1.0], [0.5])],
    ids=str,
)
def test_a_label_that_is_not_among_the_classes_is_named(classes: list, y: list) -> None:
    with pytest.raises(ValueError, match=r"y holds labels \[.*\] that are not among the classes \["):
        encode_classes(np.array(classes), np.array(y))


def test_codes_are_places_among_classes_of_which_some_are_not_there() -> None:
    assert encode_classes(np.array(["a", "b", "c"]), np.array(["c", "a", "c"])).tolist() == [2, 0, 2]
    assert encode_classes(np.array([1, 2, 3]), np.array([2])).tolist() == [1]


class ManyOutputs(BaseEstimator):
    _takes_several_outputs = True


@pytest.mark.parametrize(
    "y",
    [
        np.array([[1.5, 0], [2, 1], [3, 0]]),
        [[1.5, 0], [2, 1], [3, 0]],
        pd.DataFrame({"a": [1.5, 2, 3], "b": [0, 1, 0]}),
        pd.DataFrame({"a": [1.5, 2, 3], "b": [0, 1, 0]}).astype({"a": "Float64", "b": "Int64"}),
        pd.DataFrame({"a": [1.5, 2, 3], "b": [False, True, False]}),
    ],
    ids=["array", "lists", "frame", "nullable", "mixed"],
)
def test_several_outputs_become_a_plain_array_where_the_estimator_takes_them(y: Any) -> None:
    outputs = plain_target(ManyOutputs(), X, y)
    assert type(outputs) is np.ndarray
    assert outputs.dtype.kind == "f"
    assert outputs.tolist() == [[1.5, 0], [2, 1], [3, 0]]
    with pytest.raises(ValueError, match="y should be a 1d array"):
        plain_target(NOBODY, X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        pytest.param([[1, np.nan], [2, 1], [3, 0]], "Input y contains NaN", id="missing"),
        pytest.param(pd.DataFrame({"a": [1, None, 3], "b": 0}), "1 rows have no target", id="missing in a frame"),
        pytest.param(pd.DataFrame({"a": [1, pd.NA, 3], "b": 0}, dtype="Int64"), "1 rows have no target", id="NA"),
        pytest.param([[1, np.inf], [2, 1], [3, 0]], "Input y contains infinity", id="infinite"),
        pytest.param([[1, 0], [2, 1]], r"inconsistent numbers of samples: \[3, 2\]", id="too short"),
        pytest.param(np.array([["a", "b"]] * 3, dtype=object), "could not convert string", id="text"),
    ],
)
def test_several_outputs_that_are_no_target_are_named(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_target(ManyOutputs(), X, y)


def test_one_of_several_outputs_among_the_columns_is_an_error() -> None:
    y = pd.DataFrame({"a": [1.5, 2, 3], "t": [0, 1, 0]})
    for column in ([0, 1, 0], pd.array([0, 1, 0], dtype="Int64"), [0.0, 1.0, 0.0]):
        with pytest.raises(ValueError, match=r"column 't' of X is the target itself; drop it: X.drop\(columns='t'\)"):
            plain_target(ManyOutputs(), pd.DataFrame({"t": column}), y)
    assert plain_target(ManyOutputs(), pd.DataFrame({"t": [1, 1, 0]}), y).shape == (3, 2)


def test_one_column_is_one_output_also_where_several_are_taken() -> None:
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert plain_target(ManyOutputs(), X, [[1], [2], [3]]).tolist() == [1, 2, 3]


@pytest.mark.parametrize("data", ["list", "not an array"])
def test_a_target_need_not_know_the_functions_of_numpy(data: str) -> None:
    y = [1, 2, 3] if data == "list" else _NotAnArray(np.array([1, 2, 3]))
    assert plain_target(ManyOutputs(), X, y).tolist() == [1, 2, 3]


def test_numbers_of_a_regression_are_float64() -> None:
    for y in ([1, 2], [True, False], np.array([1.5, 2], dtype="float32")):
        numbers = to_numbers(np.asarray(y))
        assert numbers.dtype == np.float64
        assert_array_equal(numbers, np.asarray(y))
    with pytest.raises(ValueError, match=r"y must hold numbers for a regression.*could not convert"):
        to_numbers(np.array(["a", "b"], dtype=object))


def test_weights_are_float64_and_ones_by_default() -> None:
    for weight, expected in [
        (None, [1, 1, 1]),
        ([1, 0, 2], [1, 0, 2]),
        (pd.Series([1, 2, 3], dtype="Int64"), [1, 2, 3]),
    ]:
        read = read_weights(weight, X)
        assert read.dtype == np.float64
        assert read.tolist() == expected


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1, 1], "Negative values in data passed to `sample_weight`"),
        ([1, np.nan, 1], "Input sample_weight contains NaN"),
        ([1, None, 1], "Input sample_weight contains NaN"),
        ([1, np.inf, 1], "Input sample_weight contains infinity"),
        ([0, 0, 0], "Sample weights must contain at least one non-zero number"),
        ([1, 1], r"sample_weight.shape == \(2,\), expected \(3,\)"),
        ([[1], [1], [1]], "Sample weights must be 1D array or scalar"),
    ],
)
def test_weights_that_weigh_nothing_are_named(weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_weights(weight, X)


@pytest.mark.parametrize(
    "groups",
    [["b", "a", "b"], (2, 1, 2), pd.Series([2, 1, 2], dtype="Int64"), pd.Categorical(["x", "y", "x"]), [2.5, 0.0, 2.5]],
    ids=str,
)
def test_groups_become_codes(groups: Any) -> None:
    codes = read_groups(groups, X)
    assert codes.dtype.kind == "i"
    assert codes[0] == codes[2] != codes[1]


def test_no_groups_are_no_groups() -> None:
    assert read_groups(None, X) is None


@pytest.mark.parametrize(
    "groups",
    [[1, np.nan, 2], ["a", None, "b"], ["a", np.nan, "b"], pd.array([1, None, 2]), pd.Categorical(["a", None, "b"])],
    ids=str,
)
def test_a_missing_group_is_an_error_that_counts(groups: Any) -> None:
    with pytest.raises(ValueError, match="groups is missing for 1 rows; give each row a group"):
        read_groups(groups, X)


def test_groups_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 2\]"):
        read_groups([1, 2], X)


DAYS = ["2024-03-31", "2024-01-01", "2024-03-31"]
TIMES = {
    "integers": [3, 1, 3],
    "floats": (2.5, -np.inf, 2.5),
    "nullable": pd.array([3, 1, 3], dtype="Int64"),
    "objects": np.array([3, 1, 3], dtype=object),
    "numpy": np.array(DAYS, dtype="datetime64[D]"),
    "python": [datetime.fromisoformat(day) for day in DAYS],
    "index": pd.to_datetime(DAYS),
    "column": pd.Series(pd.to_datetime(DAYS), index=[9, 8, 7]),
    "arrow": pd.Series(pd.to_datetime(DAYS)).astype(pd.ArrowDtype(pa.timestamp("ns"))),
    "zone": pd.Series(pd.DatetimeIndex(DAYS, tz="Europe/Berlin")),
    "stamps": list(pd.DatetimeIndex(DAYS, tz="Europe/Berlin")),
    "timedeltas": pd.to_timedelta([3, 1, 3], unit="D"),
    "periods": pd.Series(pd.PeriodIndex(DAYS, freq="M")),
    "list of periods": list(pd.PeriodIndex(DAYS, freq="M")),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_become_ranks(kind: str) -> None:
    ranks = read_time(TIMES[kind], X)
    assert ranks.dtype == np.int64
    assert ranks.tolist() == [1, 0, 1]


def test_a_zone_is_told_from_the_clock() -> None:
    """As clocks go back, half past two comes twice."""
    clock = pd.DatetimeIndex(["2024-10-27 00:30", "2024-10-27 01:30", "2024-10-27 01:00"], tz="UTC")
    assert read_time(clock.tz_convert("Europe/Berlin"), X).tolist() == [0, 2, 1]


def test_no_times_are_no_times() -> None:
    assert read_time(None, X) is None


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ([1, None, 2], "time is missing for 1 rows; give each row a time"),
        ([1, np.nan, np.nan], "time is missing for 2 rows"),
        (pd.to_datetime([None, *DAYS[1:]]), "time is missing for 1 rows"),
        (pd.PeriodIndex([None, *DAYS[1:]], freq="M"), "time is missing for 1 rows"),
        (pd.array([3, None, 3], dtype="Int64"), "time is missing for 1 rows"),
        ([1, 2], r"inconsistent numbers of samples: \[3, 2\]"),
        ([[1, 2]] * 3, "should be a 1d array"),
        (DAYS, r"time must hold numbers or points in time, not (str|object); give pd.to_datetime\(time\)"),
        (pd.Categorical(DAYS), r"give pd.to_datetime\(time\)"),
        ([1, datetime(2024, 1, 1), 2], r"not object; give pd.to_datetime\(time\)"),
    ],
    ids=str,
)
def test_times_that_have_no_order_are_named(time: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_time(time, X)
