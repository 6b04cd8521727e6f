"""Outputs of a trained module for many rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hybridlearn._device import present_devices
from hybridlearn.modules import MLP, CategoricalEmbedding, TableEmbedding, TabularNet
from hybridlearn.training import infer

CPU = torch.device("cpu")


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding([4]))
    return TabularNet(embedding, MLP(5, hidden_layer_sizes=(8,), dropout=0.5), nn.Linear(8, 2)).eval()


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "x_num": torch.randn(50, 3, generator=generator),
        "x_cat": torch.randint(4, (50, 1), generator=generator),
    }


def test_on_the_cpu_it_is_the_module_in_float64(module: nn.Module, inputs: dict[str, Tensor]) -> None:
    out = infer(module, inputs, CPU)
    single = module(**inputs).detach().numpy()
    with torch.no_grad():
        double = module.double()(inputs["x_num"].double(), inputs["x_cat"]).numpy()
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, double)
    assert not np.array_equal(out, single)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 51])
def test_a_row_does_not_depend_on_the_rows_beside_it(
    module: nn.Module, inputs: dict[str, Tensor], batch_size: int
) -> None:
    whole = infer(module, inputs, CPU)
    np.testing.assert_allclose(infer(module, inputs, CPU, batch_size=batch_size), whole, atol=1e-13)
    some = {name: t[[40, 3]] for name, t in inputs.items()}
    np.testing.assert_allclose(infer(module, some, CPU, batch_size=batch_size), whole[[40, 3]], atol=1e-13)


def test_the_module_is_left_as_it_was(module: nn.Module, inputs: dict[str, Tensor]) -> None:
    module.train()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    one, other = infer(module, inputs, CPU), infer(module, inputs, CPU)
    np.testing.assert_array_equal(one, other)
    assert module.training
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("device", present_devices())
def test_every_device_says_the_same(device: str, module: nn.Module, inputs: dict[str, Tensor]) -> None:
    out = infer(module, inputs, torch.device(device))
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, module(**inputs).detach().numpy(), atol=1e-5)


def test_another_method_and_another_precision_may_be_asked(module: nn.Module, inputs: dict[str, Tensor]) -> None:
    hidden = infer(module, inputs, CPU, method="embed", dtype=torch.float32)
    assert hidden.shape == (50, 8)
    np.testing.assert_array_equal(hidden, module.embed(**inputs).detach().double().numpy())


def test_outputs_beyond_numbers_are_an_error(module: nn.Module, inputs: dict[str, Tensor]) -> None:
    inputs["x_num"][[3, 7]] = torch.nan
    with pytest.raises(ValueError, match="TabularNet gives infinite or NaN outputs for 2 of 50 rows"):
        infer(module, inputs, CPU)
