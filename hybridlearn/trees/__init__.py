"""Estimators that have an XGBoost booster."""

from hybridlearn.trees._boosted import BoostedTreesClassifier, BoostedTreesRegressor
from hybridlearn.trees._forest import Forest

__all__ = ["BoostedTreesClassifier", "BoostedTreesRegressor", "Forest"]
