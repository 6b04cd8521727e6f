"""Estimators that have an XGBoost booster."""

from hybridlearn.trees._boosted import BoostedTreesClassifier, BoostedTreesRegressor
from hybridlearn.trees._forest import Forest, booster_of, is_sum_of_trees
from hybridlearn.trees._leaves import reachable_sums

__all__ = [
    "BoostedTreesClassifier",
    "BoostedTreesRegressor",
    "Forest",
    "booster_of",
    "is_sum_of_trees",
    "reachable_sums",
]
