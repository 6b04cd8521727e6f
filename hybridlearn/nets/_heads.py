"""What a net needs to know of its target: the loss, the target as a tensor, outputs as margins."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from hybridlearn._heads import ClassifierHead, RegressorHead, centred, probabilities
from hybridlearn.modules import CrossEntropy, FocalLoss, HuberLoss, LogitAdjustedLoss, PinballLoss, SquaredError
from hybridlearn.training import TensorTable


class NetClassifierHead(ClassifierHead):
    """A net with one log-odds (binary), one output a class, or one log-odds a label where rows may have several."""

    _takes_several_outputs: ClassVar[bool] = True

    def _announce_classes(self, classes: Any) -> None:
        if classes is None:
            return
        if len(np.unique(classes)) < 2:
            raise ValueError(f"classes={np.asarray(classes).tolist()} must hold at least 2 labels")
        if not hasattr(self, "classes_"):
            self.multilabel_, self.classes_ = False, np.unique(classes)
        elif not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={np.asarray(classes).tolist()[:10]} are not those of the first call")

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Class codes, int64 of shape (n_rows,), or zeros and ones of shape (n_rows, n_labels)."""
        is_multilabel = y.ndim == 2
        if is_multilabel != getattr(self, "multilabel_", is_multilabel):
            raise ValueError("y must hold one label a row where classes or an earlier call say so, else several")
        self.multilabel_ = is_multilabel
        if not is_multilabel:
            return super()._encode_target(y)
        others = np.setdiff1d(y, [0, 1]).tolist()
        if others:
            raise ValueError(f"y of several columns must hold labels as zeros and ones, got {others[:5]} too")
        if len(getattr(self, "classes_", y[0])) != y.shape[1]:
            raise ValueError(f"y has {y.shape[1]} labels, the fit that goes on has {len(self.classes_)}")
        self.classes_ = np.arange(y.shape[1])
        return y.astype(np.int64)

    def _class_weights(self, codes: np.ndarray) -> np.ndarray:
        if not self.multilabel_:
            return super()._class_weights(codes)
        if self.class_weight is not None:
            raise ValueError("class_weight is for one label a row; with several give sample_weight")
        return np.ones(len(codes))

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_) if self.multilabel_ else super()._n_outputs

    @property
    def _has_log_odds(self) -> bool:
        """Whether outputs are log-odds each, not one a class."""
        return self.multilabel_ or len(self.classes_) == 2

    def _criterion(self, training: TensorTable) -> nn.Module:
        if self.loss == "focal":
            return FocalLoss(self.focal_gamma, self.label_smoothing)
        if self.loss == "logit_adjusted":
            return LogitAdjustedLoss(self._log_prior(training), self.label_smoothing)
        return CrossEntropy(self.label_smoothing)

    def _log_prior(self, training: TensorTable) -> list[float]:
        """Of the weighted rows that train, each class counted half a row more: none has a prior of zero."""
        indicator = self._numeric_target(training.target)
        weight = training.weight.double().numpy()
        share = (weight @ indicator + 0.5) / (weight.sum() + 0.5 * max(2, indicator.shape[1]))
        return (np.log(share / (1 - share)) if self._has_log_odds else np.log(share)).tolist()

    def _scale_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        """Do nothing: classes have no units."""

    def _target_tensor(self, target: np.ndarray) -> Tensor:
        if self._has_log_odds:
            return torch.tensor(target.reshape(len(target), -1), dtype=torch.float32)
        return torch.tensor(target, dtype=torch.int64)

    def _numeric_target(self, target: Tensor) -> np.ndarray:
        """Zeros and ones of shape (n_rows, n_outputs), from the tensor."""
        if self._has_log_odds:
            return target.double().numpy()
        return np.eye(self._n_outputs)[target.numpy()]

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if self._has_log_odds else centred(outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float64
            Columns in the order of ``classes_``. Rows sum to 1, unless rows may have several labels.
        """
        margin = self.margin(X)
        return expit(margin) if self.multilabel_ else probabilities(margin)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class, or which of several labels are more probable than not.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_labels)
            Of the type of ``classes_``; zeros and ones for several labels.
        """
        if getattr(self, "multilabel_", False):
            return (self.margin(X) > 0).astype(np.int64)
        return super().predict(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags


class NetRegressorHead(RegressorHead):
    """A net on the standardised target, whose predictions stay within the targets that it has seen."""

    _takes_several_outputs: ClassVar[bool] = True

    def _announce_classes(self, classes: Any) -> None:
        if classes is not None:
            raise ValueError("classes is for classifiers; a regression takes none")

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        target = super()._encode_target(y)
        n_outputs, n_before = target.reshape(len(target), -1).shape[1], len(getattr(self, "target_mean_", [0]))
        if hasattr(self, "target_mean_") and n_outputs != n_before:
            raise ValueError(f"y has {n_outputs} outputs, the fit that goes on has {n_before}")
        return target

    def _criterion(self, training: TensorTable) -> nn.Module:
        if self.loss == "huber":
            return HuberLoss(self.huber_delta)
        if self.loss in ("quantile", "absolute_error"):
            return PinballLoss(self.quantile if self.loss == "quantile" else 0.5)
        return SquaredError()

    def _scale_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        outputs = target.reshape(len(target), -1)
        low, high = getattr(self, "target_range_", (np.inf, -np.inf))
        self.target_range_ = np.stack([np.minimum(low, outputs.min(axis=0)), np.maximum(high, outputs.max(axis=0))])
        if hasattr(self, "target_mean_"):
            return
        self.target_mean_ = np.average(outputs, axis=0, weights=weight)
        deviation = outputs - self.target_mean_
        # in units of the largest, so that no square leaves the floats; a constant target takes any scale
        largest = np.abs(deviation).max(axis=0)
        largest[largest == 0] = 1.0
        scale = np.sqrt(np.average((deviation / largest) ** 2, axis=0, weights=weight)) * largest
        self.target_scale_ = np.where(scale > 0, scale, 1.0)

    @property
    def _n_outputs(self) -> int:
        return len(self.target_mean_)

    def _target_tensor(self, target: np.ndarray) -> Tensor:
        outputs = target.reshape(len(target), -1)
        return torch.tensor((outputs - self.target_mean_) / self.target_scale_, dtype=torch.float32)

    def _numeric_target(self, target: Tensor) -> np.ndarray:
        return target.double().numpy()

    def _to_margin(self, outputs: np.ndarray) -> np.ndarray:
        return np.clip(outputs * self.target_scale_ + self.target_mean_, *self.target_range_)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs), float64
            In units of the target, within the range of the rows that trained.
        """
        margin = self.margin(X)
        return margin[:, 0] if margin.shape[1] == 1 else margin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
