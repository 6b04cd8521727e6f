"""The embeddings of numbers by hand and against the same sums in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn

from hybridlearn.modules import (
    LinearEmbedding,
    MissingValueEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
)
from hybridlearn.table import quantile_edges

EDGES = [[-1.0, 0.5, 2.0], [0.0, 1.0], [-2.0, -1.0, 0.0, 1.0]]


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def set_values(module: nn.Module, **values: Any) -> None:
    module.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)


def shake(module: nn.Module) -> nn.Module:
    """Random parameters, so that none is at a special start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


Build = Callable[[int], nn.Module]
EMBEDDINGS: dict[str, Build] = {
    "linear": lambda p: LinearEmbedding(p, d_embedding=4),
    "periodic": lambda p: PeriodicEmbedding(p, d_embedding=4),
    "piecewise linear": lambda p: PiecewiseLinearEmbedding(EDGES[:p], d_embedding=4),
}
each_embedding = pytest.mark.parametrize("build", EMBEDDINGS.values(), ids=EMBEDDINGS.keys())


# -- what all have in common


@each_embedding
def test_each_number_keeps_to_its_own_outputs(build: Build) -> None:
    torch.manual_seed(0)
    embedding = shake(build(3))
    x = torch.randn(5, 3)
    changed = array(embedding(x) != embedding(x + torch.tensor([0.0, 1.0, 0.0])))
    assert changed.shape == (5, 3, 4)
    assert changed[:, 1].all()
    assert not changed[:, [0, 2]].any()


@each_embedding
def test_two_columns_of_the_same_numbers_are_not_embedded_alike(build: Build) -> None:
    torch.manual_seed(0)
    out = build(3)(torch.full((1, 3), 0.7))[0]
    assert not torch.allclose(out[0], out[1])


@each_embedding
def test_no_columns_give_no_outputs(build: Build) -> None:
    embedding = build(0)
    assert embedding(torch.zeros(4, 0)).shape == (4, 0, 4)
    assert MissingValueEmbedding(embedding, 0, 4)(torch.zeros(4, 0)).shape == (4, 0, 4)


@each_embedding
def test_no_rows_give_no_outputs(build: Build) -> None:
    assert build(3)(torch.zeros(0, 3)).shape == (0, 3, 4)


@each_embedding
def test_every_parameter_gets_a_gradient(build: Build) -> None:
    torch.manual_seed(0)
    embedding = MissingValueEmbedding(build(3), 3, 4)
    x = torch.randn(40, 3)
    embedding(x.masked_fill(torch.rand(40, 3) < 0.3, torch.nan)).square().sum().backward()
    assert [name for name, p in embedding.named_parameters() if p.grad is None or not p.grad.any()] == []


@each_embedding
def test_in_float64_outputs_are_float64_and_the_same_numbers(build: Build) -> None:
    torch.manual_seed(0)
    embedding, x = MissingValueEmbedding(build(3), 3, 4), torch.randn(6, 3)
    single = array(embedding(x))
    double = array(embedding.double()(x.double()))
    assert double.dtype == np.float64
    assert_allclose(double, single, atol=1e-5)


# -- linear


def test_linear_embedding_of_one_number_by_hand() -> None:
    embedding = LinearEmbedding(1, d_embedding=2)
    set_values(embedding, weight=[[2.0, -1.0]], bias=[[0.5, 1.0]])
    assert embedding(torch.tensor([[3.0], [0.0]])).tolist() == [[[6.5, -2.0]], [[0.5, 1.0]]]


def test_linear_embedding_by_numpy() -> None:
    torch.manual_seed(0)
    embedding = LinearEmbedding(3, d_embedding=5).double()
    x = np.random.default_rng(0).normal(size=(11, 3))
    expected = np.einsum("np,pd->npd", x, array(embedding.weight)) + array(embedding.bias)
    assert_allclose(array(embedding(torch.tensor(x))), expected, atol=1e-12)


def test_the_initial_lines_are_uniform_and_narrower_the_more_there_are() -> None:
    torch.manual_seed(0)
    embedding = LinearEmbedding(100, d_embedding=25)
    for parameter in (embedding.weight, embedding.bias):
        assert 0.19 < float(parameter.detach().abs().max()) <= 0.2
        assert float(parameter.detach().std()) == pytest.approx(0.2 / math.sqrt(3), rel=0.05)


