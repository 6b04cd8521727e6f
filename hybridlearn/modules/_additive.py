"""A small perceptron for each column: what it learns of a row is a sum over the columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from hybridlearn.modules._dropout import Dropout


class ColumnLinear(nn.Module):
    """A linear map for each column, nothing shared.

    Parameters
    ----------
    n_columns, d_in, d_out : int

    **Shape:** input ``(n_rows, n_columns, d_in)``, output ``(n_rows, n_columns, d_out)``.

    Examples
    --------
    >>> ColumnLinear(3, 4, 8)(torch.zeros(5, 3, 4)).shape
    torch.Size([5, 3, 8])
    """

    def __init__(self, n_columns: int, d_in: int, d_out: int):
        super().__init__()
        bound = 1 / math.sqrt(d_in)
        self.weight = nn.Parameter(torch.empty(n_columns, d_in, d_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_columns, d_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class AdditiveMLP(nn.Module):
    """Hidden layers of one small perceptron a column, as in neural additive models [1]_.

    Parameters
    ----------
    sections : sequence of int
        How many of the inputs belong to each column.
    d_hidden : int, default=32
        Width of both hidden layers of a column.
    dropout : float, default=0.1

    **Shape:** input ``(n_rows, sum(sections))``, output ``(n_rows, n_columns * d_hidden)``, column by column: any
    linear map of it is a sum over the columns.

    References
    ----------
    .. [1] Agarwal et al., "Neural Additive Models: Interpretable Machine Learning with Neural Nets", NeurIPS 2021.

    Examples
    --------
    >>> AdditiveMLP([4, 2], d_hidden=8)(torch.zeros(5, 6)).shape
    torch.Size([5, 16])
    """

    slots: Tensor

    def __init__(self, sections: Sequence[int], *, d_hidden: int = 32, dropout: float = 0.1):
        super().__init__()
        d_in, widest = sum(sections), max(sections, default=1)
        self.d_in = d_in
        # narrow columns are filled up by a zero that is put behind all inputs
        slots = torch.full((len(sections), widest), d_in)
        for i, (end, width) in enumerate(zip(accumulate(sections), sections, strict=True)):
            slots[i, :width] = torch.arange(end - width, end)
        self.register_buffer("slots", slots)
        self.layers = nn.Sequential(
            ColumnLinear(len(sections), widest, d_hidden),
            nn.SiLU(),
            Dropout(dropout),
            ColumnLinear(len(sections), d_hidden, d_hidden),
            nn.SiLU(),
            Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        padded = torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
        return self.layers(padded[:, self.slots]).flatten(1)
