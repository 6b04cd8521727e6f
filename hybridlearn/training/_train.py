"""One call from module and tensors to trained module and history."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skorch
import torch
from skorch.helper import predefined_split
from skorch.utils import noop
from torch import Tensor, nn

from hybridlearn._device import cuda_indices
from hybridlearn._random import torch_seed
from hybridlearn.training._batches import TensorTable
from hybridlearn.training._net import Patience, StopTraining, WeightedNet

History = list[dict[str, float]]


@dataclass(frozen=True)
class TrainingSettings:
    """How a module is trained: AdamW at a constant rate, stopped early where validation rows are given.

    Attributes
    ----------
    learning_rate, weight_decay : float
        Of AdamW.
    batch_size, max_epochs : int
    n_iter_no_change : int
        Epochs without a lower validation loss before training stops; the best weights come back.
    seed : int
        Decides initial weights, row order and dropout.
    device : torch.device
    """

    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    n_iter_no_change: int
    seed: int
    device: torch.device


class _Tell(skorch.callbacks.Callback):
    """Calls a function after each epoch and keeps its answer, whether to stop."""

    def __init__(self, on_epoch: Callable[[dict[str, float]], bool]):
        self.on_epoch = on_epoch
        self.stop = False

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        self.stop = self.on_epoch(net.history[-1])


class _Obey(skorch.callbacks.Callback):
    """Stops the training where that answer was yes."""

    def __init__(self, told: _Tell):
        self.told = told

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        if self.told.stop:
            raise StopTraining


def train(
    build_module: Callable[[], nn.Module],
    criterion: type[nn.Module],
    rows: TensorTable,
    valid_rows: TensorTable | None,
    settings: TrainingSettings,
    on_epoch: Callable[[dict[str, float]], bool] | None = None,
) -> tuple[nn.Module, History]:
    """Train a new module.

    Parameters
    ----------
    build_module : callable
        Makes the module; called under the seed.
    criterion : type of Module
        Loss of torch that takes ``reduction="none"``.
    rows, valid_rows : TensorTable
        Moved to the device once. Without `valid_rows` all epochs are run.
    settings : TrainingSettings
    on_epoch : callable, optional
        Is given each epoch's record (``epoch``, ``train_loss``, ``valid_loss``); returns whether to stop.

    Returns
    -------
    module : Module
        On the CPU, in evaluation mode, with the weights of the best epoch.
    history : list of dict
        One record an epoch.

    Raises
    ------
    DivergedError
        When the loss becomes infinite or NaN; names the learning rate.
    """
    with torch_seed(settings.seed, cuda_indices(settings.device)):
        net = _build_net(build_module(), criterion, valid_rows, settings, on_epoch)
        net.fit(rows.to(settings.device))
    history = [{k: v for k, v in epoch.items() if k != "batches"} for epoch in net.history]
    return net.module_.cpu().eval(), history


def _build_net(
    module: nn.Module,
    criterion: type[nn.Module],
    valid_rows: TensorTable | None,
    settings: TrainingSettings,
    on_epoch: Callable[[dict[str, float]], bool] | None,
) -> WeightedNet:
    callbacks: list[tuple[str, skorch.callbacks.Callback]] = []
    if valid_rows is not None:
        patience = Patience(patience=settings.n_iter_no_change, threshold=0.0, load_best=True, sink=noop)
        callbacks.append(("early_stopping", patience))
    if on_epoch is not None:
        # each epoch is told, also one that ends patience; each is weighed by patience, also one that is the last
        tell = _Tell(on_epoch)
        callbacks = [("tell", tell), *callbacks, ("obey", _Obey(tell))]
    return WeightedNet(
        module,
        criterion=criterion,
        criterion__reduction="none",
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=settings.weight_decay,
        optimizer__fused=True,
        lr=settings.learning_rate,
        batch_size=settings.batch_size,
        max_epochs=settings.max_epochs,
        iterator_train__generator=torch.Generator().manual_seed(settings.seed),
        train_split=None if valid_rows is None else predefined_split(valid_rows.to(settings.device)),
        callbacks=callbacks,
        verbose=0,
        device=settings.device,
    )


def infer(module: nn.Module, inputs: dict[str, Tensor], device: torch.device, batch_size: int = 8192) -> np.ndarray:
    """Outputs of a trained module for many rows.

    Parameters
    ----------
    module : Module
        Left as it is, where it is.
    inputs : dict of str to Tensor of shape (n_rows, ...)
    device : torch.device
        On the CPU the pass is in float64, so that a row's output does not depend on the rows beside it.
    batch_size : int, default=8192

    Returns
    -------
    ndarray of shape (n_rows, n_outputs), float64
    """
    dtype = torch.float64 if device.type == "cpu" else torch.float32
    module = copy.deepcopy(module).to(device=device, dtype=dtype).eval()
    n_rows = len(next(iter(inputs.values())))
    outputs = []
    with torch.inference_mode():
        for start in range(0, n_rows, batch_size):
            batch = {k: _cast(t[start : start + batch_size], device, dtype) for k, t in inputs.items()}
            outputs.append(module(**batch).cpu().double().numpy())
    return np.concatenate(outputs)


def _cast(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
