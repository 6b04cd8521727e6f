"""Margins, probabilities and numbers: three views of the same outputs."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from _nets import CLASSIFIERS, REGRESSORS, tiny
from scipy.special import expit, logit, softmax

from hybridlearn.nets import TabularMLPClassifier

X = np.random.default_rng(0).normal(size=(120, 3))
NOISY = X[:, 0] - X[:, 1] + np.random.default_rng(1).normal(size=120)


@cache
def binary(cls: type) -> Any:
    return tiny(cls).fit(X, np.where(NOISY > 0, "yes", "no"))


@cache
def multiclass(cls: type) -> Any:
    return tiny(cls).fit(X, np.digitize(NOISY, [-1, 1]) * 10)


def outputs_by_hand(net: Any) -> np.ndarray:
    module = copy.deepcopy(net.module_)
    with torch.no_grad():
        if not hasattr(net, "encoder_"):
            return module(torch.tensor(X, dtype=torch.float32)).double().numpy()
        encoded = torch.tensor(net.encoder_.transform(X), dtype=torch.float32).double()
        return module.double()(encoded, torch.zeros(120, 0, dtype=torch.int64)).numpy()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_the_binary_margin_is_the_log_odds_of_the_module(cls: type) -> None:
    margin = binary(cls).margin(X)
    assert margin.shape == (120, 1)
    assert margin.dtype == np.float64
    np.testing.assert_allclose(margin, outputs_by_hand(binary(cls)), atol=1e-12)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_binary_views_agree(cls: type) -> None:
    net = binary(cls)
    margin, probability = net.margin(X)[:, 0], net.predict_proba(X)
    np.testing.assert_array_equal(net.decision_function(X), margin)
    np.testing.assert_allclose(probability, np.column_stack([expit(-margin), expit(margin)]), atol=1e-15)
    np.testing.assert_allclose(logit(probability[:, 1]), margin, atol=1e-9)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(net.predict(X), np.where(margin > 0, "yes", "no"))


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_multiclass_views_agree(cls: type) -> None:
    net = multiclass(cls)
    margin, probability = net.margin(X), net.predict_proba(X)
    assert margin.shape == probability.shape == (120, 3)
    assert probability.dtype == np.float64
    by_hand = outputs_by_hand(net)
    np.testing.assert_allclose(margin, by_hand - by_hand.mean(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(margin.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(net.decision_function(X), margin)
    np.testing.assert_allclose(probability, softmax(margin, axis=1), atol=1e-15)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(net.predict(X), margin.argmax(axis=1) * 10)


def test_two_classes_are_mirrored_when_their_names_are() -> None:
    """The label sorted second is the one whose log-odds are told."""
    line = np.linspace(-2, 2, 60)[:, None]
    rising, falling = (tiny(TabularMLPClassifier, max_epochs=30, early_stopping=False) for _ in range(2))
    rising.fit(line, np.where(line[:, 0] > 0, "b", "a"))
    falling.fit(line, np.where(line[:, 0] > 0, "a", "b"))
    assert (np.diff(rising.decision_function(line)[[0, -1]]) > 0).all()
    assert (np.diff(falling.decision_function(line)[[0, -1]]) < 0).all()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_the_margin_of_a_regression_is_its_prediction(cls: type) -> None:
    net = tiny(cls).fit(X, NOISY)
    margin = net.margin(X)
    assert margin.shape == (120, 1)
    np.testing.assert_array_equal(net.predict(X), margin[:, 0])
    in_units = outputs_by_hand(net) * net.target_scale_ + net.target_mean_
    np.testing.assert_allclose(margin, in_units.clip(NOISY.min(), NOISY.max()), atol=1e-12)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_regression_speaks_in_units_of_the_target(cls: type, scale: float) -> None:
    expected = tiny(cls, max_epochs=20).fit(X, NOISY).predict(X)
    net = tiny(cls, max_epochs=20).fit(X, scale * (NOISY + 3))
    assert net.score(X, scale * (NOISY + 3)) > 0.4
    np.testing.assert_allclose(net.predict(X) / scale - 3, expected, atol=0.01)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_predictions_stay_within_the_targets_seen(cls: type) -> None:
    net = tiny(cls).fit(X, NOISY)
    with torch.no_grad():
        net.module_.output.weight *= 100
    unclipped = outputs_by_hand(net)
    assert unclipped.min() < -10
    assert unclipped.max() > 10
    assert net.predict(X).min() == NOISY.min()
    assert net.predict(X).max() == NOISY.max()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_constant_target_is_predicted(cls: type) -> None:
    net = tiny(cls, max_epochs=2).fit(X, np.full(120, 0.1))
    np.testing.assert_allclose(net.predict(X), 0.1, atol=1e-12)


@pytest.mark.parametrize("cls", [*CLASSIFIERS, *REGRESSORS])
def test_the_output_layer_makes_the_margin_of_the_embedding(cls: type) -> None:
    net = tiny(cls, max_epochs=2).fit(X, NOISY > 0)
    embedding = net.embed(X)
    assert embedding.dtype == np.float64
    assert len(embedding) == 120
    features = torch.tensor(embedding, dtype=torch.float32)
    if "TabM" in cls.__name__:
        features = features.unflatten(1, (4, -1))
    with torch.no_grad():
        outputs = net.module_.output(features)
    outputs = (outputs.mean(dim=1) if outputs.ndim == 3 else outputs).double().numpy()
    if cls in REGRESSORS:
        outputs = (outputs * net.target_scale_ + net.target_mean_).clip(0, 1)
    np.testing.assert_allclose(net.margin(X), outputs, atol=1e-5)
