"""From the columns of a table to outputs: embeddings side by side or as tokens, hidden layers, output."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hybridlearn.modules import (
    MLP,
    CategoricalEmbedding,
    FTTransformer,
    LinearEmbedding,
    MemberLinear,
    MissingValueEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResNet,
    TableEmbedding,
    TableTokens,
    TabM,
    TabularNet,
)


def inputs(n_rows: int, n_numeric: int = 2, cardinalities: tuple[int, ...] = (3, 5)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(c, (n_rows, 1), generator=generator) for c in cardinalities]
    x_num = torch.randn(n_rows, n_numeric, generator=generator)
    return x_num, torch.cat([torch.empty(n_rows, 0, dtype=torch.int64), *codes], dim=1)


def side_by_side() -> TableEmbedding:
    """Two numbers of four outputs each, two categories of two and three: 13 in all."""
    return TableEmbedding(PeriodicEmbedding(2, d_embedding=4), CategoricalEmbedding([3, 5]))


def perceptron() -> TabularNet:
    return TabularNet(side_by_side(), MLP(13, hidden_layer_sizes=(8,), dropout=0.0), nn.Linear(8, 2))


def resnet() -> TabularNet:
    numeric = PiecewiseLinearEmbedding([[-1.0, 0.0, 1.0]] * 2, d_embedding=4)
    embedding = TableEmbedding(numeric, CategoricalEmbedding([3, 5]))
    return TabularNet(embedding, ResNet(13, d_block=8, d_hidden=6, dropout=0.0), nn.Linear(8, 2))


def members() -> TabularNet:
    hidden = TabM(13, [4, 4, 2, 3], k=3, d_block=8, dropout=0.0)
    return TabularNet(side_by_side(), hidden, MemberLinear(8, 2, k=3))


def transformer() -> TabularNet:
    numeric = MissingValueEmbedding(LinearEmbedding(2, d_embedding=8), 2, 8)
    embedding = TableTokens(numeric, CategoricalEmbedding([3, 5], widths=[8, 8]), 8)
    hidden = FTTransformer(d_block=8, n_heads=2, d_hidden=6, attention_dropout=0.0, dropout=0.0)
    return TabularNet(embedding, hidden, nn.Linear(8, 2))


Build = Callable[[], TabularNet]
each_net = pytest.mark.parametrize("build", [perceptron, resnet, members, transformer])


# -- side by side


def test_numbers_come_first_then_categories() -> None:
    embedding, (x_num, x_cat) = side_by_side(), inputs(6)
    out = embedding(x_num, x_cat)
    assert out.shape == (6, 13)
    numeric = embedding.numeric(x_num)
    assert torch.equal(out[:, :4], numeric[:, 0])
    assert torch.equal(out[:, 4:8], numeric[:, 1])
    assert torch.equal(out[:, 8:], embedding.categorical(x_cat))


def test_numbers_may_stay_what_they_are() -> None:
    embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding([2], widths=[1]))
    with torch.no_grad():
        embedding.categorical.tables[0].weight.copy_(torch.tensor([[7.0], [9.0]]))
    out = embedding(torch.tensor([[0.5, 1.5], [2.5, 3.5]]), torch.tensor([[1], [0]]))
    assert out.tolist() == [[0.5, 1.5, 9.0], [2.5, 3.5, 7.0]]


@pytest.mark.parametrize("numeric", [nn.Identity(), LinearEmbedding(0, d_embedding=4), PeriodicEmbedding(0)])
def test_without_numbers_only_categories_are_left(numeric: nn.Module) -> None:
    categorical = CategoricalEmbedding([3, 5])
    x_num, x_cat = inputs(6, n_numeric=0)
    assert torch.equal(TableEmbedding(numeric, categorical)(x_num, x_cat), categorical(x_cat))


def test_without_categories_only_numbers_are_left() -> None:
    x_num, x_cat = inputs(6, cardinalities=())
    assert torch.equal(TableEmbedding(nn.Identity(), CategoricalEmbedding([]))(x_num, x_cat), x_num)


# -- tokens


def test_each_column_is_a_token_numbers_first() -> None:
    torch.manual_seed(0)
    numeric, categorical = LinearEmbedding(2, d_embedding=4), CategoricalEmbedding([3, 5], widths=[4, 4])
    x_num, x_cat = inputs(6)
    tokens = TableTokens(numeric, categorical, 4)(x_num, x_cat)
    assert tokens.shape == (6, 4, 4)
    torch.testing.assert_close(tokens[:, :2], x_num[:, :, None] * numeric.weight + numeric.bias)
    for j in range(2):
        assert torch.equal(tokens[:, 2 + j], categorical.tables[j].weight[x_cat[:, j]])


@pytest.mark.parametrize(("n_numeric", "cardinalities"), [(0, (3, 5)), (2, ()), (0, ())])
def test_a_table_may_lack_numbers_or_categories(n_numeric: int, cardinalities: tuple[int, ...]) -> None:
    numeric = LinearEmbedding(n_numeric, d_embedding=4)
    categorical = CategoricalEmbedding(cardinalities, widths=[4] * len(cardinalities))
    tokens = TableTokens(numeric, categorical, 4)(*inputs(6, n_numeric, cardinalities))
    assert tokens.shape == (6, n_numeric + len(cardinalities), 4)


# -- the net


@each_net
def test_a_net_is_embedding_then_hidden_layers_then_output(build: Build) -> None:
    torch.manual_seed(0)
    net, batch = build(), inputs(6)
    outputs = net.output(net.hidden(net.embedding(*batch)))
    assert torch.equal(net(*batch), outputs)
    evaluated = net.eval()(*batch)
    assert evaluated.shape == (6, 2)
    torch.testing.assert_close(evaluated, outputs if outputs.ndim == 2 else sum(outputs.unbind(1)) / 3)


def test_members_keep_their_outputs_in_training_alone() -> None:
    torch.manual_seed(0)
    net, batch = members(), inputs(6)
    in_training = net(*batch).detach()
    assert in_training.shape == (6, 3, 2)
    assert float(in_training.std(dim=1).min()) > 0
    in_evaluation = net.eval()(*batch).detach()
    torch.testing.assert_close(in_evaluation, (in_training[:, 0] + in_training[:, 1] + in_training[:, 2]) / 3)
    assert net.train()(*batch).shape == (6, 3, 2)


@each_net
def test_the_embedding_of_rows_is_what_the_output_layer_sees(build: Build) -> None:
    torch.manual_seed(0)
    net, batch = build().eval(), inputs(6)
    seen: list[Tensor] = []
    net.output.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(*batch)
    embedded = net.embed(*batch)
    assert embedded.shape == (6, 24 if isinstance(net.hidden, TabM) else 8)
    assert torch.equal(embedded, seen[0].reshape(6, -1))
    assert len(seen) == 1


@each_net
def test_every_parameter_gets_a_gradient(build: Build) -> None:
    torch.manual_seed(0)
    net, (x_num, x_cat) = build(), inputs(60)
    if build is transformer:
        x_num = x_num.masked_fill(torch.rand(60, 2) < 0.3, torch.nan)
    net(x_num, x_cat).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@each_net
def test_a_rows_outputs_are_its_own(build: Build) -> None:
    torch.manual_seed(0)
    net, (x_num, x_cat) = build().double(), inputs(6)
    x_num = x_num.double()
    alone = torch.cat([net(x_num[i : i + 1], x_cat[i : i + 1]) for i in range(6)])
    assert alone.dtype == torch.float64
    torch.testing.assert_close(net(x_num, x_cat), alone, rtol=0, atol=1e-12)


@each_net
def test_a_net_says_the_same_from_its_saved_weights(build: Build) -> None:
    torch.manual_seed(0)
    net, other, batch = build().eval(), build().eval(), inputs(6)
    assert not torch.allclose(net(*batch), other(*batch))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(*batch), other(*batch))
