"""The skorch net that lives during ``fit``: weights in the loss, tensors sliced into batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import skorch
import torch
from skorch.callbacks import EarlyStopping
from torch import Tensor

from hybridlearn.training._batches import TensorBatches, TensorTable


class DivergedError(RuntimeError):
    """The training loss became infinite or NaN."""


class StopTraining(Exception):  # noqa: N818 - like StopIteration: an end, not an error
    """Raised by a callback to end the training in good order."""


class Patience(EarlyStopping):
    """skorch's early stopping, ended by :class:`StopTraining`.

    skorch ends a loop by a KeyboardInterrupt that it then swallows; so a user's Ctrl-C would pass for early
    stopping and leave a half-trained net.
    """

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Count the epochs without a lower validation loss."""
        try:
            super().on_epoch_end(net, **kwargs)
        except KeyboardInterrupt as end:
            if self.misses_ < self.patience:
                raise
            raise StopTraining from end


class WeightedNet(skorch.NeuralNet):
    """A `skorch.NeuralNet` on a :class:`TensorTable`, with a weight a row.

    It differs from its base in four places: batches are slices of tensors that are already on the device (no
    ``__getitem__`` a row, no DataLoader); the loss of a batch is the mean of ``weight * loss``, so weights must have
    mean 1 over the training rows; an epoch keeps one loss in the history instead of one a batch, exact under
    weights; an interrupt is not swallowed.
    """

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """None: the epoch's losses are recorded by `run_single_epoch`."""
        return []

    def partial_fit(self, X: TensorTable, y: None = None, classes: None = None, **fit_params: Any) -> WeightedNet:
        """Train until ``max_epochs`` or :class:`StopTraining`."""
        self.notify("on_train_begin", X=X, y=y)
        with suppress(StopTraining):
            self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def get_iterator(self, dataset: TensorTable, training: bool = False) -> TensorBatches:
        """Batches of `dataset`, shuffled by the net's own generator in training."""
        generator = self.iterator_train__generator if training else None
        return TensorBatches(dataset, self.batch_size if training else 8192, generator)

    def get_loss(self, y_pred: Tensor, y_true: tuple[Tensor, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Weighted mean loss of a batch; the criterion gives one loss a row."""
        target, weight = y_true
        return (self.criterion_(y_pred, target) * weight).mean()

    def run_single_epoch(
        self, iterator: TensorBatches | None, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """Run over all batches and record the epoch's mean loss a unit of weight."""
        if iterator is None:
            return
        losses, sizes, weights = [], [], []
        for batch in iterator:
            step = step_fn(batch, **fit_params)
            weight = batch[1][1]
            losses.append(step["loss"].detach())
            sizes.append(len(weight))
            weights.append(weight.sum())
        total = torch.stack(losses) @ torch.tensor(sizes, dtype=losses[0].dtype, device=losses[0].device)
        loss = float(total / torch.stack(weights).sum())
        if not math.isfinite(loss):
            raise DivergedError(
                f"the {prefix} loss became {loss} in epoch {len(self.history)}; lower learning_rate (it is {self.lr:g})"
            )
        self.history.record(f"{prefix}_loss", loss)
