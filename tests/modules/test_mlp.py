"""The multilayer perceptron against the same layers in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridlearn.modules import TabularMLP


def inputs(n_rows: int, n_numeric: int, cardinalities: list[int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(c, (n_rows, 1), generator=generator) for c in cardinalities]
    return {
        "x_num": torch.randn(n_rows, n_numeric, generator=generator),
        "x_cat": torch.cat([torch.empty(n_rows, 0, dtype=torch.int64), *codes], dim=1),
    }


def by_numpy(net: TabularMLP, x_num: Tensor, x_cat: Tensor) -> np.ndarray:
    state = {name: tensor.double().numpy() for name, tensor in net.state_dict().items()}
    x, n = x_num.double().numpy(), len(x_num)
    waves = np.cos(2 * np.pi * x[:, :, None] * state["numeric.frequency"] + state["numeric.phase"])
    mixed = np.einsum("npk,pkd->npd", waves, state["numeric.weight"]) + state["numeric.bias"]
    numeric = np.concatenate([x[:, :, None], mixed], axis=2).reshape(n, -1)
    vectors = [state[f"categorical.tables.{j}.weight"][codes] for j, codes in enumerate(x_cat.T.numpy())]
    h = np.column_stack([numeric, *vectors])
    layers = sorted({name.rpartition(".")[0] for name in state if name.startswith("hidden")})
    for layer in layers:
        z = h @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        h = z / (1 + np.exp(-z))
    return h @ state["output.weight"].T + state["output.bias"]


@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,), (8, 5, 3)])
@pytest.mark.parametrize(("n_numeric", "cardinalities"), [(3, [4, 30]), (3, []), (0, [4, 30]), (1, [2])])
def test_the_forward_pass_by_numpy(
    n_numeric: int, cardinalities: list[int], hidden_layer_sizes: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    net = TabularMLP(n_numeric, cardinalities, 2, hidden_layer_sizes=hidden_layer_sizes, dropout=0.5).eval()
    batch = inputs(9, n_numeric, cardinalities)
    out = net(**batch).detach().numpy()
    assert out.shape == (9, 2)
    np.testing.assert_allclose(out, by_numpy(net, **batch), atol=1e-5)


def test_dropout_is_there_in_training_and_gone_in_evaluation() -> None:
    torch.manual_seed(0)
    net = TabularMLP(3, [4], 1, hidden_layer_sizes=(64,), dropout=0.5)
    batch = inputs(5, 3, [4])
    assert not torch.equal(net(**batch), net(**batch))
    net.eval()
    assert torch.equal(net(**batch), net(**batch))
    certain = TabularMLP(3, [4], 1, hidden_layer_sizes=(64,), dropout=0.0)
    assert torch.equal(certain(**batch), certain(**batch))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = TabularMLP(2, [3, 5], 3, hidden_layer_sizes=(8,), dropout=0.0)
    net(**inputs(40, 2, [3, 5])).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_embedding_is_as_asked() -> None:
    net = TabularMLP(3, [4], 1, d_embedding=6, n_frequencies=10, frequency_scale=2.0)
    assert net.numeric.d_out == 18
    assert net.numeric.frequency.shape == (3, 10)
    assert net.hidden[0].in_features == 18 + 2
