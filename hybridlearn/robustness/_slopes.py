"""The differentiable part of a model: which way each number pulls its decision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hybridlearn._protocols import Differentiable
from hybridlearn.crossfit import parts_of, through
from hybridlearn.modules import NotCertifiableError
from hybridlearn.robustness._decision import Decision
from hybridlearn.robustness._moves import check_by_column
from hybridlearn.table import Box

# Rows that tell which number an encoded column is made of.
_TELLING_ROWS = 32


@dataclass(frozen=True, eq=False)
class Net:
    """A net of a model.

    Attributes
    ----------
    weight : float
    module : Module
    tensors : callable
        From a table as the model gets it to arguments of the module.
    spread : Tensor of shape (n_rows, n_encoded)
        How far each encoded column goes from one end of the box to the other.
    origin : Tensor of shape (n_encoded, n_numeric)
        1 where an encoded column is made of a number.
    """

    weight: float
    module: torch.nn.Module
    tensors: Callable[[Any], dict[str, torch.Tensor]]
    spread: torch.Tensor
    origin: torch.Tensor


class Slopes:
    """Of a model on the rows of a box.

    Parameters
    ----------
    model : fitted classifier
    box : Box
    """

    def __init__(self, model: Any, box: Box):
        self.box = box
        self.nets: list[Net] = []
        self.is_whole = True
        try:
            parts = list(parts_of(model))
        except TypeError:
            parts = []
            self.is_whole = False
        for part in parts:
            if isinstance(part.estimator, Differentiable) and _is_by_column(part.chain):
                self.nets.append(self._net(part))
            else:
                self.is_whole = False

    def _net(self, part: Any) -> Net:
        net, chain = part.estimator, part.chain

        def tensors(table: Any) -> dict[str, torch.Tensor]:
            return net.tensors(through(chain, table))

        lower, upper = (_numbers(tensors(table)) for table in self.box.corners())
        has_numbers = lower.shape[1] and self.box.lower.shape[1]
        origin = self._origin(tensors) if has_numbers else torch.zeros(lower.shape[1], self.box.lower.shape[1])
        module = copy.deepcopy(net.module_).eval().requires_grad_(False)
        return Net(part.weight, module, tensors, upper - lower, origin)

    def _origin(self, tensors: Callable[[Any], dict[str, torch.Tensor]]) -> torch.Tensor:
        """Which encoded columns change with each number, of a few rows: one table of them for each end of each."""
        n_rows, n_numbers = min(_TELLING_ROWS, len(self.box)), self.box.lower.shape[1]
        few = self.box.take(np.tile(np.arange(n_rows), 2 * n_numbers))
        numbers = few.numbers.copy()
        for i in range(n_numbers):
            for k, ends in enumerate((few.lower, few.upper)):
                rows = slice((2 * i + k) * n_rows, (2 * i + k + 1) * n_rows)
                numbers[rows, i] = ends[rows, i]
        differs = _numbers(tensors(few.as_given(few.with_numbers(numbers)))) != _numbers(tensors(few.table))
        return differs.reshape(n_numbers, 2 * n_rows, -1).any(dim=1).T.float()

    def at(self, table: Any, decision: Decision, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How the nets' part of the decision stands for other values of some rows, and where it falls.

        Returns
        -------
        ahead : ndarray of shape (n_asked,)
            Up to what the rest of the model adds.
        slope : ndarray of shape (n_asked, n_numeric)
            Of it, by each number from one end of its interval to the other.
        """
        total: Any = 0.0
        inputs = []
        for net in self.nets:
            tensors = net.tensors(table)
            numbers = _numbers(tensors).requires_grad_()
            name = "x_num" if "x_num" in tensors else "X"
            total = total + net.weight * net.module(*(tensors | {name: numbers}).values())
            inputs.append(numbers)
        ahead = (torch.tensor(decision.wanted, dtype=total.dtype) @ total.unsqueeze(2)).squeeze(2)
        ahead = ahead.masked_fill(torch.tensor(np.isinf(decision.ahead)), torch.inf).amin(dim=1)
        found = torch.zeros(len(rows), self.box.lower.shape[1])
        if ahead.requires_grad:
            slopes = torch.autograd.grad(ahead.sum(), inputs, allow_unused=True)
            for slope, net in zip(slopes, self.nets, strict=True):
                # a module may look at its inputs in ways that have no slope
                found += 0.0 if slope is None else (slope * net.spread[rows]) @ net.origin
        return ahead.detach().numpy(), found.numpy()


def _is_by_column(chain: Any) -> bool:
    try:
        for step in chain:
            check_by_column(step)
    except NotCertifiableError:
        return False
    return True


def _numbers(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return tensors["x_num"] if "x_num" in tensors else tensors["X"]
