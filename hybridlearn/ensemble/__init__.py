"""Many members, one estimator: what to make of margins is learned out of fold."""

from hybridlearn.ensemble._bagging import HybridBaggingClassifier, HybridBaggingRegressor
from hybridlearn.ensemble._boosting import HybridBoostingClassifier, HybridBoostingRegressor
from hybridlearn.ensemble._concat import ConcatClassifier, ConcatRegressor
from hybridlearn.ensemble._hybrid import HybridClassifier, HybridRegressor
from hybridlearn.ensemble._members import default_members
from hybridlearn.ensemble._stacking import HybridStackingClassifier, HybridStackingRegressor

__all__ = [
    "ConcatClassifier",
    "ConcatRegressor",
    "HybridBaggingClassifier",
    "HybridBaggingRegressor",
    "HybridBoostingClassifier",
    "HybridBoostingRegressor",
    "HybridClassifier",
    "HybridRegressor",
    "HybridStackingClassifier",
    "HybridStackingRegressor",
    "default_members",
]
