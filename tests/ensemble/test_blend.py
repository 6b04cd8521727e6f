"""Weights, intercepts and temperatures against references that are slow, plain or somebody else's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss

from hybridlearn._heads import centred, probabilities
from hybridlearn.ensemble._blend import Blend, _select, _sloped, equal_weights, fit_blend, fit_temperature
from hybridlearn.ensemble._loss import log_loss_gradient, mean_loss

KINDS = ("greedy", "nonnegative", "mean")


def classification(
    n_members: int, *, n_classes: int = 2, n_rows: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins that see the truth through noise of their own, the first least noise; targets drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_rows, 1 if n_classes == 2 else n_classes))
    target = np.array([rng.choice(n_classes, p=p) for p in probabilities(truth)])
    noise = np.arange(1, n_members + 1)[:, None, None] * rng.normal(size=(n_members, *truth.shape))
    margins = truth + noise
    return margins if n_classes == 2 else np.array([centred(m) for m in margins]), target, rng.uniform(0.5, 2, n_rows)


def regression(n_members: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(10, 3, size=100)
    margins = 0.5 * target[:, None] + rng.normal(size=(n_members, 100, 1))
    margins[-1] = -margins[-1]  # a member that deserves no weight
    return margins, target, rng.uniform(0.5, 2, 100)


def loss_of(blended: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    return mean_loss(blended, target, weight, classification=True)


# temperature


@given(seed=st.integers(0, 200), scale=st.sampled_from([0.001, 0.1, 1, 10, 1000]), n_classes=st.sampled_from([2, 3]))
def test_no_temperature_of_a_grid_is_better(seed: int, scale: float, n_classes: int) -> None:
    margins, target, weight = classification(1, n_classes=n_classes, n_rows=60, seed=seed)
    margin = margins[0] * scale
    found = fit_temperature(margin, target, weight)
    assert 0.05 <= found <= 20
    grid = [loss_of(margin / t, target, weight) for t in np.geomspace(0.05, 20, 100)]
    assert loss_of(margin / found, target, weight) <= min(grid) * (1 + 1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_a_factor_that_blew_up_a_margin_is_found(factor: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(scale=2, size=(20_000, 1))
    target = (rng.random(20_000) < probabilities(truth)[:, 1]).astype(int)
    assert fit_temperature(factor * truth, target, np.ones(20_000)) == pytest.approx(factor, rel=0.05)


# all kinds


@given(kind=st.sampled_from(KINDS), n_classes=st.sampled_from([0, 2, 3]), seed=st.integers(0, 99))
def test_weights_are_never_negative(kind: str, n_classes: int, seed: int) -> None:
    margins, target, weight = (
        classification(3, n_classes=n_classes, n_rows=40, seed=seed) if n_classes else regression(3, seed)
    )
    margins[1] *= -1  # worse than nothing
    blend = fit_blend(kind, margins, target, weight, classification=n_classes > 0, seed=seed)
    assert (blend.weights >= 0).all()
    assert np.isfinite(blend.weights).all()
    assert blend.intercept.sum() == pytest.approx(0) if n_classes > 2 else blend.intercept.shape == (1,)
    by_hand = blend.intercept + sum(w * m for w, m in zip(blend.weights, margins, strict=True))
    np.testing.assert_allclose(blend.margin(margins), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_a_members_margin_does_not_matter(kind: str) -> None:
    """A member's temperature, within its bounds, is part of its weight."""
    margins, target, weight = classification(3)
    blend = fit_blend(kind, margins, target, weight, classification=True, seed=0)
    factors = np.array([0.5, 1.5, 0.2])
    rescaled = fit_blend(kind, margins * factors[:, None, None], target, weight, classification=True, seed=0)
    np.testing.assert_allclose(rescaled.weights * factors, blend.weights, rtol=0.01, atol=1e-3)


def test_the_mean_is_of_members_at_their_temperatures() -> None:
    margins, target, weight = classification(3)
    blend = fit_blend("mean", margins, target, weight, classification=True, seed=0)
    expected = [1 / 3 / fit_temperature(margin, target, weight) for margin in margins]
    np.testing.assert_allclose(blend.weights, expected)
    margins, target, weight = regression(4)
    blend = fit_blend("mean", margins, target, weight, classification=False, seed=0)
    np.testing.assert_allclose(blend.weights, 1 / 4)


# nonnegative


