"""What a model withstands: attacks, certificates, guards at its door."""

from hybridlearn.robustness._attack import Attack, attack
from hybridlearn.robustness._certify import Certificate, certify
from hybridlearn.robustness._counterfactuals import Counterfactuals, counterfactuals
from hybridlearn.robustness._guarded import AnomalyError, GuardedClassifier, GuardedRegressor
from hybridlearn.robustness._report import RobustnessReport, robustness_report
from hybridlearn.robustness._selective import SelectiveClassifier

__all__ = [
    "AnomalyError",
    "Attack",
    "Certificate",
    "Counterfactuals",
    "GuardedClassifier",
    "GuardedRegressor",
    "RobustnessReport",
    "SelectiveClassifier",
    "attack",
    "certify",
    "counterfactuals",
    "robustness_report",
]
