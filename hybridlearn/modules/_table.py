"""From the columns of a table to margins: embedding, hidden layers, output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class TableEmbedding(nn.Module):
    """Numbers and categories of a row, embedded and laid side by side.

    Parameters
    ----------
    numeric : Module
        From ``(n_rows, n_numeric)`` to ``(n_rows, n_numeric, d)``, or to the same shape (``nn.Identity``).
    categorical : Module
        From ``(n_rows, n_categorical)`` int64 to ``(n_rows, d)``.

    **Shape:** input ``x_num (n_rows, n_numeric)`` and ``x_cat (n_rows, n_categorical)``, output ``(n_rows, d_out)``.

    Examples
    --------
    >>> from hybridlearn.modules import CategoricalEmbedding
    >>> embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding([4, 100]))
    >>> embedding(torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64)).shape
    torch.Size([5, 13])
    """

    numeric: Any
    categorical: Any

    def __init__(self, numeric: nn.Module, categorical: nn.Module):
        super().__init__()
        self.numeric = numeric
        self.categorical = categorical

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return torch.cat([self.numeric(x_num).flatten(1), self.categorical(x_cat)], dim=1)

    def arranged(self, embedded: Tensor) -> Tensor:
        """What ``forward`` gave, from its outputs side by side: shape (n_rows, d)."""
        return embedded

    def sections(self, x_num: Tensor) -> list[int]:
        """How many outputs all numbers of a row have together, and how many each category."""
        return [self.numeric(x_num).flatten(1).shape[1], *self.categorical.widths]


class TableTokens(TableEmbedding):
    """Numbers and categories of a row as one vector each, all of one width.

    Parameters
    ----------
    numeric : Module
        From ``(n_rows, n_numeric)`` to ``(n_rows, n_numeric, d_token)``.
    categorical : Module
        From ``(n_rows, n_categorical)`` int64 to ``(n_rows, n_categorical * d_token)``.
    d_token : int

    **Shape:** input ``x_num (n_rows, n_numeric)`` and ``x_cat (n_rows, n_categorical)``, output
    ``(n_rows, n_numeric + n_categorical, d_token)``.

    Examples
    --------
    >>> from hybridlearn.modules import CategoricalEmbedding, LinearEmbedding
    >>> numeric, categorical = LinearEmbedding(3, d_embedding=8), CategoricalEmbedding([4, 100], widths=[8, 8])
    >>> TableTokens(numeric, categorical, 8)(torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64)).shape
    torch.Size([5, 5, 8])
    """

    def __init__(self, numeric: nn.Module, categorical: nn.Module, d_token: int):
        super().__init__(numeric, categorical)
        self.d_token = d_token

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return self.arranged(super().forward(x_num, x_cat))

    def arranged(self, embedded: Tensor) -> Tensor:
        """As in the base, shape (n_rows, n_tokens, d_token)."""
        return embedded.unflatten(1, (-1, self.d_token))


class TabularNet(nn.Module):
    """A net for tables: embedding of the columns, hidden layers, output.

    Where the hidden layers have members (:class:`TabM`), the output has them too while training, so that each gets
    a loss of its own; in evaluation their outputs, which are margins, are averaged.

    Parameters
    ----------
    embedding : Module
        From ``x_num, x_cat`` to what `hidden` takes.
    hidden : Module
        To ``(n_rows, d)`` or ``(n_rows, k, d)``.
    output : Module
        From there to ``(n_rows, n_outputs)`` or ``(n_rows, k, n_outputs)``.

    **Shape:** input ``x_num (n_rows, n_numeric)`` float, ``x_cat (n_rows, n_categorical)`` int64 and, added to the
    outputs where it is given, ``base_margin (n_rows, n_outputs)``; output ``(n_rows, n_outputs)``, with members
    ``(n_rows, k, n_outputs)`` in training.

    Examples
    --------
    >>> from hybridlearn.modules import CategoricalEmbedding, MLP
    >>> embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding([4]))
    >>> net = TabularNet(embedding, MLP(5, hidden_layer_sizes=(16,)), nn.Linear(16, 1))
    >>> net(torch.zeros(5, 3), torch.zeros(5, 1, dtype=torch.int64)).shape
    torch.Size([5, 1])
    """

    embedding: Any
    hidden: Any

    def __init__(self, embedding: nn.Module, hidden: nn.Module, output: nn.Module):
        super().__init__()
        self.embedding = embedding
        self.hidden = hidden
        self.output = output

    def forward(self, x_num: Tensor, x_cat: Tensor, base_margin: Tensor | None = None) -> Tensor:
        outputs = self._outputs(self.embedding(x_num, x_cat))
        if base_margin is None:
            return outputs
        return outputs + (base_margin if outputs.ndim == 2 else base_margin.unsqueeze(1))

    def _outputs(self, embedding: Tensor) -> Tensor:
        outputs = self.output(self.hidden(embedding))
        return outputs.mean(dim=1) if outputs.ndim == 3 and not self.training else outputs

    def embedded(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        """What the columns become before they meet, side by side: shape (n_rows, d)."""
        return self.embedding(x_num, x_cat).flatten(1)

    def outputs(self, embedded: Tensor) -> Tensor:
        """The outputs, from what :meth:`embedded` gives."""
        return self._outputs(self.embedding.arranged(embedded))

    def embed(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        """What the output layer sees, members side by side: shape (n_rows, d) or (n_rows, k * d)."""
        return self.hidden(self.embedding(x_num, x_cat)).flatten(1)

    def attention(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        """Attention of the hidden layers, where they have any: see :meth:`FTTransformer.attention`."""
        return self.hidden.attention(self.embedding(x_num, x_cat))
