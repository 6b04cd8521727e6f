"""Modules of a user's: what can be stacked is, what cannot is trained alone and comes out the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from _tasks import Columns, assert_same, linear, plain_tasks
from torch import Tensor, nn

import hybridlearn.training._size
import hybridlearn.training._together
from hybridlearn.training import (
    Trained,
    TrainingSettings,
    train,
    train_together,
)

MakeSettings = Callable[..., TrainingSettings]


class Noisy(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return super().forward(x_num + 0.1 * torch.randn_like(x_num) * self.training, x_cat)


class Branching(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return super().forward(x_num if x_num.sum() > 0 else -x_num, x_cat)


class Counting(Columns):
    def __init__(self, *parts: nn.Module):
        super().__init__(*parts)
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        self.n_calls += self.training
        return super().forward(x_num, x_cat)


class Signed(Columns):
    """A tensor that is neither parameter nor buffer, and another in each model."""

    def __init__(self, *parts: nn.Module):
        super().__init__(*parts)
        self.signs = torch.randn(3).sign()

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return super().forward(x_num * self.signs, x_cat)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.last = nn.Linear(3, 1)

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return self.last(self.second(self.first(x_num).relu()).relu())


class Unused(Columns):
    def __init__(self, *parts: nn.Module):
        super().__init__(*parts)
        self.spare = [nn.Linear(3, 3)]
        self.register_parameter("scale", nn.Parameter(torch.ones(3)))


class Frozen(Columns):
    def __init__(self, *parts: nn.Module):
        super().__init__(*parts)
        self[0].weight.requires_grad_(False)


ODD: dict[str, Callable[[], nn.Module]] = {
    "noise of its own": linear(Noisy),
    "a branch on the data": linear(Branching),
    "a buffer that counts": linear(Counting),
    "tensors beside the state": linear(Signed),
    "tied weights": lambda: Tied().double(),
    "a weight without gradient": linear(Unused),
    "a frozen weight": linear(Frozen),
    "batch norm": lambda: Columns(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)).double(),
    "dropout of channels": lambda: Columns(nn.Linear(3, 4), nn.AlphaDropout(0.3), nn.Linear(4, 1)).double(),
}


@pytest.mark.parametrize("build", ODD.values(), ids=ODD.keys())
def test_what_cannot_be_stacked_is_trained_alone(build: Callable[[], nn.Module], make_settings: MakeSettings) -> None:
    tasks = plain_tasks([build] * 3, make_settings)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=0.0)


class SkipsLayers(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        hidden = self[1](self[0](x_num))
        return self[2](hidden * 0.5 if self.training and torch.rand(()) < 0.3 else hidden)


class Remembers(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        self.seen = self[0](x_num)
        return self[2](self[1](self.seen))


class Ranges(Columns):
    """The largest value so far, and a flag of Python's: both change in the first call."""

    def __init__(self, *parts: nn.Module):
        super().__init__(*parts)
        self.register_buffer("largest", torch.full((3,), 1e-3))

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        if self.training:
            self.largest = torch.maximum(self.largest, x_num.detach().abs().amax(0))
        return super().forward(x_num / self.largest, x_cat)


class Starts(Columns):
    ready = False

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        if self.training and not self.ready:
            self[0].bias.data.copy_(x_num.mean(0)[:1].expand(4))
            self.ready = True
        return super().forward(x_num, x_cat)


class Monotone(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        self[0].weight.data.clamp_(min=0)
        return super().forward(x_num, x_cat)


class Evaluates(Signed):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        return Columns.forward(self, x_num if self.training else x_num * self.signs, x_cat)


class LooksAtItself(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        outputs = super().forward(x_num, x_cat)
        return outputs if self.training or outputs.max() > 0 else 2 * outputs


CHANGING = {cls.__name__: linear(cls) for cls in (SkipsLayers, Remembers, Ranges, Starts, Monotone, LooksAtItself)}
CHANGING |= {"Dropout2d": lambda: Columns(nn.Linear(3, 4), nn.Dropout2d(0.1), nn.Linear(4, 1)).double()}


@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize("n_models", [2, 4])
@pytest.mark.parametrize("build", CHANGING.values(), ids=CHANGING.keys())
def test_who_changes_when_called_is_trained_alone(
    build: Callable[[], nn.Module], n_models: int, make_settings: MakeSettings
) -> None:
    tasks = plain_tasks([build] * n_models, make_settings)
    before = torch.get_rng_state()
    outcomes = train_together(tasks)
    assert torch.equal(torch.get_rng_state(), before)
    for one, task in zip(outcomes, tasks, strict=True):
        assert_same(one, train(*task), atol=0.0)
        assert hybridlearn.training.program_size(task) == 1


def test_tensors_that_only_evaluation_uses_are_seen_too(make_settings: MakeSettings) -> None:
    tasks = plain_tasks([linear(Evaluates)] * 3, make_settings)
    for one, task in zip(train_together(tasks), tasks, strict=True):
        assert_same(one, train(*task), atol=0.0)


class OddRows(Columns):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        if len(x_num) == 3:
            raise ValueError("three rows")
        return super().forward(x_num, x_cat)


def test_what_a_program_fails_at_is_tried_alone(make_settings: MakeSettings) -> None:
    tasks = plain_tasks([linear(OddRows)] * 3, make_settings)  # 51 rows end in a batch of 3
    outcomes = train_together(tasks)
    assert [type(outcome) for outcome in outcomes] == [Trained, ValueError, Trained]
    assert_same(outcomes[2], train(*tasks[2]), atol=0.0)
