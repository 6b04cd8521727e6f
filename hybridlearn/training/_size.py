"""How many models a program takes: a rule of shapes and device, so that results never depend on a clock."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hybridlearn._random import torch_seed
from hybridlearn.training._batches import EVALUATION_ROWS, TensorTable
from hybridlearn.training._program import Built
from hybridlearn.training._train import Task

# Measured by benchmarks/program.py on one core: beyond these a step of a CPU computes so much for one model that
# nothing is gained by computing it for several.
LARGEST_STEP = 25_000_000
MOST_WEIGHTS = 200_000
# Seconds of a step, a model: to begin with, a multiplication, and a byte that is kept for the gradients.
SECONDS = (4e-4, 1e-10, 5e-10)
LONGEST_PROGRAM = 60.0
# Bytes of the tables, weights and kept numbers of all models of a program.
PROGRAM_BYTES = {"cpu": 2**30, "cuda": 2**33, "mps": 2**31}


class Cost(NamedTuple):
    """Of one model: multiplications of a step, bytes that a step keeps, weights, bytes in a program."""

    n_multiplications: int
    n_kept: int
    n_weights: int
    n_bytes: int


def cost_of(built: Built) -> Cost:
    """Count what a step of the model computes and keeps; the module is left as it is."""
    task = built.task
    n_multiplications, n_kept = _step(built, task.rows.first(task.settings.batch_size))
    weights = list(built.loss.parameters())
    tables = [task.rows] if task.valid_rows is None else [task.rows, task.valid_rows]
    # an evaluation keeps less, but has more rows
    _, n_evaluated = _step(built, tables[-1].first(EVALUATION_ROWS))
    # tables as they come and stacked; parameters, gradients alone and stacked, two moments, mean, best, a step's copy;
    # what a step keeps, the gradients of it, and what comes and goes
    taken = 2 * sum(t.nbytes for table in tables for t in table.tensors) + 8 * sum(p.nbytes for p in weights)
    return Cost(n_multiplications, n_kept, sum(p.numel() for p in weights), taken + 3 * max(n_kept, n_evaluated))


def _step(built: Built, rows: TensorTable) -> tuple[int, int]:
    """Multiplications of a pass over some rows, and bytes that it keeps for the gradients."""
    loss_of = copy.deepcopy(built.loss).train()
    there_anyway = {t.untyped_storage().data_ptr() for t in [*loss_of.parameters(), *rows.tensors]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch_seed(0, []), saved_tensors_hooks(keep, lambda t: t), FlopCounterMode(display=False) as counter:
        loss_of(*rows.arguments)
    return counter.get_total_flops() // 2, sum(n for place, n in kept.items() if place not in there_anyway)


def n_in_memory(cost: Cost, task: Task) -> int:
    """How many models like this one fit into a program's memory, one at least."""
    return max(1, PROGRAM_BYTES.get(task.settings.device.type, PROGRAM_BYTES["cpu"]) // cost.n_bytes)


def n_in_time(cost: Cost, task: Task) -> int:
    """How many models like this one a CPU trains in about a minute; one where together is no faster."""
    settings = task.settings
    if settings.device.type != "cpu":
        return torch.iinfo(torch.int64).max
    if cost.n_multiplications > LARGEST_STEP or cost.n_weights > MOST_WEIGHTS:
        return 1
    # early stopping mostly ends within a quarter of the epochs
    n_epochs = settings.max_epochs if task.valid_rows is None else settings.max_epochs / 4
    n_steps = n_epochs * -(-len(task.rows) // settings.batch_size)
    start, multiplication, byte = SECONDS
    seconds = n_steps * (start + multiplication * cost.n_multiplications + byte * cost.n_kept)
    return max(1, int(LONGEST_PROGRAM / seconds))
