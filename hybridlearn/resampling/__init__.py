"""Samplers in front of a learner, and the prior that they change, put back. No torch."""

from hybridlearn.resampling._classes import check_has_classes
from hybridlearn.resampling._corners import CornerSampler
from hybridlearn.resampling._mixed import MixedSMOTE
from hybridlearn.resampling._prior import prior_shift
from hybridlearn.resampling._resampling import CORRECTIONS, SAMPLER_NAMES, WEIGHTS, Drawn, Resampling

__all__ = [
    "CORRECTIONS",
    "SAMPLER_NAMES",
    "WEIGHTS",
    "CornerSampler",
    "Drawn",
    "MixedSMOTE",
    "Resampling",
    "check_has_classes",
    "prior_shift",
]
