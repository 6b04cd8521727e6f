"""Estimators that have a net."""

from hybridlearn.nets._mlp import TabularMLPClassifier, TabularMLPRegressor

__all__ = ["TabularMLPClassifier", "TabularMLPRegressor"]
