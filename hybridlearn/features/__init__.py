"""Engineered features that earn their place."""

from hybridlearn.features._builder import FeatureBuilder

__all__ = ["FeatureBuilder"]
