"""The trees of a model: what they split, what they add up to, and how low and how high their sum may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import logit

from hybridlearn._protocols import SumOfTrees
from hybridlearn.crossfit import Part, no_news_of_levels, parts_of
from hybridlearn.modules import NotCertifiableError
from hybridlearn.robustness._moves import Moves, is_curved, moved
from hybridlearn.table import Box
from hybridlearn.trees import Forest, booster_of, is_sum_of_trees, reachable_sums

# Between a margin and the sum that it should be, in units of the largest margin.
_TOLERANCE = 1e-4
# Objectives whose margin is the sum of the leaves, and whose decision is the sign or the largest of margins.
_OBJECTIVES = {
    *("binary:logistic", "binary:hinge", "multi:softprob", "multi:softmax"),
    *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"),
}


@dataclass(frozen=True, eq=False)
class Trees:
    """Those of a part of a model.

    Attributes
    ----------
    part : Part
    forest : Forest
    columns : ndarray of shape (n_encoded,), int
        Position of the column of numbers of the table that each column is which they split, as it is; -1 of one that
        is anything else.
    seen : callable
        From what the chain of the part gives to the columns that they split.
    rounding : float
        How far float32 may take their sum from what it is, by where it starts.
    """

    part: Part
    forest: Forest
    columns: np.ndarray
    seen: Callable[[Any], np.ndarray]
    rounding: float

    @classmethod
    def of(cls, part: Part) -> Self:
        """Read the trees of a part; a NotCertifiableError names what makes them no sum of trees over numbers."""
        estimator = part.estimator
        seen: Callable[[Any], np.ndarray]
        if isinstance(estimator, SumOfTrees):
            seen, columns = estimator.encoded, estimator.plain_columns()
        else:
            _check_reads_numbers(estimator)
            seen, columns = _as_array, np.arange(estimator.n_features_in_)
        booster = booster_of(estimator)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        if objective not in _OBJECTIVES or callable(getattr(estimator, "objective", None)):
            raise NotCertifiableError(f"of {type(estimator).__name__} with {objective} the margin is no sum of trees")
        try:
            forest = Forest.of(booster)
        except ValueError as error:
            raise NotCertifiableError(str(error)) from error
        start = logit(forest.base_score) if objective == "binary:logistic" else forest.base_score
        n_trees = int((forest.parent < 0).sum())
        rounding = float(np.abs(start).max()) * (1 + n_trees) * float(np.finfo(np.float32).eps) / 2
        return cls(part, forest, np.full(len(columns), -1) if part.chain else columns, seen, rounding)

    def moves(self, box: Box, *, check: bool = False) -> Moves:
        """The columns that they split, of rows of a box."""
        moves = moved(self.part, box, check=check).mapped(self.seen)
        return moves.widened() if any(is_curved(step) for step in self.part.chain) else moves

    def check_sum(self, box: Box, moves: Moves) -> None:
        """A NotCertifiableError where, for rows of a box or their ends, the margin is not what the trees add up to."""
        tables = [box.table, *box.ends()]
        margins = np.concatenate([self.part.margin(table) for table in tables])
        n_outputs = margins.shape[1]
        encoded = np.concatenate([moves.given, *moves.ends][: len(tables)])
        off = margins - reachable_sums(self.forest, encoded, [], n_outputs)[0]
        if n_outputs > 1:
            # margins of classes are centred
            off -= off.mean(axis=1, keepdims=True)
        if (np.ptp(off, axis=0) > _TOLERANCE * (1 + np.abs(margins).max())).any():
            name = type(self.part.estimator).__name__
            raise NotCertifiableError(f"the trees of {name} do not add up to its margin")

    def fall(self, box: Box, wanted: np.ndarray) -> np.ndarray:
        """How far functions of the margin fall below what they are for the rows, at most."""
        moves = self.moves(box)
        n_outputs = wanted.shape[2]
        at = reachable_sums(self.forest, moves.given, [], n_outputs)[0]
        low, high, rounding = reachable_sums(self.forest, moves.given, list(moves.tables()), n_outputs)
        rounding += self.rounding
        rise, sink = high - at + 2 * rounding, at - low + 2 * rounding
        return (np.maximum(wanted, 0) @ sink[..., None] + np.maximum(-wanted, 0) @ rise[..., None])[..., 0]


def trees_of(model: Any) -> list[Trees]:
    """The trees of all parts of a model."""
    with no_news_of_levels():
        return [Trees.of(part) for part in parts_of(model) if is_sum_of_trees(part.estimator)]


def _check_reads_numbers(estimator: Any) -> None:
    """A NotCertifiableError where an estimator of XGBoost reads some numbers as something else."""
    name = type(estimator).__name__
    if not pd.isna(estimator.missing):
        raise NotCertifiableError(f"{name} takes {estimator.missing!r} for missing, which a number may pass")
    if "c" in (estimator.get_booster().feature_types or []):
        raise NotCertifiableError(f"no bounds are known for native categories of {name}")


def _as_array(table: Any) -> np.ndarray:
    if sparse.issparse(table):
        raise NotCertifiableError("a sparse table takes 0 for missing, which a number may pass; make it dense")
    if isinstance(table, pd.DataFrame):
        return table.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(table, dtype=np.float64)
