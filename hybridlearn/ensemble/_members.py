"""The members of a hybrid that nobody has chosen by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline

from hybridlearn import nets
from hybridlearn.ensemble._base import Members
from hybridlearn.table import TableEncoder
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor


def _one_of(classifier: type, regressor: type, **params: Any) -> Callable[[bool], Any]:
    return lambda classification: (classifier if classification else regressor)(**params)


def _linear(classification: bool) -> Pipeline:
    model = LogisticRegression(max_iter=1000) if classification else RidgeCV(alphas=np.logspace(-2, 4, 13))
    return Pipeline([("encode", TableEncoder(encode="onehot", max_levels=50)), ("model", model)])


_trees = partial(_one_of, BoostedTreesClassifier, BoostedTreesRegressor)
_mlp = partial(_one_of, nets.TabularMLPClassifier, nets.TabularMLPRegressor)
_tabm = partial(_one_of, nets.TabMClassifier, nets.TabMRegressor)

# Settings that complement each other across tables: docs/performance.md tells what each is worth.
PORTFOLIO: dict[str, Callable[[bool], Any]] = {
    "trees": _trees(),
    "random_trees": _trees(
        n_estimators=2000,
        learning_rate=0.03,
        min_child_weight=0.1,
        max_features=0.3,
        l2_regularization=3.0,
        n_iter_no_change=80,
    ),
    "mlp": _mlp(),
    "tabm": _tabm(),
    "linear": _linear,
    # with a seed of its own: what two nets of a kind have learned by chance is not the same
    "second_mlp": _mlp(),
    "shallow_trees": _trees(max_depth=3, learning_rate=0.1),
    "second_tabm": _tabm(),
}
# Whose margin is a sum of a function a column.
_ADDITIVE: dict[str, Callable[[bool], Any]] = {
    "additive_trees": _trees(interaction_cst="no_interactions", max_depth=4),
    "additive_net": _one_of(nets.AdditiveNetClassifier, nets.AdditiveNetRegressor),
    "linear": _linear,
}
_PRESETS: dict[str, tuple[str, ...]] = {
    "fast": ("trees", "random_trees", "linear"),
    "balanced": ("trees", "random_trees", "mlp", "tabm", "linear"),
    "best": tuple(PORTFOLIO),
}
PRESETS = tuple(_PRESETS)
# Of more rows, five fits of TabM take minutes; of more rows times classes, each a tree a round, so do boosters of small
# steps.
_MOST_ROWS_OF_TABM = 4000
_MOST_CELLS_OF_SMALL_STEPS = 40_000


def default_members(*, preset: str = "balanced", classification: bool) -> Members:
    """Boosted trees of different shape, nets and a regularised linear model.

    Parameters
    ----------
    preset : {"fast", "balanced", "best"}, default="balanced"
        How many of them: "fast" has no net. Unless it is "best", a hybrid leaves out ``tabm`` of more than 4,000 rows,
        and ``random_trees`` of more than two classes whose number times that of the rows is above 40,000.
    classification : bool

    Returns
    -------
    list of (str, estimator)
        Unfitted. Those of "best" begin with those of "balanced".
    """
    if preset not in _PRESETS:
        raise ValueError(f"preset must be one of {list(_PRESETS)}, got {preset!r}")
    return [(name, PORTFOLIO[name](classification)) for name in _PRESETS[preset]]


def additive_members(*, classification: bool) -> Members:
    """Boosted trees, a net and a linear model, each a sum of a function a column, unfitted."""
    return [(name, make(classification)) for name, make in _ADDITIVE.items()]


def costly_members(n_rows: int, n_classes: int) -> frozenset[str]:
    """Names of the default members that "best" alone fits on so many rows, and with a time limit last."""
    slow = set()
    if n_rows > _MOST_ROWS_OF_TABM:
        slow.add("tabm")
    if n_classes > 2 and n_rows * n_classes > _MOST_CELLS_OF_SMALL_STEPS:
        slow.add("random_trees")
    return frozenset(PORTFOLIO) - frozenset(_PRESETS["balanced"]) | slow
