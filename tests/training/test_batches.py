"""Rows as tensors, sliced into batches."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridlearn.training import TensorBatches, TensorTable


def numbered(n_rows: int) -> TensorTable:
    """Every tensor tells which row it belongs to."""
    rows = torch.arange(n_rows)
    return TensorTable({"x_num": torch.stack([rows, -rows], dim=1).float(), "x_cat": rows[:, None]}, rows, rows / 7)


def rows_of(batches: TensorBatches) -> list[list[int]]:
    return [target.tolist() for _, (target, _) in batches]


@given(st.integers(1, 50), st.integers(1, 20), st.none() | st.integers(0, 9))
def test_an_epoch_holds_each_row_once_in_full_batches_but_the_last(
    n_rows: int, batch_size: int, seed: int | None
) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    batches = TensorBatches(numbered(n_rows), batch_size, generator)
    for _ in range(2):
        epoch = rows_of(batches)
        assert sorted(row for batch in epoch for row in batch) == list(range(n_rows))
        assert len(epoch) == len(batches)
        assert all(len(batch) == batch_size for batch in epoch[:-1])
        last = n_rows % batch_size or batch_size
        joins_the_one_before = generator is not None and last == 1 < batch_size < n_rows
        assert len(epoch[-1]) == (batch_size + 1 if joins_the_one_before else last)


def test_without_a_generator_the_order_is_kept() -> None:
    assert rows_of(TensorBatches(numbered(7), 3, None)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_generator_draws_a_new_order_each_epoch() -> None:
    batches = TensorBatches(numbered(11), 4, torch.Generator().manual_seed(3))
    by_hand = torch.Generator().manual_seed(3)
    epochs = [rows_of(batches) for _ in range(3)]
    for epoch in epochs:
        assert epoch == [rows.tolist() for rows in torch.randperm(11, generator=by_hand).split(4)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_global_generator_is_not_asked() -> None:
    before = torch.get_rng_state()
    rows_of(TensorBatches(numbered(11), 4, torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_target_and_weight_of_a_row_stay_together() -> None:
    for inputs, (target, weight) in TensorBatches(numbered(11), 4, torch.Generator().manual_seed(0)):
        assert torch.equal(inputs["x_num"], torch.stack([target, -target], dim=1).float())
        assert torch.equal(inputs["x_cat"], target[:, None])
        assert torch.equal(weight, target / 7)


def test_a_table_has_a_length_and_slices() -> None:
    table = numbered(5)
    inputs, (target, weight) = table[1:3]
    assert len(table) == 5
    assert inputs["x_cat"].tolist() == [[1], [2]]
    assert target.tolist() == [1, 2]
    assert torch.equal(weight, torch.tensor([1, 2]) / 7)


def test_a_table_moves_as_a_whole() -> None:
    moved = numbered(5).to(torch.device("meta"))
    assert {t.device.type for t in (*moved.inputs.values(), moved.target, moved.weight)} == {"meta"}
