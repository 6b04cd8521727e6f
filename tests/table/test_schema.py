"""What the columns of a table are: kinds, levels, missing counts, and the numbers read from them."""

from __future__ import annotations

import datetime as dt
import inspect
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hybridlearn.table import MISSING, UNSEEN, Column, Schema, UnseenCategoryWarning

DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 30)


def series(values: Any, dtype: Any = None) -> pd.Series:
    return pd.Series(values, dtype=dtype, name="c")


def column_of(column: pd.Series) -> Column:
    return Schema.from_data(column.to_frame("c")).columns[0]


def levels(values: Any, dtype: Any = None) -> tuple[str, ...]:
    return column_of(series(values, dtype)).levels


NUMERIC = {
    "int8": series([1, 2], "int8"),
    "int64": series([1, 2]),
    "uint64": series([2**64 - 1, 2], "uint64"),
    "float16": series([1, 2], "float16"),
    "float32": series([1, 2], "float32"),
    "float64": series([1.5, None]),
    "Int64": series([1, None], "Int64"),
    "UInt8": series([1, None], "UInt8"),
    "Float64": series([1.5, None], "Float64"),
    "object of ints": series([1, 2, None], object),
    "object of ints and floats": series([1, 2.5, None], object),
    "object of ints and NA": series([1, 2, pd.NA], object),
    "object of decimals": series([Decimal("1.5"), None], object),
    "sparse": series(pd.arrays.SparseArray([0.0, 1.0])),
    "arrow int": series([1, None], pd.ArrowDtype(pa.int64())),
    "arrow double": series([1.5, None], pd.ArrowDtype(pa.float64())),
    "arrow decimal": series([Decimal("1.5"), None], pd.ArrowDtype(pa.decimal128(5, 2))),
    "timedelta": series(pd.to_timedelta(["1D", None])),
    "object of timedeltas": series([dt.timedelta(1), None], object),
    "arrow duration": series([dt.timedelta(1), None], pd.ArrowDtype(pa.duration("us"))),
}
BOOLEAN = {
    "bool": series([True, False]),
    "boolean": series([True, None], "boolean"),
    "object of bools": series([True, False, None], object),
    "arrow bool": series([True, None], pd.ArrowDtype(pa.bool_())),
}
CATEGORICAL = {
    "str": series(["a", None]),
    "string": series(["a", None], "string"),
    "string[pyarrow]": series(["a", None], "string[pyarrow]"),
    "arrow string": series(["a", None], pd.ArrowDtype(pa.string())),
    "arrow dictionary": series(["a", None], pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    "object of strings": series(["a", None], object),
    "object of strings and numbers": series(["a", 1, 2.5, None], object),
    "object of bools and numbers": series([True, 2, None], object),
    "object of dates and strings": series([DAY, "never"], object),
    "object of lists": series([[1], [2]], object),
    "category of str": series(["a", None], "category"),
    "category of int": series([1, 2], "category"),
    "interval": series(pd.arrays.IntervalArray.from_tuples([(0, 1), (1, 2)])),
}
DATETIME = {
    "naive": series(pd.to_datetime(["2024-02-29", None])),
    "naive seconds": series(np.array(["2024-02-29"], dtype="M8[s]")),
    "naive nanoseconds": series(np.array(["2024-02-29"], dtype="M8[ns]")),
    "tz-aware": series(pd.to_datetime(["2024-02-29", None]).tz_localize("Asia/Tokyo")),
    "period": series(pd.PeriodIndex(["2024-02", None], freq="M")),
    "object of dates": series([DAY, None], object),
    "object of datetimes": series([NOON, None], object),
    "object of Timestamps": series([pd.Timestamp(NOON), pd.NaT], object),
    "object of Periods": series([pd.Period("2024-02"), None], object),
    "arrow timestamp": series([NOON, None], pd.ArrowDtype(pa.timestamp("us"))),
    "arrow timestamp with zone": series([NOON, None], pd.ArrowDtype(pa.timestamp("us", tz="UTC"))),
    "arrow date": series([DAY, None], pd.ArrowDtype(pa.date32())),
}
KINDS = {"numeric": NUMERIC, "boolean": BOOLEAN, "categorical": CATEGORICAL, "datetime": DATETIME}


@pytest.mark.parametrize(
    ("kind", "column"),
    [pytest.param(kind, c, id=f"{kind}-{name}") for kind, columns in KINDS.items() for name, c in columns.items()],
)
def test_the_kind_of_every_dtype(kind: str, column: pd.Series) -> None:
    described = column_of(column)
    assert described.kind == kind
    assert described.dtype == str(column.dtype)
    assert described.n_missing == column.isna().sum()
    assert bool(described.levels) == (kind == "categorical")


def test_an_all_missing_column_of_each_dtype_keeps_its_place() -> None:
    X = pd.DataFrame({"num": [np.nan, np.nan], "text": series([None, None], "str"), "any": series([None] * 2, object)})
    schema = Schema.from_data(X)
    assert [c.n_missing for c in schema.columns] == [2, 2, 2]
    assert schema.columns[1].levels == ()
    assert np.isnan(schema.numeric_block(X)).all()
    assert (schema.category_codes(X) == MISSING).all()


def test_array_columns_are_numbered_and_judged_one_by_one() -> None:
    X = np.array([[1, "a", True], [2.5, None, False]], dtype=object)
    frame = Schema.from_data(X).frame
    assert frame["column"].to_list() == [0, 1, 2]
    assert frame["kind"].to_list() == ["numeric", "categorical", "boolean"]
    assert frame["n_missing"].to_list() == [0, 1, 0]


def test_the_summary_frame() -> None:
    X = pd.DataFrame({"n": [1.0, None, 2.0], "c": ["b", "a", "b"]})
    expected = pd.DataFrame(
        {
            "column": ["n", "c"],
            "kind": ["numeric", "categorical"],
            "dtype": ["float64", "str"],
            "n_missing": [1, 0],
            "n_levels": [0, 2],
        }
    )
    pd.testing.assert_frame_equal(Schema.from_data(X).frame, expected)


def test_a_schema_never_sees_y() -> None:
    assert list(inspect.signature(Schema.from_data).parameters) == ["X"]


def test_levels_are_those_that_occur_sorted_as_text_with_their_counts() -> None:
    values = pd.Categorical([10, 9, 10, None], categories=[9, 10, 11])
    column = column_of(series(values))
    assert column.levels == ("10", "9")
    assert column.counts == (2, 1)
    assert column.n_missing == 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(series([1, 2], "category"), id="category of int"),
        pytest.param(series([1.0, 2.0], "category"), id="category of float"),
        pytest.param(series(["1", "2"]), id="str"),
        pytest.param(series(["1", "2"], object), id="object of str"),
        pytest.param(series(["1", 2.0], object), id="object, mixed"),
        pytest.param(series([np.int64(1), "2"], object), id="object with numpy int"),
        pytest.param(series([np.float32(1), "2"], object), id="object with float32"),
        pytest.param(series([1, 2], "int64"), id="int64"),
        pytest.param(series([1.0, 2.0]), id="float64"),
        pytest.param(series([1, 2], "Int64"), id="Int64"),
        pytest.param(series([1, 2], pd.ArrowDtype(pa.int8())), id="arrow int8"),
    ],
)
def test_a_level_is_its_text_whatever_the_dtype(values: pd.Series) -> None:
    schema = Schema.from_data(pd.DataFrame({"c": series(["2", "1", "1"], "category")}))
    assert schema.category_codes(values.to_frame()).tolist() == [[0], [1]]
    if column_of(values).kind == "categorical":
        assert column_of(values).levels == ("1", "2")


