"""The rows of a training part, resampled, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from imblearn import combine, over_sampling, under_sampling
from imblearn.under_sampling.base import BaseCleaningSampler, BaseUnderSampler
from sklearn.base import BaseEstimator, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.class_weight import compute_class_weight

from hybridlearn._random import seed_nested
from hybridlearn.resampling._mixed import MixedSMOTE
from hybridlearn.resampling._prior import prior_shift
from hybridlearn.table import CATEGORICAL, Schema, TableEncoder, TrainingRows, take_rows

WEIGHTS = "weights"
_SAMPLERS: dict[str, Callable[[], BaseEstimator]] = {
    "adasyn": over_sampling.ADASYN,
    "borderline": over_sampling.BorderlineSMOTE,
    "enn": under_sampling.EditedNearestNeighbours,
    "near-miss": under_sampling.NearMiss,
    "over": over_sampling.RandomOverSampler,
    "smote": MixedSMOTE,
    "smote-enn": combine.SMOTEENN,
    "smote-tomek": combine.SMOTETomek,
    "svm-smote": over_sampling.SVMSMOTE,
    "tomek": under_sampling.TomekLinks,
    "under": under_sampling.RandomUnderSampler,
}
CORRECTIONS = frozenset({"auto", "prior", "recalibrate", "none"})
SAMPLER_NAMES = frozenset({*_SAMPLERS, WEIGHTS})


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows to train on.

    Attributes
    ----------
    rows : TrainingRows
    origin : ndarray of shape (n_rows,), int
        Which of the rows before each row is, or was begun from.
    is_weighted : bool
        Whether their weights count, though the user gave none.
    shift : ndarray of shape (n_outputs,) or None
        What puts back the prior.
    """

    rows: TrainingRows
    origin: np.ndarray
    is_weighted: bool = False
    shift: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Resampling:
    """What is done to the rows of a training part before a classifier is fitted on them.

    Attributes
    ----------
    sampler : sampler or "weights"
        With its seed.
    classes : ndarray of shape (n_classes,)
        Labels of the codes, by which a sampler knows them.
    correct : {"auto", "prior", "recalibrate", "none"}, default="auto"
        What puts the margin right again.
    """

    sampler: Any
    classes: np.ndarray
    correct: str = "auto"

    @classmethod
    def of(cls, given: Any, classes: Any, correct: str = "auto") -> Self:
        """With a sampler by its name, or a clone of the one that is given."""
        if isinstance(given, type):
            raise TypeError(f"{given.__name__} is a class; give a sampler of it: {given.__name__}()")
        is_made = isinstance(given, str) and given != WEIGHTS
        sampler = given if given == WEIGHTS else _SAMPLERS[given]() if is_made else clone(given)
        return cls(sampler, classes, correct)

    @property
    def puts_back(self) -> bool:
        """Whether margins are shifted by what the weights of the classes have become.

        Where rows are left out by chance alone, that is all that resampling changes.
        """
        is_plain = isinstance(self.sampler, under_sampling.RandomUnderSampler)
        return self.correct == "prior" or (self.correct == "auto" and is_plain)

    @property
    def recalibrates(self) -> bool:
        """Whether out-of-fold margins must tell how to put the margin right."""
        return self.correct == "recalibrate" or (self.correct == "auto" and not self.puts_back)

    def seeded(self, rng: np.random.RandomState) -> Resampling:
        """The same with a seed of its own, where it is open."""
        if isinstance(self.sampler, str):
            return self
        return replace(self, sampler=seed_nested(clone(self.sampler), rng))

    def draw(self, rows: TrainingRows, *, takes_weights: bool) -> Drawn:
        """Resample; where it comes to the same as weights, no row is copied for who takes them.

        Raises
        ------
        ValueError
            Where the sampler cannot be used on these rows.
        """
        everything = np.arange(len(rows))
        if len(np.unique(rows.target)) == 1:
            return Drawn(rows, everything)
        if self.sampler == WEIGHTS:
            if not takes_weights:
                raise ValueError("'weights' need a classifier that takes sample_weight; use 'over', which repeats rows")
            drawn = Drawn(self._balanced(rows), everything, is_weighted=True)
        elif type(self.sampler) is over_sampling.RandomOverSampler and self.sampler.shrinkage is None and takes_weights:
            _, _, sampler = self._resample(everything[:, None], rows)
            counts = np.bincount(sampler.sample_indices_, minlength=len(rows))
            drawn = Drawn(rows.reweighted(counts), everything, is_weighted=True)
        else:
            drawn = self._drawn(rows)
        return replace(drawn, shift=self._shift(rows, drawn.rows)) if self.puts_back else drawn

    def _balanced(self, rows: TrainingRows) -> TrainingRows:
        present = np.unique(rows.target)
        each = np.zeros(len(self.classes))
        each[present] = compute_class_weight("balanced", classes=present, y=rows.target, sample_weight=rows.weight)
        return rows.reweighted(each[rows.target])

    def _drawn(self, rows: TrainingRows) -> Drawn:
        X, codes, sampler = self._resample_table(rows)
        origin = getattr(sampler, "sample_indices_", None)
        if origin is None or len(origin) != len(codes):
            origin, other, step = _found(rows, X, codes)
        else:
            other, step = (
                getattr(sampler, "neighbor_indices_", origin),
                getattr(sampler, "steps_", np.zeros(len(codes))),
            )
        if rows.time is not None:
            # nobody learns from a row made of a later one before that one's time
            later = rows.time[other] > rows.time[origin]
            step = np.where(later, 1 - step, step)
            origin, other = np.where(later, other, origin), np.where(later, origin, other)
        weight = rows.weight[origin] + step * (rows.weight[other] - rows.weight[origin])
        are_made = len(np.unique(origin)) < len(origin) or (origin != other).any()
        parents = np.column_stack([origin, other]) if are_made else None
        return Drawn(replace(rows.take(origin), X=X, target=codes, weight=weight, parents=parents), origin)

    def _resample_table(self, rows: TrainingRows) -> tuple[Any, np.ndarray, Any]:
        """Resampled `X` and class codes, and the sampler."""
        selects = isinstance(self.sampler, BaseUnderSampler | BaseCleaningSampler)
        if selects and _odd_columns(rows.X) and not isinstance(self.sampler, under_sampling.RandomUnderSampler):
            # which rows are near is told by what they are as numbers; those that stay do so as they are
            encoded = TableEncoder(encode="onehot").fit_transform(rows.X)
            _, codes, sampler = self._resample(encoded, rows)
            if hasattr(sampler, "sample_indices_"):
                return take_rows(rows.X, sampler.sample_indices_), codes, sampler
        return self._resample(rows.X, rows)

    def _resample(self, X: Any, rows: TrainingRows) -> tuple[Any, np.ndarray, Any]:
        sampler = clone(self.sampler)
        try:
            X, labels = sampler.fit_resample(X, self.classes[rows.target])
        except (TypeError, ValueError) as error:
            odd = _odd_columns(X)
            hint = f"; columns {odd[:5]} are no plain numbers without gaps: use 'smote' (MixedSMOTE), 'over' or 'under'"
            raise ValueError(
                f"{type(sampler).__name__} cannot resample these rows: {error}{hint if odd else ''}"
            ) from error
        return X, np.searchsorted(self.classes, np.asarray(labels)), sampler

    def _shift(self, before: TrainingRows, after: TrainingRows) -> np.ndarray:
        """What puts the prior back; of a class that has lost all its rows, nothing is known."""
        was, became = (np.bincount(rows.target, rows.weight, len(self.classes)) for rows in (before, after))
        known = (was > 0) & (became > 0)
        return prior_shift(np.divide(was, became, out=np.ones(len(known)), where=known))


