"""The skorch net: its loss, how it ends in good order and how it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hybridlearn.training._net
from hybridlearn.modules import CrossEntropy
from hybridlearn.training import DivergedError, TensorTable, TrainingSettings, WeightedNet, train

Build = Callable[[], nn.Module]
MakeTable = Callable[..., TensorTable]
MakeSettings = Callable[..., TrainingSettings]


def test_the_loss_of_a_batch_is_the_mean_of_weight_times_loss(criterion: nn.Module) -> None:
    net = WeightedNet(nn.Linear, module__in_features=1, module__out_features=1, criterion=criterion).initialize()
    outputs, target, weight = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [0.0]]), torch.tensor([3.0, 0.5])
    by_hand = (3 * torch.log(torch.tensor(2.0)) + 0.5 * torch.log1p(torch.exp(torch.tensor(2.0)))) / 2
    assert float(net.get_loss(outputs, (target, weight))) == pytest.approx(float(by_hand))


def test_nothing_is_added_behind_the_back(criterion: nn.Module) -> None:
    assert WeightedNet(nn.Linear, criterion=criterion).get_default_callbacks() == []


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_loss_beyond_numbers_names_the_learning_rate(
    rate: float, build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    message = rf"the train loss became (inf|nan) in epoch 1; lower learning_rate \(it is {re.escape(f'{rate:g}')}\)"
    with pytest.raises(DivergedError, match=message):
        train(build, criterion, make_table(40), None, make_settings(learning_rate=rate, weight_decay=0.0))


def test_a_validation_loss_beyond_numbers_is_an_error_too(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    valid = make_table(10, seed=1)
    valid.inputs["x_num"][3, 1] = torch.nan
    with pytest.raises(DivergedError, match=r"the valid loss became nan in epoch 1; lower learning_rate"):
        train(build, criterion, make_table(40), valid, make_settings())


class Interrupted(CrossEntropy):
    """Someone presses Ctrl-C in the seventh batch."""

    calls = 0

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        type(self).calls += 1
        if self.calls == 7:
            raise KeyboardInterrupt
        return super().forward(outputs, target)


def interrupt(*args: Any) -> bool:
    raise KeyboardInterrupt


def test_an_interrupt_in_a_batch_is_not_taken_for_early_stopping(
    monkeypatch: pytest.MonkeyPatch, build: Build, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    monkeypatch.setattr(Interrupted, "calls", 0)
    with pytest.raises(KeyboardInterrupt):
        train(build, Interrupted(), make_table(40), make_table(10, seed=1), make_settings())
    assert Interrupted.calls == 7


def test_an_interrupt_at_the_end_of_an_epoch_is_not_taken_for_early_stopping(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(build, criterion, make_table(40), make_table(10, seed=1), make_settings(), interrupt)


def test_an_interrupt_while_the_best_weights_are_copied_is_not_taken_for_early_stopping(
    monkeypatch: pytest.MonkeyPatch,
    build: Build,
    criterion: nn.Module,
    make_table: MakeTable,
    make_settings: MakeSettings,
) -> None:
    monkeypatch.setattr(hybridlearn.training._net, "deepcopy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(build, criterion, make_table(40), make_table(10, seed=1), make_settings())


def test_an_error_in_the_module_comes_out_as_it_is(
    criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    class Broken(nn.Linear):
        def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match=r"^broken$"):
        train(lambda: Broken(3, 1), criterion, make_table(20), None, make_settings())
