"""Outputs of a trained module."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from hybridlearn.training._batches import EVALUATION_ROWS


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


def _checked(outputs: np.ndarray, module: nn.Module) -> np.ndarray:
    n_lost = int((~np.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum())
    if n_lost:
        name = type(module).__name__
        raise ValueError(f"{name} gives infinite or NaN outputs for {n_lost} of {len(outputs)} rows of X")
    return outputs


def _cast(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
