"""One stage of boosting: what is handed on to be learned, and the models that take its step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridlearn._row_losses import row_losses
from hybridlearn.crossfit import FoldModel
from hybridlearn.ensemble._stage import ClasswiseModel, MeanModel, as_one, left_over, log_prior
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import TrainingRows
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

N_ROWS = 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 2))
WEIGHT = RNG.uniform(0.5, 2, N_ROWS)
TWO = (X[:, 0] + RNG.normal(size=N_ROWS) > 0).astype(int)
THREE = np.arange(N_ROWS) % 3
STEP = 1e-4


def rows_of(target: np.ndarray) -> TrainingRows:
    return TrainingRows(X[: len(target)], target, WEIGHT[: len(target)], None, np.arange(len(target)), len(target))


def derivatives(margin: np.ndarray, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of each row's log loss by output `k`, as differences of losses."""
    below, above = margin.copy(), margin.copy()
    below[:, k] -= STEP
    above[:, k] += STEP
    low, here, high = (row_losses(m, codes, classification=True) for m in (below, margin, above))
    return (high - low) / (2 * STEP), (high - 2 * here + low) / STEP**2


# what is left over


@pytest.mark.parametrize("estimator", [Ridge(), KNeighborsRegressor(), BoostedTreesRegressor()], ids=str)
def test_in_regression_the_residuals_are_left_over(estimator: Any) -> None:
    rows, start = rows_of(X[:, 0] * 3), RNG.normal(size=(N_ROWS, 1))
    (rest,) = left_over(estimator, rows, start, n_classes=0)
    np.testing.assert_allclose(rest.target, X[:, 0] * 3 - start[:, 0])
    np.testing.assert_array_equal(rest.weight, WEIGHT)
    assert rest.base_margin is None


@pytest.mark.parametrize("codes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "estimator",
    [BoostedTreesClassifier(), TabularMLPClassifier(), make_pipeline(StandardScaler(), BoostedTreesClassifier())],
    ids=["trees", "net", "pipeline"],
)
def test_who_starts_from_margins_gets_them_and_the_classes(estimator: Any, codes: np.ndarray) -> None:
    start = RNG.normal(size=(N_ROWS, 1 if codes is TWO else 3))
    (rest,) = left_over(estimator, rows_of(codes), start, n_classes=codes.max() + 1)
    np.testing.assert_array_equal(rest.base_margin, start)
    np.testing.assert_array_equal(rest.target, codes)
    np.testing.assert_array_equal(rest.weight, WEIGHT)


@pytest.mark.parametrize("codes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "estimator",
    [Ridge(), make_pipeline(StandardScaler(), Ridge()), BoostedTreesRegressor(), TabularMLPRegressor()],
    ids=["ridge", "pipeline", "trees", "net"],
)
def test_regressors_get_newtons_step_and_the_hessian_as_weight(estimator: Any, codes: np.ndarray) -> None:
    start = RNG.normal(size=(N_ROWS, 1 if codes is TWO else 3))
    tables = left_over(estimator, rows_of(codes), start, n_classes=codes.max() + 1)
    assert len(tables) == start.shape[1]
    for k, rest in enumerate(tables):
        gradient, hessian = derivatives(start, codes, k)
        np.testing.assert_allclose(rest.target, np.clip(-gradient / hessian, -100, 100), rtol=1e-4)
        np.testing.assert_allclose(rest.weight, WEIGHT * hessian, rtol=1e-4)
        assert rest.base_margin is None


def test_newtons_step_in_numbers() -> None:
    start, codes = np.array([[0.0], [1.0], [-2.0]]), np.array([1, 0, 0])
    (rest,) = left_over(Ridge(), rows_of(codes), start, n_classes=2)
    p = expit([0.0, 1.0, -2.0])
    np.testing.assert_allclose(rest.target, [1 / p[0], -1 / (1 - p[1]), -1 / (1 - p[2])])
    np.testing.assert_allclose(rest.weight, WEIGHT[:3] * p * (1 - p))


@pytest.mark.parametrize("codes", [TWO, THREE], ids=["two", "three"])
def test_who_takes_no_weights_gets_the_gradient_over_the_largest_hessian(codes: np.ndarray) -> None:
    start = RNG.normal(size=(N_ROWS, 1 if codes is TWO else 3))
    tables = left_over(KNeighborsRegressor(), rows_of(codes), start, n_classes=codes.max() + 1)
    p = expit(start) if codes is TWO else softmax(start, axis=1)
    wanted = codes[:, None] if codes is TWO else np.eye(3)[codes]
    np.testing.assert_allclose(np.column_stack([rest.target for rest in tables]), 4 * (wanted - p))
    for rest in tables:
        np.testing.assert_array_equal(rest.weight, WEIGHT)


