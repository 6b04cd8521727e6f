"""Estimators whose Shapley values need no sampling, behind what they make of each column."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from sklearn.base import is_classifier

from hybridlearn._device import resolve_device
from hybridlearn._protocols import Differentiable, SumOfTrees
from hybridlearn.inspection._forest_shap import forest_shapley
from hybridlearn.inspection._rescale import Rescaled
from hybridlearn.trees import Forest, booster_of, is_sum_of_trees

_PAIRS_AT_ONCE = 2048


class Stage(Protocol):
    """The last step of a model, as a function of encoded columns."""

    kind: str

    def encoded(self, X: Any) -> np.ndarray:
        """Encoded columns of a table, shape (n_rows, n_encoded)."""
        ...

    def shapley(
        self, rows: np.ndarray, background: np.ndarray, player: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Shapley values of the players that own the encoded columns, shape (n_rows, n_players, n_outputs).

        Parameters
        ----------
        rows, background : ndarray of shape (n, n_encoded)
        player : ndarray of shape (n_encoded,), int
            Owner of each encoded column, 0, 1, ...
        margins : (ndarray of shape (n_rows, n_outputs), ndarray of shape (n_background, n_outputs))
            Of the rows and of the background.
        """
        ...


class TreesStage:
    """A sum of trees."""

    kind = "trees"

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.is_ours = isinstance(estimator, SumOfTrees)
        self.forest = Forest.of(booster_of(estimator))

    def encoded(self, X: Any) -> np.ndarray:
        if self.is_ours:
            return self.estimator.encoded(X)
        if hasattr(X, "tocoo"):
            # what a sparse table leaves out is missing to xgboost
            dense, filled = np.full(X.shape, np.nan), X.tocoo()
            dense[filled.row, filled.col] = filled.data
            return dense
        if not isinstance(X, pd.DataFrame):
            return np.asarray(X, dtype=np.float64)
        return np.column_stack([_numbers_of(X[name]) for name in X])

    def shapley(
        self, rows: np.ndarray, background: np.ndarray, player: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        found = forest_shapley(self.forest, rows, background, player, (player.max() + 1, margins[0].shape[1]))
        return _centred_classes(self.estimator, found)


class LinearStage:
    """A linear model; of one output, the rescale rule where its margin is clipped."""

    kind = "linear"

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def encoded(self, X: Any) -> np.ndarray:
        return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)

    def shapley(
        self, rows: np.ndarray, background: np.ndarray, player: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        coefficients = np.atleast_2d(self.estimator.coef_)
        owned = np.eye(player.max() + 1)[player]
        if len(coefficients) > 1:
            away = rows - background.mean(axis=0)
            found = np.stack([(away * own) @ owned for own in coefficients], axis=2)
            return _centred_classes(self.estimator, found)
        # margins of probabilities are clipped where these are near 0 or 1: one more step, for the rule of nets
        given, base = (part @ (coefficients[0][:, None] * owned) for part in (rows, background))
        asked = margins[0] - margins[1].T
        found = given.sum(axis=1)[:, None] - base.sum(axis=1)
        ratio = _ratio(asked.reshape(-1, 1), found.reshape(-1, 1)).reshape(asked.shape)
        return (given * ratio.mean(axis=1)[:, None] - ratio @ base / len(base))[..., None]


class NetStage:
    """A net, by the rescale rule against each row of the background."""

    kind = "net"

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.how: dict[str, Any] = {"device": resolve_device(estimator.device), "dtype": torch.float32}
        self.module = copy.deepcopy(estimator.module_).to(**self.how).eval()

    def encoded(self, X: Any) -> np.ndarray:
        return self.estimator.embedded(X)

    def shapley(
        self, rows: np.ndarray, background: np.ndarray, player: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        owned = torch.eye(int(player.max()) + 1, **self.how)[torch.tensor(player)]
        x, z = (torch.tensor(part, **self.how) for part in (rows, background))
        found = np.zeros((len(rows), owned.shape[1], margins[0].shape[1]))
        n_pairs = len(rows) * len(background)
        with Rescaled(self.module, self.module.outputs, z) as net:
            for start in range(0, n_pairs, _PAIRS_AT_ONCE):
                row, other = np.divmod(np.arange(start, min(start + _PAIRS_AT_ONCE, n_pairs)), len(background))
                given, difference = net.contributions(x[row], torch.tensor(other, device=z.device))
                by_player = torch.einsum("ndk,dp->npk", given, owned).cpu().double().numpy()
                asked, outputs = margins[0][row] - margins[1][other], difference.cpu().double().numpy()
                if not np.allclose(by_player.sum(axis=1), outputs, rtol=1e-3, atol=1e-4):
                    raise NotAdditiveError
                if not is_classifier(self.estimator):
                    # outputs have other units than margins, and are clipped: one more step for the rule
                    by_player *= _ratio(asked, outputs)[:, None]
                np.add.at(found, row, by_player)
        return _centred_classes(self.estimator, found / len(background))


class NotAdditiveError(Exception):
    """A net has steps that the rule does not go through."""


def stage_of(estimator: Any) -> Stage | None:
    """The estimator as a stage; None where its margin can only be sampled."""
    if isinstance(estimator, Differentiable):
        return NetStage(estimator) if hasattr(estimator.module_, "embedded") else None
    if is_sum_of_trees(estimator):
        try:
            return TreesStage(estimator)
        except ValueError:
            # trees of several outputs
            return None
    coefficients = getattr(estimator, "coef_", None)
    is_dense = isinstance(coefficients, np.ndarray) and coefficients.ndim in (1, 2)
    return LinearStage(estimator) if is_dense else None


def _numbers_of(column: pd.Series) -> np.ndarray:
    """A column as xgboost sees it: categories are their codes, and others than those of its fit do not add up."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.where(column.isna(), np.nan, column.cat.codes)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _centred_classes(estimator: Any, values: np.ndarray) -> np.ndarray:
    """Of more than two classes, margins are centred, and so is what adds up to them."""
    several = is_classifier(estimator) and values.shape[2] > 1
    return values - values.mean(axis=2, keepdims=True) if several else values


def _ratio(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of each pair, what differences of margins are over those of outputs, shape (n_pairs, n_outputs).

    The usual one, a change of units, where it fits: that of two small differences would be of their rounding. Elsewhere
    a margin was clipped.
    """
    ratio = np.divide(asked, found, out=np.zeros(found.shape), where=found != 0)
    is_small = np.abs(found) <= 1e-3 * np.abs(found).max(axis=0)
    usual = np.nanmedian(np.where(is_small, np.nan, ratio), axis=0) if not is_small.all(axis=0).any() else 1.0
    fits = np.abs(asked - usual * found) <= 1e-6 * np.abs(asked).max(axis=0)
    return np.where(fits, usual, ratio)
