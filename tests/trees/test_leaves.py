"""Least and largest sums of trees: against every cell of the box, by brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridlearn import BoostedTreesClassifier
from hybridlearn.trees import reachable_sums


@pytest.fixture(scope="module")
def trees() -> BoostedTreesClassifier:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=300), "b": rng.integers(0, 5, 300).astype(float)})
    X.loc[::11, "a"] = np.nan
    y = (X["a"].fillna(0) * X["b"] > rng.normal(scale=0.5, size=300)).astype(int)
    model = BoostedTreesClassifier(n_estimators=8, max_depth=3, early_stopping=False, random_state=0)
    return model.fit(X, y)


@given(a=st.floats(-3, 3), b=st.floats(0, 4), width=st.floats(0, 1.5))
def test_one_tree_at_a_time_is_exact(trees: BoostedTreesClassifier, a: float, b: float, width: float) -> None:
    """Each cell between thresholds has a row; the bounds are the sums of each tree's extremes over them."""
    forest = trees.forest()
    given_row = np.array([[a, b]])
    lower, upper = given_row - width, given_row + width
    least, largest, rounding = reachable_sums(forest, given_row, [lower, upper], 1)
    inner = forest.left >= 0
    cells = []
    for j in range(2):
        cuts = forest.threshold[inner & (forest.feature == j)].astype(np.float64)
        inside = cuts[(cuts > lower[0, j]) & (cuts <= upper[0, j])]
        cells.append(np.concatenate([[lower[0, j], upper[0, j]], inside]))
    rows = np.array(list(product(*cells)))
    roots = np.flatnonzero(forest.parent < 0)
    values = np.zeros((len(rows), len(roots)))
    for i, root in enumerate(roots):
        node = np.full(len(rows), root)
        while (forest.left[node] >= 0).any():
            left = np.array([forest.goes_left(rows[[r]], node[[r]])[0, 0] for r in range(len(rows))])
            moving = forest.left[node] >= 0
            node = np.where(moving, np.where(left, forest.left[node], forest.right[node]), node)
        values[:, i] = forest.threshold[node]
    assert least[0, 0] == pytest.approx(values.min(axis=0).sum(), abs=1e-6)
    assert largest[0, 0] == pytest.approx(values.max(axis=0).sum(), abs=1e-6)
    assert rounding[0, 0] < 1e-4


def test_a_row_alone_has_the_sum_of_its_leaves(trees: BoostedTreesClassifier) -> None:
    X = np.array([[0.3, 2.0], [np.nan, 1.0], [-2.0, 4.0]])
    least, largest, _ = reachable_sums(trees.forest(), X, [], 1)
    assert (least == largest).all()
    margins = trees.margin(pd.DataFrame(X, columns=["a", "b"]))
    assert np.ptp(margins - least) < 1e-5
