"""How many models a program takes: a rule of shapes and device, so that results never depend on a clock."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hybridlearn._random import torch_seed
from hybridlearn.training._batches import EVALUATION_ROWS
from hybridlearn.training._program import N_PROBED, Built, build_loss
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


class _Cost(NamedTuple):
    """Of one model: multiplications of a step, bytes a step keeps, weights, bytes in a program."""

    n_multiplications: float
    n_kept: float
    n_weights: int
    n_bytes: float


def program_size(task: Task) -> int:
    """How many models like this one are to be trained as one program.

    On the CPU one, so none, where a step of a model multiplies more than `LARGEST_STEP` times or there are more than
    `MOST_WEIGHTS` weights; otherwise as many as about a minute and `PROGRAM_BYTES` hold. On other devices as many as
    the bytes hold.

    Parameters
    ----------
    task : Task

    Returns
    -------
    int
    """
    cost, settings = _cost(build_loss(task)), task.settings
    size = _n_in(cost, settings.device.type)
    if settings.device.type != "cpu":
        return size
    if cost.n_multiplications > LARGEST_STEP or cost.n_weights > MOST_WEIGHTS:
        return 1
    # early stopping mostly ends within a quarter of the epochs
    n_epochs = settings.max_epochs if task.valid_rows is None else settings.max_epochs / 4
    n_steps = n_epochs * -(-len(task.rows) // settings.batch_size)
    start, multiplication, byte = SECONDS
    seconds = n_steps * (start + multiplication * cost.n_multiplications + byte * cost.n_kept)
    return max(1, min(size, int(LONGEST_PROGRAM / seconds)))


def n_in_memory(built: Built) -> int:
    """How many models like this one fit into a program's memory, one at least."""
    return _n_in(_cost(built), built.task.settings.device.type)


def _n_in(cost: _Cost, device: str) -> int:
    return max(1, int(PROGRAM_BYTES.get(device, PROGRAM_BYTES["cpu"]) / cost.n_bytes))


def _cost(built: Built) -> _Cost:
    task = built.task
    n_rows = min(N_PROBED, len(task.rows))
    weights = {p.untyped_storage().data_ptr(): p.nbytes for p in built.loss.parameters()}
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.nbytes * (tensor.untyped_storage().data_ptr() not in weights))
        return tensor

    with torch_seed(0, []), saved_tensors_hooks(keep, lambda t: t), FlopCounterMode(display=False) as counter:
        built.loss_of_first(n_rows)
    per_step = min(task.settings.batch_size, len(task.rows)) / n_rows
    tables = [task.rows] if task.valid_rows is None else [task.rows, task.valid_rows]
    # tables as they come and stacked; parameters, gradients alone and stacked, two moments, mean, best, a step's copy
    taken = 2 * sum(t.nbytes for table in tables for t in table.tensors) + 8 * sum(weights.values())
    n_kept = sum(kept) * per_step
    n_weights = sum(p.numel() for p in built.loss.parameters())
    # what a step keeps has gradients of the same size; an evaluation has a few of its largest arrays at a time
    largest = max(kept, default=0) / n_rows * EVALUATION_ROWS
    taken += 2 * int(n_kept) + 3 * int(largest)
    return _Cost(counter.get_total_flops() / 2 * per_step, n_kept, n_weights, taken)