# -- periodic


def test_periodic_embedding_of_one_number_by_hand() -> None:
    """f = 1/4, b = pi/2: cos(2 pi x / 4 + pi / 2) is -1 at x = 1, and 3 * -1 + 0.5 = -2.5."""
    embedding = PeriodicEmbedding(1, d_embedding=2, n_frequencies=1)
    set_values(embedding, frequency=[[0.25]], phase=[[math.pi / 2]], weight=[[[3.0]]], bias=[[0.5]])
    out = array(embedding(torch.tensor([[1.0], [0.0], [-1.0]])))
    assert_allclose(out, [[[1, -2.5]], [[0, 0.5]], [[-1, 3.5]]], atol=1e-6)


def test_periodic_embedding_by_numpy() -> None:
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(3, d_embedding=5, n_frequencies=7, frequency_scale=0.5).double()
    f, b, w, c = (array(getattr(embedding, name)) for name in ("frequency", "phase", "weight", "bias"))
    x = np.random.default_rng(0).normal(size=(11, 3))
    mixed = np.einsum("npk,pkd->npd", np.cos(2 * np.pi * x[:, :, None] * f + b), w) + c
    expected = np.concatenate([x[:, :, None], mixed], axis=2)
    assert_allclose(array(embedding(torch.tensor(x))), expected, atol=1e-12)


def test_the_initial_frequencies_are_as_wide_as_asked() -> None:
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(50, n_frequencies=100, frequency_scale=0.3)
    assert float(embedding.frequency.detach().std()) == pytest.approx(0.3, rel=0.05)
    assert 3.1 < float(embedding.phase.detach().abs().max()) <= math.pi
    assert 0.09 < float(embedding.weight.detach().abs().max()) <= 0.1


# -- piecewise linear: how far each bin is filled


@pytest.mark.parametrize(
    ("x", "filled"),
    [
        (0.0, [0, 0]),  # the edges
        (1.0, [1, 0]),
        (4.0, [1, 1]),
        (0.25, [0.25, 0]),  # within a bin
        (2.5, [1, 0.5]),
        (-2.0, [0, 0]),  # beyond the outer edges
        (10.0, [1, 1]),
    ],
)
def test_filled_bins_by_hand(x: float, filled: list[float]) -> None:
    embedding = PiecewiseLinearEmbedding([[0.0, 1.0, 4.0]])
    assert embedding.encode(torch.tensor([[x]])).tolist() == [[filled]]


