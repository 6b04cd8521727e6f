"""Fingerprints of rows: a hash of what they hold, whatever holds it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_array
from scipy import sparse

from hybridlearn.table._frame import to_datetime

_MISSING = np.array([np.nan]).view(np.uint64)[0]
_MOMENT = np.uint64(0x9E3779B97F4A7C15)  # keeps moments apart from the numbers whose bits they would have
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_LARGEST_EXACT = 2**53  # up to here a float64 holds every integer
_MOMENTS = (dt.date, np.datetime64)
_SPANS = (dt.timedelta, np.timedelta64)
_NUMBERS = (Real, Decimal, np.bool_)
_NUMBERS_AT_ONCE = 2**17  # so many stay in the cache
_FIRST_TARGET = 2**32


def row_hashes(X: Any, target: Any) -> np.ndarray:
    """Hash each row with its target: the same for the same values, in this process and in any other.

    Containers, dtypes and names of columns do not matter (but a number rounded to float32 is another number, unless it
    was one before): True, 1 and 1.0 are one value, so are 0.0 and -0.0, a text
    and the category of that text, a moment in two time zones (without one it is in UTC), and all that is missing. The
    text "1" is not the number 1, and columns count in their order. Rows that differ share a hash by chance alone, one
    pair in 2^64.

    Parameters
    ----------
    X : DataFrame, ndarray of shape (n_rows, ...) or sparse matrix
    target : array-like of shape (n_rows,) or (n_rows, n_outputs)
        Labels or numbers.

    Returns
    -------
    ndarray of shape (n_rows,), uint64

    Examples
    --------
    >>> X = pd.DataFrame({"age": [31, 58], "job": pd.Categorical(["cook", None])})
    >>> same = np.array([[31.0, "cook"], [58.0, np.nan]], dtype=object)
    >>> row_hashes(X, [True, False]) == row_hashes(same, np.array([1, 0]))
    array([ True,  True])
    """
    # hashes of value and position are summed up: so the zeros of a sparse matrix are those of an empty row, and a frame
    # is read column by column
    return _sum_of_columns(X, first=1) + _sum_of_columns(target, first=_FIRST_TARGET)


def _sum_of_columns(table: Any, *, first: int) -> np.ndarray:
    """Hashes of all values of each row, summed up modulo 2^64."""
    if sparse.issparse(table):
        return _sum_of_sparse(table, first)
    if isinstance(table, np.ndarray):
        table = table.reshape(len(table), math.prod(table.shape[1:]))
        if table.dtype.kind in "biuf" and _is_exact(table):
            return _sum_of_numbers(table, first)
    frame = pd.DataFrame(table)
    total = np.zeros(len(frame), dtype=np.uint64)
    for j, salt in enumerate(_salts(first, frame.shape[1])):
        total += hash_array(_bits(frame.iloc[:, j]) + salt)
    return total


def _sum_of_numbers(table: np.ndarray, first: int) -> np.ndarray:
    salts = _salts(first, table.shape[1])
    total = np.empty(len(table), dtype=np.uint64)
    n_rows = max(1, _NUMBERS_AT_ONCE // max(1, table.shape[1]))
    for start in range(0, len(table), n_rows):
        bits = _number_bits(table[start : start + n_rows]) + salts
        total[start : start + n_rows] = hash_array(bits.ravel()).reshape(bits.shape).sum(axis=1)
    return total


def _sum_of_sparse(table: Any, first: int) -> np.ndarray:
    rows = sparse.csr_array(table, copy=True)
    rows.sum_duplicates()
    salts = _salts(first, rows.shape[1])
    total = np.full(rows.shape[0], hash_array(salts).sum(), dtype=np.uint64)
    of_zero = salts[rows.indices]
    change = hash_array(_bits(pd.Series(rows.data)) + of_zero) - hash_array(of_zero)
    np.add.at(total, np.repeat(np.arange(len(total)), np.diff(rows.indptr)), change)
    return total


def _salts(first: int, n_columns: int) -> np.ndarray:
    """What the bits of a value get added for the column in which it stands."""
    return hash_array(np.arange(first, first + n_columns, dtype=np.uint64))


def _bits(column: pd.Series) -> np.ndarray:
    """64 bits a value: those of a number, or of what stands for anything else."""
    dtype: Any = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return _bits(column.astype(dtype.subtype))
    if isinstance(dtype, pd.CategoricalDtype):
        return np.append(_bits(pd.Series(column.cat.categories)), _MISSING)[column.cat.codes.to_numpy()]
    if dtype.kind == "M" or isinstance(dtype, pd.PeriodDtype):
        return _time_bits(to_datetime(column), "datetime64")
    if dtype.kind == "m":
        return _time_bits(column, "timedelta64")
    if dtype.kind in "biuf" and _is_exact(column.dropna()):
        return _number_bits(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _object_bits(column.to_numpy(dtype=object))


def _is_exact(numbers: Any) -> bool:
    """Whether float64 holds all integers among them."""
    if numbers.dtype.kind not in "iu" or numbers.size == 0:
        return True
    return max(-int(numbers.min()), int(numbers.max())) <= _LARGEST_EXACT


def _number_bits(numbers: Any) -> np.ndarray:
    """The bits of float64, with one zero and one NaN."""
    floats = np.add(numbers, 0.0, dtype=np.float64)
    bits = floats.view(np.uint64)
    bits[np.isnan(floats)] = _MISSING
    return bits


def _time_bits(times: pd.Series, kind: str) -> np.ndarray:
    """Nanoseconds modulo 2^64, so that the unit of the dtype does not matter."""
    values = times.to_numpy(dtype=f"{kind}[{times.dt.unit}]")
    nanoseconds = values.view(np.int64).astype(np.uint64) * np.uint64(_NANOSECONDS[times.dt.unit])
    return np.where(np.isnat(values), _MISSING, nanoseconds + _MOMENT)


def _object_bits(values: np.ndarray) -> np.ndarray:
    """Value by value, as alike columns of one kind would have it."""
    try:
        codes, distinct = pd.factorize(values)
    except TypeError:
        # lists and the like
        codes, distinct = pd.factorize(np.fromiter(map(_hashable, values), dtype=object, count=len(values)))
    plain = [value if type(value) in (str, float) else _plain(value) for value in distinct]
    bits = np.empty(len(plain) + 1, dtype=np.uint64)
    bits[-1] = _MISSING
    to_bits: dict[type, Callable[[list], Any]] = {
        str: _text_bits,
        float: _number_bits,
        int: partial(np.asarray, dtype=np.uint64),
    }
    for kind in set(map(type, plain)):
        places = [i for i, value in enumerate(plain) if type(value) is kind]
        bits[places] = to_bits[kind]([plain[i] for i in places])
    return bits[codes]


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value


def _plain(value: Any) -> str | float | int:
    """A number as a float, a time as its bits, anything else as text; an integer that no float holds as its digits."""
    if isinstance(value, pd.Period):
        value = value.to_timestamp()
    if isinstance(value, _MOMENTS):
        return _bits_of_time(pd.Timestamp(value))
    if isinstance(value, _SPANS):  # some of which numpy takes for integers
        return _bits_of_time(pd.Timedelta(value))
    if not isinstance(value, _NUMBERS):
        return str(value)
    try:
        number = float(value)
    except OverflowError:
        return str(value)
    return str(value) if isinstance(value, Integral) and int(value) != number else number


def _bits_of_time(time: pd.Timestamp | pd.Timedelta) -> int:
    return (int(time.asm8.view(np.int64)) * _NANOSECONDS[time.unit] + int(_MOMENT)) % 2**64


def _text_bits(texts: list[str]) -> np.ndarray:
    # half of a surrogate pair is text too
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return hash_array(np.array(encoded, dtype=object), categorize=False)
