"""What a net's embedded columns give to its outputs, by the rescale rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Elementwise functions that the rule goes through; anything linear needs none.
_RULED = (nn.ReLU, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)
# Differences of inputs below this have the derivative for their ratio.
_SMALL = 1e-7


class _Secant(torch.autograd.Function):
    """Outputs as they are; backward, the slope between a row of the first half and its partner in the second."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor, derivative: Tensor) -> Tensor:
        (x, z), (fx, fz) = inputs.chunk(2), outputs.chunk(2)
        difference = x - z
        is_small = difference.abs() < _SMALL
        slope = torch.where(is_small, derivative.chunk(2)[0], (fx - fz) / difference.masked_fill(is_small, 1.0))
        ctx.save_for_backward(torch.cat([slope, slope]))
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


def _follow_secant(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
    with torch.enable_grad():
        at = inputs[0].detach().requires_grad_()
        (derivative,) = torch.autograd.grad(type(module).forward(module, at).sum(), at)
    return _Secant.apply(inputs[0], outputs.detach(), derivative)  # type: ignore[no-untyped-call]


@contextmanager
def rescaled(module: nn.Module) -> Iterator[None]:
    """Inside, gradients of pairs of rows follow the rescale rule of DeepLIFT, not the derivative."""
    handles = [each.register_forward_hook(_follow_secant) for each in module.modules() if isinstance(each, _RULED)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def contributions(outputs: Callable[[Tensor], Tensor], rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """What each embedded number gives to each output, of pairs of rows [1]_; to be called inside :func:`rescaled`.

    Parameters
    ----------
    outputs : callable
        From (n, d) to (n, n_outputs).
    rows, others : Tensor of shape (n_pairs, d)

    Returns
    -------
    contributions : Tensor of shape (n_pairs, d, n_outputs)
    difference : Tensor of shape (n_pairs, n_outputs)
        Of the outputs: what the contributions should sum to.

    References
    ----------
    .. [1] Shrikumar, Greenside and Kundaje, "Learning Important Features Through Propagating Activation Differences",
       ICML 2017.
    """
    both = torch.cat([rows, others]).requires_grad_()
    found = outputs(both)
    mine, theirs = found.chunk(2)
    slopes = [
        torch.autograd.grad(mine[:, k].sum(), both, retain_graph=k + 1 < mine.shape[1])[0][: len(rows)]
        for k in range(mine.shape[1])
    ]
    return torch.stack(slopes, dim=2) * (rows - others)[..., None], (mine - theirs).detach()
