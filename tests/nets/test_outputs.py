"""Targets of several columns: numbers, or labels of which a row may have several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import CLASSIFIERS, EXACT, NETS, REGRESSORS, tiny, without_dropout
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
NUMBERS = np.column_stack([X[:, 0] - X[:, 1], 5e6 + 1e6 * (X[:, 1] + X[:, 2]), 1e-6 * X[:, 2], np.full(120, 3.0)])
LABELS = np.column_stack([X[:, 0] > 0, X[:, 0] > -1, X[:, 1] + X[:, 2] > 0]).astype(int)
LEARNS = {"max_epochs": 30, "early_stopping": False}


def several(cls: type) -> np.ndarray:
    return LABELS if cls in CLASSIFIERS else NUMBERS


# -- several numbers


@pytest.mark.parametrize("cls", REGRESSORS)
def test_each_output_is_predicted_in_its_own_units(cls: type) -> None:
    net = without_dropout(cls, **LEARNS).fit(X, NUMBERS)
    predicted = net.predict(X)
    assert predicted.shape == NUMBERS.shape
    assert predicted.dtype == np.float64
    np.testing.assert_array_equal(net.margin(X), predicted)
    assert (r2_score(NUMBERS[:, :3], predicted[:, :3], multioutput="raw_values") > 0.7).all()
    np.testing.assert_array_equal(predicted[:, 3], 3.0)
    assert net.target_mean_.shape == net.target_scale_.shape == (4,)
    np.testing.assert_array_equal(net.target_range_, [NUMBERS.min(axis=0), NUMBERS.max(axis=0)])
    assert net.score(X, NUMBERS) > 0.7


@pytest.mark.parametrize("cls", REGRESSORS)
def test_the_order_of_the_outputs_hardly_matters(cls: type) -> None:
    order = [2, 0, 1]
    straight = without_dropout(cls, **LEARNS).fit(X, NUMBERS[:, :3]).predict(X)
    permuted = without_dropout(cls, **LEARNS).fit(X, NUMBERS[:, order]).predict(X)
    difference = (straight[:, order] - permuted) / NUMBERS[:, order].std(axis=0)
    assert np.sqrt((difference**2).mean(axis=0)).max() < 0.5


@pytest.mark.parametrize("cls", REGRESSORS)
def test_one_column_of_numbers_is_one_output(cls: type) -> None:
    expected = tiny(cls, max_epochs=2).fit(X, NUMBERS[:, 0]).predict(X)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        predicted = tiny(cls, max_epochs=2).fit(X, NUMBERS[:, :1]).predict(X)
    np.testing.assert_array_equal(predicted, expected)


# -- several labels


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_labels_are_learned_side_by_side(cls: type) -> None:
    net = without_dropout(cls, **LEARNS).fit(X, LABELS)
    assert net.multilabel_
    assert net.classes_.tolist() == [0, 1, 2]
    probability, margin, predicted = net.predict_proba(X), net.margin(X), net.predict(X)
    assert probability.shape == margin.shape == predicted.shape == (120, 3)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert np.abs(probability.sum(axis=1) - 1).max() > 0.5
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-margin)))
    np.testing.assert_array_equal(net.decision_function(X), margin)
    assert predicted.dtype.kind == "i"
    np.testing.assert_array_equal(predicted, (probability > 0.5).astype(int))
    assert ((predicted == LABELS).mean(axis=0) > 0.9).all()
    assert net.score(X, LABELS) == (predicted == LABELS).all(axis=1).mean()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_two_labels_are_not_two_classes(cls: type) -> None:
    net = tiny(cls).fit(X, LABELS[:, :2])
    assert net.margin(X).shape == (120, 2)
    assert net.predict(X).shape == (120, 2)
    assert np.abs(net.predict_proba(X).sum(axis=1) - 1).max() > 0.01


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_one_column_of_labels_is_one_label_a_row(cls: type) -> None:
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        net = tiny(cls, max_epochs=2).fit(X, LABELS[:, :1])
    assert not net.multilabel_
    assert net.predict_proba(X).shape == (120, 2)
    np.testing.assert_array_equal(net.margin(X), tiny(cls, max_epochs=2).fit(X, LABELS[:, 0]).margin(X))


@pytest.mark.parametrize("dtype", ["int8", "float64", "bool", "Int64", "boolean"])
def test_the_dtype_of_the_labels_does_not_matter(dtype: str) -> None:
    (cls, *_) = CLASSIFIERS
    expected = tiny(cls, max_epochs=2).fit(X, LABELS).margin(X)
    labels = pd.DataFrame(LABELS, columns=["a", "b", "c"]).astype(dtype)
    np.testing.assert_array_equal(tiny(cls, max_epochs=2).fit(X, labels).margin(X), expected)


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize(
    "y",
    [
        pytest.param(LABELS * 2 - 1, id="-1 and 1"),
        pytest.param(LABELS + 1, id="1 and 2"),
        pytest.param(LABELS * 5, id="0 and 5"),
        pytest.param(LABELS * 3 + LABELS[::-1], id="0 to 4"),
        pytest.param(X, id="continuous"),
        pytest.param(LABELS * 0.5, id="halves"),
    ],
)
def test_labels_other_than_zeros_and_ones_are_named(cls: type, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match="zeros and ones"):
        tiny(cls).fit(X, y)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_class_weights_are_for_one_label_a_row(cls: type) -> None:
    for class_weight in ("balanced", {0: 1, 1: 2}):
        with pytest.raises(ValueError, match="class_weight is for one label a row; with several give sample_weight"):
            tiny(cls, class_weight=class_weight).fit(X, LABELS)


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize("loss", ["focal", "logit_adjusted"])
def test_every_loss_knows_several_labels(cls: type, loss: str) -> None:
    net = without_dropout(cls, loss=loss, **LEARNS).fit(X, LABELS)
    assert ((net.predict(X) == LABELS).mean(axis=0) > 0.75).all()


# -- both


@pytest.mark.parametrize("cls", NETS)
def test_a_frame_and_an_array_of_targets_say_the_same(cls: type) -> None:
    y = pd.DataFrame(several(cls)).add_prefix("y").set_index(np.arange(120)[::-1])
    expected = tiny(cls, max_epochs=2).fit(X, several(cls)).margin(X)
    for same in (y, several(cls).tolist()):
        np.testing.assert_allclose(tiny(cls, max_epochs=2).fit(X, same).margin(X), expected, rtol=1e-9)


@pytest.mark.parametrize("cls", NETS)
def test_a_weight_of_two_is_a_row_twice_of_several_outputs(cls: type) -> None:
    signs = np.where(X > 0, 1.0, -1.0)
    signs[:60] = -signs[60:]  # medians and quartiles stay where they are
    y = several(cls)
    counts = np.tile(np.r_[np.full(20, 2), np.ones(40)], 2).astype(int)
    twice = np.repeat(np.arange(120), counts)
    weighted = without_dropout(cls, **EXACT).fit(signs, y, sample_weight=counts)
    repeated = without_dropout(cls, **EXACT).fit(signs[twice], y[twice])
    unit = np.abs(y).max(axis=0) if cls in REGRESSORS else 1
    np.testing.assert_allclose(weighted.margin(signs) / unit, repeated.margin(signs) / unit, atol=1e-3)
    plain = without_dropout(cls, **EXACT).fit(signs, y)
    assert np.abs((plain.margin(signs) - weighted.margin(signs)) / unit).max() > 3e-3


@pytest.mark.parametrize("cls", NETS)
def test_groups_keep_together_also_with_several_outputs(cls: type) -> None:
    net = tiny(cls, max_epochs=1).fit(X, several(cls), groups=np.arange(120) // 4)
    assert len(net.stopping_rows_) > 0
    assert (np.bincount(net.stopping_rows_ // 4, minlength=30) % 4 == 0).all()


def faulty(values: Any, place: Any = np.nan) -> Any:
    values = np.array(values, dtype=float)
    values[3, 1] = place
    return values


@pytest.mark.parametrize("cls", NETS)
def test_what_is_wrong_with_several_outputs_is_named(cls: type) -> None:
    net, y, frame = tiny(cls), several(cls), pd.DataFrame(X, columns=["a", "b", "c"])
    named = pd.DataFrame(y).add_prefix("y")
    for wrong, message in [
        (faulty(y), "Input y contains NaN"),
        (pd.DataFrame(faulty(y)), "contains NaN: 1 rows have no target"),
        (faulty(y, np.inf), "Input y contains infinity"),
        (y[:50], "inconsistent numbers of samples"),
        (y.astype(str).astype(object) + "?", "could not convert string|must hold"),
        (np.stack([y, y]), "array with dim 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            net.fit(frame, wrong)
    with pytest.raises(ValueError, match="column 'y1' of X is the target itself"):
        net.fit(frame.assign(y1=y[:, 1]), named)
