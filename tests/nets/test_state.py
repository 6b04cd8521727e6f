"""What a fitted net is made of: seeds, settings, devices, pickles, and nothing after an interrupt."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import SMALL_NET
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import hybridlearn.nets._base
from hybridlearn.modules import TabularMLP
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

FAST = {**SMALL_NET, "random_state": 0}
PAIR = [TabularMLPClassifier, TabularMLPRegressor]
DEVICES = ["auto", "cpu"] + ["cuda", "cuda:0"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()


# -- seeds


@pytest.mark.parametrize("cls", PAIR)
def test_the_seed_decides_to_the_last_bit(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    answers = []
    for global_seed, seed in [(1, 0), (2, 0), (1, 3)]:
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        answers.append(cls(**SMALL_NET, random_state=seed).fit(numbers, noisy > 0).margin(numbers))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_a_second_fit_starts_anew(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy)
    once = net.predict(numbers)
    np.testing.assert_array_equal(net.fit(numbers, noisy).predict(numbers), once)


def test_a_random_state_moves_on_and_none_is_new_each_time(numbers: np.ndarray, noisy: np.ndarray) -> None:
    rng = np.random.RandomState(0)
    for random_state in (rng, None):
        nets = [TabularMLPRegressor(**SMALL_NET, random_state=random_state).fit(numbers, noisy) for _ in range(2)]
        assert not np.array_equal(nets[0].predict(numbers), nets[1].predict(numbers))


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0)], ids=["int", "RandomState"])
def test_global_seeds_are_left_alone(random_state: Any, numbers: np.ndarray, noisy: np.ndarray) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()
    TabularMLPRegressor(**SMALL_NET, random_state=random_state).fit(numbers, noisy).predict(numbers)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]


# -- what is kept


def test_parameters_reach_the_module_the_encoder_and_the_trainer(
    monkeypatch: pytest.MonkeyPatch, mixed: pd.DataFrame
) -> None:
    seen = {}
    original = hybridlearn.nets._base.train

    def train(*args: Any, **kwargs: Any) -> Any:
        seen["settings"] = args[4]
        return original(*args, **kwargs)

    monkeypatch.setattr(hybridlearn.nets._base, "train", train)
    net = TabularMLPRegressor(
        hidden_layer_sizes=[7, 5],
        dropout=0.25,
        d_embedding=6,
        n_frequencies=9,
        frequency_scale=2.0,
        max_levels=2,
        learning_rate=0.03,
        weight_decay=0.04,
        batch_size=32,
        max_epochs=3,
        n_iter_no_change=2,
        device="cpu",
        random_state=0,
    ).fit(mixed[["age", "job"]], np.arange(120.0))
    module, settings = net.module_, seen["settings"]
    assert isinstance(module, TabularMLP)
    assert [layer.out_features for layer in module.hidden if isinstance(layer, torch.nn.Linear)] == [7, 5]
    assert {layer.p for layer in module.hidden if isinstance(layer, torch.nn.Dropout)} == {0.25}
    assert module.numeric.frequency.shape == (2, 9), "age and its indicator"
    assert module.numeric.d_out == 12
    assert module.numeric.frequency.detach().std() > 1
    assert module.categorical.tables[0].num_embeddings == 4
    assert (settings.learning_rate, settings.weight_decay) == (0.03, 0.04)
    assert (settings.batch_size, settings.max_epochs, settings.n_iter_no_change) == (32, 3, 2)
    assert settings.device == torch.device("cpu")


def test_what_is_kept_is_plain(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = TabularMLPClassifier(**FAST).fit(numbers, noisy > 0)
    assert type(net.history_) is list
    assert {type(value) for record in net.history_ for value in record.values()} <= {int, float}
    assert [record["epoch"] for record in net.history_] == list(range(1, net.n_iter_ + 1))
    assert not any(part.training for part in net.module_.modules())
    assert not [name for name, value in vars(net).items() if "skorch" in type(value).__module__]
    net.margin(numbers)
    assert {p.dtype for p in net.module_.parameters()} == {torch.float32}


FRESH = """
import pickle, sys
import torch
module, inputs, expected = pickle.load(sys.stdin.buffer)
assert torch.equal(module(**inputs), expected)
assert "sklearn" not in sys.modules
"""


def test_a_fresh_process_gets_the_same_from_a_pickled_module_and_needs_no_estimator(mixed: pd.DataFrame) -> None:
    net = TabularMLPClassifier(**FAST).fit(mixed[["age", "job"]], mixed["job"].fillna("none"))
    inputs = {"x_num": torch.randn(5, 2), "x_cat": torch.tensor([[0], [1], [2], [3], [4]])}
    load = pickle.dumps((net.module_, inputs, net.module_(**inputs).detach()))
    done = subprocess.run([sys.executable, "-c", FRESH], input=load, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_clone_is_unfitted_and_learns_the_same(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy)
    copy = clone(net)
    with pytest.raises(NotFittedError):
        copy.predict(numbers)
    np.testing.assert_array_equal(copy.fit(numbers, noisy).predict(numbers), net.predict(numbers))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cls", PAIR)
def test_every_device_that_is_there_learns_and_predicts(
    cls: type, device: str, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    net = cls(**{**FAST, "dropout": 0.0}, device=device).fit(numbers, noisy > 0)
    assert {p.device.type for p in net.module_.parameters()} == {"cpu"}
    on_the_cpu = cls(**{**FAST, "dropout": 0.0}, device="cpu").fit(numbers, noisy > 0)
    np.testing.assert_allclose(net.margin(numbers), on_the_cpu.margin(numbers), atol=1e-2)
    elsewhere = net.margin(numbers)
    np.testing.assert_allclose(net.set_params(device="cpu").margin(numbers), elsewhere, atol=1e-4)


# -- what is not kept


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("fitted_before", [False, True], ids=["new", "fitted before"])
@pytest.mark.parametrize("cls", PAIR)
def test_a_fit_that_breaks_off_leaves_the_net_unfitted(
    monkeypatch: pytest.MonkeyPatch,
    cls: type,
    fitted_before: bool,
    failure: type[BaseException],
    numbers: np.ndarray,
    noisy: np.ndarray,
) -> None:
    net = cls(**FAST)
    if fitted_before:
        net.fit(numbers, noisy > 0)

    def break_off(*args: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(hybridlearn.nets._base, "train", break_off)
        with pytest.raises(failure):
            net.fit(numbers, noisy > 0)
    assert [name for name in vars(net) if name.endswith("_")] == []
    for method in ("predict", "margin", "score"):
        with pytest.raises(NotFittedError):
            getattr(net, method)(*[numbers, noisy > 0][: 2 if method == "score" else 1])
    expected = cls(**FAST).fit(numbers, noisy > 0).margin(numbers)
    np.testing.assert_array_equal(net.fit(numbers, noisy > 0).margin(numbers), expected)


def test_an_interrupt_in_the_middle_of_training_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    passes = []

    def forward(self: TabularMLP, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        passes.append(len(x_num))
        if len(passes) == 8:
            raise KeyboardInterrupt
        return original(self, x_num, x_cat)

    original = TabularMLP.forward
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy)
    monkeypatch.setattr(TabularMLP, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        net.fit(numbers, noisy)
    assert not hasattr(net, "module_")
