"""The nets of all families, for tests that run over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from _estimators import SMALL_NETS, Perceptron, small
from torch import nn

import hybridlearn.nets
from hybridlearn.modules import CategoricalEmbedding, JointNet, TabularNet
from hybridlearn.nets._base import BaseNet

CLASSIFIERS: list[type[BaseNet]] = [getattr(hybridlearn.nets, f"{family}Classifier") for family in SMALL_NETS]
REGRESSORS: list[type[BaseNet]] = [getattr(hybridlearn.nets, f"{family}Regressor") for family in SMALL_NETS]
NETS = CLASSIFIERS + REGRESSORS
TABLE_NETS = [cls for cls in NETS if "Module" not in cls.__name__]
# Their batches are the same, whatever the order of the rows; so what is the same in exact arithmetic is nearly so here.
EXACT: dict[str, Any] = {"batch_size": 1000, "early_stopping": False, "weight_averaging": 0.0}


def tiny(cls: type[BaseNet], **changes: Any) -> Any:
    """An unfitted net in a tiny size, under a seed, on the CPU, where the same fit is the same to the last bit."""
    return small(cls, **{"random_state": 0, "device": "cpu", "max_epochs": 5, **changes})


def without_dropout(cls: type[BaseNet], **changes: Any) -> Any:
    """As :func:`tiny`; two fits that see the same rows in two forms learn the same."""
    known = cls._parameter_constraints
    return tiny(cls, **{name: 0.0 for name in ("dropout", "attention_dropout") if name in known}, **changes)


def module_class(cls: type[BaseNet]) -> type[nn.Module]:
    """What a fitted net keeps as ``module_``."""
    families = {"Module": Perceptron, "JointNet": JointNet}
    return next((module for family, module in families.items() if family in cls.__name__), TabularNet)


def category_tables(net: Any) -> list[list[nn.Embedding]]:
    """The embeddings of the categorical columns, for each branch."""
    return [list(part.tables) for part in net.module_.modules() if isinstance(part, CategoricalEmbedding)]


def target(cls: type[BaseNet], noisy: np.ndarray) -> np.ndarray:
    """Two classes or the numbers themselves."""
    return np.where(noisy > 0, "yes", "no") if cls in CLASSIFIERS else noisy