@given(
    start=st.lists(st.floats(-50, 50), min_size=4, max_size=4),
    codes=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    weighs=st.booleans(),
)
def test_no_step_is_longer_than_the_bound_or_leads_away_from_the_class(
    start: list[float], codes: list[int], weighs: bool
) -> None:
    estimator = Ridge() if weighs else KNeighborsRegressor()
    (rest,) = left_over(estimator, rows_of(np.array(codes)), np.array(start)[:, None], n_classes=2)
    assert (np.abs(rest.target) <= (100 if weighs else 4)).all()
    assert (rest.target * (2 * np.array(codes) - 1) >= 0).all()
    assert (rest.weight >= 0).all()
    assert np.isfinite(rest.weight).all()


def test_a_row_that_is_badly_wrong_asks_for_a_step_of_100() -> None:
    (rest,) = left_over(Ridge(), rows_of(np.array([1, 0])), np.array([[-20.0], [20.0]]), n_classes=2)
    np.testing.assert_array_equal(rest.target, [100, -100])


def test_newtons_steps_of_a_linear_regression_end_at_the_logistic_regression() -> None:
    """No row is wrong enough to ask for a step beyond the bound."""
    codes, margin = np.arange(N_ROWS) % 2, np.zeros((N_ROWS, 1))
    for _ in range(8):
        (rest,) = left_over(LinearRegression(), rows_of(codes), margin, n_classes=2)
        assert np.abs(rest.target).max() < 4
        margin[:, 0] += LinearRegression().fit(X, rest.target, sample_weight=rest.weight).predict(X)
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(X, codes, sample_weight=WEIGHT).decision_function(X)
    np.testing.assert_allclose(margin[:, 0], expected, atol=1e-5)


# where the first stage starts


def test_the_first_start_is_the_log_prior_with_half_a_row_more_a_class() -> None:
    codes = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(log_prior(codes, np.ones(4), 2), [np.log(1.5 / 3.5)])
    three = log_prior(np.array([0, 0, 2]), np.ones(3), 3)
    np.testing.assert_allclose(softmax(three), np.array([2.5, 0.5, 1.5]) / 4.5)
    assert three.sum() == pytest.approx(0)


def test_the_log_prior_weighs_rows_and_knows_no_unit_of_weight() -> None:
    codes, weight = np.array([0, 0, 1]), np.array([1.0, 1.0, 4.0])
    np.testing.assert_allclose(log_prior(codes, weight, 2), [np.log(2.5 / 1.5)])
    np.testing.assert_allclose(log_prior(codes, 1000 * weight, 2), log_prior(codes, weight, 2))


# the models of a stage


class Constant:
    """A model that says one thing of each row."""

    def __init__(self, *values: float):
        self.values = values

    def margin(self, X: Any) -> np.ndarray:
        return np.tile(self.values, (X.shape[0], 1))


def constant(*values: float) -> FoldModel:
    return FoldModel(Constant(*values), 5, None, 0)


@pytest.mark.parametrize("table", [X, sparse.csr_matrix(X)], ids=["dense", "sparse"])
def test_a_stage_is_the_mean_of_its_models_and_nothing_without_any(table: Any) -> None:
    np.testing.assert_array_equal(MeanModel((constant(1.0), constant(4.0)), 1).margin(table), np.full((N_ROWS, 1), 2.5))
    np.testing.assert_array_equal(MeanModel((), 3).margin(table), np.zeros((N_ROWS, 3)))


def test_where_learning_started_is_a_part_of_the_mean() -> None:
    shifted = [replace(constant(1.0), shift=np.array([10.0])), constant(4.0)]
    np.testing.assert_array_equal(MeanModel(tuple(shifted), 1).margin(X), np.full((N_ROWS, 1), 7.5))


def test_regressors_of_several_classes_make_one_centred_margin() -> None:
    three = as_one([constant(1.0), constant(2.0), constant(6.0)])
    assert isinstance(three.estimator, ClasswiseModel)
    np.testing.assert_allclose(three.margin(X), np.tile([-4 / 3, -2 / 3, 2.0], (N_ROWS, 1)))
    alone = constant(1.0)
    assert as_one([alone]) is alone
