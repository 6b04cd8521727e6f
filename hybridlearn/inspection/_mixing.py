"""Rows that have some columns of one row and the others of another."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd

Origins = list[tuple[int, ...]]


class Mixer:
    """Mixtures of rows of tables that lie one behind the other.

    Parameters
    ----------
    *tables : DataFrame or ndarray
        Of the same columns.
    """

    def __init__(self, *tables: Any):
        if all(isinstance(table, pd.DataFrame) for table in tables):
            self.table: Any = pd.concat(tables, ignore_index=True)
        else:
            self.table = np.concatenate([np.asarray(table) for table in tables])

    @property
    def n_columns(self) -> int:
        return self.table.shape[1]

    @property
    def names(self) -> list[Hashable]:
        """Names of the columns, or their positions."""
        return list(self.table.columns) if isinstance(self.table, pd.DataFrame) else list(range(self.n_columns))

    def take(self, rows: np.ndarray) -> Any:
        """Mixed rows.

        Parameters
        ----------
        rows : ndarray of shape (n_mixed, n_columns), int
            Of each mixed row and column, the row whose value it has.

        Returns
        -------
        DataFrame or ndarray of shape (n_mixed, n_columns)
        """
        if not isinstance(self.table, pd.DataFrame):
            return self.table[rows, np.arange(self.n_columns)]
        columns = {i: self.table.iloc[:, i].take(rows[:, i]).reset_index(drop=True) for i in range(self.n_columns)}
        return pd.DataFrame(columns).set_axis(self.table.columns, axis=1)

    def changed(self, column: int) -> Any:
        """The table with another value of one column in each row, where there is another.

        Values follow each other in a circle: so a function of the column alone, unless it is constant, changes in
        some row.
        """
        values = self.table.iloc[:, column] if isinstance(self.table, pd.DataFrame) else self.table[:, column]
        codes, distinct = pd.factorize(values, use_na_sentinel=False)
        first = np.full(len(distinct), -1)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        rows = np.tile(np.arange(len(codes))[:, None], self.n_columns)
        rows[:, column] = first[(codes + 1) % len(distinct)]
        return self.take(rows)


def find_origins(encode: Callable[[Any], np.ndarray], plain: Any, *changed: Any) -> Origins | None:
    """Which columns of a table each encoded column is made of: those that change it.

    Parameters
    ----------
    encode : callable
        From a table to (n_rows, n_encoded).
    plain : table
    *changed : tables
        As :meth:`Mixer.changed` makes them, one a column.

    Returns
    -------
    list of tuple of int, or None
        One an encoded column, empty of one that is constant; None where one varies that no column changes alone.
    """
    encoded = encode(plain)
    moves = np.array([_differs(encode(table), encoded).any(axis=0) for table in changed])
    varies = _differs(encoded, encoded[:1]).any(axis=0)
    if (varies & ~moves.any(axis=0)).any():
        return None
    return [tuple(np.flatnonzero(column)) for column in moves.T]


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))
