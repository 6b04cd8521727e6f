"""A booster's trees as flat arrays, for whoever explains or bounds their sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from hybridlearn._protocols import SumOfTrees

_CATEGORICAL = 1


def is_sum_of_trees(estimator: Any) -> bool:
    """Whether it is one of this package's, or XGBoost's, whose margin its trees add up to."""
    is_xgboost = hasattr(estimator, "get_booster") and getattr(estimator, "booster", None) in (None, "gbtree")
    return isinstance(estimator, SumOfTrees) or is_xgboost


def booster_of(estimator: Any) -> xgb.Booster:
    """The booster by which such an estimator predicts: XGBoost's own end at their best round, where they have one."""
    if isinstance(estimator, SumOfTrees):
        return estimator.booster_
    best = getattr(estimator, "best_iteration", None)
    booster = estimator.get_booster()
    return booster if best is None else booster[: best + 1]


@dataclass(frozen=True, eq=False)
class Forest:
    """The nodes of all trees, one tree behind the other.

    Attributes
    ----------
    left, right : ndarray of shape (n_nodes,), int64
        Positions of the children; -1 of a leaf.
    parent : ndarray of shape (n_nodes,), int64
        -1 of a root.
    feature : ndarray of shape (n_nodes,), int64
        Encoded column that is split.
    threshold : ndarray of shape (n_nodes,), float32
        What is less goes left; of a leaf, what it adds to the margin.
    default_left : ndarray of shape (n_nodes,), bool
        Where a missing value goes.
    output : ndarray of shape (n_nodes,), int64
        Margin that the tree of the node adds to.
    categories : dict of int to ndarray of int64
        By node that splits a native category, the codes that go right.
    base_score : ndarray of shape (n_outputs,), float64
        Where the sum starts, as the booster keeps it: in units of the prediction, for log-odds a probability.
    """

    left: np.ndarray
    right: np.ndarray
    parent: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    default_left: np.ndarray
    output: np.ndarray
    categories: dict[int, np.ndarray]
    base_score: np.ndarray

    @classmethod
    def of(cls, booster: xgb.Booster) -> Forest:
        """Read the trees of a booster.

        Raises
        ------
        ValueError
            Of those of a kind other than ``gbtree``, which are no plain sum, and of trees of several outputs.
        """
        learner = json.loads(booster.save_raw("json"))["learner"]
        kind, model = learner["gradient_booster"]["name"], learner["gradient_booster"].get("model", {})
        if kind != "gbtree":
            raise ValueError(f"a booster of kind {kind!r} is no sum of trees")
        trees, outputs = model["trees"], model["tree_info"]
        if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
            raise ValueError("trees of several outputs (multi_output_tree) are not read")
        sizes = [len(tree["left_children"]) for tree in trees]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

        def joined(name: str, dtype: type) -> np.ndarray:
            return np.concatenate([np.empty(0, dtype), *(np.asarray(tree[name], dtype) for tree in trees)])

        left, right = joined("left_children", np.int64), joined("right_children", np.int64)
        offset, inner = np.repeat(first[:-1], sizes), left >= 0
        left, right = np.where(inner, left + offset, -1), np.where(inner, right + offset, -1)
        parent = np.full(len(left), -1)
        for children in (left, right):
            parent[children[inner]] = np.flatnonzero(inner)
        return cls(
            left=left,
            right=right,
            parent=parent,
            feature=joined("split_indices", np.int64),
            threshold=joined("split_conditions", np.float32),
            default_left=joined("default_left", np.bool_),
            output=np.repeat(np.asarray(outputs, np.int64), sizes),
            categories=_categories(trees, first),
            base_score=np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64),
        )

    @property
    def leaves(self) -> np.ndarray:
        """Positions of the leaves."""
        return np.flatnonzero(self.left < 0)

    def goes_left(self, encoded: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Whether each row goes left at each of some nodes, wherever it comes from.

        Parameters
        ----------
        encoded : ndarray of shape (n_rows, n_encoded)
        nodes : ndarray of shape (n_asked,), int
            Inner ones.

        Returns
        -------
        ndarray of shape (n_rows, n_asked), bool
        """
        values = encoded.astype(np.float32)[:, self.feature[nodes]]
        left = values < self.threshold[nodes]
        for i, node in enumerate(nodes) if self.categories else ():
            if int(node) in self.categories:
                left[:, i] = ~np.isin(values[:, i], self.categories[int(node)])
        return np.where(np.isnan(values), self.default_left[nodes], left)

    def paths(self, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inner nodes above each of some leaves, from the leaf up, and whether the way to it goes left there.

        Returns
        -------
        nodes : ndarray of shape (n_leaves, depth), int64
            -1 above the root.
        is_left : ndarray of shape (n_leaves, depth), bool
        """
        nodes, is_left = [], []
        below, node = leaves, self.parent[leaves]
        while (node >= 0).any():
            nodes.append(node)
            is_left.append((node >= 0) & (self.left[node] == below))
            below, node = np.where(node >= 0, node, below), np.where(node >= 0, self.parent[node], -1)
        if not nodes:
            return np.empty((len(leaves), 0), np.int64), np.empty((len(leaves), 0), np.bool_)
        return np.column_stack(nodes), np.column_stack(is_left)


def _categories(trees: list[dict], first: np.ndarray) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for tree, offset in zip(trees, first[:-1], strict=True):
        codes = np.asarray(tree["categories"], np.int64)
        facts = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        found |= {int(node + offset): codes[start : start + size] for node, start, size in facts}
    return found
