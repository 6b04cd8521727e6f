"""Multilayer perceptron and residual net: from a vector a row to a vector a row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from hybridlearn.modules._dropout import Dropout


class MLP(nn.Sequential):
    """Hidden layers of a multilayer perceptron: linear map, SiLU, dropout.

    Parameters
    ----------
    d_in : int
    hidden_layer_sizes : sequence of int, default=(256, 256)
    dropout : float, default=0.1

    **Shape:** input ``(n_rows, d_in)``, output ``(n_rows, hidden_layer_sizes[-1])``.

    Examples
    --------
    >>> import torch
    >>> MLP(3, hidden_layer_sizes=(16, 8))(torch.zeros(5, 3)).shape
    torch.Size([5, 8])
    """

    input_axes: ClassVar[dict[str, int]] = {"0.weight": 1}

    def __init__(self, d_in: int, *, hidden_layer_sizes: Sequence[int] = (256, 256), dropout: float = 0.1):
        layers: list[nn.Module] = []
        for d_left, d_right in pairwise([d_in, *hidden_layer_sizes]):
            layers += [nn.Linear(d_left, d_right), nn.SiLU(), Dropout(dropout)]
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """``x + f(norm(x))`` with two linear maps in ``f``, the first to ``d_hidden`` units."""

    def __init__(self, d_block: int, d_hidden: int, dropout: float):
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(d_block),
            nn.Linear(d_block, d_hidden),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(d_hidden, d_block),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class ResNet(nn.Module):
    """Residual net for tables.

    That of [1]_ with layer norm for batch norm: so a row's output, in training too, does not hang on the rows beside
    it, and a weight of two is a row twice.

    Parameters
    ----------
    d_in : int
    n_blocks : int, default=2
    d_block : int, default=192
        Width of the rows between blocks.
    d_hidden : int, default=384
        Width inside a block.
    dropout : float, default=0.15
        Inside a block.

    **Shape:** input ``(n_rows, d_in)``, output ``(n_rows, d_block)``.

    References
    ----------
    .. [1] Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting Deep Learning Models for Tabular Data", NeurIPS
       2021.

    Examples
    --------
    >>> import torch
    >>> ResNet(3, n_blocks=1, d_block=16, d_hidden=32)(torch.zeros(5, 3)).shape
    torch.Size([5, 16])
    """

    input_axes: ClassVar[dict[str, int]] = {"first.weight": 1}

    def __init__(self, d_in: int, *, n_blocks: int = 2, d_block: int = 192, d_hidden: int = 384, dropout: float = 0.15):
        super().__init__()
        self.first = nn.Linear(d_in, d_block)
        self.blocks = nn.Sequential(*(ResidualBlock(d_block, d_hidden, dropout) for _ in range(n_blocks)))
        self.last = nn.Sequential(nn.LayerNorm(d_block), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(self.first(x)))
