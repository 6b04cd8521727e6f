"""The losses that weights and temperatures minimise, against scikit-learn and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error

from hybridlearn._heads import probabilities
from hybridlearn._row_losses import row_losses
from hybridlearn.ensemble._loss import log_loss_gradient, mean_loss


def example(n_outputs: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=3, size=(9, n_outputs)), rng.integers(max(n_outputs, 2), size=9), rng.uniform(0, 2, 9)


@given(n_outputs=st.sampled_from([1, 3, 5]), seed=st.integers(0, 99))
def test_the_mean_is_scikit_learns_log_loss(n_outputs: int, seed: int) -> None:
    margin, target, weight = example(n_outputs, seed)
    labels = np.arange(max(n_outputs, 2))
    expected = log_loss(target, probabilities(margin), labels=labels, sample_weight=weight)
    assert mean_loss(margin, target, weight, classification=True) == pytest.approx(expected, rel=1e-9)


def test_a_regression_has_squared_errors() -> None:
    margin, target, weight = example(1, 0)
    expected = mean_squared_error(target, margin[:, 0], sample_weight=weight)
    assert mean_loss(margin, target, weight, classification=False) == pytest.approx(expected)


@given(n_outputs=st.sampled_from([1, 3, 5]), seed=st.integers(0, 99))
def test_the_gradient_is_that_of_finite_differences(n_outputs: int, seed: int) -> None:
    margin, target, _ = example(n_outputs, seed)
    step = 1e-5
    for k in range(n_outputs):
        nudge = step * np.eye(n_outputs)[k]
        up = row_losses(margin + nudge, target, classification=True)
        down = row_losses(margin - nudge, target, classification=True)
        slope = (up - down) / (2 * step)
        np.testing.assert_allclose(log_loss_gradient(margin, target)[:, k], slope, rtol=0, atol=1e-8)


def test_huge_margins_stay_finite() -> None:
    margin, target = np.array([[1e4], [-1e4], [1e4], [-1e4]]), np.array([1, 0, 0, 1])
    np.testing.assert_allclose(row_losses(margin, target, classification=True), [0, 0, 1e4, 1e4])
