"""The residual net as a pair of estimators."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hybridlearn._compat import integer, real
from hybridlearn._docs import leads_with
from hybridlearn.modules import ResNet, TabularNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import EMBEDDING, ENCODER, LEVELS, net_estimator
from hybridlearn.nets._table_net import BaseEmbeddedNet
from hybridlearn.training import TensorTable


@leads_with(n_blocks=2, d_block=192, d_hidden=384, dropout=0.15)
class BaseTabularResNet(BaseEmbeddedNet):
    """The parameters of the residual net and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseEmbeddedNet._parameter_constraints,
        "n_blocks": [integer(1)],
        "d_block": [integer(1)],
        "d_hidden": [integer(1)],
        "dropout": [real(0, 1, closed="left")],
    }

    def _build_module(self, training: TensorTable) -> nn.Module:
        embedding, widths = self._build_embedding(training)
        hidden = ResNet(
            sum(widths), n_blocks=self.n_blocks, d_block=self.d_block, d_hidden=self.d_hidden, dropout=self.dropout
        )
        return TabularNet(embedding, hidden, nn.Linear(self.d_block, self._n_outputs))


_HIDDEN = """
    n_blocks : int, default=?
        Residual blocks.
    d_block : int, default=?
        Width of the rows between blocks.
    d_hidden : int, default=?
        Width inside a block.
    dropout : float, default=?
        Share of the units inside a block that a training step leaves out.
"""


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabularResNetClassifier(NetClassifierHead, BaseTabularResNet):
    """Residual net for classification of mixed tables [1]_.

    As :class:`TabularMLPClassifier`, with blocks whose input is added to their output, so that more of them do not
    make the net harder to train. Layer norm stands where the paper has batch norm, so that weights and the rows
    beside a row do not matter to it.

    <sections>

    References
    ----------
    .. [1] Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting Deep Learning Models for Tabular Data", NeurIPS
       2021.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = TabularResNetClassifier(max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    """


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class TabularResNetRegressor(NetRegressorHead, BaseTabularResNet):
    """Residual net for regression on mixed tables.

    As :class:`TabularResNetClassifier`, with the squared error of the standardised target; `y` may have several
    columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = TabularResNetRegressor(max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
