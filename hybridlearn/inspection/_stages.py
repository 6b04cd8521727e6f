"""Estimators whose Shapley values need no sampling, behind what they make of each column."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.base import is_classifier

from hybridlearn._device import resolve_device
from hybridlearn._protocols import Differentiable, SumOfTrees
from hybridlearn.inspection._forest_shap import forest_shapley
from hybridlearn.inspection._rescale import contributions, rescaled
from hybridlearn.trees import Forest

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
        self.forest = estimator.forest() if self.is_ours else Forest.of(estimator.get_booster())

    def encoded(self, X: Any) -> np.ndarray:
        return self.estimator.encoded(X) if self.is_ours else np.asarray(X, dtype=np.float64)

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
        ratio = _ratio(asked, given.sum(axis=1)[:, None] - base.sum(axis=1))
        return (given * ratio.mean(axis=1)[:, None] - ratio @ base / len(base))[..., None]


class NetStage:
    """A net, by the rescale rule against each row of the background."""

    kind = "net"

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.device = resolve_device(estimator.device)
        dtype = torch.float64 if self.device.type == "cpu" else torch.float32
        self.module = copy.deepcopy(estimator.module_).to(device=self.device, dtype=dtype).eval()
        self.dtype = dtype

    def encoded(self, X: Any) -> np.ndarray:
        return self.estimator.embedded(X)

    def shapley(
        self, rows: np.ndarray, background: np.ndarray, player: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        owned = torch.eye(int(player.max()) + 1, dtype=self.dtype, device=self.device)[torch.tensor(player)]
        x, z = (torch.tensor(part, dtype=self.dtype, device=self.device) for part in (rows, background))
        found = np.zeros((len(rows), owned.shape[1], margins[0].shape[1]))
        n_pairs = len(rows) * len(background)
        with rescaled(self.module):
            for start in range(0, n_pairs, _PAIRS_AT_ONCE):
                row, other = np.divmod(np.arange(start, min(start + _PAIRS_AT_ONCE, n_pairs)), len(background))
                given, difference = contributions(self.module.outputs, x[row], z[other])
                by_player = torch.einsum("ndk,dp->npk", given, owned).cpu().double().numpy()
                if not _adds_up(by_player, difference.cpu().double().numpy()):
                    raise NotAdditiveError
                if not is_classifier(self.estimator):
                    # outputs have other units than margins, and are clipped: one more step for the rule
                    asked = margins[0][row] - margins[1][other]
                    by_player *= _ratio(asked, difference.cpu().double().numpy())[:, None]
                np.add.at(found, row, by_player)
        return _centred_classes(self.estimator, found / len(background))


class NotAdditiveError(Exception):
    """A net has steps that the rule does not go through."""


def stage_of(estimator: Any) -> Stage | None:
    """The estimator as a stage; None where its margin can only be sampled."""
    if isinstance(estimator, Differentiable):
        return NetStage(estimator) if hasattr(estimator.module_, "embedded") else None
    is_xgboost = hasattr(estimator, "get_booster") and getattr(estimator, "booster", None) in (None, "gbtree")
    if isinstance(estimator, SumOfTrees) or is_xgboost:
        return TreesStage(estimator)
    coefficients = getattr(estimator, "coef_", None)
    is_dense = isinstance(coefficients, np.ndarray) and coefficients.ndim in (1, 2)
    return LinearStage(estimator) if is_dense else None


def _centred_classes(estimator: Any, values: np.ndarray) -> np.ndarray:
    """Of more than two classes, margins are centred, and so is what adds up to them."""
    several = is_classifier(estimator) and values.shape[2] > 1
    return values - values.mean(axis=2, keepdims=True) if several else values


def _adds_up(by_player: np.ndarray, difference: np.ndarray) -> bool:
    return bool(np.allclose(by_player.sum(axis=1), difference, rtol=1e-4, atol=1e-5))


def _ratio(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    is_zero = np.abs(found) < 1e-12
    return np.where(is_zero, 0.0, asked / np.where(is_zero, 1.0, found))
