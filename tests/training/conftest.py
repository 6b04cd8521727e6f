"""A small mixed table as tensors, a module for it, the settings to train it, and the training itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import hybridlearn.training._together
from hybridlearn.modules import MLP, CategoricalEmbedding, CrossEntropy, PeriodicEmbedding, TableEmbedding, TabularNet
from hybridlearn.training import TensorTable, TrainingSettings


def tiny_net(dropout: float) -> TabularNet:
    embedding = TableEmbedding(PeriodicEmbedding(3), CategoricalEmbedding([4]))
    return TabularNet(embedding, MLP(14, hidden_layer_sizes=(8,), dropout=dropout), nn.Linear(8, 1))


@pytest.fixture
def criterion() -> nn.Module:
    return CrossEntropy()


@pytest.fixture
def make_table() -> Callable[..., TensorTable]:
    """Rows with a noisy binary target and uneven weights of mean 1."""

    def make(n_rows: int, *, seed: int = 0) -> TensorTable:
        generator = torch.Generator().manual_seed(seed)
        x_num = torch.randn(n_rows, 3, generator=generator)
        x_cat = torch.randint(4, (n_rows, 1), generator=generator)
        noise = torch.randn(n_rows, generator=generator)
        target = (x_num[:, 0] + x_cat[:, 0] - 1.5 + noise > 0).float().unsqueeze(1)
        weight = torch.rand(n_rows, generator=generator) + 0.5
        return TensorTable({"x_num": x_num, "x_cat": x_cat}, target, weight / weight.mean())

    return make


@pytest.fixture
def build() -> Callable[[], nn.Module]:
    return lambda: tiny_net(0.0)


@pytest.fixture
def build_with_dropout() -> Callable[[], nn.Module]:
    return lambda: tiny_net(0.5)


@pytest.fixture
def make_settings() -> Callable[..., TrainingSettings]:
    settings = TrainingSettings(
        learning_rate=0.01,
        weight_decay=0.1,
        l1=0.0,
        gradient_clipping=math.inf,
        weight_averaging=0.0,
        batch_size=16,
        max_epochs=4,
        n_iter_no_change=100,
        seed=0,
        device=torch.device("cpu"),
    )

    def make(**changes: Any) -> TrainingSettings:
        return dataclasses.replace(settings, **changes)

    return make


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not stacked is an error."""

    def refuse(*args: Any) -> None:
        raise AssertionError("trained alone")

    monkeypatch.setattr(hybridlearn.training._together, "train", refuse)
