"""The skorch net that lives during ``fit``: weights in the loss, tensors sliced into batches."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from typing import Any, Self

import skorch
import torch
from skorch.callbacks import EarlyStopping
from skorch.utils import noop
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hybridlearn._clock import Deadline
from hybridlearn._device import autocast
from hybridlearn.training._batches import EVALUATION_ROWS, Batch, TensorBatches, TensorTable


class DivergedError(RuntimeError):
    """The training loss became infinite or NaN."""


class StopTraining(Exception):  # noqa: N818 - like StopIteration: an end, not an error
    """Raised by a callback to end the training in good order."""


class Patience(EarlyStopping):
    """skorch's early stopping, ended by :class:`StopTraining`, going back to the best weights of ``net.kept_module``.

    skorch ends a loop by a KeyboardInterrupt that it then swallows; so a user's Ctrl-C would pass for early
    stopping and leave a half-trained net.
    """

    misses_: int

    def __init__(self, patience: int):
        super().__init__(patience=patience, threshold=0.0, load_best=False, sink=noop)
        self.best_state_: Any = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Count the epochs without a lower validation loss, none of a warm-up; keep the weights of the best."""
        try:
            super().on_epoch_end(net, **kwargs)
        except KeyboardInterrupt as end:
            if self.misses_ < self.patience:
                raise
            if not net.warms_up:
                raise StopTraining from end
        if self.misses_ == 0:
            self.best_state_ = net.kept_state()
        elif net.warms_up:
            self.misses_ = 0

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the best weights; before the end of the first epoch all are as good."""
        if self.best_state_ is not None:
            net.restore(self.best_state_)


class Punctuality(skorch.callbacks.Callback):
    """Ends the training with an epoch after which no time is left."""

    def __init__(self, deadline: Deadline):
        self.deadline = deadline

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the clock."""
        if self.deadline.is_over:
            net.timed_out = True
            raise StopTraining


def share_kept(longest: float, n_steps: int) -> float:
    """Share of the running mean that step `n_steps` keeps; of the first step the weights are all there is.

    The first steps are far from the goal: the mean forgets fast, until it may be as long as asked.
    """
    return min(longest, n_steps / (9 + n_steps)) if n_steps > 1 else 0.0


class Averaging(skorch.callbacks.Callback):
    """Keep a running mean of the weights, which is what is evaluated and kept in the end."""

    def __init__(self, decay: float):
        self.decay = decay

    def on_train_begin(self, net: WeightedNet, **kwargs: Any) -> None:
        """Start from the initial weights."""
        self.mean_ = AveragedModel(net.module_).eval()
        self.n_steps_ = 0
        net.averaging = self

    def on_batch_end(self, net: WeightedNet, training: bool = False, **kwargs: Any) -> None:
        """Take in the weights after a step."""
        if training:
            self.n_steps_ += 1
            self.mean_.multi_avg_fn = get_ema_multi_avg_fn(share_kept(self.decay, self.n_steps_))
            self.mean_.update_parameters(net.module_)


def outputs_of(module: nn.Module, inputs: Iterable[Tensor], device: str | torch.device) -> Tensor:
    """Outputs in float32; the products behind them in half precision where the device is good at it."""
    with autocast(device):
        outputs = module(*inputs)
    return outputs.float() if outputs.dtype.itemsize < 4 else outputs


