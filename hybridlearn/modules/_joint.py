"""Several nets on one table under one head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridlearn.modules._dropout import Dropout
from hybridlearn.modules._table import TabularNet


class JointNet(nn.Module):
    """Branches on the same rows, whose hidden states one output layer sees side by side.

    Parameters
    ----------
    branches : sequence of TabularNet
        Embeddings and hidden layers are taken over, outputs are left out.
    output : Module
        From all that :meth:`TabularNet.embed` of the branches gives to the outputs.
    dropout : float, default=0.0
        Share of what `output` sees that a training step leaves out.

    **Shape:** input ``x_num (n_rows, n_numeric)`` float, ``x_cat (n_rows, n_categorical)`` int64 and, added to the
    outputs where it is given, ``base_margin (n_rows, n_outputs)``; output ``(n_rows, n_outputs)``.

    Examples
    --------
    >>> from hybridlearn.modules import MLP, CategoricalEmbedding, ResNet, TableEmbedding
    >>> def branch(hidden):
    ...     return TabularNet(TableEmbedding(nn.Identity(), CategoricalEmbedding([4])), hidden, nn.Identity())
    >>> mlp, resnet = branch(MLP(5, hidden_layer_sizes=(16,))), branch(ResNet(5, d_block=8))
    >>> net = JointNet([mlp, resnet], nn.Linear(16 + 8, 1))
    >>> x_num, x_cat = torch.zeros(5, 3), torch.zeros(5, 1, dtype=torch.int64)
    >>> net(x_num, x_cat).shape, net.embed(x_num, x_cat).shape
    (torch.Size([5, 1]), torch.Size([5, 24]))
    """

    branches: Any

    def __init__(self, branches: Sequence[TabularNet], output: nn.Module, *, dropout: float = 0.0):
        super().__init__()
        self.branches = nn.ModuleList(TabularNet(b.embedding, b.hidden, nn.Identity()) for b in branches)
        self.dropout = Dropout(dropout)
        self.output = output

    def forward(self, x_num: Tensor, x_cat: Tensor, base_margin: Tensor | None = None) -> Tensor:
        outputs = self.output(self.dropout(self.embed(x_num, x_cat)))
        return outputs if base_margin is None else outputs + base_margin

    def embed(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        """What the output layer sees, branches (and their members) side by side: shape (n_rows, d)."""
        return torch.cat([branch.embed(x_num, x_cat) for branch in self.branches], dim=1)
