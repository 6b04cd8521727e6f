"""A table as columns that a person can read: numbers as they are, a column a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from hybridlearn.table import Schema

# Levels that get a column, the most frequent first.
_MOST_LEVELS = 20


@dataclass(frozen=True, eq=False)
class PlainTable:
    """What reads tables so.

    Attributes
    ----------
    schema : Schema
    levels : list of ndarray of int
        Of each categorical column, the levels that get a column.
    """

    schema: Schema
    levels: list[np.ndarray]

    @classmethod
    def of(cls, X: Any) -> Self:
        """Learn the columns of a table; missing numbers stay missing, and a missing category has no level."""
        schema = Schema.from_data(_frame(X))
        levels = [np.sort(np.argsort(-np.array(c.counts), kind="stable")[:_MOST_LEVELS]) for c in schema.categorical]
        return cls(schema, levels)

    @property
    def names(self) -> list[str]:
        """Of the columns that :meth:`transform` gives."""
        shown = zip(self.schema.categorical, self.levels, strict=True)
        return [
            *self.schema.numeric_names,
            *(f"{column.name} = {column.levels[code]}" for column, own in shown for code in own),
        ]

    def transform(self, X: Any) -> np.ndarray:
        """The columns of new rows, shape (n_rows, len(names)), float64."""
        frame = _frame(X)
        codes = self.schema.category_codes(frame, warn=False)
        blocks = [codes[:, [j]] == own for j, own in enumerate(self.levels)]
        return np.column_stack([self.schema.numeric_block(frame), *blocks]).astype(np.float64)


def _frame(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    array = np.asarray(X)
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])]).infer_objects()
