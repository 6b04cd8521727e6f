"""What every net estimator shares: it HAS a net during ``fit`` and keeps a plain torch module afterwards."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from hybridlearn._compat import CallbackSupportMixin, integer, real
from hybridlearn._device import resolve_device
from hybridlearn._fitting import whole_fit
from hybridlearn._progress import FitProgress
from hybridlearn._random import draw_seed
from hybridlearn.table import TableEncoder, TrainingRows, read_table, read_training_rows
from hybridlearn.training import TensorTable, TrainingSettings, infer, train


class BaseNet(CallbackSupportMixin, BaseEstimator):
    """Encoder, inner split, training and inference; a family adds its parameters and ``_build_module``."""

    _parameter_constraints: ClassVar[dict] = {
        "learning_rate": [real(0, closed="neither")],
        "weight_decay": [real(0, closed="left")],
        "batch_size": [integer(1)],
        "max_epochs": [integer(1)],
        "early_stopping": ["boolean"],
        "validation_fraction": [real(0, 1, closed="neither")],
        "n_iter_no_change": [integer(1)],
        "max_levels": [integer(1)],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _build_module(self, n_numeric: int, cardinalities: list[int], n_outputs: int) -> nn.Module:
        """The family's module for a table of this shape."""
        raise NotImplementedError

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train the net.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            Numbers, booleans, datetimes and categories, missing values allowed.
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Multiplies a row's loss; rows of weight 0 are left out. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side of the early-stopping split.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On a target, weights, groups or parameters that cannot be used; the message names them.
        DivergedError
            When the loss becomes infinite or NaN; the message names the learning rate.
        """
        device = resolve_device(self.device)
        rows = read_training_rows(self, X, y, sample_weight, groups)
        rows = rows.reweighted(self._class_weights(rows.target))
        seed = draw_seed(self.random_state)
        self.encoder_ = TableEncoder(max_levels=self.max_levels).fit(rows.X)
        training, stopping = rows, None
        if self.early_stopping:
            training, stopping = rows.split(stratify=self._is_classifier, fraction=self.validation_fraction, seed=seed)
        self.stopping_rows_ = np.empty(0, dtype=np.int64) if stopping is None else stopping.positions
        self._scale_target(training.target, training.weight)
        scale = training.weight.mean()
        with FitProgress(self, self.max_epochs, unit="epoch", verbose=self.verbose) as progress:
            self.module_, self.history_ = train(
                self._new_module,
                self._criterion,
                self._tensors(training, scale),
                None if stopping is None else self._tensors(stopping, scale),
                self._settings(seed, device),
                progress.step,
            )
        self.n_iter_ = len(self.history_)
        return self

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row, what hybrids add up.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
            Log-odds of ``classes_[1]``; centred log-probabilities; or the prediction in units of the target.
        """
        check_is_fitted(self)
        inputs = self._inputs(self.encoder_.transform(read_table(self, X, reset=False)))
        return self._to_margin(infer(self.module_, inputs, resolve_device(self.device)))

    def _new_module(self) -> nn.Module:
        cardinalities = self.encoder_.cardinalities_.tolist()
        n_numeric = int((~self.encoder_.categorical_features_).sum())
        return self._build_module(n_numeric, cardinalities, self._n_outputs)

    def _settings(self, seed: int, device: torch.device) -> TrainingSettings:
        return TrainingSettings(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            n_iter_no_change=self.n_iter_no_change,
            seed=seed,
            device=device,
        )

    def _tensors(self, rows: TrainingRows, scale: float) -> TensorTable:
        """Rows as tensors on the CPU, weights divided by `scale`."""
        weight = torch.tensor(rows.weight / scale, dtype=torch.float32)
        inputs = self._inputs(self.encoder_.transform(rows.X))
        return TensorTable(inputs, self._target_tensor(rows.target), weight)

    def _inputs(self, encoded: np.ndarray) -> dict[str, Tensor]:
        codes = self.encoder_.categorical_features_
        return {
            "x_num": torch.tensor(encoded[:, ~codes], dtype=torch.float32),
            "x_cat": torch.tensor(encoded[:, codes], dtype=torch.int64),
        }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags
