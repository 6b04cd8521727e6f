"""Anomaly detectors with p-values: how rarely a row like those of ``fit`` looks as strange as this one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.model_selection import check_cv
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

from hybridlearn._splits import folds
from hybridlearn.crossfit import no_news_of_levels
from hybridlearn.table import MISSING, UNSEEN, Schema, TableEncoder

GUARDS = ("lof", "one_class_svm", "isolation_forest")
# Of more rows the kernel is approximated: its own cost grows with their square.
_MOST_ROWS_OF_KERNEL = 10_000
_MOST_LEVELS = 50
# Of rows whose level no other row has: what share of new rows has a new one (Good and Turing).
_MOST_ALONE = 0.01


@dataclass(frozen=True, eq=False)
class Novelties:
    """What a table has never shown: a gap in a column without gaps, another value of a constant, a level.

    Attributes
    ----------
    schema : Schema
        What the table has shown of each column.
    constant : ndarray of shape (n_numbers,), float64
        Of the numeric block, the only value of a column; NaN of others.
    """

    schema: Schema
    constant: np.ndarray

    @classmethod
    def of(cls, X: pd.DataFrame) -> Novelties:
        """Read what a table of shape (n_rows, n_columns) shows."""
        schema = Schema.from_data(X)
        numbers = schema.numeric_block(X)
        return cls(schema, np.where((numbers == numbers[0]).all(axis=0), numbers[0], np.nan))

    def count(self, X: pd.DataFrame) -> np.ndarray:
        """How many of them each row holds, shape (n_rows,)."""
        schema, columns = self.schema, self.schema.columns
        is_full = np.array([column.n_missing == 0 for column in columns], dtype=bool)
        # where few rows have a level to themselves, a new level is news
        is_closed = [column.counts.count(1) <= _MOST_ALONE * schema.n_rows for column in schema.categorical]
        numbers, codes = schema.numeric_block(X), schema.category_codes(X, warn=False)
        is_gap = np.isnan(numbers)
        is_new = (is_gap & is_full[schema.numeric_places]) | (
            ~is_gap & ~np.isnan(self.constant) & (numbers != self.constant)
        )
        is_new_level = (codes == MISSING) & is_full[schema.categorical_places]
        is_new_level |= (codes == UNSEEN) & np.array(is_closed, dtype=bool)
        return is_new.sum(axis=1) + is_new_level.sum(axis=1)


@dataclass(frozen=True, eq=False)
class FoldGuard:
    """A detector fitted on the training part of a fold, and the scores of the rows that it never saw, sorted."""

    encoder: TableEncoder
    detector: Any
    novelties: Novelties
    scores: np.ndarray

    @classmethod
    def fit(cls, guard: Any, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> FoldGuard:
        """Fit encoder and detector on the one table, and score the other."""
        encoder = TableEncoder(encode="onehot", max_levels=_MOST_LEVELS).fit(train)
        detector = make_detector(guard, len(train), seed).fit(encoder.transform(train))
        new = cls(encoder, detector, Novelties.of(train), np.empty(0))
        return replace(new, scores=np.sort(new.score(test)))

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Higher is more normal: by novelties, many of which the encoder does not show, and then by the detector."""
        scores = _scores(self.detector, self.encoder.transform(X))
        return scores / (1 + np.abs(scores)) - 2 * self.novelties.count(X)

    def n_as_strange(self, X: pd.DataFrame) -> np.ndarray:
        """How many of those rows look as strange as each row of a table."""
        return np.searchsorted(self.scores, self.score(X), side="right")


@dataclass(frozen=True, eq=False)
class ConformalGuard:
    """Detectors of several folds, each of which knows how rows look that it never saw.

    Attributes
    ----------
    folds : list of FoldGuard
    n_rows : int
        That calibrate, over all folds.
    """

    folds: list[FoldGuard]
    n_rows: int

    @classmethod
    def fit(
        cls,
        guard: Any,
        X: pd.DataFrame,
        y: Any,
        *,
        cv: Any,
        seed: int,
        groups: np.ndarray | None = None,
        time: np.ndarray | None = None,
    ) -> ConformalGuard:
        """Fit encoder and detector in each fold, and score the rows left out; `y` is for splitters that look at it."""
        if isinstance(cv, Integral):
            splits = folds(None, groups, n_rows=len(X), n_splits=int(cv), seed=seed, time=time)
        else:
            splits = list(check_cv(cv).split(X, y, groups=groups))
        with no_news_of_levels():
            found = [FoldGuard.fit(guard, X.iloc[train], X.iloc[test], seed) for train, test in splits]
        return cls(found, sum(len(fold.scores) for fold in found))

    def p_values(self, X: pd.DataFrame) -> np.ndarray:
        """Of each row, (1 + rows that look as strange) / (1 + all rows that calibrate)."""
        with no_news_of_levels():
            n_as_strange = np.sum([fold.n_as_strange(X) for fold in self.folds], axis=0)
        return np.asarray((1 + n_as_strange) / (1 + self.n_rows))


def make_detector(guard: Any, n_rows: int, seed: int) -> Any:
    """A detector by its name, or a clone of one that is given."""
    if guard == "lof":
        return LocalOutlierFactor(n_neighbors=min(20, max(1, n_rows - 1)), novelty=True)
    if guard == "isolation_forest":
        return IsolationForest(random_state=seed)
    if guard == "one_class_svm":
        if n_rows <= _MOST_ROWS_OF_KERNEL:
            return OneClassSVM()
        return make_pipeline(Nystroem(random_state=seed), SGDOneClassSVM(random_state=seed))
    return clone(guard)


def check_detector(guard: Any) -> None:
    """A TypeError unless it is a name, or an estimator that scores rows, the normal ones higher."""
    if isinstance(guard, str) or hasattr(guard, "score_samples") or hasattr(guard, "decision_function"):
        return
    hint = "; set novelty=True" if isinstance(guard, LocalOutlierFactor) else ""
    raise TypeError(
        f"guard must be one of {list(GUARDS)} or a detector with score_samples or decision_function, higher where a "
        f"row is normal, got {guard!r:.80}{hint}"
    )


def _scores(detector: Any, encoded: np.ndarray) -> np.ndarray:
    """Higher is more normal."""
    score = detector.score_samples if hasattr(detector, "score_samples") else detector.decision_function
    return np.asarray(score(encoded), dtype=np.float64).ravel()
