"""Which torch device a fit uses; no other file asks torch for its devices."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from filelock import FileLock


def resolve_device(device: str) -> torch.device:
    """Turn a ``device`` parameter into a device that is present.

    Parameters
    ----------
    device : str
        ``"auto"`` takes CUDA, then Apple's MPS, then the CPU; anything else is a torch device string.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When the string names no device, or one that this machine lacks.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device(_best_present())
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is not a torch device; try 'auto', 'cpu' or 'cuda:0'") from error
    if not _is_present(resolved):
        raise ValueError(f"device={device!r} is not present on this machine; device='auto' takes what is")
    return resolved


def _best_present() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_present(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())


def cuda_indices(device: torch.device) -> list[int]:
    """The CUDA devices whose random state a fit on `device` may touch (none off CUDA)."""
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


def present_devices() -> list[str]:
    """Kinds of devices of this machine, the CPU first."""
    return [name for name in ("cpu", "cuda", "mps") if _is_present(torch.device(name))]


def autocast(device: str | torch.device) -> AbstractContextManager:
    """Matrix products in bfloat16 where that is fast and safe: on CUDA devices that know it.

    Sums, norms, losses and the weights themselves stay in float32. Elsewhere nothing changes.
    """
    if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def alone_on(device: torch.device) -> AbstractContextManager:
    """Hold a GPU while training on it: other processes of this machine that ask for the same one wait.

    On the CPU, where processes share the cores, nobody waits.
    """
    if device.type == "cpu":
        return nullcontext()
    name = f"hybridlearn-{device.type}-{device.index or 0}.lock"
    return FileLock(Path(tempfile.gettempdir()) / name, mode=0o666)
