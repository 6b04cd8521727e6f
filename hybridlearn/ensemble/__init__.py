"""Many members, one estimator: blends of margins that were learned out of fold."""

from hybridlearn.ensemble._hybrid import HybridClassifier, HybridRegressor
from hybridlearn.ensemble._members import default_members

__all__ = ["HybridClassifier", "HybridRegressor", "default_members"]
