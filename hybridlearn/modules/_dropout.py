"""Dropout that costs little on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def dropout_factors(
    like: Tensor, rates: Sequence[float], generators: Sequence[torch.Generator | None], *, by_bytes: bool = True
) -> Tensor:
    """Random factors of dropout, zeros and what makes up for them, for one net or many.

    On the CPU a number takes one random byte, where torch draws a double: a fraction of the time. So a rate is rounded
    to a 256th.

    Parameters
    ----------
    like : Tensor
        Shape, type and device of the factors of one net.
    rates : sequence of float
        Share of zeros of each net, in [0, 1]; where it is 0 or 1 nothing is drawn.
    generators : sequence of torch.Generator or None
        One a net; None is torch's own.
    by_bytes : bool, default=True
        False draws as torch's dropout does.

    Returns
    -------
    Tensor of shape (len(rates), *like.shape)

    Examples
    --------
    >>> factors = dropout_factors(torch.zeros(10_000), [0.25, 0.0], [torch.Generator().manual_seed(0), None])
    >>> factors.mean(dim=1).round(decimals=1)
    tensor([1., 1.])
    """
    if by_bytes and like.device.type == "cpu" and all(0 < rate < 1 for rate in rates):
        return _factors_by_bytes(like, rates, generators)
    factors = like.new_empty(len(rates), *like.shape)
    for own, rate, generator in zip(factors, rates, generators, strict=True):
        if rate in (0, 1):
            own.fill_(1 - rate)
        elif by_bytes and like.device.type == "cpu":
            own.copy_(_factors_by_bytes(like, [rate], [generator])[0])
        else:
            own.bernoulli_(1 - rate, generator=generator).div_(1 - rate)
    return factors


def _factors_by_bytes(like: Tensor, rates: Sequence[float], generators: Sequence[torch.Generator | None]) -> Tensor:
    n_kept = [min(255, max(1, round(256 * (1 - rate)))) for rate in rates]
    words = torch.empty(len(rates), -(-like.numel() // 8), dtype=torch.int64)
    for own, generator in zip(words, generators, strict=True):
        own.random_(-(2**63), None, generator=generator)
    drawn = words.view(torch.uint8)[:, : like.numel()]
    if len(set(n_kept)) == 1:
        factors = (drawn < n_kept[0]).to(like.dtype).mul_(256 / n_kept[0])
    else:
        share_kept = torch.tensor(n_kept, dtype=torch.uint8).unsqueeze(1)
        factors = (drawn < share_kept).to(like.dtype).mul_(256 / share_kept.to(like.dtype))
    return factors.view(len(rates), *like.shape)


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with the draws of :func:`dropout_factors`.

    Parameters
    ----------
    p : float, default=0.5
        Share of the inputs that a training step leaves out.

    **Shape:** output as input, of any shape.

    Examples
    --------
    >>> Dropout(0.5).eval()(torch.ones(2, 3)).sum()
    tensor(6.)
    """

    def forward(self, input: Tensor) -> Tensor:
        return input * dropout_factors(input, [self.p], [None])[0] if self.training and self.p else input
