"""A small mixed table as tensors, a module for it, and the settings to train it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hybridlearn.modules import TabularMLP
from hybridlearn.training import TensorTable, TrainingSettings


class BinaryLoss(nn.BCEWithLogitsLoss):
    """Takes outputs of shape (n, 1) and targets of shape (n,)."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().forward(outputs.squeeze(1), target)


@pytest.fixture
def criterion() -> type[nn.Module]:
    return BinaryLoss


@pytest.fixture
def make_table() -> Callable[..., TensorTable]:
    """Rows with a noisy binary target and uneven weights of mean 1."""

    def make(n_rows: int, *, seed: int = 0) -> TensorTable:
        generator = torch.Generator().manual_seed(seed)
        x_num = torch.randn(n_rows, 3, generator=generator)
        x_cat = torch.randint(4, (n_rows, 1), generator=generator)
        noise = torch.randn(n_rows, generator=generator)
        target = (x_num[:, 0] + x_cat[:, 0] - 1.5 + noise > 0).float()
        weight = torch.rand(n_rows, generator=generator) + 0.5
        return TensorTable({"x_num": x_num, "x_cat": x_cat}, target, weight / weight.mean())

    return make


@pytest.fixture
def build() -> Callable[[], nn.Module]:
    return lambda: TabularMLP(3, [4], 1, hidden_layer_sizes=(8,), dropout=0.0)


@pytest.fixture
def build_with_dropout() -> Callable[[], nn.Module]:
    return lambda: TabularMLP(3, [4], 1, hidden_layer_sizes=(8,), dropout=0.5)


@pytest.fixture
def make_settings() -> Callable[..., TrainingSettings]:
    settings = TrainingSettings(
        learning_rate=0.01,
        weight_decay=0.1,
        batch_size=16,
        max_epochs=4,
        n_iter_no_change=100,
        seed=0,
        device=torch.device("cpu"),
    )

    def make(**changes: Any) -> TrainingSettings:
        return dataclasses.replace(settings, **changes)

    return make
