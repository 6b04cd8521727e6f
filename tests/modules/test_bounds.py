"""Bounds of nets: no point of a box leaves them, whatever the net; and they are as tight as they can be where known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hybridlearn.modules import (
    MLP,
    AdditiveMLP,
    CategoricalEmbedding,
    FTTransformer,
    LinearEmbedding,
    MemberLinear,
    NotCertifiableError,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResNet,
    TableEmbedding,
    TabM,
    TabularNet,
    embedded_columns,
    hull,
    interval_outputs,
    layers_of,
    least_by_intervals,
    least_outputs,
    number_columns,
    rounding_of,
)

EDGES = [[-2.0, -0.5, 0.1, 1.0, 3.0], [-1.0, 1.0], [0.0]]
EMBEDDINGS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "none": (nn.Identity, 1),
    "linear": (lambda: LinearEmbedding(3, d_embedding=4), 4),
    "periodic": (lambda: PeriodicEmbedding(3, d_embedding=4, frequency_scale=0.5), 4),
    "piecewise": (lambda: random_weights(PiecewiseLinearEmbedding(EDGES, d_embedding=4)), 4),
}
HIDDEN: dict[str, Callable[[list[int]], tuple[nn.Module, nn.Module]]] = {
    "mlp": lambda widths: (MLP(sum(widths), hidden_layer_sizes=(12, 8)), nn.Linear(8, 3)),
    "relu": lambda widths: (nn.Sequential(nn.Linear(sum(widths), 10), nn.ReLU()), nn.Linear(10, 3)),
    "tabm": lambda widths: (TabM(sum(widths), widths, k=4, d_block=8), MemberLinear(8, 3, k=4)),
    "additive": lambda widths: (AdditiveMLP(widths, d_hidden=4), nn.Linear(4 * len(widths), 3)),
}


def random_weights(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def a_net(embedding: str, hidden: str, seed: int = 0) -> TabularNet:
    torch.manual_seed(seed)
    make, width = EMBEDDINGS[embedding]
    categorical = CategoricalEmbedding([4, 6])
    widths = [width] * 3 + categorical.widths
    layers, output = HIDDEN[hidden](widths)
    return TabularNet(TableEmbedding(make(), random_weights(categorical)), layers, output).double().eval()


def drawn(lower: Tensor, upper: Tensor, codes: list[Tensor], n: int) -> tuple[Tensor, Tensor]:
    """Rows of each box: ends, and anything between."""
    share = torch.rand(n, *lower.shape, dtype=torch.float64)
    share[: n // 2] = share[: n // 2].round()
    x_num = lower + share * (upper - lower)
    chosen = [own[torch.arange(len(lower)), torch.randint(own.shape[1], (n, len(lower)))] for own in codes]
    return x_num.flatten(0, 1), torch.stack(chosen, dim=2).flatten(0, 1)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("width", [0.0, 0.05, 1.5])
def test_no_row_of_a_box_leaves_the_bounds(embedding: str, hidden: str, width: float) -> None:
    net = a_net(embedding, hidden)
    n_rows, n_drawn = 7, 200
    center = torch.randn(n_rows, 3, dtype=torch.float64)
    lower, upper = center - width * torch.rand(n_rows, 3).double(), center + width * torch.rand(n_rows, 3).double()
    codes = [torch.randint(4, (n_rows, 2)), torch.randint(6, (n_rows, 3))]
    wanted = torch.randn(n_rows, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        columns = embedded_columns(net.embedding, lower, upper, codes)
        layers = [*layers_of(net.hidden), *layers_of(net.output)]
        tight = least_outputs(layers, columns, wanted)
        loose = least_by_intervals(layers, *hull(columns), wanted)
        outputs = net(*drawn(lower, upper, codes, n_drawn)).view(n_drawn, n_rows, 3)
        least = torch.einsum("nro,dno->dnr", wanted, outputs).amin(dim=0)
    assert (tight <= least + 1e-9).all()
    assert (loose <= least + 1e-9).all()
    assert (tight >= loose - 1e-9).all()


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_point_is_bounded_by_its_output(embedding: str) -> None:
    net = a_net(embedding, "mlp")
    x, codes = torch.randn(5, 3, dtype=torch.float64), torch.randint(4, (5, 2))
    wanted = torch.randn(5, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        columns = embedded_columns(net.embedding, x, x, [codes[:, [0]], codes[:, [1]]])
        found = least_outputs([*layers_of(net.hidden), *layers_of(net.output)], columns, wanted)
        outputs = (wanted @ net(x, codes).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(found, outputs, atol=1e-4, rtol=1e-4)


def test_a_linear_net_is_bounded_exactly() -> None:
    linear = nn.Linear(2, 1).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[2.0, -3.0]]))
        linear.bias.fill_(1.0)
        lower, upper = torch.tensor([[0.0, 0.0]]).double(), torch.tensor([[1.0, 2.0]]).double()
        columns, wanted = [number_columns(lower, upper)], torch.ones(1, 1, 1).double()
        assert least_outputs(layers_of(linear), columns, wanted).item() == pytest.approx(1 - 6)
        assert least_outputs(layers_of(linear), columns, -wanted).item() == pytest.approx(-1 - 2)


def test_columns_choose_one_level_each() -> None:
    """The sum of two outputs of an embedding is 5 at either level, though each output alone may be 0."""
    embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding([2], widths=[2]))
    with torch.no_grad():
        embedding.categorical.tables[0].weight.copy_(torch.tensor([[0.0, 5.0], [5.0, 0.0]]))
    columns = embedded_columns(embedding, torch.zeros(1, 0), torch.zeros(1, 0), [torch.tensor([[0, 1]])])
    total = nn.Linear(2, 1)
    with torch.no_grad():
        total.weight.fill_(1.0)
        total.bias.fill_(0.0)
        assert least_outputs(layers_of(total), columns, torch.ones(1, 1, 1)).item() == pytest.approx(5.0)
        low, high = hull(columns)
    assert low.tolist() == [[0.0, 0.0]]
    assert high.tolist() == [[5.0, 5.0]]


@given(low=st.floats(-30, 30), width=st.floats(0, 40))
@pytest.mark.parametrize("function", [nn.SiLU(), nn.ReLU()], ids=["silu", "relu"])
def test_functions_stay_between_their_lines(function: nn.Module, low: float, width: float) -> None:
    (layer,) = layers_of(function)
    lower, upper = torch.tensor([low]).double(), torch.tensor([low + width]).double()
    lines: Any = layer.relax(lower, upper)
    x = lower + torch.linspace(0, 1, 501).double() * (upper - lower)
    y = function(x)
    assert (lines.slope * x + lines.below <= y + 1e-9).all()
    assert (lines.slope * x + lines.above >= y - 1e-9).all()
    least, largest = layer.interval(lower, upper)
    assert (least - 1e-9 <= y).all()
    assert (y <= largest + 1e-9).all()
    assert least.item() == pytest.approx(y.min().item(), abs=1e-2)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_float32_stays_within_its_rounding(hidden: str) -> None:
    net = a_net("periodic", hidden)
    x, codes = 3 * torch.randn(500, 3, dtype=torch.float64).float().double(), torch.randint(4, (500, 2))
    wanted = torch.eye(3).double().expand(500, 3, 3)
    with torch.no_grad():
        exact = net(x, codes)
        embedded = net.embedded(x, codes)
        bound = rounding_of([*layers_of(net.hidden), *layers_of(net.output)], embedded, embedded, wanted)
        rough = net.float()(x.float(), codes).double()
    assert ((exact - rough).abs() <= bound).all()
    assert bound.max() < 1e-2


def test_intervals_have_gradients() -> None:
    net = a_net("periodic", "mlp").float()
    x = torch.randn(4, 3)
    columns = embedded_columns(net.embedding, x - 0.1, x + 0.1, [torch.zeros(4, 1, dtype=torch.int64)] * 2)
    low, high = interval_outputs([*layers_of(net.hidden), *layers_of(net.output)], *hull(columns))
    (high - low).sum().backward()
    assert net.embedding.numeric.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("module", "name"),
    [(ResNet(3, d_block=8), "ResNet"), (nn.Sequential(nn.LayerNorm(3)), "LayerNorm"), (nn.Tanh(), "Tanh")],
    ids=["resnet", "layer norm", "tanh"],
)
def test_what_has_no_bounds_is_named(module: nn.Module, name: str) -> None:
    with pytest.raises(NotCertifiableError, match=name):
        layers_of(module)


def test_attention_has_no_bounds() -> None:
    with pytest.raises(NotCertifiableError, match="FTTransformer"):
        layers_of(FTTransformer(d_block=8, n_blocks=1, n_heads=2, d_hidden=8))
