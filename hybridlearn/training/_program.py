"""Many nets trained as one: each step is one call for all of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import skorch
import torch
from skorch.helper import predefined_split
from skorch.history import History as SkorchHistory
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hybridlearn._random import torch_seed
from hybridlearn.training._batches import EVALUATION_ROWS, StackedBatches, StackedPart, StackedTable, TensorBatches
from hybridlearn.training._load import load_optimiser
from hybridlearn.training._net import (
    DivergedError,
    Patience,
    StopTraining,
    TensorNet,
    check_loss,
    mean_loss,
    outputs_of,
    share_kept,
)
from hybridlearn.training._stack import Stack
from hybridlearn.training._train import Task, Trained, check_weights, plain_record


class LossOf(nn.Module):
    """Module and criterion as one: from a batch to its mean loss."""

    def __init__(self, module: nn.Module, criterion: nn.Module, device: torch.device):
        super().__init__()
        self.module = module
        self.criterion = criterion
        self.device = device

    def forward(self, inputs: tuple[Tensor, ...], target: Tensor, weight: Tensor) -> Tensor:
        return mean_loss(self.criterion, outputs_of(self.module, inputs, self.device), target, weight)


class Built(NamedTuple):
    """A module as its seed makes it, and the state that this leaves torch's generator in: dropout goes on from it."""

    task: Task
    loss: LossOf
    random_state: Tensor


def build_loss(task: Task) -> Built:
    """Build the module of a task as :func:`hybridlearn.training.train` does."""
    load_optimiser()
    with torch_seed(task.settings.seed, []):
        module = task.build_module()
        return Built(task, LossOf(module, task.criterion, task.settings.device), torch.get_rng_state())


class _Run:
    """What one model of a program has of its own; to :class:`Patience` it is a net."""

    verbose = 0
    warms_up = False

    def __init__(self, task: Task, row: nn.Parameter):
        self.settings = task.settings
        self.row = row
        self.mean = row.detach().clone() if task.settings.weight_averaging else row.detach()
        self.n_steps = 0
        self.history = SkorchHistory()
        self.is_active = True
        self.timed_out = False
        self.error: DivergedError | None = None
        self.patience = None if task.valid_rows is None else Patience(task.settings.n_iter_no_change)
        if self.patience is not None:
            self.patience.on_train_begin(self)

    def kept_state(self) -> Tensor:
        """A copy of the weights that count."""
        return self.mean.clone()

    def restore(self, state: Tensor) -> None:
        """Go back to such a copy."""
        self.mean = state

    def end_epoch(self) -> None:
        """Stop where patience is at its end, or the epochs are."""
        try:
            if self.patience is not None:
                self.patience.on_epoch_end(self)
        except StopTraining:
            self.is_active = False
        if len(self.history) == self.settings.max_epochs:
            self.is_active = False
        if not self.is_active:
            self.end()
        else:
            self.end_if_late()

    def end_if_late(self) -> None:
        """Train no more where no time is left."""
        if self.settings.deadline is not None and self.settings.deadline.is_over:
            self.timed_out = True
            self.end()

    def end(self) -> None:
        """Train no more; the best weights are those that count."""
        self.is_active = False
        if self.patience is not None:
            self.patience.on_train_end(self)


