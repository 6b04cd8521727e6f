"""What a fitted net is made of: seeds, settings, devices, pickles, and nothing after an interrupt."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _nets import NETS, REGRESSORS, TABLE_NETS, module_class, target, tiny, without_dropout
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import hybridlearn.nets._base
from hybridlearn._device import present_devices
from hybridlearn.modules import FTTransformer, PeriodicEmbedding, PiecewiseLinearEmbedding, ResNet, TabM
from hybridlearn.nets import (
    FTTransformerRegressor,
    ModuleRegressor,
    TabMRegressor,
    TabularMLPRegressor,
    TabularResNetRegressor,
)
from hybridlearn.training import _net

DEVICES = ["auto", *present_devices()]


# -- seeds


@pytest.mark.parametrize("cls", NETS)
def test_the_seed_decides_to_the_last_bit(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    answers = []
    for global_seed, seed in [(1, 0), (2, 0), (1, 3)]:
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        answers.append(tiny(cls, random_state=seed).fit(numbers, noisy > 0).margin(numbers))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize("cls", NETS)
def test_a_second_fit_starts_anew(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls).fit(numbers, y)
    once = net.margin(numbers)
    np.testing.assert_array_equal(net.fit(numbers, y).margin(numbers), once)


def test_a_random_state_moves_on_and_none_is_new_each_time(numbers: np.ndarray, noisy: np.ndarray) -> None:
    rng = np.random.RandomState(0)
    for random_state in (rng, None):
        nets = [tiny(TabularMLPRegressor, random_state=random_state).fit(numbers, noisy) for _ in range(2)]
        assert not np.array_equal(nets[0].predict(numbers), nets[1].predict(numbers))


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0)], ids=["int", "RandomState"])
@pytest.mark.parametrize("cls", REGRESSORS)
def test_global_seeds_are_left_alone(cls: type, random_state: Any, numbers: np.ndarray, noisy: np.ndarray) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()
    net = tiny(cls, random_state=random_state, max_epochs=2).fit(numbers, noisy)
    net.partial_fit(numbers, noisy).predict(numbers)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]


# -- what is kept


SETTINGS = {
    "learning_rate": 0.03,
    "weight_decay": 0.04,
    "l1": 1e-5,
    "gradient_clipping": 3.0,
    "weight_averaging": 0.9,
    "batch_size": 32,
    "max_epochs": 3,
    "n_iter_no_change": 2,
}


@pytest.mark.parametrize("cls", NETS)
def test_parameters_reach_the_trainer(
    cls: type, monkeypatch: pytest.MonkeyPatch, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    seen = {}
    original = hybridlearn.nets._base.train

    def train(*args: Any, **kwargs: Any) -> Any:
        seen["settings"] = args[4]
        return original(*args, **kwargs)

    monkeypatch.setattr(hybridlearn.nets._base, "train", train)
    tiny(cls, **SETTINGS).fit(numbers, target(cls, noisy))
    assert {name: getattr(seen["settings"], name) for name in SETTINGS} == SETTINGS
    assert seen["settings"].device == torch.device("cpu")


@pytest.mark.parametrize(
    ("n_rows", "batch_size"), [(60, 32), (1500, 64), (3000, 128), (6000, 256), (20_000, 256)], ids=str
)
def test_the_automatic_batch_size_follows_the_rows_that_train(n_rows: int, batch_size: int) -> None:
    X = np.zeros((n_rows, 1))
    net = tiny(ModuleRegressor, batch_size="auto", early_stopping=False, max_epochs=1)
    same = tiny(ModuleRegressor, batch_size=batch_size, early_stopping=False, max_epochs=1)
    y = np.arange(float(n_rows))
    assert net.fit(X, y).history_ == same.fit(X, y).history_
    other = tiny(ModuleRegressor, batch_size=batch_size + 8, early_stopping=False, max_epochs=1).fit(X, y)
    assert net.history_ != other.history_


def layers(net: Any, kind: type) -> list[Any]:
    return [part for part in net.module_.modules() if isinstance(part, kind)]


def test_parameters_reach_embedding_and_encoder(mixed: pd.DataFrame) -> None:
    X, y = mixed[["age", "job"]], np.arange(120.0)
    settings = {"d_embedding": 6, "n_frequencies": 9, "frequency_scale": 2.0, "max_levels": 2, "max_epochs": 1}
    for cls in (TabularMLPRegressor, TabularResNetRegressor, TabMRegressor):
        net = tiny(cls, numeric_embedding="periodic", **settings).fit(X, y)
        (periodic,) = layers(net, PeriodicEmbedding)
        assert periodic.frequency.shape == (2, 9), "age and its indicator"
        assert periodic.weight.shape == (2, 9, 5), "the sixth is the number itself"
        assert periodic.frequency.detach().std() > 1
        assert layers(net, torch.nn.Embedding)[0].num_embeddings == 4
        for kind in ("quantile", "target"):
            (binned,) = layers(net.set_params(numeric_embedding=kind, n_bins=5).fit(X, y), PiecewiseLinearEmbedding)
            assert binned.weight.shape == (2, 5, 6)
        assert layers(net.set_params(numeric_embedding="none").fit(X, y), PiecewiseLinearEmbedding) == []


def test_parameters_reach_the_hidden_layers(numbers: np.ndarray, noisy: np.ndarray) -> None:
    mlp = tiny(TabularMLPRegressor, hidden_layer_sizes=[7, 5], dropout=0.25, max_epochs=1).fit(numbers, noisy)
    assert [layer.out_features for layer in layers(mlp, torch.nn.Linear)] == [7, 5, 1]
    assert {layer.p for layer in layers(mlp, torch.nn.Dropout)} == {0.25}
    sizes = {"n_blocks": 3, "d_block": 10, "dropout": 0.25, "max_epochs": 1}
    resnet = tiny(TabularResNetRegressor, d_hidden=6, **sizes).fit(numbers, noisy)
    (hidden,) = layers(resnet, ResNet)
    assert [block.change[1].weight.shape for block in hidden.blocks] == [(6, 10)] * 3
    assert {layer.p for layer in layers(resnet, torch.nn.Dropout)} == {0.25}
    tabm = tiny(TabMRegressor, k=6, **sizes).fit(numbers, noisy)
    (hidden,) = layers(tabm, TabM)
    assert [layer.weight.shape[1] for layer in hidden.layers] == [10] * 3
    assert {len(layer.scale_in) for layer in hidden.layers} == {6}
    assert {layer.p for layer in layers(tabm, torch.nn.Dropout)} == {0.25}
    assert tabm.embed(numbers).shape == (120, 60)
    transformer = tiny(FTTransformerRegressor, n_heads=5, d_hidden=6, attention_dropout=0.4, **sizes)
    (hidden,) = layers(transformer.fit(numbers, noisy), FTTransformer)
    assert len(hidden.blocks) == 3
    assert {block.attention.num_heads for block in hidden.blocks} == {5}
    assert {block.attention.dropout for block in hidden.blocks} == {0.4}
    assert {layer.p for layer in layers(transformer, torch.nn.Dropout)} == {0.25}
    attention = transformer.attention(numbers)
    assert attention.shape == (120, 3, 5, 4, 4)
    np.testing.assert_allclose(attention.sum(axis=-1), 1)


@pytest.mark.parametrize("cls", NETS)
def test_what_is_kept_is_plain(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, max_epochs=3, weight_averaging=0.9).fit(numbers, target(cls, noisy))
    assert type(net.history_) is list
    assert {type(value) for record in net.history_ for value in record.values()} <= {int, float}
    assert [record["epoch"] for record in net.history_] == list(range(1, net.n_iter_ + 1))
    assert type(net.module_) is module_class(cls)
    assert not any(part.training for part in net.module_.modules())
    assert not [name for name, value in vars(net).items() if "skorch" in type(value).__module__]
    net.margin(numbers)
    assert {p.dtype for p in net.module_.parameters()} == {torch.float32}


FRESH = """
import pickle, sys
import torch
for module, inputs, expected in pickle.load(sys.stdin.buffer):
    assert torch.equal(module(**inputs), expected)
