"""The few protocols by which an upper floor asks a lower one for something."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class HasMargin(Protocol):
    """An estimator that gives its margin itself: log-odds, centred log-probabilities or the prediction."""

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row, shape (n_rows, n_outputs), float64."""
        ...


class Fit(NamedTuple):
    """A fit that is to be: ``estimator.fit(X, y, **params)``."""

    estimator: Any
    X: Any
    y: Any
    params: dict[str, Any]


@runtime_checkable
class FitsTogether(HasMargin, Protocol):
    """An estimator many of whose fits can be computed as one."""

    def likeness(self) -> Hashable | None:
        """The same for estimators whose fits may go together; None for one that is to be fitted alone."""
        ...

    @staticmethod
    def n_together(first: Fit, estimators: Sequence[Any]) -> int:
        """How many fits of the size of the first should go together; 1 where together they would be no faster."""
        ...

    @staticmethod
    def fit_together(fits: Sequence[Fit]) -> list[Exception | None]:
        """Do fits of one likeness; the error of each that failed, whose estimator is then unfitted."""
        ...


@runtime_checkable
class StopsEarly(Protocol):
    """An estimator that finds on rows kept aside how long to train; such rows may then train too."""

    def rounds_found(self) -> dict[str, Any]:
        """Parameters under which a fit on all rows runs as long as this one found best; empty where it did not look.

        They are such as ``set_params`` takes, and end the search: ``{"early_stopping": False, "n_estimators": 120}``.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """An estimator that has learned features of a row, in a basis of its own."""

    def embed(self, X: Any) -> np.ndarray:
        """Features of shape (n_rows, n_features); integers are codes, which have no order."""
        ...


@runtime_checkable
class Additive(Protocol):
    """A hybrid: its margin is an intercept plus the weighted sum of its members' margins, learned out of fold.

    Once fitted it keeps its out-of-fold table as ``oof_``.
    """

    def member_margins(self, X: Any) -> dict[str, np.ndarray]:
        """Margin of each member, shape (n_rows, n_outputs), by name."""
        ...