class StackedNet(TensorNet):
    """The skorch net of a program. Its module holds a row of parameters a model; history and stopping are theirs."""

    def __init__(self, *args: Any, stack: Stack, tasks: list[Task], **kwargs: Any):
        self.stack = stack
        self.tasks = tasks
        super().__init__(*args, **kwargs)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> StackedNet:
        """One AdamW; models of the same rate and decay form a group."""
        groups = defaultdict(list)
        for row, task in zip(self.module_, self.tasks, strict=True):
            groups[task.settings.learning_rate, task.settings.weight_decay].append(row)
        options = [{"params": rows, "lr": rate, "weight_decay": decay} for (rate, decay), rows in groups.items()]
        self.optimizer_ = torch.optim.AdamW(options, fused=True)
        return self

    def initialize(self) -> StackedNet:
        """Also begin the run of each model."""
        super().initialize()
        self.runs_ = [_Run(task, row) for task, row in zip(self.tasks, self.module_, strict=True)]
        self._is_matrix = self.stack.is_matrix().to(self.device)
        return self

    def get_iterator(self, dataset: StackedTable, training: bool = False) -> StackedBatches:
        """Batches of the models that still train; in training each in the order that its own seed draws."""
        batches: dict[int, TensorBatches] = {}
        for model, (table, task) in enumerate(zip(dataset.tables, self.tasks, strict=True)):
            generator = torch.Generator().manual_seed(task.settings.seed) if training else None
            if table is not None:
                batches[model] = TensorBatches(
                    table, task.settings.batch_size if training else EVALUATION_ROWS, generator
                )
        return StackedBatches(dataset, batches, lambda model: self.runs_[model].is_active)

    def train_step_single(self, batch: list[StackedPart], **fit_params: Any) -> dict[str, Any]:
        """Gradients of loss and penalty of each model; the losses alone are recorded."""
        self.stack.train(True)
        losses = []
        for models, *data in batch:
            rows = torch.stack([self.runs_[m].row for m in models])
            loss = self.stack(models, rows, *data)
            losses.append(loss.detach())
            (loss + self._penalties(models, rows)).sum().backward()
        self._clip(batch)
        return {"loss": losses, "y_pred": None}

    def validation_step(self, batch: list[StackedPart], **fit_params: Any) -> dict[str, Any]:
        """Losses of the weights that count."""
        self.stack.train(False)
        with torch.no_grad():
            return {"loss": [self.stack(m, torch.stack([self.runs_[i].mean for i in m]), *data) for m, *data in batch]}

    def _penalties(self, models: list[int], rows: Tensor) -> Tensor | float:
        l1 = [self.runs_[m].settings.l1 for m in models]
        return rows.new_tensor(l1) * (rows.abs() * self._is_matrix).sum(dim=1) if any(l1) else 0.0

    def _clip(self, batch: list[StackedPart]) -> None:
        for run in (self.runs_[m] for models, *_ in batch for m in models):
            if run.settings.gradient_clipping < float("inf"):
                nn.utils.clip_grad_norm_([run.row], run.settings.gradient_clipping)

    def _average(self, batch: list[StackedPart]) -> None:
        """Take the weights after a step into the running means."""
        alike = defaultdict(list)
        for run in (self.runs_[m] for models, *_ in batch for m in models):
            run.n_steps += 1
            if run.settings.weight_averaging:
                alike[share_kept(run.settings.weight_averaging, run.n_steps)].append(run)
        for share, runs in alike.items():
            rows = [run.row.detach() for run in runs]
            get_ema_multi_avg_fn(share)([run.mean for run in runs], rows, torch.tensor(runs[0].n_steps))

    def run_single_epoch(
        self, iterator: StackedBatches | None, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Run over the batches of all models and record the mean loss a unit of weight of each."""
        if iterator is None:
            return
        if training:
            for run in self.runs_:
                if run.is_active:
                    run.history.new_epoch()
                    run.history.record("epoch", len(run.history))
        n_models, like = len(self.runs_), iterator.table.weight
        losses, weights = like.new_zeros(n_models), like.new_zeros(n_models)
        first: dict[int, Tensor] = {}
        for batch in iterator:
            step = step_fn(batch, **fit_params)
            if training:
                self._average(batch)
                # who ends takes no further batch of this epoch
                for run in (self.runs_[m] for models, *_ in batch for m in models):
                    run.end_if_late()
            for (models, _, _, weight), loss in zip(batch, step["loss"], strict=True):
                losses[models] += loss * weight.shape[1]
                weights[models] += weight.sum(dim=1)
                if not first.keys() >= set(models):
                    first |= zip(models, loss, strict=True)
        for model, loss in zip(first, (losses / weights)[list(first)].tolist(), strict=True):
            self._record_loss(self.runs_[model], loss, float(first[model]), prefix)

    def _record_loss(self, run: _Run, loss: float, first: float, prefix: str) -> None:
        rate = run.settings.learning_rate
        try:
            check_loss(loss, first=first, prefix=prefix, epoch=len(run.history), learning_rate=rate)
        except DivergedError as error:
            run.error, run.is_active = error, False
        run.history.record(f"{prefix}_loss", loss)

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Let models end that are at their end, and all where none is left."""
        for run in self.runs_:
            if run.is_active:
                run.end_epoch()
        if not any(run.is_active for run in self.runs_):
            raise StopTraining


def run_program(stack: Stack, losses: list[LossOf], tasks: list[Task]) -> list[Trained | Exception]:
    """Train the modules of a stack, each as :func:`hybridlearn.training.train` would alone.

    Parameters
    ----------
    stack : Stack
        Of `losses`.
    losses : list of LossOf
        With freshly built modules, which get the weights that they learn.
    tasks : list of Task
        All of one device.

    Returns
    -------
    list of Trained or DivergedError
    """
    device = tasks[0].settings.device
    rows = nn.ParameterList([nn.Parameter(stack.row(loss, m)) for m, loss in enumerate(losses)])
    validated = [task.valid_rows for task in tasks]
    net = StackedNet(
        rows,
        stack=stack.to(device),
        tasks=tasks,
        criterion=nn.Identity,
        max_epochs=max(task.settings.max_epochs for task in tasks),
        train_split=predefined_split(StackedTable(validated, device)) if any(validated) else None,
        verbose=0,
        device=device,
    )
    net.initialize()
    net.partial_fit(StackedTable([task.rows for task in tasks], device))
    for model, (run, loss) in enumerate(zip(net.runs_, losses, strict=True)):
        stack.load(loss, model, run.mean)
    return [_outcome(run, loss.module.eval()) for run, loss in zip(net.runs_, losses, strict=True)]


def _outcome(run: _Run, module: nn.Module) -> Trained | Exception:
    if run.error is not None:
        return run.error
    try:
        check_weights(module, run.settings)
    except DivergedError as error:
        return error
    return Trained(module, [plain_record(epoch) for epoch in run.history], {}, run.timed_out)
