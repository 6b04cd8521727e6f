"""Importances on rows that no model has seen: planted noise, columns that say the same, rows that are not those."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from hybridlearn import (
    BoostedTreesClassifier,
    BoostedTreesRegressor,
    HybridBaggingRegressor,
    HybridClassifier,
    HybridRegressor,
    importance,
)

TREES = {"n_estimators": 30, "learning_rate": 0.2, "early_stopping": False}


def planted(n_rows: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A column that counts, the same again with a little noise, and one of noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"cause": rng.normal(size=n_rows), "noise": rng.normal(size=n_rows)})
    X["copy"] = X["cause"] + rng.normal(scale=0.01, size=n_rows)
    return X, X["cause"].to_numpy() + rng.normal(scale=0.3, size=n_rows)


def hybrid(**changes: object) -> HybridRegressor:
    trees = BoostedTreesRegressor(**TREES)
    return HybridRegressor(estimators=[("trees", trees)], cv=3, features=None, random_state=0, **changes)


def test_noise_has_an_interval_around_zero_where_the_model_has_learned_it() -> None:
    """30 trees of depth 6 fit noise: on the rows of the fit it would be important."""
    X, y = planted()
    found = importance(hybrid().fit(X, y), X, y)
    noise = found.frame.loc["noise"]
    assert noise["low"] < 0 < noise["high"]
    assert found.frame.index[-1] == "noise"


def test_a_duplicated_column_is_important_as_a_group() -> None:
    X, y = planted()
    model = hybrid().fit(X, y)
    alone = importance(model, X, y).frame
    together = importance(model, X, y, groups={"either": ["cause", "copy"]}).frame
    found = importance(model, X, y, groups="auto").frame
    assert together.loc["either", "importance"] > 2 * alone.loc[["cause", "copy"], "importance"].max()
    assert together.loc["either", "low"] > 0
    assert found.index.tolist()[0] == "cause + copy"
    pd.testing.assert_series_equal(found.loc["cause + copy"], together.loc["either"], check_names=False)


def test_a_linear_models_importance_is_known() -> None:
    """Of a column of variance 1 and weight w a permutation adds 2 w^2 to the squared error."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    y = 3 * X[:, 0] + rng.normal(size=4000)
    model = LinearRegression().fit(X[:2000], y[:2000])
    frame = importance(model, X[2000:], y[2000:], n_repeats=20).frame
    assert frame.index.tolist() == ["0", "1"]
    assert frame.loc["0", "importance"] == pytest.approx(18, rel=0.1)
    assert abs(frame.loc["1", "importance"]) < 0.01


@pytest.mark.parametrize("kind", ["three classes", "bags", "in time", "weights"])
def test_every_row_is_judged_by_models_that_never_saw_it(kind: str) -> None:
    """With nothing changed, a replay gives the margins of the out-of-fold table."""
    X, y = planted(200)
    classes = np.digitize(y, [-0.5, 0.5])
    members = [("trees", BoostedTreesClassifier(**TREES)), ("linear", LogisticRegression())]
    weight = np.ones(200)
    if kind == "three classes":
        model = HybridClassifier(estimators=members, cv=3, random_state=0).fit(X, classes)
    elif kind == "bags":
        model = HybridBaggingRegressor(
            estimator=BoostedTreesRegressor(**TREES), n_estimators=6, resample="bootstrap", random_state=0
        ).fit(X, y)
    elif kind == "in time":
        model = hybrid().set_params(cv=TimeSeriesSplit(3)).fit(X, y)
    else:
        weight[::5] = 0
        model = hybrid().fit(X, y, sample_weight=weight)
    again = model.replay(X)
    covered = model.oof_.positions[model.oof_.covered]
    np.testing.assert_allclose(again[covered], model.oof_.margins["blend"][model.oof_.covered], atol=1e-6)
    assert np.isnan(np.delete(again, covered, axis=0)).all()
    if kind != "weights":
        frame = importance(model, X, classes if kind == "three classes" else y, n_repeats=2).frame
        assert frame.loc["noise", "importance"] < frame["importance"].max()


def test_rows_of_the_fit_in_another_order_are_refused() -> None:
    """They would be judged by models that have seen them."""
    X, y = planted(120)
    model = hybrid().fit(X, y)
    order = np.random.default_rng(0).permutation(120)
    with pytest.raises(ValueError, match="in the order of fit"):
        importance(model, X.iloc[order], y[order])


def test_rows_without_weight_need_not_be_known() -> None:
    X, y = planted(120)
    weight = np.ones(120)
    weight[::5] = 0
    model = hybrid().fit(X, y, sample_weight=weight)
    assert importance(model, X, y, n_repeats=2).frame.index[-1] == "noise"


def test_a_search_is_asked_for_the_hybrid_that_it_has_found() -> None:
    X, y = planted(120)
    search = GridSearchCV(hybrid(), {"final_estimator": ["mean"]}, cv=2).fit(X, y)
    again = importance(search.best_estimator_, X, y).frame
    pd.testing.assert_frame_equal(importance(search, X, y).frame, again)


def test_rows_that_are_not_those_are_refused() -> None:
    X, y = planted()
    model = hybrid().fit(X[:300], y[:300])
    with pytest.raises(ValueError, match="400 rows, HybridRegressor was fitted on 300"):
        importance(model, X, y)
    trees = BoostedTreesRegressor(**TREES, random_state=0).fit(X[:300], y[:300])
    with pytest.raises(ValueError, match="was trained on 300 of 400 rows"):
        importance(trees, X, y)
    assert importance(trees, X[300:], y[300:]).frame.index[-1] == "noise"
    with pytest.raises(ValueError, match="at least 300"):
        model.replay(X[:299])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"groups": {"a": ["cause", "weight"]}}, r"not in X: \['weight'\]"),
        ({"groups": {"a": ["cause"], "b": ["cause"]}}, r"more than once: \['cause'\]"),
        ({"groups": "all"}, "groups must be a dict"),
        ({"confidence": 95}, "confidence must be between"),
        ({"n_repeats": 0}, "n_repeats must be at least 1"),
    ],
)
def test_bad_parameters_are_named(how: dict, told: str) -> None:
    X, y = planted(100)
    model = LinearRegression().fit(X, y)
    with pytest.raises(ValueError, match=told):
        importance(model, X, y, **how)


def test_importances_are_drawn() -> None:
    X, y = planted()
    ax = importance(LinearRegression().fit(X, y), X, y).plot(max_groups=2)
    assert len(ax.patches) == 2
