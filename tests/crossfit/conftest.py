"""Small tables that the tests of this room share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest


class Table(NamedTuple):
    """Numbers; class codes 0 and 1; class codes 0, 1 and 2; a number to predict."""

    X: np.ndarray
    two: np.ndarray
    three: np.ndarray
    number: np.ndarray


@pytest.fixture(scope="session")
def table() -> Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4))
    number = X[:, 0] - X[:, 1] + rng.normal(size=150)
    return Table(X, (number > 0).astype(int), np.digitize(number, [-0.8, 0.8]), number)
