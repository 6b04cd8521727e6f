"""Every public estimator, found by walking the package, in a size that makes its checks fast."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from skorch import NeuralNet

from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

SMALL_TREES = {"n_estimators": 10, "learning_rate": 0.3}
SMALL_NET = {"hidden_layer_sizes": (16,), "max_epochs": 10, "learning_rate": 0.02}

# Arguments by class name: those that are required, and those whose defaults are slow.
SMALL: dict[str, dict[str, Any]] = {
    "BoostedTreesClassifier": SMALL_TREES,
    "BoostedTreesRegressor": SMALL_TREES,
    "HybridClassifier": {
        "estimators": [("trees", BoostedTreesClassifier(**SMALL_TREES)), ("linear", LogisticRegression())],
        "cv": 2,
    },
    "HybridRegressor": {
        "estimators": [("trees", BoostedTreesRegressor(**SMALL_TREES)), ("linear", Ridge())],
        "cv": 2,
    },
    "TabularMLPClassifier": SMALL_NET,
    "TabularMLPRegressor": SMALL_NET,
}


def small(cls: type[BaseEstimator]) -> BaseEstimator:
    return cls(**SMALL.get(cls.__name__, {}))


def public_estimators(package: ModuleType) -> list[type[BaseEstimator]]:
    """The estimators in the ``__all__`` of the package's rooms and loose files, sorted by name."""
    names = [info.name for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    doors = [importlib.import_module(name) for name in names if not name.rpartition(".")[2].startswith("_")]
    offered = {getattr(door, name) for door in doors for name in door.__all__}
    return sorted(filter(is_estimator, offered), key=lambda cls: cls.__name__)


def hidden_estimators(package: ModuleType) -> list[type[BaseEstimator]]:
    """Estimators with a public name, in any file of the package, that no ``__all__`` offers."""
    offered = public_estimators(package)
    files = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [
        cls
        for file in files
        for name, cls in inspect.getmembers(importlib.import_module(file), is_estimator)
        if cls.__module__ == file and not name.startswith(("_", "Base")) and cls not in offered
    ]


def is_estimator(thing: Any) -> bool:
    """A skorch net is an estimator by descent only: here it trains the nets that keep the contract."""
    return inspect.isclass(thing) and issubclass(thing, BaseEstimator) and not issubclass(thing, NeuralNet)
