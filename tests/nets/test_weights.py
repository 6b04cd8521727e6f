"""Weights of rows and of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _estimators import SMALL_NET

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

FAST = {**SMALL_NET, "random_state": 0}
PAIR = [TabularMLPClassifier, TabularMLPRegressor]


def target(cls: type, noisy: np.ndarray) -> np.ndarray:
    return noisy > 0 if cls is TabularMLPClassifier else noisy


def answer(net: Any, X: Any) -> np.ndarray:
    return net.margin(X)


@pytest.mark.parametrize("weight", [1.0, 4.0, 0.125])
@pytest.mark.parametrize("cls", PAIR)
def test_equal_weights_are_no_weights_to_the_last_bit(
    cls: type, weight: float, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    expected = answer(cls(**FAST).fit(numbers, y), numbers)
    weighted = cls(**FAST).fit(numbers, y, sample_weight=np.full(120, weight))
    np.testing.assert_array_equal(answer(weighted, numbers), expected)


@pytest.mark.parametrize("with_groups", [False, True], ids=["no groups", "groups"])
@pytest.mark.parametrize("cls", PAIR)
def test_a_row_of_weight_zero_is_absent_to_the_last_bit(
    cls: type, with_groups: bool, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y, weight = target(cls, noisy), np.ones(120)
    weight[[0, 7, 8, 50]] = 0
    keep = weight > 0
    groups = np.random.default_rng(0).integers(0, 30, 120) if with_groups else None
    some_groups = groups[keep] if with_groups else None
    net = cls(**FAST).fit(numbers, y, sample_weight=weight, groups=groups)
    absent = cls(**FAST).fit(numbers[keep], y[keep], groups=some_groups)
    np.testing.assert_array_equal(answer(net, numbers), answer(absent, numbers))
    np.testing.assert_array_equal(net.stopping_rows_, np.flatnonzero(keep)[absent.stopping_rows_])


@pytest.mark.parametrize("cls", PAIR)
def test_a_row_of_weight_two_is_that_row_twice(cls: type, noisy: np.ndarray) -> None:
    """In one batch, without early stopping, and where a row more does not move median and quartiles."""
    sign = np.where(np.arange(120) % 2, 1.0, -1.0)
    X = pd.DataFrame({"sign": sign, "c": np.random.default_rng(0).choice(list("abc"), 120)})
    y = target(cls, noisy)
    counts = np.ones(120, dtype=int)
    counts[:40] = 2
    twice = np.repeat(np.arange(120), counts)
    settings = {**FAST, "batch_size": 1000, "early_stopping": False, "dropout": 0.0}
    weighted = cls(**settings).fit(X, y, sample_weight=counts)
    repeated = cls(**settings).fit(X.iloc[twice], y[twice])
    np.testing.assert_allclose(answer(weighted, X), answer(repeated, X), atol=1e-4)
    assert np.abs(answer(cls(**settings).fit(X, y), X) - answer(weighted, X)).max() > 1e-3


def test_a_class_weight_is_a_sample_weight(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y, weight = np.where(noisy > 0, "yes", "no"), np.linspace(0.5, 2, 120)
    by_class = TabularMLPClassifier(**FAST, class_weight={"yes": 4, "no": 0.5}).fit(numbers, y, sample_weight=weight)
    by_row = TabularMLPClassifier(**FAST).fit(numbers, y, sample_weight=weight * np.where(y == "yes", 4, 0.5))
    np.testing.assert_allclose(answer(by_class, numbers), answer(by_row, numbers), atol=1e-6)
    plain = TabularMLPClassifier(**FAST).fit(numbers, y, sample_weight=weight)
    assert by_class.predict_proba(numbers)[:, 1].mean() > plain.predict_proba(numbers)[:, 1].mean() + 0.1


def test_balanced_classes_weigh_the_same(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = np.digitize(noisy, [-2, 2])
    settings = {**FAST, "early_stopping": False}
    balanced = TabularMLPClassifier(**settings, class_weight="balanced").fit(numbers, y)
    by_row = TabularMLPClassifier(**settings).fit(numbers, y, sample_weight=(120 / 3 / np.bincount(y))[y])
    np.testing.assert_allclose(answer(balanced, numbers), answer(by_row, numbers), atol=1e-6)


@pytest.mark.parametrize("class_weight", [{"rare": 5}, {"rare": 5, "yes": 2}, "balanced"], ids=str)
def test_a_class_weight_holds_where_no_row_of_the_class_stops(
    class_weight: Any, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = np.where(noisy > 0, "yes", "no").astype(object)
    y[5] = "rare"  # a class of one row trains
    net = TabularMLPClassifier(**FAST, class_weight=class_weight).fit(numbers, y)
    assert 5 not in net.stopping_rows_
    assert net.predict_proba(numbers).shape == (120, 3)
    if class_weight == {"rare": 5}:
        by_row = TabularMLPClassifier(**FAST).fit(numbers, y, sample_weight=np.where(y == "rare", 5, 1))
        np.testing.assert_allclose(answer(net, numbers), answer(by_row, numbers), atol=1e-6)


def test_class_weights_that_leave_nothing_are_named(numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class_weight"):
        TabularMLPClassifier(**FAST, class_weight={False: 0, True: 0}).fit(numbers, noisy > 0)


def test_a_class_weight_for_a_class_that_is_not_there_is_named(numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="are not in class_weight"):
        TabularMLPClassifier(**FAST, class_weight={"maybe": 2}).fit(numbers, noisy > 0)
