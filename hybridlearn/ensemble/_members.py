"""The members of a hybrid that nobody has chosen by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import TableEncoder
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


def default_members(*, classification: bool) -> list[tuple[str, Any]]:
    """Two boosted trees of different shape, a net and a regularised linear model.

    Returns
    -------
    list of (str, estimator)
        ``"trees"``, ``"deep_trees"``, ``"mlp"``, ``"linear"``; unfitted.
    """
    trees = BoostedTreesClassifier if classification else BoostedTreesRegressor
    net = TabularMLPClassifier if classification else TabularMLPRegressor
    linear = LogisticRegression(max_iter=1000) if classification else RidgeCV(alphas=np.logspace(-2, 4, 13))
    encoder = TableEncoder(encode="onehot", max_levels=50)
    return [
        ("trees", trees()),
        ("deep_trees", trees(max_depth=8, subsample=0.65)),
        ("mlp", net()),
        ("linear", Pipeline([("encode", encoder), ("model", linear)])),
    ]
