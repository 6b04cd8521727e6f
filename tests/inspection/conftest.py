"""Tables of four columns, whose Shapley values can be counted out, and models of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import factorial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridlearn.crossfit import margin


@pytest.fixture(scope="session")
def mixed() -> pd.DataFrame:
    """Numbers with gaps, a category of three levels, one of many."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 240),
            "income": rng.lognormal(3, 0.5, 240),
            "colour": rng.choice(["red", "green", "blue"], 240),
            "town": rng.choice([f"town {i}" for i in range(20)], 240),
        }
    )
    X.loc[::9, "age"] = np.nan
    X.loc[::17, "town"] = None
    return X


@pytest.fixture(scope="session")
def number(mixed: pd.DataFrame) -> np.ndarray:
    """A target with an interaction."""
    rng = np.random.default_rng(1)
    age = mixed["age"].fillna(30).to_numpy()
    likes = (mixed["colour"] == "red").to_numpy()
    return (age / 10) * likes + np.log(mixed["income"].to_numpy()) + rng.normal(scale=0.3, size=len(mixed))


def counted(model: Any, rows: pd.DataFrame, background: pd.DataFrame) -> np.ndarray:
    """Shapley values by all subsets of the columns, shape (n_rows, n_columns, n_outputs)."""
    names = list(rows.columns)
    n = len(names)
    found = []
    for i in range(len(rows)):
        worth = {}
        for subset in product([False, True], repeat=n):
            mixture = background.copy()
            for name, is_known in zip(names, subset, strict=True):
                if is_known:
                    mixture[name] = pd.Series([rows[name].iloc[i]] * len(background), index=background.index).astype(
                        background[name].dtype
                    )
            worth[subset] = margin(model, mixture).mean(axis=0)
        values = np.zeros((n, len(next(iter(worth.values())))))
        for subset, value in worth.items():
            for j in range(n):
                if not subset[j]:
                    share = factorial(sum(subset)) * factorial(n - sum(subset) - 1) / factorial(n)
                    values[j] += share * (worth[(*subset[:j], True, *subset[j + 1 :])] - value)
        found.append(values)
    return np.array(found)


@pytest.fixture(scope="session")
def count() -> Callable[..., np.ndarray]:
    return counted