def mean_loss(criterion: nn.Module, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean loss of a batch; the criterion gives one loss a row, or a row and member."""
    if outputs.ndim not in (2, 3):
        raise ValueError(f"the module returned shape {tuple(outputs.shape)} in training, not (n_rows, n_outputs)")
    if outputs.ndim < 3:
        return (criterion(outputs, target) * weight).mean()
    n_rows, n_members = outputs.shape[:2]
    losses = criterion(outputs.flatten(0, 1), target.repeat_interleave(n_members, dim=0))
    return (losses.view(n_rows, n_members).mean(dim=1) * weight).mean()


def check_loss(loss: float, *, first: float, prefix: str, epoch: int, learning_rate: float) -> None:
    """An error on an epoch's loss that is no number; `first` is that of its first batch."""
    if prefix == "train" and epoch == 1 and not math.isfinite(first):
        raise DivergedError(
            "the loss of the first batch is infinite or NaN before any step: the inputs, the target or the module "
            "leave the numbers of float32"
        )
    if not math.isfinite(loss):
        raise DivergedError(
            f"the {prefix} loss became {loss} in epoch {epoch}; lower learning_rate (it is {learning_rate:g})"
        )


class TensorNet(skorch.NeuralNet):
    """A `skorch.NeuralNet` without callbacks of its own that does not swallow an interrupt."""

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """None: the epoch's losses are recorded by `run_single_epoch`."""
        return []

    def partial_fit(self, X: Any, y: None = None, classes: None = None, **fit_params: Any) -> Self:
        """Train until ``max_epochs`` or :class:`StopTraining`."""
        self.notify("on_train_begin", X=X, y=y)
        with suppress(StopTraining):
            self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self


class WeightedNet(TensorNet):
    """The net of one module, on a :class:`TensorTable` with a weight a row.

    It differs from skorch's in these places: batches are slices of tensors that are already on the device (no
    ``__getitem__`` a row, no DataLoader); the loss of a batch is the mean of ``weight * loss``, so weights must have
    mean 1 over the training rows; where the module has members, a row's loss is the mean of theirs; `l1` times the
    sum of the absolute weights is added to what is minimised; an epoch keeps one loss in the history instead of one
    a batch, exact under weights; at the `deadline` an epoch ends after its batch, and with it the training.
    """

    def __init__(self, *args: Any, l1: float = 0.0, deadline: Deadline | None = None, **kwargs: Any):
        self.l1 = l1
        self.deadline = deadline
        self.timed_out = False
        super().__init__(*args, **kwargs)

    @property
    def warms_up(self) -> bool:
        """Whether losses of epochs do not compare yet."""
        return False

    @property
    def kept_module(self) -> nn.Module:
        """The module whose predictions count: the trained one or the mean of its weights."""
        return self.averaging.mean_.module if hasattr(self, "averaging") else self.module_

    def kept_state(self) -> dict[str, Tensor]:
        """A copy of the weights that count."""
        return deepcopy(self.kept_module.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to such a copy."""
        self.kept_module.load_state_dict(state)

    def get_iterator(self, dataset: TensorTable, training: bool = False) -> TensorBatches:
        """Batches of `dataset`, shuffled by the net's own generator in training."""
        generator = self.iterator_train__generator if training else None
        return TensorBatches(dataset, self.batch_size if training else EVALUATION_ROWS, generator)

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Tensor:
        """Outputs in training or evaluation."""
        return outputs_of(self.module_ if self.module_.training else self.kept_module, x.values(), self.device)

    def get_loss(self, y_pred: Tensor, y_true: tuple[Tensor, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Weighted mean loss of a batch."""
        return mean_loss(self.criterion_, y_pred, *y_true)

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Gradients of loss and penalty; the loss alone is recorded."""
        self._set_training(True)
        inputs, target = batch
        outputs = self.infer(inputs)
        loss = self.get_loss(outputs, target)
        (loss + self._penalty() if self.l1 else loss).backward()
        return {"loss": loss, "y_pred": outputs}

    def _penalty(self) -> Tensor:
        named = self.module_.named_parameters()
        # a vector named weight is the scale of a norm
        sums = [p.abs().sum() for name, p in named if "weight" in name and p.ndim > 1]
        return self.l1 * sum(sums, start=torch.zeros((), device=self.device))

    def run_single_epoch(
        self, iterator: TensorBatches | None, training: bool, prefix: str, step_fn: Callable, **fit_params: Any
    ) -> None:
        """Run over all batches and record the epoch's mean loss a unit of weight."""
        if iterator is None:
            return
        like = iterator.table.weight
        # filled in place: many small tensors among the large ones of the steps would leave the memory full of holes
        losses: dict[str, Tensor] = defaultdict(lambda: like.new_empty(len(iterator)))
        weights = like.new_empty(len(iterator))
        n_done = 0
        for i, batch in enumerate(iterator):
            step = step_fn(batch, **fit_params)
            self.notify("on_batch_end", batch=batch, training=training, **step)
            weight = batch[1][1]
            weights[i] = weight.sum()
            for name in step:
                if name.endswith("loss"):
                    losses[name][i] = step[name].detach() * len(weight)
            n_done = i + 1
            if training and self.deadline is not None and self.deadline.is_over:
                break
        means = {name: float(own[:n_done].sum() / weights[:n_done].sum()) for name, own in losses.items()}
        first, epoch = float(losses["loss"][0]), len(self.history)
        check_loss(means["loss"], first=first, prefix=prefix, epoch=epoch, learning_rate=self.lr)
        for name, loss in means.items():
            self.history.record(f"{prefix}_{name}", loss)
        if n_done < len(iterator):
            self.timed_out = True
            raise StopTraining
