"""What cannot be used is named, with the way out."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import CLASSIFIERS, NETS, REGRESSORS, TABLE_NETS, tiny
from scipy import sparse
from sklearn.model_selection import KFold, cross_val_score

from hybridlearn.training import DivergedError

X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"])
Y = np.arange(30) % 2


@cache
def fitted(cls: type) -> Any:
    return tiny(cls, max_epochs=2).fit(X, Y)


@pytest.mark.parametrize("cls", NETS)
@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta"])
def test_an_unknown_device_is_named(cls: type, device: str) -> None:
    with pytest.raises(ValueError, match=f"device='{device}' is not"):
        tiny(cls, device=device).fit(X, Y)


@pytest.mark.parametrize("cls", NETS)
@pytest.mark.parametrize(
    ("later", "message"),
    [
        pytest.param(X.rename(columns={"b": "z"}), "unseen at fit time:\n- z(.|\n)*now missing:\n- b", id="renamed"),
        pytest.param(X[["a", "c", "b"]], "must be in the same order", id="another order"),
        pytest.param(X[["a", "b"]], "now missing:\n- c", id="fewer"),
        pytest.param(X.assign(d=1), "unseen at fit time:\n- d", id="more"),
        pytest.param(X.astype({"b": "str"}).assign(b="text"), "was numeric|could not convert string", id="text"),
        pytest.param(X.iloc[:0], r"0 sample\(s\)", id="no rows"),
    ],
)
def test_other_columns_than_in_fit_are_named(cls: type, later: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(cls).predict(later)


@pytest.mark.parametrize("cls", NETS)
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
        pytest.param({"X": X.iloc[:1], "y": Y[:1]}, "n_samples = 1", id="one row"),
        pytest.param({"sample_weight": np.eye(30)[0]}, "n_samples = 1", id="one row of weight"),
    ],
)
def test_what_fit_cannot_use_is_named(cls: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(cls).fit(**{"X": X, "y": Y} | arguments)


@pytest.mark.parametrize("cls", NETS)
def test_a_target_among_the_columns_is_named(cls: type) -> None:
    with pytest.raises(ValueError, match="column 'y' of X is the target itself"):
        tiny(cls).fit(X.assign(y=Y), pd.Series(Y, name="y"))


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_a_table_with_a_name_twice_or_a_sparse_one_is_named_with_the_way_out(cls: type) -> None:
    with pytest.raises(ValueError, match=r"\['a'\] stand more than once in X; rename or drop them"):
        tiny(cls).fit(X.set_axis(["a", "b", "a"], axis=1), Y)
    with pytest.raises(TypeError, match=r"sparse matrix; it needs a dense table: X.toarray\(\)"):
        tiny(cls).fit(sparse.csr_array(X.to_numpy()), Y)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_classifier_needs_classes(cls: type) -> None:
    with pytest.raises(ValueError, match=f"{cls.__name__} needs at least 2 classes"):
        tiny(cls).fit(X, np.ones(30))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        tiny(cls).fit(X, X["a"] * 2)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_regressor_needs_numbers(cls: type) -> None:
    with pytest.raises(ValueError, match="y must hold numbers for a regression"):
        tiny(cls).fit(X, np.where(Y, "yes", "no"))


@pytest.mark.parametrize("cls", NETS)
def test_one_group_is_no_obstacle_without_early_stopping(cls: type) -> None:
    assert tiny(cls, early_stopping=False, max_epochs=2).fit(X, Y, groups=np.zeros(30)).n_iter_ == 2


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("cls", NETS)
def test_every_fraction_splits_groups_too(cls: type, fraction: float) -> None:
    net = tiny(cls, validation_fraction=fraction, max_epochs=1).fit(X, Y, groups=np.arange(30) // 3)
    assert 0 < len(net.stopping_rows_) < 30


WRONG: list[dict[str, Any]] = [
    {"max_epochs": 0},
    {"learning_rate": 0.0},
    {"weight_decay": -1e-3},
    {"l1": -1e-3},
    {"gradient_clipping": 0.0},
    {"weight_averaging": 1.0},
    {"batch_size": 0},
    {"batch_size": "all"},
    {"validation_fraction": 1.0},
    {"warm_start": "yes"},
    {"device": 0},
    {"random_state": "seed"},
    {"loss": "hinge"},
    {"focal_gamma": -1.0},
    {"label_smoothing": 1.0},
    {"huber_delta": 0.0},
    {"quantile": 1.0},
    {"dropout": 1.0},
    {"attention_dropout": 1.0},
    {"max_levels": 0},
    {"numeric_embedding": "cubic"},
    {"d_embedding": 1},
    {"n_frequencies": 0},
    {"frequency_scale": 0.0},
    {"n_bins": 0},
    {"hidden_layer_sizes": "256"},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (0,)},
    {"hidden_layer_sizes": (8, -3)},
    {"hidden_layer_sizes": (2.5,)},
    {"n_blocks": 0},
    {"d_block": 0},
    {"d_hidden": 0},
    {"k": 0},
    {"n_heads": 3},
    {"module_params": ["n"]},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_parameter_is_named_by_every_net_that_has_it(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    having = [cls for cls in NETS if name in tiny(cls).get_params()]
    assert having
    for cls in having:
        with pytest.raises(ValueError, match=name):
            tiny(cls, **wrong).fit(X, Y)


@pytest.mark.parametrize("cls", [cls for cls in NETS if "FT" not in cls.__name__])
def test_a_rate_that_diverges_is_named(cls: type) -> None:
    """Of all but the transformer, whose last norm keeps it from going astray."""
    net = tiny(cls, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"lower learning_rate \(it is 1e\+30\)"):
        net.fit(X, Y)
    assert not hasattr(net, "module_")


# -- unusual, yet to be taken


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_a_column_of_thousands_of_levels_is_taken(cls: type) -> None:
    n_levels = 7518
    X = pd.DataFrame({"c": np.arange(n_levels).astype(str)}).astype("category")
    net = tiny(cls, max_epochs=1, batch_size=2048).fit(X, np.arange(n_levels) % 2)
    assert net.encoder_.cardinalities_.tolist() == [1002], "the most frequent thousand, unseen and missing"
    assert np.isfinite(net.margin(X)).all()


@pytest.mark.parametrize("cls", NETS)
def test_a_column_may_be_constant_in_one_fold(cls: type) -> None:
    numbers = X.assign(d=np.repeat([1.0, 7.0], 15))
    scores = cross_val_score(tiny(cls, max_epochs=1), numbers, Y, cv=KFold(2), error_score="raise")
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
@pytest.mark.parametrize("cls", TABLE_NETS)
def test_numbers_near_the_ends_of_the_floats_are_taken(cls: type, scale: float) -> None:
    assert np.isfinite(tiny(cls, max_epochs=1).fit(X * scale, Y).margin(X * scale)).all()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
@pytest.mark.parametrize("cls", REGRESSORS)
def test_targets_near_the_ends_of_the_floats_are_predicted_in_their_units(cls: type, scale: float) -> None:
    expected = tiny(cls, max_epochs=5).fit(X, X["a"] + 1).predict(X)
    predicted = tiny(cls, max_epochs=5).fit(X, (X["a"] + 1) * scale).predict(X)
    np.testing.assert_allclose(predicted / scale, expected, atol=1e-2)


@pytest.mark.parametrize("cls", NETS)
def test_steps_of_one_row_and_predictions_of_one_row_are_taken(cls: type) -> None:
    net = tiny(cls, batch_size=1, max_epochs=1).fit(X, Y)
    np.testing.assert_allclose(net.margin(X.iloc[:1]), net.margin(X)[:1], atol=1e-6)


@pytest.mark.parametrize("cls", NETS)
def test_two_rows_are_enough(cls: type) -> None:
    net = tiny(cls, early_stopping=False, max_epochs=1).fit(X.iloc[:2], Y[:2])
    assert np.isfinite(net.margin(X)).all()
