"""Margins to start from: what boosted trees learn is to be added to them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

N_ROWS = 200
# no draw of rows or columns
PLAIN: dict[str, Any] = {
    "n_estimators": 12,
    "learning_rate": 0.3,
    "max_depth": 3,
    "subsample": 1.0,
    "max_features": 1.0,
    "early_stopping": False,
    "n_jobs": 1,
    "device": "cpu",
    "random_state": 0,
}
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=N_ROWS), "b": RNG.normal(size=N_ROWS), "few": RNG.choice(list("xyz"), N_ROWS)})
NUMBER = X["a"].to_numpy() + (X["few"] == "y").to_numpy() + RNG.normal(scale=0.7, size=N_ROWS)
X.loc[::17, "b"] = np.nan
WEIGHT = RNG.uniform(0.5, 2, N_ROWS)


def codes(n_classes: int) -> np.ndarray:
    return np.searchsorted(np.quantile(NUMBER, np.arange(1, n_classes) / n_classes), NUMBER)


def starts(n_outputs: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(N_ROWS, n_outputs))


def losses(margin: np.ndarray, y: np.ndarray) -> float:
    return log_loss(y, expit(margin[:, 0]) if margin.shape[1] == 1 else softmax(margin, axis=1))


def xgboost_by_hand(
    trees: BoostedTreesClassifier, y: np.ndarray, start: np.ndarray | None, **params: Any
) -> np.ndarray:
    """What XGBoost's own training adds to a start, on the same columns and with the same parameters."""
    encoded, n_classes = trees.encoder_.transform(X), y.max() + 1
    table = xgb.QuantileDMatrix(encoded, y, weight=WEIGHT, base_margin=start, nthread=1)
    objective = {"objective": "binary:logistic"} if n_classes == 2 else {"objective": "multi:softprob"}
    many = {} if n_classes == 2 else {"num_class": n_classes}
    params = {"max_depth": 3, "learning_rate": 0.3, "nthread": 1, **objective, **many, **params}
    booster = xgb.train(params, table, 12)
    asked = xgb.DMatrix(encoded, base_margin=start, nthread=1)
    outputs = booster.predict(asked, output_margin=True, strict_shape=True).astype(float)
    return outputs if start is None else outputs - start


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_step_is_that_of_xgboosts_own_training(n_classes: int) -> None:
    y, start = codes(n_classes), starts(1 if n_classes == 2 else 3)
    trees = BoostedTreesClassifier(**PLAIN).fit(X, y, sample_weight=WEIGHT, base_margin=start)
    step = xgboost_by_hand(trees, y, start)
    expected = step if n_classes == 2 else step - step.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(trees.margin(X), expected, atol=1e-5)
    assert np.abs(expected - xgboost_by_hand(trees, y, None)).max() > 0.1


def test_a_start_of_zero_is_that_of_even_odds() -> None:
    """Without a start XGBoost begins at the prior; who was given one adds no prior of its own."""
    y = (NUMBER > 1).astype(int)
    assert y.mean() < 0.4
    trees = BoostedTreesClassifier(**PLAIN).fit(X, y, sample_weight=WEIGHT, base_margin=np.zeros(N_ROWS))
    np.testing.assert_allclose(trees.margin(X), xgboost_by_hand(trees, y, None, base_score=0.5), atol=1e-5)
    stump = BoostedTreesClassifier(**{**PLAIN, "n_estimators": 1, "learning_rate": 1e-6})
    np.testing.assert_allclose(stump.fit(X, y, base_margin=np.full(N_ROWS, -3.0)).margin(X), 0, atol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "quantile"])
def test_a_regression_learns_what_is_left_of_the_target(loss: str) -> None:
    start = starts(1)
    trees = BoostedTreesRegressor(**PLAIN, loss=loss)
    started = clone(trees).fit(X, NUMBER, base_margin=start)
    np.testing.assert_array_equal(started.predict(X), trees.fit(X, NUMBER - start[:, 0]).predict(X))


