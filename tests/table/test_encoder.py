"""The encoder against hand computations, and what holds for every table."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hybridlearn.table import TableEncoder, UnseenCategoryWarning


def squashed(z: Any) -> np.ndarray:
    return np.asarray(z) / np.sqrt(1 + (np.asarray(z) / 3) ** 2)


def encode(fitted: pd.DataFrame, later: pd.DataFrame | None = None, **params: Any) -> pd.DataFrame:
    encoder = TableEncoder(**params).set_output(transform="pandas").fit(fitted)
    return encoder.transform(fitted if later is None else later)


# -- numbers


def test_numbers_by_hand() -> None:
    """Median 3, quartiles 2 and 4, so the last value is z = 48.5: 48.5 / sqrt(1 + 16.1666...^2)."""
    encoder = TableEncoder().fit(pd.DataFrame({"n": [1.0, 2, 3, 4, 100]}))
    assert encoder.center_.tolist() == [3]
    assert encoder.scale_.tolist() == [2]
    out = encoder.transform(pd.DataFrame({"n": [3, 5, 1, 100.0]}))[:, 0]
    assert_allclose(out, [0, 0.9486832980505138, -0.9486832980505138, 2.994277], atol=1e-6)


def test_numbers_by_the_formula() -> None:
    X = np.random.default_rng(0).standard_cauchy((101, 4)) * [1e-6, 1, 1e6, 1e20]
    low, middle, high = np.percentile(X, [25, 50, 75], axis=0)
    assert_allclose(TableEncoder().fit_transform(X), squashed((X - middle) / (high - low)), rtol=1e-12)


def test_where_the_quartiles_coincide_half_the_range_is_the_scale() -> None:
    X = pd.DataFrame({"mostly zero": [0.0] * 8 + [-2, 6]})
    encoder = TableEncoder().fit(X)
    assert encoder.scale_.tolist() == [4]
    assert_allclose(encoder.transform(X)[-2:, 0], squashed([-0.5, 1.5]))


def test_missing_numbers_are_the_median_and_do_not_move_it() -> None:
    out = encode(pd.DataFrame({"n": [1.0, None, 2, 3, None]}))
    assert out.columns.to_list() == ["n", "n_missing"]
    assert_allclose(out["n"], squashed([-1, 0, 0, 1, 0]))
    assert out["n_missing"].to_list() == [0, 1, 0, 0, 1]


def test_an_indicator_is_for_columns_with_gaps_in_fit_only() -> None:
    fitted = pd.DataFrame({"gap": [1.0, None, 3], "full": [1.0, 2, 3]})
    later = pd.DataFrame({"gap": [2.0, 1], "full": [None, 3.0]})
    out = encode(fitted, later)
    assert out.columns.to_list() == ["gap", "full", "gap_missing"]
    assert out["gap_missing"].to_list() == [0, 0]
    assert_allclose(out["full"], squashed([0, 1]))
    assert encode(fitted, later, missing="impute").columns.to_list() == ["gap", "full"]


CONSTANT = {
    "number": pd.Series([5.0, 5.0, 5.0]),
    "integer": pd.Series([5, 5, 5]),
    "boolean": pd.Series([True, True, True]),
    "with gaps": pd.Series([5.0, None, 5.0]),
}
ALL_MISSING = {
    "number": pd.Series([None, None, None], dtype="float64"),
    "nullable": pd.Series([None, None, None], dtype="Int64"),
    "object": pd.Series([None, None, None], dtype=object),
    "datetime": pd.Series([None, None, None], dtype="datetime64[us]"),
}
NUMBERS = pd.Series([-1e300, 0.5, 7])
INFINITIES = pd.Series([np.inf, -np.inf, np.nan])
TEXT = pd.Series(["a", None, "b"])
OBJECTS = pd.Series(["a", 1, None], dtype=object)


@pytest.mark.parametrize("later", [NUMBERS, INFINITIES], ids=["numbers", "infinities"])
@pytest.mark.parametrize("column", CONSTANT.values(), ids=CONSTANT)
def test_a_constant_column_is_zero_whatever_number_it_holds_later(column: pd.Series, later: pd.Series) -> None:
    fitted = pd.DataFrame({"c": column, "n": [1.0, 2, 3]})
    encoder = TableEncoder().fit(fitted)
    assert encoder.center_[0] == column[0]
    assert np.isposinf(encoder.scale_[0])
    for table in (fitted, fitted.assign(c=later)):
        assert_array_equal(encoder.transform(table)[:, 0], 0)


@pytest.mark.parametrize(
    "later", [NUMBERS, INFINITIES, TEXT, OBJECTS], ids=["numbers", "infinities", "text", "objects"]
)
@pytest.mark.parametrize("column", ALL_MISSING.values(), ids=ALL_MISSING)
def test_an_all_missing_column_is_zero_whatever_it_holds_later(column: pd.Series, later: pd.Series) -> None:
    """Nothing is known of its kind: it must not decide what may come."""
    fitted = pd.DataFrame({"n": [1.0, 2, 3], "c": column})
    encoder = TableEncoder(missing="impute").fit(fitted)
    for table in (fitted, fitted.assign(c=later)):
        assert_array_equal(encoder.transform(table)[:, 1:], 0)


def test_infinities_count_as_1e38() -> None:
    X = pd.DataFrame({"n": [np.inf, 1e300, 1e38, 0, -np.inf, -1e38]})
    assert_array_equal(TableEncoder().fit_transform(X), TableEncoder().fit_transform(X.clip(-1e38, 1e38)))


def test_a_scale_far_below_its_outliers_overflows_in_silence() -> None:
    X = pd.DataFrame({"n": [0, 1e-300, 2e-300, 3e-300, 1e10]})
    assert_allclose(TableEncoder().fit_transform(X)[[0, 2, 4], 0], [squashed(-1), 0, 3], atol=1e-10)


def test_booleans_are_zeros_and_ones_before_they_are_scaled() -> None:
    X = pd.DataFrame({"b": pd.array([False, True, None, True, False], dtype="boolean")})
    out = encode(X)
    assert_allclose(out["b"], squashed([-0.5, 0.5, 0, 0.5, -0.5]))
    assert out["b_missing"].to_list() == [0, 0, 1, 0, 0]


def test_a_datetime_is_six_numbers() -> None:
    days = pd.date_range("2024-01-01", periods=9, freq="97h")
    out = encode(pd.DataFrame({"when": days}))
    assert out.columns.to_list() == [f"when_{p}" for p in ("time", "year", "month", "day", "dayofweek", "hour")]
    assert_allclose(out["when_time"], squashed((np.arange(9) - 4) / 4), rtol=1e-9)
    assert (out["when_year"] == 0).all()
    hours = days.hour.to_numpy() + days.minute.to_numpy() / 60
    low, middle, high = np.percentile(hours, [25, 50, 75])
    assert_allclose(out["when_hour"], squashed((hours - middle) / (high - low)))


def test_a_datetime_with_gaps_has_indicators() -> None:
    out = encode(pd.DataFrame({"when": pd.to_datetime(["2024-01-01", None, "2024-05-01"])}))
    assert out["when_time_missing"].to_list() == [0, 1, 0]
    assert (out.loc[1].filter(regex="^when_[a-z]+$") == 0).all()


# -- categories


def test_codes_are_unseen_missing_then_levels_in_sorted_order() -> None:
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["b", "a", None, "c"]}))
    assert encoder.cardinalities_.tolist() == [5]
    assert encoder.categorical_features_.tolist() == [True]
    with pytest.warns(UnseenCategoryWarning, match=r"column 'c' \(2 rows\)") as caught:
        out = encoder.transform(pd.DataFrame({"c": ["a", "b", "c", None, "z", "y"]}))
    assert len(caught) == 1
    assert out[:, 0].tolist() == [2, 3, 4, 1, 0, 0]


def test_a_gap_in_a_column_that_had_none_is_missing_not_unseen() -> None:
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["b", "a"]}))
    assert encoder.cardinalities_.tolist() == [4]
    assert encoder.transform(pd.DataFrame({"c": ["a", None]}))[:, 0].tolist() == [2, 1]


def test_an_all_missing_text_column_has_the_reserved_codes_only() -> None:
    encoder = TableEncoder().fit(pd.DataFrame({"c": pd.Series([None, None], dtype="str")}))
    assert encoder.cardinalities_.tolist() == [2]
    with pytest.warns(UnseenCategoryWarning):
        assert encoder.transform(pd.DataFrame({"c": [None, "z"]}))[:, 0].tolist() == [1, 0]


def test_the_most_frequent_levels_are_kept_and_the_others_share_a_code() -> None:
    X = pd.DataFrame({"c": ["d", "d", "d", "a", "c", "c", "b", None]})
    encoder = TableEncoder(max_levels=2).fit(X)
    assert encoder.cardinalities_.tolist() == [4]
    assert encoder.transform(X)[:, 0].tolist() == [3, 3, 3, 0, 2, 2, 0, 1]


def test_of_equally_frequent_levels_the_first_in_order_are_kept() -> None:
    X = pd.DataFrame({"c": ["d", "c", "b", "a"]})
    assert TableEncoder(max_levels=2).fit_transform(X)[:, 0].tolist() == [0, 0, 3, 2]


def test_thousands_of_levels_keep_the_thousand_most_frequent() -> None:
    n_levels = 7518
    repeats = np.where(np.arange(n_levels) % 10 == 3, 3, 1)  # 752 levels come three times
    X = pd.DataFrame({"tail": np.repeat([f"N{i:05d}" for i in range(n_levels)], repeats)})
    encoder = TableEncoder().fit(X)
    codes = encoder.transform(X)[:, 0].astype(int)
    assert len(encoder.schema_.columns[0].levels) == n_levels
    assert encoder.cardinalities_.tolist() == [1002]
    assert set(codes) == {0, *range(2, 1002)}
    frequent = X["tail"].isin([f"N{i:05d}" for i in range(3, n_levels, 10)]).to_numpy()
    assert (codes[frequent] >= 2).all()
    assert len(set(codes[frequent])) == 752
    assert len(X) - (codes == 0).sum() == 3 * 752 + 248
    assert (np.diff(codes[codes > 0]) >= 0).all()
    wide = TableEncoder(max_levels=n_levels).fit_transform(X)[:, 0]
    assert_array_equal(wide, pd.factorize(X["tail"])[0] + 2)


def test_a_mixed_column_is_text() -> None:
    X = pd.DataFrame({"m": pd.Series([1, "a", 2.5, None, 1.0, "1"], dtype=object)})
    assert TableEncoder().fit_transform(X)[:, 0].tolist() == [2, 4, 3, 1, 2, 2]


def test_duplicate_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"columns \['a'\] stand more than once in X; rename or drop them"):
        TableEncoder().fit(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))


def test_one_hot_columns() -> None:
    X = pd.DataFrame({"n": [1.0, 2, 3, 4], "c": ["b", "a", "b", None], "d": ["x", "x", "y", "x"]})
    out = encode(X, encode="onehot")
    assert out.columns.to_list() == ["n", "c_a", "c_b", "c_missing", "d_x", "d_y"]
    assert out["c_a"].to_list() == [0, 1, 0, 0]
    assert out["c_b"].to_list() == [1, 0, 1, 0]
    assert out["c_missing"].to_list() == [0, 0, 0, 1]
    assert out["d_x"].to_list() == [1, 1, 0, 1]
    assert not TableEncoder(encode="onehot").fit(X).categorical_features_.any()


def test_one_hot_of_rare_levels_and_of_what_fit_never_saw() -> None:
    fitted = pd.DataFrame({"c": ["b", "b", "a", "c"], "d": ["x", "y", "x", "y"]})
    later = pd.DataFrame({"c": ["a", "z", None, "b"], "d": ["x", "z", None, "y"]})
    with pytest.warns(UnseenCategoryWarning, match=r"'c' \(1 rows\), column 'd' \(1 rows\)"):
        out = encode(fitted, later, encode="onehot", max_levels=2)
    assert out.columns.to_list() == ["c_a", "c_b", "c_rare", "d_x", "d_y"]
    assert out["c_rare"].to_list() == [0, 1, 0, 0]
    assert out.to_numpy()[2].tolist() == [0, 0, 0, 0, 0]
    assert out[["d_x", "d_y"]].to_numpy().tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]


# -- the shape of what comes out


MIXED = pd.DataFrame(
    {
        "c": ["b", "a", None],
        "n": [1.0, None, 2],
        "t": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]),
        "b": [True, False, True],
    }
)
PARTS = [f"t_{part}" for part in ("time", "year", "month", "day", "dayofweek", "hour")]


def test_names_are_numbers_indicators_then_categories() -> None:
    encoder = TableEncoder().fit(MIXED)
    names = encoder.get_feature_names_out().tolist()
    assert names == ["n", *PARTS, "b", "n_missing", "c"]
    assert encoder.categorical_features_.tolist() == [False] * 9 + [True]
    assert TableEncoder(encode="onehot").fit(MIXED).get_feature_names_out().tolist()[-3:] == ["c_a", "c_b", "c_missing"]
    assert encoder.get_feature_names_out(["c", "n", "t", "b"]).tolist() == names
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        encoder.get_feature_names_out(["n", "c", "t", "b"])


def test_names_of_an_array_are_given_or_numbered() -> None:
    encoder = TableEncoder().fit(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1", "x1_missing"]
    assert encoder.get_feature_names_out(["a", "b"]).tolist() == ["a", "b", "b_missing"]
    with pytest.raises(ValueError, match=r"length equal to number of features \(2\), got 1"):
        encoder.get_feature_names_out(["a"])
    with pytest.raises(NotFittedError):
        TableEncoder().get_feature_names_out()


def test_pandas_out_has_the_index_the_names_and_the_values() -> None:
    X = MIXED.set_axis([5, 3, 9])
    array = TableEncoder().fit(X).transform(X)
    frame = TableEncoder().set_output(transform="pandas").fit_transform(X)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float64
    assert frame.index.to_list() == [5, 3, 9]
    assert frame.columns.to_list() == TableEncoder().fit(X).get_feature_names_out().tolist()
    assert_array_equal(frame.to_numpy(), array)


def test_other_columns_are_refused() -> None:
    encoder = TableEncoder().fit(MIXED)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(MIXED.rename(columns={"n": "m"}))
    with pytest.raises(ValueError, match="X has 3 features"):
        TableEncoder().fit(np.zeros((2, 2))).transform(np.zeros((2, 3)))
    with pytest.raises(NotFittedError):
        TableEncoder().transform(MIXED)


def test_the_target_is_never_looked_at() -> None:
    with_y = TableEncoder().fit(MIXED, object())
    assert_array_equal(with_y.transform(MIXED), TableEncoder().fit_transform(MIXED))


# -- what holds for every table


DATES = st.datetimes(min_value=pd.Timestamp(1900, 1, 1), max_value=pd.Timestamp(2200, 1, 1))
CELLS = st.tuples(
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
    st.none() | st.integers(-(2**62), 2**62),
    st.none() | st.booleans(),
    st.none() | st.text("ab1é", max_size=2),
    st.none() | st.integers(-3, 3) | st.sampled_from(["a", "1", "b"]) | st.just(1.0),
    st.none() | DATES,
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    number, integer, boolean, text, mixed, moment = zip(*draw(st.lists(CELLS, min_size=1, max_size=12)), strict=True)
    return pd.DataFrame(
        {
            "number": pd.Series(number, dtype="float64"),
            "integer": pd.Series(integer, dtype="Int64"),
            "boolean": pd.Series(boolean, dtype="boolean"),
            "text": pd.Series(text, dtype="str"),
            "mixed": pd.Series(mixed, dtype=object),
            "moment": pd.Series(moment, dtype="datetime64[us]"),
            "category": pd.Series(text, dtype="str").astype("category"),
        }
    )


encoders = st.builds(
    TableEncoder,
    encode=st.sampled_from(["ordinal", "onehot"]),
    max_levels=st.sampled_from([1, 2, 1000]),
    missing=st.sampled_from(["indicator", "impute"]),
)


@given(encoders, tables(), tables())
def test_any_table_becomes_finite_numbers_within_bounds(
    encoder: TableEncoder, fitted: pd.DataFrame, later: pd.DataFrame
) -> None:
    encoder.fit(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenCategoryWarning)
        if encoder.schema_.columns[4].kind != "categorical":  # it held numbers only, and text would be an error
            later = later.assign(mixed=None)
        outputs = [encoder.transform(fitted), encoder.transform(later)]
    names = encoder.get_feature_names_out()
    codes = encoder.categorical_features_
    assert len(set(names)) == len(names) == len(codes)
    for table, out in zip([fitted, later], outputs, strict=True):
        assert out.shape == (len(table), len(names))
        assert np.isfinite(out).all()
        assert (np.abs(out[:, ~codes]) <= 3).all()
        assert (out[:, codes] >= 0).all()
        assert (out[:, codes] < encoder.cardinalities_[: codes.sum()]).all()
        assert (out[:, codes] % 1 == 0).all()


@given(encoders, tables(), st.data())
def test_some_of_the_rows_are_those_rows_of_the_whole(
    encoder: TableEncoder, X: pd.DataFrame, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(X) - 1), min_size=1, max_size=len(X)))
    whole = encoder.fit(X).transform(X)
    assert_array_equal(encoder.transform(X.iloc[rows]), whole[rows])


@given(encoders, tables())
def test_a_clone_learns_the_same_and_a_pickle_says_the_same(encoder: TableEncoder, X: pd.DataFrame) -> None:
    out = encoder.fit_transform(X)
    assert_array_equal(clone(encoder).fit(X).transform(X), out)
    again = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(again.transform(X), out)
    assert_array_equal(again.get_feature_names_out(), encoder.get_feature_names_out())
    assert again.schema_ == encoder.schema_


@given(tables())
def test_the_order_of_the_rows_decides_nothing(X: pd.DataFrame) -> None:
    backwards = X.iloc[::-1]
    expected = TableEncoder().fit_transform(X)[::-1]
    assert_allclose(TableEncoder().fit(backwards).transform(backwards), expected, atol=1e-12)
