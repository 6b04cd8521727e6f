"""The multilayer perceptron and the residual net against the same layers in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional as F

from hybridlearn.modules import MLP, Dropout, ResNet


def state(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * weight + bias


def shake(module: nn.Module) -> nn.Module:
    """Random parameters: norms start at a scale of 1 and a shift of 0, which would hide them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


Build = Callable[[float], nn.Module]
NETS: dict[str, Build] = {
    "mlp": lambda dropout: MLP(3, hidden_layer_sizes=(16, 8), dropout=dropout),
    "resnet": lambda dropout: ResNet(3, d_block=16, d_hidden=32, dropout=dropout),
}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS.keys())


# -- both


@each_net
def test_dropout_is_there_in_training_and_gone_in_evaluation(build: Build) -> None:
    torch.manual_seed(0)
    net, x = build(0.5), torch.randn(5, 3)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    certain = build(0.0)
    assert torch.equal(certain(x), certain(x))
    assert torch.equal(certain(x), certain.eval()(x))


@each_net
def test_every_parameter_gets_a_gradient(build: Build) -> None:
    torch.manual_seed(0)
    net = build(0.0)
    net(torch.randn(40, 3)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@each_net
def test_a_rows_output_does_not_hang_on_the_rows_beside_it_in_training(build: Build) -> None:
    torch.manual_seed(0)
    net, x = build(0.0).double(), torch.randn(6, 3, dtype=torch.float64)
    alone = torch.cat([net(row[None]) for row in x])
    torch.testing.assert_close(net(x), alone, rtol=0, atol=1e-12)


# -- multilayer perceptron


@pytest.mark.parametrize("hidden_layer_sizes", [(8,), (8, 5, 3)])
def test_the_perceptron_by_numpy(hidden_layer_sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, x = MLP(4, hidden_layer_sizes=hidden_layer_sizes, dropout=0.5).double().eval(), torch.randn(9, 4).double()
    values, h = state(net), x.numpy()
    layers = sorted({name.split(".")[0] for name in values}, key=int)
    assert len(layers) == len(hidden_layer_sizes)
    for layer in layers:
        z = h @ values[f"{layer}.weight"].T + values[f"{layer}.bias"]
        h = z / (1 + np.exp(-z))
    assert h.shape == (9, hidden_layer_sizes[-1])
    assert_allclose(net(x).detach(), h, atol=1e-12)


def test_one_hidden_unit_by_hand() -> None:
    net = MLP(2, hidden_layer_sizes=(1,), dropout=0.0)
    net.load_state_dict({"0.weight": torch.tensor([[1.0, 2.0]]), "0.bias": torch.tensor([-1.0])})
    out = net(torch.tensor([[0.0, 0.5], [2.0, 0.0]]))
    assert_allclose(out.detach(), [[0.0], [1 / (1 + np.exp(-1))]], rtol=1e-6)


def test_without_hidden_layers_the_input_comes_out() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(MLP(3, hidden_layer_sizes=())(x), x)


def test_dropout_takes_hidden_units_and_makes_the_others_larger() -> None:
    torch.manual_seed(0)
    net, x = MLP(3, hidden_layer_sizes=(400,), dropout=0.2), torch.randn(10, 3)
    trained, evaluated = net(x), net.eval()(x)
    gone = trained == 0
    assert float(gone.float().mean()) == pytest.approx(0.2, abs=0.03)
    torch.testing.assert_close(trained[~gone], evaluated[~gone] * 256 / 205)  # 205 is 0.8 of 256


# -- residual net


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_the_residual_net_by_numpy(n_blocks: int) -> None:
    torch.manual_seed(0)
    net = shake(ResNet(4, n_blocks=n_blocks, d_block=6, d_hidden=10, dropout=0.5)).double().eval()
    x = torch.randn(9, 4).double()
    v = state(net)
    h = x.numpy() @ v["first.weight"].T + v["first.bias"]
    for i in range(n_blocks):
        block = f"blocks.{i}.change"
        z = layer_norm(h, v[f"{block}.0.weight"], v[f"{block}.0.bias"])
        z = np.maximum(z @ v[f"{block}.1.weight"].T + v[f"{block}.1.bias"], 0)
        h = h + z @ v[f"{block}.4.weight"].T + v[f"{block}.4.bias"]
    h = np.maximum(layer_norm(h, v["last.0.weight"], v["last.0.bias"]), 0)
    assert h.shape == (9, 6)
    assert_allclose(net(x).detach(), h, atol=1e-10)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_block_by_torchs_functions_with_dropout_after_the_hidden_units(dropout: float) -> None:
    torch.manual_seed(0)
    block = shake(ResNet(4, d_block=6, d_hidden=10, dropout=dropout)).blocks[0]
    norm, widen, _, _, narrow = block.change
    x = torch.randn(9, 6)
    torch.manual_seed(5)
    out = block(x)
    torch.manual_seed(5)
    hidden = F.relu(F.linear(F.layer_norm(x, (6,), norm.weight, norm.bias), widen.weight, widen.bias))
    expected = x + F.linear(Dropout(dropout)(hidden), narrow.weight, narrow.bias)
    torch.testing.assert_close(out, expected)
    assert hidden.shape == (9, 10)


def test_a_block_by_hand() -> None:
    """(5, 1) has mean 3 and deviation 2, so its norm is (1, -1): 2 * relu(1 + 3 * 1) = 8 is added to the first."""
    block = ResNet(1, n_blocks=1, d_block=2, d_hidden=1, dropout=0.0).blocks[0]
    values = {
        "0.weight": [1.0, 1.0],
        "0.bias": [0.0, 0.0],
        "1.weight": [[3.0, 0.0]],
        "1.bias": [1.0],
        "4.weight": [[2.0], [0.0]],
        "4.bias": [0.0, -0.5],
    }
    block.change.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    out: Tensor = block(torch.tensor([[5.0, 1.0], [1.0, 5.0]]))
    assert_allclose(out.detach(), [[13.0, 0.5], [1.0, 4.5]], atol=1e-4)


def test_blocks_that_change_nothing_pass_on_what_they_get() -> None:
    torch.manual_seed(0)
    net = ResNet(3, n_blocks=3, d_block=8, d_hidden=16, dropout=0.5)
    for block in net.blocks:
        nn.init.zeros_(block.change[-1].weight)
        nn.init.zeros_(block.change[-1].bias)
    x = torch.randn(5, 3)
    assert torch.equal(net(x), net.last(net.first(x)))
