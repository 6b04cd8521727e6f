"""What the nets for mixed tables share: the encoder, and the embedding of their columns."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from hybridlearn._compat import StrOptions, integer, real
from hybridlearn._docs import leads_with
from hybridlearn.modules import (
    CategoricalEmbedding,
    LinearEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    TableEmbedding,
)
from hybridlearn.nets._base import BaseNet
from hybridlearn.table import (
    FeatureConstraints,
    TableEncoder,
    TrainingRows,
    quantile_edges,
    read_table,
    target_edges,
)
from hybridlearn.training import ENDS, Adversary, TensorTable, TrainingSettings

N_ROWS_AT_ONCE = 8192
# Of the epochs: in so many the box of an adversary grows.
_PART_THAT_WARMS_UP = 8


@leads_with(max_levels=1000, adversarial=None, adversarial_eps=0.1)
class BaseTableNet(BaseNet):
    """A net on encoded columns, that may be trained against changes of its numbers."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseNet._parameter_constraints,
        "max_levels": [integer(1)],
        "adversarial": [StrOptions({"pgd", "ibp"}), None],
        "adversarial_eps": [real(0, closed="left"), dict, "array-like"],
    }

    def _read(self, X: Any, *, reset: bool) -> Any:
        return read_table(self, X, reset=reset)

    def _new_encoder(self) -> TableEncoder:
        return TableEncoder(max_levels=self.max_levels)

    def _fit_encoder(self, X: Any) -> None:
        self.encoder_ = self._new_encoder().fit(X)

    def _inputs(self, X: pd.DataFrame, rows: np.ndarray) -> dict[str, Tensor]:
        is_code = self.encoder_.categorical_features_
        x_num = torch.empty(len(rows), int((~is_code).sum()), dtype=torch.float32)
        x_cat = torch.empty(len(rows), int(is_code.sum()), dtype=torch.int64)
        # a part at a time: neither these rows of X nor their float64 codes ever stand in memory as a whole
        for start in range(0, len(rows), N_ROWS_AT_ONCE):
            part = slice(start, start + N_ROWS_AT_ONCE)
            encoded = self.encoder_.transform(X.iloc[rows[part]])
            x_num[part] = torch.tensor(encoded[:, ~is_code])
            x_cat[part] = torch.tensor(encoded[:, is_code])
        return {"x_num": x_num, "x_cat": x_cat}

    def likeness(self) -> Hashable | None:
        """None where the net is trained against changes, which is a loop of its own."""
        return None if self.adversarial else super().likeness()

    def _table(self, rows: TrainingRows, side: np.ndarray) -> TensorTable:
        table = super()._table(rows, side)
        if not self.adversarial:
            return table
        # in units of all rows, whichever side of the split they are on
        constraints = FeatureConstraints(scale=FeatureConstraints.from_data(rows.X).scale)
        corners = constraints.box(rows.X.iloc[side], self.adversarial_eps).corners()
        ends = [self._inputs(corner, np.arange(len(side)))["x_num"] for corner in corners]
        return replace(table, inputs=table.inputs | dict(zip(ENDS, ends, strict=True)))

    def _settings(self, seed: int, device: torch.device, n_rows: int, **changes: Any) -> TrainingSettings:
        settings = super()._settings(seed, device, n_rows, **changes)
        if not self.adversarial:
            return settings
        log_odds = self._is_classifier and self._has_log_odds
        n_warm_up = settings.max_epochs // _PART_THAT_WARMS_UP
        return replace(settings, adversary=Adversary(self.adversarial, log_odds, n_warm_up))

    @property
    def _cardinalities(self) -> list[int]:
        return self.encoder_.cardinalities_.tolist()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


@leads_with(numeric_embedding="periodic", d_embedding=4, n_frequencies=16, frequency_scale=0.1, n_bins=32)
class BaseEmbeddedNet(BaseTableNet):
    """A net on columns that are embedded and laid side by side."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseTableNet._parameter_constraints,
        "numeric_embedding": [StrOptions({"periodic", "quantile", "target", "linear", "none"})],
        "d_embedding": [integer(2)],
        "n_frequencies": [integer(1)],
        "frequency_scale": [real(0, closed="neither")],
        "n_bins": [integer(1)],
    }

    def _build_embedding(self, training: TensorTable) -> tuple[TableEmbedding, list[int]]:
        """The embedding, and how many numbers it makes of each column."""
        n_numeric = training.inputs["x_num"].shape[1]
        categorical = CategoricalEmbedding(self._cardinalities)
        width = 1 if self.numeric_embedding == "none" else self.d_embedding
        return TableEmbedding(self._numeric(training, n_numeric), categorical), [width] * n_numeric + categorical.widths

    def _numeric(self, training: TensorTable, n_numeric: int) -> nn.Module:
        if self.numeric_embedding == "none":
            return nn.Identity()
        if self.numeric_embedding == "linear":
            return LinearEmbedding(n_numeric, d_embedding=self.d_embedding)
        if self.numeric_embedding == "periodic":
            return PeriodicEmbedding(
                n_numeric,
                d_embedding=self.d_embedding,
                n_frequencies=self.n_frequencies,
                frequency_scale=self.frequency_scale,
            )
        return PiecewiseLinearEmbedding(self._edges(training), d_embedding=self.d_embedding)

    def _edges(self, training: TensorTable) -> list[list[float]]:
        columns = (column.double().numpy() for column in training.inputs["x_num"].T)
        if self.numeric_embedding == "quantile":
            return [quantile_edges(column, n_bins=self.n_bins).tolist() for column in columns]
        target = self._numeric_target(training.target)
        weight = training.weight.double().numpy()
        return [target_edges(column, target, n_bins=self.n_bins, weight=weight).tolist() for column in columns]
