"""Monotonic constraints on the columns of a table as constraints on the encoded columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hybridlearn.table import Schema


def monotone_constraints(monotonic_cst: Any, schema: Schema, n_encoded: int) -> tuple[int, ...]:
    """One of -1, 0, 1 for each encoded column.

    Parameters
    ----------
    monotonic_cst : dict of column name to int, or array-like of shape (n_columns,)
    schema : Schema
        Of the table.
    n_encoded : int
        Columns the booster sees: the numeric block, then categories.

    Raises
    ------
    ValueError
        On another length, an unknown column, a value other than -1, 0, 1, or a constrained column that is not
        numeric or boolean.
    """
    by_name = _by_name(monotonic_cst, schema)
    constraints = []
    for column in schema.columns:
        wanted = by_name.get(column.name, 0)
        if wanted not in (-1, 0, 1):
            raise ValueError(f"monotonic_cst of column {column.name!r} is {wanted!r}; it must be -1, 0 or 1")
        if wanted and column.kind in ("categorical", "datetime"):
            raise ValueError(f"monotonic_cst cannot constrain column {column.name!r}: it is {column.kind}")
        constraints += [int(wanted)] * len(Schema((column,), schema.n_rows).numeric_names)
    return tuple(constraints + [0] * (n_encoded - len(constraints)))


def _by_name(monotonic_cst: Any, schema: Schema) -> Mapping[Any, int]:
    names = [column.name for column in schema.columns]
    if isinstance(monotonic_cst, Mapping):
        unknown = [name for name in monotonic_cst if name not in names]
        if unknown:
            raise ValueError(f"monotonic_cst names columns that are not in X: {unknown}")
        return monotonic_cst
    values = np.asarray(monotonic_cst)
    if values.shape != (len(names),):
        raise ValueError(f"monotonic_cst has shape {values.shape}, but X has {len(names)} columns")
    return dict(zip(names, values.tolist(), strict=True))