def test_a_feature_with_fewer_bins_leaves_slots_empty() -> None:
    embedding = PiecewiseLinearEmbedding([[0.0, 1.0, 4.0, 5.0], [0.0, 2.0], [0.0, 1.0, 3.0]])
    for x, filled in [
        (-3.0, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (2.0, [[1, 1 / 3, 0], [1, 0, 0], [1, 0.5, 0]]),
        (7.0, [[1, 1, 1], [1, 0, 0], [1, 1, 0]]),
    ]:
        assert_allclose(array(embedding.encode(torch.full((1, 3), x)))[0], filled, rtol=1e-6)


@pytest.mark.parametrize("without", [[], [3.0]])
def test_a_feature_without_bins_fills_none_and_has_its_line(without: list[float]) -> None:
    embedding = shake(PiecewiseLinearEmbedding([without, [0.0, 1.0, 2.0]], d_embedding=3))
    x = torch.tensor([[-100.0, 0.5], [3.0, 0.5], [100.0, 0.5]])
    assert not embedding.encode(x)[:, 0].any()
    assert torch.equal(embedding(x)[:, 0], embedding.linear(x)[:, 0])
    assert not torch.isclose(embedding(x)[:, 1], embedding.linear(x)[:, 1]).any()


def test_where_no_feature_has_bins_only_lines_are_left() -> None:
    embedding, x = PiecewiseLinearEmbedding([[], [2.0]], d_embedding=3), torch.randn(5, 2)
    assert embedding.encode(x).shape == (5, 2, 0)
    assert torch.equal(embedding(x), embedding.linear(x))


grids = st.lists(st.integers(-40, 40), min_size=2, max_size=6, unique=True).map(lambda v: [a / 4 for a in sorted(v)])
numbers = st.lists(st.floats(-15, 15, width=32), min_size=1, max_size=8)


@given(edges=grids, x=numbers)
def test_filled_bins_add_up_to_the_place_among_the_edges(edges: list[float], x: list[float]) -> None:
    encoded = array(PiecewiseLinearEmbedding([edges]).double().encode(torch.tensor(x).double()[:, None]))[:, 0]
    inside = np.clip(x, edges[0], edges[-1])
    place = np.interp(inside, edges, np.arange(len(edges)))
    assert_allclose(encoded.sum(axis=1), place, atol=1e-5)


@given(edges=grids, x=numbers)
def test_a_bin_is_filled_only_once_the_one_below_is_full(edges: list[float], x: list[float]) -> None:
    encoded = array(PiecewiseLinearEmbedding([edges]).encode(torch.tensor(x)[:, None]))[:, 0]
    below, above = encoded[:, :-1], encoded[:, 1:]
    assert ((above == 0) | (below >= 1 - 1e-6)).all()
    assert (encoded[:, 1:] >= 0).all()
    assert (encoded[:, :-1] <= 1).all()


# -- piecewise linear: the function on top


def test_at_the_start_the_piecewise_linear_embedding_is_a_linear_one() -> None:
    torch.manual_seed(0)
    embedding = PiecewiseLinearEmbedding(EDGES, d_embedding=4)
    torch.manual_seed(0)
    linear = LinearEmbedding(3, d_embedding=4)
    x = 3 * torch.randn(20, 3)
    assert torch.equal(embedding(x), linear(x))


def test_piecewise_linear_embedding_by_numpy() -> None:
    torch.manual_seed(0)
    embedding = shake(PiecewiseLinearEmbedding(EDGES, d_embedding=4)).double()
    x = 3 * np.random.default_rng(0).normal(size=(50, 3))
    w, b, v = (array(embedding.get_parameter(name)) for name in ("linear.weight", "linear.bias", "weight"))
    expected = np.einsum("np,pd->npd", x, w) + b
    for j, edges in enumerate(EDGES):
        for t in range(len(edges) - 1):
            filled = np.clip((x[:, j] - edges[t]) / (edges[t + 1] - edges[t]), 0, 1)
            expected[:, j] += filled[:, None] * v[j, t]
    assert_allclose(array(embedding(torch.tensor(x))), expected, atol=1e-6)


@given(edges=grids, x=numbers, data=st.data())
def test_weights_that_are_steps_between_values_make_the_function_through_them(
    edges: list[float], x: list[float], data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.integers(-5, 5), min_size=len(edges), max_size=len(edges)))
    embedding = PiecewiseLinearEmbedding([edges], d_embedding=1).double()
    steps = [[[step] for step in np.diff(values).astype(float)]]
    set_values(embedding, **{"linear.weight": [[0.0]], "linear.bias": [[float(values[0])]], "weight": steps})
    inside = np.clip(x, edges[0], edges[-1])
    out = array(embedding(torch.tensor(inside)[:, None]))[:, 0, 0]
    assert_allclose(out, np.interp(inside, edges, values), atol=1e-5)


def test_from_the_start_a_function_that_bends_at_the_edges_is_learned_exactly() -> None:
    torch.manual_seed(0)
    edges, values = [-2.0, 0.0, 1.0, 3.0], [1.0, -1.0, 0.0, 0.5]
    embedding = PiecewiseLinearEmbedding([edges], d_embedding=1).double()
    optimizer = torch.optim.LBFGS(
        embedding.parameters(), max_iter=300, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )
    x = torch.linspace(-2, 3, 60, dtype=torch.float64)[:, None]
    target = torch.tensor(np.interp(x[:, 0], edges, values))

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (embedding(x)[:, 0, 0] - target).square().mean()
        value.backward()
        return value

    optimizer.step(loss)
    later = np.array([-1.3, 0.0, 0.4, 2.2])
    assert_allclose(array(embedding(torch.tensor(later)[:, None]))[:, 0, 0], [0.3, -1.0, -0.6, 0.3], atol=1e-4)


