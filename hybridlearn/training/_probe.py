"""Whether modules can be stacked: tried out on a few rows, on copies, before anything trains."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridlearn._random import torch_seed
from hybridlearn.modules import common_placements
from hybridlearn.training._batches import StackedTable
from hybridlearn.training._program import Built, LossOf
from hybridlearn.training._stack import Stack

_N_ROWS = 4
_TORCHS_OWN = vars(nn.Module()).keys()


def kind_of(built: Built) -> Hashable:
    """The same for models that may be of one shape: parts, their plain attributes, criterion, inputs, batches."""
    task, settings = built.task, built.task.settings
    parts = tuple((name, type(part)) for name, part in built.loss.named_modules())
    strangers = [part for part in built.loss.module.modules() if not _is_known(part)]
    try:
        attributes: Hashable = pickle.dumps([_plain(part) for part in [*strangers, *task.criterion.modules()]])
    except Exception:
        # nobody knows whether they are the same: alone
        attributes = object()
    tensors = tuple((t.dtype, t.ndim) for t in task.rows.tensors)
    return parts, attributes, tensors, task.rows.target.shape[1:], settings.batch_size, settings.device


def _is_known(part: nn.Module) -> bool:
    """Whether its class is torch's or ours, whose attributes are sizes."""
    return type(part).__module__.partition(".")[0] in ("torch", "hybridlearn")


def _plain(part: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if name not in _TORCHS_OWN}


def stack_of(models: Sequence[Built]) -> Stack | None:
    """The modules as one; None where they differ in more than size or do not agree with themselves alone.

    They agree where, on a few rows, in training and in evaluation, losses are those of each module alone, and
    gradients too; and where a call leaves a module as it was.
    """
    try:
        with torch_seed(0, []):
            return _agreeing_stack(models)
    except Exception:
        # what torch.func cannot map the loop can, or it says what is wrong
        return None


def _agreeing_stack(models: Sequence[Built]) -> Stack | None:
    placements = common_placements(
        [built.loss.module for built in models], [list(built.task.rows.inputs.values()) for built in models]
    )
    of_criteria = common_placements([built.task.criterion for built in models], [[]] * len(models))
    if placements is None or of_criteria is None:
        return None
    named = [
        {f"module.{k}": v for k, v in own.items()} | {f"criterion.{k}": v for k, v in of_criterion.items()}
        for own, of_criterion in zip(placements, of_criteria, strict=True)
    ]
    stack = Stack([built.loss for built in models], named, _generators(models))
    n_rows = min(_N_ROWS, *(len(built.task.rows) for built in models))
    first = [built.task.rows.first(n_rows) for built in models]
    which, *data = StackedTable(first, torch.device("cpu")).take(
        list(range(len(models))), torch.arange(n_rows).expand(len(models), -1)
    )
    for training in (True, False):
        rows = torch.stack([stack.row(built.loss, m) for m, built in enumerate(models)]).requires_grad_()
        stack.train(training)
        losses = stack(which, rows, *data, mapped=True)
        gradients = torch.autograd.grad(losses.sum(), rows)[0]
        for model, (built, table) in enumerate(zip(models, first, strict=True)):
            alone = _alone(stack, model, built, table.arguments, training=training)
            if alone is None or not _is_close((losses[model], gradients[model]), alone):
                return None
    stack.noise.generators = _generators(models)
    return stack


def _generators(models: Sequence[Built]) -> list[torch.Generator]:
    """Generators that go on from where building the modules has left torch's."""
    generators = [torch.Generator() for _ in models]
    for generator, built in zip(generators, models, strict=True):
        generator.set_state(built.random_state)
    return generators


def _alone(stack: Stack, model: int, built: Built, arguments: tuple, *, training: bool) -> tuple[Tensor, Tensor] | None:
    """Loss and gradient of a module alone; None where the call has changed it."""
    loss_of = copy.deepcopy(built.loss).train(training)
    tensors, attributes = _state(loss_of)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    torch.set_rng_state(built.random_state)
    loss = loss_of(*arguments)
    after, attributes_after = _state(loss_of)
    if attributes != attributes_after or any(not torch.equal(tensors[name], t) for name, t in after.items()):
        return None
    named = dict(loss_of.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()))
    return loss, stack.place(model, dict(zip(named, gradients, strict=True)))


def _state(loss_of: LossOf) -> tuple[dict[str, Tensor], list[dict[str, int]]]:
    """Parameters and buffers, and which objects all other attributes are."""
    tensors = {**dict(loss_of.named_parameters()), **dict(loss_of.named_buffers())}
    attributes = [{name: id(value) for name, value in _plain(part).items()} for part in loss_of.modules()]
    return {name: tensor.detach() for name, tensor in tensors.items()}, attributes


def _is_close(together: tuple[Tensor, Tensor], alone: tuple[Tensor, Tensor]) -> bool:
    """Up to rounding; what is no number is none in both: then the model ends by itself, and the others go on."""
    (loss, gradient), (expected_loss, expected) = together, alone
    atol = 1e-4 * float(expected.abs().nan_to_num(0.0, 0.0).max())
    same_loss = torch.allclose(loss, expected_loss, rtol=1e-4, equal_nan=True)
    return same_loss and torch.allclose(gradient, expected, rtol=0, atol=atol, equal_nan=True)
