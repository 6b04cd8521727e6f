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
class SumOfTrees(HasMargin, Protocol):
    """An estimator whose margin is a sum of trees."""

    booster_: Any

    def encoded(self, X: Any) -> np.ndarray:
        """The columns that the trees split, shape (n_rows, n_encoded)."""
        ...

    def forest(self) -> Any:
        """The trees, as :class:`hybridlearn.trees.Forest`: their leaves sum to the margin, up to a constant."""
        ...

    def plain_columns(self) -> np.ndarray:
        """Position of the column of numbers that each encoded column is as it is, shape (n_encoded,); -1 of others."""
        ...


@runtime_checkable
class Differentiable(HasMargin, Protocol):
    """A net: tensors in, margins out."""

    module_: Any
    inference_dtype: Any

    def tensors(self, X: Any) -> dict[str, Any]:
        """Arguments of ``module_`` for rows, by name."""
        ...

    def embedded(self, X: Any) -> np.ndarray:
        """What the columns become before they meet, each number of one column: shape (n_rows, d)."""
        ...

    def margin_behind(self, embedded: np.ndarray) -> np.ndarray:
        """The margin of rows as ``embedded`` gives them, which is what ``module_.outputs`` makes of them."""
        ...


class Term(NamedTuple):
    """A part of a hybrid's margin: what a model gives, times its weight."""

    member: str
    weight: float
    model: Any


@runtime_checkable
class SumOfModels(HasMargin, Protocol):
    """What has a margin that is, up to a constant, a weighted sum of margins."""

    def terms(self) -> list[Term]:
        """The sum: its models, each of which has a ``margin``, and their weights."""
        ...


@runtime_checkable
class Additive(SumOfModels, Protocol):
    """A hybrid: its margin is an intercept plus the weighted sum of its members' margins, learned out of fold.

    Once fitted it keeps its out-of-fold table as ``oof_``.
    """

    def member_margins(self, X: Any) -> dict[str, np.ndarray]:
        """Margin of each member, shape (n_rows, n_outputs), by name."""
        ...
