"""What follows the fits, in the time that is left: from samples of the rows where all would take too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hybridlearn._clock import Deadline
from hybridlearn.crossfit import OutOfFold, sample_of

# Of the limit, what is kept for all that follows the fits, and seconds a row and member more; at most so much.
_RESERVE, _A_MARGIN, _MOST = 0.1, 1e-6, 0.4
# Of the time left, what weights may take; temperatures and scores need the rest.
_FOR_WEIGHTS = 0.5
_FEW = 2000


def reserve(time_limit: float, n_rows: int, n_members: int) -> float:
    """Seconds to keep for blend, calibration and scores."""
    return min(_MOST * time_limit, _RESERVE * time_limit + _A_MARGIN * n_rows * (n_members + 1))


class LearnInTime:
    """Has something learned from row positions several times, each time from as many as there is time for.

    Parameters
    ----------
    learn : callable
        From positions to what was learned.
    deadline : Deadline
    n_calls : int
        How often it will be called.
    oof : OutOfFold
    """

    def __init__(self, learn: Callable[[np.ndarray], Any], deadline: Deadline, n_calls: int, oof: OutOfFold):
        self.learn = learn
        self.deadline = deadline
        self.n_left = n_calls
        self.codes = None if oof.classes is None else oof.target
        self.until = deadline.part(_FOR_WEIGHTS)
        self.a_row: float | None = None
        self.size = len(oof.target)

    def __call__(self, rows: np.ndarray) -> Any:
        """Learn from the rows, or from a sample of them."""
        if self.a_row is None and len(rows) > _FEW:
            self._timed(self.few(rows, _FEW))
        if self.a_row is not None:
            share = max(self.until.left(), 0.0) / max(self.n_left, 1)
            self.size = max(_FEW, int(share / self.a_row))
        self.n_left -= 1
        return self._timed(self.few(rows))

    def few(self, rows: np.ndarray, size: int | None = None) -> np.ndarray:
        """As many of the rows as there was time for when something was learned last."""
        return sample_of(self.codes, rows, size or self.size, seed=0)

    def _timed(self, rows: np.ndarray) -> Any:
        begun = self.deadline.clock()
        learned = self.learn(rows)
        self.a_row = max(self.deadline.clock() - begun, 1e-9) / len(rows)
        return learned
