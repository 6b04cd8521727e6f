"""Hybrids of deep nets and gradient-boosted trees that behave like any scikit-learn estimator.

The everyday names are here and are loaded on first use: importing hybridlearn loads neither torch nor xgboost.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridlearn.audit import imbalance_report
    from hybridlearn.crossfit import cross_fit, fit_many, leak_canary, margin
    from hybridlearn.ensemble import (
        ConcatClassifier,
        ConcatRegressor,
        HybridBaggingClassifier,
        HybridBaggingRegressor,
        HybridBoostingClassifier,
        HybridBoostingRegressor,
        HybridClassifier,
        HybridRegressor,
        HybridStackingClassifier,
        HybridStackingRegressor,
        ResampledClassifier,
        TabularPipeline,
        UnderBaggingClassifier,
        make_tabular_pipeline,
    )
    from hybridlearn.features import FeatureBuilder
    from hybridlearn.inspection import explain, importance, surrogate
    from hybridlearn.modules import NotCertifiableError
    from hybridlearn.nets import (
        AdditiveNetClassifier,
        AdditiveNetRegressor,
        FTTransformerClassifier,
        FTTransformerRegressor,
        JointNetClassifier,
        JointNetRegressor,
        ModuleClassifier,
        ModuleRegressor,
        TabMClassifier,
        TabMRegressor,
        TabularMLPClassifier,
        TabularMLPRegressor,
        TabularResNetClassifier,
        TabularResNetRegressor,
    )
    from hybridlearn.persistence import load, save
    from hybridlearn.resampling import CornerSampler, MixedSMOTE
    from hybridlearn.robustness import (
        GuardedClassifier,
        GuardedRegressor,
        SelectiveClassifier,
        attack,
        certify,
        counterfactuals,
        robustness_report,
    )
    from hybridlearn.table import FeatureConstraints, TableEncoder
    from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

__version__ = "0.1.0"

_ROOM_OF = {
    "AdditiveNetClassifier": "nets",
    "AdditiveNetRegressor": "nets",
    "BoostedTreesClassifier": "trees",
    "BoostedTreesRegressor": "trees",
    "ConcatClassifier": "ensemble",
    "ConcatRegressor": "ensemble",
    "CornerSampler": "resampling",
    "FTTransformerClassifier": "nets",
    "FTTransformerRegressor": "nets",
    "FeatureBuilder": "features",
    "FeatureConstraints": "table",
    "GuardedClassifier": "robustness",
    "GuardedRegressor": "robustness",
    "HybridBaggingClassifier": "ensemble",
    "HybridBaggingRegressor": "ensemble",
    "HybridBoostingClassifier": "ensemble",
    "HybridBoostingRegressor": "ensemble",
    "HybridClassifier": "ensemble",
    "HybridRegressor": "ensemble",
    "HybridStackingClassifier": "ensemble",
    "HybridStackingRegressor": "ensemble",
    "JointNetClassifier": "nets",
    "JointNetRegressor": "nets",
    "MixedSMOTE": "resampling",
    "ModuleClassifier": "nets",
    "ModuleRegressor": "nets",
    "NotCertifiableError": "modules",
    "ResampledClassifier": "ensemble",
    "SelectiveClassifier": "robustness",
    "TabMClassifier": "nets",
    "TabMRegressor": "nets",
    "TableEncoder": "table",
    "TabularMLPClassifier": "nets",
    "TabularMLPRegressor": "nets",
    "TabularPipeline": "ensemble",
    "TabularResNetClassifier": "nets",
    "TabularResNetRegressor": "nets",
    "UnderBaggingClassifier": "ensemble",
    "attack": "robustness",
    "certify": "robustness",
    "counterfactuals": "robustness",
    "cross_fit": "crossfit",
    "explain": "inspection",
    "fit_many": "crossfit",
    "imbalance_report": "audit",
    "importance": "inspection",
    "leak_canary": "crossfit",
    "load": "persistence",
    "make_tabular_pipeline": "ensemble",
    "margin": "crossfit",
    "robustness_report": "robustness",
    "save": "persistence",
    "surrogate": "inspection",
}

__all__ = [
    "AdditiveNetClassifier",
    "AdditiveNetRegressor",
    "BoostedTreesClassifier",
    "BoostedTreesRegressor",
    "ConcatClassifier",
    "ConcatRegressor",
    "CornerSampler",
    "FTTransformerClassifier",
    "FTTransformerRegressor",
    "FeatureBuilder",
    "FeatureConstraints",
    "GuardedClassifier",
    "GuardedRegressor",
    "HybridBaggingClassifier",
    "HybridBaggingRegressor",
    "HybridBoostingClassifier",
    "HybridBoostingRegressor",
    "HybridClassifier",
    "HybridRegressor",
    "HybridStackingClassifier",
    "HybridStackingRegressor",
    "JointNetClassifier",
    "JointNetRegressor",
    "MixedSMOTE",
    "ModuleClassifier",
    "ModuleRegressor",
    "NotCertifiableError",
    "ResampledClassifier",
    "SelectiveClassifier",
    "TabMClassifier",
    "TabMRegressor",
    "TableEncoder",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "TabularPipeline",
    "TabularResNetClassifier",
    "TabularResNetRegressor",
    "UnderBaggingClassifier",
    "attack",
    "certify",
    "counterfactuals",
    "cross_fit",
    "explain",
    "fit_many",
    "imbalance_report",
    "importance",
    "leak_canary",
    "load",
    "make_tabular_pipeline",
    "margin",
    "robustness_report",
    "save",
    "surrogate",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(import_module(f"hybridlearn.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module 'hybridlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
