"""A perceptron a column: what it makes of a column hangs on no other."""

from __future__ import annotations

import torch

from hybridlearn.modules import AdditiveMLP, ColumnLinear


def test_a_linear_map_a_column_by_hand() -> None:
    layer = ColumnLinear(2, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[2.0]], [[3.0]]]))
        layer.bias.copy_(torch.tensor([[1.0], [0.0]]))
    assert layer(torch.tensor([[[5.0], [7.0]]])).tolist() == [[[11.0], [21.0]]]


def test_a_column_moves_its_own_units_only() -> None:
    """Columns of three, one and two inputs, four units each."""
    net = AdditiveMLP([3, 1, 2], d_hidden=4, dropout=0.0)
    x = torch.randn(5, 6, requires_grad=True)
    jacobian = torch.stack([torch.autograd.grad(net(x)[:, unit].sum(), x)[0][0] for unit in range(12)])
    moved = jacobian.abs().view(3, 4, 6).amax(dim=1) > 0
    assert moved.tolist() == [
        [True, True, True, False, False, False],
        [False, False, False, True, False, False],
        [False, False, False, False, True, True],
    ]
