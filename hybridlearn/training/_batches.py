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
    """Inputs of a module by argument name, target and weight, all with one row a row of the table.

    Attributes
    ----------
    inputs : dict of str to Tensor of shape (n_rows, ...)
    target : Tensor of shape (n_rows,)
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
        Rows a batch; the last one may be shorter.
    generator : torch.Generator or None
        Draws the row order, on the CPU so that it is the same on every device. None keeps the order.
    """

    def __init__(self, table: TensorTable, batch_size: int, generator: torch.Generator | None):
        self.table = table
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.table) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.table)
        if self.generator is None:
            for start in range(0, n, self.batch_size):
                yield self.table[start : start + self.batch_size]
            return
        order = torch.randperm(n, generator=self.generator).to(self.table.target.device)
        for rows in order.split(self.batch_size):
            yield self.table[rows]
