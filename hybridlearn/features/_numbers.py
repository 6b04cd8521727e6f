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


def best_numbers(seen: Seen, guide: Guide) -> list[int]:
    """Positions of the numbers that say most of the target by themselves, in the order of the table."""
    target = guide.rows.target
    outcome = np.eye(int(target.max()) + 1)[target] if guide.classification else target[:, None]
    outcome = outcome[guide.sample]
    numbers = seen.numbers[guide.sample]
    scores = np.array([number_score(numbers[:, j], outcome) for j in range(numbers.shape[1])])
    spread = np.array([len(np.unique(numbers[:1000, j])) > 2 for j in range(numbers.shape[1])], dtype=bool)
    best = np.argsort(-scores, kind="stable")[:_MOST_NUMBERS]
    return sorted(int(j) for j in best if spread[j])


class Numbers(Unsupervised):
    """Of pairs of numbers, the operation that says most of what a fast model leaves of the target."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        numbers = seen.numbers[guide.sample]
        tried = best_numbers(seen, guide)
        alone = {j: number_score(numbers[:, j], guide.residual) for j in tried}
        found = []
        for i, j in combinations(tried, 2):
            scores = {
                sign: number_score(self._applied(sign, numbers[:, i], numbers[:, j]), guide.residual)
                for sign in _OPERATIONS
            }
            sign = max(scores, key=lambda own: scores[own])
            found.append((scores[sign] - max(alone[i], alone[j], 0), sign, i, j))
        found.sort(key=lambda one: -one[0])
        self._pairs = [(sign, i, j) for score, sign, i, j in found[: guide.most] if score > LEAST_SCORE]
        of = seen.schema.numeric_names
        self.names = [f"{of[i]} {sign} {of[j]}" for sign, i, j in self._pairs]
        return self

    @staticmethod
    def _applied(sign: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(_OPERATIONS[sign](a, b), -_LARGEST, _LARGEST)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for sign, i, j in self._pairs:
            yield self._applied(sign, seen.numbers[:, i], seen.numbers[:, j])
