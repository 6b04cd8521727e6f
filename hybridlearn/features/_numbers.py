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


def best_numbers(sample: Seen, guide: Guide) -> dict[str, np.ndarray]:
    """The numbers that say most of the target by themselves, with their values in the sample, in the table's order."""
    if len(sample) == 0:
        return {}
    target = guide.rows.target
    outcome = np.eye(int(target.max()) + 1)[target] if guide.classification else target[:, None]
    outcome = outcome[guide.sample]
    numbers = {name: sample.number(name) for name in sample.schema.numeric_names}
    scores = {
        name: number_score(values, outcome) for name, values in numbers.items() if len(np.unique(values[:1000])) > 2
    }
    best = sorted(scores, key=lambda name: -scores[name])[:_MOST_NUMBERS]
    return {name: values for name, values in numbers.items() if name in best}


class Numbers(Unsupervised):
    """Of pairs of numbers, the operation that says most of what a fast model leaves of the target."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        numbers = best_numbers(seen.take(guide.sample), guide)
        alone = {name: max(number_score(values, guide.residual), 0.0) for name, values in numbers.items()}
        found = []
        for first, second in combinations(numbers, 2):
            scores = {
                sign: number_score(self._applied(sign, numbers[first], numbers[second]), guide.residual)
                for sign in _OPERATIONS
            }
            sign = max(scores, key=lambda own: scores[own])
            found.append((scores[sign] - max(alone[first], alone[second]), first, sign, second))
        found.sort(key=lambda one: -one[0])
        self._pairs = [pair for score, *pair in found[: guide.most] if score > LEAST_SCORE]
        self.names = [" ".join(pair) for pair in self._pairs]
        return self

    @staticmethod
    def _applied(sign: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(_OPERATIONS[sign](a, b), -_LARGEST, _LARGEST)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for first, sign, second in self._pairs:
            yield self._applied(sign, seen.number(first), seen.number(second))
