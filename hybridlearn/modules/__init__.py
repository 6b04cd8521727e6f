"""Pure torch modules: they know tensors and nothing of estimators."""

from hybridlearn.modules._embeddings import CategoricalEmbedding, PeriodicEmbedding
from hybridlearn.modules._mlp import TabularMLP

__all__ = ["CategoricalEmbedding", "PeriodicEmbedding", "TabularMLP"]
