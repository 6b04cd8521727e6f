"""``hybridlearn fit``: from a table in a file to a model in a file."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.api import types

from ._cli_columns import numbers_in, row_of, typed
from ._cli_errors import UserError, blaming, check_input, check_output, listed
from ._cli_tables import TableFile, open_table
from ._device import resolve_device
from .crossfit import MemberError
from .persistence import save
from .training import load_optimiser

__all__ = ["fit"]

# Whole numbers are labels when they are few, and each stands in some rows.
_MOST_WHOLE_LABELS = 20
_ROWS_A_LABEL = 5
_MOSTLY = 0.5


@dataclass(frozen=True)
class _Target:
    """The target as it is fitted, and why it is taken for labels or for numbers."""

    values: pd.Series
    is_classification: bool
    why: str


def fit(arguments: argparse.Namespace) -> None:
    """Read the table, fit a hybrid, print its leaderboard, save it."""
    check_input(arguments.table, "table")
    check_output(arguments.output, arguments.table)
    with blaming(ValueError):
        resolve_device(arguments.device)
    table = open_table(arguments.table, sep=arguments.sep)
    roles = _roles(table, arguments)
    features = [name for name in table.names if name not in {*roles.values(), *arguments.drop}]
    if not features:
        raise UserError(f"{table.path} has no column left to learn from")
    frame = table.whole([*features, *roles.values()])
    if frame.empty:
        raise UserError(f"{table.path} has a header and no rows")

    target = _read_target(frame[roles["target"]], table, arguments)
    if table.is_text:
        others = [*features, *(name for role, name in roles.items() if role != "target")]
        frame = pd.DataFrame({name: typed(frame[name], decimal=arguments.decimal) for name in others})
    task = "classification" if target.is_classification else "regression"
    print(
        f"{task} of {roles['target']!r}, which {target.why}; {len(frame):,} rows, {len(features)} features", flush=True
    )
    estimator = _estimator(arguments, target)
    given = {keyword: frame[roles[role]] for keyword, role in _HANDED_ON.items() if role in roles}
    for role in ("weights", "time"):
        _check_ordered(frame, roles, role)
    _fit(estimator, frame[features], target, given)
    print(f"\n{estimator.leaderboard_.to_string(index=False)}\nscore: {estimator.scoring}, out of fold\n")
    with blaming(OSError):
        save(estimator, arguments.output, notes={"target": roles["target"]})
        print(f"Model: {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")


# What fit() calls the columns that are no features.
_HANDED_ON = {"sample_weight": "weights", "groups": "groups", "time": "time"}


def _roles(table: TableFile, arguments: argparse.Namespace) -> dict[str, str]:
    """Columns by what they are for; none is for two things."""
    given = {role: getattr(arguments, role) for role in ("target", *_HANDED_ON.values())}
    roles = {role: name for role, name in given.items() if name is not None}
    for option, name in [*roles.items(), *(("drop", name) for name in arguments.drop)]:
        if name not in table.names:
            raise UserError(f"--{option} {name}: {table.path} has no such column; it has {listed(table.names)}")
    named = [*roles.values(), *set(arguments.drop)]
    for name in named:
        if named.count(name) > 1:
            raise UserError(f"column {name!r} is named for two things; it can be the target or one of the others")
    unnamed = [str(i) for i, name in enumerate(table.names, start=1) if not name]
    if unnamed and "" not in named:
        raise UserError(f"{table.path}: column {unnamed[0]} has no name; give it one, or leave it out with --drop ''")
    return roles


def _check_ordered(frame: pd.DataFrame, roles: dict[str, str], role: str) -> None:
    """Weights are numbers, times are numbers or moments."""
    if role not in roles:
        return
    kinds = "biuf" if role == "weights" else "biufmM"
    column = frame[roles[role]]
    if column.dtype.kind not in kinds:
        held = "numbers" if role == "weights" else "numbers or dates such as 2024-12-31"
        raise UserError(f"--{role} {column.name}: it must hold {held}, not {_example(column)}")
    if column.isna().any():
        raise UserError(f"--{role} {column.name}: it is missing in row {row_of(column.isna())}")


def _example(column: pd.Series) -> str:
    known = column.dropna()
    return f"values such as {known.iloc[0]!r}" if len(known) else "nothing"


def _read_target(column: pd.Series, table: TableFile, arguments: argparse.Namespace) -> _Target:
    missing = column.isna()
    if missing.any():
        raise UserError(
            f"target {column.name!r} is missing in {int(missing.sum())} of {len(column)} rows, first in row "
            f"{row_of(missing)}; take them out of {table.path}"
        )
    dtype = column.dtype
    is_text = types.is_string_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype)
    if not is_text and types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype):
        return _of_numbers(column, column.astype("float64"), arguments.task)
    if is_text:
        numbers, bad = numbers_in(column, decimal=arguments.decimal)
        if not bad.any():
            return _of_numbers(column, numbers, arguments.task)
        if arguments.task == "regression" or (arguments.task == "auto" and bad.mean() < _MOSTLY):
            row = row_of(bad)
            raise UserError(
                f"target {column.name!r} holds numbers, but row {row} has {column.iloc[row - 1]!r}; mend it, or say "
                "--task classification where these are labels"
            )
    if types.is_datetime64_any_dtype(dtype) or dtype.kind == "m" or arguments.task == "regression":
        raise UserError(f"target {column.name!r} holds {dtype}, which is no number to regress on, nor a label")
    holds = "truths" if types.is_bool_dtype(dtype) else "text"
    return _Target(column, True, f"holds {holds} ({column.nunique()} labels)")


def _of_numbers(column: pd.Series, numbers: pd.Series, task: str) -> _Target:
    """Numbers to regress on, or labels that look like numbers; labels stay as they are written."""
    n_labels = column.nunique()
    is_whole = bool((numbers % 1 == 0).all())
    is_few = n_labels <= _MOST_WHOLE_LABELS and n_labels * _ROWS_A_LABEL <= len(column)
    if task == "classification" or (task == "auto" and is_whole and is_few):
        return _Target(column, True, f"holds {n_labels} different numbers")
    if not is_whole:
        return _Target(numbers, False, "holds numbers that are not whole")
    return _Target(numbers, False, f"holds {n_labels} different whole numbers in {len(column):,} rows")


def _estimator(arguments: argparse.Namespace, target: _Target) -> Any:
    import hybridlearn

    kind = hybridlearn.HybridClassifier if target.is_classification else hybridlearn.HybridRegressor
    names = ("preset", "checkpoint", "time_limit")
    return kind(
        device=arguments.device,
        n_jobs=arguments.jobs,
        random_state=arguments.seed,
        verbose=1,
        **{name: value for name in names if (value := getattr(arguments, name)) is not None},
    )


def _fit(estimator: Any, X: pd.DataFrame, target: _Target, given: dict[str, pd.Series]) -> None:
    # what a process loads once is not what --time-limit limits: under a short one, little else would be done
    load_optimiser()
    try:
        estimator.fit(X, target.values, **given)
    except MemberError:
        # a default member takes what passes the checks of fit: this is ours to mend, not the user's
        raise
    except ValueError as error:
        raise UserError(str(error)) from error
