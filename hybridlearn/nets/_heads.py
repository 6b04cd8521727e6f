"""What a net needs to know of its target: the loss, the target as a tensor, outputs as margins."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hybridlearn._heads import ClassifierHead, RegressorHead, centred


class _BinaryCrossEntropy(nn.BCEWithLogitsLoss):
    """Takes outputs of shape (n, 1) and targets of shape (n,)."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().forward(outputs.squeeze(1), target)


class _SquaredError(nn.MSELoss):
    """Takes outputs of shape (n, 1) and targets of shape (n,)."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().forward(outputs.squeeze(1), target)


class NetClassifierHead(ClassifierHead):
    """A net with one logit (binary) or one a class, under cross-entropy."""

    @property
    def _criterion(self) -> type[nn.Module]:
        return _BinaryCrossEntropy if self._n_outputs == 1 else nn.CrossEntropyLoss

    def _scale_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        """Nothing to scale in class codes."""

    def _target_tensor(self, target: np.ndarray) -> Tensor:
        return torch.tensor(target, dtype=torch.float32 if self._n_outputs == 1 else torch.int64)

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if outputs.shape[1] == 1 else centred(outputs)


class NetRegressorHead(RegressorHead):
    """A net on the standardised target, under squared error."""

    _criterion: ClassVar[type[nn.Module]] = _SquaredError

    def _scale_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        self.target_mean_ = float(np.average(target, weights=weight))
        deviation = target - self.target_mean_
        # in units of the largest, so that no square leaves the floats; a constant target takes any scale
        largest = float(np.abs(deviation).max()) or 1.0
        self.target_scale_ = float(np.sqrt(np.average((deviation / largest) ** 2, weights=weight))) * largest or 1.0

    def _target_tensor(self, target: np.ndarray) -> Tensor:
        return torch.tensor((target - self.target_mean_) / self.target_scale_, dtype=torch.float32)

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return outputs * self.target_scale_ + self.target_mean_
