"""Margins to start from: what a net learns is to be added to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from _nets import NETS, REGRESSORS, TABLE_NETS, target, tiny
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

import hybridlearn.training._together
from hybridlearn._protocols import Fit
from hybridlearn.crossfit import cross_fit
from hybridlearn.nets import (
    JointNetClassifier,
    ModuleClassifier,
    TabMClassifier,
    TabularMLPClassifier,
    TabularMLPRegressor,
)
from hybridlearn.nets._base import BaseNet

CLASSIFIERS = [cls for cls in TABLE_NETS if cls not in REGRESSORS]
STARTING = [cls for cls in NETS if cls is not ModuleClassifier]
N_ROWS = 120


def codes_of(noisy: np.ndarray, n_classes: int) -> np.ndarray:
    return np.searchsorted(np.quantile(noisy, np.arange(1, n_classes) / n_classes), noisy)


def starts(n_outputs: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_ROWS, n_outputs))


def log_losses(margin: np.ndarray, codes: np.ndarray) -> float:
    return log_loss(codes, expit(margin[:, 0]) if margin.shape[1] == 1 else softmax(margin, axis=1))


# where nothing is to be gone on from


@pytest.mark.parametrize("cls", STARTING)
def test_a_start_of_zero_is_no_start_to_the_last_bit(
    cls: type[BaseNet], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    plain, started = tiny(cls).fit(numbers, y), tiny(cls).fit(numbers, y, base_margin=np.zeros(N_ROWS))
    np.testing.assert_array_equal(started.margin(numbers), plain.margin(numbers))
    assert started.history_[-1]["valid_loss"] == plain.history_[-1]["valid_loss"]


def test_a_start_of_zero_is_no_start_for_three_classes(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = codes_of(noisy, 3)
    plain, started = (
        tiny(TabMClassifier).fit(numbers, y, base_margin=start) for start in (None, np.zeros((N_ROWS, 3)))
    )
    np.testing.assert_array_equal(started.margin(numbers), plain.margin(numbers))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_behind_the_true_margins_there_is_next_to_nothing_to_learn(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    truth = 3 * X[:, : 1 if n_classes == 2 else 3]
    p = np.column_stack([expit(-truth), expit(truth)]) if n_classes == 2 else softmax(truth, axis=1)
    y = (rng.random((400, 1)) > p.cumsum(axis=1)).sum(axis=1)
    net = tiny(TabularMLPClassifier, max_epochs=20, learning_rate=0.005)
    plain, started = clone(net).fit(X, y), clone(net).fit(X, y, base_margin=truth)
    learned, left = plain.margin(X), started.margin(X)
    assert np.abs(left).mean() < 0.2 * np.abs(learned).mean()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_behind_the_target_itself_nothing_is_left(cls: type[BaseNet], numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls).fit(numbers, noisy, base_margin=noisy)
    np.testing.assert_array_equal(net.predict(numbers), 0)


# what is learned is to be added


NOTHING_TO_SEE = np.zeros((N_ROWS, 1))
LONG = {"max_epochs": 30, "learning_rate": 0.03, "early_stopping": False, "weight_averaging": 0.0, "batch_size": 60}


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_start_that_is_wrong_everywhere_is_taken_back(cls: type[BaseNet], n_classes: int) -> None:
    """TabM's members each start there."""
    start = np.full((N_ROWS, 1), 2.0) if n_classes == 2 else np.tile([2.0, 0.0, -2.0], (N_ROWS, 1))
    net = tiny(cls, **LONG).fit(NOTHING_TO_SEE, np.arange(N_ROWS) % n_classes, base_margin=start)
    np.testing.assert_allclose(net.margin(NOTHING_TO_SEE), -start, atol=0.2)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_start_moves_every_output_of_the_module_alike(
    cls: type[BaseNet], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    net = tiny(cls, max_epochs=1).fit(numbers, codes_of(noisy, 3))
    inputs = net._inputs(net._read(numbers, reset=False), np.arange(len(numbers)))
    start = torch.tensor(starts(3), dtype=torch.float32)
    for training in (False, True):
        with torch.no_grad():
            plain, started = (
                _dropping_the_same(net.module_.train(training), inputs, **more) for more in ({}, {"base_margin": start})
            )
        assert plain.ndim == (3 if training and cls is TabMClassifier else 2)
        torch.testing.assert_close(started, plain + (start if plain.ndim == 2 else start[:, None]))


def _dropping_the_same(module: Any, inputs: dict[str, torch.Tensor], **more: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    return module(**inputs, **more)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_regression_learns_what_is_left_of_the_target(
    cls: type[BaseNet], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    start = starts(1)
    started = tiny(cls).fit(numbers, noisy, base_margin=start)
    rest = tiny(cls).fit(numbers, noisy - start[:, 0])
    np.testing.assert_array_equal(started.predict(numbers), rest.predict(numbers))


def test_of_several_outputs_each_has_its_start(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y, start = np.column_stack([noisy, -noisy]), starts(2)
    started = tiny(TabularMLPRegressor).fit(numbers, y, base_margin=start)
    np.testing.assert_array_equal(
        started.predict(numbers), tiny(TabularMLPRegressor).fit(numbers, y - start).predict(numbers)
    )
    labels = np.column_stack([np.arange(N_ROWS) % 2, np.arange(N_ROWS) // 2 % 2])
    start = np.tile([2.0, -2.0], (N_ROWS, 1))
    learned = tiny(TabularMLPClassifier, **LONG).fit(NOTHING_TO_SEE, labels, base_margin=start)
    np.testing.assert_allclose(learned.margin(NOTHING_TO_SEE), -start, atol=0.2)


def test_what_all_classes_have_in_common_is_no_start(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y, start = codes_of(noisy, 3), starts(3)
    nets = [tiny(TabularMLPClassifier).fit(numbers, y, base_margin=start + common) for common in (0, starts(1, seed=6))]
    np.testing.assert_allclose(nets[0].margin(numbers), nets[1].margin(numbers), atol=1e-4)
    plain = tiny(TabularMLPClassifier).fit(numbers, y)
    assert np.abs(plain.margin(numbers) - nets[0].margin(numbers)).max() > 0.01


def test_one_column_may_be_flat_and_a_list(numbers: np.ndarray, noisy: np.ndarray) -> None:
    start, y = starts(1), codes_of(noisy, 2)
    nets = [tiny(TabularMLPClassifier).fit(numbers, y, base_margin=b) for b in (start, start[:, 0], start.tolist())]
    for net in nets[1:]:
        np.testing.assert_array_equal(net.margin(numbers), nets[0].margin(numbers))


# weights and early stopping


@pytest.mark.parametrize("cls", [TabularMLPClassifier, JointNetClassifier, TabularMLPRegressor])
def test_a_row_of_weight_zero_takes_its_start_with_it(
    cls: type[BaseNet], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y, weight, start = target(cls, noisy), np.ones(N_ROWS), starts(1)
    weight[[0, 7, 50]] = 0
    keep = weight > 0
    net = tiny(cls).fit(numbers, y, sample_weight=weight, base_margin=start)
    absent = tiny(cls).fit(numbers[keep], y[keep], base_margin=start[keep])
    np.testing.assert_array_equal(net.margin(numbers), absent.margin(numbers))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_that_stop_have_their_starts(n_classes: int, numbers: np.ndarray, noisy: np.ndarray) -> None:
    """Each row starts at its own class: were a single one off, the losses would tell."""
    y = codes_of(noisy, n_classes)
    right = 40.0 * (2 * y[:, None] - 1) if n_classes == 2 else 40.0 * np.eye(3)[y]
    net = tiny(TabularMLPClassifier).fit(numbers, y, base_margin=right)
    assert len(net.stopping_rows_) > 10
    assert max(max(record["valid_loss"], record["train_loss"]) for record in net.history_) < 1e-6
    wrong = tiny(TabularMLPClassifier).fit(numbers, y, base_margin=np.roll(right, 1, axis=0))
    assert wrong.history_[0]["valid_loss"] > 1


# together


def changed(cls: type[BaseNet]) -> list[Any]:
    own = [{"learning_rate": 0.01}, {"early_stopping": False, "weight_averaging": 0.0}, {"n_iter_no_change": 1}]
    return [tiny(cls, random_state=i, max_epochs=4, **settings) for i, settings in enumerate(own)]


@pytest.mark.parametrize(
    ("cls", "n_classes"),
    [
        (TabularMLPClassifier, 2),
        (TabularMLPClassifier, 3),
        (TabMClassifier, 3),
        (JointNetClassifier, 2),
        (TabularMLPRegressor, 0),
    ],
)
def test_nets_with_starts_are_together_what_they_are_alone(
    cls: type[BaseNet], n_classes: int, numbers: np.ndarray, noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, n_outputs = (noisy, 1) if cls in REGRESSORS else (codes_of(noisy, n_classes), 1 if n_classes == 2 else 3)
    parts = [np.delete(np.arange(N_ROWS), slice(20 * i, 20 * i + 10 + i)) for i in range(3)]
    fits = [
        Fit(net, numbers[part], y[part], {"base_margin": starts(n_outputs, seed=i)[part]})
        for i, (net, part) in enumerate(zip(changed(cls), parts, strict=True))
    ]
    alone = [clone(fit.estimator).fit(fit.X, fit.y, **fit.params) for fit in fits]
    monkeypatch.setattr(hybridlearn.training._together, "train", None)
    assert cls.fit_together(fits) == [None] * 3
    for fit, net in zip(fits, alone, strict=True):
        np.testing.assert_allclose(fit.estimator.margin(numbers), net.margin(numbers), rtol=1e-5, atol=1e-5)


def test_nets_with_and_without_a_start_may_be_asked_for_together(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = codes_of(noisy, 2)
    nets = changed(TabularMLPClassifier)
    params = [{"base_margin": starts(1)}, {}, {"base_margin": starts(1, seed=6)}]
    fits = [Fit(clone(net), numbers, y, own) for net, own in zip(nets, params, strict=True)]
    assert TabularMLPClassifier.fit_together(fits) == [None] * 3
    for net, fit in zip(nets, fits, strict=True):
        net.fit(numbers, y, **fit.params)
        np.testing.assert_allclose(fit.estimator.margin(numbers), net.margin(numbers), rtol=1e-5, atol=1e-5)


# what cannot be a start


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (np.zeros((N_ROWS, 2)), r"base_margin must be of shape \(120, 1\), got \(120, 2\)"),
        (np.zeros(N_ROWS - 1), r"base_margin must be of shape \(120, 1\), got \(119, 1\)"),
        (np.full(N_ROWS, np.nan), "base_margin contains NaN"),
        (np.full(N_ROWS, np.inf), "base_margin contains infinity"),
        (["a"] * N_ROWS, "could not convert string to float"),
    ],
)
@pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
def test_a_start_that_is_none_is_an_error_that_names_it(
    cls: type[BaseNet], start: Any, message: str, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    net = tiny(cls)
    with pytest.raises(ValueError, match=message):
        net.fit(numbers, target(cls, noisy), base_margin=start)
    with pytest.raises(NotFittedError):
        net.predict(numbers)


def test_a_module_of_the_users_cannot_start_from_margins_of_classes(numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="ModuleClassifier takes no base_margin in classification"):
        tiny(ModuleClassifier).fit(numbers, noisy > 0, base_margin=np.zeros(N_ROWS))


def test_a_cross_fit_gives_nets_no_start(numbers: np.ndarray, noisy: np.ndarray) -> None:
    oof = cross_fit([("mlp", tiny(TabularMLPClassifier))], numbers, noisy > 0, cv=2, random_state=0)
    assert not any(model.is_step for model in oof.models["mlp"])
