"""Loss of margins, row by row, and its gradient: what weights, temperatures and selections minimise."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from hybridlearn._row_losses import row_losses


def mean_loss(margin: np.ndarray, target: np.ndarray, weight: np.ndarray, *, classification: bool) -> float:
    """Weighted mean of :func:`row_losses`."""
    return float(np.average(row_losses(margin, target, classification=classification), weights=weight))


def log_loss_gradient(margin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Derivative of each row's log loss by its margin, shape (n_rows, n_outputs)."""
    if margin.shape[1] == 1:
        return expit(margin) - target[:, None]
    gradient = softmax(margin, axis=1)
    gradient[np.arange(len(target)), target] -= 1
    return gradient
