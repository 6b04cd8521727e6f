"""Margins, probabilities and numbers: three views of the same outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _estimators import SMALL_NET
from scipy.special import expit, logit, softmax

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

FAST = {**SMALL_NET, "random_state": 0}


@pytest.fixture(scope="module")
def binary(numbers: np.ndarray, noisy: np.ndarray) -> TabularMLPClassifier:
    return TabularMLPClassifier(**FAST).fit(numbers, np.where(noisy > 0, "yes", "no"))


@pytest.fixture(scope="module")
def multiclass(numbers: np.ndarray, noisy: np.ndarray) -> TabularMLPClassifier:
    return TabularMLPClassifier(**FAST).fit(numbers, np.digitize(noisy, [-1, 1]) * 10)


def outputs_by_hand(net: TabularMLPClassifier | TabularMLPRegressor, X: np.ndarray) -> np.ndarray:
    encoded = torch.tensor(net.encoder_.transform(X), dtype=torch.float32).double()
    with torch.no_grad():
        return net.module_.double()(encoded, torch.zeros(len(X), 0, dtype=torch.int64)).numpy()


def test_the_binary_margin_is_the_logit_of_the_module(binary: TabularMLPClassifier, numbers: np.ndarray) -> None:
    margin = binary.margin(numbers)
    assert margin.shape == (120, 1)
    assert margin.dtype == np.float64
    np.testing.assert_allclose(margin, outputs_by_hand(binary, numbers), atol=1e-12)


def test_binary_views_agree(binary: TabularMLPClassifier, numbers: np.ndarray) -> None:
    margin, probability = binary.margin(numbers)[:, 0], binary.predict_proba(numbers)
    np.testing.assert_array_equal(binary.decision_function(numbers), margin)
    np.testing.assert_allclose(probability, np.column_stack([expit(-margin), expit(margin)]), atol=1e-15)
    np.testing.assert_allclose(logit(probability[:, 1]), margin, atol=1e-9)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(binary.predict(numbers), np.where(margin > 0, "yes", "no"))


def test_multiclass_views_agree(multiclass: TabularMLPClassifier, numbers: np.ndarray) -> None:
    margin, probability = multiclass.margin(numbers), multiclass.predict_proba(numbers)
    assert margin.shape == probability.shape == (120, 3)
    assert probability.dtype == np.float64
    by_hand = outputs_by_hand(multiclass, numbers)
    np.testing.assert_allclose(margin, by_hand - by_hand.mean(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(margin.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(multiclass.decision_function(numbers), margin)
    np.testing.assert_allclose(probability, softmax(margin, axis=1), atol=1e-15)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-15)
    log_probability = np.log(probability)
    np.testing.assert_allclose(log_probability - log_probability.mean(axis=1, keepdims=True), margin, atol=1e-9)
    np.testing.assert_array_equal(multiclass.predict(numbers), margin.argmax(axis=1) * 10)


def test_two_classes_are_mirrored_when_their_names_are() -> None:
    """The label sorted second is the one whose log-odds are told."""
    X = np.linspace(-2, 2, 60)[:, None]
    learns = {**FAST, "max_epochs": 30, "early_stopping": False}
    rising = TabularMLPClassifier(**learns).fit(X, np.where(X[:, 0] > 0, "b", "a"))
    falling = TabularMLPClassifier(**learns).fit(X, np.where(X[:, 0] > 0, "a", "b"))
    assert (np.diff(rising.decision_function(X)[[0, -1]]) > 0).all()
    assert (np.diff(falling.decision_function(X)[[0, -1]]) < 0).all()


def test_the_margin_of_a_regression_is_its_prediction(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy)
    margin = net.margin(numbers)
    assert margin.shape == (120, 1)
    np.testing.assert_array_equal(net.predict(numbers), margin[:, 0])
    in_units = outputs_by_hand(net, numbers) * net.target_scale_ + net.target_mean_
    np.testing.assert_allclose(margin, in_units, atol=1e-12)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_a_regression_speaks_in_units_of_the_target(numbers: np.ndarray, noisy: np.ndarray, scale: float) -> None:
    learns = {**FAST, "max_epochs": 40}
    expected = TabularMLPRegressor(**learns).fit(numbers, noisy).predict(numbers)
    net = TabularMLPRegressor(**learns).fit(numbers, scale * (noisy + 3))
    assert net.score(numbers, scale * (noisy + 3)) > 0.5
    np.testing.assert_allclose(net.predict(numbers) / scale - 3, expected, atol=0.01)


def test_the_target_is_standardised_by_the_weighted_rows_that_train(numbers: np.ndarray, noisy: np.ndarray) -> None:
    weight = np.linspace(0.1, 2, 120)
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy, sample_weight=weight)
    trains = np.setdiff1d(np.arange(120), net.stopping_rows_)
    mean = np.average(noisy[trains], weights=weight[trains])
    variance = np.average((noisy[trains] - mean) ** 2, weights=weight[trains])
    assert net.target_mean_ == pytest.approx(mean)
    assert net.target_scale_ == pytest.approx(np.sqrt(variance))


def test_a_constant_target_is_predicted(numbers: np.ndarray) -> None:
    net = TabularMLPRegressor(**FAST).fit(numbers, np.full(120, 0.1))
    np.testing.assert_allclose(net.predict(numbers), 0.1, atol=1e-12)
