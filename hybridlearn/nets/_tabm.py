"""TabM as a pair of estimators."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hybridlearn._compat import integer, real
from hybridlearn._docs import also_takes, leads_with
from hybridlearn.modules import MemberLinear, TabM, TabularNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import EMBEDDING, ENCODER, LEVELS, net_estimator
from hybridlearn.nets._table_net import BaseEmbeddedNet
from hybridlearn.training import TensorTable


@also_takes(numeric_embedding="quantile", d_embedding=8, learning_rate=4e-3)
@leads_with(k=16, n_blocks=2, d_block=128, dropout=0.1)
class BaseTabM(BaseEmbeddedNet):
    """The parameters of TabM and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseEmbeddedNet._parameter_constraints,
        "k": [integer(1)],
        "n_blocks": [integer(1)],
        "d_block": [integer(1)],
        "dropout": [real(0, 1, closed="left")],
    }

    def _build_module(self, training: TensorTable) -> nn.Module:
        embedding, widths = self._build_embedding(training)
        hidden = TabM(
            sum(widths),
            widths,
            k=self.k,
            n_blocks=self.n_blocks,
            d_block=self.d_block,
            dropout=self.dropout,
            normal_start=self.numeric_embedding != "none",
        )
        return TabularNet(embedding, hidden, MemberLinear(self.d_block, self._n_outputs, k=self.k))


_HIDDEN = """
    k : int, default=?
        Members. Time grows with it, the number of weights hardly.
    n_blocks : int, default=?
        Hidden layers.
    d_block : int, default=?
        Width of each.
    dropout : float, default=?
        Share of a hidden layer's units that a training step leaves out.
"""


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabMClassifier(NetClassifierHead, BaseTabM):
    """TabM for classification of mixed tables: many perceptrons that share their weights [1]_.

    `k` members differ by vectors that scale their inputs and outputs; each learns under a loss of its own, and their
    margins are averaged, which does what an ensemble does at little more than the cost of one net. The paper averages
    probabilities, which hybrids cannot add.

    <sections>

    References
    ----------
    .. [1] Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning With Parameter-Efficient
       Ensembling", ICLR 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = TabMClassifier(k=4, d_block=32, max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    """


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabMRegressor(NetRegressorHead, BaseTabM):
    """TabM for regression on mixed tables: many perceptrons that share their weights.

    As :class:`TabMClassifier`, with the squared error of the standardised target; `y` may have several columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = TabMRegressor(k=4, d_block=32, max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
