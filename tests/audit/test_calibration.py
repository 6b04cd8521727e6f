"""How far probabilities are from what happened, by hand and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from hybridlearn.audit import expected_calibration_error, reliability_curve


def test_by_hand() -> None:
    """Bins (.1 .1 | no no), (.3 .5 | yes no), (.9 .9 | yes no): errors .1, .1, .4, two rows each."""
    y_prob = [0.1, 0.9, 0.3, 0.1, 0.5, 0.9]
    happened = [False, True, True, False, False, False]
    curve = reliability_curve(happened, y_prob, n_bins=3)
    assert curve["rows"].to_list() == [2, 2, 2]
    assert curve["predicted"].to_list() == pytest.approx([0.1, 0.4, 0.9])
    assert curve["observed"].to_list() == [0.0, 0.5, 0.5]
    assert expected_calibration_error(happened, y_prob, n_bins=3) == pytest.approx(0.2)


def test_bins_of_unequal_size_are_weighted() -> None:
    """Ties stay together: four rows at .2 (none happened), one at .7 (happened)."""
    happened, y_prob = [0, 0, 0, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.7]
    curve = reliability_curve(happened, y_prob, n_bins=5)
    assert curve["rows"].to_list() == [4, 1]
    assert expected_calibration_error(happened, y_prob, n_bins=5) == pytest.approx((4 * 0.2 + 0.3) / 5)


@pytest.mark.parametrize("n_bins", [1, 2, 10, 50])
def test_the_curve_is_that_of_sklearn(n_bins: int) -> None:
    rng = np.random.default_rng(n_bins)
    y_prob = rng.beta(1, 5, size=499)
    happened = rng.random(499) < y_prob**2
    observed, predicted = calibration_curve(happened, y_prob, n_bins=n_bins, strategy="quantile")
    curve = reliability_curve(happened, y_prob, n_bins=n_bins)
    np.testing.assert_allclose(curve["observed"], observed)
    np.testing.assert_allclose(curve["predicted"], predicted)
    assert curve["rows"].sum() == 499


def test_it_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    y_prob = rng.integers(0, 5, 200) / 5
    happened = rng.random(200) < 0.3
    order = rng.permutation(200)
    ordered, permuted = (expected_calibration_error(happened[rows], y_prob[rows]) for rows in (np.arange(200), order))
    assert ordered == pytest.approx(permuted, abs=1e-15)


def test_its_ends() -> None:
    happened = np.array([False, True] * 20)
    assert expected_calibration_error(happened, happened.astype(float)) == 0
    assert expected_calibration_error(happened, 1 - happened.astype(float)) == 1
    assert expected_calibration_error(happened, np.full(40, 0.5)) == 0


def test_a_perfect_forecast_has_about_what_the_docstring_says() -> None:
    rng = np.random.default_rng(0)
    forecasts = rng.beta(0.6, 4.4, size=(50, 500))
    errors = [expected_calibration_error(rng.random(500) < y_prob, y_prob) for y_prob in forecasts]
    assert np.mean(errors) == pytest.approx(0.03, abs=0.005)
