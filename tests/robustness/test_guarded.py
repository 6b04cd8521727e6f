"""Guards: how many rows like those of fit are flagged, what happens to the flagged, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, OneClassSVM

from hybridlearn import (
    BoostedTreesClassifier,
    BoostedTreesRegressor,
    GuardedClassifier,
    GuardedRegressor,
    SelectiveClassifier,
    load,
    save,
)
from hybridlearn.robustness import AnomalyError

TREES = {"n_estimators": 10, "early_stopping": False}
GUARDS: list[Any] = ["lof", "one_class_svm", "isolation_forest", IsolationForest(n_estimators=20, random_state=0)]


@pytest.fixture(scope="module")
def cancer() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X, y.to_numpy()


def guarded(**params: Any) -> GuardedClassifier:
    return GuardedClassifier(estimator=BoostedTreesClassifier(**TREES), random_state=0, **params)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard if isinstance(guard, str) else "given")
def test_few_rows_like_those_of_fit_are_flagged(guard: Any, cancer: tuple[pd.DataFrame, np.ndarray]) -> None:
    """In the mean over splits, and with the errors of both sides; rows that are moved far are told from them."""
    X, y = cancer
    flagged, areas, alpha = [], [], 0.1
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(X))
        train, test = order[:380], order[380:]
        model = guarded(guard=guard, alpha=alpha).fit(X.iloc[train], y[train])
        flagged.append(1 - model.coverage_score(X.iloc[test]))
        moved = X.iloc[test].copy()
        moved.iloc[:, :3] += 5 * X.iloc[train, :3].std()
        scores = np.concatenate([model.p_values(X.iloc[test]), model.p_values(moved)])
        areas.append(roc_auc_score(np.repeat([1, 0], len(test)), scores))
    error = np.sqrt(alpha * (1 - alpha) * (1 / 189 + 1 / 380) / 5)
    assert np.mean(flagged) <= alpha + 3 * error
    # of thirty columns three are a small part of the random splits of a forest
    assert np.mean(areas) > (0.9 if isinstance(guard, str) and guard != "isolation_forest" else 0.7)


def test_p_values_count_rows_that_no_detector_has_seen() -> None:
    """By hand: a detector that scores a row by its only number."""

    class Number(StandardScaler):
        def score_samples(self, X: np.ndarray) -> np.ndarray:
            return X[:, 0]

    X = pd.DataFrame({"x": np.arange(20.0)})
    model = GuardedRegressor(estimator=Ridge(), guard=Number(), alpha=0.3, cv=2, random_state=0).fit(X, X["x"])
    found = model.p_values(pd.DataFrame({"x": [-1.0, 0.0, 9.0, 19.0, 99.0]}))
    assert found[0] == 1 / 21
    assert found[-1] == 1.0
    assert (np.diff(found) >= 0).all()
    guard = model.guard_
    assert sum(len(fold.scores) for fold in guard.folds) == guard.n_rows == 20


def test_what_is_done_with_anomalies(cancer: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = cancer
    labels = np.where(y, "benign", "malignant")
    rows = pd.concat([X.iloc[:5], X.iloc[:5] * 100])
    plain = BoostedTreesClassifier(**TREES, random_state=0).fit(X, labels).predict(rows)

    def of(**params: Any) -> GuardedClassifier:
        trees = BoostedTreesClassifier(**TREES, random_state=0)
        return GuardedClassifier(estimator=trees, random_state=0, **params).fit(X, labels)

    flag = of()
    found = flag.predict_with_guard(rows)
    accepted = found.accepted
    assert not accepted[5:].any()
    assert_array_equal(found.y_pred, plain)
    assert_array_equal(flag.predict(rows), plain)
    assert_array_equal(accepted, found.p_value > 0.05)
    abstained = of(on_anomaly="abstain", abstain_label="unknown").predict(rows)
    assert_array_equal(abstained, np.where(accepted, plain, "unknown"))
    fallback = of(on_anomaly="fallback")
    assert_array_equal(fallback.predict(rows), np.where(accepted, plain, "benign"))
    shares = [np.mean(labels == "benign"), np.mean(labels == "malignant")]
    assert_allclose(fallback.predict_proba(rows)[~accepted], np.tile(shares, (sum(~accepted), 1)))
    other = of(on_anomaly="fallback", fallback=LogisticRegression(max_iter=10_000))
    assert other.fallback_.coef_.shape == (1, 30)
    with pytest.raises(AnomalyError, match=r"of 10 rows are unlike those of fit: rows .*5 \(p="):
        of(on_anomaly="raise").predict(rows)
    with pytest.raises(AnomalyError):
        of(on_anomaly="raise").predict_proba(rows)


def test_mixed_tables_gaps_and_groups() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=120), "kind": rng.choice(["a", "b"], 120)})
    X.loc[::7, "x"] = np.nan
    y = X["x"].fillna(0) + rng.normal(size=120)
    trees = BoostedTreesRegressor(**TREES, random_state=0)
    groups = np.repeat(np.arange(12), 10)
    model = GuardedRegressor(estimator=trees, alpha=0.1, random_state=0).fit(X, y, groups=groups)
    strange = X.iloc[:3].assign(x=50.0, kind="z")
    with pytest.warns(UserWarning, match="levels that were not there in fit"):
        assert not model.predict_with_guard(strange).accepted.any()
    weight = np.ones(120)
    assert GuardedRegressor(estimator=trees, alpha=0.1).fit(X, y, sample_weight=weight).predict(X).shape == (120,)
    by_time = GuardedRegressor(estimator=trees, alpha=0.1, cv=3, random_state=0).fit(X, y, time=np.arange(120))
    assert by_time.guard_.n_rows == 90


def test_a_guard_is_searched_and_saved(cancer: tuple[pd.DataFrame, np.ndarray], tmp_path: Path) -> None:
    X, y = cancer
    search = GridSearchCV(guarded(cv=2), {"alpha": [0.05, 0.2], "estimator__max_depth": [2]}, cv=2).fit(X, y)
    assert search.best_estimator_.estimator_.max_depth == 2
    for guard in ("isolation_forest", "one_class_svm"):
        model = guarded(guard=guard, cv=2).fit(X, y)
        save(model, tmp_path / "model.hl")
        again = load(tmp_path / "model.hl")
        assert_array_equal(again.p_values(X), model.p_values(X))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alpha": 0.001}, ValueError, "alpha=0.001 needs at least 999 rows to calibrate, got 569"),
        ({"on_anomaly": "abstain"}, ValueError, "needs abstain_label"),
        ({"guard": LocalOutlierFactor()}, TypeError, "set novelty=True"),
        ({"guard": StandardScaler()}, TypeError, "guard must be one of"),
        ({"on_anomaly": "cry"}, ValueError, "on_anomaly"),
    ],
)
def test_bad_parameters_are_named(
    cancer: tuple[pd.DataFrame, np.ndarray], params: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        guarded(**params).fit(*cancer)


def test_no_probabilities_without_those_of_the_estimator() -> None:
    assert not hasattr(GuardedRegressor(estimator=Ridge()), "predict_proba")
    assert hasattr(guarded(), "predict_proba")
    assert not hasattr(GuardedClassifier(estimator=OneClassSVM()), "predict_proba")


# -- selective prediction


@pytest.fixture(scope="module")
def noisy() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 3)), columns=list("abc"))
    return X, np.digitize(X["a"] + rng.normal(scale=0.5, size=600), [-0.5, 0.5])


def test_what_is_kept_is_right_more_often(noisy: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = noisy
    model = SelectiveClassifier(estimator=LogisticRegression(), coverage=0.8, random_state=0).fit(X[:400], y[:400])
    found = model.predict_with_rejection(X[400:])
    right = found.y_pred == y[400:]
    assert 0.7 < found.accepted.mean() < 0.9
    assert right[found.accepted].mean() > right.mean() > right[~found.accepted].mean()
    assert_array_equal(found.y_pred, model.estimator_.predict(X[400:]))
    assert_allclose(found.confidence, model.predict_proba(X[400:]).max(axis=1))


def test_the_curve_is_out_of_fold(noisy: tuple[pd.DataFrame, np.ndarray]) -> None:
    """A model that learns its rows by heart is never wrong on them, and knows better."""
    X, y = noisy
    deep = BoostedTreesClassifier(n_estimators=60, learning_rate=0.5, early_stopping=False, random_state=0)
    model = SelectiveClassifier(estimator=deep, random_state=0).fit(X, y)
    curve = model.risk_coverage_
    assert model.score(X, y) == 1.0
    assert curve["error"].iloc[-1] > 0.2
    assert curve["coverage"].iloc[-1] == pytest.approx(1.0)
    assert curve["coverage"].is_monotonic_increasing
    assert curve["threshold"].is_monotonic_decreasing
    assert (curve["coverage"][curve["threshold"] >= model.threshold_]).max() >= 0.9
    ax = model.plot_risk_coverage()
    assert ax.get_xlabel() == "share of rows accepted"


def test_all_rows_may_be_kept(noisy: tuple[pd.DataFrame, np.ndarray]) -> None:
    model = SelectiveClassifier(estimator=LogisticRegression(), coverage=1.0, random_state=0).fit(*noisy)
    assert model.threshold_ == model.risk_coverage_["threshold"].min()


def test_what_no_row_has_shown_is_strange() -> None:
    """A gap where there was none and another value of a constant are nothing to an encoder that never saw them."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "x": rng.normal(size=300),
            "constant": 1.0,
            "job": rng.choice(["cook", "clerk"], 300),
            "name": [f"customer {i}" for i in range(300)],
        }
    )
    y = (X["x"] > 0).astype(int)
    model = GuardedClassifier(estimator=BoostedTreesClassifier(**TREES), random_state=0).fit(X, y)
    # of names that nobody shares a new one is no news
    usual = X.iloc[:1].assign(x=0.0, name="somebody else")
    strange = {"x": np.nan, "constant": 2.0, "job": "pilot"}
    rows = pd.concat([usual, *(usual.assign(**{name: value}) for name, value in strange.items())], ignore_index=True)
    assert (model.p_values(rows) > model.alpha).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"on_anomaly": "abstain", "abstain_label": "unknown"}, ValueError, "abstain_label='unknown' is of another"),
        ({"estimator": Ridge()}, TypeError, r"'estimator' \(Ridge\) is not a classifier"),
        ({"on_anomaly": "fallback", "fallback": Ridge()}, TypeError, "'fallback'"),
    ],
)
def test_what_does_not_fit_together_is_named(
    params: dict[str, Any], error: type[Exception], message: str, cancer: tuple[pd.DataFrame, np.ndarray]
) -> None:
    with pytest.raises(error, match=message):
        guarded().set_params(**params).fit(*cancer)


def test_splitters_of_the_guard_see_the_target(cancer: tuple[pd.DataFrame, np.ndarray]) -> None:
    assert guarded(cv=StratifiedKFold(3)).fit(*cancer).coverage_score(cancer[0]) > 0.8


def test_probabilities_need_a_fallback_that_has_them(cancer: tuple[pd.DataFrame, np.ndarray]) -> None:
    model = guarded(on_anomaly="fallback", fallback=LinearSVC()).fit(*cancer)
    assert not hasattr(model, "predict_proba")
    assert set(model.predict(cancer[0])) == {0, 1}
