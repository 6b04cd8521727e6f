"""The multilayer perceptron as a pair of estimators."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from torch import nn

from hybridlearn._compat import real
from hybridlearn._docs import leads_with
from hybridlearn.modules import MLP, TabularNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import EMBEDDING, ENCODER, LEVELS, net_estimator
from hybridlearn.nets._table_net import BaseEmbeddedNet
from hybridlearn.training import TensorTable


@leads_with(hidden_layer_sizes=(256, 256), dropout=0.1)
class BaseTabularMLP(BaseEmbeddedNet):
    """The parameters of the multilayer perceptron and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseEmbeddedNet._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
        "dropout": [real(0, 1, closed="left")],
    }

    def _build_module(self, training: TensorTable) -> nn.Module:
        sizes: Any = self.hidden_layer_sizes
        if len(sizes) == 0 or not all(isinstance(width, Integral) and int(width) > 0 for width in sizes):
            raise ValueError(f"hidden_layer_sizes={sizes!r} must hold positive ints")
        embedding, widths = self._build_embedding(training)
        hidden = MLP(sum(widths), hidden_layer_sizes=sizes, dropout=self.dropout)
        return TabularNet(embedding, hidden, nn.Linear(sizes[-1], self._n_outputs))


_HIDDEN = """
    hidden_layer_sizes : sequence of int, default=?
        Width of each hidden layer.
    dropout : float, default=?
        Share of a hidden layer's units that a training step leaves out.
"""


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabularMLPClassifier(NetClassifierHead, BaseTabularMLP):
    """Multilayer perceptron for classification of mixed tables.

    Numbers are robustly scaled and embedded, categories become learned vectors
    (:class:`~hybridlearn.table.TableEncoder`, :class:`~hybridlearn.modules.TabularNet`); AdamW minimises the
    weighted cross-entropy. Missing values, text categories, datetimes and sample weights are taken as they are; `y`
    of several columns of zeros and ones is multi-label.
    Embedding and scaling of numbers are those of RealMLP [1]_; unlike it, the net is small, trains at a constant
    rate and stops early.

    <sections>

    References
    ----------
    .. [1] Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
       Tabular Data", NeurIPS 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = TabularMLPClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    """


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabularMLPRegressor(NetRegressorHead, BaseTabularMLP):
    """Multilayer perceptron for regression on mixed tables.

    As :class:`TabularMLPClassifier`, with the squared error of the standardised target; `y` may have several columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = TabularMLPRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
