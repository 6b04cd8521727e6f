"""Sums, differences, products and ratios of two numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Self

import numpy as np

from hybridlearn.features._levels import Unsupervised
from hybridlearn.features._screen import LEAST_SCORE, number_score
from hybridlearn.features._seen import Guide, Seen

# Numbers that are tried: those that say most of the target by themselves.
_MOST_NUMBERS = 24
# As in the table: what does not fit into the float32 of nets and boosters counts as this.
_LARGEST = 1e38


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Missing where the second is 0."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b != 0)


_OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _ratio,
}


def best_numbers(sample: Seen, guide: Guide) -> dict[int, np.ndarray]:
    """The numbers that say most of the target by themselves: positions, in order, and values in the sample."""
    if len(sample) == 0:
        return {}
    target = guide.rows.target
    outcome = np.eye(int(target.max()) + 1)[target] if guide.classification else target[:, None]
    outcome = outcome[guide.sample]
    numbers = {j: sample.number(j) for j in range(len(sample.schema.numeric_names))}
    scores = {
        j: number_score(values, outcome, guide.weight)
        for j, values in numbers.items()
        if len(np.unique(values[:1000])) > 2
    }
    best = sorted(scores, key=lambda j: -scores[j])[:_MOST_NUMBERS]
    return {j: numbers[j] for j in sorted(best)}


class Numbers(Unsupervised):
    """Of pairs of numbers, the operation that says most of what a fast model leaves of the target."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        numbers = best_numbers(seen.take(guide.sample), guide)
        alone = {j: max(number_score(values, guide.residual, guide.weight), 0.0) for j, values in numbers.items()}
        found = []
        for i, j in combinations(numbers, 2):
            scores = {
                sign: number_score(self._applied(sign, numbers[i], numbers[j]), guide.residual, guide.weight)
                for sign in _OPERATIONS
            }
            sign = max(scores, key=lambda own: scores[own])
            found.append((scores[sign] - max(alone[i], alone[j]), i, sign, j))
        found.sort(key=lambda one: -one[0])
        self._pairs = [(i, sign, j) for score, i, sign, j in found[: guide.most] if score > LEAST_SCORE]
        of = seen.schema.numeric_names
        self.names = [f"{of[i]} {sign} {of[j]}" for i, sign, j in self._pairs]
        return self

    @staticmethod
    def _applied(sign: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(_OPERATIONS[sign](a, b), -_LARGEST, _LARGEST)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for i, sign, j in self._pairs:
            yield self._applied(sign, seen.number(i), seen.number(j))
