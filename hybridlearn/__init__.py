"""Hybrids of deep nets and gradient-boosted trees that behave like any scikit-learn estimator.

The everyday names are here and are loaded on first use: importing hybridlearn loads neither torch nor xgboost.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridlearn.crossfit import cross_fit, fit_many, leak_canary, margin
    from hybridlearn.ensemble import HybridClassifier, HybridRegressor
    from hybridlearn.nets import (
        FTTransformerClassifier,
        FTTransformerRegressor,
        ModuleClassifier,
        ModuleRegressor,
        TabMClassifier,
        TabMRegressor,
        TabularMLPClassifier,
        TabularMLPRegressor,
        TabularResNetClassifier,
        TabularResNetRegressor,
    )
    from hybridlearn.table import TableEncoder
    from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

__version__ = "0.1.0"

_ROOM_OF = {
    "BoostedTreesClassifier": "trees",
    "BoostedTreesRegressor": "trees",
    "FTTransformerClassifier": "nets",
    "FTTransformerRegressor": "nets",
    "HybridClassifier": "ensemble",
    "HybridRegressor": "ensemble",
    "ModuleClassifier": "nets",
    "ModuleRegressor": "nets",
    "TabMClassifier": "nets",
    "TabMRegressor": "nets",
    "TableEncoder": "table",
    "TabularMLPClassifier": "nets",
    "TabularMLPRegressor": "nets",
    "TabularResNetClassifier": "nets",
    "TabularResNetRegressor": "nets",
    "cross_fit": "crossfit",
    "fit_many": "crossfit",
    "leak_canary": "crossfit",
    "margin": "crossfit",
}

__all__ = [
    "BoostedTreesClassifier",
    "BoostedTreesRegressor",
    "FTTransformerClassifier",
    "FTTransformerRegressor",
    "HybridClassifier",
    "HybridRegressor",
    "ModuleClassifier",
    "ModuleRegressor",
    "TabMClassifier",
    "TabMRegressor",
    "TableEncoder",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "TabularResNetClassifier",
    "TabularResNetRegressor",
    "cross_fit",
    "fit_many",
    "leak_canary",
    "margin",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(import_module(f"hybridlearn.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module 'hybridlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
