"""A classifier as an attack sees it: candidates in, how far they are from another decision out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn.crossfit import margin, no_news_of_levels
from hybridlearn.robustness._decision import Decision
from hybridlearn.table import Box, FeatureConstraints


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows that others may become, one each.

    Attributes
    ----------
    numbers : ndarray of shape (n_rows, n_numeric), float64
    levels : ndarray of shape (n_rows, n_columns_of_levels), int
        As :meth:`Box.candidates` takes them.
    """

    numbers: np.ndarray
    levels: np.ndarray

    def take(self, rows: np.ndarray) -> Candidates:
        """Of some rows."""
        return Candidates(self.numbers[rows], self.levels[rows])

    def put(self, rows: np.ndarray, others: Candidates) -> None:
        """Others in place of some rows."""
        self.numbers[rows], self.levels[rows] = others.numbers, others.levels


@dataclass(eq=False)
class Target:
    """A model, rows, what they may become, and the best that was found so far.

    Attributes
    ----------
    model : fitted classifier
    box : Box
    constraints : FeatureConstraints
    decision : Decision
        On the rows as they are.
    best : Candidates
    ahead : ndarray of shape (n_rows,)
        How far the best is from another decision; below 0 it has turned.
    n_queries : ndarray of shape (n_rows,), int
        Candidates of each row that the model was asked about.
    """

    model: Any
    box: Box
    constraints: FeatureConstraints
    decision: Decision
    best: Candidates = field(init=False)
    ahead: np.ndarray = field(init=False)
    n_queries: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n_rows = len(self.box)
        self.best = Candidates(self.box.numbers.copy(), np.full((n_rows, len(self.box.levels)), -1))
        self.ahead = self.decision.distance.copy()
        self.n_queries = np.zeros(n_rows, dtype=np.int64)
        names = [self.box.frame.columns[place] for place in self.box.places]
        follows = self.constraints.follows(self.box.frame)
        self.follows = np.array([name in follows for name in names], dtype=bool)
        self.whole = np.array([name in self.constraints.integer for name in names], dtype=bool)

    @property
    def free(self) -> np.ndarray:
        """Which numbers may move by themselves, shape (n_rows, n_numeric), bool: not those that follow from others."""
        return (self.box.upper > self.box.lower) & ~self.follows

    def settled(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Numbers in the box, whole where they must be."""
        lower, upper, given = self.box.lower[rows], self.box.upper[rows], self.box.numbers[rows]
        # what is whole stays in the box, for its ends are whole too; a row that was not whole may stay as it is
        numbers = np.where(self.whole & (numbers != given), np.rint(numbers), numbers)
        return np.where(self.free[rows], np.clip(numbers, lower, upper), given)

    def ask(self, candidates: Candidates, rows: np.ndarray, *, keep: bool = True) -> np.ndarray:
        """How far candidates for some rows are from another decision; unless `keep` is False, better ones are kept.

        A row may be there several times.

        Returns
        -------
        ndarray of shape (n_asked,)
            Infinite where a candidate breaks a relation.
        """
        if len(rows) == 0:
            return np.empty(0)
        frame, is_allowed = self._rows(candidates, rows)
        found = np.full(len(rows), np.inf)
        if is_allowed.any():
            found[is_allowed] = self._ahead(frame.iloc[np.flatnonzero(is_allowed)], rows[is_allowed])
        np.add.at(self.n_queries, rows[is_allowed], 1)
        if not keep:
            return found
        better = np.flatnonzero(found < self.ahead[rows])
        # the best of a row comes last, and stays
        better = better[np.argsort(-found[better], kind="stable")]
        self.ahead[rows[better]] = found[better]
        self.best.put(rows[better], candidates.take(better))
        return found

    def forget(self, rows: np.ndarray) -> None:
        """Take back what was found for some rows."""
        self.best.put(rows, Candidates(self.box.numbers[rows], np.full_like(self.best.levels[rows], -1)))
        self.ahead[rows] = self.decision.distance[rows]

    def frame(self) -> pd.DataFrame:
        """The best rows; those for which nothing was found are as they are, to the last bit."""
        frame = self.box.candidates(self.best.numbers, self.best.levels)
        completed = self.constraints.completed(frame)
        is_found = self.ahead < self.decision.distance
        for name in self.constraints.follows(frame):
            completed[name] = frame[name].where(~is_found, completed[name])
        return completed

    def _rows(self, candidates: Candidates, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        box = self.box.take(rows)
        frame = box.candidates(candidates.numbers, candidates.levels)
        if not self.constraints.relations:
            return frame, np.ones(len(rows), dtype=bool)
        frame = self.constraints.completed(frame)
        follows = box.numbers_in(frame)[:, self.follows]
        lower, upper = box.lower[:, self.follows], box.upper[:, self.follows]
        inside = ((follows >= lower) & (follows <= upper) | np.isnan(lower)).all(axis=1)
        is_whole = (follows == np.rint(follows)) | (follows == box.numbers[:, self.follows]) | np.isnan(follows)
        inside &= (is_whole | ~self.whole[self.follows]).all(axis=1)
        return frame, inside & self.constraints.holds(frame)

    def _ahead(self, frame: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        with no_news_of_levels():
            margins = margin(self.model, self.box.as_given(frame))
        return self.decision.take(rows).at(margins)


def verified(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Which of the best rows ``predict`` decides otherwise, and how; the others are forgotten.

    Returns
    -------
    success : ndarray of shape (n_rows,), bool
    codes : ndarray of shape (n_rows,), int
        Classes that are predicted of the rows that stay.
    """
    with no_news_of_levels():
        found = np.asarray(target.model.predict(target.box.as_given(target.frame())))
    # what abstains decides for no class
    codes = pd.Index(target.model.classes_).get_indexer(pd.Index(found))
    success = (codes != target.decision.codes) & (codes >= 0)
    target.forget(np.flatnonzero(~success))
    return success, codes
