"""What torch loads late."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType

import torch


@cache
def load_optimiser() -> None:
    """Have torch load now what it loads for the first optimiser of a process, which takes seconds.

    Ctrl-C waits for it: modules that are loaded by half break every later fit of the process.
    """
    with _interrupt_waits():
        torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


@contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Ctrl-C takes effect at the end, where it would have raised KeyboardInterrupt."""
    is_ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if is_ours else None
    if not callable(before):
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        before(*pressed[0])
