"""Outputs of trained modules, one or many."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hybridlearn.modules import common_placements
from hybridlearn.training._batches import EVALUATION_ROWS, StackedBatches, StackedTable, TensorBatches, TensorTable
from hybridlearn.training._stack import Stack


def infer(
    module: nn.Module,
    inputs: dict[str, Tensor],
    device: torch.device,
    *,
    method: str = "forward",
    dtype: torch.dtype = torch.float64,
    batch_size: int = EVALUATION_ROWS,
) -> np.ndarray:
    """Outputs of a trained module for many rows.

    Parameters
    ----------
    module : Module
        Left as it is, where it is.
    inputs : dict of str to Tensor of shape (n_rows, ...)
    device : torch.device
    method : str, default="forward"
        Of the module; takes the inputs in their order.
    dtype : torch.dtype, default=torch.float64
        Of the pass on the CPU: in float64 a row's output does not depend on the rows beside it. Elsewhere float32.
    batch_size : int, default=256

    Returns
    -------
    ndarray of shape (n_rows, ...), float64

    Raises
    ------
    ValueError
        Where an output is infinite or NaN.
    """
    dtype = dtype if device.type == "cpu" else torch.float32
    module = copy.deepcopy(module).to(device=device, dtype=dtype).eval()
    n_rows = len(next(iter(inputs.values())))
    outputs = []
    with torch.inference_mode():
        for start in range(0, n_rows, batch_size):
            batch = {k: _cast(t[start : start + batch_size], device, dtype) for k, t in inputs.items()}
            outputs.append(getattr(module, method)(*batch.values()).cpu().double().numpy())
    return _checked(np.concatenate(outputs), module)


def infer_together(
    modules: Sequence[nn.Module],
    inputs: Sequence[dict[str, Tensor]],
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float64,
) -> list[np.ndarray]:
    """Outputs of many trained modules, each for rows of its own: as :func:`infer`, in one program where they stack.

    Parameters
    ----------
    modules : sequence of Module
    inputs : sequence of dict of str to Tensor of shape (n_rows, ...)
        One a module.
    device, dtype
        As for :func:`infer`.

    Returns
    -------
    list of ndarray of shape (n_rows, ...), float64

    Raises
    ------
    ValueError
        Where an output is infinite or NaN.
    """
    dtype = dtype if device.type == "cpu" else torch.float32
    stack = _stack(modules, inputs, device, dtype)
    if stack is None:
        return [infer(module, own, device, dtype=dtype) for module, own in zip(modules, inputs, strict=True)]
    return [_checked(result, modules[0]) for result in _run(stack, modules, inputs, device, dtype)]


def _stack(
    modules: Sequence[nn.Module], inputs: Sequence[dict[str, Tensor]], device: torch.device, dtype: torch.dtype
) -> Stack | None:
    """The modules as one, if on a row of each that gives the outputs of each; None if not."""
    if len(modules) < 2:
        return None
    try:
        placements = common_placements(modules, [list(own.values()) for own in inputs])
        if placements is None:
            return None
        stack = Stack(modules, placements, [])
        first = [{name: t[:1] for name, t in own.items()} for own in inputs]
        alone = [infer(module, own, device, dtype=dtype) for module, own in zip(modules, first, strict=True)]
        together = _run(stack, modules, first, device, dtype)
    except Exception:
        # what torch.func cannot map; alone it will say what is wrong, if anything is
        return None
    return stack if np.allclose(together, alone, rtol=1e-4) else None


def _run(
    stack: Stack,
    modules: Sequence[nn.Module],
    inputs: Sequence[dict[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
) -> list[np.ndarray]:
    stack.to(device, dtype).train(False)
    rows = torch.stack([stack.row(module, m) for m, module in enumerate(modules)]).to(device, dtype)
    tables = [_table(own, dtype) for own in inputs]
    in_order = {model: TensorBatches(table, EVALUATION_ROWS, None) for model, table in enumerate(tables)}
    batches = StackedBatches(StackedTable(tables, device), in_order, lambda model: True)
    outputs: list[list[np.ndarray]] = [[] for _ in modules]
    with torch.inference_mode():
        for step in batches:
            for models, arguments, *_ in step:
                for model, output in zip(models, stack(models, rows[models], *arguments), strict=True):
                    outputs[model].append(output.cpu().double().numpy())
    return [np.concatenate(parts) for parts in outputs]


def _table(inputs: dict[str, Tensor], dtype: torch.dtype) -> TensorTable:
    cast = {name: _cast(t, t.device, dtype) for name, t in inputs.items()}
    nothing = torch.empty(len(next(iter(cast.values()))), 0)
    return TensorTable(cast, nothing, nothing)


def _checked(outputs: np.ndarray, module: nn.Module) -> np.ndarray:
    n_lost = int((~np.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum())
    if n_lost:
        name = type(module).__name__
        raise ValueError(f"{name} gives infinite or NaN outputs for {n_lost} of {len(outputs)} rows of X")
    return outputs


def _cast(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
