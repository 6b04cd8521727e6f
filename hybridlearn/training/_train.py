"""One call from module and tensors to trained module and history."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import skorch
import torch
from skorch.helper import predefined_split
from torch import Tensor, nn

from hybridlearn._clock import Deadline
from hybridlearn._device import alone_on, cuda_indices
from hybridlearn._random import torch_seed
from hybridlearn.training._adversarial import AdversarialNet, Adversary
from hybridlearn.training._batches import TensorTable
from hybridlearn.training._load import load_optimiser
from hybridlearn.training._net import Averaging, DivergedError, Patience, Punctuality, StopTraining, WeightedNet

History = list[dict[str, float]]
Moments = dict[int, dict[str, Tensor]]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class TrainingSettings:
    """How a module is trained: AdamW at a constant rate, stopped early where validation rows are given.

    Attributes
    ----------
    learning_rate, weight_decay : float
        Of AdamW.
    l1 : float
        Times the sum of the absolute weights, added to the loss.
    gradient_clipping : float
        Largest norm of a step's gradient; infinity leaves it alone.
    weight_averaging : float
        Share of the running mean of the weights that a step keeps; 0 takes no mean.
    batch_size, max_epochs : int
    n_iter_no_change : int
        Epochs without a lower validation loss before training stops; the best weights come back.
    seed : int
        Decides initial weights, row order and dropout.
    device : torch.device
    deadline : Deadline or None, default=None
        When training ends, after a step at least.
    adversary : Adversary or None, default=None
        What the net is trained against; its rows then hold the ends between which their numbers move.
    """

    learning_rate: float
    weight_decay: float
    l1: float
    gradient_clipping: float
    weight_averaging: float
    batch_size: int
    max_epochs: int
    n_iter_no_change: int
    seed: int
    device: torch.device
    deadline: Deadline | None = None
    adversary: Adversary | None = None


class Task(NamedTuple):
    """One module to train, in the order of the arguments of :func:`train`.

    Attributes
    ----------
    build_module : callable
        Makes the module; called under the seed.
    criterion : Module
        From outputs and target of a batch to one loss a row.
    rows, valid_rows : TensorTable
        Moved to the device once. Without `valid_rows` all epochs are run.
    settings : TrainingSettings
    """

    build_module: Callable[[], nn.Module]
    criterion: nn.Module
    rows: TensorTable
    valid_rows: TensorTable | None
    settings: TrainingSettings


@dataclass(frozen=True)
class Trained:
    """What training leaves behind.

    Attributes
    ----------
    module : Module
        On the CPU, in evaluation mode, with the weights of the best epoch.
    history : list of dict
        One record an epoch; of one that a deadline has cut there is no ``valid_loss``.
    moments : dict of int to dict of str to Tensor
        AdamW's running means of each parameter, on the CPU; none where many were trained together.
    timed_out : bool
        Whether the deadline ended the training.
    """

    module: nn.Module
    history: History
    moments: Moments
    timed_out: bool


def plain_record(epoch: dict[str, float]) -> dict[str, float]:
    """An epoch of skorch's history without its batches."""
    return {name: value for name, value in epoch.items() if name != "batches"}


class _Tell(skorch.callbacks.Callback):
    """Calls a function after each epoch and keeps its answer, whether to stop."""

    def __init__(self, on_epoch: Callable[[dict[str, float]], bool]):
        self.on_epoch = on_epoch
        self.stop = False

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        self.stop = self.on_epoch(plain_record(net.history[-1]))


class _Obey(skorch.callbacks.Callback):
    """Stops the training where that answer was yes."""

    def __init__(self, told: _Tell):
        self.told = told

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        if self.told.stop:
            raise StopTraining


