"""What cannot be used is named, with the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _estimators import SMALL_NET
from scipy import sparse

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.training import DivergedError

FAST = {**SMALL_NET, "random_state": 0}
PAIR = [TabularMLPClassifier, TabularMLPRegressor]
X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"])
Y = np.arange(30) % 2


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta"])
def test_an_unknown_device_is_named(cls: type, device: str) -> None:
    with pytest.raises(ValueError, match=f"device='{device}' is not"):
        cls(**FAST, device=device).fit(X, Y)


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize(
    ("later", "message"),
    [
        pytest.param(X.rename(columns={"b": "z"}), "unseen at fit time:\n- z(.|\n)*now missing:\n- b", id="renamed"),
        pytest.param(X[["a", "c", "b"]], "must be in the same order", id="another order"),
        pytest.param(X[["a", "b"]], "now missing:\n- c", id="fewer"),
        pytest.param(X.assign(d=1), "unseen at fit time:\n- d", id="more"),
        pytest.param(X.astype({"b": "str"}).assign(b="text"), "column 'b' was numeric", id="text for a number"),
        pytest.param(X.iloc[:0], r"0 sample\(s\)", id="no rows"),
    ],
)
def test_other_columns_than_in_fit_are_named(cls: type, later: pd.DataFrame, message: str) -> None:
    net = cls(**FAST).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        net.predict(later)


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"y": np.full(30, np.nan)}, "Input y contains NaN: 30 rows have no target", id="no target"),
        pytest.param({"y": [np.inf] * 30}, "Input y contains infinity", id="infinite target"),
        pytest.param({"y": Y[:10]}, "inconsistent numbers of samples", id="short target"),
        pytest.param(
            {"sample_weight": -np.ones(30)}, "Negative values in data passed to `sample_weight`", id="negative"
        ),
        pytest.param({"sample_weight": np.zeros(30)}, "at least one non-zero number", id="no weight"),
        pytest.param({"groups": np.zeros(30)}, "groups cannot be split.*set early_stopping=False", id="one group"),
        pytest.param({"groups": [None] * 30}, "groups is missing for 30 rows", id="missing groups"),
        pytest.param({"X": X.assign(y=Y), "y": pd.Series(Y, name="y")}, "column 'y' of X is the target", id="leak"),
        pytest.param({"X": X.set_axis(["a", "b", "a"], axis=1)}, r"\['a'\] stand more than once", id="duplicates"),
        pytest.param({"X": X.iloc[:1], "y": Y[:1]}, "n_samples = 1", id="one row"),
    ],
)
def test_what_fit_cannot_use_is_named(cls: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**FAST).fit(**{"X": X, "y": Y} | arguments)


def test_a_classifier_needs_classes() -> None:
    with pytest.raises(ValueError, match="TabularMLPClassifier needs at least 2 classes"):
        TabularMLPClassifier(**FAST).fit(X, np.ones(30))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        TabularMLPClassifier(**FAST).fit(X, X["a"] * 2)


def test_a_regressor_needs_numbers() -> None:
    with pytest.raises(ValueError, match="y must hold numbers for a regression"):
        TabularMLPRegressor(**FAST).fit(X, np.where(Y, "yes", "no"))


@pytest.mark.parametrize("cls", PAIR)
def test_one_group_is_no_obstacle_without_early_stopping(cls: type) -> None:
    assert cls(**FAST, early_stopping=False).fit(X, Y, groups=np.zeros(30)).n_iter_ == FAST["max_epochs"]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("cls", PAIR)
def test_every_fraction_splits_groups_too(cls: type, fraction: float) -> None:
    net = cls(**FAST, validation_fraction=fraction).fit(X, Y, groups=np.arange(30) // 3)
    assert 0 < len(net.stopping_rows_) < 30


def test_a_sparse_table_is_named_with_the_way_out() -> None:
    with pytest.raises(TypeError, match=r"sparse matrix; it needs a dense table: X.toarray\(\)"):
        TabularMLPRegressor(**FAST).fit(sparse.csr_array(X.to_numpy()), Y)


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_epochs": 0},
        {"learning_rate": 0.0},
        {"dropout": 1.0},
        {"validation_fraction": 1.0},
        {"hidden_layer_sizes": "256"},
        {"hidden_layer_sizes": (0,)},
        {"hidden_layer_sizes": (8, -3)},
        {"hidden_layer_sizes": (2.5,)},
        {"d_embedding": 1},
        {"device": 0},
        {"random_state": "seed"},
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(cls: type, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        cls(**FAST | wrong).fit(X, Y)


@pytest.mark.parametrize("cls", PAIR)
def test_a_rate_that_diverges_is_named(cls: type) -> None:
    net = cls(**{**FAST, "learning_rate": 1e30})
    with pytest.raises(DivergedError, match=r"lower learning_rate \(it is 1e\+30\)"):
        net.fit(X, Y)
    assert not hasattr(net, "module_")
