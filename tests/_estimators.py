"""Every public estimator, found by walking the package, in a size that makes its checks fast."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNet
from torch import Tensor, nn

import hybridlearn.nets
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

SMALL_TREES = {"n_estimators": 10, "learning_rate": 0.3}


class Perceptron(nn.Module):
    """A user's module: the nets on arrays tell it how many features and outputs there are."""

    def __init__(self, n_features: int, n_outputs: int, d_hidden: int = 16):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_features, d_hidden), nn.SiLU())
        self.output = nn.Linear(d_hidden, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.output(self.hidden(X))

    def embed(self, X: Tensor) -> Tensor:
        return self.hidden(X)


# The families of nets by name, each in a size of a few hundred weights.
SMALL_NETS: dict[str, dict[str, Any]] = {
    "TabularMLP": {"hidden_layer_sizes": (16,)},
    "TabularResNet": {"n_blocks": 1, "d_block": 16, "d_hidden": 16},
    "FTTransformer": {"n_blocks": 1, "d_block": 8, "n_heads": 2, "d_hidden": 8},
    "AdditiveNet": {"d_hidden": 8},
    "TabM": {"k": 4, "n_blocks": 1, "d_block": 16},
    "Module": {"module": Perceptron},
    "JointNet": {},  # its branches are of its task: small_branches
}
SHORT_TRAINING = {"max_epochs": 10, "learning_rate": 0.02}
SMALL_NET = {**SMALL_NETS["TabularMLP"], **SHORT_TRAINING}


def small_branches(kind: str) -> list[tuple[str, BaseEstimator]]:
    """Branches of a JointNetClassifier or JointNetRegressor, which has the only dropout."""
    families = {"mlp": "TabularMLP", "tabm": "TabM"}
    nets = {name: getattr(hybridlearn.nets, f"{family}{kind}") for name, family in families.items()}
    return [(name, net(**SMALL_NETS[families[name]], dropout=0.0)) for name, net in nets.items()]


SMALL_CLASSIFIERS = [("trees", BoostedTreesClassifier(**SMALL_TREES)), ("linear", LogisticRegression())]
SMALL_REGRESSORS = [("trees", BoostedTreesRegressor(**SMALL_TREES)), ("linear", Ridge())]
SMALL_ENSEMBLES: dict[str, dict[str, Any]] = {
    "Hybrid": {"cv": 2},
    "HybridStacking": {"cv": 2},
    "HybridBoosting": {"cv": 2, "inner_cv": 2},
}

# Arguments by class name: those that are required, and those whose defaults are slow.
SMALL: dict[str, dict[str, Any]] = {
    "BoostedTreesClassifier": SMALL_TREES,
    "BoostedTreesRegressor": SMALL_TREES,
    **{
        f"{ensemble}Classifier": {"estimators": SMALL_CLASSIFIERS, **size} for ensemble, size in SMALL_ENSEMBLES.items()
    },
    **{f"{ensemble}Regressor": {"estimators": SMALL_REGRESSORS, **size} for ensemble, size in SMALL_ENSEMBLES.items()},
    "HybridBoostingClassifier": {
        # a stage has few of the few rows: none to spare for early stopping
        "estimators": [
            ("trees", BoostedTreesClassifier(**SMALL_TREES, early_stopping=False)),
            ("linear", Ridge()),
        ],
        **SMALL_ENSEMBLES["HybridBoosting"],
    },
    "HybridBaggingClassifier": {"estimator": LogisticRegression(), "n_estimators": 3},
    "HybridBaggingRegressor": {"estimator": BoostedTreesRegressor(**SMALL_TREES), "n_estimators": 3},
    "CornerSampler": {"random_state": 0},
    "GuardedClassifier": {"estimator": LogisticRegression(), "alpha": 0.2, "cv": 2},
    "GuardedRegressor": {"estimator": Ridge(), "alpha": 0.2, "cv": 2},
    "MixedSMOTE": {"random_state": 0},
    "ResampledClassifier": {"estimator": LogisticRegression(), "sampler": "over", "cv": 2},
    "SelectiveClassifier": {"estimator": LogisticRegression(), "cv": 2},
    "TabularPipeline": {"steps": [("same", FunctionTransformer()), ("linear", LogisticRegression())]},
    "UnderBaggingClassifier": {"estimator": LogisticRegression(), "n_estimators": 4},
    "ConcatClassifier": {"embedders": SMALL_CLASSIFIERS[:1], "cv": 2},
    "ConcatRegressor": {"embedders": SMALL_REGRESSORS[:1], "cv": 2},
    **{
        f"{family}{kind}": {**size, **SHORT_TRAINING}
        for family, size in SMALL_NETS.items()
        for kind in ("Classifier", "Regressor")
    },
    **{f"JointNet{kind}": {"branches": small_branches(kind), **SHORT_TRAINING} for kind in ("Classifier", "Regressor")},
}


def small(cls: type[BaseEstimator], **changes: Any) -> BaseEstimator:
    return cls(**{**SMALL.get(cls.__name__, {}), **changes})


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
