"""The classes that a model file may name, and the names that it has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from sklearn.base import BaseEstimator

# Where our own classes live. A file knows them by their bare names, so that they may move.
_HOMES = {
    "table._encoder": ("TableEncoder",),
    "table._schema": ("Column", "Schema"),
    "modules._categorical": ("CategoricalEmbedding",),
    "modules._dropout": ("Dropout",),
    "modules._ft_transformer": ("AttentionBlock", "FTTransformer", "GatedUnit"),
    "modules._joint": ("JointNet",),
    "modules._mlp": ("MLP", "ResNet", "ResidualBlock"),
    "modules._numeric": ("LinearEmbedding", "MissingValueEmbedding", "PeriodicEmbedding", "PiecewiseLinearEmbedding"),
    "modules._table": ("TableEmbedding", "TableTokens", "TabularNet"),
    "modules._tabm": ("BatchEnsembleLinear", "MemberLinear", "TabM"),
    "nets": (
        "FTTransformerClassifier",
        "FTTransformerRegressor",
        "JointNetClassifier",
        "JointNetRegressor",
        "ModuleClassifier",
        "ModuleRegressor",
        "TabMClassifier",
        "TabMRegressor",
        "TabularMLPClassifier",
        "TabularMLPRegressor",
        "TabularResNetClassifier",
        "TabularResNetRegressor",
    ),
    "trees": ("BoostedTreesClassifier", "BoostedTreesRegressor"),
    "trees._encoding": ("TreeEncoder",),
    "crossfit._calibrated": ("_CalibratedDecider", "_Decisions"),
    "crossfit._ledger": ("Entry", "Ledger"),
    "crossfit._margin": ("FoldModel",),
    "crossfit._member": ("FittedFold",),
    "crossfit._out_of_fold": ("OutOfFold",),
    "ensemble._assembly": ("Calibrated",),
    "ensemble._blend": ("Blend",),
    "ensemble._concat": ("Concatenation",),
    "ensemble._meta": ("MetaModel", "TwoLayers"),
    "ensemble._stage": ("ClasswiseModel", "MeanModel"),
    "ensemble": (
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
    ),
}
OWN = {name: f"hybridlearn.{home}" for home, names in _HOMES.items() for name in names}

# What torch.nn offers and a net may be made of: layers without code of their user in them.
_TORCH_NAMES = """
    AlphaDropout BatchNorm1d Bilinear CELU Conv1d Dropout ELU Embedding EmbeddingBag Flatten GELU GLU GRU GroupNorm
    Hardshrink Hardsigmoid Hardswish Hardtanh Identity LSTM LayerNorm LeakyReLU Linear LogSigmoid LogSoftmax Mish
    ModuleDict ModuleList MultiheadAttention PReLU ParameterDict ParameterList RMSNorm RNN ReLU ReLU6 SELU
    Sequential SiLU Sigmoid Softmax Softplus Softshrink Softsign Tanh Tanhshrink Threshold TransformerDecoder
    TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Unflatten
"""
TORCH = frozenset(_TORCH_NAMES.split())
_HIDDEN_TORCH = {"NonDynamicallyQuantizableLinear": "torch.nn.modules.linear"}

# Estimators that hold others; those that hold none are skops's.
_SKLEARN = re.compile(r"(sklearn|imblearn)(\.[a-z_]\w*)+")
_NOT_THERE = re.compile(r"\.(tests?|testing|externals|conftest)(\.|$)")
# Parts of such estimators that are none themselves.
_SKLEARN_PARTS = frozenset({"sklearn.calibration:_CalibratedClassifier", "sklearn.metrics._scorer:_PassthroughScorer"})


class UnknownNameError(ValueError):
    """A file names what it may not name."""


def full_name(thing: Any) -> str:
    """``module:qualname`` of a class or function."""
    return f"{thing.__module__}:{thing.__qualname__}"


def name_of(cls: type) -> str | None:
    """The name under which a file may hold instances of a class; None where it must be trusted to be loaded."""
    name = cls.__name__
    if name in OWN and cls.__module__.startswith("hybridlearn."):
        return f"hybridlearn:{name}"
    if cls.__module__.startswith("torch.nn.") and (name in TORCH or name in _HIDDEN_TORCH):
        return f"torch:{name}"
    full = full_name(cls)
    return (
        f"sklearn {full}" if full in _SKLEARN_PARTS or (_is_sklearn(full) and issubclass(cls, BaseEstimator)) else None
    )


def class_of(name: str, trusted: dict[str, Any]) -> type:
    """The class that a file names.

    Parameters
    ----------
    name : str
        From :func:`name_of`, or a full name.
    trusted : dict of str to class or function
        By full name; these are taken as they are, nothing is imported for them.

    Raises
    ------
    UnknownNameError
    """
    found = _found(name, trusted)
    if not isinstance(found, type):
        raise UnknownNameError(f"{name!r} is no class that a model file may name")
    return found


def _found(name: str, trusted: dict[str, Any]) -> Any:
    source, _, rest = name.partition(":")
    if source == "hybridlearn" and rest in OWN:
        return getattr(import_module(OWN[rest]), rest)
    if source == "torch" and rest in TORCH:
        return getattr(import_module("torch.nn"), rest)
    if source == "torch" and rest in _HIDDEN_TORCH:
        return getattr(import_module(_HIDDEN_TORCH[rest]), rest)
    if name.startswith("sklearn "):
        return _sklearn_class(name.removeprefix("sklearn "))
    return trusted_one(name, trusted)


def trusted_one(name: str, trusted: dict[str, Any]) -> Any:
    """What the user has said may be used under this name."""
    if name not in trusted:
        short = name.rpartition(":")[2]
        raise UnknownNameError(
            f"the file names {name!r}, which is not part of the package; if you know the file and trust it, hand it "
            f"over: load(path, trusted=[{short}])"
        )
    return trusted[name]


def _is_sklearn(full: str) -> bool:
    module = full.partition(":")[0]
    return _SKLEARN.fullmatch(module) is not None and _NOT_THERE.search(module) is None


def _sklearn_class(full: str) -> Any:
    module, _, name = full.partition(":")
    if not _is_sklearn(full):
        raise UnknownNameError(f"{full!r} is no class that a model file may name")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise UnknownNameError(f"the scikit-learn that is installed has no {full!r}") from None
    if full not in _SKLEARN_PARTS and not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise UnknownNameError(f"{full!r} is no estimator")
    return found


def by_full_name(trusted: Iterable[Any]) -> dict[str, Any]:
    """Trusted classes and functions by full name."""
    found = list(trusted)
    for thing in found:
        if not hasattr(thing, "__qualname__"):
            raise TypeError(f"trusted must hold classes and functions themselves, got {thing!r}")
    return {full_name(thing): thing for thing in found}
