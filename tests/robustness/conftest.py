"""A table with all kinds of columns, and models of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _robust import models


@pytest.fixture(scope="session")
def loans() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 240),
            "income": rng.lognormal(8, 0.5, 240),
            "debt": rng.normal(0, 1, 240),
            "job": rng.choice(["cook", "clerk", "boss"], 240),
            "town": rng.choice([f"town {i}" for i in range(20)], 240),
        }
    )
    X.loc[::13, "income"] = np.nan
    X.loc[::17, "job"] = None
    return X


def _score(X: pd.DataFrame) -> np.ndarray:
    rng = np.random.default_rng(1)
    income = np.log(X["income"].fillna(3000).to_numpy()) - 8
    likes = np.where(X["job"] == "boss", 1.0, 0.0)
    return 0.03 * (X["age"].to_numpy() - 45) + income - X["debt"].to_numpy() * (1 + likes) + rng.normal(0, 0.3, len(X))


@pytest.fixture(scope="session")
def paid(loans: pd.DataFrame) -> np.ndarray:
    return np.where(_score(loans) > 0, "yes", "no")


@pytest.fixture(scope="session")
def grade(loans: pd.DataFrame) -> np.ndarray:
    return np.digitize(_score(loans), [-0.7, 0.7])


@pytest.fixture(scope="session")
def fitted(loans: pd.DataFrame, paid: np.ndarray, grade: np.ndarray) -> dict[tuple[str, str], Any]:
    """Each model on the first 160 rows, for two classes and for three."""
    found: dict[tuple[str, str], Any] = {}
    for task, y in (("two", paid), ("three", grade)):
        for name, model in models().items():
            found[name, task] = model.fit(loans[:160], y[:160])
    return found
