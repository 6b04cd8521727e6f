"""Which modules train as one program, and which alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from hybridlearn._device import alone_on
from hybridlearn._random import torch_seed
from hybridlearn.modules import common_placements
from hybridlearn.training._program import LossOf, StackedTable, run_program
from hybridlearn.training._stack import Stack
from hybridlearn.training._train import Task, Trained, train

Outcome = Trained | Exception
# What the models of a program may take together: tables, weights and what a step keeps for its gradients.
PROGRAM_BYTES = 2**30
# Rows on which a stack is compared with its modules.
_N_PROBED = 4


class _Built(NamedTuple):
    """A module as its seed makes it, and the state that this leaves torch's generator in: dropout goes on from it."""

    task: Task
    loss: LossOf
    random_state: Tensor


def train_together(tasks: Sequence[Task]) -> list[Outcome]:
    """Train many modules; those of one shape as one program.

    Each comes out as :func:`train` alone would make it, up to rounding: with its own weights, row order, dropout,
    rate, regularisation and stopping. What cannot be stacked (a module that draws random numbers of its own, changes
    its buffers or branches on its data) is trained alone. A program takes no more than `PROGRAM_BYTES`; what would
    need more is split.

    Parameters
    ----------
    tasks : sequence of Task

    Returns
    -------
    list of Trained or Exception
        In the order of `tasks`; an exception is what :func:`train` would have raised.
    """
    outcomes: dict[int, Outcome] = {}
    alike: dict[Hashable, dict[int, _Built]] = defaultdict(dict)
    for i, task in enumerate(tasks):
        try:
            built = _build(task)
        except Exception as error:
            outcomes[i] = error
        else:
            alike[_kind(built)][i] = built
    for models in alike.values():
        order = list(models)
        size = max(1, PROGRAM_BYTES // max(map(_bytes_of, models.values())))
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            outcomes |= zip(chunk, _train_alike([models[i] for i in chunk]), strict=True)
    return [outcomes[i] for i in range(len(tasks))]


def _build(task: Task) -> _Built:
    with torch_seed(task.settings.seed, []):
        module = task.build_module()
        return _Built(task, LossOf(module, task.criterion, task.settings.device), torch.get_rng_state())


def _kind(built: _Built) -> Hashable:
    """The same for models that may be of one shape."""
    task, settings = built.task, built.task.settings
    parts = tuple((name, type(part)) for name, part in built.loss.named_modules())
    criteria = [(k, v) for part in task.criterion.modules() for k, v in vars(part).items() if not k.startswith("_")]
    tensors = tuple((t.dtype, t.ndim) for t in task.rows.tensors)
    return parts, str(criteria), tensors, task.rows.target.shape[1:], settings.batch_size, settings.device


def _bytes_of(built: _Built) -> int:
    """What a model takes in a program."""
    task = built.task
    kept: list[int] = []
    n_rows = min(_N_PROBED, len(task.rows))
    with torch_seed(0, []), saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        try:
            _loss_alone(built, n_rows)
        except Exception:
            return PROGRAM_BYTES  # alone it will say what is wrong
    step = sum(kept) * min(task.settings.batch_size, len(task.rows)) // n_rows
    # parameters, their gradients and those of the stack, two moments, mean, best, and the copy of a step
    weights = 8 * sum(p.nbytes for p in built.loss.parameters())
    tables = [task.rows] if task.valid_rows is None else [task.rows, task.valid_rows]
    # once as they come and once stacked
    return weights + step + 2 * sum(t.nbytes for table in tables for t in table.tensors)


def _loss_alone(built: _Built, n_rows: int) -> Tensor:
    inputs, (target, weight) = built.task.rows[:n_rows]
    return built.loss.train()(tuple(inputs.values()), target, weight)


def _train_alike(models: list[_Built]) -> list[Outcome]:
    stack = _stack(models) if len(models) > 1 else None
    if stack is None:
        return [_train_alone(built.task) for built in models]
    device = models[0].task.settings.device
    if device.type != "cpu":
        seeds = [built.task.settings.seed for built in models]
        stack.noise.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    with alone_on(device):
        return run_program(stack, [built.loss for built in models], [built.task for built in models])


def _train_alone(task: Task) -> Outcome:
    try:
        return train(*task)
    except Exception as error:
        return error


def _stack(models: list[_Built]) -> Stack | None:
    """The modules as one, if on a few rows that gives the losses and gradients of each; None if not."""
    modules = [built.loss.module for built in models]
    placements = common_placements(modules, [list(built.task.rows.inputs.values()) for built in models])
    losses = [built.loss for built in models]
    of_criteria = common_placements([built.loss.criterion for built in models], [[]] * len(models))
    if placements is None or of_criteria is None:
        return None
    named = [
        {f"module.{k}": v for k, v in own.items()} | {f"criterion.{k}": v for k, v in of_criterion.items()}
        for own, of_criterion in zip(placements, of_criteria, strict=True)
    ]
    generators = [torch.Generator() for _ in models]
    stack = Stack(losses, named, generators)
    for generator, built in zip(generators, models, strict=True):
        generator.set_state(built.random_state)
    agrees = _agrees(stack, models)
    for generator, built in zip(generators, models, strict=True):
        generator.set_state(built.random_state)
    return stack if agrees else None


def _agrees(stack: Stack, models: list[_Built]) -> bool:
    n_rows = min(_N_PROBED, *(len(built.task.rows) for built in models))
    table = StackedTable([built.task.rows for built in models], torch.device("cpu"))
    which, *data = table.take(list(range(len(models))), torch.arange(n_rows).expand(len(models), -1))
    try:
        rows = torch.stack([stack.row(built.loss, m) for m, built in enumerate(models)]).requires_grad_()
        stack.train(True)
        losses = stack(which, rows, *data)
        gradients = torch.autograd.grad(losses.sum(), rows)[0]
        return all(_agrees_alone(stack, m, built, losses[m], gradients[m], n_rows) for m, built in enumerate(models))
    except Exception:
        # what torch.func cannot map the loop can, or it says what is wrong
        return False


def _agrees_alone(stack: Stack, model: int, built: _Built, loss: Tensor, gradient: Tensor, n_rows: int) -> bool:
    """Whether a module alone has this loss and gradient, and leaves its buffers as they are."""
    named = dict(built.loss.named_parameters())
    buffers = [buffer.clone() for buffer in built.loss.buffers()]
    with torch_seed(0, []):
        torch.set_rng_state(built.random_state)
        alone = _loss_alone(built, n_rows)
    gradients = torch.autograd.grad(alone, list(named.values()))
    expected = stack.place(model, dict(zip(named, gradients, strict=True)))
    changed = any(not torch.equal(*pair) for pair in zip(buffers, built.loss.buffers(), strict=True))
    scale = expected.abs().max()
    return (
        not changed
        and torch.allclose(loss, alone, rtol=1e-4)
        and bool(((gradient - expected).abs() <= 1e-4 * scale).all())
    )
