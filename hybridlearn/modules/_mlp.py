"""The multilayer perceptron on embedded tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hybridlearn.modules._embeddings import CategoricalEmbedding, PeriodicEmbedding


class TabularMLP(nn.Module):
    """A multilayer perceptron on periodic embeddings of numbers and learned embeddings of categories.

    Parameters
    ----------
    n_numeric : int
    cardinalities : sequence of int
        Codes of each categorical column.
    n_outputs : int
    hidden_layer_sizes : sequence of int, default=(256, 256)
    dropout : float, default=0.1
        After each hidden layer.
    d_embedding, n_frequencies, frequency_scale
        See :class:`PeriodicEmbedding`.

    **Shape:** input ``x_num (n_rows, n_numeric)`` float and ``x_cat (n_rows, n_categorical)`` int64, output
    ``(n_rows, n_outputs)``.

    Examples
    --------
    >>> net = TabularMLP(3, [4, 7], 1, hidden_layer_sizes=(16,))
    >>> net(torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        n_numeric: int,
        cardinalities: Sequence[int],
        n_outputs: int,
        *,
        hidden_layer_sizes: Sequence[int] = (256, 256),
        dropout: float = 0.1,
        d_embedding: int = 4,
        n_frequencies: int = 16,
        frequency_scale: float = 0.1,
    ):
        super().__init__()
        self.numeric = PeriodicEmbedding(
            n_numeric, d_embedding=d_embedding, n_frequencies=n_frequencies, frequency_scale=frequency_scale
        )
        self.categorical = CategoricalEmbedding(cardinalities)
        sizes = [self.numeric.d_out + self.categorical.d_out, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(sizes):
            layers += [nn.Linear(d_in, d_out), nn.SiLU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(sizes[-1], n_outputs)

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        embedded = torch.cat([self.numeric(x_num), self.categorical(x_cat)], dim=1)
        return self.output(self.hidden(embedded))
