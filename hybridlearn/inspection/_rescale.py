"""What a net's embedded columns give to its outputs, by the rescale rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

# Elementwise functions that the rule goes through; anything linear needs none.
_RULED = (nn.ReLU, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)
# Differences of inputs below this have the derivative for their ratio.
_SMALL = 1e-4


class _Secant(torch.autograd.Function):
    """Outputs as they are; backward, a slope that is given."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


class Rescaled:
    """A net whose gradients follow, between rows and rows of a background, the secant in place of the derivative [1]_.

    Parameters
    ----------
    module : Module
        In evaluation mode; hooks are put into it while it is used as a context.
    outputs : callable
        From embedded columns (n, d) to (n, n_outputs), through the module.
    background : Tensor of shape (n_background, d)

    References
    ----------
    .. [1] Shrikumar, Greenside and Kundaje, "Learning Important Features Through Propagating Activation Differences",
       ICML 2017.
    """

    def __init__(self, module: nn.Module, outputs: Callable[[Tensor], Tensor], background: Tensor):
        self.module = module
        self.outputs = outputs
        self.background = background
        # inputs and outputs of each function, in the order of the calls, for the rows of the background
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.calls = 0
        self.others: Tensor | None = None

    def __enter__(self) -> Self:
        ruled = [each for each in self.module.modules() if isinstance(each, _RULED)]
        self.handles = [each.register_forward_hook(self._follow) for each in ruled]
        with torch.no_grad():
            self.base = self.outputs(self.background)
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()

    def contributions(self, rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """What each embedded number gives to each output, against a row of the background.

        Parameters
        ----------
        rows : Tensor of shape (n_pairs, d)
        others : Tensor of shape (n_pairs,), int
            Positions in the background.

        Returns
        -------
        contributions : Tensor of shape (n_pairs, d, n_outputs)
        difference : Tensor of shape (n_pairs, n_outputs)
            Of the outputs: what the contributions should sum to.
        """
        self.others, self.calls = others, 0
        rows = rows.detach().requires_grad_()
        found = self.outputs(rows)
        n_outputs = found.shape[1]
        slopes = [
            torch.autograd.grad(found[:, k].sum(), rows, retain_graph=k + 1 < n_outputs)[0] for k in range(n_outputs)
        ]
        away = (rows - self.background[others]).detach()
        return torch.stack(slopes, dim=2) * away[..., None], (found - self.base[others]).detach()

    def _follow(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor | None:
        (x,) = inputs
        if self.others is None:
            self.seen.append((x, outputs))
            return None
        z, fz = (part[self.others] for part in self.seen[self.calls])
        self.calls += 1
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(type(module).forward(module, at).sum(), at)
        difference = x.detach() - z
        is_small = difference.abs() < _SMALL
        slope = torch.where(is_small, derivative, (outputs.detach() - fz) / difference.masked_fill(is_small, 1.0))
        return _Secant.apply(x, outputs.detach(), slope)  # type: ignore[no-any-return, no-untyped-call]