def test_behind_the_target_itself_nothing_is_left() -> None:
    trees = BoostedTreesRegressor(**PLAIN).fit(X, NUMBER, base_margin=NUMBER)
    np.testing.assert_allclose(trees.predict(X), 0, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_behind_the_true_margins_there_is_next_to_nothing_to_learn(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2000, 3))
    truth = 3 * table[:, : 1 if n_classes == 2 else 3]
    p = np.column_stack([expit(-truth), expit(truth)]) if n_classes == 2 else softmax(truth, axis=1)
    y = (rng.random((2000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    trees = BoostedTreesClassifier(n_estimators=40, learning_rate=0.1, max_depth=3, random_state=0)
    learned = clone(trees).fit(table, y).margin(table)
    left = trees.fit(table, y, base_margin=truth).margin(table)
    assert np.abs(left).mean() < 0.15 * np.abs(learned).mean()
    assert losses(truth + left, y) < losses(learned, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_start_that_is_wrong_everywhere_is_taken_back(n_classes: int) -> None:
    start = np.full((N_ROWS, 1), 2.0) if n_classes == 2 else np.tile([2.0, 0.0, -2.0], (N_ROWS, 1))
    nothing_to_see = np.zeros((N_ROWS, 1))
    y = np.arange(N_ROWS) * n_classes // N_ROWS
    trees = BoostedTreesClassifier(**{**PLAIN, "n_estimators": 60}).fit(nothing_to_see, y, base_margin=start)
    np.testing.assert_allclose(trees.margin(nothing_to_see), -start, atol=0.05)


def test_rows_that_stop_have_their_starts() -> None:
    """Each row starts at its own class: were a single one off, the losses would tell."""
    y = codes(3)
    right = 40.0 * np.eye(3)[y]
    trees = BoostedTreesClassifier(n_estimators=10, random_state=0).fit(X, y, base_margin=right)
    assert len(trees.stopping_rows_) > 20
    assert max(trees.history_) < 1e-6
    assert trees.n_iter_ == 1
    wrong = BoostedTreesClassifier(n_estimators=10, random_state=0).fit(X, y, base_margin=np.roll(right, 1, axis=0))
    assert min(wrong.history_) > 1


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_row_of_weight_zero_takes_its_start_with_it(early_stopping: bool) -> None:
    y, start, weight = codes(2), starts(1), np.ones(N_ROWS)
    weight[[0, 7, 50]] = 0
    keep = weight > 0
    trees = BoostedTreesClassifier(**{**PLAIN, "early_stopping": early_stopping})
    weighted = clone(trees).fit(X, y, sample_weight=weight, base_margin=start)
    absent = trees.fit(X[keep], y[keep], base_margin=start[keep])
    np.testing.assert_array_equal(weighted.margin(X), absent.margin(X))


def test_a_row_of_weight_two_is_that_row_twice_with_its_start() -> None:
    y, start, counts = codes(2), starts(1), np.where(np.arange(N_ROWS) < 60, 2, 1)
    twice = np.repeat(np.arange(N_ROWS), counts)
    # a digit: no cut between values may move
    table = X[["few"]]
    weighted = BoostedTreesClassifier(**PLAIN).fit(table, y, sample_weight=counts, base_margin=start)
    repeated = BoostedTreesClassifier(**PLAIN).fit(table.iloc[twice], y[twice], base_margin=start[twice])
    np.testing.assert_allclose(weighted.margin(table), repeated.margin(table), atol=1e-5)


def test_a_fit_without_a_start_forgets_that_there_was_one() -> None:
    y = codes(2)
    trees = BoostedTreesClassifier(**PLAIN).fit(X, y, base_margin=starts(1))
    pickled = pickle.loads(pickle.dumps(trees))
    np.testing.assert_array_equal(pickled.margin(X), trees.margin(X))
    plain = BoostedTreesClassifier(**PLAIN).fit(X, y)
    np.testing.assert_array_equal(trees.fit(X, y).margin(X), plain.margin(X))


def test_one_column_may_be_flat_and_a_list() -> None:
    start, y = starts(1), codes(2)
    fits = [BoostedTreesClassifier(**PLAIN).fit(X, y, base_margin=b) for b in (start, start[:, 0], start.tolist())]
    for trees in fits[1:]:
        np.testing.assert_array_equal(trees.margin(X), fits[0].margin(X))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (np.zeros((N_ROWS, 2)), r"base_margin must be of shape \(200, 1\), got \(200, 2\)"),
        (np.zeros(N_ROWS - 1), r"base_margin must be of shape \(200, 1\), got \(199, 1\)"),
        (np.full(N_ROWS, np.nan), "base_margin contains NaN"),
        (np.full(N_ROWS, np.inf), "base_margin contains infinity"),
    ],
)
@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_a_start_that_is_none_is_an_error_that_names_it(cls: type, start: np.ndarray, message: str) -> None:
    trees = cls(**PLAIN)
    with pytest.raises(ValueError, match=message):
        trees.fit(X, codes(2) if cls is BoostedTreesClassifier else NUMBER, base_margin=start)
    with pytest.raises(NotFittedError):
        trees.predict(X)


def test_a_start_for_three_classes_has_three_columns() -> None:
    with pytest.raises(ValueError, match=r"base_margin must be of shape \(200, 3\), got \(200, 1\)"):
        BoostedTreesClassifier(**PLAIN).fit(X, codes(3), base_margin=np.zeros(N_ROWS))
