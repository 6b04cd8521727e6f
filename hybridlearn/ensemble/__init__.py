"""Many members, one estimator: what to make of margins is learned out of fold."""

from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._bagging import HybridBaggingClassifier, HybridBaggingRegressor
from hybridlearn.ensemble._blend import fit_temperature
from hybridlearn.ensemble._boosting import HybridBoostingClassifier, HybridBoostingRegressor
from hybridlearn.ensemble._concat import ConcatClassifier, ConcatRegressor
from hybridlearn.ensemble._hybrid import HybridClassifier, HybridRegressor
from hybridlearn.ensemble._members import default_members
from hybridlearn.ensemble._pipeline import TabularPipeline, make_tabular_pipeline
from hybridlearn.ensemble._resampled import ResampledClassifier
from hybridlearn.ensemble._stacking import HybridStackingClassifier, HybridStackingRegressor
from hybridlearn.ensemble._threshold import learn_threshold
from hybridlearn.ensemble._under_bagging import UnderBaggingClassifier

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
    "ResampledClassifier",
    "TabularPipeline",
    "UnderBaggingClassifier",
    "assemble",
    "blend_learner",
    "default_members",
    "fit_temperature",
    "learn_threshold",
    "make_tabular_pipeline",
]
