"""Modules filled up with zeros to one shape compute what they computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridlearn.modules import (
    MLP,
    CategoricalEmbedding,
    FTTransformer,
    LinearEmbedding,
    MemberLinear,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResNet,
    TableEmbedding,
    TableTokens,
    TabM,
    TabularNet,
    common_placements,
)

# columns of numbers, codes a category, bins a column
TABLES = [(3, [4, 9], [2, 5, 3]), (2, [12, 3], [4, 1]), (3, [3, 3], [1, 1, 1]), (1, [40, 2], [6])]


def embedding_of(
    kind: str, n_numeric: int, cardinalities: list[int], bins: list[int]
) -> tuple[TableEmbedding, list[int]]:
    numeric: nn.Module = nn.Identity()
    if kind == "periodic":
        numeric = PeriodicEmbedding(n_numeric, d_embedding=4)
    elif kind == "piecewise":
        numeric = PiecewiseLinearEmbedding([[float(i) for i in range(b + 1)] for b in bins], d_embedding=4)
    elif kind == "linear":
        numeric = LinearEmbedding(n_numeric, d_embedding=4)
    categorical = CategoricalEmbedding(cardinalities)
    return TableEmbedding(numeric, categorical), [1 if kind == "none" else 4] * n_numeric + categorical.widths


def net_of(family: str, kind: str, *table: object) -> TabularNet:
    embedding, widths = embedding_of(kind, *table)  # type: ignore[arg-type]
    if family == "mlp":
        # one hidden layer is as wide as the input of the first net
        return TabularNet(embedding, MLP(sum(widths), hidden_layer_sizes=(19, 8)), nn.Linear(8, 2))
    if family == "resnet":
        return TabularNet(embedding, ResNet(sum(widths), n_blocks=1, d_block=8, d_hidden=6), nn.Linear(8, 2))
    return TabularNet(embedding, TabM(sum(widths), widths, k=3, d_block=8), MemberLinear(8, 2, k=3))


def inputs_of(n_numeric: int, cardinalities: list[int], bins: list[int]) -> list[Tensor]:
    codes = torch.stack([torch.randint(c, (6,)) for c in cardinalities], dim=1)
    return [torch.randn(6, n_numeric), codes]


def filled(tensor: Tensor, shape: torch.Size, positions: Tensor) -> Tensor:
    flat = torch.zeros(shape.numel(), dtype=tensor.dtype)
    flat[positions] = tensor.flatten()
    return flat.view(shape)


@pytest.mark.parametrize("kind", ["periodic", "piecewise", "linear", "none"])
@pytest.mark.parametrize("family", ["mlp", "resnet", "tabm"])
def test_what_is_filled_up_computes_the_same_and_learns_nothing(family: str, kind: str) -> None:
    torch.manual_seed(0)
    nets, inputs = [net_of(family, kind, *t).double().eval() for t in TABLES], [inputs_of(*t) for t in TABLES]
    for x in inputs:
        x[0] = x[0].double()
    placements = common_placements(nets, inputs)
    assert placements is not None
    widest = max(t[0] for t in TABLES)
    for net, (x_num, x_cat), placement in zip(nets, inputs, placements, strict=True):
        state = {name: filled(tensor, *placement[name]).detach() for name, tensor in net.state_dict().items()}
        leaves = {
            name: tensor.requires_grad_() for name, tensor in state.items() if name in dict(net.named_parameters())
        }
        wider = torch.cat([x_num, torch.zeros(6, widest - x_num.shape[1], dtype=torch.float64)], dim=1)
        together = functional_call(nets[0], state, (wider, x_cat))
        torch.testing.assert_close(together, net(x_num, x_cat), rtol=1e-12, atol=1e-12)
        together.square().sum().backward()
        net(x_num, x_cat).square().sum().backward()
        for name, parameter in net.named_parameters():
            expected = filled(parameter.grad, *placement[name])
            torch.testing.assert_close(leaves[name].grad, expected, rtol=1e-9, atol=1e-12, msg=name)


def test_modules_of_one_shape_stay_as_they_are() -> None:
    placements = common_placements([nn.Linear(3, 2), nn.Linear(3, 2)], [[torch.zeros(1, 3)]] * 2)
    assert placements is not None
    for placement in placements:
        assert placement["weight"][0] == (2, 3)
        assert placement["weight"][1].tolist() == list(range(6))


def tokens(n_numeric: int) -> TabularNet:
    embedding = TableTokens(LinearEmbedding(n_numeric, d_embedding=8), CategoricalEmbedding([4], widths=[8]), 8)
    return TabularNet(embedding, FTTransformer(n_blocks=1, d_block=8, n_heads=2, d_hidden=8), nn.Linear(8, 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.Linear(3, 2), nn.Linear(4, 2)),
        (nn.Linear(3, 2), nn.Linear(3, 2, bias=False)),
        (nn.Linear(3, 2), nn.Linear(3, 2).double()),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Sequential(nn.Linear(3, 2), nn.Tanh())),
    ],
    ids=["width", "bias", "dtype", "activation"],
)
def test_other_modules_have_no_common_shape(one: nn.Module, other: nn.Module) -> None:
    assert common_placements([one, other], [[torch.zeros(1, 3)]] * 2) is None


def test_more_tokens_are_another_net_but_more_levels_are_not() -> None:
    inputs = [[torch.zeros(1, p), torch.zeros(1, 1, dtype=torch.int64)] for p in (2, 3)]
    assert common_placements([tokens(2), tokens(3)], inputs) is None
    assert common_placements([tokens(2), tokens(2)], [inputs[0]] * 2) is not None


def test_other_widths_of_hidden_layers_have_no_common_shape() -> None:
    nets = [
        TabularNet(embedding_of("none", 3, [4], [])[0], MLP(5, hidden_layer_sizes=(w,)), nn.Linear(w, 1))
        for w in (4, 8)
    ]
    assert common_placements(nets, [inputs_of(3, [4], [])] * 2) is None
