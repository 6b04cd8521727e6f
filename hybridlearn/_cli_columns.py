"""What the columns of a file hold: found out for a fit, and read as the model knows them ever after."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from pandas.api import types

from ._cli_errors import UserError
from .table import Column, Schema

__all__ = ["as_in_fit", "numbers_in", "row_of", "typed"]

_DATE = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d(:?\d\d)?))?)?"
_TRUTH = {"true": True, "false": False, "1": True, "1.0": True, "0": False, "0.0": False}
_MANY_NUMBERS = 0.5


def numbers_in(text: pd.Series, *, decimal: str = ".") -> tuple[pd.Series, pd.Series]:
    """Texts as float64, and which of them are neither missing nor numbers."""
    if decimal != ".":
        # a point would be a separator of thousands: nobody could tell 1.500 from 1.5
        text = text.where(~text.str.contains(".", regex=False, na=False), "?").str.replace(decimal, ".", regex=False)
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    return numbers, numbers.isna() & text.notna()


def row_of(bad: pd.Series, first_row: int = 0) -> int:
    """The first row of a table, counted from 1, of which something holds."""
    return first_row + int(np.argmax(bad.to_numpy())) + 1


def typed(text: pd.Series, *, decimal: str = ".") -> pd.Series:
    """A column of texts as what all of them are.

    Parameters
    ----------
    text : Series of str
    decimal : str, default="."

    Returns
    -------
    Series
        float64 if all values that are not missing are numbers (or none is left), boolean if they are true and false in
        any case, datetime64 if they are dates in the way of ISO 8601, else categories.

    Warns
    -----
    UserWarning
        Where most are numbers, but not all.
    """
    known = text.dropna()
    numbers, bad = numbers_in(text, decimal=decimal)
    if not bad.any():
        return numbers
    if known.str.lower().isin(["true", "false"]).all():
        return _truths(text)[0]
    if known.str.fullmatch(_DATE).all():
        moments, bad_moments = _moments(text)
        if not bad_moments.any():
            return moments
    _warn_of_numbers(text, bad, decimal)
    return text.astype("category")


def _warn_of_numbers(text: pd.Series, bad: pd.Series, decimal: str) -> None:
    comma = "." if decimal == "," else ","
    row, n_known = row_of(bad), int(text.notna().sum())
    told = f"column {text.name!r} is taken for categories: "
    if not numbers_in(text, decimal=comma)[1].any():
        warnings.warn(f"{told}for numbers such as {text[row - 1]!r} say --decimal {comma}", UserWarning, stacklevel=3)
    elif bad.sum() < _MANY_NUMBERS * n_known:
        warnings.warn(
            f"{told}{int(bad.sum())} of its {n_known} values are no numbers, such as {text[row - 1]!r} in row {row}; "
            "leave missing values empty",
            UserWarning,
            stacklevel=3,
        )


def as_in_fit(frame: pd.DataFrame, schema: Schema, *, first_row: int, decimal: str = ".") -> pd.DataFrame:
    """The columns of a chunk as the model saw them, whatever its rows look like.

    Parameters
    ----------
    frame : DataFrame
        With at least the columns of `schema`, as read from a file.
    schema : Schema
    first_row : int
        How many rows of the file come before.
    decimal : str, default="."

    Returns
    -------
    DataFrame
        The columns of `schema`: numbers are float64, truths are boolean, moments datetime64, categories as they came.

    Raises
    ------
    UserError
        Naming the column, the row and the value that cannot be read so.
    """
    return pd.DataFrame(
        {
            column.name: _as_kind(frame[column.name], column, schema.n_rows, first_row, decimal)
            for column in schema.columns
        },
        index=frame.index,
    )


def _as_kind(values: pd.Series, column: Column, n_fitted: int, first_row: int, decimal: str) -> pd.Series:
    if column.kind == "categorical":
        return values
    if column.n_missing == n_fitted:
        # it told nothing in fit, so it tells nothing now
        return pd.Series(np.nan, index=values.index)
    if column.kind == "boolean":
        converted, bad, what = *_truths(values), "neither true nor false"
    elif column.kind == "datetime":
        converted, bad, what = *_moments(values), "no date such as 2024-12-31 or 2024-12-31T23:59:59"
    elif column.dtype.startswith("timedelta"):
        converted = values if values.dtype.kind == "m" else _spans(values)
        bad, what = converted.isna() & values.notna(), "no span of time"
    else:
        converted, bad, what = *_numbers(values, decimal), "no number"
    if bad.any():
        row = row_of(bad, first_row)
        value = values.iloc[row - first_row - 1]
        raise UserError(f"column {column.name!r}, row {row}: {value!r} is {what}, as which the model knows the column")
    return converted


def _spans(values: pd.Series) -> pd.Series:
    # a unit of its own would a column have in which all is missing
    return pd.to_timedelta(_as_text(values), errors="coerce").dt.as_unit("us")


def _as_text(values: pd.Series) -> pd.Series:
    return values.astype("object").map(str, na_action="ignore").astype("str")


def _numbers(values: pd.Series, decimal: str) -> tuple[pd.Series, pd.Series]:
    if types.is_bool_dtype(values.dtype) or types.is_numeric_dtype(values.dtype):
        return values.astype("float64"), pd.Series(False, index=values.index)
    if types.is_string_dtype(values.dtype):
        return numbers_in(values, decimal=decimal)
    return numbers_in(_as_text(values))


def _truths(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    if types.is_bool_dtype(values.dtype):
        return values.astype("boolean"), pd.Series(False, index=values.index)
    converted = _as_text(values).str.lower().map(_TRUTH).astype("boolean")
    return converted, converted.isna() & values.notna()


def _moments(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Moments without a zone, those of a zone in UTC."""
    if types.is_datetime64_any_dtype(values.dtype) or isinstance(values.dtype, pd.PeriodDtype):
        return values, pd.Series(False, index=values.index)
    text = _as_text(values)
    dates = text.where(text.str.fullmatch(_DATE).fillna(False).astype(bool))
    converted = pd.to_datetime(dates, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None).dt.as_unit("us")
    return converted, converted.isna() & values.notna()
