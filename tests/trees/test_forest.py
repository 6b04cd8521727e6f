"""The trees of a booster as arrays: they add up to what the booster says, and tell the way to each leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from numpy.testing import assert_allclose

from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor, Forest


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(size=300),
            "colour": rng.choice(["red", "green", "blue"], 300),
            "town": rng.choice([f"town {i}" for i in range(20)], 300),
        }
    )
    X.loc[::9, "age"] = np.nan
    return X


def summed(forest: Forest, encoded: np.ndarray, n_outputs: int) -> np.ndarray:
    """Of each row, the leaves all of whose splits it agrees with."""
    leaves = forest.leaves
    nodes, is_left = forest.paths(leaves)
    found = np.zeros((len(encoded), n_outputs))
    for leaf, way, side in zip(leaves, nodes, is_left, strict=True):
        inner = way >= 0
        reached = (forest.goes_left(encoded, way[inner]) == side[inner]).all(axis=1)
        found[reached, forest.output[leaf]] += forest.threshold[leaf]
    return found


@pytest.mark.parametrize("categories", ["encode", "native"])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_leaves_sum_to_the_margin_up_to_a_constant(mixed: pd.DataFrame, n_classes: int, categories: str) -> None:
    rng = np.random.default_rng(0)
    y: Any = rng.normal(size=len(mixed)) + (mixed["colour"] == "red")
    cls = BoostedTreesClassifier if n_classes else BoostedTreesRegressor
    if n_classes:
        y = np.digitize(y, [0.5] if n_classes == 2 else [0, 1])
    trees = cls(n_estimators=12, categories=categories, early_stopping=False, random_state=0).fit(mixed, y)
    rest = trees.margin(mixed) - summed(trees.forest(), trees.encoded(mixed), 3 if n_classes == 3 else 1)
    if n_classes == 3:
        # margins are centred, sums of leaves are not
        rest = rest - rest[:, :1]
    assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-5)


def test_a_booster_that_is_no_sum_of_trees_is_refused() -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))
    booster = xgb.train({"booster": "gblinear"}, xgb.DMatrix(X, X[:, 0]), 3)
    with pytest.raises(ValueError, match="'gblinear' is no sum of trees"):
        Forest.of(booster)


def test_a_tree_of_one_leaf_has_no_way() -> None:
    booster = xgb.train({"max_depth": 3}, xgb.DMatrix(np.zeros((20, 1)), np.arange(20)), 2)
    forest = Forest.of(booster)
    nodes, is_left = forest.paths(forest.leaves)
    assert nodes.shape == is_left.shape == (2, 0)
