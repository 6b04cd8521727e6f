"""All that each of some rows may become, as the few tables whose hull it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from hybridlearn.table._frame import LARGEST, is_float64, to_float


@dataclass(frozen=True, eq=False)
class Box:
    """Rows, an interval for each of their numbers, and the levels that some columns may take.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The rows as they are.
    is_array : bool
        Whether they came as an array, and are handed on as one.
    places : ndarray of shape (n_numeric,), int
        Positions of the columns that are numbers.
    lower, upper : ndarray of shape (n_rows, n_numeric), float64
        NaN where the value is missing, and stays so.
    choices : list of (int, level)
        Position of a column, and a level that it may take in any row.
    """

    frame: pd.DataFrame
    is_array: bool
    places: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    choices: list[tuple[int, Any]]

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: np.ndarray) -> Self:
        """Some of the rows."""
        return replace(self, frame=self.frame.iloc[rows], lower=self.lower[rows], upper=self.upper[rows])

    def shrunk(self, share: float | np.ndarray) -> Self:
        """The box with each number's way, up and down, times `share`, one or one a row; levels stay free."""
        given, share = self.numbers, np.reshape(share, (-1, 1))
        # the whole box is itself, to the last bit
        lower = np.where(share == 1, self.lower, given - share * (given - self.lower))
        return replace(self, lower=lower, upper=np.where(share == 1, self.upper, given + share * (self.upper - given)))

    @cached_property
    def numbers(self) -> np.ndarray:
        """The numbers as they are, shape (n_rows, n_numeric), float64."""
        numbers = self.numbers_in(self.frame)
        numbers.setflags(write=False)
        return numbers

    def numbers_in(self, frame: pd.DataFrame) -> np.ndarray:
        """The columns of numbers of another frame."""
        return numbers_of(frame, self.places)

    @property
    def table(self) -> Any:
        """The rows as they came."""
        return self.as_given(self.frame)

    def corners(self) -> tuple[Any, Any]:
        """The table with all numbers at their least, and at their largest."""
        low, high = self.with_numbers(self.lower), self.with_numbers(self.upper)
        return self.as_given(low), self.as_given(high)

    def ends(self) -> list[Any]:
        """The corners; where columns have fewer bits than float64, in both widths.

        A model may round what it makes of a row in the width in which it comes: that of its columns, as long as whole
        numbers stay whole, else float64. What it makes of the row lies between what it makes of all of these.
        """
        if not any(is_coarse(dtype) for dtype in self.frame.dtypes):
            return list(self.corners())
        lower, upper = self.lower.copy(), self.upper.copy()
        for i, place in enumerate(self.places):
            dtype: Any = self.frame.dtypes.iloc[place]
            if dtype.kind in "iu":
                info = np.iinfo(f"{dtype.kind}{dtype.itemsize}")
                lower[:, i] = np.maximum(np.ceil(lower[:, i]), info.min)
                upper[:, i] = np.minimum(np.floor(upper[:, i]), info.max)
        narrow = [self.with_numbers(end) for end in (lower, upper)]
        floats = [self.frame.columns[place] for place in self.places]
        wide = [self.with_numbers(end).astype(dict.fromkeys(floats, np.float64)) for end in (self.lower, self.upper)]
        return [self.as_given(frame) for frame in (*narrow, *wide)]

    def alternatives(self) -> Iterator[tuple[int, Any]]:
        """Position of a column, and the table with one of its levels in all rows where it is not missing."""
        for place, level in self.choices:
            changed = self.frame.copy(deep=False)
            name = changed.columns[place]
            changed[name] = _filled(changed[name], level, np.ones(len(changed), dtype=bool))
            yield place, self.as_given(changed)

    @property
    def levels(self) -> dict[int, list[Any]]:
        """By position of a column, the levels that it may take."""
        found: dict[int, list[Any]] = {}
        for place, level in self.choices:
            found.setdefault(place, []).append(level)
        return found

    def candidates(self, numbers: np.ndarray, levels: np.ndarray) -> pd.DataFrame:
        """Rows that are in the box.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numeric)
        levels : ndarray of shape (n_rows, n_columns_of_levels), int
            For each column of :attr:`levels`, the position of the level that it takes; -1 for its own.
        """
        changed = self.with_numbers(numbers)
        for (place, own), chosen in zip(self.levels.items(), levels.T, strict=True):
            name = changed.columns[place]
            for i, level in enumerate(own):
                if (chosen == i).any():
                    changed[name] = _filled(changed[name], level, chosen == i)
        return changed

    def with_numbers(self, numbers: np.ndarray) -> pd.DataFrame:
        """The frame with other numbers, shape (n_rows, n_numeric); cells that stay are what they are."""
        given = self.numbers
        moved = (numbers != given) & ~(np.isnan(numbers) & np.isnan(given))
        if is_float64(self.frame):
            whole = self.frame.to_numpy(copy=True)
            whole[:, self.places] = np.where(moved, numbers, whole[:, self.places])
            return pd.DataFrame(whole, self.frame.index, self.frame.columns)
        changed = self.frame.copy(deep=False)
        for i, place in enumerate(self.places):
            if moved[:, i].any():
                changed[changed.columns[place]] = put_numbers(self.frame.iloc[:, place], numbers[:, i], moved[:, i])
        return changed

    def as_given(self, frame: pd.DataFrame) -> Any:
        """A frame in the form in which the rows came."""
        return frame.to_numpy() if self.is_array else frame


