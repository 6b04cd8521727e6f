"""What every net estimator shares: it HAS a net during ``fit`` and keeps a plain torch module afterwards."""

from __future__ import annotations

import copy
import math
from inspect import isroutine
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from hybridlearn._clock import Deadline
from hybridlearn._compat import CallbackSupportMixin, StrOptions, integer, real
from hybridlearn._device import resolve_device
from hybridlearn._extras import axes_for
from hybridlearn._fitting import continued_fit, whole_fit
from hybridlearn._progress import FitProgress
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.nets._together import BaseTogether
from hybridlearn.table import TrainingRows, read_training_rows
from hybridlearn.training import History, Task, TensorTable, Trained, TrainingSettings, infer, train

# the parameters that the trainer takes as they are
_SETTINGS = (
    "learning_rate",
    "weight_decay",
    "l1",
    "gradient_clipping",
    "weight_averaging",
    "max_epochs",
    "n_iter_no_change",
)
# Embedded rows are mixtures of few, and many.
_EMBEDDED_AT_ONCE = 2048


class BaseNet(CallbackSupportMixin, BaseTogether):
    """Inner split, training and inference; a family says how it reads `X` and what module it builds."""

    _parameter_constraints: ClassVar[dict] = {
        "learning_rate": [real(0, closed="neither")],
        "weight_decay": [real(0, closed="left")],
        "l1": [real(0, closed="left")],
        "gradient_clipping": [real(0, math.inf, closed="right")],
        "weight_averaging": [real(0, 1, closed="left")],
        "batch_size": [integer(1), StrOptions({"auto"})],
        "max_epochs": [integer(1)],
        "early_stopping": ["boolean"],
        "validation_fraction": [real(0, 1, closed="neither")],
        "n_iter_no_change": [integer(1)],
        "warm_start": ["boolean"],
        "time_limit": [real(0, closed="neither"), None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _inference_dtype: ClassVar[torch.dtype] = torch.float64
    _adds_base_margin: ClassVar[bool] = True

    def __init__(
        self,
        *,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        l1: float = 0.0,
        gradient_clipping: float = math.inf,
        weight_averaging: float = 0.998,
        batch_size: int | str = "auto",
        max_epochs: int = 256,
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 16,
        warm_start: bool = False,
        time_limit: float | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.l1 = l1
        self.gradient_clipping = gradient_clipping
        self.weight_averaging = weight_averaging
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.time_limit = time_limit
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Validate `X` as the family takes it."""
        raise NotImplementedError

    def _fit_encoder(self, X: Any) -> None:
        """Learn from what was read how :meth:`_inputs` makes tensors of it."""

    def _inputs(self, X: Any, rows: np.ndarray) -> dict[str, Tensor]:
        """Some rows of what was read, as the arguments of the module's ``forward`` in their order, on the CPU."""
        raise NotImplementedError

    def _build_module(self, training: TensorTable) -> nn.Module:
        """The family's module for these rows, untrained."""
        raise NotImplementedError

    @whole_fit
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        base_margin: Any = None,
        parents: Any = None,
    ) -> Self:
        """Train the net.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Target; of several outputs, numbers or zeros and ones.
        sample_weight : array-like of shape (n_rows,), optional
            Multiplies a row's loss; rows of weight 0 are left out. Scales and bins of columns are those of the rows
            without their weights. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side of the early-stopping split.
        time : array-like of shape (n_rows,), optional
            Numbers or points in time: the latest rows stop the training of those strictly before them. Not with
            `groups`.
        base_margin : array-like of shape (n_rows,) or (n_rows, n_outputs), optional
            Margins to start from (XGBoost's word): what is learned is to be added to them, and ``margin`` gives that
            alone. Default: 0.
        parents : array-like of int of shape (n_rows, 2), optional
            For a classifier, where rows were resampled: names of the rows that each lies between, or is a copy of; of
            a row that is neither, its own name twice. Rows that were made never stop the training, nor do any train
            that were made of one that stops it. Default: none was made.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On a target, weights, groups, times or parameters that cannot be used; the message names them.
        DivergedError
            When the loss becomes infinite or NaN; the message names the learning rate.
        """
        task = self._prepare(X, y, sample_weight, groups, time, base_margin, parents)
        with FitProgress(self, task.settings.max_epochs, unit="epoch", verbose=self.verbose) as progress:
            self._keep(train(*task, progress.step))
        return self

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        base_margin: Any = None,
        parents: Any = None,
        deadline: Deadline | None = None,
    ) -> Task:
        """All of a fit but the training, which :meth:`_keep` ends; the time may have begun to run before."""
        deadline = deadline or Deadline.after(self.time_limit)
        device = resolve_device(self.device)
        rows = self._read_rows(X, y, sample_weight, groups, time, base_margin, parents)
        seed = draw_seed(self.random_state)
        train_side, stop_side = np.arange(len(rows)), np.empty(0, dtype=np.int64)
        if self.early_stopping:
            fraction = self.validation_fraction
            train_side, stop_side = rows.sides(stratify=self._is_classifier, fraction=fraction, seed=seed)
            rows = rows.judging(train_side, stop_side)
        self.stopping_rows_ = rows.positions[stop_side]
        self.__dict__.pop("moments_", None)
        stopping = self._table(rows, stop_side) if len(stop_side) else None
        settings = self._settings(seed, device, len(train_side), deadline=deadline)
        return self._task(self._table(rows, train_side), stopping, settings)

    def _keep(self, trained: Trained) -> None:
        self.module_, self.history_, self.n_iter_ = trained.module, trained.history, len(trained.history)
        self.timed_out_ = trained.timed_out

    @continued_fit
    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, sample_weight: Any = None) -> Self:
        """Train one epoch more, without early stopping and weight averaging.

        The first call fixes scales, levels and the target's units: give it rows that look like those to come.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        classes : array-like of shape (n_classes,), optional
            For a classifier of one label a row, all that may come, in the first call. Default: those in `y`.
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As in :meth:`fit`, and on a label that is not among the classes. What was learned before stays.
        DivergedError
            When the loss becomes infinite or NaN; the message names the learning rate.
        """
        device = resolve_device(self.device)
        self._announce_classes(classes)
        rows = self._read_rows(X, y, sample_weight)
        self.stopping_rows_ = np.empty(0, dtype=np.int64)
        seed = (draw_seed(self.random_state) + getattr(self, "n_iter_", 0)) % 2**31
        one_epoch = self._settings(seed, device, len(rows), max_epochs=1, weight_averaging=0.0)
        before: History = getattr(self, "history_", [])
        task = self._task(self._table(rows, np.arange(len(rows))), None, one_epoch)
        with FitProgress(self, 1, unit="epoch", verbose=self.verbose) as progress:
            trained = train(*task, progress.step, getattr(self, "moments_", None))
        self._keep(trained)
        self.moments_ = trained.moments
        self.history_ = [*before, {**self.history_[-1], "epoch": len(before) + 1}]
        self.n_iter_ = len(self.history_)
        return self

    def _read_rows(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        groups: Any = None,
        time: Any = None,
        base_margin: Any = None,
        parents: Any = None,
    ) -> TrainingRows:
        """The rows; learns encoder and units of the target, unless a continued fit has kept them."""
        rows = read_training_rows(
            self,
            X,
            y,
            sample_weight,
            groups,
            reader=type(self)._read,
            time=time,
            base_margin=base_margin,
            parents=parents,
        )
        rows = rows.reweighted(self._class_weights(rows.target))
        if not hasattr(self, "module_"):
            self._fit_encoder(rows.X)
        self._scale_target(rows.target, rows.weight)
        return rows

    def _table(self, rows: TrainingRows, side: np.ndarray) -> TensorTable:
        """Some of the rows as tensors, with weights of mean 1."""
        weight = torch.tensor(rows.weight[side] / rows.weight[side].mean(), dtype=torch.float32)
        inputs = self._inputs(rows.X, side)
        if rows.base_margin is not None:
            if not self._adds_base_margin:
                raise ValueError(f"{type(self).__name__} takes no base_margin in classification: its module is yours")
            inputs["base_margin"] = torch.tensor(rows.base_margin[side], dtype=torch.float32)
        return TensorTable(inputs, self._target_tensor(rows.target[side]), weight)

    def _task(self, training: TensorTable, stopping: TensorTable | None, settings: TrainingSettings) -> Task:
        def build() -> nn.Module:
            # what an earlier fit has learned stays as it is until this one ends
            return copy.deepcopy(self.module_) if hasattr(self, "module_") else self._build_module(training)

        return Task(build, self._criterion(training), training, stopping, settings)

    def _settings(self, seed: int, device: torch.device, n_rows: int, **changes: Any) -> TrainingSettings:
        own = {name: getattr(self, name) for name in _SETTINGS} | changes
        return TrainingSettings(**own, batch_size=self._batch_size(n_rows), seed=seed, device=device)

    def _batch_size(self, n_rows: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        # some twenty steps an epoch, where that many rows are there
        return 2 ** min(8, max(5, round(math.log2(n_rows / 20))))

    def rounds_found(self) -> dict[str, Any]:
        """Parameters under which a fit on all rows runs as long as early stopping has found best.

        Returns
        -------
        dict of str to Any
            ``early_stopping`` and ``max_epochs``; empty without early stopping.
        """
        check_is_fitted(self)
        if not self.early_stopping:
            return {}
        losses = [record.get("valid_loss", math.inf) for record in self.history_]
        n_epochs = int(np.argmin(losses)) + 1 if min(losses) < math.inf else len(losses)
        return {"early_stopping": False, "max_epochs": n_epochs}

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row, what hybrids add up.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
            Log-odds of ``classes_[1]``, or of each of several labels; centred log-probabilities; or the prediction
            in units of the target.
        """
        return self._to_margin(self._infer(X, "forward"))

    def embed(self, X: Any) -> np.ndarray:
        """What the output layer sees of each row: features that the net has learned.

        Those of two fits have nothing in common, not even their order: do not average or compare them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_features), float64
        """
        check_is_fitted(self)
        if not isroutine(getattr(self.module_, "embed", None)):
            raise TypeError(f"{type(self.module_).__name__} has no method embed; give it one with forward's arguments")
        return self._infer(X, "embed")

    def tensors(self, X: Any) -> dict[str, Tensor]:
        """What the module is given for rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        dict of str to Tensor of shape (n_rows, ...)
            Arguments of ``module_``, on the CPU.
        """
        check_is_fitted(self)
        table = self._read(X, reset=False)
        return self._inputs(table, np.arange(len(table)))

    def embedded(self, X: Any) -> np.ndarray:
        """What the columns become before they meet in the net: each number is of one column.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, d), float64

        Raises
        ------
        TypeError
            Where the module has no method of this name.
        """
        check_is_fitted(self)
        if not isroutine(getattr(self.module_, "embedded", None)):
            raise TypeError(f"{type(self.module_).__name__} has no columns that are embedded one by one")
        return self._infer(X, "embedded")

    def margin_behind(self, embedded: np.ndarray) -> np.ndarray:
        """The margin of rows as :meth:`embedded` gives them, or of mixtures of such.

        Parameters
        ----------
        embedded : ndarray of shape (n_rows, d)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
        """
        how: Any = {"method": "outputs", "dtype": self._inference_dtype, "batch_size": _EMBEDDED_AT_ONCE}
        outputs = infer(self.module_, {"embedded": torch.tensor(embedded)}, resolve_device(self.device), **how)
        return self._to_margin(outputs)

    @property
    def inference_dtype(self) -> torch.dtype:
        """In what margins are computed: float64 on the CPU, unless the module is the user's; else float32."""
        return self._inference_dtype if resolve_device(self.device).type == "cpu" else torch.float32

    def _infer(self, X: Any, method: str) -> np.ndarray:
        inputs = self.tensors(X)
        return infer(self.module_, inputs, resolve_device(self.device), method=method, dtype=self._inference_dtype)

    def plot_history(self, ax: Any = None) -> Any:
        """Draw the loss of each epoch on the rows that train and on those that stop.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        ax = axes_for(ax, purpose="plot_history")
        for name in ("train_loss", "valid_loss"):
            curve = [(record["epoch"], record[name]) for record in self.history_ if name in record]
            if curve:
                ax.plot(*zip(*curve, strict=True), label=name)
        ax.set(xlabel="epoch", ylabel="loss", title=type(self).__name__)
        ax.legend()
        return ax
