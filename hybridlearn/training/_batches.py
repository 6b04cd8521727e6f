"""Rows as tensors that stay where they are and are sliced into batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

# Rows that are evaluated at a time.
EVALUATION_ROWS = 256

Batch = tuple[dict[str, Tensor], tuple[Tensor, Tensor]]
# which models; their inputs, target and weight, each of shape (n_models, n_rows, ...)
StackedPart = tuple[list[int], tuple[Tensor, ...], Tensor, Tensor]


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

    def first(self, n_rows: int) -> TensorTable:
        """The first rows as a table."""
        inputs, (target, weight) = self[:n_rows]
        return TensorTable(inputs, target, weight)

    @property
    def arguments(self) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Inputs in their order, target, weight."""
        return tuple(self.inputs.values()), self.target, self.weight

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


class StackedTable(Dataset):
    """The tables of many models, filled up with zeros to one shape; a model may have none.

    Attributes
    ----------
    inputs : list of Tensor of shape (n_models, n_rows, ...)
    target : Tensor of shape (n_models, n_rows, ...)
    weight : Tensor of shape (n_models, n_rows)
    """

    def __init__(self, tables: Sequence[TensorTable | None], device: torch.device):
        self.tables = tables
        columns = zip(*(table.tensors for table in tables if table is not None), strict=True)
        present = [i for i, table in enumerate(tables) if table is not None]
        *self.inputs, self.target, self.weight = (_stacked(of, present, len(tables), device) for of in columns)

    def __len__(self) -> int:
        return sum(len(table) for table in self.tables if table is not None)

    def take(self, models: list[int], rows: Tensor) -> StackedPart:
        """Some rows, shape (len(models), n), of some models."""
        where = (torch.tensor(models, device=rows.device).unsqueeze(1), rows)
        return models, tuple(t[where] for t in self.inputs), self.target[where], self.weight[where]


def _stacked(tensors: Sequence[Tensor], models: list[int], n_models: int, device: torch.device) -> Tensor:
    shape = [max(sizes) for sizes in zip(*(t.shape for t in tensors), strict=True)]
    stacked = torch.zeros(n_models, *shape, dtype=tensors[0].dtype, device=device)
    for model, tensor in zip(models, tensors, strict=True):
        block: Any = (model, *map(slice, tensor.shape))
        stacked[block] = tensor
    return stacked


class StackedBatches:
    """Iterate over an epoch of many models: at each step those whose batches have as many rows go together.

    So no batch is filled up, and a model sees the batches that it would see alone.

    Parameters
    ----------
    table : StackedTable
    batches : dict of int to TensorBatches
        By model, of its own table.
    is_active : callable
        Whether a model takes part in the epoch that begins, and still does at a later step.
    """

    def __init__(self, table: StackedTable, batches: dict[int, TensorBatches], is_active: Callable[[int], bool]):
        self.table = table
        self.batches = batches
        self.is_active = is_active

    def __iter__(self) -> Iterator[list[StackedPart]]:
        drawn = {model: batches.draw() for model, batches in self.batches.items() if self.is_active(model)}
        device = self.table.weight.device
        for step in range(max(map(len, drawn.values()), default=0)):
            alike = defaultdict(list)
            for model, rows in drawn.items():
                if step < len(rows) and self.is_active(model):
                    alike[len(rows[step])].append(model)
            if not alike:
                return
            yield [
                self.table.take(models, torch.stack([drawn[m][step] for m in models]).to(device))
                for models in alike.values()
            ]
