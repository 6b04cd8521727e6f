"""A mixed table with gaps of every kind, and targets that hang on one column each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    gaps = rng.random((n, 5)) < 0.15
    frame = pd.DataFrame(
        {
            "age": pd.Series(rng.normal(40, 10, n)),
            "job": pd.Series(rng.choice(["cook", "clerk", "pilot"], n)),
            "since": pd.Series(pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, n), unit="D")),
            "member": pd.Series(rng.random(n) < 0.5).astype("boolean"),
            "grade": pd.Series(rng.integers(1, 4, n)).astype("category"),
        }
    )
    return frame.mask(pd.DataFrame(gaps, columns=frame.columns))


@pytest.fixture(scope="session")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, 3))


@pytest.fixture(scope="session")
def noisy(numbers: np.ndarray) -> np.ndarray:
    """A number that hangs on the table, with noise."""
    return numbers[:, 0] - numbers[:, 1] + np.random.default_rng(1).normal(size=len(numbers))
