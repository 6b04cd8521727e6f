"""What the families of features read: a table in numbers and level codes, and what they may learn it by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, Self

import numpy as np
import pandas as pd

from hybridlearn.table import CATEGORICAL, Column, Schema, TrainingRows

# Levels that are many, of several words each, and of few rows each are text.
_FEWEST_TEXTS, _FEWEST_WORDS, _MOST_ROWS_A_TEXT = 32, 2.0, 3.0
# A family has at most one target code for so many training rows, and no more than a booster can read in good time.
_ROWS_A_CODE, _MOST_CODES = 10, 100


@dataclass(frozen=True)
class Seen:
    """A table as the families read it: column by column, so that it never stands in memory twice.

    Attributes
    ----------
    schema : Schema
        Of the training rows.
    X : DataFrame of shape (n_rows, n_columns)
        With the columns of the schema.
    """

    schema: Schema
    X: pd.DataFrame

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray) -> Seen:
        """Some of the rows."""
        return Seen(self.schema, self.X.iloc[rows])

    def number(self, j: int) -> np.ndarray:
        """Column `j` of :meth:`Schema.numeric_block`, shape (n_rows,), float64."""
        for i, column in enumerate(self.schema.columns):
            own = Schema((column,), self.schema.n_rows)
            n_parts = len(own.numeric_names)
            if j < n_parts:
                # a copy: one part of a datetime must not hold the others in memory
                return next(islice(own.numeric_columns(self.X.iloc[:, [i]]), j, None)).copy()
            j -= n_parts
        raise IndexError(j)

    def codes(self, j: int) -> np.ndarray:
        """Column `j` of :meth:`Schema.category_codes`, shape (n_rows,), int64."""
        i = [i for i, column in enumerate(self.schema.columns) if column.kind == CATEGORICAL][j]
        own = Schema((self.schema.columns[i],), self.schema.n_rows)
        return own.category_codes(self.X.iloc[:, [i]], warn=False)[:, 0]


@dataclass(frozen=True)
class Guide:
    """What a family may learn its features by.

    Attributes
    ----------
    rows : TrainingRows
        All of the training.
    classification : bool
    labels : list of str
        Of the outputs of the target: one, in multiclass one a class.
    sample : ndarray of int of shape (n_sample,)
        Rows by which features are screened.
    residual : ndarray of shape (n_sample, n_outputs)
        What a fast model that never saw a row leaves of its target.
    weight : ndarray of shape (n_sample,)
        Of these rows.
    seed : int
    most : int
        Features, or pairs, that a family may choose.
    """

    rows: TrainingRows
    classification: bool
    labels: list[str]
    sample: np.ndarray
    residual: np.ndarray
    weight: np.ndarray
    seed: int
    most: int

    @property
    def most_coded(self) -> int:
        """Columns of levels that may get target codes: of many classes and few rows, codes would be mostly noise."""
        return min(len(self.rows) // _ROWS_A_CODE, _MOST_CODES) // len(self.labels)


class Family(Protocol):
    """Features of one kind."""

    names: list[str]

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """Learn which features there are, and what they need of the training rows."""
        ...

    def training_columns(self, seen: Seen, guide: Guide) -> Iterator[np.ndarray]:
        """The features of the training rows one by one; of a row, none knows its own target."""
        ...

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """The features of new rows one by one, each of shape (n_rows,)."""
        ...


def is_text(column: Column) -> bool:
    """Whether a column holds text rather than names of levels; what was declared a category is none."""
    n_levels = len(column.levels)
    if column.kind != CATEGORICAL or column.dtype == "category" or n_levels < _FEWEST_TEXTS:
        return False
    n_words = float(np.mean([level.count(" ") + 1 for level in column.levels]))
    return n_words >= _FEWEST_WORDS and sum(column.counts) <= _MOST_ROWS_A_TEXT * n_levels
