"""Many nets as one program against the same nets one by one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from _tasks import Columns, assert_same, folds_of, linear, plain_tasks, table_of
from torch import Tensor, nn

import hybridlearn.training._size
import hybridlearn.training._together
from hybridlearn.modules import (
    CrossEntropy,
    LogitAdjustedLoss,
)
from hybridlearn.training import (
    DivergedError,
    Task,
    TensorBatches,
    Trained,
    TrainingSettings,
    train,
    train_together,
)
from hybridlearn.training._program import build_loss
from hybridlearn.training._size import cost_of
from hybridlearn.training._stack import Stack

MakeSettings = Callable[..., TrainingSettings]


@pytest.mark.parametrize("family", ["mlp", "resnet", "tabm"])
@pytest.mark.usefixtures("no_loop")
def test_in_float64_a_whole_fit_is_the_same(family: str, make_settings: MakeSettings) -> None:
    tasks = folds_of(family, torch.float64, make_settings)
    alone = [train(*task) for task in tasks]
    assert len({len(of.history) for of in alone}) > 2, "all models stopped at the same epoch: nothing was tested"
    for one, other in zip(train_together(tasks), alone, strict=True):
        assert_same(one, other, atol=1e-9)


@pytest.mark.parametrize("family", ["mlp", "resnet", "tabm"])
@pytest.mark.usefixtures("no_loop")
def test_in_float32_ten_epochs_are_the_same(family: str, make_settings: MakeSettings) -> None:
    tasks = folds_of(family, torch.float32, make_settings, max_epochs=10, n_iter_no_change=20)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        alone = train(*task)
        assert isinstance(one, Trained)
        for record, expected in zip(one.history, alone.history, strict=True):
            assert record == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.usefixtures("no_loop")
def test_another_prior_for_each_model(make_settings: MakeSettings) -> None:
    tasks = [
        task._replace(criterion=LogitAdjustedLoss([float(i)]).double())
        for i, task in enumerate(folds_of("mlp", torch.float64, make_settings, max_epochs=3))
    ]
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=1e-9)


@pytest.mark.usefixtures("no_loop")
def test_rates_of_dropout_differ_and_a_users_dropout_is_torchs(make_settings: MakeSettings) -> None:
    def builder(rate: float) -> Callable[[], nn.Module]:
        return lambda: Columns(nn.Linear(3, 8), nn.Dropout(rate), nn.ReLU(), nn.Linear(8, 1)).double()

    tasks = plain_tasks([builder(rate) for rate in (0.0, 0.2, 0.5, 0.9)], make_settings)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=1e-9)


class MixesRows(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return super().forward(x_num - x_num.mean(dim=0), x_cat)


@pytest.mark.usefixtures("no_loop")
def test_no_row_is_added_to_a_batch(make_settings: MakeSettings) -> None:
    """A module that looks at the batch as a whole would see it; tables of 50 and 51 rows end in other batches."""
    tasks = plain_tasks([linear(MixesRows)] * 4, make_settings)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=1e-9)


@pytest.mark.usefixtures("no_loop")
def test_a_model_that_diverges_leaves_the_others_alone(make_settings: MakeSettings) -> None:
    tasks = plain_tasks([linear(Columns)] * 4, make_settings)
    tasks[1].rows.inputs["x_num"][:, 1] = math.nan
    tasks[2] = tasks[2]._replace(settings=make_settings(seed=2, learning_rate=1e308, weight_decay=0.0))
    outcomes = train_together(tasks)
    for i, message in ((1, "the loss of the first batch is infinite or NaN"), (2, "lower learning_rate")):
        with pytest.raises(DivergedError, match=message):
            train(*tasks[i])
        assert isinstance(outcomes[i], DivergedError)
        assert message in str(outcomes[i])
    for i in (0, 3):
        assert_same(outcomes[i], train(*tasks[i]), atol=1e-9)


def test_an_error_of_one_module_is_its_own(make_settings: MakeSettings) -> None:
    def broken() -> nn.Module:
        raise TypeError("no such module")

    def wrong_shape() -> nn.Module:
        return Columns(nn.Linear(5, 1)).double()

    builders = [linear(Columns), broken, linear(Columns), wrong_shape]
    tasks = plain_tasks(builders, make_settings)
    outcomes = train_together(tasks)
    assert [type(outcome) for outcome in outcomes] == [Trained, TypeError, Trained, RuntimeError]
    for i in (0, 2):
        assert_same(outcomes[i], train(*tasks[i]), atol=1e-9)


def test_kinds_are_sorted_out_and_come_back_in_order(make_settings: MakeSettings) -> None:
    shapes = [(3, 4), (3, 8), (3, 4), (3, 8), (3, 6)]
    builders = [lambda a=a, b=b: Columns(nn.Linear(a, b), nn.Linear(b, 1)).double() for a, b in shapes]
    tasks = plain_tasks(builders, make_settings)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=1e-9)


def test_no_tasks_are_no_outcomes() -> None:
    assert train_together([]) == []


def test_a_model_that_has_stopped_is_not_computed(monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    called: list[int] = []
    original = Stack.__call__

    def counted(self: Stack, models: list[int], *args: Any, **options: Any) -> Tensor:
        if self.base.training and torch.is_grad_enabled():
            called.extend(models)
        return original(self, models, *args, **options)

    tasks = folds_of("mlp", torch.float64, make_settings)
    monkeypatch.setattr(Stack, "__call__", counted)
    outcomes = train_together(tasks)
    for model, (task, outcome) in enumerate(zip(tasks, outcomes, strict=True)):
        assert isinstance(outcome, Trained)
        n_steps = len(TensorBatches(task.rows, 16, torch.Generator())) * len(outcome.history)
        assert called.count(model) == n_steps + 1  # once to see whether the stack agrees with the module


def test_what_would_take_too_much_is_split(monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    tasks = folds_of("mlp", torch.float64, make_settings)
    sizes: list[int] = []
    original = hybridlearn.training._together.run_program

    def noted(stack: Stack, losses: list, tasks: list[Task]) -> list:
        sizes.append(len(tasks))
        return original(stack, losses, tasks)

    monkeypatch.setattr(hybridlearn.training._together, "run_program", noted)
    whole = train_together(tasks)
    largest = max(tasks, key=lambda task: len(task.rows))
    cost = cost_of(build_loss(largest)).n_bytes
    monkeypatch.setitem(hybridlearn.training._size.PROGRAM_BYTES, "cpu", int(cost * 2.5))
    split = train_together(tasks)
    assert sizes == [5, 2, 2]  # the fifth is alone
    for one, other in zip(split, whole, strict=True):
        assert isinstance(other, Trained)
        assert_same(one, other, atol=1e-9)


def test_seeds_of_the_world_are_left_alone(make_settings: MakeSettings) -> None:
    tasks = folds_of("mlp", torch.float64, make_settings, max_epochs=1)
    before = torch.get_rng_state()
    train_together(tasks)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_interrupt_comes_through(monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    class Interrupted(CrossEntropy):
        calls = 0

        def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
            type(self).calls += 1
            if self.calls == 20:
                raise KeyboardInterrupt
            return super().forward(outputs, target)

    tasks = [task._replace(criterion=Interrupted()) for task in folds_of("mlp", torch.float64, make_settings)]
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks)


def test_the_same_tasks_give_the_same_bits(make_settings: MakeSettings) -> None:
    tasks = folds_of("tabm", torch.float32, make_settings, max_epochs=3)
    for one, other in zip(train_together(tasks), train_together(tasks), strict=True):
        assert isinstance(other, Trained)
        assert_same(one, other, atol=0.0)


# -- how many


def sized(make_settings: MakeSettings, *, width: int, n_rows: int, **changes: Any) -> int:
    def build() -> nn.Module:
        return Columns(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)).double()

    settings = make_settings(batch_size=64, max_epochs=256, **changes)
    rows = table_of(n_rows, 3, [4], 0, torch.float64)
    task = Task(build, CrossEntropy(), rows, table_of(50, 3, [4], 1, torch.float64), settings)
    return hybridlearn.training.program_size(task)


def test_small_nets_go_together_and_large_ones_do_not(make_settings: MakeSettings) -> None:
    assert sized(make_settings, width=32, n_rows=500) > 50
    assert sized(make_settings, width=1024, n_rows=500) == 1


def test_the_longer_a_fit_the_fewer_go_together(make_settings: MakeSettings) -> None:
    sizes = [sized(make_settings, width=32, n_rows=n) for n in (500, 4000, 200_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[1] > sizes[2] == 1


def test_the_rule_asks_no_clock_and_no_generator(make_settings: MakeSettings) -> None:
    before = torch.get_rng_state()
    assert len({sized(make_settings, width=32, n_rows=500) for _ in range(3)}) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_can_be_replaced_one_by_one(make_settings: MakeSettings) -> None:
    """The fields that the program reads are those of the loop; who has an adversary is trained alone."""
    fields = {field.name for field in dataclasses.fields(make_settings())}
    assert fields == {
        "learning_rate", "weight_decay", "l1", "gradient_clipping", "weight_averaging", "batch_size", "max_epochs",
        "n_iter_no_change", "seed", "device", "deadline", "adversary",
    }  # fmt: skip
