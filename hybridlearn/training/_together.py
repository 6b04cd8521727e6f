"""Which modules train as one program, and which alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch

from hybridlearn._device import alone_on
from hybridlearn.training._probe import kind_of, stack_of
from hybridlearn.training._program import Built, build_loss, run_program
from hybridlearn.training._size import cost_of, n_in_memory, n_in_time
from hybridlearn.training._train import Task, Trained, train


def program_size(task: Task) -> int:
    """How many models like this one are to be trained as one program.

    One, so none, where the module cannot be stacked; and on the CPU where a step of a model computes so much that
    nothing is gained (`LARGEST_STEP`, `MOST_WEIGHTS`). Otherwise as many as `PROGRAM_BYTES` hold, on the CPU also as
    about a minute holds. The rule asks for shapes and device, never for a clock.

    Parameters
    ----------
    task : Task

    Returns
    -------
    int
    """
    built = build_loss(task)
    if stack_of([built, built]) is None:
        return 1
    cost = cost_of(built)
    return min(n_in_memory(cost, task), n_in_time(cost, task))


def train_together(tasks: Sequence[Task]) -> list[Trained | Exception]:
    """Train many modules; those of one shape as one program.

    Each comes out as :func:`train` alone would make it, up to rounding: with its own weights, row order, dropout,
    rate, regularisation and stopping. What cannot be stacked (a module that draws random numbers of its own, changes
    itself when it is called or branches on its data, or has an adversary) is trained alone, and so is what a program
    fails at. A program has no more models than `PROGRAM_BYTES` hold, as foreseen from shapes; where there are more it
    is split. What is trained after another shares its time: a deadline is that of all.

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
        if task.settings.adversary is not None:
            # its steps are others
            outcomes[i] = _train_alone(task)
            continue
        try:
            built = build_loss(task)
        except Exception as error:
            outcomes[i] = error
        else:
            alike[kind_of(built)][i] = built
    chunks = []
    for models in alike.values():
        order = list(models)
        size = _n_at_once(list(models.values()))
        chunks += [{i: models[i] for i in order[start : start + size]} for start in range(0, len(order), size)]
    for k, chunk in enumerate(chunks):
        timed = [_with_part_of_the_time(built, len(chunks) - k) for built in chunk.values()]
        outcomes |= zip(chunk, _train_alike(timed), strict=True)
    return [outcomes[i] for i in range(len(tasks))]


def _with_part_of_the_time(built: Built, n_left: int) -> Built:
    """The same with an equal part of the time that is left, where so many trainings are to follow each other."""
    deadline = built.task.settings.deadline
    if deadline is None or n_left == 1:
        return built
    settings = replace(built.task.settings, deadline=deadline.part(1 / n_left))
    return built._replace(task=built.task._replace(settings=settings))


def _n_at_once(models: list[Built]) -> int:
    largest = max(models, key=lambda built: len(built.task.rows))
    try:
        return n_in_memory(cost_of(largest), largest.task)
    except Exception:
        # a module that cannot be called: alone it will say why
        return 1


def _train_alike(models: list[Built]) -> list[Trained | Exception]:
    stack = stack_of(models) if len(models) > 1 else None
    if stack is not None:
        device = models[0].task.settings.device
        if device.type != "cpu":
            seeds = [built.task.settings.seed for built in models]
            stack.noise.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        try:
            with alone_on(device):
                return run_program(stack, [built.loss for built in models], [built.task for built in models])
        except Exception:
            # whose fault it was comes out alone
            pass
    n_models = len(models)
    return [_train_alone(_with_part_of_the_time(built, n_models - i).task) for i, built in enumerate(models)]


def _train_alone(task: Task) -> Trained | Exception:
    try:
        return train(*task)
    except Exception as error:
        return error
