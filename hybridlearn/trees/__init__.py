"""Estimators that have an XGBoost booster."""

from hybridlearn.trees._boosted import BoostedTreesClassifier, BoostedTreesRegressor

__all__ = ["BoostedTreesClassifier", "BoostedTreesRegressor"]
