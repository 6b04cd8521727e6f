"""Pure torch modules: they know tensors and nothing of estimators."""

from hybridlearn.modules._additive import AdditiveMLP, ColumnLinear
from hybridlearn.modules._bounds import Columns, embedded_columns, hull, number_columns
from hybridlearn.modules._categorical import CategoricalEmbedding
from hybridlearn.modules._dropout import Dropout, dropout_factors
from hybridlearn.modules._ft_transformer import FTTransformer
from hybridlearn.modules._joint import JointNet
from hybridlearn.modules._layers import (
    Affine,
    NotCertifiableError,
    forward_through,
    interval_outputs,
    layers_of,
    least_by_intervals,
    rounding_of,
)
from hybridlearn.modules._losses import (
    CrossEntropy,
    FocalLoss,
    HuberLoss,
    LogitAdjustedLoss,
    PinballLoss,
    SquaredError,
)
from hybridlearn.modules._mlp import MLP, ResNet
from hybridlearn.modules._numeric import (
    LinearEmbedding,
    MissingValueEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
)
from hybridlearn.modules._padding import Placement, common_placements
from hybridlearn.modules._relaxation import least_outputs
from hybridlearn.modules._table import TableEmbedding, TableTokens, TabularNet
from hybridlearn.modules._tabm import BatchEnsembleLinear, MemberLinear, TabM

__all__ = [
    "MLP",
    "AdditiveMLP",
    "Affine",
    "BatchEnsembleLinear",
    "CategoricalEmbedding",
    "ColumnLinear",
    "Columns",
    "CrossEntropy",
    "Dropout",
    "FTTransformer",
    "FocalLoss",
    "HuberLoss",
    "JointNet",
    "LinearEmbedding",
    "LogitAdjustedLoss",
    "MemberLinear",
    "MissingValueEmbedding",
    "NotCertifiableError",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "PinballLoss",
    "Placement",
    "ResNet",
    "SquaredError",
    "TabM",
    "TableEmbedding",
    "TableTokens",
    "TabularNet",
    "common_placements",
    "dropout_factors",
    "embedded_columns",
    "forward_through",
    "hull",
    "interval_outputs",
    "layers_of",
    "least_by_intervals",
    "least_outputs",
    "number_columns",
    "rounding_of",
]
