"""The margin of a fitted estimator: native where there is one, else from probabilities that are clipped."""

from __future__ import annotations

from typing import Any

import imblearn.pipeline
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier, XGBRegressor

from hybridlearn.crossfit import FoldModel, margin
from hybridlearn.ensemble import HybridClassifier
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

SURE = {"n_estimators": 60, "learning_rate": 1.0, "max_depth": 8}
TREES = {"n_estimators": 10, "random_state": 0}
NET = {"hidden_layer_sizes": (8,), "max_epochs": 5, "learning_rate": 0.1, "random_state": 0}


class Says(ClassifierMixin, BaseEstimator):
    """Says the probabilities that it is asked about."""

    def fit(self, X: Any, y: Any) -> Says:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X.argmax(axis=1)


class OnlyPredicts(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> OnlyPredicts:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=int)


def test_logistic_regression_gives_its_log_odds(table) -> None:
    model = LogisticRegression().fit(table.X, table.two)
    found = margin(model, table.X)
    assert (found.shape, found.dtype) == ((150, 1), np.float64)
    np.testing.assert_allclose(found[:, 0], model.decision_function(table.X), rtol=0, atol=1e-9)


def test_several_classes_give_centred_log_probabilities(table) -> None:
    model = LogisticRegression().fit(table.X, table.three)
    found = margin(model, table.X)
    decision = model.decision_function(table.X)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found, decision - decision.mean(axis=1, keepdims=True), rtol=0, atol=1e-9)


@given(
    st.lists(st.lists(st.floats(0.001, 1), min_size=2, max_size=2), min_size=1, max_size=6),
    st.floats(1e-6, 0.4),
)
def test_two_probabilities_come_back_unless_clipped(weights: list[list[float]], floor: float) -> None:
    p = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    found = margin(Says().fit(None, [0, 1]), p, floor=floor)
    np.testing.assert_allclose(found[:, 0], logit(np.clip(p[:, 1], floor, 1 - floor)), rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(any), min_size=1, max_size=6),
    st.floats(1e-6, 0.2),
)
def test_many_probabilities_keep_their_ratios_above_the_floor(weights: list[list[float]], floor: float) -> None:
    p = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    found = margin(Says().fit(None, np.arange(4)), p, floor=floor)
    clipped = np.clip(p, floor, 1 - floor)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(np.exp(found - found[:, :1]), clipped / clipped[:, :1], rtol=1e-9)


def test_a_forest_that_says_never_is_clipped(table) -> None:
    forest = RandomForestClassifier(10, bootstrap=False, random_state=0).fit(table.X, table.two)
    assert set(forest.predict_proba(table.X)[:, 1]) == {0.0, 1.0}
    found = margin(forest, table.X, floor=1 / 300)
    np.testing.assert_allclose(np.abs(found), np.log(299), rtol=1e-12)
    assert ((found[:, 0] > 0) == table.two).all()
    # a fold model's floor is that of its training rows
    np.testing.assert_array_equal(FoldModel(forest, 150, np.array([0, 1]), 2).margin(table.X), found)


def test_a_strangers_booster_is_read_before_its_probabilities(table) -> None:
    two = XGBClassifier(**SURE).fit(table.X, table.two)
    outputs = two.predict(table.X, output_margin=True)
    assert np.abs(outputs).max() > 6  # a clip at 1 / 300 would show
    np.testing.assert_array_equal(margin(two, table.X, floor=1 / 300), outputs[:, None].astype(np.float64))
    three = XGBClassifier(**SURE).fit(table.X, table.three)
    outputs = three.predict(table.X, output_margin=True).astype(np.float64)
    expected = outputs - outputs.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(margin(three, table.X, floor=0.1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pipe", [make_pipeline, imblearn.pipeline.make_pipeline], ids=["sklearn", "imblearn"])
@pytest.mark.parametrize("last", [BoostedTreesClassifier(**TREES), TabularMLPClassifier(**NET)])
@pytest.mark.parametrize("target", ["two", "three"])
def test_a_pipeline_that_ends_in_ours_is_read_natively(table, last: Any, target: str, pipe: Any) -> None:
    model = pipe(StandardScaler(), last).fit(table.X, getattr(table, target))
    expected = model[-1].margin(model[0].transform(table.X))
    # a floor of 0.4 would clip nearly all
    np.testing.assert_allclose(margin(model, table.X, floor=0.4), expected, rtol=0, atol=1e-12)
    assert np.abs(expected).max() > logit(0.6)


def test_a_hybrid_is_a_member_like_any_other(table) -> None:
    hybrid = HybridClassifier(estimators=[("linear", LogisticRegression())], cv=2).fit(table.X, table.two)
    np.testing.assert_array_equal(margin(hybrid, table.X, floor=0.4), hybrid.margin(table.X))


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        RandomForestRegressor(5, random_state=0),
        XGBRegressor(n_estimators=5),
        make_pipeline(StandardScaler(), BoostedTreesRegressor(**TREES)),
        TabularMLPRegressor(**NET),
    ],
)
def test_a_regressor_gives_its_prediction(table, model: Any) -> None:
    model.fit(table.X, table.number)
    found = margin(model, table.X)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, model.predict(table.X)[:, None].astype(np.float64))


@pytest.mark.parametrize("model", [LinearSVC(), SGDClassifier(loss="hinge"), OnlyPredicts()])
def test_without_probabilities_there_is_no_margin_but_a_way_out(table, model: Any) -> None:
    model.fit(table.X, table.two)
    with pytest.raises(TypeError, match=rf"{type(model).__name__} has no predict_proba.*CalibratedClassifierCV"):
        margin(model, table.X)


class OnlyProbabilities(ClassifierMixin, BaseEstimator):
    def fit(self, X: np.ndarray, y: np.ndarray) -> OnlyProbabilities:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.tile([0.25, 0.75], (len(X), 1))


def test_probabilities_are_enough() -> None:
    X = np.zeros((4, 1))
    np.testing.assert_allclose(margin(OnlyProbabilities().fit(X, [0, 1, 0, 1]), X), np.log(3))


def test_a_pipeline_that_ends_in_a_booster_is_read_natively() -> None:
    X = np.linspace(-1, 1, 200)[:, None]
    y = (X[:, 0] > 0).astype(int)
    booster = XGBClassifier(n_estimators=60, learning_rate=1.0, reg_lambda=0.0)
    pipeline = make_pipeline(StandardScaler(), booster).fit(X, y)
    expected = booster.predict(pipeline[:-1].transform(X), output_margin=True)
    assert np.abs(expected).max() > np.log(1 / 0.01)
    np.testing.assert_allclose(margin(pipeline, X, floor=0.01)[:, 0], expected, rtol=1e-6)
    with config_context(enable_metadata_routing=True):
        assert np.abs(margin(pipeline, X, floor=0.01)).max() == pytest.approx(np.log(99))


def test_what_is_frozen_answers_for_itself() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    trees = BoostedTreesClassifier(n_estimators=3).fit(X, y)
    np.testing.assert_array_equal(margin(FrozenEstimator(trees), X), trees.margin(X))
    bayes = GaussianNB().fit(X, y)
    np.testing.assert_array_equal(margin(FrozenEstimator(bayes), X, floor=0.1), margin(bayes, X, floor=0.1))
