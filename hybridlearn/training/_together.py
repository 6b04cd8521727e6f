"""Which modules train as one program, and which alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor

from hybridlearn._device import alone_on
from hybridlearn._random import torch_seed
from hybridlearn.modules import common_placements
from hybridlearn.training._batches import StackedTable
from hybridlearn.training._program import N_PROBED, Built, build_loss, run_program
from hybridlearn.training._size import n_in_memory
from hybridlearn.training._stack import Stack
from hybridlearn.training._train import Task, Trained, train


def train_together(tasks: Sequence[Task]) -> list[Trained | Exception]:
    """Train many modules; those of one shape as one program.

    Each comes out as :func:`train` alone would make it, up to rounding: with its own weights, row order, dropout,
    rate, regularisation and stopping. What cannot be stacked (a module that draws random numbers of its own, changes
    its buffers or branches on its data) is trained alone. A program takes no more memory than
    :func:`program_size` grants; what would need more is split.

    Parameters
    ----------
    tasks : sequence of Task

    Returns
    -------
    list of Trained or Exception
        In the order of `tasks`; an exception is what :func:`train` would have raised.
    """
    outcomes: dict[int, Trained | Exception] = {}
    alike: dict[Hashable, dict[int, Built]] = defaultdict(dict)
    for i, task in enumerate(tasks):
        try:
            built = build_loss(task)
        except Exception as error:
            outcomes[i] = error
        else:
            alike[_kind(built)][i] = built
    for models in alike.values():
        order = list(models)
        size = _n_at_once(models.values())
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            outcomes |= zip(chunk, _train_alike([models[i] for i in chunk]), strict=True)
    return [outcomes[i] for i in range(len(tasks))]


def _kind(built: Built) -> Hashable:
    """The same for models that may be of one shape."""
    task, settings = built.task, built.task.settings
    parts = tuple((name, type(part)) for name, part in built.loss.named_modules())
    own = [(k, v) for part in task.criterion.modules() for k, v in vars(part).items() if not k.startswith("_")]
    criteria = [(name, value) for name, value in own if name != "training"]
    tensors = tuple((t.dtype, t.ndim) for t in task.rows.tensors)
    return parts, str(criteria), tensors, task.rows.target.shape[1:], settings.batch_size, settings.device


def _n_at_once(models: Iterable[Built]) -> int:
    try:
        return min(map(n_in_memory, models))
    except Exception:
        # a module that cannot be called: alone it will say why
        return 1


def _train_alike(models: list[Built]) -> list[Trained | Exception]:
    stack = _stack(models) if len(models) > 1 else None
    if stack is None:
        return [_train_alone(built.task) for built in models]
    device = models[0].task.settings.device
    if device.type != "cpu":
        seeds = [built.task.settings.seed for built in models]
        stack.noise.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    with alone_on(device):
        return run_program(stack, [built.loss for built in models], [built.task for built in models])


def _train_alone(task: Task) -> Trained | Exception:
    try:
        return train(*task)
    except Exception as error:
        return error


def _stack(models: list[Built]) -> Stack | None:
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


def _agrees(stack: Stack, models: list[Built]) -> bool:
    n_rows = min(N_PROBED, *(len(built.task.rows) for built in models))
    table = StackedTable([built.task.rows.first(n_rows) for built in models], torch.device("cpu"))
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


def _agrees_alone(stack: Stack, model: int, built: Built, loss: Tensor, gradient: Tensor, n_rows: int) -> bool:
    """Whether a module alone has this loss and gradient, and leaves its buffers as they are."""
    named = dict(built.loss.named_parameters())
    buffers = [buffer.clone() for buffer in built.loss.buffers()]
    with torch_seed(0, []):
        torch.set_rng_state(built.random_state)
        alone = built.loss_of_first(n_rows)
    gradients = torch.autograd.grad(alone, list(named.values()))
    expected = stack.place(model, dict(zip(named, gradients, strict=True)))
    changed = any(not torch.equal(*pair) for pair in zip(buffers, built.loss.buffers(), strict=True))
    # what is no number is none in both: then the model ends by itself, and the others go on
    atol = 1e-4 * float(expected.abs().nan_to_num(0.0, 0.0).max())
    same_loss = torch.allclose(loss, alone, rtol=1e-4, equal_nan=True)
    return not changed and same_loss and torch.allclose(gradient, expected, rtol=0, atol=atol, equal_nan=True)