@given(seed=st.integers(0, 99), n_members=st.integers(1, 4))
def test_nonnegative_regression_is_scikit_learns(seed: int, n_members: int) -> None:
    margins, target, weight = regression(n_members, seed)
    blend = fit_blend("nonnegative", margins, target, weight, classification=False, seed=0)
    reference = LinearRegression(positive=True).fit(margins[:, :, 0].T, target, sample_weight=weight)
    np.testing.assert_allclose(blend.weights, reference.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(blend.intercept, reference.intercept_, rtol=1e-6, atol=1e-8)


def test_nonnegative_classification_is_a_logistic_regression_where_that_is_positive() -> None:
    margins, target, weight = classification(3, n_rows=3000)
    blend = fit_blend("nonnegative", margins, target, weight, classification=True, seed=0)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(margins[:, :, 0].T, target, sample_weight=weight)
    assert (reference.coef_ > 0.01).all()
    np.testing.assert_allclose(blend.weights, reference.coef_[0], atol=2e-3)
    np.testing.assert_allclose(blend.intercept, reference.intercept_, atol=2e-3)
    expected = log_loss(target, reference.predict_proba(margins[:, :, 0].T), sample_weight=weight)
    assert loss_of(blend.margin(margins), target, weight) == pytest.approx(expected, abs=1e-6)


@given(seed=st.integers(0, 99), n_classes=st.sampled_from([2, 4]))
def test_nonnegative_classification_is_at_the_optimum(seed: int, n_classes: int) -> None:
    """The loss is convex: no slope along a positive weight or the intercept, none downwards along a zero."""
    margins, target, weight = classification(3, n_classes=n_classes, n_rows=80, seed=seed)
    margins[2] *= -1
    blend = fit_blend("nonnegative", margins, target, weight, classification=True, seed=0)
    residual = log_loss_gradient(blend.margin(margins), target) * (weight / weight.sum())[:, None]
    slopes = np.tensordot(margins, residual, axes=2)
    assert np.abs(slopes[blend.weights > 1e-6]).max(initial=0) < 2e-3
    assert slopes[blend.weights <= 1e-6].min(initial=0) > -2e-3
    assert np.abs(residual.sum(axis=0)).max() < 2e-3


# greedy


def select_by_enumeration(margins: np.ndarray, target: np.ndarray, weight: np.ndarray, n_rounds: int) -> np.ndarray:
    """Caruana's selection with replacement, in as many words: always the best next member, in the end the best mean."""
    chosen: list[int] = []
    best, best_loss = np.zeros(len(margins)), np.inf
    for _ in range(n_rounds):
        means = [margins[[*chosen, m]].mean(axis=0) for m in range(len(margins))]
        labels = np.arange(max(margins.shape[2], 2))
        losses = [log_loss(target, probabilities(m), sample_weight=weight, labels=labels) for m in means]
        chosen.append(int(np.argmin(losses)))
        if min(losses) < best_loss:
            best, best_loss = np.bincount(chosen, minlength=len(margins)) / len(chosen), min(losses)
    return best


@pytest.mark.parametrize(("n_members", "n_classes", "seed"), list(product([1, 2, 4], [2, 3], [0, 1])))
def test_the_selection_is_that_of_the_book(n_members: int, n_classes: int, seed: int) -> None:
    margins, target, weight = classification(n_members, n_classes=n_classes, n_rows=40, seed=seed)
    found = _select(margins, target, weight, classification=True)
    book = select_by_enumeration(margins, target, weight, 50)
    found_loss, book_loss = (loss_of(np.tensordot(w, margins, axes=1), target, weight) for w in (found, book))
    assert found.sum() == pytest.approx(1)
    assert found_loss == pytest.approx(book_loss, abs=1e-4), f"{found} is not {book}"


@pytest.mark.parametrize("seed", range(4))
def test_the_selection_finds_the_best_of_all_means(seed: int) -> None:
    """Of two members and one output the loss is convex in the share: no share of fiftieths is much better."""
    margins, target, weight = classification(2, n_rows=60, seed=seed)
    found = _select(margins, target, weight, classification=True)
    shares = np.unique([k / n for n in range(1, 51) for k in range(n + 1)])
    losses = [loss_of(s * margins[0] + (1 - s) * margins[1], target, weight) for s in shares]
    assert loss_of(np.tensordot(found, margins, axes=1), target, weight) <= min(losses) + 2e-4


def test_a_regression_is_selected_by_squared_error() -> None:
    margins = np.array([[[1.0], [3.0]], [[5.0], [7.0]]])
    found = _select(margins, np.array([2.0, 4.0]), np.ones(2), classification=False)
    np.testing.assert_allclose(found, [0.75, 0.25])


def test_greedy_leaves_noise_out() -> None:
    margins, target, weight = classification(3, n_rows=600)
    margins[1:] = np.random.default_rng(1).normal(scale=5, size=margins[1:].shape)
    blend = fit_blend("greedy", margins, target, weight, classification=True, seed=0)
    temperatures = np.array([fit_temperature(margin, target, weight) for margin in margins])
    shares = blend.weights * temperatures
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > 0.9


def test_greedy_draws_its_bags_by_the_seed() -> None:
    margins, target, weight = classification(3)
    first, again, other = (
        fit_blend("greedy", margins, target, weight, classification=True, seed=seed).weights for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_selection_weighs_its_rows() -> None:
    """Two members, each right about its own half: weights decide between them."""
    says_yes = np.repeat([[3.0], [-3.0]], 10, axis=0)
    margins, target = np.array([says_yes, -says_yes]), np.ones(20, dtype=int)
    weight = np.repeat([1.0, 1e-3], 10)
    np.testing.assert_allclose(_select(margins, target, weight, classification=True), [1, 0])
    np.testing.assert_allclose(_select(margins, target, weight[::-1], classification=True), [0, 1])


# the slope of a regression


def too_close_to_the_mean(n_rows: int, slope: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two members alike, and the target that is `slope` times as far from the mean, with noise."""
    rng = np.random.default_rng(seed)
    told = rng.normal(50, 1, size=n_rows)
    target = 50 + slope * (told - 50) + rng.normal(scale=0.5, size=n_rows)
    return np.stack([told, told])[:, :, None], target, rng.uniform(0.5, 2, n_rows)


@pytest.mark.parametrize("unit", [1e-160, 1.0, 1e160])
def test_a_blend_that_is_less_steep_than_the_target_is_made_so(unit: float) -> None:
    margins, target, weight = too_close_to_the_mean(5000, 1.3)
    blend = _sloped(_mean(margins), unit * margins, unit * target, 1e-200 * weight)
    plain = LinearRegression().fit(margins[0], target, weight)
    np.testing.assert_allclose(blend.weights.sum(), plain.coef_[0], rtol=0.01)
    mean = np.average(margins[0, :, 0], weights=weight)
    np.testing.assert_allclose(blend.margin(np.full((2, 1, 1), unit * mean)), unit * mean)


def _mean(margins: np.ndarray) -> Blend:
    return equal_weights(*margins.shape[::2])


@given(seed=st.integers(0, 200), slope=st.floats(0, 3))
def test_a_slope_is_between_one_and_that_of_least_squares(seed: int, slope: float) -> None:
    margins, target, weight = too_close_to_the_mean(25, slope, seed)
    blend = fit_blend("greedy", margins, target, weight, classification=False, seed=0)
    plain = LinearRegression().fit(margins[0], target, weight).coef_[0]
    assert 1 - 1e-9 <= blend.weights.sum() <= max(1, plain) + 1e-9


def test_a_slope_that_may_be_chance_is_left_at_one() -> None:
    found = [
        _sloped(_mean(m), m, y, w).weights.sum() for m, y, w in (too_close_to_the_mean(40, 1, k) for k in range(40))
    ]
    assert sum(slope == pytest.approx(1, abs=1e-12) for slope in found) >= 28


def test_two_heavy_rows_tell_no_slope() -> None:
    margins, target, weight = too_close_to_the_mean(60, 1.0)
    target[:2] = 50 + 3 * (margins[0, :2, 0] - 50)
    weight[:2] = 1e4
    assert _sloped(_mean(margins), margins, target, weight).weights.sum() == pytest.approx(1)


def test_a_sum_of_positive_numbers_stays_one() -> None:
    rng = np.random.default_rng(0)
    told = np.append(0.1 + rng.exponential(size=500), 0.01)
    blend = fit_blend("greedy", told[None, :, None], 2 * told - 1, np.ones(501), classification=False, seed=0)
    assert blend.weights[0] > 1
    assert blend.margin(told[None, :, None]).min() == pytest.approx(0.005)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7.7, -1e6])
def test_nobody_who_says_the_same_of_all_rows_has_a_slope(value: float) -> None:
    rng = np.random.default_rng(0)
    margins, target, weight = np.full((1, 61, 1), value), value + rng.normal(size=61), rng.uniform(0.5, 2, 61)
    blend = fit_blend("greedy", margins, target, weight, classification=False, seed=0)
    assert (blend.weights, blend.intercept) == (1, 0)
