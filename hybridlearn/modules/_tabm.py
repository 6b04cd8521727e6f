"""TabM: many perceptrons that share their weights."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybridlearn.modules._dropout import Dropout


class BatchEnsembleLinear(nn.Module):
    """Linear maps of `k` members that share one matrix: ``((x r_i) W) s_i + b_i``.

    Each member ``i`` scales inputs and outputs by vectors of its own, its *adapters* (batch ensemble, Wen, Tran and
    Ba, ICLR 2020). They start at 1.

    Parameters
    ----------
    d_in, d_out, k : int

    **Shape:** input ``(n_rows, k, d_in)``, output ``(n_rows, k, d_out)``.

    Examples
    --------
    >>> BatchEnsembleLinear(3, 4, k=2)(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 4])
    """

    def __init__(self, d_in: int, d_out: int, *, k: int):
        super().__init__()
        bound = 1 / math.sqrt(max(d_in, 1))
        self.weight = nn.Parameter(torch.empty(d_in, d_out).uniform_(-bound, bound))
        self.scale_in = nn.Parameter(torch.ones(k, d_in))
        self.scale_out = nn.Parameter(torch.ones(k, d_out))
        self.bias = nn.Parameter(torch.empty(d_out).uniform_(-bound, bound).expand(k, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        shared = (x * self.scale_in).flatten(0, 1) @ self.weight
        return torch.addcmul(self.bias, shared.unflatten(0, x.shape[:2]), self.scale_out)


class MemberLinear(nn.Module):
    """A linear map for each of `k` members, nothing shared.

    Parameters
    ----------
    d_in, d_out, k : int

    **Shape:** input ``(n_rows, k, d_in)``, output ``(n_rows, k, d_out)``.

    Examples
    --------
    >>> MemberLinear(3, 1, k=2)(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 1])
    """

    def __init__(self, d_in: int, d_out: int, *, k: int):
        super().__init__()
        bound = 1 / math.sqrt(max(d_in, 1))
        self.weight = nn.Parameter(torch.empty(k, d_in, d_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(k, d_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class TabM(nn.Module):
    """Hidden layers of `k` multilayer perceptrons that share their weights [1]_.

    The first adapter is random, so that members differ from the start: one number a member and column of the table
    (all outputs of a column's embedding share it), normal if `normal_start`, else a sign. The others start at 1.

    Parameters
    ----------
    d_in : int
    sections : sequence of int, optional
        How many of the inputs belong to each column; they sum to `d_in`. Default: 1 each.
    k : int, default=16
        Members.
    n_blocks : int, default=2
    d_block : int, default=128
        Width of each hidden layer.
    dropout : float, default=0.1
    normal_start : bool, default=True

    **Shape:** input ``(n_rows, d_in)``, output ``(n_rows, k, d_block)``.

    References
    ----------
    .. [1] Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning With Parameter-Efficient
       Ensembling", ICLR 2025.

    Examples
    --------
    >>> TabM(3, k=4, d_block=16)(torch.zeros(5, 3)).shape
    torch.Size([5, 4, 16])
    """

    input_axes: ClassVar[dict[str, int]] = {"layers.0.weight": 0, "layers.0.scale_in": 1}

    def __init__(
        self,
        d_in: int,
        sections: list[int] | None = None,
        *,
        k: int = 16,
        n_blocks: int = 2,
        d_block: int = 128,
        dropout: float = 0.1,
        normal_start: bool = True,
    ):
        super().__init__()
        self.k = k
        sizes = [d_in] + [d_block] * n_blocks
        self.layers = nn.ModuleList(BatchEnsembleLinear(sizes[i], d_block, k=k) for i in range(n_blocks))
        self.activate = nn.Sequential(nn.SiLU(), Dropout(dropout))
        per_column = torch.tensor([1] * d_in if sections is None else sections, dtype=torch.int64)
        start = torch.randn(k, len(per_column))
        first = self.layers[0].get_parameter("scale_in")
        with torch.no_grad():
            first.copy_((start if normal_start else start.sign()).repeat_interleave(per_column, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.unsqueeze(1).expand(-1, self.k, -1)
        for layer in self.layers:
            hidden = self.activate(layer(hidden))
        return hidden
