"""Monotonic constraints: by name and by position, held on a grid, refused where they mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


def table(n_rows: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    """Rises and falls along both numbers."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(900, size=n_rows), unit="D"),
            "up": rng.uniform(-3, 3, n_rows),
            "kind": rng.choice(["a", "b", "c"], n_rows),
            "down": rng.uniform(-3, 3, n_rows),
        }
    )
    return X, np.sin(2 * X["up"]) + X["up"] + np.cos(2 * X["down"]) + rng.normal(scale=0.3, size=n_rows)


def steps_along(model: Any, X: pd.DataFrame, column: str) -> np.ndarray:
    """Change of the margin from point to point of a grid along one column, for twenty rows."""
    grid = np.linspace(-3.5, 3.5, 40)
    rows = X.iloc[np.repeat(np.arange(20), len(grid))].assign(**{column: np.tile(grid, 20)})
    return np.diff(model.margin(rows).reshape(20, len(grid)), axis=1)


BY_NAME = {"up": 1, "down": -1}
BY_POSITION = [0, 1, 0, -1]


@pytest.mark.parametrize("constraints", [BY_NAME, BY_POSITION, np.array(BY_POSITION)], ids=["dict", "list", "array"])
@pytest.mark.parametrize("cls", [BoostedTreesRegressor, BoostedTreesClassifier])
def test_the_margin_moves_one_way_along_a_constrained_column(cls: type, constraints: Any) -> None:
    X, y = table()
    if cls is BoostedTreesClassifier:
        y = y > y.median()
    settings = {"n_estimators": 30, "learning_rate": 0.3, "early_stopping": False, "random_state": 0}
    free = cls(**settings).fit(X, y)
    bound = cls(monotonic_cst=constraints, **settings).fit(X, y)
    assert steps_along(free, X, "up").min() < 0 < steps_along(free, X, "down").max()
    assert steps_along(bound, X, "up").min() >= 0 >= steps_along(bound, X, "down").max()
    assert steps_along(bound, X, "up").max() > 0 > steps_along(bound, X, "down").min()


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"up": 1, "sideways": 1}, r"not in X: \['sideways'\]"),
        ([1, 0, 0], r"shape \(3,\), but X has 4 columns"),
        ([[0, 1, 0, -1]], r"shape \(1, 4\)"),
        ({"kind": 1}, "column 'kind': it is categorical"),
        ([0, 0, -1, 0], "column 'kind': it is categorical"),
        ({"when": 1}, "column 'when': it is datetime"),
        ({"up": 2}, "column 'up' is 2; it must be -1, 0 or 1"),
    ],
)
def test_a_constraint_that_means_nothing_is_refused(constraints: Any, message: str) -> None:
    X, y = table(60)
    with pytest.raises(ValueError, match=message):
        BoostedTreesRegressor(n_estimators=2, monotonic_cst=constraints).fit(X, y)


def test_zero_is_allowed_anywhere() -> None:
    X, y = table(60)
    settings = {"n_estimators": 5, "random_state": 0}
    bound = BoostedTreesRegressor(monotonic_cst={"when": 0, "kind": 0}, **settings).fit(X, y)
    np.testing.assert_array_equal(bound.predict(X), BoostedTreesRegressor(**settings).fit(X, y).predict(X))


def test_a_boolean_column_may_be_constrained() -> None:
    X = pd.DataFrame({"flag": np.arange(40) % 2 == 0})
    y = np.where(X["flag"], 0.0, 1.0)
    model = BoostedTreesRegressor(n_estimators=5, monotonic_cst={"flag": 1}, early_stopping=False).fit(X, y)
    assert np.ptp(model.predict(X)) == 0


# -- interactions


def crossed(model: Any, X: pd.DataFrame, one: str, other: str) -> float:
    """How far the margin is, at most, from a sum of a function of one column and of a function without it."""
    rows, others = X[:40], X[40:80].reset_index(drop=True)
    first, second = rows.assign(**{one: others[one].to_numpy()}), rows.assign(**{other: others[other].to_numpy()})
    both = first.assign(**{other: others[other].to_numpy()})
    mixed = model.margin(rows) - model.margin(first) - model.margin(second) + model.margin(both)
    return float(np.abs(mixed).max())


@pytest.mark.parametrize(
    ("allowed", "free"),
    [
        ("no_interactions", []),
        ("pairwise", [("up", "down"), ("up", "town"), ("when", "kind")]),
        ([["up", "town"]], [("up", "town"), ("down", "kind")]),
        ([[1, 4], [3, 2, 0]], [("up", "town"), ("down", "kind")]),
    ],
    ids=["none", "pairs", "names", "positions"],
)
@pytest.mark.parametrize("n_classes", [0, 3])
def test_only_columns_that_may_meet_interact(allowed: Any, free: list[tuple[str, str]], n_classes: int) -> None:
    """One-hot, target-coded and datetime columns are the column they are made of."""
    X, y = table(600)
    rng = np.random.default_rng(1)
    X["town"] = rng.choice([f"town {i}" for i in range(20)], len(X))
    y = y + X["up"] * (X["kind"] == "a") * 3 + X["up"] * X["down"] + X["town"].str[-1].astype(int) * X["up"] / 5
    settings = {"n_estimators": 40, "learning_rate": 0.3, "early_stopping": False, "random_state": 0}
    if n_classes:
        model: Any = BoostedTreesClassifier(interaction_cst=allowed, **settings).fit(X, np.digitize(y, [-2, 2]))
    else:
        model = BoostedTreesRegressor(interaction_cst=allowed, **settings).fit(X, y)
    pairs = {(a, b) for i, a in enumerate(X) for b in list(X)[i + 1 :]}
    if allowed == "no_interactions":
        assert max(crossed(model, X, *pair) for pair in pairs) < 1e-4
    for pair in free:
        assert crossed(model, X, *pair) > 1e-4
    if isinstance(allowed, list):
        assert crossed(model, X, "up", "down") < 1e-4
        assert crossed(model, X, "up", "kind") < 1e-4


@pytest.mark.parametrize(
    ("wanted", "told"), [("none", "must be one of"), ([["up", "weight"]], "'weight'"), ([[0, 9]], "9")]
)
def test_interactions_of_what_is_not_there_are_refused(wanted: Any, told: str) -> None:
    X, y = table()
    with pytest.raises(ValueError, match=f"interaction_cst.*{told}"):
        BoostedTreesRegressor(interaction_cst=wanted, n_estimators=2).fit(X, y)
