"""The few protocols by which an upper floor asks a lower one for something."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class HasMargin(Protocol):
    """An estimator that gives its margin itself: log-odds, centred log-probabilities or the prediction."""

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row, shape (n_rows, n_outputs), float64."""
        ...


@runtime_checkable
class Additive(Protocol):
    """A hybrid: its margin is an intercept plus the weighted sum of its members' margins, learned out of fold.

    Once fitted it keeps its out-of-fold table as ``oof_``.
    """

    def member_margins(self, X: Any) -> dict[str, np.ndarray]:
        """Margin of each member, shape (n_rows, n_outputs), by name."""
        ...