def train(
    build_module: Callable[[], nn.Module],
    criterion: nn.Module,
    rows: TensorTable,
    valid_rows: TensorTable | None,
    settings: TrainingSettings,
    on_epoch: Callable[[dict[str, float]], bool] | None = None,
    moments: Moments | None = None,
) -> Trained:
    """Train a module.

    Parameters
    ----------
    build_module, criterion, rows, valid_rows, settings
        A :class:`Task`.
    on_epoch : callable, optional
        Is given each epoch's record (``epoch``, ``train_loss``, ``valid_loss``); returns whether to stop.
    moments : dict, optional
        What an earlier training of the same module left, to go on as if it had not ended. Stays as it is.

    Returns
    -------
    Trained

    Raises
    ------
    DivergedError
        When the loss becomes infinite or NaN; names the learning rate.
    """
    load_optimiser()
    with torch_seed(settings.seed, cuda_indices(settings.device)), alone_on(settings.device):
        net = _build_net(build_module(), criterion, valid_rows, settings, on_epoch)
        net.initialize()
        _check_batch_norm(net.module_, min(settings.batch_size, len(rows)))
        if moments is not None:
            net.optimizer_.load_state_dict(net.optimizer_.state_dict() | {"state": copy.deepcopy(moments)})
        net.partial_fit(rows.to(settings.device))
    history = [plain_record(epoch) for epoch in net.history]
    module = net.kept_module.cpu().eval()
    check_weights(module, settings)
    return Trained(module, history, _moments(net.optimizer_), net.timed_out)


def check_weights(module: nn.Module, settings: TrainingSettings) -> None:
    """An error on weights that are no numbers: the loss of an epoch is taken before its last step."""
    if not all(p.isfinite().all() for p in module.parameters()):
        raise DivergedError(
            f"the weights became infinite or NaN; lower learning_rate (it is {settings.learning_rate:g})"
        )


def _moments(optimizer: torch.optim.Optimizer) -> Moments:
    return {i: {name: t.cpu() for name, t in of.items()} for i, of in optimizer.state_dict()["state"].items()}


def _check_batch_norm(module: nn.Module, n_rows_a_step: int) -> None:
    if n_rows_a_step == 1 and any(isinstance(part, _BATCH_NORMS) for part in module.modules()):
        raise ValueError("steps of one row are too few for the module's batch norm; give 2 rows, batch_size=2 or more")


def _build_net(
    module: nn.Module,
    criterion: nn.Module,
    valid_rows: TensorTable | None,
    settings: TrainingSettings,
    on_epoch: Callable[[dict[str, float]], bool] | None,
) -> WeightedNet:
    kind: Any = WeightedNet
    if settings.adversary is not None:
        kind = partial(AdversarialNet, adversary=settings.adversary)
    return kind(
        module,
        l1=settings.l1,
        deadline=settings.deadline,
        criterion=criterion,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=settings.weight_decay,
        optimizer__fused=True,
        lr=settings.learning_rate,
        batch_size=settings.batch_size,
        max_epochs=settings.max_epochs,
        iterator_train__generator=torch.Generator().manual_seed(settings.seed),
        train_split=None if valid_rows is None else predefined_split(valid_rows.to(settings.device)),
        callbacks=_callbacks(settings, valid_rows is not None, on_epoch),
        verbose=0,
        device=settings.device,
    )


def _callbacks(
    settings: TrainingSettings, is_validated: bool, on_epoch: Callable[[dict[str, float]], bool] | None
) -> list[tuple[str, skorch.callbacks.Callback]]:
    callbacks: list[tuple[str, skorch.callbacks.Callback]] = []
    if settings.gradient_clipping < math.inf:
        clipping = skorch.callbacks.GradientNormClipping(settings.gradient_clipping)
        callbacks.append(("gradient_clipping", clipping))
    if settings.weight_averaging:
        callbacks.append(("averaging", Averaging(settings.weight_averaging)))
    patience = [("early_stopping", Patience(settings.n_iter_no_change))] if is_validated else []
    # an epoch that ends with the time is weighed by patience first
    punctuality = [] if settings.deadline is None else [("punctuality", Punctuality(settings.deadline))]
    if on_epoch is None:
        return callbacks + patience + punctuality
    # each epoch is told, also one that ends patience; each is weighed by patience, also one that is the last
    tell = _Tell(on_epoch)
    return [*callbacks, ("tell", tell), *patience, *punctuality, ("obey", _Obey(tell))]
