"""What stands in front of all members: a transformer that is fitted once a fold, and may look at the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from scipy import sparse
from sklearn.base import clone

from hybridlearn._random import seed_nested
from hybridlearn._splits import Split
from hybridlearn.crossfit._ledger import Ledger
from hybridlearn.crossfit._member import MemberError, no_news_of_levels
from hybridlearn.crossfit._parallel import run_jobs
from hybridlearn.table import TrainingRows, take_rows

FRONT = "features"


@dataclass(frozen=True)
class Fronted:
    """The rows as the members of one fold see them.

    Attributes
    ----------
    rows : TrainingRows
        With what the transformer made of the fold's training part when it was fitted on it, and of the other rows
        after that.
    transformer : transformer or None
        Fitted; None where members see the rows as they are.
    """

    rows: TrainingRows
    transformer: Any = None


def fit_fronts(
    transformer: Any,
    rows: TrainingRows,
    splits: Sequence[Split],
    *,
    classification: bool,
    weighted: bool,
    rng: np.random.RandomState,
    n_jobs: int | None,
) -> list[Fronted]:
    """Fit a transformer on the training part of each fold.

    Parameters
    ----------
    transformer : transformer or None
        Weights, groups and times reach it where its ``fit_transform`` takes them by name.
    rows : TrainingRows
    splits : sequence of (train, test)
    classification : bool
        Told to those that have a parameter ``task`` which is "auto": class codes and numbers may look alike.
    weighted : bool
        Whether the user gave weights.
    rng : RandomState
    n_jobs : int or None

    Returns
    -------
    list of Fronted
        One a fold.

    Raises
    ------
    MemberError
        Where it fails.
    """
    if transformer is None:
        return [Fronted(rows)] * len(splits)
    told = _told_task(clone(transformer), "classification" if classification else "regression")
    seeded = [seed_nested(clone(told), rng) for _ in splits]
    jobs = [
        delayed(_fit_front)(own, rows, np.unique(train), weighted)
        for own, (train, _) in zip(seeded, splits, strict=True)
    ]
    return list(run_jobs(jobs, n_jobs))


def _told_task(transformer: Any, task: str) -> Any:
    params = transformer.get_params(deep=True) if hasattr(transformer, "get_params") else {}
    names = [name for name in params if name == "task" or name.endswith("__task")]
    open_to_us = {name: task for name in names if isinstance(params[name], str) and params[name] == "auto"}
    return transformer.set_params(**open_to_us) if open_to_us else transformer


def _fit_front(transformer: Any, rows: TrainingRows, train: np.ndarray, weighted: bool) -> Fronted:
    training = rows.take(train)
    others = np.setdiff1d(np.arange(len(rows)), train)
    beside = {name: getattr(training, name) for name in ("groups", "time", "parents")}
    beside["sample_weight"] = training.weight if weighted else None
    try:
        tables = [fit_transformed(transformer, training.X, training.target, beside)[0]]
        if len(others):
            with no_news_of_levels():
                tables.append(transformer.transform(take_rows(rows.X, others)))
    except Exception as error:
        raise MemberError(f"{FRONT} ({type(transformer).__name__}) failed: {type(error).__name__}: {error}") from error
    if sum(table.shape[0] for table in tables) != len(rows):
        raise MemberError(f"{FRONT} ({type(transformer).__name__}) must give a row for each row that it gets")
    together = take_rows(_stacked(tables), np.argsort(np.concatenate([train, others])))
    return Fronted(replace(rows, X=together), transformer)


def fit_transformed(transformer: Any, X: Any, y: Any, beside: dict[str, Any]) -> tuple[Any, Any]:
    """What a transformer makes of the rows it is fitted on, and the transformer.

    Of weights, groups and times in `beside` it gets those that are not None and that its ``fit_transform`` names.
    """
    if not hasattr(transformer, "fit_transform"):
        return transformer.fit(X, y).transform(X), transformer
    taken = {name: value for name, value in beside.items() if value is not None and fits_with(transformer, name)}
    return transformer.fit_transform(X, y, **taken), transformer


def fits_with(step: Any, parameter: str) -> bool:
    """Whether it is a transformer whose ``fit_transform`` names the parameter."""
    return hasattr(step, "fit_transform") and parameter in signature(step.fit_transform).parameters


def record_fronts(ledger: Ledger, splits: Sequence[Split]) -> None:
    """Enter the fits of a transformer in front of all members."""
    for k, (train, test) in enumerate(splits):
        ledger.record(FRONT, FRONT, k, fitted_on=np.unique(train), predicted=test)


def _stacked(tables: list[Any]) -> Any:
    if isinstance(tables[0], pd.DataFrame):
        return pd.concat(tables, ignore_index=True)
    return sparse.vstack(tables, format="csr") if sparse.issparse(tables[0]) else np.concatenate(tables)
