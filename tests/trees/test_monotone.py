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
