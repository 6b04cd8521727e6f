"""What the families of features read: a table in numbers and level codes, and what they may learn it by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from hybridlearn.table import CATEGORICAL, Column, Schema, TrainingRows

# A category whose levels are many, and of several words each, is text.
_FEWEST_TEXTS, _FEWEST_WORDS = 32, 2.0


@dataclass(frozen=True)
class Seen:
    """A table, read once for all families.

    Attributes
    ----------
    schema : Schema
        Of the training rows.
    X : DataFrame of shape (n_rows, n_columns)
    numbers : ndarray of shape (n_rows, n_numeric), float64
        :meth:`Schema.numeric_block`.
    codes : ndarray of shape (n_rows, n_categorical), int64
        :meth:`Schema.category_codes`.
    """

    schema: Schema
    X: pd.DataFrame
    numbers: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, schema: Schema, X: pd.DataFrame) -> Self:
        """Read a table with the columns of the schema."""
        return cls(schema, X, schema.numeric_block(X), schema.category_codes(X, warn=False))

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray) -> Seen:
        """Some of the rows."""
        return Seen(self.schema, self.X.iloc[rows], self.numbers[rows], self.codes[rows])


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
    seed : int
    most : int
        Features, or pairs, that a family may choose.
    """

    rows: TrainingRows
    classification: bool
    labels: list[str]
    sample: np.ndarray
    residual: np.ndarray
    seed: int
    most: int


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
    """Whether a column holds text rather than names of levels."""
    if column.kind != CATEGORICAL or len(column.levels) < _FEWEST_TEXTS:
        return False
    return float(np.mean([level.count(" ") + 1 for level in column.levels])) >= _FEWEST_WORDS
