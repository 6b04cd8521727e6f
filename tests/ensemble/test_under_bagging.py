"""Balanced draws of the rows, by chance or by how hard rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

from hybridlearn import (
    BoostedTreesClassifier,
    HybridBaggingClassifier,
    MixedSMOTE,
    UnderBaggingClassifier,
    make_tabular_pipeline,
)
from hybridlearn.crossfit import FRONT
from hybridlearn.ensemble._under_bagging import paced_weights
from hybridlearn.table import TableEncoder

TREES = BoostedTreesClassifier(n_estimators=30, learning_rate=0.2)


@pytest.fixture(scope="module")
def rare() -> Any:
    rng = np.random.RandomState(0)
    X = rng.randn(4000, 4)
    y = (rng.uniform(size=4000) < 1 / (1 + np.exp(4 - 2 * X[:, 0]))).astype(int)
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.mark.parametrize("self_paced", [False, True])
def test_probabilities_are_those_of_the_rows(self_paced: bool, rare: Any) -> None:
    X, X_test, y, y_test = rare
    model = UnderBaggingClassifier(estimator=TREES, self_paced=self_paced, random_state=0).fit(X, y)
    probability = model.predict_proba(X_test)[:, 1]
    assert probability.mean() == pytest.approx(y_test.mean(), abs=0.015)
    assert roc_auc_score(y_test, probability) > 0.85
    assert log_loss(y_test, probability) < log_loss(y_test, np.full(len(y_test), y.mean()))
    model.ledger_.assert_leak_free()
    assert model.oof_.coverage == 1.0


@pytest.mark.parametrize("self_paced", [False, True])
def test_each_draw_holds_all_rare_rows_and_as_many_others(self_paced: bool, rare: Any) -> None:
    X, _, y, _ = rare
    model = UnderBaggingClassifier(
        estimator=LogisticRegression(), n_estimators=10, self_paced=self_paced, random_state=0
    )
    model.fit(X, y)
    fits = [entry for entry in model.ledger_.entries if entry.step == "fit"]
    assert len(fits) == 10
    for entry in fits:
        counts = np.bincount(y[entry.fitted_on])
        assert counts[0] == counts[1] == (y == 1).sum() - y[entry.predicted].sum()


def test_without_pace_it_is_balanced_bagging(rare: Any) -> None:
    X, _, y, _ = rare
    settings: dict[str, Any] = {"estimator": LogisticRegression(), "n_estimators": 7, "random_state": 3}
    under = UnderBaggingClassifier(**settings, self_paced=False).fit(X, y)
    bagging = HybridBaggingClassifier(**settings, resample="under").fit(X, y)
    np.testing.assert_array_equal(under.predict_proba(X), bagging.predict_proba(X))


def test_later_draws_hold_harder_rows(rare: Any) -> None:
    X, _, y, _ = rare
    model = UnderBaggingClassifier(estimator=LogisticRegression(), n_estimators=20, self_paced=True, random_state=0)
    model.fit(X, y)
    fits = [entry for entry in model.ledger_.entries if entry.step == "fit"]
    hardness = [X[rows, 0][y[rows] == 0].mean() for rows in (entry.fitted_on for entry in fits)]
    # the first feature tells the classes apart: high values of the frequent class are hard
    assert np.mean(hardness[-5:]) > np.mean(hardness[:5]) + 0.3


class TestPace:
    def test_at_first_easy_rows_share_a_bin_and_hard_ones_have_few(self) -> None:
        hardness = np.concatenate([np.full(90, 0.05), np.full(10, 0.95)])
        early, late = paced_weights(hardness, 0.0), paced_weights(hardness, 0.99)
        assert early.sum() == pytest.approx(1)
        assert late.sum() == pytest.approx(1)
        # a bin counts by the inverse of its hardness; in the end all bins alike
        assert early[:90].sum() == pytest.approx(0.95, abs=1e-6)
        assert late[:90].sum() == pytest.approx(0.5, abs=0.01)

    def test_rows_that_are_all_as_hard_are_drawn_by_chance(self) -> None:
        np.testing.assert_allclose(paced_weights(np.full(8, 0.3), 0.5), 1 / 8)


def test_three_classes_weights_and_groups(rare: Any) -> None:
    rng = np.random.RandomState(0)
    y = rng.choice(["a", "b", "c"], 600, p=[0.7, 0.2, 0.1])
    X = rng.randn(600, 2) + (y == "b")[:, None] - (y == "c")[:, None]
    groups = np.arange(600) // 3
    for self_paced in (False, True):
        model = UnderBaggingClassifier(estimator=TREES, n_estimators=6, self_paced=self_paced, random_state=0)
        model.fit(X, y, sample_weight=rng.uniform(0.5, 1.5, 600), groups=groups)
        model.ledger_.assert_grouped(groups)
        means = model.predict_proba(X).mean(axis=0)
        np.testing.assert_allclose(means, [0.7, 0.2, 0.1], atol=0.06)


def test_time_is_refused(rare: Any) -> None:
    X, _, y, _ = rare
    with pytest.raises(
        ValueError, match=r"UnderBaggingClassifier draws rows of all times .* ResampledClassifier\(sampler='under'\)"
    ):
        UnderBaggingClassifier(estimator=TREES).fit(X, y, time=np.arange(len(y)))


def test_a_class_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class 'c' has 1 row, .* merge rare classes"):
        UnderBaggingClassifier(estimator=TREES).fit(np.arange(30.0)[:, None], ["a"] * 20 + ["b"] * 9 + ["c"])


def test_a_short_limit_leaves_whole_rounds(rare: Any) -> None:
    X, _, y, _ = rare
    model = UnderBaggingClassifier(estimator=TREES, n_estimators=50, self_paced=True, time_limit=0.5, random_state=0)
    with pytest.warns(UserWarning, match="time_limit was short"):
        model.fit(X, y)
    assert 2 <= len(model.models_["estimator"]) < 50
    assert model.predict_proba(X).shape == (len(y), 2)


def many_towns(n_rows: int = 3000) -> tuple[pd.DataFrame, np.ndarray]:
    """A rare class that is more frequent in some of 150 towns: a draw holds one or two rows of each."""
    rng = np.random.default_rng(0)
    town = rng.integers(0, 150, n_rows)
    rate = np.clip(rng.normal(0.08, 0.1, 150), 0.005, 0.5)
    X = pd.DataFrame({"town": town.astype(str), "noise": rng.normal(size=n_rows)})
    return X, (rng.uniform(size=n_rows) < rate[town]).astype(int)


def test_what_many_levels_stand_for_is_learned_from_all_rows() -> None:
    X, y = many_towns()
    settings = {"estimator": BoostedTreesClassifier(n_estimators=20), "n_estimators": 3, "random_state": 0}
    assert UnderBaggingClassifier(**settings, features=None).fit(X, y).features_ is None
    bags = UnderBaggingClassifier(**settings).fit(X, y)
    bags.ledger_.assert_leak_free()
    entries = [entry for entry in bags.ledger_.entries if entry.step == FRONT]
    for front, entry in zip(bags.features_, entries, strict=True):
        # the whole training part of a fold, of which a draw holds a sixth
        rows = entry.fitted_on
        assert len(rows) > len(y) / 2
        expected = TargetEncoder(target_type="binary").fit(X.iloc[rows][["town"]], y[rows])
        made = front.transform(X)["target(town)"]
        np.testing.assert_allclose(made, expected.transform(X[["town"]])[:, 0], rtol=1e-5)


def test_others_see_the_rows_as_they_are() -> None:
    X, y = many_towns(300)
    linear = make_pipeline(TableEncoder(encode="onehot"), LogisticRegression())
    assert UnderBaggingClassifier(estimator=linear, n_estimators=3, random_state=0).fit(X, y).features_ is None
    numbers = UnderBaggingClassifier(n_estimators=3, random_state=0).fit(X[["noise"]].to_numpy(), y)
    assert numbers.features_ is None


def test_any_transformer_stands_in_front() -> None:
    X, y = many_towns(300)
    encoder = TableEncoder(encode="onehot")
    bags = UnderBaggingClassifier(estimator=LogisticRegression(), features=encoder, n_estimators=3, random_state=0)
    assert len(bags.fit(X, y).features_) == 3
    assert bags.predict_proba(X).shape == (300, 2)
    with pytest.raises(ValueError, match="would come after the features of UnderBaggingClassifier"):
        make_tabular_pipeline(MixedSMOTE(), bags).fit(X, y)
