"""Modules of the user's own: any class, any function, arrays of any rank."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _estimators import Perceptron
from _nets import NETS, target, tiny
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from torch import Tensor, nn

from hybridlearn.nets import ModuleClassifier, ModuleRegressor

PAIR = [ModuleClassifier, ModuleRegressor]
TESTS = Path(__file__).parents[1]
IMAGES = np.random.default_rng(0).normal(size=(60, 2, 5, 5))
BRIGHT = (IMAGES.mean(axis=(1, 2, 3)) > 0).astype(int)
LEARNS = {"max_epochs": 30, "early_stopping": False}


class Flat(nn.Module):
    def __init__(self, n_outputs: int):
        super().__init__()
        self.linear = nn.LazyLinear(n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.linear(X.flatten(1))


class Normed(nn.Module):
    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, X: Tensor) -> Tensor:
        return self.layers(X)


class Returns(nn.Linear):
    """Returns something else than shape (n_rows, n_outputs)."""

    def __init__(self, what: str, n_features: int, n_outputs: int):
        super().__init__(n_features, n_outputs)
        self.what = what

    def forward(self, X: Tensor) -> Any:
        outputs = super().forward(X)
        wrong = {"no axis": outputs[:, 0], "tuple": (outputs, outputs), "three axes": outputs.unsqueeze(1)}
        return wrong[self.what]


def two_layers(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 4), nn.Tanh(), nn.Linear(4, n_outputs))


# -- which modules


@pytest.mark.parametrize("cls", PAIR)
def test_the_fitted_module_is_of_the_users_own_class(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, module_params={"d_hidden": 7}).fit(numbers, target(cls, noisy))
    assert type(net.module_) is Perceptron
    assert net.module_.hidden[0].weight.shape == (7, 3)
    assert net.row_shape_ == (3,)


MAKERS = [two_layers, partial(Perceptron, d_hidden=3), lambda: nn.Linear(3, 1)]


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("module", MAKERS, ids=["function", "partial", "lambda"])
def test_a_function_may_make_the_module(cls: type, module: Any, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, module=module, **LEARNS).fit(numbers, target(cls, noisy))
    assert net.score(numbers, target(cls, noisy)) > 0.25


@pytest.mark.parametrize("cls", PAIR)
def test_sizes_that_the_user_gives_are_not_overruled(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must return shape \(n_rows, 1\).*returned \(2, 4\), not \(2, 1\)"):
        tiny(cls, module_params={"n_outputs": 4}).fit(numbers, target(cls, noisy))


@pytest.mark.parametrize("cls", PAIR)
def test_lazy_layers_get_their_shapes_and_the_seed(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    margins = []
    for seed in (0, 0, 1):
        net = tiny(cls, module=Flat, random_state=seed, max_epochs=1).fit(numbers, target(cls, noisy))
        margins.append(net.margin(numbers))
    assert type(net.module_.linear) is nn.Linear
    np.testing.assert_array_equal(margins[0], margins[1])
    assert not np.array_equal(margins[0], margins[2])


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize(
    ("module", "message"),
    [
        pytest.param(nn.Linear(3, 1), "module must be a class of torch.nn.Module.*module_params", id="instance"),
        pytest.param("Linear", "module must be a class of torch.nn.Module.*'Linear'", id="name"),
        pytest.param(None, "module must be a class of torch.nn.Module", id="none"),
        pytest.param(dict, "module must be a class of torch.nn.Module.*<class 'dict'>", id="another class"),
        pytest.param(lambda: nn.Linear, "module must make a torch.nn.Module, got a type", id="a class from a function"),
    ],
)
def test_what_is_no_module_is_named(
    cls: type, module: Any, message: str, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    net = tiny(cls, module=module)
    with pytest.raises(TypeError, match=message):
        net.fit(numbers, target(cls, noisy))
    assert not hasattr(net, "module_")


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize(
    ("what", "got"), [("no axis", r"\(2,\)"), ("tuple", "tuple"), ("three axes", r"\(2, 1, 1\)")], ids=str
)
def test_a_wrong_output_is_named(cls: type, what: str, got: str, numbers: np.ndarray, noisy: np.ndarray) -> None:
    wanted = rf"Returns must return shape \(n_rows, 1\).*inputs \(2, 3\) it returned {got}, not \(2, 1\)"
    with pytest.raises(ValueError, match=wanted):
        tiny(cls, module=Returns, module_params={"what": what}).fit(numbers, target(cls, noisy))


def test_a_module_must_be_given() -> None:
    for cls in PAIR:
        with pytest.raises(TypeError, match="module"):
            cls()


# -- which arrays


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("X", [IMAGES, IMAGES[:, 0], IMAGES[:, 0, 0], IMAGES.tolist()], ids=["4", "3", "2", "lists"])
def test_arrays_of_any_rank_are_taken(cls: type, X: Any) -> None:
    net = tiny(cls, module=Flat).fit(X, BRIGHT)
    assert net.row_shape_ == np.shape(X)[1:]
    assert net.n_features_in_ == np.shape(X)[1]
    assert net.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="feature"):
        net.fit(X, BRIGHT).predict(np.zeros((2, 9)))


def test_images_are_learned_from_weighed_and_split() -> None:
    net = tiny(ModuleClassifier, module=Flat, **LEARNS).fit(IMAGES, BRIGHT)
    assert net.score(IMAGES, BRIGHT) > 0.9
    weight = (np.arange(60) % 3 > 0).astype(float)
    weighted = tiny(ModuleClassifier, module=Flat).fit(IMAGES, BRIGHT, sample_weight=weight, groups=np.arange(60) // 2)
    assert weight[weighted.stopping_rows_].all()
    absent = tiny(ModuleClassifier, module=Flat)
    absent.fit(IMAGES[weight > 0], BRIGHT[weight > 0], groups=(np.arange(60) // 2)[weight > 0])
    np.testing.assert_array_equal(weighted.margin(IMAGES), absent.margin(IMAGES))
    assert np.isfinite(cross_val_score(net, IMAGES, BRIGHT, cv=2, error_score="raise")).all()


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("shape", [(4, 2, 5), (4, 2, 5, 4), (4, 3, 5, 5), (4, 2, 5, 5, 1)], ids=str)
def test_rows_of_another_shape_are_named(cls: type, shape: tuple[int, ...]) -> None:
    net = tiny(cls, module=Flat, max_epochs=1).fit(IMAGES, BRIGHT)
    for method in (net.predict, net.margin, lambda X: net.partial_fit(X, BRIGHT[:4])):
        with pytest.raises(ValueError, match=r"X has rows of shape .*, those in fit were \(2, 5, 5\)"):
            method(np.zeros(shape))


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("X", [IMAGES, IMAGES[:, 0, 0]], ids=["images", "table"])
def test_what_is_missing_or_infinite_is_refused(cls: type, value: float, X: np.ndarray) -> None:
    wrong = X.copy()
    wrong[3, 1] = value
    net = tiny(cls, module=Flat, max_epochs=1)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        net.fit(wrong, BRIGHT)
    net.fit(X, BRIGHT)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        net.predict(wrong)


@pytest.mark.parametrize("cls", PAIR)
def test_a_number_beyond_float32_is_named_as_such(cls: type) -> None:
    """Else it is infinite for the module, and the learning rate would be blamed."""
    X = IMAGES[:, 0, 0].copy()
    X[3, 1] = 1e300
    with pytest.raises(ValueError, match=r"too large|infinity|float32"):
        tiny(cls, module=Flat).fit(X, BRIGHT)


# -- what the estimator can do


@pytest.mark.parametrize("cls", PAIR)
def test_an_embedding_is_there_where_the_module_has_one(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    with pytest.raises(NotFittedError):
        tiny(cls).embed(numbers)
    assert tiny(cls).fit(numbers, y).embed(numbers).shape == (120, 16)
    with pytest.raises(TypeError, match=r"Sequential has no method embed; give it one with forward's arguments"):
        tiny(cls, module=two_layers).fit(numbers, y).embed(numbers)


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("n_rows", [65, 33, 34, 2], ids=str)
def test_batch_norm_meets_no_batch_of_one_row(cls: type, n_rows: int, numbers: np.ndarray) -> None:
    net = tiny(cls, module=Normed, batch_size=32, early_stopping=False, max_epochs=2)
    y = np.arange(n_rows) % 2
    assert np.isfinite(net.fit(numbers[:n_rows], y).partial_fit(numbers[:n_rows], y).margin(numbers)).all()


@pytest.mark.parametrize("cls", PAIR)
def test_averaged_weights_come_with_statistics_of_batch_norm_that_fit(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    """The mean of the weights predicts with running statistics: those of the start would be 0 and 1."""
    net = tiny(cls, module=Normed, weight_averaging=0.9, early_stopping=False, max_epochs=20)
    shifted = numbers * 100 + 1000
    net.fit(shifted, target(cls, noisy))
    first, norm = net.module_.layers[:2]
    with torch.no_grad():
        seen = first(torch.tensor(shifted, dtype=torch.float32))
    spread = seen.std(dim=0)
    assert ((norm.running_mean - seen.mean(dim=0)).abs() < 2 * spread + 20).all()
    assert (norm.running_var > 10).all()


@pytest.mark.parametrize("cls", PAIR)
def test_steps_of_one_row_are_too_few_for_batch_norm(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, module=Normed, batch_size=1)
    with pytest.raises(ValueError, match="steps of one row are too few for the module's batch norm"):
        net.fit(numbers, target(cls, noisy))
    one_row = tiny(cls, module=Normed, early_stopping=False, max_epochs=1).fit(numbers, np.arange(120) % 2)
    with pytest.raises(ValueError, match="give 2 rows, batch_size=2 or more"):
        one_row.partial_fit(numbers[:1], [1])


@pytest.mark.parametrize("cls", PAIR)
def test_arguments_of_the_module_are_no_parameters_of_the_net_but_can_be_searched(cls: type) -> None:
    net = tiny(cls, module_params={"d_hidden": 4})
    assert "module_params" in net.get_params()
    assert net.set_params(module_params={"d_hidden": 5}).module_params == {"d_hidden": 5}
    with pytest.raises(TypeError, match="width"):
        net.set_params(module_params={"width": 5}).fit(np.zeros((4, 2)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="module_params"):
        net.set_params(module_params=[("d_hidden", 4)]).fit(np.zeros((4, 2)), [0, 1, 0, 1])


# -- several processes


NOTEBOOK = """
import numpy as np
from sklearn.model_selection import cross_val_score
from torch import nn
from hybridlearn.crossfit import cross_fit
from hybridlearn.nets import ModuleClassifier


