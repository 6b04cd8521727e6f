"""Models to train, many at a time: folds of one net, and small modules of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hybridlearn.modules import (
    MLP,
    CategoricalEmbedding,
    CrossEntropy,
    MemberLinear,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResNet,
    TableEmbedding,
    TabM,
    TabularNet,
)
from hybridlearn.training import (
    Task,
    TensorTable,
    Trained,
    TrainingSettings,
)

MakeSettings = Callable[..., TrainingSettings]

# Five folds: rows that train, columns of numbers, codes of two categories, bins a column, dropout.
FOLDS = [
    (100, 3, [4, 9], [3, 4, 5], 0.2),
    (101, 3, [5, 12], [3, 3, 2], 0.2),
    (90, 2, [4, 20], [5, 2], 0.0),
    (113, 3, [3, 9], [3, 4, 5], 0.3),
    (98, 3, [7, 3], [1, 4, 5], 0.2),
]


def table_of(n_rows: int, n_numeric: int, cardinalities: list[int], seed: int, dtype: torch.dtype) -> TensorTable:
    generator = torch.Generator().manual_seed(seed)
    x_num = torch.randn(n_rows, n_numeric, generator=generator, dtype=torch.float64).to(dtype)
    x_cat = torch.stack([torch.randint(c, (n_rows,), generator=generator) for c in cardinalities], dim=1)
    noise = torch.randn(n_rows, generator=generator)
    target = (x_num[:, 0] + x_cat[:, 0] - 1.5 + noise > 0).to(dtype).unsqueeze(1)
    weight = (torch.rand(n_rows, generator=generator) + 0.5).to(dtype)
    return TensorTable({"x_num": x_num, "x_cat": x_cat}, target, weight / weight.mean())


def builder(family: str, fold: tuple[Any, ...], dtype: torch.dtype) -> Callable[[], nn.Module]:
    _, n_numeric, cardinalities, bins, dropout = fold

    def build() -> nn.Module:
        numeric: nn.Module = PeriodicEmbedding(n_numeric)
        if family == "tabm":
            edges = [[float(i) for i in range(-1, b)] for b in bins]
            numeric = PiecewiseLinearEmbedding(edges, d_embedding=4)
        categorical = CategoricalEmbedding(cardinalities)
        widths = [4] * n_numeric + categorical.widths
        hidden: nn.Module = MLP(sum(widths), hidden_layer_sizes=(16, 8), dropout=dropout)
        output: nn.Module = nn.Linear(8, 1)
        if family == "resnet":
            hidden = ResNet(sum(widths), n_blocks=1, d_block=8, d_hidden=6, dropout=dropout)
        elif family == "tabm":
            hidden = TabM(sum(widths), widths, k=3, d_block=8, dropout=dropout)
            output = MemberLinear(8, 1, k=3)
        return TabularNet(TableEmbedding(numeric, categorical), hidden, output).to(dtype)

    return build


def folds_of(family: str, dtype: torch.dtype, make_settings: MakeSettings, **changes: Any) -> list[Task]:
    """Five models that differ in all that a model may have of its own; the second has no rows that stop it."""
    tasks = []
    for i, fold in enumerate(FOLDS):
        own = {
            "seed": i,
            "learning_rate": 0.01 * (1 + i % 2),
            "weight_decay": 0.1 * i,
            "l1": [0.0, 1e-3][i % 2],
            "gradient_clipping": [math.inf, 0.3, 0.1][i % 3],
            "weight_averaging": [0.9, 0.0, 0.99][i % 3],
            "max_epochs": 14 - i,
            "n_iter_no_change": 2 + i,
            **changes,
        }
        valid = None if i == 1 else table_of(300 + i, *fold[1:3], 10 + i, dtype)
        criterion = CrossEntropy(label_smoothing=0.1)
        rows = table_of(*fold[:3], i, dtype)
        tasks.append(Task(builder(family, fold, dtype), criterion, rows, valid, make_settings(**own)))
    return tasks


def assert_same(together: Trained | Exception, alone: Trained, *, atol: float) -> None:
    assert isinstance(together, Trained), together
    assert [record.keys() for record in together.history] == [record.keys() for record in alone.history]
    for record, expected in zip(together.history, alone.history, strict=True):
        assert record == pytest.approx(expected, rel=0, abs=atol)
    assert not together.module.training
    weights = zip(together.module.state_dict().items(), alone.module.state_dict().values(), strict=True)
    for (name, weight), expected in weights:
        torch.testing.assert_close(weight, expected, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


class Columns(nn.Sequential):
    """Takes the numbers and leaves the categories."""

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return super().forward(x_num)


def plain_tasks(builders: list[Callable[[], nn.Module]], make_settings: MakeSettings, **changes: Any) -> list[Task]:
    return [
        Task(
            build,
            CrossEntropy(),
            table_of(50 + i % 2, 3, [4], i, torch.float64),
            table_of(20, 3, [4], 10 + i, torch.float64),
            make_settings(seed=i, **changes),
        )
        for i, build in enumerate(builders)
    ]


def linear(kind: type[Columns]) -> Callable[[], nn.Module]:
    return lambda: kind(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
