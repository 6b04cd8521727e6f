"""Losses a row: outputs of a net and targets in, one number a row out.

Of classes there are two forms. Codes, int64 of shape (n_rows,), go with one output a class. Zeros and ones, float of
shape (n_rows, n_outputs), go with one log-odds an output: one for a binary target, one a label for several; losses are
means over the outputs. In evaluation mode label smoothing is off: it is a way to train, not what is to be reached.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossEntropy(nn.Module):
    """Negative log-likelihood of the classes.

    Parameters
    ----------
    label_smoothing : float, default=0
        In training, the share of a row's target that is spread evenly over all classes.

    **Shape:** outputs ``(n_rows, n_outputs)``, target ``(n_rows,)`` int64 or ``(n_rows, n_outputs)`` float; loss
    ``(n_rows,)``.

    Examples
    --------
    >>> CrossEntropy()(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
    tensor([0.6931, 0.6931])
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return _a_row(_cross_entropy(outputs, target, self.label_smoothing if self.training else 0.0))


class FocalLoss(nn.Module):
    """Cross-entropy times ``(1 - p) ** gamma`` with ``p`` the probability given to the true class [1]_.

    Rows that are already right weigh little. Probabilities are less sure than under cross-entropy.

    Parameters
    ----------
    gamma : float, default=2
    label_smoothing : float, default=0
        See :class:`CrossEntropy`; ``p`` is that of the true class all the same.

    **Shape:** as :class:`CrossEntropy`.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> FocalLoss(gamma=2.0)(torch.zeros(1, 1), torch.ones(1, 1))
    tensor([0.1733])
    """

    def __init__(self, gamma: float = 2.0, label_smoothing: float = 0.0):
        super().__init__()
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        wrong = -torch.expm1(-_cross_entropy(outputs, target, 0.0))
        losses = _cross_entropy(outputs, target, self.label_smoothing if self.training else 0.0)
        # at a gamma below 1 the derivative of 0 ** gamma is infinite
        return _a_row(losses * wrong.clamp(min=1e-12) ** self.gamma)


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of the outputs plus the log prior [1]_.

    The net learns what the columns say beyond how frequent a class is: its outputs are margins under balanced
    classes, and their largest is the class of least balanced error.

    Parameters
    ----------
    log_prior : sequence of float
        Log of each class's share; for outputs of log-odds, the log-odds of each output's share.
    label_smoothing : float, default=0
        See :class:`CrossEntropy`.

    **Shape:** as :class:`CrossEntropy`.

    References
    ----------
    .. [1] Menon, Jayasumana, Rawat, Jain, Veit and Kumar, "Long-Tail Learning via Logit Adjustment", ICLR 2021.

    Examples
    --------
    >>> LogitAdjustedLoss([2.0])(torch.full((1, 1), -2.0), torch.ones(1, 1))
    tensor([0.6931])
    """

    log_prior: Tensor

    def __init__(self, log_prior: list[float], label_smoothing: float = 0.0):
        super().__init__()
        self.register_buffer("log_prior", torch.tensor(log_prior, dtype=torch.float32))
        self.likelihood = CrossEntropy(label_smoothing)

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return self.likelihood(outputs + self.log_prior, target)


class SquaredError(nn.Module):
    """Squared error.

    **Shape:** outputs and target ``(n_rows, n_outputs)``, loss ``(n_rows,)``, the mean over outputs.

    Examples
    --------
    >>> SquaredError()(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
    tensor([5.])
    """

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs - target).square().mean(dim=1)


class HuberLoss(nn.Module):
    """Half the squared error up to `delta`, linear beyond: a far-off target pulls no harder than one at `delta`.

    Parameters
    ----------
    delta : float, default=1

    **Shape:** as :class:`SquaredError`.

    Examples
    --------
    >>> HuberLoss(delta=1.0)(torch.zeros(2, 1), torch.tensor([[1.0], [10.0]]))
    tensor([0.5000, 9.5000])
    """

    def __init__(self, delta: float = 1.0):
        super().__init__()
        self.delta = delta

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(outputs, target, reduction="none", delta=self.delta).mean(dim=1)


class PinballLoss(nn.Module):
    """Loss whose least mean is at a quantile; half the absolute error for the median.

    Parameters
    ----------
    quantile : float, default=0.5

    **Shape:** as :class:`SquaredError`.

    Examples
    --------
    >>> PinballLoss(quantile=0.9)(torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]]))
    tensor([0.9000, 0.1000])
    """

    def __init__(self, quantile: float = 0.5):
        super().__init__()
        self.quantile = quantile

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        above = target - outputs
        return torch.maximum(self.quantile * above, (self.quantile - 1) * above).mean(dim=1)


def _a_row(losses: Tensor) -> Tensor:
    """The mean over outputs, where there is a loss for each."""
    return losses if losses.ndim == 1 else losses.mean(dim=1)


def _cross_entropy(outputs: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """A row of codes (n_rows,), a row and output of zeros and ones (n_rows, n_outputs)."""
    if target.is_floating_point():
        smooth = target * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, smooth, reduction="none")
    return F.cross_entropy(outputs, target, reduction="none", label_smoothing=label_smoothing)
