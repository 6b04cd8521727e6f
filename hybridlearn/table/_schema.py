"""What the columns of a table are, fixed at fit and carried by whoever reads the table again."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from hybridlearn.table._frame import (
    BOOLEAN,
    CATEGORICAL,
    DATETIME,
    LARGEST,
    NUMERIC,
    column_kind,
    is_float64,
    to_datetime,
    to_float,
    to_labels,
    to_text,
)

MISSING, UNSEEN = -1, -2
_DATETIME_PARTS = ("time", "year", "month", "day", "dayofweek", "hour")


class UnseenCategoryWarning(UserWarning):
    """Rows hold category levels that were not there in ``fit``."""


@dataclass(frozen=True)
class Column:
    """One column: its name, kind, dtype, missing count and, if categorical, its levels with their counts."""

    name: Hashable
    kind: str
    dtype: str
    n_missing: int
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def from_series(cls, series: pd.Series) -> Self:
        """Describe a Series; an object column is judged by what it holds, mixed values are text."""
        kind = column_kind(series)
        n_missing = int(series.isna().sum())
        if kind != CATEGORICAL:
            return cls(series.name, kind, str(series.dtype), n_missing)
        codes, labels = to_labels(series)
        counts = np.bincount(codes[codes >= 0], minlength=len(labels))
        order = sorted((label, int(count)) for label, count in zip(labels, counts, strict=True) if count)
        levels, level_counts = tuple(zip(*order, strict=True)) or ((), ())
        return cls(series.name, kind, str(series.dtype), n_missing, levels, level_counts)


@dataclass(frozen=True)
class Schema:
    """Kinds, vocabularies and missing counts of a table's columns; it never sees the target.

    Build it with :meth:`from_data`. Levels are the ones that occur, as text in sorted order: 1, ``1.0`` and
    ``"1"`` are one level.

    Attributes
    ----------
    columns : tuple of Column
        In the order of the table.
    n_rows : int
        Rows of the table it was made from.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [31.0, None, 58.0], "job": ["cook", "clerk", "cook"]})
    >>> Schema.from_data(X).frame
         column         kind    dtype  n_missing  n_levels
    0       age      numeric  float64          1         0
    1       job  categorical      str          0         2
    """

    columns: tuple[Column, ...]
    n_rows: int

    @classmethod
    def from_data(cls, X: pd.DataFrame | np.ndarray) -> Self:
        """Describe a DataFrame or a two-dimensional array of shape (n_rows, n_columns)."""
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
        return cls(tuple(Column.from_series(frame.iloc[:, i]) for i in range(frame.shape[1])), len(frame))

    @property
    def frame(self) -> pd.DataFrame:
        """One row a column: name, kind, dtype, missing values, levels."""
        return pd.DataFrame(
            {
                "column": [c.name for c in self.columns],
                "kind": [c.kind for c in self.columns],
                "dtype": [c.dtype for c in self.columns],
                "n_missing": [c.n_missing for c in self.columns],
                "n_levels": [len(c.levels) for c in self.columns],
            }
        )

    @property
    def categorical(self) -> tuple[Column, ...]:
        """The categorical columns."""
        return tuple(c for c in self.columns if c.kind == CATEGORICAL)

    def settled(self, X: pd.DataFrame) -> pd.DataFrame:
        """`X` with its mixed object columns as text, so that any part of the rows shows the same kind of column."""
        mixed = [column.name for column in self.categorical if column.dtype == "object"]
        if mixed:
            X = X.copy(deep=False)
            for name in mixed:
                X[name] = to_text(X[name])
        return X

    @property
    def numeric_names(self) -> list[str]:
        """Names of the columns of :meth:`numeric_block`."""
        return [name for column in self.columns for name in _numeric_names(column)]

    @property
    def numeric_places(self) -> np.ndarray:
        """Position, among the columns, of the one that each column of :meth:`numeric_block` is made of."""
        return np.repeat(np.arange(len(self.columns)), [len(_numeric_names(column)) for column in self.columns])

    @property
    def categorical_places(self) -> np.ndarray:
        """Positions of the categorical columns."""
        return np.flatnonzero([column.kind == CATEGORICAL for column in self.columns])

    def numeric_block(self, X: pd.DataFrame) -> np.ndarray:
        """Everything that is not categorical, as numbers.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            With the columns that the schema was made from, in their order.

        Returns
        -------
        ndarray of shape (n_rows, len(numeric_names)), float64
            Missing values are NaN; booleans 0 and 1; a datetime becomes seconds since 1970 and its parts; values
            beyond +-1e38, infinities among them, are +-1e38.
        """
        if all(c.kind == NUMERIC and c.n_missing < self.n_rows for c in self.columns) and is_float64(X):
            return np.clip(X.to_numpy(), -LARGEST, LARGEST)
        block = np.empty((len(X), len(self.numeric_names)))
        for i, numbers in enumerate(self.numeric_columns(X)):
            block[:, i] = numbers
        return block

    def numeric_columns(self, X: pd.DataFrame) -> Iterator[np.ndarray]:
        """The columns of :meth:`numeric_block` one by one, each of shape (n_rows,)."""
        for i, column in enumerate(self.columns):
            if column.kind != CATEGORICAL:
                known = column.n_missing < self.n_rows
                numbers = _numbers(column, X.iloc[:, i]) if known else _nothing(column, len(X))
                yield from numbers.reshape(len(X), -1).T

    def category_codes(self, X: pd.DataFrame, *, warn: bool = True) -> np.ndarray:
        """The categorical columns as positions in their levels.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
        warn : bool, default=True
            Name the columns that hold unseen levels in one :class:`UnseenCategoryWarning`.

        Returns
        -------
        ndarray of shape (n_rows, n_categorical), int64
            -1 where missing, -2 where the level was not seen in ``fit``.
        """
        parts = [_codes(column, X.iloc[:, i]) for i, column in enumerate(self.columns) if column.kind == CATEGORICAL]
        codes = np.column_stack(parts) if parts else np.empty((len(X), 0), dtype=np.int64)
        if warn:
            self._warn_unseen(codes)
        return codes

    def warn_unseen(self, X: pd.DataFrame) -> None:
        """Emit one :class:`UnseenCategoryWarning` when `X` holds unseen levels."""
        self.category_codes(X)

    def _warn_unseen(self, codes: np.ndarray) -> None:
        counts = (codes == UNSEEN).sum(axis=0)
        found = [f"{c.name!r} ({n} rows)" for c, n in zip(self.categorical, counts, strict=True) if n]
        if found:
            warnings.warn(
                f"levels that were not there in fit, treated as unknown: column {', column '.join(found)}",
                UnseenCategoryWarning,
                stacklevel=3,
            )


def _numeric_names(column: Column) -> list[str]:
    if column.kind == CATEGORICAL:
        return []
    if column.kind == DATETIME:
        return [f"{column.name}_{part}" for part in _DATETIME_PARTS]
    return [str(column.name)]


def _numbers(column: Column, series: pd.Series) -> np.ndarray:
    """(n_rows,) or, for a datetime, (n_rows, 6)."""
    if column.kind == DATETIME:
        return _datetime_parts(_convert(to_datetime, column, series))
    return _convert(to_float, column, series)


def _nothing(column: Column, n_rows: int) -> np.ndarray:
    """What a column that was all missing in ``fit`` tells, whatever it holds now."""
    return np.full((n_rows, len(_numeric_names(column))), np.nan)


def _convert(read, column: Column, series: pd.Series):  # type: ignore[no-untyped-def]
    try:
        if {column.kind, column_kind(series)} == {NUMERIC, DATETIME}:
            raise TypeError("a moment is no number")
        return read(series)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {column.name!r} was {column.kind} ({column.dtype}) in fit and now holds {series.dtype} "
            f"values that cannot be read so: {error}"
        ) from error


def _datetime_parts(when: pd.Series) -> np.ndarray:
    milliseconds = when.to_numpy(dtype="datetime64[ms]")
    seconds = np.where(np.isnat(milliseconds), np.nan, milliseconds.astype(np.int64) / 1000)
    hours = when.dt.hour + when.dt.minute / 60
    parts = (pd.Series(seconds), when.dt.year, when.dt.month, when.dt.day, when.dt.day_of_week, hours)
    return np.column_stack([part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts])


def _codes(column: Column, series: pd.Series) -> np.ndarray:
    codes, labels = to_labels(series, observed=False)
    known = pd.Index(column.levels, dtype=object).get_indexer(pd.Index(labels, dtype=object))
    # the last slot serves code -1: a missing value stays missing
    return np.append(np.where(known < 0, UNSEEN, known), MISSING)[codes].astype(np.int64)


KINDS = (NUMERIC, CATEGORICAL, BOOLEAN, DATETIME)
