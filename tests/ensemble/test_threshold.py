"""Where a classifier draws the line, by a score or by what mistakes cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import train_test_split

from hybridlearn import HybridBaggingClassifier, HybridClassifier, HybridStackingClassifier, UnderBaggingClassifier
from hybridlearn.crossfit import BLEND, cross_fit
from hybridlearn.ensemble import learn_threshold
from hybridlearn.ensemble._threshold import Cells

LINEAR = [("linear", LogisticRegression())]


@pytest.fixture(scope="module")
def rare() -> Any:
    rng = np.random.RandomState(0)
    X = rng.randn(4000, 3)
    y = np.where(rng.uniform(size=4000) < 1 / (1 + np.exp(3.5 - 2 * X[:, 0])), "yes", "no")
    return train_test_split(X, y, stratify=y, random_state=0)


def table_of(X: Any, y: Any) -> Any:
    oof = cross_fit(LINEAR, X, y, random_state=0)
    return oof.with_blend(oof.margins["linear"], [])


def hybrid(**settings: Any) -> HybridClassifier:
    return HybridClassifier(**{"estimators": LINEAR, "random_state": 0} | settings)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_a_score_is_raised(name: str, rare: Any) -> None:
    X, X_test, y, y_test = rare
    measure = {"f1": lambda a, b: f1_score(a, b, pos_label="yes"), "balanced_accuracy": balanced_accuracy_score}[name]
    plain, tuned = hybrid().fit(X, y), hybrid(threshold=name).fit(X, y)
    assert plain.threshold_ == 0.5
    assert 0 < tuned.threshold_ < 0.5
    np.testing.assert_array_equal(plain.predict_proba(X_test), tuned.predict_proba(X_test))
    assert measure(y_test, tuned.predict(X_test)) > measure(y_test, plain.predict(X_test)) + 0.02
    expected = np.where(tuned.predict_proba(X_test)[:, 1] > tuned.threshold_, "yes", "no")
    np.testing.assert_array_equal(tuned.predict(X_test), expected)


def test_cells_are_what_scikit_learn_would_count(rare: Any) -> None:
    X, _, y, _ = rare
    oof = table_of(X, y)
    rows = np.arange(0, len(y), 2)
    cells = Cells.of(oof, rows)
    probability = expit(oof.margins[BLEND][rows, 0])
    for threshold, counts in list(zip(cells.thresholds, cells.counts, strict=True))[::7]:
        predicted = (probability > threshold).astype(int)
        f1 = f1_score(oof.target[rows], predicted, sample_weight=oof.weight[rows])
        assert 2 * counts[1, 1] / (2 * counts[1, 1] + counts[0, 1] + counts[1, 0]) == pytest.approx(f1)
        assert counts.sum() == pytest.approx(oof.weight[rows].sum())


def test_a_callable_is_asked_about_rows(rare: Any) -> None:
    X, _, y, _ = rare
    X, y = X[:800], y[:800]

    def own(estimator: Any, rows: Any, labels: Any) -> float:
        return f1_score(labels, estimator.predict(rows), pos_label="yes")

    assert hybrid(threshold=own).fit(X, y).threshold_ == pytest.approx(hybrid(threshold="f1").fit(X, y).threshold_)


def test_the_leaderboard_is_honest(rare: Any) -> None:
    """The threshold that judges a fold is learned from the others."""
    X, _, y, _ = rare
    model = hybrid(threshold="f1", scoring="f1").fit(X, y)
    table = model.oof_
    predicted = np.empty(len(y), dtype=int)
    for _, others, rows in table.second_level():
        own = learn_threshold("f1", table, others)
        predicted[rows] = expit(table.margins[BLEND][rows, 0]) > own
    board = model.leaderboard_.set_index("member")["score"]
    assert board[BLEND] == pytest.approx(f1_score(table.target, predicted))


def test_a_number_that_is_set_later_is_followed(rare: Any) -> None:
    X, _, y, _ = rare
    model = hybrid(threshold="f1").fit(X, y)
    learned = model.threshold_
    np.testing.assert_array_equal(model.predict(X) == "yes", model.predict_proba(X)[:, 1] > learned)
    model.set_params(threshold=np.float32(0.7))
    np.testing.assert_array_equal(model.predict(X) == "yes", model.predict_proba(X)[:, 1] > np.float32(0.7))


class TestCosts:
    def test_of_two_classes_they_imply_a_threshold(self, rare: Any) -> None:
        X, X_test, y, y_test = rare
        cost = np.array([[0.0, 1.0], [9.0, 0.0]])
        model = hybrid(threshold=cost).fit(X, y)
        assert model.threshold_ == pytest.approx(0.1, abs=0.06)

        def paid(labels: np.ndarray) -> float:
            return cost[(y_test == "yes").astype(int), (labels == "yes").astype(int)].mean()

        assert paid(model.predict(X_test)) < 0.9 * paid(hybrid().fit(X, y).predict(X_test))
        assert model.threshold_ == hybrid(threshold=cost.tolist()).fit(X, y).threshold_

    def test_a_threshold_is_learned_only_where_that_is_cheaper(self, rare: Any) -> None:
        """Margins a constant too high: the implied threshold is wrong, and the folds say so."""
        X, _, y, _ = rare
        oof = table_of(X, y)
        wrong = oof.with_blend(oof.margins["linear"] + 2, [])
        cost, rows = [[0, 1], [4, 0]], np.arange(len(y))
        assert learn_threshold(cost, wrong, rows) > 0.4
        assert learn_threshold(cost, oof, rows[:0]) == pytest.approx(0.2)

    def test_of_three_classes_the_least_expected_cost_is_predicted(self) -> None:
        rng = np.random.RandomState(0)
        y = rng.choice(3, 900, p=[0.7, 0.2, 0.1])
        X = rng.randn(900, 2) + y[:, None]
        cost = [[0, 1, 1], [5, 0, 1], [20, 5, 0]]
        model = hybrid(threshold=cost).fit(X, y)
        expected = model.classes_[(model.predict_proba(X) @ np.array(cost)).argmin(axis=1)]
        np.testing.assert_array_equal(model.predict(X), expected)
        np.testing.assert_array_equal(model.threshold_, cost)
        assert (model.predict(X) == 2).mean() > (hybrid().fit(X, y).predict(X) == 2).mean()


@pytest.mark.parametrize("model", [
    HybridStackingClassifier(estimators=LINEAR, final_estimator=LogisticRegression()),
    HybridBaggingClassifier(estimator=LogisticRegression(), resample="bootstrap"),
    UnderBaggingClassifier(estimator=LogisticRegression()),
])  # fmt: skip
def test_every_hybrid_has_one(model: Any, rare: Any) -> None:
    X, _, y, _ = rare
    fitted = model.set_params(threshold="balanced_accuracy", random_state=0).fit(X[:800], y[:800])
    assert 0 < fitted.threshold_ < 0.5
    assert balanced_accuracy_score(y, fitted.predict(X)) > 0.7


def test_the_picture(rare: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    X, _, y, _ = rare
    X, y = X[:500], y[:500]
    axes = hybrid().fit(X, y).plot_threshold()
    assert [line.get_label() for line in axes.lines] == ["f1", "balanced_accuracy", "threshold 0.5"]
    tuned = hybrid(threshold=[[0, 1], [9, 0]]).fit(X, y)
    line = tuned.plot_threshold().lines[-1]
    assert line.get_xdata()[0] == tuned.threshold_
    with pytest.raises(ValueError, match="for two classes, y had 3"):
        hybrid().fit(X, np.arange(500) % 3).plot_threshold()


@pytest.mark.parametrize(("threshold", "y", "message"), [
    ("f1", [0, 1, 2], r"threshold='f1' is for two classes, y has 3; give what mistakes cost"),
    (0.3, [0, 1, 2], r"threshold=0.3 is for two classes"),
    ("roc_auc", [0, 1], r"threshold='roc_auc' is no score of labels"),
    ("neg_log_loss", [0, 1], r"is no score of labels"),
    ([[0, 1]], [0, 1], r"of shape \(2, 2\).*got shape \(1, 2\)"),
    ([[0, 1], [1, np.nan]], [0, 1], r"finite numbers"),
    ([[1, 0], [1, 0]], [0, 1], r"make a mistake dearer"),
    ([[0, 1], [1]], [0, 1], r"threshold=.* no cost matrix"),
    ([[0, "a"], [1, 0]], [0, 1], r"threshold=.* no cost matrix"),
    (lambda estimator, rows, labels: np.nan, [0, 1], r"threshold is a score that is NaN"),
    ("nonsense", [0, 1], r"'threshold' parameter"),
    (1.5, [0, 1], r"'threshold' parameter"),
])  # fmt: skip
def test_what_cannot_be_used_is_named(threshold: Any, y: list[int], message: str) -> None:
    X, y = np.random.RandomState(0).randn(90, 2), np.tile(y, 90 // len(y))
    with pytest.raises(ValueError, match=message):
        hybrid(threshold=threshold).fit(X, y)
