"""The classes that a model file may name, and the names that it has for them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from itertools import takewhile
from types import FunctionType
from typing import Any

# Where classes of ours live that no room offers as an estimator. A file knows them by their bare names: they may move.
_HOMES = {
    "table._encoder": ("TableEncoder",),
    "table._schema": ("Column", "Schema"),
    "modules._additive": ("AdditiveMLP", "ColumnLinear"),
    "modules._categorical": ("CategoricalEmbedding",),
    "modules._dropout": ("Dropout",),
    "modules._ft_transformer": ("AttentionBlock", "FTTransformer", "GatedUnit"),
    "modules._joint": ("JointNet",),
    "modules._mlp": ("MLP", "ResNet", "ResidualBlock"),
    "modules._numeric": ("LinearEmbedding", "MissingValueEmbedding", "PeriodicEmbedding", "PiecewiseLinearEmbedding"),
    "modules._table": ("TableEmbedding", "TableTokens", "TabularNet"),
    "modules._tabm": ("BatchEnsembleLinear", "MemberLinear", "TabM"),
    "trees._encoding": ("TreeEncoder",),
    "features._crosses": ("Cross", "Crosses", "LevelColumn"),
    "features._dates": ("Dates",),
    "features._groups": ("Group", "Groups"),
    "features._levels": ("Counts", "LevelCounts", "LevelTargets", "Targets"),
    "features._numbers": ("Numbers",),
    "features._text": ("Texts",),
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
    "robustness._conformal": ("ConformalGuard", "FoldGuard", "Novelties"),
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
_HIDDEN_TORCH = {"NonDynamicallyQuantizableLinear": "torch.nn.modules.linear"}
TORCH = frozenset([*_TORCH_NAMES.split(), *_HIDDEN_TORCH])

# Rooms whose public classes a file may name: estimators, splitters, kernels. Nothing of theirs is called.
_OWN_ROOMS = ("ensemble", "features", "nets", "resampling", "robustness", "trees")
_SKLEARN_ROOMS = """
    calibration cluster compose covariance cross_decomposition decomposition discriminant_analysis dummy ensemble
    feature_extraction feature_extraction.text feature_selection frozen gaussian_process gaussian_process.kernels
    impute isotonic kernel_approximation kernel_ridge linear_model manifold mixture model_selection multiclass
    multioutput naive_bayes neighbors neural_network pipeline preprocessing random_projection semi_supervised svm tree
"""
_IMBLEARN_ROOMS = ("base", "combine", "ensemble", "over_sampling", "pipeline", "under_sampling")
_ROOMS = frozenset(
    [f"hybridlearn.{room}" for room in _OWN_ROOMS]
    + [f"sklearn.{room}" for room in _SKLEARN_ROOMS.split()]
    + [f"imblearn.{room}" for room in _IMBLEARN_ROOMS]
)
# What such estimators are made of that has no public name.
_PARTS = {
    "sklearn.calibration": ("_CalibratedClassifier", "_SigmoidCalibration"),
    "sklearn.ensemble._hist_gradient_boosting.binning": ("_BinMapper",),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.gaussian_process._gpc": ("_BinaryGaussianProcessClassifierLaplace",),
    "sklearn.metrics._scorer": ("_MultimetricScorer", "_PassthroughScorer", "_Scorer"),
    "sklearn.multiclass": ("_ConstantPredictor",),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
    "sklearn.tree._tree": ("Tree",),
}
_XGBOOST = frozenset({"XGBClassifier", "XGBRFClassifier", "XGBRFRegressor", "XGBRegressor"})
# Functions that judge models and columns, which searches and selectors hold.
_FUNCTION_ROOMS = frozenset({"sklearn.feature_selection", "sklearn.metrics"})


class UnknownNameError(ValueError):
    """A file names what it may not name."""


def full_name(thing: Any) -> str:
    """``module:qualname`` of a class or function."""
    return f"{thing.__module__}:{thing.__qualname__}"


def public_name(thing: Any) -> str:
    """``room:name`` of a class or function, without the private parts of its path."""
    room = ".".join(takewhile(lambda part: not part.startswith("_"), thing.__module__.split(".")))
    return f"{room}:{thing.__name__}"


def name_of(cls: type) -> str | None:
    """The name under which a file may hold a class or its instances; None where it must be trusted to be loaded."""
    bare = cls.__name__
    candidates = [f"hybridlearn:{bare}", f"torch:{bare}", f"xgboost:{bare}", public_name(cls), full_name(cls)]
    library = cls.__module__.partition(".")[0]
    fitting = (name for name in candidates if name.startswith(library) and _known(name) is cls)
    return next(fitting, None)


def function_name(function: FunctionType) -> str:
    """The name under which a file may hold a function."""
    name = public_name(function)
    return name if _known_function(name) is function else full_name(function)


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
    found = _known(name) or trusted_one(name, trusted)
    if not isinstance(found, type):
        raise UnknownNameError(f"{name!r} is no class that a model file may name")
    return found


def function_of(name: str, trusted: dict[str, Any]) -> Any:
    """The function that a file names."""
    return _known_function(name) or trusted_one(name, trusted)


def _known(name: str) -> type | None:
    """A class that every file may name. No module is imported but those that are listed here."""
    source, _, bare = name.partition(":")
    if source == "hybridlearn" and bare in OWN:
        return getattr(import_module(OWN[bare]), bare)
    if source == "torch" and bare in TORCH:
        return getattr(import_module(_HIDDEN_TORCH.get(bare, "torch.nn")), bare)
    if source == "xgboost" and bare in _XGBOOST:
        return getattr(import_module("xgboost"), bare)
    if bare in _PARTS.get(source, ()):
        return getattr(import_module(source), bare)
    if source not in _ROOMS or bare.startswith("_"):
        return None
    try:
        found = getattr(import_module(source), bare, None)
    except ImportError:  # one that is experimental
        return None
    return found if isinstance(found, type) and found.__module__.startswith(source) else None


def _known_function(name: str) -> FunctionType | None:
    room, _, bare = name.partition(":")
    if room not in _FUNCTION_ROOMS or bare.startswith("_"):
        return None
    found = getattr(import_module(room), bare, None)
    return found if isinstance(found, FunctionType) else None


def trusted_one(name: str, trusted: dict[str, Any]) -> Any:
    """What the user has said may be used under this name."""
    if name not in trusted:
        short = name.rpartition(":")[2]
        raise UnknownNameError(
            f"the file names {name!r}, which is not part of the package; if you know the file and trust it, hand it "
            f"over: load(path, trusted=[{short}])"
        )
    return trusted[name]


def by_full_name(trusted: Iterable[Any]) -> dict[str, Any]:
    """Trusted classes and functions by full name."""
    if not isinstance(trusted, Iterable) or isinstance(trusted, str | type):
        raise TypeError(f"trusted must be a list of classes and functions, got {trusted!r}")
    found = list(trusted)
    for thing in found:
        if not hasattr(thing, "__qualname__"):
            raise TypeError(f"trusted must hold classes and functions themselves, got {thing!r}")
    return {full_name(thing): thing for thing in found}
