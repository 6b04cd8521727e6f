"""The transformer's attention and its blocks, by numpy from their projections and by torch's own functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional as F

from hybridlearn.modules import Dropout, FTTransformer


def shake(module: nn.Module) -> nn.Module:
    """Random parameters: norms start at a scale of 1 and biases at 0, which would hide them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


def make(
    *, n_blocks: int = 2, d_block: int = 12, n_heads: int = 3, seed: int = 0, dropout: float = 0.3
) -> FTTransformer:
    torch.manual_seed(seed)
    net = FTTransformer(
        n_blocks=n_blocks, d_block=12, n_heads=n_heads, d_hidden=10, attention_dropout=dropout, dropout=dropout
    )
    return shake(net).double().eval()


def tokens_of(n_rows: int, n_tokens: int) -> Tensor:
    return torch.randn(n_rows, n_tokens, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def with_reader(net: FTTransformer, tokens: Tensor) -> Tensor:
    return torch.cat([tokens, net.reader.detach().expand(len(tokens), 1, -1)], dim=1)


def layer_norm(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x: np.ndarray, weight: Tensor, bias: Tensor) -> np.ndarray:
    return x @ weight.detach().numpy().T + bias.detach().numpy()


def block_by_numpy(block: nn.Module, tokens: np.ndarray, n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    """What a block makes of tokens, and its maps (n_rows, n_heads, n_tokens, n_tokens)."""
    n, t, d = tokens.shape
    normed = layer_norm(tokens, block.norm)
    projections = zip(block.attention.in_proj_weight.chunk(3), block.attention.in_proj_bias.chunk(3), strict=True)
    q, k, v = (linear(normed, w, b).reshape(n, t, n_heads, d // n_heads) for w, b in projections)
    scores = np.einsum("nahd,nbhd->nhab", q, k) / math.sqrt(d // n_heads)
    maps = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    mixed = np.einsum("nhab,nbhd->nahd", maps, v).reshape(n, t, d)
    tokens = tokens + linear(mixed, block.attention.out_proj.weight, block.attention.out_proj.bias)
    norm, widen, _, _, narrow = block.perceptron
    u, g = np.split(linear(layer_norm(tokens, norm), widen.weight, widen.bias), 2, axis=-1)
    return tokens + linear(np.maximum(u, 0) * g, narrow.weight, narrow.bias), maps


# -- attention maps


@given(
    n_rows=st.integers(1, 3),
    n_tokens=st.integers(0, 5),
    n_blocks=st.integers(1, 3),
    n_heads=st.sampled_from([1, 2, 3, 6]),
    seed=st.integers(0, 100),
)
def test_the_weights_of_who_asks_sum_to_one(n_rows: int, n_tokens: int, n_blocks: int, n_heads: int, seed: int) -> None:
    net = make(n_blocks=n_blocks, n_heads=n_heads, seed=seed)
    maps = net.attention(tokens_of(n_rows, n_tokens)).detach()
    assert maps.shape == (n_rows, n_blocks, n_heads, n_tokens + 1, n_tokens + 1)
    assert (maps >= 0).all()
    assert_allclose(maps.sum(dim=-1), np.ones(maps.shape[:-1]), atol=1e-12)


def test_an_attention_map_by_hand() -> None:
    """A norm of width 2 makes (1, -1) or (-1, 1) of a token; with q = k = itself scores are +-2 / sqrt(2)."""
    net = FTTransformer(n_blocks=1, d_block=2, n_heads=1, d_hidden=1).eval()
    attention = net.blocks[0].attention
    with torch.no_grad():
        net.reader.copy_(torch.tensor([3.0, -3.0]))
        attention.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
        attention.in_proj_bias.zero_()
    maps = net.attention(torch.tensor([[[5.0, 1.0], [1.0, 5.0]]])).detach()
    like, unlike = math.exp(math.sqrt(2)), math.exp(-math.sqrt(2))
    of_first, of_second = [like, unlike, like], [unlike, like, unlike]
    expected = np.array([row / np.sum(row) for row in (of_first, of_second, of_first)])
    assert_allclose(maps[0, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("n_heads", [1, 3, 4])
@pytest.mark.parametrize("n_tokens", [1, 5])
def test_the_maps_and_the_output_of_each_block_by_numpy(n_heads: int, n_tokens: int) -> None:
    net, tokens = make(n_blocks=3, n_heads=n_heads), tokens_of(4, n_tokens)
    maps = net.attention(tokens).detach()
    state = with_reader(net, tokens)
    for i, block in enumerate(net.blocks):
        expected, expected_maps = block_by_numpy(block, state.numpy(), n_heads)
        out, block_maps = block(state, weights=True)
        assert_allclose(out.detach(), expected, atol=1e-10)
        assert_allclose(block_maps.detach(), expected_maps, atol=1e-12)
        assert_allclose(maps[:, i], expected_maps, atol=1e-12)
        state = out.detach()


def test_heads_differ() -> None:
    maps = make().attention(tokens_of(4, 5))
    assert not torch.allclose(maps[:, :, 0], maps[:, :, 1], atol=1e-2)


@pytest.mark.parametrize("weights", [True, False])
def test_a_block_by_torchs_own_attention(weights: bool) -> None:
    net, tokens = make(n_blocks=1), tokens_of(4, 6)
    block = net.blocks[0]
    normed = F.layer_norm(tokens, (12,), block.norm.weight, block.norm.bias)
    projected = F.linear(normed, block.attention.in_proj_weight, block.attention.in_proj_bias)
    q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in projected.chunk(3, dim=-1))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    mixed = F.linear(mixed, block.attention.out_proj.weight, block.attention.out_proj.bias)
    expected = tokens + mixed + block.perceptron(tokens + mixed)
    out, maps = block(tokens, weights=weights)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    assert (maps is not None) == weights


def test_a_block_by_torchs_multi_head_attention() -> None:
    net, tokens = make(n_blocks=1), tokens_of(4, 6)
    block = net.blocks[0]
    reference = nn.MultiheadAttention(12, 3, batch_first=True).double()
    reference.load_state_dict(block.attention.state_dict())
    normed = block.norm(tokens)
    mixed, expected_maps = reference(normed, normed, normed, average_attn_weights=False)
    out, maps = block(tokens, weights=True)
    torch.testing.assert_close(maps, expected_maps, rtol=0, atol=1e-12)
    torch.testing.assert_close(out, tokens + mixed + block.perceptron(tokens + mixed), rtol=0, atol=1e-12)


def test_the_gated_unit_by_hand() -> None:
    gate = make().blocks[0].perceptron[2]
    x = torch.tensor([[1.0, -1.0, 2.0, 3.0, 4.0, -5.0]])
    assert gate(x).tolist() == [[3.0, 0.0, -10.0]]


# -- the whole


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_forward_is_the_blocks_one_after_the_other_and_what_the_reader_gathered(n_blocks: int) -> None:
    net, tokens = make(n_blocks=n_blocks), tokens_of(5, 4)
    state = with_reader(net, tokens).numpy()
    for block in net.blocks:
        state, _ = block_by_numpy(block, state, 3)
    expected = np.maximum(layer_norm(state[:, -1], net.last[0]), 0)
    assert expected.shape == (5, 12)
    assert_allclose(net(tokens).detach(), expected, atol=1e-10)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_torchs_fast_path_gives_the_same(context: type) -> None:
    net, tokens = make(), tokens_of(5, 4)
    expected, expected_maps = net(tokens).detach(), net.attention(tokens).detach()
    with context():
        out, maps = net(tokens).numpy(), net.attention(tokens).numpy()
    assert_allclose(out, expected, atol=1e-10)
    assert_allclose(maps, expected_maps, atol=1e-12)


def test_the_order_of_the_columns_does_not_matter() -> None:
    net, tokens = make(), tokens_of(5, 4)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(net(tokens[:, order]), net(tokens), rtol=0, atol=1e-10)
    maps, moved = net.attention(tokens), net.attention(tokens[:, order])
    with_last = [*order, 4]
    torch.testing.assert_close(moved, maps[..., with_last, :][..., with_last], rtol=0, atol=1e-10)


def test_every_column_of_a_row_and_none_of_another_row_matters() -> None:
    net, tokens = make(), tokens_of(3, 4).requires_grad_()
    net(tokens)[1].sum().backward()
    assert tokens.grad is not None
    assert tokens.grad[1].any(dim=1).all()
    assert not tokens.grad[[0, 2]].any()


def test_without_columns_the_reader_reads_itself() -> None:
    net = make()
    out = net(tokens_of(3, 0))
    assert out.shape == (3, 12)
    assert torch.equal(out[0], out[2])
    assert (net.attention(tokens_of(3, 0)) == 1).all()


def test_no_rows_give_no_outputs() -> None:
    assert make()(tokens_of(0, 4)).shape == (0, 12)


# -- training


@pytest.mark.parametrize(("attention_dropout", "dropout"), [(0.5, 0.0), (0.0, 0.5)])
def test_dropout_is_there_in_training_and_gone_in_evaluation(attention_dropout: float, dropout: float) -> None:
    torch.manual_seed(0)
    net = FTTransformer(d_block=8, n_heads=2, attention_dropout=attention_dropout, dropout=dropout)
    tokens = torch.randn(5, 3, 8)
    assert not torch.equal(net(tokens), net(tokens))
    net.eval()
    assert torch.equal(net(tokens), net(tokens))


def test_without_dropout_training_is_evaluation() -> None:
    net, tokens = make(dropout=0.0), tokens_of(5, 4)
    torch.testing.assert_close(net.train()(tokens), net.eval()(tokens), rtol=0, atol=1e-12)


def test_dropout_takes_gated_units() -> None:
    torch.manual_seed(0)
    net = FTTransformer(n_blocks=1, d_block=8, n_heads=2, d_hidden=16, attention_dropout=0.0, dropout=0.4)
    norm, widen, _, _, narrow = shake(net).blocks[0].perceptron
    x = torch.randn(5, 3, 8)
    torch.manual_seed(5)
    out = net.blocks[0].perceptron(x)
    torch.manual_seed(5)
    u, v = widen(norm(x)).chunk(2, dim=-1)
    torch.testing.assert_close(out, narrow(Dropout(0.4)(F.relu(u) * v)))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = FTTransformer(d_block=8, n_heads=2, attention_dropout=0.0, dropout=0.0)
    net(torch.randn(40, 3, 8)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_reader_starts_random_and_as_narrow_as_other_tokens() -> None:
    torch.manual_seed(0)
    reader = FTTransformer(d_block=400).reader.detach()
    assert 0.045 < float(reader.max()) <= 0.05
    assert -0.05 <= float(reader.min()) < -0.045
