"""A number among the rows of a level: their mean and spread, and where it stands among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from hybridlearn.features._crosses import LevelColumn, level_columns
from hybridlearn.features._levels import Unsupervised
from hybridlearn.features._numbers import best_numbers
from hybridlearn.features._screen import LEAST_SCORE, number_score
from hybridlearn.features._seen import Guide, Seen

# The mean of a level counts as if so many average rows were in it.
_SMOOTHING = 5.0
_STATISTICS = ("mean", "std", "standing", "rank")


@dataclass(frozen=True)
class Group:
    """A number within the levels of a column.

    Attributes
    ----------
    level : LevelColumn
    number : int
        Its position among the numbers.
    mean, std : ndarray of shape (n_levels,)
        Of each level, those of all rows where it has none.
    values : ndarray of shape (n_values,)
        That the number has in the training rows, sorted.
    keys : ndarray of shape (n_known,)
        Of these rows, their level and the place of their number, as one sorted number.
    """

    level: LevelColumn
    number: int
    mean: np.ndarray
    std: np.ndarray
    values: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, level: LevelColumn, number: int, seen: Seen) -> Self:
        """Learn what the levels hold."""
        codes, numbers = level.codes(seen), seen.number(number)
        known = ~np.isnan(numbers)
        codes, numbers = codes[known], numbers[known]
        mean, std = level_moments(codes, numbers, level.n_levels)
        values, place = np.unique(numbers, return_inverse=True)
        return cls(level, number, mean, std, values, np.sort(codes * (len(values) + 1) + place))

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """Mean and spread of the row's level; its number less the mean, by the spread; the share of lower ones."""
        codes, numbers = self.level.codes(seen), seen.number(self.number)
        yield self.mean[codes]
        yield self.std[codes]
        yield (numbers - self.mean[codes]) / self.std[codes]
        yield self._rank(codes, numbers)

    def _rank(self, codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Share of the level's training rows that are below, half of those that are equal included."""
        size = len(self.values) + 1
        below, upto = (
            np.searchsorted(self.keys, codes * size + np.searchsorted(self.values, numbers, side=side))
            for side in ("left", "right")
        )
        first, last = (np.searchsorted(self.keys, (codes + k) * size) for k in (0, 1))
        n_rows = last - first
        rank = np.divide((below + upto) / 2 - first, n_rows, out=np.full(len(codes), np.nan), where=n_rows > 0)
        return np.where(np.isnan(numbers), np.nan, rank)


def level_moments(codes: np.ndarray, numbers: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed mean and standard deviation of a number in each level, (n_levels,) each."""
    if len(numbers) == 0:
        return np.full(n_levels, np.nan), np.ones(n_levels)
    # moments about the overall mean: those of large numbers would cancel each other out
    centre = numbers.mean()
    away = numbers - centre
    spread = away.std() or 1.0
    n_of = np.bincount(codes, minlength=n_levels) + _SMOOTHING
    mean = np.bincount(codes, away, n_levels) / n_of
    square = (np.bincount(codes, away**2, n_levels) + _SMOOTHING * spread**2) / n_of
    return centre + mean, np.sqrt(np.maximum(square - mean**2, 1e-12 * spread**2))


class Groups(Unsupervised):
    """Numbers within levels, of the pairs that say most of what a fast model leaves of the target."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        sample = seen.take(guide.sample)
        levels = level_columns(seen) if len(sample) else []
        found = []
        codes = [level.codes(sample) for level in levels]
        for number, numbers in best_numbers(sample, guide).items():
            known = ~np.isnan(numbers)
            alone = max(number_score(numbers, guide.residual, guide.weight), 0.0)
            for level, own in zip(levels, codes, strict=True):
                if level.values is not None and level.position == number:
                    continue
                mean, std = level_moments(own[known], numbers[known], level.n_levels)
                score = number_score((numbers - mean[own]) / std[own], guide.residual, guide.weight) - alone
                found.append((score, level, number))
        found.sort(key=lambda one: -one[0])
        chosen = [(level, number) for score, level, number in found[: guide.most] if score > LEAST_SCORE]
        self._groups = [Group.of(level, number, seen) for level, number in chosen]
        of = seen.schema.numeric_names
        self.names = [f"{kind}({of[j]} by {level.name})" for level, j in chosen for kind in _STATISTICS]
        return self

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for group in self._groups:
            yield from group.columns(seen)
