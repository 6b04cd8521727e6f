"""Small tables and small members that the tests of this room share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor

from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


class Table(NamedTuple):
    """Numbers; class codes 0 and 1; class codes 0, 1 and 2; a number to predict."""

    X: np.ndarray
    two: np.ndarray
    three: np.ndarray
    number: np.ndarray


@pytest.fixture(scope="session")
def table() -> Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 4))
    number = X[:, 0] - X[:, 1] + rng.normal(size=160)
    return Table(X, (number > 0).astype(int), np.digitize(number, [-0.8, 0.8]), number)


@pytest.fixture(scope="session")
def mixed() -> tuple[pd.DataFrame, np.ndarray]:
    """A frame with text, missing values and booleans, and class codes 0 and 1."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=160),
            "colour": rng.choice(["red", "green", "blue"], 160),
            "town": rng.choice([f"town {i}" for i in range(12)], 160),
            "flag": rng.random(160) < 0.5,
        }
    )
    y = (frame["a"] + (frame["colour"] == "red") + rng.normal(size=160) > 0.3).to_numpy(dtype=int, copy=True)
    frame.loc[::20, "a"] = np.nan
    frame.loc[5:8, "town"] = None
    return frame, y


@pytest.fixture
def members() -> list[tuple[str, Any]]:
    return [
        ("trees", BoostedTreesClassifier(n_estimators=10, learning_rate=0.3)),
        ("linear", LogisticRegression()),
        ("bayes", GaussianNB()),
    ]


@pytest.fixture
def regressors() -> list[tuple[str, Any]]:
    return [
        ("trees", BoostedTreesRegressor(n_estimators=10, learning_rate=0.3)),
        ("ridge", Ridge()),
        ("neighbours", KNeighborsRegressor(10)),
    ]
