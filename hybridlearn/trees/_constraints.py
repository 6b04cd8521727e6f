"""Constraints on the columns of a table as constraints on the encoded columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
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


def interaction_constraints(interaction_cst: Any, schema: Schema, column_of: np.ndarray) -> str:
    """Groups of encoded columns, as XGBoost reads them: on a way from root to leaf only those of one group are split.

    Parameters
    ----------
    interaction_cst : {"no_interactions", "pairwise"} or list of lists of column names or positions
        As in scikit-learn: columns that are in no list are one more group.
    schema : Schema
        Of the table.
    column_of : ndarray of shape (n_encoded,), int
        Column of the table that each encoded one is made of.

    Raises
    ------
    ValueError
        On a word or a column that is not known.
    """
    everything = range(len(schema.columns))
    if isinstance(interaction_cst, str):
        sizes = {"no_interactions": 1, "pairwise": 2}
        if interaction_cst not in sizes:
            raise ValueError(f"interaction_cst must be one of {list(sizes)}, a list or None, got {interaction_cst!r}")
        groups = [list(own) for own in combinations(everything, min(sizes[interaction_cst], len(schema.columns)))]
    else:
        groups = [[_place(column, schema) for column in own] for own in interaction_cst]
        rest = sorted(set(everything).difference(*groups))
        groups += [rest] if rest else []
    # as text: in a list it looks for names, which our tables of encoded columns do not have
    return json.dumps([np.flatnonzero(np.isin(column_of, own)).tolist() for own in groups])


def _place(column: Any, schema: Schema) -> int:
    names = [each.name for each in schema.columns]
    if column in names:
        return names.index(column)
    if isinstance(column, int | np.integer) and 0 <= column < len(names):
        return int(column)
    raise ValueError(f"interaction_cst names a column that is not in X: {column!r}")
