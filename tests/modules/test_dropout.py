"""Dropout from random bytes: the share of zeros, the mean, and whose generator is asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hybridlearn.modules import Dropout, dropout_factors

LIKE = torch.zeros(300, 70)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.004, 0.1, 0.25, 0.5, 0.9, 0.996])
def test_the_share_of_zeros_is_the_rate_and_the_mean_is_one(rate: float) -> None:
    factors = dropout_factors(LIKE, [rate], [seeded(0)])[0]
    kept = factors > 0
    rounded = round(256 * (1 - rate)) / 256
    assert float(kept.float().mean()) == pytest.approx(rounded, abs=4 * (rounded * (1 - rounded) / 21_000) ** 0.5)
    torch.testing.assert_close(factors[kept], torch.full_like(factors[kept], 1 / rounded))


def test_neighbours_have_nothing_to_do_with_each_other() -> None:
    kept = (dropout_factors(LIKE, [0.5], [seeded(0)])[0] > 0).double().flatten()
    for lag in (1, 2, 7, 8, 9, 70):
        assert abs(float(torch.corrcoef(torch.stack([kept[lag:], kept[:-lag]]))[0, 1])) < 0.03


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_where_nothing_is_open_nothing_is_drawn(rate: float) -> None:
    generator = seeded(0)
    before = generator.get_state()
    assert dropout_factors(LIKE, [rate], [generator]).unique().tolist() == [1 - rate]
    assert torch.equal(generator.get_state(), before)


@given(rates=st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), min_size=1, max_size=5), by_bytes=st.booleans())
def test_together_each_net_draws_what_it_draws_alone(rates: list[float], by_bytes: bool) -> None:
    like = torch.zeros(3, 7)
    together = dropout_factors(like, rates, [seeded(i) for i in range(len(rates))], by_bytes=by_bytes)
    for i, rate in enumerate(rates):
        assert torch.equal(together[i], dropout_factors(like, [rate], [seeded(i)], by_bytes=by_bytes)[0])


def test_not_by_bytes_it_draws_as_torch_does() -> None:
    torch.manual_seed(3)
    expected = F.dropout(torch.ones(50, 4), 0.3)
    assert torch.equal(dropout_factors(torch.zeros(50, 4), [0.3], [seeded(3)], by_bytes=False)[0], expected)


def test_the_module_draws_from_torchs_generator_in_training_only() -> None:
    layer, x = Dropout(0.3), torch.randn(20, 5, requires_grad=True)
    torch.manual_seed(3)
    out = layer(x)
    assert torch.equal(out, x * dropout_factors(x, [0.3], [seeded(3)])[0])
    out.sum().backward()
    torch.testing.assert_close(x.grad, (out / x).detach())
    assert layer.eval()(x) is x
    assert isinstance(layer, nn.Dropout)
    assert layer.p == 0.3
