"""The embedding of categories: a row of a table for each code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hybridlearn.modules import CategoricalEmbedding


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def test_categorical_embedding_by_hand() -> None:
    embedding = CategoricalEmbedding([2, 3], widths=[1, 2])
    tables = {"tables.0.weight": [[1.0], [2.0]], "tables.1.weight": [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]}
    embedding.load_state_dict({name: torch.tensor(values) for name, values in tables.items()})
    assert embedding(torch.tensor([[0, 2], [1, 0]])).tolist() == [[1, 7, 8], [2, 3, 4]]


def test_the_width_of_a_column_grows_with_its_codes_up_to_eight() -> None:
    embedding = CategoricalEmbedding([1, 2, 3, 7, 15, 16, 17, 100])
    assert embedding.widths == [1, 1, 2, 4, 8, 8, 8, 8]
    assert [table.weight.shape[1] for table in embedding.tables] == embedding.widths


def test_the_widths_are_as_asked() -> None:
    embedding = CategoricalEmbedding([3, 100, 7], widths=(4, 1, 4))
    assert embedding.widths == [4, 1, 4]
    assert [tuple(table.weight.shape) for table in embedding.tables] == [(3, 4), (100, 1), (7, 4)]


def test_a_width_is_needed_for_every_column() -> None:
    with pytest.raises(ValueError, match="zip"):
        CategoricalEmbedding([3, 100], widths=[4])


@given(data=st.data(), cardinalities=st.lists(st.integers(1, 20), max_size=4))
def test_categorical_embedding_is_a_row_of_each_table_side_by_side(
    data: st.DataObject, cardinalities: list[int]
) -> None:
    embedding = CategoricalEmbedding(cardinalities)
    row = st.tuples(*(st.integers(0, c - 1) for c in cardinalities))
    codes = data.draw(st.lists(row, min_size=1, max_size=5))
    out = array(embedding(torch.tensor(codes, dtype=torch.int64).reshape(len(codes), -1)))
    tables = [array(table.weight) for table in embedding.tables]
    expected = [np.concatenate([np.empty(0), *(t[c] for t, c in zip(tables, r, strict=True))]) for r in codes]
    assert out.shape == (len(codes), sum(embedding.widths))
    np.testing.assert_array_equal(out, expected)


def test_unseen_and_missing_levels_are_neutral_at_first_and_only_they() -> None:
    torch.manual_seed(0)
    embedding = CategoricalEmbedding([5, 9])
    assert not embedding(torch.tensor([[0, 1], [1, 0]])).any()
    assert embedding(torch.tensor([[i % 3 + 2, i + 2] for i in range(7)])).all()


def test_levels_start_apart() -> None:
    torch.manual_seed(0)
    table = CategoricalEmbedding([50], widths=[2]).tables[0].weight.detach()
    # but for the two reserved ones
    assert len(table.unique(dim=0)) == 49


def test_each_column_keeps_to_its_own_outputs() -> None:
    torch.manual_seed(0)
    embedding = CategoricalEmbedding([4, 4, 4], widths=[2, 3, 2])
    codes = torch.tensor([[2, 2, 2]])
    changed = array(embedding(codes) != embedding(torch.tensor([[2, 3, 2]])))[0]
    assert np.flatnonzero(changed).tolist() == [2, 3, 4]


def test_a_code_that_is_seen_gets_a_gradient_each_time_it_is() -> None:
    embedding = CategoricalEmbedding([4, 3], widths=[1, 2])
    embedding(torch.tensor([[0, 2], [3, 2], [3, 2]])).sum().backward()
    assert embedding.tables[0].weight.grad.tolist() == [[1], [0], [0], [2]]
    assert embedding.tables[1].weight.grad.tolist() == [[0, 0], [0, 0], [3, 3]]


def test_no_columns_give_no_outputs() -> None:
    embedding = CategoricalEmbedding([])
    assert embedding.widths == []
    assert embedding(torch.zeros(4, 0, dtype=torch.int64)).shape == (4, 0)


def test_in_float64_outputs_are_float64() -> None:
    assert CategoricalEmbedding([4]).double()(torch.zeros(2, 1, dtype=torch.int64)).dtype == torch.float64


def test_a_code_beyond_the_table_is_refused() -> None:
    with pytest.raises(IndexError):
        CategoricalEmbedding([4])(torch.tensor([[4]]))
