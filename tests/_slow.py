"""Clocks that only made-up members move, or a look: no test waits, none hangs on the machine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge


class Clock:
    """Seconds that stand still until somebody adds to them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.log: list[tuple[str, int, float]] = []

    def __call__(self) -> float:
        return self.seconds


CLOCK = Clock()


class Ticking(Clock):
    """A clock that goes on by a second each time somebody looks at it."""

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


class Slow(ClassifierMixin, BaseEstimator):
    """A stranger's logistic regression that takes its time; blind, it learns the shares of the classes only."""

    def __init__(
        self, start: float = 0.0, a_row: float = 0.0, power: float = 1.0, blind: bool = False, late: int = 10**9
    ):
        self.start = start
        self.a_row = a_row
        self.power = power
        self.blind = blind
        self.late = late

    def fit(self, X: Any, y: Any) -> Self:
        seconds = self.start + self.a_row * len(X) ** self.power
        if len(X) > self.late:
            seconds *= 20
        CLOCK.seconds += seconds
        CLOCK.log.append((f"{self.start:g} {self.blind}", len(X), seconds))
        X = np.asarray(X, dtype=float)
        self.model_ = LogisticRegression().fit(0 * X if self.blind else X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        X = np.asarray(X, dtype=float)
        return self.model_.predict_proba(0 * X if self.blind else X)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class SlowRegressor(RegressorMixin, BaseEstimator):
    """A stranger's ridge regression that takes its time."""

    def __init__(self, start: float = 0.0, a_row: float = 0.0):
        self.start = start
        self.a_row = a_row

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        CLOCK.seconds += self.start + self.a_row * len(X)
        self.model_ = Ridge().fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.model_.predict(X)


class Limited(Slow):
    """The same with a limit: it takes what it wants, up to the limit, but what a row costs in any case."""

    def __init__(
        self,
        start: float = 0.0,
        a_row: float = 0.0,
        power: float = 1.0,
        blind: bool = False,
        late: int = 10**9,
        wants: float = 0.0,
        time_limit: float | None = None,
    ):
        super().__init__(start, a_row, power, blind, late)
        self.wants = wants
        self.time_limit = time_limit

    def fit(self, X: Any, y: Any) -> Self:
        before = CLOCK.seconds
        super().fit(X, y)
        least = CLOCK.seconds - before
        limit = np.inf if self.time_limit is None else self.time_limit
        CLOCK.seconds = before + max(least, min(self.wants, limit))
        self.timed_out_ = max(least, self.wants) > limit
        return self
