"""Members that come fitted: their margins of a holdout, and the proof, where there is one, that they never saw it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridlearn._splits import folds
from hybridlearn.crossfit import FoldModel, Ledger, OutOfFold
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.table import row_hashes

_N_FOLDS = 5


def table_of_fitted(members: Members, work: Work) -> OutOfFold:
    """Margins of fitted members for the rows of a holdout, all of which they must not have seen.

    Parameters
    ----------
    members : list of (str, fitted estimator)
    work : Work
        Of the holdout.

    Returns
    -------
    OutOfFold
        Its folds part the rows where weights and temperature are judged.

    Raises
    ------
    ValueError
        When a member knows other classes, or was trained on rows of the holdout.
    """
    rows, everything = work.rows, np.arange(len(work.rows))
    hashes = row_hashes(rows.X, rows.target if work.classes is None else work.classes[rows.target])
    models, margins, ledger = {}, {}, Ledger()
    for name, member in members:
        if work.classes is not None:
            _check_classes(name, member, work.classes)
        known = getattr(member, "row_hashes_", None)
        if known is None:
            ledger.record(name, name, 0, fitted_on=None, predicted=everything)
        else:
            _check_unseen(name, np.isin(hashes, known), rows.positions)
            ledger.record("fit", name, 0, fitted_on=everything[:0], predicted=everything)
        models[name] = [FoldModel(member, len(rows) if known is None else len(known), None, work.n_classes)]
        margins[name] = models[name][0].margin(rows.X)
    return OutOfFold(
        margins=margins,
        fold=_parts(work),
        target=rows.target,
        classes=work.classes,
        weight=rows.weight,
        positions=rows.positions,
        is_ordered=rows.time is not None,
        tests=[everything],
        models=models,
        fit_seconds=dict.fromkeys(models, 0.0),
        failed={},
        ledger=ledger,
    )


def _parts(work: Work) -> np.ndarray:
    """The part of each row, shape (n_rows,); in order of time the first part, which judges nothing, too."""
    rows = work.rows
    codes = None if work.classes is None else rows.target
    n_units = len(rows) if rows.groups is None else len(np.unique(rows.groups))
    if rows.time is not None:
        n_units = len(np.unique(rows.time)) - 1
    n_splits = max(1, min(_N_FOLDS, n_units))
    splits = folds(codes, rows.groups, n_rows=len(rows), n_splits=n_splits, seed=work.seed, time=rows.time)
    part = np.zeros(len(rows), dtype=np.int64)
    for k, (_, test) in enumerate(splits):
        part[test] = k + 1
    return part


def _check_classes(name: str, member: Any, classes: np.ndarray) -> None:
    known = np.asarray(member.classes_)
    if not np.array_equal(known, classes):
        raise ValueError(
            f"member {name!r} knows the classes {known.tolist()[:10]}, the holdout has {classes.tolist()[:10]}; they "
            "must be the same"
        )


def _check_unseen(name: str, is_known: np.ndarray, positions: np.ndarray) -> None:
    if is_known.any():
        first = ", ".join(map(str, positions[is_known][:5]))
        raise ValueError(
            f"member {name!r} was trained on {int(is_known.sum())} of the rows declared as a holdout (or on rows equal "
            f"to them), at positions {first}; drop them, or give rows that it has not seen"
        )