def test_text_that_is_no_integer_stays_itself() -> None:
    assert levels([1.5, "1.50", " 1"], object) == (" 1", "1.5", "1.50")


def test_two_spellings_in_one_column_are_one_level() -> None:
    column = column_of(series([1, 1.0, "1", None], object))
    assert column.levels == ("1",)
    assert column.counts == (3,)


@pytest.mark.parametrize("dtype", ["str", "string", object, "category"])
def test_missing_stays_missing_and_is_no_level(dtype: Any) -> None:
    X = pd.DataFrame({"c": series(["b", None, "a", np.nan], dtype)})
    schema = Schema.from_data(X)
    assert schema.columns[0].levels == ("a", "b")
    assert schema.category_codes(X)[:, 0].tolist() == [1, MISSING, 0, MISSING]


def test_unseen_levels_give_one_warning_with_columns_and_counts() -> None:
    fitted = pd.DataFrame({"job": ["cook", "clerk"], "n": [1, 2], "town": ["Rome", "Oslo"], "sure": ["a", "b"]})
    later = pd.DataFrame({"job": ["cook", "pilot"], "n": [3, 4], "town": ["Bonn", "Kiel"], "sure": ["a", None]})
    with pytest.warns(UnseenCategoryWarning, match=r"column 'job' \(1 rows\), column 'town' \(2 rows\)$") as caught:
        codes = Schema.from_data(fitted).category_codes(later)
    assert len(caught) == 1
    assert codes.tolist() == [[1, UNSEEN, 0], [UNSEEN, UNSEEN, MISSING]]


def test_unseen_levels_can_be_read_in_silence_and_asked_for_aloud() -> None:
    schema = Schema.from_data(pd.DataFrame({"c": ["a", "b"]}))
    later = pd.DataFrame({"c": ["z", "a"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert schema.category_codes(later, warn=False).tolist() == [[UNSEEN], [0]]
    with pytest.warns(UnseenCategoryWarning, match=r"'c' \(1 rows\)"):
        schema.warn_unseen(later)


PARTS = ["time", "year", "month", "day", "dayofweek", "hour"]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(pd.to_datetime(["2024-02-29 12:30", None]), id="naive"),
        pytest.param(pd.to_datetime(["2024-02-29 21:30", None]).tz_localize("Asia/Tokyo"), id="tz-aware, in UTC"),
        pytest.param(pd.PeriodIndex(["2024-02-29 12:30", None], freq="min"), id="period, at its start"),
        pytest.param(pd.array([NOON, None], dtype=pd.ArrowDtype(pa.timestamp("us"))), id="arrow"),
        pytest.param(np.array([NOON, None], dtype=object), id="object"),
    ],
)
def test_a_datetime_becomes_its_parts(moments: Any) -> None:
    X = pd.DataFrame({"when": moments})
    schema = Schema.from_data(X)
    block = schema.numeric_block(X)
    seconds = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC).timestamp()
    assert schema.numeric_names == [f"when_{part}" for part in PARTS]
    np.testing.assert_array_equal(block[0], [seconds, 2024, 2, 29, 3, 12.5])
    assert np.isnan(block[1]).all()