def _odd_columns(X: Any) -> list[Any]:
    """Names of the columns that are no plain numbers without gaps."""
    if not isinstance(X, pd.DataFrame):
        return []
    schema = Schema.from_data(X)
    return [column.name for column in schema.columns if column.kind == CATEGORICAL or column.n_missing]


def _found(rows: TrainingRows, X: Any, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a sampler that does not tell what its rows were made from: the two nearest of the class, and how far each lies
    from the first to the second.
    """
    origin, other = np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
    step = np.zeros(len(codes))
    before, after = _numbers(rows.X, X)
    for code in np.unique(codes):
        own, new = np.flatnonzero(rows.target == code), np.flatnonzero(codes == code)
        distance, found = NearestNeighbors(n_neighbors=min(2, len(own))).fit(before[own]).kneighbors(after[new])
        way = distance.sum(axis=1)
        step[new] = np.divide(distance[:, 0], way, out=np.zeros(len(new)), where=way > 0)
        origin[new] = own[found[:, 0]]
        other[new] = np.where(step[new] > 0, own[found[:, -1]], origin[new])
    n_before = len(rows)
    if len(codes) >= n_before and (abs(after[:n_before] - before) > 0).sum() == 0:
        # those that are only added to keep their place, though others are the same
        origin[:n_before] = other[:n_before] = np.arange(n_before)
        step[:n_before] = 0
    return origin, other, step


def _numbers(*tables: Any) -> list[Any]:
    """Tables of the same columns as arrays, or matrices, of numbers."""
    if not isinstance(tables[0], pd.DataFrame):
        return list(tables)
    encoder = TableEncoder(encode="onehot").fit(tables[0])
    return [encoder.transform(table) for table in tables]
