"""The out-of-fold table: the only thing that blending, calibration, thresholds and audits may read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn.crossfit._ledger import Entry, Ledger
from hybridlearn.crossfit._margin import FoldModel

BLEND = "blend"


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Margins of every member for rows that it never saw.

    Attributes
    ----------
    margins : dict of str to ndarray of shape (n_rows, n_outputs)
        By member, and under ``"blend"`` the blend with weights fitted without the row's fold, once there is one.
        NaN where a row is in no test part.
    fold : ndarray of shape (n_rows,)
        The fold whose test part holds the row, -1 for none. Of bags, whose test parts overlap: the part of the rows
        without which weights and temperature are learned that judge the row.
    target : ndarray of shape (n_rows,)
        Class codes, or numbers.
    classes : ndarray of shape (n_classes,) or None
        Labels behind the codes; None in regression.
    weight : ndarray of shape (n_rows,)
    positions : ndarray of shape (n_rows,)
        Of the rows in what was handed to ``fit``: rows of weight 0 are not in this table.
    is_ordered : bool
        Whether folds go forward in time.
    tests : list of ndarray of int
        Rows that each of a member's models never saw and predicted.
    models : dict of str to list of FoldModel
        Fitted members, one a fold.
    fit_seconds : dict of str to float
        Over all folds.
    failed : dict of str to str
        Members that were skipped, with their error.
    ledger : Ledger
        Which rows each step saw.
    cut : dict of str to str or None, default=None
        Under a time limit, what was cut of each member, also of those that were skipped; "" where nothing was.
    """

    margins: dict[str, np.ndarray]
    fold: np.ndarray
    target: np.ndarray
    classes: np.ndarray | None
    weight: np.ndarray
    positions: np.ndarray
    is_ordered: bool
    tests: list[np.ndarray]
    models: dict[str, list[FoldModel]]
    fit_seconds: dict[str, float]
    failed: dict[str, str]
    ledger: Ledger
    cut: dict[str, str] | None = None

    @property
    def members(self) -> list[str]:
        """Names of the members that were fitted."""
        return list(self.models)

    @property
    def covered(self) -> np.ndarray:
        """Which rows have an out-of-fold margin, bool of shape (n_rows,)."""
        return self.fold >= 0

    @property
    def left_out(self) -> np.ndarray:
        """Which of a member's models never saw which row, bool of shape (n_rows, n_models)."""
        left_out = np.zeros((len(self.fold), len(self.tests)), dtype=bool)
        for k, test in enumerate(self.tests):
            left_out[test, k] = True
        return left_out

    @property
    def coverage(self) -> float:
        """Share of the rows that have one."""
        return float(self.covered.mean())

    @property
    def frame(self) -> pd.DataFrame:
        """One row a row: ``fold``, ``target`` (labels), margins; multiclass margins as ``member[label]``."""
        target = self.target if self.classes is None else self.classes[self.target]
        columns: dict[str, Any] = {"fold": self.fold, "target": target}
        for name, margin in self.margins.items():
            if self.classes is None or margin.shape[1] == 1:
                columns[name] = margin[:, 0]
            else:
                columns |= {f"{name}[{label}]": margin[:, k] for k, label in enumerate(self.classes)}
        return pd.DataFrame(columns, index=pd.Index(self.positions, name="row"))

    def second_level(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Of each fold, (its number, rows to learn from that judge it, its own rows): how steps behind the members go.

        They learn from the rows of the other folds; in order of time, from those of earlier folds, of which the first
        has none.
        """
        rows = np.flatnonzero(self.covered)
        fold = self.fold[rows]
        return [
            (int(k), rows[fold < k] if self.is_ordered else rows[fold != k], rows[fold == k]) for k in np.unique(fold)
        ]

    def with_blend(self, margin: np.ndarray, entries: list[Entry]) -> OutOfFold:
        """The table with the blend's margin, and with the steps that made it in its ledger."""
        return replace(self, margins=self.margins | {BLEND: margin}, ledger=self.ledger.extended(entries))