class Mine(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.only = nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.only(X)


if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(60, 3))
    net = ModuleClassifier(module=Mine, max_epochs=5, random_state=0, device="cpu")
    scores = [cross_val_score(net, X, X[:, 0] > 0, cv=2, n_jobs=n, error_score="raise") for n in (1, 2)]
    assert (scores[0] == scores[1]).all(), scores
    folds = [cross_fit([("mine", net)], X, X[:, 0] > 0, cv=2, n_jobs=n, random_state=0) for n in (1, 2)]
    assert type(folds[1].models["mine"][0].estimator.module_) is Mine
    print("done")
"""


def test_a_class_of_the_main_script_survives_several_processes(tmp_path: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr


LOAD = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
X, nets = pickle.load(sys.stdin.buffer)
for net, margin in nets:
    assert np.array_equal(net.margin(X), margin), net
print(len(nets))
"""


def test_a_net_pickled_here_says_the_same_elsewhere_to_the_last_bit(numbers: np.ndarray, noisy: np.ndarray) -> None:
    nets = [tiny(cls, max_epochs=2).fit(numbers, target(cls, noisy)) for cls in NETS]
    load = pickle.dumps((numbers, [(net, net.margin(numbers)) for net in nets]))
    fresh = [sys.executable, "-c", LOAD, str(TESTS)]
    done = subprocess.run(fresh, input=load, capture_output=True, check=False)
    assert done.stdout.decode() == f"{len(NETS)}\n", done.stderr.decode()


@pytest.mark.parametrize("cls", PAIR)
def test_a_module_that_cannot_be_made_or_run_is_named(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    with pytest.raises(TypeError, match=r"cannot be made with module_params=\{'depth': 3\}"):
        tiny(cls, module_params={"depth": 3}).fit(numbers, y)
    wide = {"module": nn.Linear, "module_params": {"in_features": 4, "out_features": 1}}
    with pytest.raises(ValueError, match=r"module Linear cannot take float32 inputs of shape \(2, 3\)"):
        tiny(cls, **wide).fit(numbers, y)
