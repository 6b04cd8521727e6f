"""Learned embeddings of numbers and of categories."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    """Embed each number as itself beside a learned mix of cosines of it.

    Feature ``x`` becomes ``[x, W cos(2 pi f x + b) + c]`` with frequencies ``f``, phases ``b`` and mix ``W, c`` of
    its own: the periodic embeddings of [1]_ in the lighter form, with phases and the number itself, of [2]_.

    Parameters
    ----------
    n_features : int
    d_embedding : int, default=4
        Outputs a feature, the number itself included; at least 2.
    n_frequencies : int, default=16
    frequency_scale : float, default=0.1
        Standard deviation of the initial frequencies.

    **Shape:** input ``(n_rows, n_features)``, output ``(n_rows, n_features * d_embedding)``.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
       NeurIPS 2022.
    .. [2] Holzmüller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024 (the PBLD embedding).

    Examples
    --------
    >>> PeriodicEmbedding(3, d_embedding=4)(torch.zeros(5, 3)).shape
    torch.Size([5, 12])
    """

    def __init__(self, n_features: int, *, d_embedding: int = 4, n_frequencies: int = 16, frequency_scale: float = 0.1):
        super().__init__()
        self.d_out = n_features * d_embedding
        d_mixed = d_embedding - 1
        self.frequency = nn.Parameter(torch.randn(n_features, n_frequencies) * frequency_scale)
        self.phase = nn.Parameter((torch.rand(n_features, n_frequencies) * 2 - 1) * math.pi)
        bound = 1 / math.sqrt(n_frequencies)
        self.weight = nn.Parameter(torch.empty(n_features, n_frequencies, d_mixed).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_features, d_mixed).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        waves = torch.cos(2 * math.pi * x.unsqueeze(-1) * self.frequency + self.phase)  # (n, p, n_frequencies)
        mixed = torch.bmm(waves.transpose(0, 1), self.weight).transpose(0, 1) + self.bias  # (n, p, d - 1)
        return torch.cat([x.unsqueeze(-1), mixed], dim=-1).flatten(1)


class CategoricalEmbedding(nn.Module):
    """One learned vector a category code, the columns side by side.

    Code 0, which training rows hold only where rare levels share it, starts at the zero vector: an unseen level
    is neutral.

    Parameters
    ----------
    cardinalities : sequence of int
        Codes a column.
    max_width : int, default=8
        A column of ``c`` codes gets ``min(max_width, ceil(c / 2))`` numbers.

    **Shape:** input ``(n_rows, n_columns)`` int64, output ``(n_rows, d_out)``.

    Examples
    --------
    >>> CategoricalEmbedding([4, 100])(torch.zeros(5, 2, dtype=torch.int64)).shape
    torch.Size([5, 10])
    """

    def __init__(self, cardinalities: Sequence[int], *, max_width: int = 8):
        super().__init__()
        widths = [min(max_width, math.ceil(c / 2)) for c in cardinalities]
        self.d_out = sum(widths)
        self.tables = nn.ModuleList(nn.Embedding(c, w) for c, w in zip(cardinalities, widths, strict=True))
        for table in self.tables:
            nn.init.zeros_(table.get_parameter("weight")[0])

    def forward(self, codes: Tensor) -> Tensor:
        vectors = [table(codes[:, j]) for j, table in enumerate(self.tables)]
        return torch.cat([*vectors, torch.empty(len(codes), 0, device=codes.device)], dim=1)