def numbers_of(frame: pd.DataFrame, places: np.ndarray) -> np.ndarray:
    """Some columns of a frame as numbers, shape (n_rows, n_places), float64."""
    if is_float64(frame):
        return np.clip(frame.to_numpy()[:, places], -LARGEST, LARGEST)
    return np.column_stack([np.empty((len(frame), 0)), *(to_float(frame.iloc[:, place]) for place in places)])


def is_coarse(dtype: Any) -> bool:
    """Whether it is of floats of fewer bits than float64."""
    return pd.api.types.is_float_dtype(dtype) and dtype.itemsize < np.dtype(np.float64).itemsize


def inward(lower: np.ndarray, upper: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest numbers of a coarse dtype between two ends; what does not move stays."""
    kind = np.dtype(f"f{dtype.itemsize}")
    stays = lower == upper
    with np.errstate(over="ignore"):
        low, high = lower.astype(kind), upper.astype(kind)
    low = np.where(low < lower, np.nextafter(low, kind.type(np.inf)), low)
    high = np.where(high > upper, np.nextafter(high, kind.type(-np.inf)), high)
    return np.where(stays, lower, low.astype(np.float64)), np.where(stays, upper, high.astype(np.float64))


def put_numbers(column: pd.Series, numbers: np.ndarray, rows: np.ndarray) -> pd.Series:
    """A column with numbers in some rows, in its own dtype where that holds them."""
    dtype: Any = column.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        own = numbers[rows].astype(f"{dtype.kind}{dtype.itemsize}") if dtype.kind in "iuf" else numbers[rows]
    if dtype.kind == "f" or (dtype.kind in "iu" and (own == numbers[rows]).all()):
        column = column.copy()
        column[rows] = own
        return column
    if pd.api.types.is_object_dtype(dtype):
        kind = Decimal if pd.api.types.infer_dtype(column, skipna=True) == "decimal" else float
        return column.mask(rows, pd.Series([kind(number) for number in numbers], index=column.index, dtype=object))
    return pd.Series(np.where(rows, numbers, to_float(column)), index=column.index)


def _filled(column: pd.Series, level: Any, rows: np.ndarray) -> pd.Series:
    """The column with a level in some rows, where it is not missing."""
    if isinstance(column.dtype, pd.CategoricalDtype) and level not in column.cat.categories:
        column = column.cat.add_categories([level])
    return column.where(column.isna() | ~rows, level)
