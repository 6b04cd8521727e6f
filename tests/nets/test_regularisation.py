"""Whatever keeps a net from learning by heart does what its name says; and the history shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from _nets import CLASSIFIERS, EXACT, NETS, target, tiny, without_dropout
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from hybridlearn.nets import ModuleRegressor

DROPS = [(cls, name) for cls in NETS for name in ("dropout", "attention_dropout") if name in cls._parameter_constraints]


def matrices(net: Any) -> list[Tensor]:
    named = net.module_.named_parameters()
    return [weight.detach() for name, weight in named if "weight" in name and weight.ndim > 1]


@pytest.mark.parametrize(("cls", "name"), DROPS)
def test_dropout_makes_each_epoch_another_one(cls: type, name: str, numbers: np.ndarray, noisy: np.ndarray) -> None:
    """At a rate that learns nothing, nothing else does."""
    still = {**EXACT, "learning_rate": 1e-12}
    y = target(cls, noisy)
    for share, spreads in [(0.0, False), (0.5, True)]:
        net = without_dropout(cls, **still).set_params(**{name: share}).fit(numbers, y)
        losses = [record["train_loss"] for record in net.history_]
        assert (np.std(losses) > 1e-4) == spreads, losses


@pytest.mark.parametrize("cls", NETS)
def test_weight_decay_shrinks_the_norm_of_the_weights(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    norms = []
    settings = {"max_epochs": 10, "early_stopping": False, "weight_averaging": 0.0}
    for decay in (0.0, 20.0):
        net = tiny(cls, weight_decay=decay, **settings).fit(numbers, target(cls, noisy))
        norms.append(sum(float(weight.square().sum()) for weight in matrices(net)))
    assert norms[1] < 0.5 * norms[0]


@pytest.mark.parametrize("cls", NETS)
def test_l1_shrinks_the_sum_of_the_weights_and_is_no_part_of_the_loss_told(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    settings = {"weight_decay": 0.0, "max_epochs": 10, "early_stopping": False}
    plain, sparse = (tiny(cls, l1=l1, **settings).fit(numbers, target(cls, noisy)) for l1 in (0.0, 1.0))
    sums = [sum(float(weight.abs().sum()) for weight in matrices(net)) for net in (plain, sparse)]
    assert sums[1] < 0.7 * sums[0]
    assert max(record["train_loss"] for record in sparse.history_) < 10 < sums[1] + 10


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize("kind", ["classes", "two classes", "labels"])
def test_label_smoothing_lowers_confidence(cls: type, kind: str, numbers: np.ndarray) -> None:
    y = {
        "classes": np.digitize(numbers[:, 0], [-0.5, 0.5]),
        "two classes": numbers[:, 0] > 0,
        "labels": (numbers > 0).astype(int),
    }[kind]
    sure = []
    for smoothing in (0.0, 0.4):
        net = without_dropout(cls, label_smoothing=smoothing, max_epochs=30, early_stopping=False).fit(numbers, y)
        sure.append(np.abs(net.predict_proba(numbers) - 0.5).mean())
    assert sure[1] < sure[0] - 0.04


@pytest.mark.parametrize("cls", NETS)
def test_early_stopping_ends_before_the_last_epoch_with_the_best_weights(cls: type, numbers: np.ndarray) -> None:
    noise = np.random.default_rng(5).normal(size=120)
    settings = {"learning_rate": 0.05, "max_epochs": 60, "n_iter_no_change": 3}
    net = without_dropout(cls, **settings).fit(numbers, target(cls, noise))
    losses = [record["valid_loss"] for record in net.history_]
    assert net.n_iter_ == np.argmin(losses) + 4 < 60
    best = without_dropout(cls, **{**settings, "max_epochs": int(np.argmin(losses)) + 1})
    np.testing.assert_array_equal(best.fit(numbers, target(cls, noise)).margin(numbers), net.margin(numbers))


# -- by hand


LINE: dict[str, Any] = {
    **EXACT,
    "module": nn.Linear,
    "module_params": {"in_features": 3, "out_features": 1},
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "max_epochs": 12,
}
Step = Callable[[nn.Module, int], None]


def by_hand(X: np.ndarray, y: np.ndarray, *, before_step: Step, after_step: Step) -> nn.Module:
    """Linear regression on the whole table under AdamW, from the same start."""
    model = tiny(ModuleRegressor, **{**LINE, "learning_rate": 1e-30, "max_epochs": 1}).fit(X, y).module_
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01)
    inputs = torch.tensor(X, dtype=torch.float32)
    outputs = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    for i in range(12):
        optimizer.zero_grad()
        (model(inputs)[:, 0] - outputs).square().mean().backward()
        before_step(model, i)
        optimizer.step()
        after_step(model, i)
    return model


def assert_same_weights(module: nn.Module, expected: list[Tensor]) -> None:
    for weight, by_hand in zip(module.parameters(), expected, strict=True):
        np.testing.assert_allclose(weight.detach(), by_hand.detach(), atol=1e-5)


def nothing(model: nn.Module, i: int) -> None:
    """Leave a step as it is."""


def test_the_optimizer_is_adamw_and_nothing_more(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(ModuleRegressor, **LINE).fit(numbers, noisy)
    assert_same_weights(
        net.module_, list(by_hand(numbers, noisy, before_step=nothing, after_step=nothing).parameters())
    )


def test_averaged_weights_are_the_running_mean_that_forgets_its_start(numbers: np.ndarray, noisy: np.ndarray) -> None:
    mean: list[Tensor] = []

    def take_in(model: nn.Module, i: int) -> None:
        decay = min(0.5, (i + 1) / (10 + i))
        weights = [weight.detach().clone() for weight in model.parameters()]
        mean[:] = weights if i == 0 else [decay * m + (1 - decay) * w for m, w in zip(mean, weights, strict=True)]

    last = by_hand(numbers, noisy, before_step=nothing, after_step=take_in)
    net = tiny(ModuleRegressor, **{**LINE, "weight_averaging": 0.5}).fit(numbers, noisy)
    assert_same_weights(net.module_, mean)
    assert max(float((m - w.detach()).abs().max()) for m, w in zip(mean, last.parameters(), strict=True)) > 1e-3


def test_gradients_are_clipped_to_the_norm_asked_for(numbers: np.ndarray, noisy: np.ndarray) -> None:
    norms = []

    def clip(model: nn.Module, i: int) -> None:
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))

    clipped = by_hand(numbers, noisy, before_step=clip, after_step=nothing)
    assert min(norms) < 0.5 < max(norms), "some gradients are short, some are not"
    net = tiny(ModuleRegressor, **LINE, gradient_clipping=0.5).fit(numbers, noisy)
    assert_same_weights(net.module_, list(clipped.parameters()))
    plain = tiny(ModuleRegressor, **LINE).fit(numbers, noisy)
    assert np.abs(plain.margin(numbers) - net.margin(numbers)).max() > 1e-3


@pytest.mark.parametrize("cls", NETS)
@pytest.mark.parametrize("setting", [{"gradient_clipping": 0.05}, {"weight_averaging": 0.9}, {"l1": 0.01}], ids=str)
def test_every_family_hears_of_it(cls: type, setting: dict, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    plain = tiny(cls, weight_averaging=0.0).fit(numbers, y).margin(numbers)
    changed = tiny(cls, **{"weight_averaging": 0.0, **setting}).fit(numbers, y).margin(numbers)
    assert np.isfinite(changed).all()
    assert np.abs(plain - changed).max() > 1e-3


# -- the history


@pytest.mark.parametrize("cls", NETS)
def test_the_history_is_drawn(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        tiny(cls).plot_history()
    net = tiny(cls).fit(numbers, target(cls, noisy))
    _, given = plt.subplots()
    ax = net.plot_history(given)
    try:
        assert ax is given
        for line, name in zip(ax.get_lines(), ("train_loss", "valid_loss"), strict=True):
            assert line.get_label() == name
            assert line.get_xdata().tolist() == list(range(1, net.n_iter_ + 1))
            assert line.get_ydata().tolist() == [record[name] for record in net.history_]
        assert {text.get_text() for text in ax.get_legend().get_texts()} == {"train_loss", "valid_loss"}
        assert ax.get_title() == cls.__name__
        new = tiny(cls, early_stopping=False).fit(numbers, target(cls, noisy)).plot_history()
        assert new is not given
        assert [line.get_label() for line in new.get_lines()] == ["train_loss"]
    finally:
        plt.close("all")
