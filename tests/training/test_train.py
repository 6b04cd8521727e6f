"""The trainer against a loop written by hand, and what it promises about seeds, weights and stopping."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from hybridlearn._device import present_devices
from hybridlearn.training import DivergedError, History, TensorTable, TrainingSettings, _net, train

Build = Callable[[], nn.Module]
MakeTable = Callable[..., TensorTable]
MakeSettings = Callable[..., TrainingSettings]


def fit(*args: Any) -> tuple[nn.Module, History]:
    trained = train(*args)
    return trained.module, trained.history


def weighted_loss(module: nn.Module, table: TensorTable, rows: Any = slice(None)) -> Tensor:
    inputs, (target, weight) = table[rows]
    losses = binary_cross_entropy_with_logits(module(**inputs), target, reduction="none")
    return (losses.squeeze(1) * weight).sum()


def train_by_hand(
    build: Build, table: TensorTable, valid: TensorTable, settings: TrainingSettings
) -> tuple[nn.Module, History]:
    """AdamW, written out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = build()
        optimizer = torch.optim.AdamW(
            module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        order = torch.Generator().manual_seed(settings.seed)
        history = []
        for epoch in range(1, settings.max_epochs + 1):
            module.train()
            total = 0.0
            for rows in torch.randperm(len(table), generator=order).split(settings.batch_size):
                loss = weighted_loss(module, table, rows)
                optimizer.zero_grad()
                (loss / len(rows)).backward()
                optimizer.step()
                total += loss.item()
            module.eval()
            with torch.no_grad():
                valid_loss = weighted_loss(module, valid).item() / valid.weight.sum().item()
            history.append({"epoch": epoch, "train_loss": total / table.weight.sum().item(), "valid_loss": valid_loss})
    return module, history


def assert_same_weights(one: nn.Module, other: nn.Module, atol: float = 0.0) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_is_the_loop_written_by_hand(
    build_with_dropout: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    table, valid = make_table(50), make_table(20, seed=1)  # 16 + 16 + 16 + 2 rows: the last batch is short
    settings = make_settings(max_epochs=3)
    by_hand, expected = train_by_hand(build_with_dropout, table, valid, settings)
    _, history = fit(build_with_dropout, criterion, table, valid, settings)
    assert [record["epoch"] for record in history] == [1, 2, 3]
    for record, by_hand_record in zip(history, expected, strict=True):
        assert record == pytest.approx(by_hand_record, rel=1e-6)
    to_the_end, _ = fit(build_with_dropout, criterion, table, None, settings)
    assert_same_weights(to_the_end, by_hand, atol=1e-6)


def test_the_history_holds_the_mean_loss_a_unit_of_weight(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    """At a rate of nothing the weights stay: the batches' losses then sum to that of the whole table."""
    table, valid = make_table(50), make_table(30, seed=1)
    heavier = TensorTable(valid.inputs, valid.target, valid.weight * 3)
    module, history = fit(
        build, criterion, table, heavier, make_settings(learning_rate=1e-30, weight_decay=0.0, max_epochs=1)
    )
    with torch.no_grad():
        expected = weighted_loss(module, table) / 50
        expected_valid = weighted_loss(module, valid) / 30
    assert history[0] == pytest.approx({"epoch": 1, "train_loss": float(expected), "valid_loss": float(expected_valid)})


def test_without_rows_to_stop_all_epochs_are_run(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    _, history = fit(build, criterion, make_table(20), None, make_settings(n_iter_no_change=1, max_epochs=7))
    assert [set(record) for record in history] == [{"epoch", "train_loss"}] * 7
    assert [type(record["train_loss"]) for record in history] == [float] * 7


def test_the_module_comes_back_on_the_cpu_and_evaluating(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    module, _ = fit(build, criterion, make_table(20), None, make_settings())
    assert not any(part.training for part in module.modules())
    assert {p.device.type for p in module.parameters()} == {"cpu"}


OVERFITTING = {"learning_rate": 0.05, "max_epochs": 60, "n_iter_no_change": 5}


def test_early_stopping_goes_back_to_the_best_weights(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    valid = make_table(30, seed=1)
    module, history = fit(build, criterion, make_table(40), valid, make_settings(**OVERFITTING))
    losses = [record["valid_loss"] for record in history]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1, "the case is no test else"
    assert len(losses) == best + 1 + 5
    assert losses[-1] > losses[best]
    with torch.no_grad():
        assert float(weighted_loss(module, valid) / valid.weight.sum()) == pytest.approx(losses[best], rel=1e-6)


def test_the_last_epoch_may_end_before_patience_does_and_the_best_weights_still_come_back(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    valid = make_table(30, seed=1)
    _, history = fit(build, criterion, make_table(40), valid, make_settings(**OVERFITTING))
    ends_early = make_settings(**OVERFITTING | {"max_epochs": len(history) - 2})
    module, history = fit(build, criterion, make_table(40), valid, ends_early)
    best = min(record["valid_loss"] for record in history)
    assert history[-1]["valid_loss"] > best
    with torch.no_grad():
        assert float(weighted_loss(module, valid) / valid.weight.sum()) == pytest.approx(best, rel=1e-6)


# -- seeds


def test_the_seed_decides_to_the_last_bit(
    build_with_dropout: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    runs = []
    for global_seed, seed in [(1, 0), (2, 0), (1, 5)]:
        torch.manual_seed(global_seed)
        runs.append(fit(build_with_dropout, criterion, make_table(40), None, make_settings(seed=seed)))
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same_weights(runs[0][0], runs[2][0])


def test_the_seed_decides_the_order_of_the_rows_too(
    criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings, build: Build
) -> None:
    state = build().state_dict()

    def always_the_same() -> nn.Module:
        module = build()
        module.load_state_dict(state)
        return module

    one, other = (fit(always_the_same, criterion, make_table(40), None, make_settings(seed=seed))[0] for seed in (0, 1))
    assert not same_weights(one, other)


def test_global_seeds_are_left_alone(
    build_with_dropout: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    fit(build_with_dropout, criterion, make_table(40), make_table(10, seed=1), make_settings())
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


# -- weights


def test_a_row_of_weight_two_is_that_row_twice(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    table = make_table(20)
    counts = torch.ones(20)
    counts[:5] = 2
    weighted = TensorTable(table.inputs, table.target, counts / counts.mean())
    twice = torch.arange(20).repeat_interleave(counts.int())
    repeated = TensorTable({k: t[twice] for k, t in table.inputs.items()}, table.target[twice], torch.ones(25))
    whole = make_settings(batch_size=25, max_epochs=20)
    one, one_history = fit(build, criterion, weighted, None, whole)
    other, other_history = fit(build, criterion, repeated, None, whole)
    assert_same_weights(one, other, atol=1e-4)
    for record, other_record in zip(one_history, other_history, strict=True):
        assert record == pytest.approx(other_record, rel=1e-4)
    plain, _ = fit(build, criterion, TensorTable(table.inputs, table.target, torch.ones(20)), None, whole)
    with pytest.raises(AssertionError):
        assert_same_weights(one, plain, atol=1e-4)


# -- telling of each epoch


def test_every_epoch_is_told_with_its_losses(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    told: list[dict[str, float]] = []
    _, history = fit(
        build, criterion, make_table(40), make_table(10, seed=1), make_settings(), lambda record: told.append(record)
    )
    assert [{k: record[k] for k in ("epoch", "train_loss", "valid_loss")} for record in told] == history
    assert len(history) == 4


def test_the_epoch_that_ends_patience_is_told_too(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    told: list[float] = []
    _, history = fit(
        build,
        criterion,
        make_table(40),
        make_table(30, seed=1),
        make_settings(**OVERFITTING),
        lambda record: told.append(record["epoch"]),
    )
    assert len(history) < OVERFITTING["max_epochs"]
    assert told == [record["epoch"] for record in history]


def test_who_is_told_may_stop_the_training_and_gets_the_best_weights(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    valid = make_table(30, seed=1)
    _, free = fit(build, criterion, make_table(40), valid, make_settings(**OVERFITTING))
    best = int(np.argmin([record["valid_loss"] for record in free]))
    for stop_after in (best + 1, best + 3):  # right at the best epoch, and past it
        module, history = fit(
            build,
            criterion,
            make_table(40),
            valid,
            make_settings(**OVERFITTING),
            lambda record, last=stop_after: record["epoch"] == last,
        )
        assert history == free[:stop_after]
        with torch.no_grad():
            loss = float(weighted_loss(module, valid) / valid.weight.sum())
        assert loss == pytest.approx(free[best]["valid_loss"], rel=1e-6)


@pytest.mark.parametrize("device", present_devices())
def test_every_device_learns_the_same(
    device: str,
    build: Build,
    criterion: nn.Module,
    make_table: MakeTable,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Initial weights and row order are drawn on the CPU, so devices differ by rounding only.

    Beyond 1e-4 where products are rounded to bfloat16, as on a GPU: here they are not.
    """
    monkeypatch.setattr(_net, "autocast", lambda device: nullcontext())
    table, valid = make_table(40), make_table(20, seed=1)
    settings = make_settings(device=torch.device(device))
    module, history = fit(build, criterion, table, valid, settings)
    _, expected = train_by_hand(build, table, valid, settings)
    assert {p.device.type for p in module.parameters()} == {"cpu"}
    for record, by_hand in zip(history, expected, strict=True):
        assert record == pytest.approx(by_hand, rel=1e-4)


def test_weights_beyond_numbers_after_the_last_step_are_an_error(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    """The loss of the only epoch, taken before its only step, is still finite."""
    settings = make_settings(learning_rate=1e38, weight_decay=10.0, max_epochs=1, batch_size=100)
    with pytest.raises(
        DivergedError, match=r"the weights became infinite or NaN; lower learning_rate \(it is 1e\+38\)"
    ):
        fit(build, criterion, make_table(40), None, settings)


def test_a_loss_that_was_never_a_number_is_not_blamed_on_the_rate(
    build: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    table = make_table(40)
    table.inputs["x_num"][:] = torch.nan
    with pytest.raises(DivergedError, match="the first batch is infinite or NaN before any step"):
        fit(build, criterion, table, None, make_settings())


class Flat(nn.Linear):
    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        out = super().forward(x_num)
        return out[:, 0] if self.training else out


def test_another_shape_in_training_is_an_error(
    criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    with pytest.raises(ValueError, match=r"returned shape \(16,\) in training, not \(n_rows, n_outputs\)"):
        fit(lambda: Flat(3, 1), criterion, make_table(40), None, make_settings())


def test_threads_take_turns_with_the_seed(
    build_with_dropout: Build, criterion: nn.Module, make_table: MakeTable, make_settings: MakeSettings
) -> None:
    def train_one(seed: int) -> nn.Module:
        return fit(build_with_dropout, criterion, make_table(200), None, make_settings(seed=seed))[0]

    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(train_one, [0, 1, 2, 3]))
    assert torch.equal(torch.get_rng_state(), before)
    for seed, module in enumerate(together):
        assert same_weights(module, train_one(seed))