@pytest.mark.parametrize("year", [1, 9999])
def test_a_moment_beyond_nanoseconds_has_its_parts_too(year: int) -> None:
    """31 December 9999 is how many databases write "until further notice"."""
    moments = series([dt.datetime(year, 12, 31, 6), NOON], object)
    X = pd.DataFrame({"object": moments, "M8": moments.astype("M8[s]")})
    block = Schema.from_data(X).numeric_block(X)
    seconds = dt.datetime(year, 12, 31, 6, tzinfo=dt.UTC).timestamp()
    weekday = dt.date(year, 12, 31).weekday()
    np.testing.assert_array_equal(block[0], [seconds, year, 12, 31, weekday, 6] * 2)


def test_numbers_are_read_as_they_are() -> None:
    X = pd.DataFrame(
        {
            "bool": series([True, False, None], "boolean"),
            "text": ["a", "b", "c"],
            "int": series([1, None, -3], "Int64"),
            "span": series(pd.to_timedelta(["1min", None, "-500ms"])),
            "decimal": series([Decimal("0.5"), None, Decimal(2)], object),
        }
    )
    schema = Schema.from_data(X)
    assert schema.numeric_names == ["bool", "int", "span", "decimal"]
    expected = [[1, 1, 60, 0.5], [0, np.nan, np.nan, np.nan], [np.nan, -3, -0.5, 2]]
    np.testing.assert_array_equal(schema.numeric_block(X), np.array(expected))


@pytest.mark.parametrize("dtype", ["float64", "Float64", object, pd.ArrowDtype(pa.float64())])
def test_numbers_beyond_float32_count_as_1e38(dtype: Any) -> None:
    X = pd.DataFrame({"n": series([np.inf, -np.inf, 1e300, -1e300, 1e38, 1.0], dtype)})
    expected = [1e38, -1e38, 1e38, -1e38, 1e38, 1.0]
    np.testing.assert_array_equal(Schema.from_data(X).numeric_block(X)[:, 0], expected)


def test_an_integer_beyond_every_float_counts_as_1e38() -> None:
    X = pd.DataFrame({"n": series([10**400, -(10**400), 1], object)})
    np.testing.assert_array_equal(Schema.from_data(X).numeric_block(X)[:, 0], [1e38, -1e38, 1.0])


def test_values_that_cannot_be_read_name_the_column_and_what_it_was() -> None:
    schema = Schema.from_data(pd.DataFrame({"age": [31.0, 58.0], "when": pd.to_datetime(["2024-01-01", None])}))
    now_text = pd.DataFrame({"age": ["old", "young"], "when": pd.to_datetime(["2024-01-01", None])})
    with pytest.raises(ValueError, match=r"column 'age' was numeric \(float64\) in fit and now holds str values"):
        schema.numeric_block(now_text)
    now_words = pd.DataFrame({"age": [1.0, 2.0], "when": ["today", "tomorrow"]})
    with pytest.raises(ValueError, match=r"column 'when' was datetime .* in fit and now holds str values"):
        schema.numeric_block(now_words)


def test_settled_columns_show_the_same_kind_in_any_part_of_the_rows() -> None:
    X = pd.DataFrame(
        {
            "mixed": series([1, 2.0, "a", None], object),
            "words": series(["a", "b", None, "c"], object),
            "numbers": series([1, 2.5, None, 3], object),
            "text": ["a", "b", "c", "d"],
        }
    )
    before = X.copy(deep=True)
    schema = Schema.from_data(X)
    settled = schema.settled(X)
    assert Schema.from_data(X.iloc[:2]).columns[0].kind == "numeric"
    for rows in (slice(0, 2), slice(2, 3), slice(1, 4)):
        kinds = [c.kind for c in Schema.from_data(settled.iloc[rows]).columns]
        assert kinds[0] == "categorical"
    assert settled["mixed"].iloc[:3].to_list() == ["1", "2", "a"]
    assert settled["mixed"].isna().to_list() == [False, False, False, True]
    pd.testing.assert_frame_equal(settled.drop(columns="mixed"), before.drop(columns="mixed"))
    pd.testing.assert_frame_equal(X, before)
    np.testing.assert_array_equal(schema.category_codes(settled), schema.category_codes(X))


def test_a_table_without_mixed_columns_is_settled_as_it_is() -> None:
    X = pd.DataFrame({"n": [1, 2], "c": ["a", "b"]})
    assert Schema.from_data(X).settled(X) is X
