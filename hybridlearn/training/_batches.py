"""Rows as tensors that stay where they are and are sliced into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

Batch = tuple[dict[str, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class TensorTable(Dataset):
    """Inputs of a module in the order of its arguments, target and weight, all with one row a row of the table.

    Attributes
    ----------
    inputs : dict of str to Tensor of shape (n_rows, ...)
    target : Tensor of shape (n_rows,) or (n_rows, n_outputs)
    weight : Tensor of shape (n_rows,)
        Of mean 1 over the training rows.
    """

    inputs: dict[str, Tensor]
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, rows: Tensor | slice) -> Batch:
        return {name: t[rows] for name, t in self.inputs.items()}, (self.target[rows], self.weight[rows])

    @property
    def tensors(self) -> list[Tensor]:
        """Inputs, target and weight."""
        return [*self.inputs.values(), self.target, self.weight]

    def to(self, device: torch.device) -> TensorTable:
        """The same rows on `device`."""
        inputs = {name: t.to(device) for name, t in self.inputs.items()}
        return TensorTable(inputs, self.target.to(device), self.weight.to(device))


class TensorBatches:
    """Iterate over a table in batches; with a generator, in a new random order each time.

    Parameters
    ----------
    table : TensorTable
    batch_size : int
        Rows a batch; the last one may be shorter. In random order a last batch of one row joins the one before it:
        batch norm needs two.
    generator : torch.Generator or None
        Draws the row order, on the CPU so that it is the same on every device. None keeps the order.
    """

    def __init__(self, table: TensorTable, batch_size: int, generator: torch.Generator | None):
        self.table = table
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return len(self._sizes())

    def __iter__(self) -> Iterator[Batch]:
        if self.generator is None:
            for start in range(0, len(self.table), self.batch_size):
                yield self.table[start : start + self.batch_size]
            return
        for rows in self.draw():
            yield self.table[rows.to(self.table.target.device)]

    def draw(self) -> tuple[Tensor, ...]:
        """Which rows are in which batch of the next epoch."""
        n_rows, is_random = len(self.table), self.generator is not None
        order = torch.randperm(n_rows, generator=self.generator) if is_random else torch.arange(n_rows)
        return order.split(self._sizes())

    def _sizes(self) -> list[int]:
        n_full, n_left = divmod(len(self.table), self.batch_size)
        sizes = [self.batch_size] * n_full + [n_left] * (n_left > 0)
        if self.generator is not None and n_full and n_left == 1:
            sizes[-2:] = [self.batch_size + 1]
        return sizes