def test_beyond_the_edges_the_line_alone_goes_on() -> None:
    embedding = shake(PiecewiseLinearEmbedding([[0.0, 1e-6, 1.0]], d_embedding=3))
    inside, beyond, slope = (array(embedding(torch.tensor([[x]]))) for x in (1.0, 3.0, 2.0))
    line = array(embedding.linear.weight)
    assert_allclose(beyond - inside, [2 * line], rtol=1e-5)
    assert_allclose(slope - inside, [line], rtol=1e-5)


def test_the_narrowest_bin_is_no_nan() -> None:
    encoded = PiecewiseLinearEmbedding([[0.0, 1e-40, 1.0]]).encode(torch.tensor([[0.0], [0.5]]))
    assert_allclose(encoded[:, 0], [[0, 0], [1, 0.5]], atol=1e-6)


def test_edges_may_be_arrays_and_travel_with_the_weights() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=100), rng.exponential(size=100), np.zeros(100)]
    first = shake(PiecewiseLinearEmbedding([quantile_edges(c, n_bins=5) for c in columns], d_embedding=3))
    second = PiecewiseLinearEmbedding([np.arange(6.0)] * 3, d_embedding=3)
    x = torch.tensor(np.column_stack(columns), dtype=torch.float32)
    assert not torch.allclose(second.encode(x), first.encode(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x), first(x))
    assert [name for name, _ in second.named_parameters()] == ["weight", "linear.weight", "linear.bias"]


# -- missing numbers


@each_embedding
def test_a_missing_number_is_zero_plus_the_vector_of_its_column_and_others_are_embedded(build: Build) -> None:
    torch.manual_seed(0)
    inner = build(3)
    embedding = shake(MissingValueEmbedding(inner, 3, 4))
    x = torch.tensor([[torch.nan, 1.0, 2.0], [0.5, torch.nan, torch.nan], [0.1, 0.2, 0.3]])
    out, plain = embedding(x), inner(x.nan_to_num(0.0))
    for i in range(3):
        for j in range(3):
            expected = plain[i, j] + embedding.missing[j] if x[i, j].isnan() else plain[i, j]
            assert torch.equal(out[i, j], expected), (i, j)


def test_a_missing_number_by_hand() -> None:
    inner = LinearEmbedding(2, d_embedding=1)
    set_values(inner, weight=[[2.0], [3.0]], bias=[[1.0], [0.0]])
    embedding = MissingValueEmbedding(inner, 2, 1)
    set_values(embedding, missing=[[-7.0], [-9.0]])
    out = embedding(torch.tensor([[4.0, torch.nan], [torch.nan, 5.0], [0.0, 0.0]]))
    assert out.squeeze(2).tolist() == [[9.0, -9.0], [-6.0, 15.0], [1.0, 0.0]]


def test_the_embedding_sees_zero_for_a_missing_number() -> None:
    inner = LinearEmbedding(2, d_embedding=1)
    seen: list[Tensor] = []
    inner.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    MissingValueEmbedding(inner, 2, 1)(torch.tensor([[4.0, torch.nan], [torch.nan, 5.0]]))
    assert [x.tolist() for x in seen] == [[[4.0, 0.0], [0.0, 5.0]]]


@each_embedding
def test_missing_numbers_bring_no_nan_into_gradients(build: Build) -> None:
    torch.manual_seed(0)
    embedding = MissingValueEmbedding(shake(build(3)), 3, 4)
    x = torch.randn(30, 3)
    gap = torch.rand(30, 3) < 0.4
    x = x.masked_fill(gap, torch.nan).requires_grad_()
    embedding(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in embedding.parameters())
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert not x.grad[gap].any()
    assert x.grad[~gap].all()


@each_embedding
def test_a_missing_number_teaches_its_vector(build: Build) -> None:
    embedding = MissingValueEmbedding(shake(build(3)), 3, 4)
    embedding(torch.tensor([[0.5, torch.nan, 0.1]])).sum().backward()
    assert_allclose(embedding.missing.grad, np.outer([0, 1, 0], np.ones(4)))


@each_embedding
def test_at_the_start_a_missing_number_is_zero(build: Build) -> None:
    embedding = MissingValueEmbedding(build(3), 3, 4)
    assert torch.equal(embedding(torch.full((2, 3), torch.nan)), embedding(torch.zeros(2, 3)))
