"""Search without gradients: columns one by one, corners, and an evolution of the best."""

from __future__ import annotations

import numpy as np

from hybridlearn.robustness._target import Candidates, Target

_ROWS_AT_ONCE = 4096
_MOST_CHILDREN = 8


def search(target: Target, rows: np.ndarray, *, n_queries: int, rng: np.random.RandomState) -> None:
    """Look for rows of the box that turn the decision of any model, by asking it.

    First each column alone, at both its ends and at each of its levels; then all that helped, together; then
    mutations of the best: some columns go to an end, anywhere between, back, or to where they helped. Trees have no
    slope and turn at thresholds, which this finds.

    Parameters
    ----------
    target : Target
        Told of what is found.
    rows : ndarray of int
        Rows to attack; those that have turned are left alone.
    n_queries : int
        Of the model for each row, at most.
    rng : RandomState
    """
    _Search(target, rows, rng).go(n_queries)


class _Search:
    def __init__(self, target: Target, rows: np.ndarray, rng: np.random.RandomState):
        self.target, self.rng = target, rng
        self.rows = rows
        box = target.box
        self.n_numbers = box.lower.shape[1]
        self.n_levels = np.array([len(own) for own in box.levels.values()], dtype=np.int64)
        # for each row and column: what it was best at alone, and by how much
        self.good = Candidates(box.numbers.copy(), np.full((len(box), len(self.n_levels)), -1))
        self.gain = np.zeros((len(box), self.n_numbers + len(self.n_levels)))
        self.start = target.ahead.copy()

    @property
    def left(self) -> np.ndarray:
        """Rows that have not turned."""
        return self.rows[self.target.ahead[self.rows] > 0]

    def go(self, n_queries: int) -> None:
        if not self.gain.shape[1]:
            return
        tries = self._tries()
        if len(tries) > n_queries // 2:
            tries = [tries[i] for i in self.rng.permutation(len(tries))[: n_queries // 2]]
        for column, value in tries:
            self._alone(column, value)
        spent = len(tries) + self._together()
        while spent < n_queries and len(self.left):
            # of few rows many children at once: a question about few rows costs as much as one about many
            n_children = int(np.clip(_ROWS_AT_ONCE // len(self.left), 1, min(_MOST_CHILDREN, n_queries - spent)))
            self._mutate(np.repeat(self.left, n_children))
            spent += n_children

    def _tries(self) -> list[tuple[int, int]]:
        """A column and its end, 0 or 1, or its level."""
        moving = np.flatnonzero(self.target.free[self.rows].any(axis=0))
        found = [(int(column), end) for column in moving for end in (0, 1)]
        return found + [(self.n_numbers + j, level) for j, n in enumerate(self.n_levels) for level in range(n)]

    def _alone(self, column: int, value: int) -> None:
        rows = self.left
        box, plain = self.target.box, self._given(rows)
        if column < self.n_numbers:
            plain.numbers[:, column] = (box.lower, box.upper)[value][rows, column]
            plain.numbers[:] = self.target.settled(plain.numbers, rows)
        else:
            plain.levels[:, column - self.n_numbers] = value
        gain = self.start[rows] - self.target.ask(plain, rows)
        better = gain > self.gain[rows, column]
        self.gain[rows[better], column] = gain[better]
        if column < self.n_numbers:
            self.good.numbers[rows[better], column] = plain.numbers[better, column]
        else:
            self.good.levels[rows[better], column - self.n_numbers] = value

    def _together(self) -> int:
        """All that helped alone, and only the best of it."""
        n_queries = 0
        for share in (1.0, 0.5, 0.25, 0.1):
            rows = self.left
            if not len(rows):
                break
            gain = self.gain[rows]
            least = np.quantile(gain, 1 - share, axis=1, keepdims=True)
            self.target.ask(self._mixed(rows, (gain > 0) & (gain >= least)), rows)
            n_queries += 1
        return n_queries

    def _mutate(self, rows: np.ndarray) -> None:
        box, best = self.target.box, self.target.best.take(rows)
        n_columns = self.gain.shape[1]
        # few columns as a rule, many now and then
        share = np.minimum(1.0, self.rng.geometric(0.4, len(rows)) / n_columns)[:, None]
        chosen = self.rng.random_sample((len(rows), n_columns)) < share
        chosen[np.arange(len(rows)), self.rng.randint(n_columns, size=len(rows))] = True
        own = chosen[:, : self.n_numbers]
        lower, upper = box.lower[rows], box.upper[rows]
        between = lower + self.rng.random_sample(lower.shape) * (upper - lower)
        options = np.stack([lower, upper, between, box.numbers[rows], self.good.numbers[rows]])
        drawn = np.take_along_axis(options, self.rng.randint(len(options), size=lower.shape)[None], axis=0)[0]
        numbers = np.where(own, drawn, best.numbers)
        levels = self.rng.randint(-1, np.maximum(self.n_levels, 1), size=best.levels.shape)
        levels = np.where(chosen[:, self.n_numbers :], levels, best.levels)
        self.target.ask(Candidates(self.target.settled(numbers, rows), levels), rows)

    def _mixed(self, rows: np.ndarray, kept: np.ndarray) -> Candidates:
        """The rows with some columns at what they were best at alone."""
        good, given = self.good.take(rows), self._given(rows)
        numbers = np.where(kept[:, : self.n_numbers], good.numbers, given.numbers)
        levels = np.where(kept[:, self.n_numbers :], good.levels, given.levels)
        return Candidates(self.target.settled(numbers, rows), levels)

    def _given(self, rows: np.ndarray) -> Candidates:
        return Candidates(self.target.box.numbers[rows], np.full((len(rows), len(self.n_levels)), -1))
