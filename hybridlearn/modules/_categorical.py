"""Learned embeddings of categories."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoricalEmbedding(nn.Module):
    """One learned vector a category code, the columns side by side.

    Codes 0 and 1, of unseen or rare levels and of missing ones, start at the zero vector: where no training row has
    them, they are neutral.

    Parameters
    ----------
    cardinalities : sequence of int
        Codes a column.
    widths : sequence of int, optional
        Outputs a column. Default: ``min(8, ceil(c / 2))`` for a column of ``c`` codes.

    **Shape:** input ``(n_rows, n_columns)`` int64, output ``(n_rows, sum(widths))``.

    Examples
    --------
    >>> CategoricalEmbedding([4, 100])(torch.zeros(5, 2, dtype=torch.int64)).shape
    torch.Size([5, 10])
    """

    def __init__(self, cardinalities: Sequence[int], *, widths: Sequence[int] | None = None):
        super().__init__()
        self.widths = [min(8, math.ceil(c / 2)) for c in cardinalities] if widths is None else list(widths)
        self.tables = nn.ModuleList(nn.Embedding(c, w) for c, w in zip(cardinalities, self.widths, strict=True))
        for table in self.tables:
            nn.init.zeros_(table.get_parameter("weight")[:2])

    def forward(self, codes: Tensor) -> Tensor:
        vectors = [table(codes[:, j]) for j, table in enumerate(self.tables)]
        return torch.cat([*vectors, torch.empty(len(codes), 0, device=codes.device)], dim=1)
