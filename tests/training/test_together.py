"""Many nets as one program against the same nets one by one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hybridlearn.training._size
import hybridlearn.training._together
from hybridlearn.modules import (
    MLP,
    CategoricalEmbedding,
    CrossEntropy,
    LogitAdjustedLoss,
    MemberLinear,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResNet,
    TableEmbedding,
    TabM,
    TabularNet,
)
from hybridlearn.training import (
    DivergedError,
    Task,
    TensorBatches,
    TensorTable,
    Trained,
    TrainingSettings,
    train,
    train_together,
)
from hybridlearn.training._program import build_loss
from hybridlearn.training._size import cost_of
from hybridlearn.training._stack import Stack

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


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not stacked is an error."""

    def refuse(*args: Any) -> None:
        raise AssertionError("trained alone")

    monkeypatch.setattr(hybridlearn.training._together, "train", refuse)


def assert_same(together: Trained | Exception, alone: Trained, *, atol: float) -> None:
    assert isinstance(together, Trained), together
    assert [record.keys() for record in together.history] == [record.keys() for record in alone.history]
    for record, expected in zip(together.history, alone.history, strict=True):
        assert record == pytest.approx(expected, rel=0, abs=atol)
    assert not together.module.training
    weights = zip(together.module.state_dict().items(), alone.module.state_dict().values(), strict=True)
    for (name, weight), expected in weights:
        torch.testing.assert_close(weight, expected, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


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


def linear(kind: type[Columns]) -> Callable[[], nn.Module]:
    return lambda: kind(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


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
    """The fields that the program reads are those of the loop."""
    fields = {field.name for field in dataclasses.fields(make_settings())}
    assert fields == {
        "learning_rate", "weight_decay", "l1", "gradient_clipping", "weight_averaging", "batch_size", "max_epochs",
        "n_iter_no_change", "seed", "device",
    }  # fmt: skip
