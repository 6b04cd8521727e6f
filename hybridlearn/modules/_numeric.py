"""Learned embeddings of numbers: each column becomes a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LinearEmbedding(nn.Module):
    """Embed each number by a line of its own: ``x w + b``.

    Parameters
    ----------
    n_features : int
    d_embedding : int, default=16
        Outputs a feature.

    **Shape:** input ``(n_rows, n_features)``, output ``(n_rows, n_features, d_embedding)``.

    Examples
    --------
    >>> LinearEmbedding(3, d_embedding=4)(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 4])
    """

    def __init__(self, n_features: int, *, d_embedding: int = 16):
        super().__init__()
        bound = 1 / math.sqrt(d_embedding)
        self.weight = nn.Parameter(torch.empty(n_features, d_embedding).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_features, d_embedding).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x.unsqueeze(-1), self.weight)


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

    **Shape:** input ``(n_rows, n_features)``, output ``(n_rows, n_features, d_embedding)``.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
       NeurIPS 2022.
    .. [2] Holzmüller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024 (the PBLD embedding).

    Examples
    --------
    >>> PeriodicEmbedding(3, d_embedding=4)(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 4])
    """

    def __init__(self, n_features: int, *, d_embedding: int = 4, n_frequencies: int = 16, frequency_scale: float = 0.1):
        super().__init__()
        d_mixed = d_embedding - 1
        self.frequency = nn.Parameter(torch.randn(n_features, n_frequencies) * frequency_scale)
        self.phase = nn.Parameter((torch.rand(n_features, n_frequencies) * 2 - 1) * math.pi)
        bound = 1 / math.sqrt(n_frequencies)
        self.weight = nn.Parameter(torch.empty(n_features, n_frequencies, d_mixed).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_features, d_mixed).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        # rows last: so no large array is turned round; a sine, for its derivative needs no change of sign
        columns = x.T.unsqueeze(1)  # (p, 1, n)
        frequency, phase = 2 * math.pi * self.frequency, self.phase + math.pi / 2
        waves = torch.sin(columns * frequency.unsqueeze(-1) + phase.unsqueeze(-1))  # (p, n_frequencies, n)
        mixed = torch.bmm(self.weight.transpose(1, 2), waves) + self.bias.unsqueeze(-1)  # (p, d - 1, n)
        return torch.cat([columns, mixed.to(x.dtype)], dim=1).permute(2, 0, 1)


class PiecewiseLinearEmbedding(nn.Module):
    """Embed each number by a learned function that is linear between given edges.

    The number is first encoded by how far it fills each bin, 0 below and 1 above [1]_. A linear map of the encoding,
    zero at first, is added to a linear embedding, as in [2]_: that makes the start as smooth as
    :class:`LinearEmbedding`. Unlike there the outer bins end at their outer edge: beyond it the line alone goes on, for
    where quantiles lie close together a bin is steep.

    Parameters
    ----------
    edges : sequence of sequences of float
        For each feature the edges of its bins, increasing; less than 2 stand for a feature without bins.
        :func:`hybridlearn.table.quantile_edges` and :func:`hybridlearn.table.target_edges` find them.
    d_embedding : int, default=8
        Outputs a feature.

    **Shape:** input ``(n_rows, n_features)``, output ``(n_rows, n_features, d_embedding)``.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
       NeurIPS 2022.
    .. [2] Gorishniy, Kotelnikov and Babenko, "TabM", ICLR 2025.

    Examples
    --------
    >>> PiecewiseLinearEmbedding([[0.0, 1.0, 4.0], [0.0, 2.0]], d_embedding=4)(torch.zeros(5, 2)).shape
    torch.Size([5, 2, 4])
    """

    lower: Tensor
    steepness: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], *, d_embedding: int = 8):
        super().__init__()
        shape = len(edges), max([len(e) - 1 for e in edges] + [0])
        self.linear = LinearEmbedding(len(edges), d_embedding=d_embedding)
        self.weight = nn.Parameter(torch.zeros(*shape, d_embedding))
        lower, steepness = torch.zeros(shape), torch.zeros(shape)  # a slot without a bin is never filled
        for j, feature_edges in enumerate(edges):
            e = torch.as_tensor(feature_edges, dtype=torch.float64)
            n_bins = max(len(e) - 1, 0)
            lower[j, :n_bins] = e[:-1].float()
            steepness[j, :n_bins] = (1 / e.diff()).clamp(max=torch.finfo(torch.float32).max).float()
        self.register_buffer("lower", lower)
        self.register_buffer("steepness", steepness)

    def encode(self, x: Tensor) -> Tensor:
        """How far each number fills each bin, shape (n_rows, n_features, n_bins)."""
        return ((x.unsqueeze(-1) - self.lower) * self.steepness).clamp(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        added = torch.bmm(self.encode(x).transpose(0, 1), self.weight).transpose(0, 1)
        return self.linear(x) + added


class MissingValueEmbedding(nn.Module):
    """Embed a missing number as 0 plus a learned vector of its column, and any other number as it is.

    The vectors start at zero: in a column that had no gaps in training a gap counts as 0.

    Parameters
    ----------
    embedding : Module
        From ``(n_rows, n_features)`` to ``(n_rows, n_features, d_embedding)``.
    n_features, d_embedding : int

    **Shape:** input ``(n_rows, n_features)``, NaN where missing; output ``(n_rows, n_features, d_embedding)``.

    Examples
    --------
    >>> embedding = MissingValueEmbedding(LinearEmbedding(2, d_embedding=4), 2, 4)
    >>> embedding(torch.tensor([[0.5, torch.nan]])).isnan().any()
    tensor(False)
    """

    def __init__(self, embedding: nn.Module, n_features: int, d_embedding: int):
        super().__init__()
        self.embedding = embedding
        self.missing = nn.Parameter(torch.zeros(n_features, d_embedding))

    def forward(self, x: Tensor) -> Tensor:
        is_missing = x.isnan()
        return self.embedding(x.masked_fill(is_missing, 0.0)) + is_missing.unsqueeze(-1) * self.missing
