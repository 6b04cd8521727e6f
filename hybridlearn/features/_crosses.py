"""Columns of levels, and pairs of them whose levels together say more than each alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np

from hybridlearn.features._levels import LevelCounts, LevelTargets
from hybridlearn.features._screen import LEAST_SCORE, level_score
from hybridlearn.features._seen import Guide, Seen, is_text
from hybridlearn.table import UNSEEN

# A number of up to so many values, in the training rows, is as good as a category.
_FEW_VALUES = 16
# Columns that are tried: the others would be too many pairs.
_MOST_COLUMNS = 32


@dataclass(frozen=True)
class LevelColumn:
    """A categorical column, or a number of few values.

    Attributes
    ----------
    name : str
    position : int
        Among the categorical columns, or among the numbers.
    values : ndarray or None
        Of a number, those that it has; None for a category.
    n_levels : int
    """

    name: str
    position: int
    values: np.ndarray | None
    n_levels: int

    def codes(self, seen: Seen) -> np.ndarray:
        """Levels as integers from 0; a missing value is a level of its own, and so are all that were never seen."""
        if self.values is None:
            return seen.codes(self.position) + 2
        numbers = seen.number(self.position)
        place = np.minimum(np.searchsorted(self.values, numbers), len(self.values) - 1)
        codes = np.where(self.values[place] == numbers, place + 2, 0)
        return np.where(np.isnan(numbers), 1, codes)


def level_columns(seen: Seen) -> list[LevelColumn]:
    """The columns of levels, categories first; as many as may be tried."""
    columns = [
        LevelColumn(str(column.name), j, None, len(column.levels) + 2)
        for j, column in enumerate(seen.schema.categorical)
        if len(column.levels) > 1 and not is_text(column)
    ]
    for j, name in enumerate(seen.schema.numeric_names):
        numbers = seen.number(j)
        # most columns tell at once that they have more values
        if len(np.unique(numbers[:1000])) > _FEW_VALUES + 1:
            continue
        values = np.unique(numbers[~np.isnan(numbers)])
        if 1 < len(values) <= _FEW_VALUES:
            columns.append(LevelColumn(name, j, values, len(values) + 2))
    return columns[:_MOST_COLUMNS]


@dataclass(frozen=True)
class Cross:
    """Two columns of levels, and which pairs of their levels the training rows hold."""

    first: LevelColumn
    second: LevelColumn
    pairs: np.ndarray

    @classmethod
    def of(cls, first: LevelColumn, second: LevelColumn, seen: Seen) -> Self:
        """Learn the pairs."""
        return cls(first, second, np.unique(_pair_codes(first, second, seen)))

    @property
    def name(self) -> str:
        """Of the pair."""
        return f"{self.first.name} x {self.second.name}"

    def codes(self, seen: Seen) -> np.ndarray:
        """Positions in `pairs`; UNSEEN for a pair that the training rows do not hold."""
        keys = _pair_codes(self.first, self.second, seen)
        place = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        return np.where(self.pairs[place] == keys, place, UNSEEN)


def _pair_codes(first: LevelColumn, second: LevelColumn, seen: Seen) -> np.ndarray:
    return first.codes(seen) * second.n_levels + second.codes(seen)


class Crosses:
    """Of pairs of columns of levels: the target's smoothed mean where both meet, and how often they do."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        sample = seen.take(guide.sample)
        columns = level_columns(seen) if len(sample) else []
        codes = [column.codes(sample) for column in columns]
        alone = [max(level_score(own, guide.residual, guide.weight), 0.0) for own in codes]
        scores = {}
        for i, j in combinations(range(len(columns)), 2):
            together = level_score(codes[i] * columns[j].n_levels + codes[j], guide.residual, guide.weight)
            scores[i, j] = together - max(alone[i], alone[j])
        best = sorted(scores, key=lambda pair: -scores[pair])[: min(guide.most, guide.most_coded)]
        self._crosses = [Cross.of(columns[i], columns[j], seen) for i, j in best if scores[i, j] > LEAST_SCORE]
        names = [cross.name for cross in self._crosses]
        self._targets = LevelTargets(names)
        self._counts = LevelCounts(names).fit(self._codes(seen))
        self.names = [*self._targets.named(guide.labels), *self._counts.names]
        return self

    def _codes(self, seen: Seen) -> Iterator[np.ndarray]:
        return (cross.codes(seen) for cross in self._crosses)

    def training_columns(self, seen: Seen, guide: Guide) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        yield from self._targets.training_columns(self._codes(seen), guide)
        yield from self._counts.columns(self._codes(seen))

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        yield from self._targets.columns(self._codes(seen))
        yield from self._counts.columns(self._codes(seen))
