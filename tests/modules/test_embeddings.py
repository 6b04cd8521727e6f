"""The embeddings against the same sums in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hybridlearn.modules import CategoricalEmbedding, PeriodicEmbedding


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def test_periodic_embedding_of_one_number_by_hand() -> None:
    """f = 1/4, b = pi/2: cos(2 pi x / 4 + pi / 2) is -1 at x = 1, and 3 * -1 + 0.5 = -2.5."""
    embedding = PeriodicEmbedding(1, d_embedding=2, n_frequencies=1)
    values = {"frequency": [[0.25]], "phase": [[math.pi / 2]], "weight": [[[3.0]]], "bias": [[0.5]]}
    embedding.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    out = array(embedding(torch.tensor([[1.0], [0.0], [-1.0]])))
    np.testing.assert_allclose(out, [[1, -2.5], [0, 0.5], [-1, 3.5]], atol=1e-6)


def test_periodic_embedding_by_numpy() -> None:
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(3, d_embedding=5, n_frequencies=7, frequency_scale=0.5).double()
    f, b, w, c = (array(getattr(embedding, name)) for name in ("frequency", "phase", "weight", "bias"))
    x = np.random.default_rng(0).normal(size=(11, 3))
    mixed = np.einsum("npk,pkd->npd", np.cos(2 * np.pi * x[:, :, None] * f + b), w) + c
    expected = np.concatenate([x[:, :, None], mixed], axis=2).reshape(11, 15)
    assert embedding.d_out == 15
    np.testing.assert_allclose(array(embedding(torch.tensor(x))), expected, atol=1e-12)


def test_each_number_keeps_to_its_own_outputs() -> None:
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(3, d_embedding=4)
    x = torch.randn(1, 3)
    moved = x + torch.tensor([0.0, 1.0, 0.0])
    changed = array(embedding(x) != embedding(moved))[0]
    assert np.flatnonzero(changed).tolist() == [4, 5, 6, 7]


def test_the_initial_frequencies_are_as_wide_as_asked() -> None:
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(50, n_frequencies=100, frequency_scale=0.3)
    assert float(embedding.frequency.detach().std()) == pytest.approx(0.3, rel=0.05)
    assert float(embedding.phase.detach().abs().max()) <= math.pi
    assert float(embedding.weight.detach().abs().max()) <= 0.1


def test_categorical_embedding_is_a_row_of_each_table_side_by_side() -> None:
    torch.manual_seed(0)
    embedding = CategoricalEmbedding([3, 100, 7], max_width=5)
    assert [table.weight.shape for table in embedding.tables] == [(3, 2), (100, 5), (7, 4)]
    assert embedding.d_out == 11
    codes = torch.tensor([[0, 99, 6], [2, 0, 1]])
    expected = [[embedding.tables[j].weight[code] for j, code in enumerate(row)] for row in codes.tolist()]
    np.testing.assert_array_equal(array(embedding(codes)), [array(torch.cat(row)) for row in expected])


def test_an_unseen_level_is_neutral_at_first() -> None:
    embedding = CategoricalEmbedding([5, 9])
    assert not embedding(torch.zeros(2, 2, dtype=torch.int64)).any()
    assert embedding(torch.ones(2, 2, dtype=torch.int64)).all()


@pytest.mark.parametrize("embedding", [CategoricalEmbedding([]), PeriodicEmbedding(0)])
def test_no_columns_give_no_outputs(embedding: nn.Module) -> None:
    dtype = torch.int64 if isinstance(embedding, CategoricalEmbedding) else torch.float32
    assert embedding.d_out == 0
    assert embedding(torch.zeros(4, 0, dtype=dtype)).shape == (4, 0)