assert "sklearn" not in sys.modules
"""


def test_a_fresh_process_gets_the_same_from_pickled_modules_and_needs_no_estimator(mixed: pd.DataFrame) -> None:
    X, y = mixed[["age", "job"]], mixed["age"].fillna(0)
    load = []
    for cls in (TabularMLPRegressor, TabularResNetRegressor, TabMRegressor, FTTransformerRegressor):
        net = tiny(cls, max_epochs=1).fit(X, y)
        n_numeric = len(net.encoder_.get_feature_names_out()) - 1
        inputs = {"x_num": torch.randn(5, n_numeric), "x_cat": torch.tensor([[0], [1], [2], [3], [4]])}
        load.append((net.module_, inputs, net.module_(**inputs).detach()))
    done = subprocess.run([sys.executable, "-c", FRESH], input=pickle.dumps(load), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("cls", NETS)
def test_a_clone_is_unfitted_and_learns_the_same(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, max_epochs=3).fit(numbers, target(cls, noisy))
    copy = clone(net)
    with pytest.raises(NotFittedError):
        copy.predict(numbers)
    np.testing.assert_array_equal(copy.fit(numbers, target(cls, noisy)).margin(numbers), net.margin(numbers))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cls", NETS)
def test_every_device_that_is_there_learns_and_predicts(
    cls: type, device: str, numbers: np.ndarray, noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # products in bfloat16, as on a GPU, round so much that nets of one seed part company
    monkeypatch.setattr(_net, "autocast", lambda device: nullcontext())
    net = without_dropout(cls, device=device).fit(numbers, noisy > 0)
    assert {p.device.type for p in net.module_.parameters()} == {"cpu"}
    on_the_cpu = without_dropout(cls, device="cpu").fit(numbers, noisy > 0)
    np.testing.assert_allclose(net.margin(numbers), on_the_cpu.margin(numbers), atol=1e-2)
    elsewhere = net.margin(numbers)
    np.testing.assert_allclose(net.set_params(device="cpu").margin(numbers), elsewhere, atol=1e-4)


# -- what is not kept


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("fitted_before", [False, True], ids=["new", "fitted before"])
@pytest.mark.parametrize("cls", NETS)
def test_a_fit_that_breaks_off_leaves_the_net_unfitted(
    monkeypatch: pytest.MonkeyPatch,
    cls: type,
    fitted_before: bool,
    failure: type[BaseException],
    numbers: np.ndarray,
    noisy: np.ndarray,
) -> None:
    net = tiny(cls)
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
    expected = tiny(cls).fit(numbers, noisy > 0).margin(numbers)
    np.testing.assert_array_equal(net.fit(numbers, noisy > 0).margin(numbers), expected)


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_an_interrupt_in_the_middle_of_training_is_not_swallowed(
    cls: type, monkeypatch: pytest.MonkeyPatch, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    passes = []

    def forward(self: torch.nn.Module, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        passes.append(len(x_num))
        if len(passes) == 8:
            raise KeyboardInterrupt
        return original(self, x_num, x_cat)

    original = module_class(cls).forward
    net = tiny(cls, max_epochs=3).fit(numbers, target(cls, noisy))
    monkeypatch.setattr(module_class(cls), "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        net.fit(numbers, target(cls, noisy))
    assert not hasattr(net, "module_")
