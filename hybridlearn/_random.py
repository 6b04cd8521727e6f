"""One `random_state` in; seeds for numpy, torch and nested estimators out; global state left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

RandomState = int | np.random.RandomState | None


def draw_seed(random_state: RandomState) -> int:
    """Draw one int seed: the same int in gives the same seed out, None gives a fresh one.

    Examples
    --------
    >>> draw_seed(0) == draw_seed(0)
    True
    """
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def seed_nested(estimator: Any, rng: np.random.RandomState, *, overwrite: bool = False) -> Any:
    """Set every nested ``random_state`` that is None (with `overwrite`, seeds as well) to a drawn int.

    Parameters
    ----------
    estimator : estimator
        Changed in place: give a clone.
    rng : RandomState
        Draws one int a parameter, in the order of the parameters' names.
    overwrite : bool, default=False
        Also replace the seeds that a user has set.

    Returns
    -------
    estimator
        The same object.
    """
    params = estimator.get_params(deep=True)
    names = sorted(name for name in params if name == "random_state" or name.endswith("__random_state"))
    drawn = {name: int(rng.randint(np.iinfo(np.int32).max)) for name in names}
    seeds = (int, np.integer, np.random.RandomState)
    open_to_us = {k: v for k, v in drawn.items() if params[k] is None or (overwrite and isinstance(params[k], seeds))}
    estimator.set_params(**open_to_us)
    return estimator


_TORCH_STATE = RLock()


@contextmanager
def torch_seed(seed: int, cuda_devices: list[int]) -> Iterator[None]:
    """Seed torch inside the block and put its global random state back afterwards.

    The state is one for the whole process: threads that ask for it take turns.
    """
    import torch

    with _TORCH_STATE, torch.random.fork_rng(devices=cuda_devices):
        torch.manual_seed(seed)
        yield
