"""TabM: each member against a plain perceptron with that member's effective weights, outputs and gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional as F

from hybridlearn.modules import BatchEnsembleLinear, MemberLinear, TableEmbedding, TabM, TabularNet


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def shake(module: nn.Module) -> nn.Module:
    """Random parameters: adapters start at 1 and members share a bias, which would hide them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def effective(layer: BatchEnsembleLinear, member: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the bias of a plain layer that does what a member does."""
    w, r, s, b = (array(layer.get_parameter(name)) for name in ("weight", "scale_in", "scale_out", "bias"))
    return w * r[member][:, None] * s[member][None, :], b[member]


def member_by_numpy(net: TabM, x: np.ndarray, member: int) -> np.ndarray:
    for layer in net.layers:
        w, b = effective(layer, member)
        z = x @ w + b
        x = z / (1 + np.exp(-z))
    return x


# -- the layers


def test_a_batch_ensemble_by_hand() -> None:
    """Member 0 sees 2x and x, doubles what it makes and adds 1; member 1 sees nothing of the second number."""
    layer = BatchEnsembleLinear(2, 1, k=2)
    values = {
        "weight": [[1.0], [10.0]],
        "scale_in": [[2.0, 1.0], [1.0, 0.0]],
        "scale_out": [[2.0], [-1.0]],
        "bias": [[1.0], [0.0]],
    }
    layer.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    x = torch.tensor([[[3.0, 4.0], [3.0, 4.0]], [[1.0, 0.0], [5.0, 6.0]]])
    assert layer(x).tolist() == [[[93.0], [-3.0]], [[5.0], [-5.0]]]


@pytest.mark.parametrize("k", [1, 4])
def test_a_batch_ensemble_is_a_linear_map_with_effective_weights_a_member(k: int) -> None:
    torch.manual_seed(0)
    layer = shake(BatchEnsembleLinear(3, 5, k=k)).double()
    x = torch.randn(7, k, 3, dtype=torch.float64)
    out = array(layer(x))
    assert out.shape == (7, k, 5)
    for i in range(k):
        w, b = effective(layer, i)
        assert_allclose(out[:, i], array(x[:, i]) @ w + b, atol=1e-12)


def test_a_batch_ensemble_starts_as_one_linear_map() -> None:
    torch.manual_seed(0)
    layer = BatchEnsembleLinear(25, 40, k=3)
    assert (layer.scale_in == 1).all()
    assert (layer.scale_out == 1).all()
    x = torch.randn(6, 25)
    out = layer(x.unsqueeze(1).expand(-1, 3, -1))
    torch.testing.assert_close(out[:, 0], F.linear(x, layer.weight.T, layer.bias[0]))
    torch.testing.assert_close(out, out[:, :1].expand(-1, 3, -1))
    assert 0.19 < float(layer.weight.detach().abs().max()) <= 0.2
    assert 0.15 < float(layer.bias.detach().abs().max()) <= 0.2


def test_the_biases_of_members_are_apart_though_they_start_alike() -> None:
    layer = BatchEnsembleLinear(2, 3, k=2)
    with torch.no_grad():
        layer.bias[0] += 1
    assert_allclose(array(layer.bias[0] - layer.bias[1]), [1, 1, 1], rtol=1e-6)


def test_member_linear_is_a_linear_map_of_its_own_for_each_member() -> None:
    torch.manual_seed(0)
    layer = MemberLinear(3, 2, k=4).double()
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    out = array(layer(x))
    assert out.shape == (7, 4, 2)
    for i in range(4):
        assert_allclose(out[:, i], array(x[:, i]) @ array(layer.weight[i]) + array(layer.bias[i]), atol=1e-12)


def test_the_maps_of_members_start_apart() -> None:
    torch.manual_seed(0)
    layer = MemberLinear(100, 2, k=8)
    assert len(layer.weight.detach().unique(dim=0)) == 8
    assert len(layer.bias.detach().unique(dim=0)) == 8
    for parameter in (layer.weight, layer.bias):
        assert 0.07 < float(parameter.detach().abs().max()) <= 0.1


@pytest.mark.parametrize("kind", [BatchEnsembleLinear, MemberLinear])
def test_each_member_keeps_to_its_own_outputs(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer, x = kind(3, 2, k=4), torch.randn(5, 4, 3)
    moved = x.clone()
    moved[:, 2] += 1
    changed = (layer(x) - layer(moved)).abs() > 1e-6
    assert changed[:, 2].all()
    assert not changed[:, [0, 1, 3]].any()


# -- members of TabM


@pytest.mark.parametrize("normal_start", [True, False])
@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize("sections", [None, [1, 3, 2]])
@pytest.mark.parametrize("is_shaken", [True, False])
def test_each_member_is_a_plain_perceptron_with_its_effective_weights(
    normal_start: bool, n_blocks: int, sections: list[int] | None, is_shaken: bool
) -> None:
    torch.manual_seed(0)
    net = TabM(6, sections, k=5, n_blocks=n_blocks, d_block=7, dropout=0.5, normal_start=normal_start).double().eval()
    net = shake(net) if is_shaken else net
    x = torch.randn(9, 6, dtype=torch.float64)
    out = array(net(x))
    assert out.shape == (9, 5, 7)
    for i in range(5):
        assert_allclose(out[:, i], member_by_numpy(net, x.numpy(), i), atol=1e-10)


@pytest.mark.parametrize("normal_start", [True, False])
def test_members_differ_from_the_start(normal_start: bool) -> None:
    torch.manual_seed(0)
    net = TabM(30, k=6, d_block=8, normal_start=normal_start).eval()
    out = net(torch.randn(4, 30)).detach()
    for i, j in itertools.combinations(range(6), 2):
        assert float((out[:, i] - out[:, j]).abs().max()) > 1e-2, (i, j)


def test_at_the_start_members_differ_by_their_first_adapter_only() -> None:
    torch.manual_seed(0)
    net, x = TabM(5, k=3, n_blocks=3, d_block=8).eval(), torch.randn(4, 5)
    assert not torch.allclose(net(x)[:, 0], net(x)[:, 1])
    with torch.no_grad():
        net.layers[0].scale_in.fill_(1.0)
    torch.testing.assert_close(net(x), net(x)[:, :1].expand(-1, 3, -1))


# -- the first adapter


@pytest.mark.parametrize("normal_start", [True, False])
def test_the_first_adapter_shares_one_number_a_column_of_the_table(normal_start: bool) -> None:
    torch.manual_seed(0)
    sections = [4, 1, 3, 2]
    net = TabM(10, sections, k=64, normal_start=normal_start)
    parts = net.layers[0].scale_in.detach().split(sections, dim=1)
    assert all(torch.equal(part, part[:, :1].expand_as(part)) for part in parts)
    numbers = torch.cat([part[:, :1] for part in parts], dim=1)
    assert len(numbers.T.unique(dim=0)) == 4, "columns have numbers of their own"
    assert len(numbers[:, 0].unique()) == (64 if normal_start else 2), "and so do members"
    assert all((layer.scale_in == 1).all() for layer in net.layers[1:])


def test_by_default_each_input_is_a_column() -> None:
    torch.manual_seed(0)
    assert TabM(10, k=8).layers[0].scale_in.detach().unique().numel() == 80


def test_a_normal_start_is_normal() -> None:
    torch.manual_seed(0)
    start = TabM(100, k=32, d_block=4).layers[0].scale_in.detach()
    assert float(start.mean()) == pytest.approx(0, abs=0.06)
    assert float(start.std()) == pytest.approx(1, abs=0.06)
    assert float((start.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.03)


def test_any_other_start_is_a_sign_as_often_plus_as_minus() -> None:
    torch.manual_seed(0)
    start = TabM(100, k=32, d_block=4, normal_start=False).layers[0].scale_in.detach()
    assert start.unique().tolist() == [-1.0, 1.0]
    assert float(start.mean()) == pytest.approx(0, abs=0.06)


def test_sections_that_do_not_sum_to_the_inputs_are_refused() -> None:
    with pytest.raises(RuntimeError):
        TabM(5, [2, 2])


# -- training


def test_dropout_is_there_in_training_other_for_each_member_and_gone_in_evaluation() -> None:
    torch.manual_seed(0)
    net, x = TabM(3, k=4, n_blocks=1, d_block=64, dropout=0.5), torch.randn(5, 3)
    assert not torch.equal(net(x), net(x))
    gone = net(x) == 0
    assert float(gone.float().mean()) == pytest.approx(0.5, abs=0.1)
    for i, j in itertools.combinations(range(4), 2):
        assert not torch.equal(gone[:, i], gone[:, j])
    net.eval()
    assert torch.equal(net(x), net(x))
    assert not (net(x) == 0).any()


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = TabM(3, k=4, d_block=8, dropout=0.0)
    net(torch.randn(40, 3)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def whole_net(k: int) -> TabularNet:
    """A TabM with an output layer for each member, on three numbers."""
    hidden = TabM(3, k=k, n_blocks=2, d_block=5, dropout=0.0)
    net = TabularNet(TableEmbedding(nn.Identity(), nn.Identity()), hidden, MemberLinear(5, 2, k=k))
    return shake(net).double()


def inputs(n_rows: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n_rows, 3, dtype=torch.float64), torch.empty(n_rows, 0, dtype=torch.float64)


def test_members_have_outputs_of_their_own_in_training_and_their_mean_in_evaluation() -> None:
    torch.manual_seed(0)
    net, (x_num, x_cat) = whole_net(4), inputs(6)
    training, evaluation = array(net(x_num, x_cat)), array(net.eval()(x_num, x_cat))
    assert training.shape == (6, 4, 2)
    members = [
        member_by_numpy(net.hidden, x_num.numpy(), i) @ array(net.output.weight[i]) + array(net.output.bias[i])
        for i in range(4)
    ]
    assert_allclose(training, np.stack(members, axis=1), atol=1e-10)
    assert evaluation.shape == (6, 2)
    assert_allclose(evaluation, np.mean(members, axis=0), atol=1e-10)


@pytest.mark.parametrize("member", [0, 2])
def test_the_gradient_of_a_members_loss_is_that_of_the_plain_perceptron(member: int) -> None:
    """By the chain rule: of W * r * s, the gradient goes times r * s to W, times W * s to r, times W * r to s."""
    torch.manual_seed(0)
    net, (x_num, x_cat) = whole_net(3), inputs(8)
    target = torch.randn(8, 2, dtype=torch.float64)
    (net(x_num, x_cat)[:, member] - target).square().mean().backward()

    layers = [[torch.tensor(a, requires_grad=True) for a in effective(layer, member)] for layer in net.hidden.layers]
    layers.append([p[member].detach().clone().requires_grad_() for p in (net.output.weight, net.output.bias)])
    h = x_num
    for w, b in layers[:-1]:
        h = F.silu(h @ w + b)
    (h @ layers[-1][0] + layers[-1][1] - target).square().mean().backward()

    for layer, (w, b) in zip(net.hidden.layers, layers[:-1], strict=True):
        r, s = layer.scale_in[member].detach()[:, None], layer.scale_out[member].detach()[None, :]
        shared = layer.weight.detach()
        torch.testing.assert_close(layer.weight.grad, w.grad * r * s)
        torch.testing.assert_close(layer.scale_in.grad[member], (w.grad * shared * s).sum(dim=1))
        torch.testing.assert_close(layer.scale_out.grad[member], (w.grad * shared * r).sum(dim=0))
        torch.testing.assert_close(layer.bias.grad[member], b.grad)
    torch.testing.assert_close(net.output.weight.grad[member], layers[-1][0].grad)
    torch.testing.assert_close(net.output.bias.grad[member], layers[-1][1].grad)


def test_the_loss_of_a_member_leaves_what_others_own_alone() -> None:
    torch.manual_seed(0)
    net, (x_num, x_cat) = whole_net(3), inputs(8)
    net(x_num, x_cat)[:, 1].square().mean().backward()
    own = [p for layer in net.hidden.layers for p in (layer.scale_in, layer.scale_out, layer.bias)]
    for parameter in [*own, net.output.weight, net.output.bias]:
        assert parameter.grad[1].any()
        assert not parameter.grad[[0, 2]].any()


def test_the_shared_matrix_gets_the_sum_of_the_members_gradients() -> None:
    torch.manual_seed(0)
    net, (x_num, x_cat) = whole_net(3), inputs(8)
    net(x_num, x_cat).square().mean(dim=(0, 2)).sum().backward()
    whole = [layer.weight.grad.clone() for layer in net.hidden.layers]
    for layer, expected in zip(net.hidden.layers, whole, strict=True):
        parts = []
        for i in range(3):
            net.zero_grad()
            net(x_num, x_cat)[:, i].square().mean().backward()
            parts.append(layer.weight.grad.clone())
        torch.testing.assert_close(sum(parts), expected)
        assert not torch.allclose(parts[0], parts[1])


def test_sharing_keeps_many_members_small() -> None:
    """Two matrices in all; two adapters and a bias a layer for each member."""
    net = TabM(10, k=16, n_blocks=2, d_block=20)
    assert sum(p.numel() for p in net.parameters()) == (10 * 20 + 20 * 20) + 16 * ((10 + 20 + 20) + (20 + 20 + 20))


def test_without_columns_members_have_their_biases() -> None:
    assert TabM(0, [], k=3, d_block=4)(torch.zeros(5, 0)).shape == (5, 3, 4)
