"""Which models never saw which rows, and what they say of these or of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hybridlearn.crossfit import OutOfFold, margins_by_member, no_news_of_levels
from hybridlearn.table import take_rows


def judges(ensemble: Any, table: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training rows that the same models never saw, and what these, with weights of other folds, say of the table.

    Yields (positions of training rows, margins of shape (n_rows, n_outputs)); each covered row comes once.
    """
    oof: OutOfFold = ensemble.oof_
    with no_news_of_levels():
        margins = np.stack([np.stack(own) for own in margins_by_member(oof.models, table).values()])
    for rows, fold, models in _kinds(oof):
        mean = margins[:, models].mean(axis=1)
        with no_news_of_levels():
            told = ensemble.judge(fold).margin(mean, table)
        yield rows, told


def replayed(ensemble: Any, table: Any) -> np.ndarray:
    """Of each training row, as the table has it now, the margin by models that never saw it; see ``replay``."""
    oof: OutOfFold = ensemble.oof_
    n_given = oof.positions.max() + 1
    if table.shape[0] < n_given:
        raise ValueError(f"X has {table.shape[0]} rows; it must hold those that fit was given, at least {n_given}")
    found = np.full((table.shape[0], next(iter(oof.margins.values())).shape[1]), np.nan)
    for rows, fold, models in _kinds(oof):
        own = take_rows(table, oof.positions[rows])
        asked = {
            name: [m for m, is_one in zip(each, models, strict=True) if is_one] for name, each in oof.models.items()
        }
        with no_news_of_levels():
            margins = np.stack([np.mean(each, axis=0) for each in margins_by_member(asked, own).values()])
            found[oof.positions[rows]] = ensemble.judge(fold).margin(margins, own)
    return found


def _kinds(oof: OutOfFold) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Rows that are judged alike: these, the fold whose weights judge them, and which models never saw them."""
    rows = np.flatnonzero(oof.covered)
    kinds, kind = np.unique(np.column_stack([oof.fold, oof.left_out])[rows], axis=0, return_inverse=True)
    for i, (fold, *own) in enumerate(kinds):
        yield rows[kind == i], int(fold), np.array(own, dtype=bool)
