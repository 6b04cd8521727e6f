"""What a part of a model sees of rows that move in a box, step by step; what it could see between is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from hybridlearn._compat import safe_indexing
from hybridlearn.crossfit import Part
from hybridlearn.modules import NotCertifiableError
from hybridlearn.table import Box, TableEncoder, is_coarse

# Of these, floats of any width rise with a number to the last bit; of curves, to many bits.
_LINES = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, SimpleImputer)
_CURVES = (PowerTransformer, QuantileTransformer, TableEncoder)
_OF_LEVELS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)
# What curves may lose of a number of size 1, many times over.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Moves:
    """Tables that the rows of a box may become.

    Attributes
    ----------
    given : table
        As they are.
    ends : list of tables
        With all numbers at their least, and at their largest, in each of the widths that they may have.
    others : dict of int to list of tables
        By position of a column, with each of its levels.
    """

    given: Any
    ends: list[Any]
    others: dict[int, list[Any]]

    @classmethod
    def of(cls, box: Box) -> Moves:
        """As a model gets them."""
        others: dict[int, list[Any]] = {}
        for place, table in box.alternatives():
            others.setdefault(place, []).append(table)
        return cls(box.table, box.ends(), others)

    def mapped(self, step: Callable[[Any], Any]) -> Moves:
        """What a step makes of all of them."""
        others = {place: [step(table) for table in tables] for place, tables in self.others.items()}
        return Moves(step(self.given), [step(table) for table in self.ends], others)

    def tables(self) -> Iterator[Any]:
        """All but the rows as they are."""
        yield from self.ends
        for tables in self.others.values():
            yield from tables

    def widened(self) -> Moves:
        """Of arrays behind curves, the same with ends that are as far out as rounding may take what lies between."""
        ends = np.stack([self.given, *self.ends])
        low, high = ends.min(axis=0), ends.max(axis=0)
        width = np.where(low < high, _ROUNDING * (1 + np.maximum(np.abs(low), np.abs(high))), 0.0)
        return Moves(self.given, [*self.ends, low - width, high + width], self.others)


def moved(part: Part, box: Box, *, check: bool = True) -> Moves:
    """A box as the estimator of a part sees it.

    Raises
    ------
    NotCertifiableError
        Unless `check` is False, where what lies between the ends of the box may become something else.
    """
    moves = Moves.of(box)
    for step in part.chain:
        if check:
            check_by_column(step)
            _check_moves(step, [moves.given, *moves.ends])
        moves = moves.mapped(step.transform)
    if check:
        _check_schema(getattr(part.estimator, "encoder_", None), [moves.given, *moves.ends])
    return moves


def check_by_column(step: Any) -> None:
    """A NotCertifiableError unless a transformer looks at columns one by one, and rises or falls with numbers."""
    for inner, _ in _inner(step):
        check_by_column(inner)
    kind = type(step)
    if kind in (Pipeline, ColumnTransformer, *_LINES, *_CURVES, *_OF_LEVELS) or step in ("passthrough", "drop", None):
        if kind is SimpleImputer and not pd.isna(step.missing_values):
            raise NotCertifiableError(f"SimpleImputer replaces {step.missing_values!r}, which a number may pass")
    elif kind is not FunctionTransformer or step.func is not None:
        hint = "; fit the hybrid with features=None" if kind.__name__ == "FeatureBuilder" else ""
        raise NotCertifiableError(f"no bounds are known for what {kind.__name__} makes of the columns{hint}")


def is_curved(step: Any) -> bool:
    """Whether a step is more than a line of each number."""
    return type(step) in _CURVES or any(is_curved(inner) for inner, _ in _inner(step))


def _inner(step: Any) -> list[tuple[Any, Any]]:
    """Transformers inside of one, and the columns that they get; None of all."""
    if isinstance(step, Pipeline):
        return [(inner, None) for _, inner in step.steps]
    if isinstance(step, ColumnTransformer):
        # what gets no column was not fitted
        own = step.transformers_
        return [(inner, columns) for _, inner, columns in own if isinstance(columns, str | slice) or len(columns)]
    return []


def _check_moves(step: Any, tables: list[Any]) -> None:
    """A NotCertifiableError where numbers move that a step takes for levels, or whose curve is too coarse."""
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            _check_moves(inner, tables)
            if hasattr(inner, "transform"):
                tables = [inner.transform(table) for table in tables]
        return
    for inner, columns in _inner(step):
        _check_moves(inner, [safe_indexing(table, columns, axis=1) for table in tables])
    if type(step) in _OF_LEVELS:
        moving = _moving(tables)
        numbers = [pd.api.types.is_numeric_dtype(pd.Series(own).infer_objects()) for own in step.categories_]
        if (moving & np.array(numbers)).any():
            raise NotCertifiableError(
                f"{type(step).__name__} takes numbers for categories: what it makes of them neither rises nor falls"
            )
    elif type(step) is TableEncoder:
        _check_schema(step, tables)
    elif is_curved(step) and any(_is_coarse(table) for table in tables) and _moving(tables).any():
        raise NotCertifiableError(f"{type(step).__name__} is too coarse a curve in float32; give the table as float64")


def _check_schema(encoder: Any, tables: list[Any]) -> None:
    """A NotCertifiableError where numbers move that an encoder has learned as categories: they are no intervals."""
    schema = getattr(encoder, "schema_", getattr(encoder, "schema", None))
    if schema is None or not len(schema.categorical_places):
        return
    moving = _moving(tables)
    learned = [schema.columns[place].name for place in schema.categorical_places if moving[place]]
    if learned:
        raise NotCertifiableError(
            f"columns {learned} were categories in fit and hold numbers now; make them categories, or immutable"
        )


def _moving(tables: list[Any]) -> np.ndarray:
    """Which columns differ between the ends of a box, bool of shape (n_columns,)."""
    given, *ends = (pd.DataFrame(table.toarray() if hasattr(table, "toarray") else table) for table in tables)
    return np.array([any(_differ(given.iloc[:, i], end.iloc[:, i]) for end in ends) for i in range(given.shape[1])])


def _differ(one: pd.Series, other: pd.Series) -> bool:
    there = one.notna().to_numpy()
    if (there != other.notna().to_numpy()).any():
        return True
    return bool((one[there].to_numpy(dtype=object) != other[there].to_numpy(dtype=object)).any())


def _is_coarse(table: Any) -> bool:
    dtypes = table.dtypes if isinstance(table, pd.DataFrame) else [table.dtype]
    return any(is_coarse(dtype) for dtype in dtypes)
