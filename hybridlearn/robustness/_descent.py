"""Projected gradient descent of a decision, through what of a model is differentiable."""

from __future__ import annotations

import numpy as np

from hybridlearn.crossfit import no_news_of_levels
from hybridlearn.robustness._slopes import Slopes
from hybridlearn.robustness._target import Candidates, Target

_MOMENTUM = 0.75
# Of the steps between two looks at how it goes: so many must have helped, or the next ones are half as long.
_SHARE_THAT_HELPS = 0.75
_N_LOOKS = 6


def descend(target: Target, rows: np.ndarray, *, n_steps: int, rng: np.random.RandomState) -> tuple[np.ndarray, bool]:
    """Auto-PGD [1]_ in the box, as CAPGD [2]_ does for tables: steps by sign, halved where they no longer help.

    The model's nets are descended; the model itself is asked about the best that they have found, at each look and at
    the end, so that what is found transfers to a hybrid's trees too.

    Parameters
    ----------
    target : Target
        Told of what is found.
    rows : ndarray of int
        Rows to attack.
    n_steps : int
    rng : RandomState
        Draws the starts: the first one is the row itself.

    Returns
    -------
    is_flat : ndarray of shape (n_rows,), bool
        Of `rows`, where no number has any slope: there a gradient tells nothing.
    is_whole : bool
        Whether all of the model has slopes.

    References
    ----------
    .. [1] Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
       Attacks", ICML 2020.
    .. [2] Simonetto et al., "Constrained Adaptive Attack: Effective Adversarial Attack Against Deep Neural Networks
       for Tabular Data", NeurIPS 2024.
    """
    with no_news_of_levels():
        slopes = Slopes(target.model, target.box)
        if not slopes.nets:
            return np.zeros(len(rows), dtype=bool), False
        run = _Run(target, slopes, rows)
        is_flat = (run.slope == 0).all(axis=1)
        half = n_steps // 2
        run.go(n_steps - half)
        left = rows[target.ahead[rows] > 0]
        if half and len(left):
            _Run(target, slopes, left, rng).go(half)
    return is_flat, slopes.is_whole


class _Run:
    """One start, from the rows themselves or from anywhere in their box."""

    def __init__(self, target: Target, slopes: Slopes, rows: np.ndarray, rng: np.random.RandomState | None = None):
        self.target, self.slopes, self.rows = target, slopes, rows
        self.lower, self.upper = target.box.lower[rows], target.box.upper[rows]
        self.free = target.free[rows]
        self.numbers = target.box.numbers[rows]
        if rng is not None:
            self.numbers = self._settled(self.lower + rng.random_sample(self.lower.shape) * (self.upper - self.lower))
        self.before = self.numbers
        self.ahead, self.slope = self._look()
        self.best, self.best_ahead = self.numbers.copy(), self.ahead.copy()

    def go(self, n_steps: int) -> None:
        """Descend, and ask the model."""
        step = np.full((len(self.rows), 1), 0.5)
        looks = set(np.linspace(0, n_steps, _N_LOOKS + 1).astype(int)[1:])
        helped, since, last = np.zeros(len(self.rows)), 0, self.best_ahead.copy()
        for i in range(1, n_steps + 1):
            helped += self._step(step)
            since += 1
            if i not in looks:
                continue
            stuck = (helped < _SHARE_THAT_HELPS * since) | (self.best_ahead >= last)
            step[stuck] /= 2
            self.numbers[stuck] = self.before[stuck] = self.best[stuck]
            helped[:], since, last = 0, 0, self.best_ahead.copy()
            self._ask()
            if i < n_steps:
                self.ahead, self.slope = self._look()

    def _step(self, step: np.ndarray) -> np.ndarray:
        width = self.upper - self.lower
        plain = self._settled(self.numbers - step * width * np.sign(self.slope))
        moved = self.numbers + _MOMENTUM * (plain - self.numbers) + (1 - _MOMENTUM) * (self.numbers - self.before)
        before = self.ahead
        self.before, self.numbers = self.numbers, self._settled(moved)
        self.ahead, self.slope = self._look()
        better = self.ahead < self.best_ahead
        self.best[better], self.best_ahead[better] = self.numbers[better], self.ahead[better]
        return self.ahead < before

    def _settled(self, numbers: np.ndarray) -> np.ndarray:
        return self.target.settled(numbers, self.rows)

    def _look(self) -> tuple[np.ndarray, np.ndarray]:
        box = self.target.box.take(self.rows)
        frame = self.target.constraints.completed(box.with_numbers(self.numbers))
        ahead, slope = self.slopes.at(box.as_given(frame), self.target.decision.take(self.rows), self.rows)
        return ahead, np.where(self.free, slope, 0.0)

    def _ask(self) -> None:
        """The model itself about the best rows that have not turned."""
        left = np.flatnonzero(self.target.ahead[self.rows] > 0)
        own = self.target.best.take(self.rows[left]).levels
        self.target.ask(Candidates(self.best[left], np.full_like(own, -1)), self.rows[left])
