"""A number among the rows of a level: their mean and spread, and where it stands among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from hybridlearn.features._crosses import LevelColumn, level_columns
from hybridlearn.features._numbers import best_numbers
from hybridlearn.features._screen import LEAST_SCORE, number_score
from hybridlearn.features._seen import Guide, Seen

# The mean of a level counts as if so many average rows were in it.
_SMOOTHING = 5.0
_STATISTICS = ("mean", "std", "standing", "rank")


@dataclass(frozen=True)
class Moments:
    """Of a number in each level, and smoothed by the number in all rows; sums are of the distance from its mean there.

    Attributes
    ----------
    centre, spread : float
        Mean and standard deviation in all rows.
    n_rows, total, square : ndarray of shape (n_levels,)
        Rows of a level, their sum and sum of squares.
    """

    centre: float
    spread: float
    n_rows: np.ndarray
    total: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, numbers: np.ndarray, n_levels: int) -> Self:
        """Learn them; the numbers hold no missing value."""
        # about the overall mean: those of large numbers would cancel each other out
        centre = float(numbers.mean()) if len(numbers) else np.nan
        away = numbers - centre
        spread = float(away.std() or 1.0) if len(numbers) else 1.0
        n_rows, total, square = (np.bincount(codes, own, n_levels) for own in (None, away, away**2))
        return cls(centre, spread, n_rows, total, square)

    def at(self, codes: np.ndarray, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation in the level of each row.

        Parameters
        ----------
        codes : ndarray of int of shape (n_rows,)
        own : ndarray of shape (n_rows,), optional
            Of the rows that the moments were learned from, their numbers: each is left out of its own level.
        """
        n_rows, total, square = (moment[codes] for moment in (self.n_rows, self.total, self.square))
        if own is not None:
            away = np.nan_to_num(own - self.centre)
            n_rows, total, square = n_rows - ~np.isnan(own), total - away, square - away**2
        n_rows = n_rows + _SMOOTHING
        mean = total / n_rows
        variance = (square + _SMOOTHING * self.spread**2) / n_rows - mean**2
        return self.centre + mean, np.sqrt(np.maximum(variance, 1e-12 * self.spread**2))


@dataclass(frozen=True)
class Group:
    """A number within the levels of a column.

    Attributes
    ----------
    level : LevelColumn
    number : int
        Its position among the numbers.
    moments : Moments
    values : ndarray of shape (n_values,)
        That the number has in the training rows, sorted.
    keys : ndarray of shape (n_known,)
        Of these rows, their level and the place of their number, as one sorted number.
    """

    level: LevelColumn
    number: int
    moments: Moments
    values: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, level: LevelColumn, number: int, seen: Seen) -> Self:
        """Learn what the levels hold."""
        codes, numbers = level.codes(seen), seen.number(number)
        known = ~np.isnan(numbers)
        codes, numbers = codes[known], numbers[known]
        values, place = np.unique(numbers, return_inverse=True)
        moments = Moments.of(codes, numbers, level.n_levels)
        return cls(level, number, moments, values, np.sort(codes * (len(values) + 1) + place))

    def columns(self, seen: Seen, *, is_training: bool = False) -> Iterator[np.ndarray]:
        """Mean and spread of the row's level; its number less the mean, by the spread; the share of lower ones.

        Of training rows, all of them are of the other rows: of a new row's level, it is none either.
        """
        codes, numbers = self.level.codes(seen), seen.number(self.number)
        mean, std = self.moments.at(codes, numbers if is_training else None)
        yield mean
        yield std
        yield (numbers - mean) / std
        yield self._rank(codes, numbers, n_own=int(is_training))

    def _rank(self, codes: np.ndarray, numbers: np.ndarray, *, n_own: int) -> np.ndarray:
        """Share of the level's training rows that are below, half of those that are equal included."""
        size = len(self.values) + 1
        below, upto = (
            np.searchsorted(self.keys, codes * size + np.searchsorted(self.values, numbers, side=side))
            for side in ("left", "right")
        )
        first, last = (np.searchsorted(self.keys, (codes + k) * size) for k in (0, 1))
        n_rows = last - first - n_own
        below_or_half = (below + upto - n_own) / 2 - first
        rank = np.divide(below_or_half, n_rows, out=np.full(len(codes), np.nan), where=n_rows > 0)
        return np.where(np.isnan(numbers), np.nan, rank)


class Groups:
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
                mean, std = Moments.of(own[known], numbers[known], level.n_levels).at(own, numbers)
                score = number_score((numbers - mean) / std, guide.residual, guide.weight) - alone
                found.append((score, level, number))
        found.sort(key=lambda one: -one[0])
        chosen = [(level, number) for score, level, number in found[: guide.most] if score > LEAST_SCORE]
        self._groups = [Group.of(level, number, seen) for level, number in chosen]
        of = seen.schema.numeric_names
        self.names = [f"{kind}({of[j]} by {level.name})" for level, j in chosen for kind in _STATISTICS]
        return self

    def training_columns(self, seen: Seen, guide: Guide) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for group in self._groups:
            yield from group.columns(seen, is_training=True)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for group in self._groups:
            yield from group.columns(seen)
