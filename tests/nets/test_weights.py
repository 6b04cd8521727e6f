"""Weights of rows and of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import CLASSIFIERS, EXACT, NETS, REGRESSORS, target, tiny, without_dropout

from hybridlearn.nets import TabularMLPClassifier


@pytest.mark.parametrize("cls", NETS)
def test_equal_weights_are_no_weights_to_the_last_bit(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    expected = tiny(cls).fit(numbers, y).margin(numbers)
    for weight in (1.0, 4.0, 0.125):
        weighted = tiny(cls).fit(numbers, y, sample_weight=np.full(120, weight))
        np.testing.assert_array_equal(weighted.margin(numbers), expected)


@pytest.mark.parametrize("with_groups", [False, True], ids=["no groups", "groups"])
@pytest.mark.parametrize("cls", NETS)
def test_a_row_of_weight_zero_is_absent_to_the_last_bit(
    cls: type, with_groups: bool, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y, weight = target(cls, noisy), np.ones(120)
    weight[[0, 7, 8, 50]] = 0
    keep = weight > 0
    groups = np.random.default_rng(0).integers(0, 30, 120) if with_groups else None
    some_groups = groups[keep] if with_groups else None
    net = tiny(cls).fit(numbers, y, sample_weight=weight, groups=groups)
    absent = tiny(cls).fit(numbers[keep], y[keep], groups=some_groups)
    np.testing.assert_array_equal(net.margin(numbers), absent.margin(numbers))
    np.testing.assert_array_equal(net.stopping_rows_, np.flatnonzero(keep)[absent.stopping_rows_])


@pytest.mark.parametrize("cls", NETS)
def test_a_row_of_weight_two_is_that_row_twice(cls: type, noisy: np.ndarray) -> None:
    """In one batch, without early stopping, and where a row more does not move median and quartiles."""
    sign = np.where(np.arange(120) % 2, 1.0, -1.0)
    X = pd.DataFrame({"sign": sign, "digit": np.random.default_rng(0).choice(3, 120)})
    if "Module" not in cls.__name__:
        X = X.astype({"digit": "category"})
    y = target(cls, noisy)
    counts = np.ones(120, dtype=int)
    counts[:40] = 2
    twice = np.repeat(np.arange(120), counts)
    weighted = without_dropout(cls, **EXACT).fit(X, y, sample_weight=counts)
    repeated = without_dropout(cls, **EXACT).fit(X.iloc[twice], y[twice])
    np.testing.assert_allclose(weighted.margin(X), repeated.margin(X), atol=1e-4)
    plain = without_dropout(cls, **EXACT).fit(X, y)
    assert np.abs(plain.margin(X) - weighted.margin(X)).max() > 1e-3


@pytest.mark.parametrize("cls", REGRESSORS)
def test_the_target_is_standardised_by_the_weighted_rows(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    weight = np.linspace(0, 2, 120)
    net = tiny(cls, max_epochs=1).fit(numbers, noisy, sample_weight=weight)
    assert len(net.stopping_rows_) > 0, "they count too"
    mean = np.average(noisy, weights=weight)
    scale = np.sqrt(np.average((noisy - mean) ** 2, weights=weight))
    np.testing.assert_allclose(net.target_mean_, [mean])
    np.testing.assert_allclose(net.target_scale_, [scale])
    np.testing.assert_array_equal(net.target_range_, [[noisy[1:].min()], [noisy[1:].max()]])


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_class_weight_is_a_sample_weight(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y, weight = target(cls, noisy), np.linspace(0.5, 2, 120)
    by_class = tiny(cls, class_weight={"yes": 4, "no": 0.5}).fit(numbers, y, sample_weight=weight)
    by_row = tiny(cls).fit(numbers, y, sample_weight=weight * np.where(y == "yes", 4, 0.5))
    np.testing.assert_allclose(by_class.margin(numbers), by_row.margin(numbers), atol=1e-6)
    plain = tiny(cls).fit(numbers, y, sample_weight=weight)
    assert by_class.predict_proba(numbers)[:, 1].mean() > plain.predict_proba(numbers)[:, 1].mean() + 0.1


def test_balanced_classes_weigh_the_same(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = np.digitize(noisy, [-2, 2])
    balanced = tiny(TabularMLPClassifier, **EXACT, class_weight="balanced").fit(numbers, y)
    weight = (120 / 3 / np.bincount(y))[y]
    by_row = tiny(TabularMLPClassifier, **EXACT).fit(numbers, y, sample_weight=weight)
    np.testing.assert_allclose(balanced.margin(numbers), by_row.margin(numbers), atol=1e-6)


@pytest.mark.parametrize("class_weight", [{"rare": 5}, {"rare": 5, "yes": 2}, "balanced"], ids=str)
def test_a_class_weight_holds_where_no_row_of_the_class_stops(
    class_weight: Any, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = np.where(noisy > 0, "yes", "no").astype(object)
    y[5] = "rare"  # a class of one row trains
    net = tiny(TabularMLPClassifier, class_weight=class_weight).fit(numbers, y)
    assert 5 not in net.stopping_rows_
    assert net.predict_proba(numbers).shape == (120, 3)
    if class_weight == {"rare": 5}:
        by_row = tiny(TabularMLPClassifier).fit(numbers, y, sample_weight=np.where(y == "rare", 5, 1))
        np.testing.assert_allclose(net.margin(numbers), by_row.margin(numbers), atol=1e-6)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_class_weights_that_leave_nothing_or_name_another_class_are_named(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="class_weight"):
        tiny(cls, class_weight={False: 0, True: 0}).fit(numbers, noisy > 0)
    with pytest.raises(ValueError, match="are not in class_weight"):
        tiny(cls, class_weight={"maybe": 2}).fit(numbers, noisy > 0)
