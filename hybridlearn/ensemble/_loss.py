"""Loss of margins, row by row, and its gradient: what weights, temperatures and selections minimise."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax


def row_losses(margin: np.ndarray, target: np.ndarray, *, classification: bool) -> np.ndarray:
    """Loss of each row.

    Parameters
    ----------
    margin : ndarray of shape (..., n_rows, n_outputs)
        Of one hybrid, or of many.
    target : ndarray of shape (n_rows,)
        Class codes, or numbers.
    classification : bool
        Log loss in nats; else squared error.

    Returns
    -------
    ndarray of shape (..., n_rows)
    """
    if not classification:
        return (margin[..., 0] - target) ** 2
    if margin.shape[-1] == 1:
        return np.logaddexp(0, margin[..., 0]) - target * margin[..., 0]
    # scipy's logsumexp takes ten times as long on the few rows of a bag
    largest = margin.max(axis=-1)
    log_sum = largest + np.log(np.exp(margin - largest[..., None]).sum(axis=-1))
    return log_sum - margin[..., np.arange(len(target)), target]


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
