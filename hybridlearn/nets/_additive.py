"""Neural additive models as a pair of estimators."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from hybridlearn._compat import integer, real
from hybridlearn._docs import leads_with
from hybridlearn.modules import AdditiveMLP, TabularNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import EMBEDDING, ENCODER, LEVELS, net_estimator
from hybridlearn.nets._table_net import BaseEmbeddedNet
from hybridlearn.training import TensorTable


@leads_with(d_hidden=32, dropout=0.1)
class BaseAdditiveNet(BaseEmbeddedNet):
    """The parameters of the additive net and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseEmbeddedNet._parameter_constraints,
        "d_hidden": [integer(1)],
        "dropout": [real(0, 1, closed="left")],
    }

    def _build_module(self, training: TensorTable) -> nn.Module:
        embedding, widths = self._build_embedding(training)
        hidden = AdditiveMLP(widths, d_hidden=self.d_hidden, dropout=self.dropout)
        return TabularNet(embedding, hidden, nn.Linear(len(widths) * self.d_hidden, self._n_outputs))


_HIDDEN = """
    d_hidden : int, default=?
        Units of each of the two hidden layers that a column has for itself.
    dropout : float, default=?
        Share of a hidden layer's units that a training step leaves out.
"""


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class AdditiveNetClassifier(NetClassifierHead, BaseAdditiveNet):
    """Neural additive model for classification of mixed tables: the margin is a sum of a function a column [1]_.

    Each column has a small perceptron of its own behind its embedding, so that what the net has learned can be drawn,
    a curve a column: :func:`hybridlearn.inspection.explain` gives them exactly. Differs from the paper in smooth units
    and embeddings in place of exp-centred ones, and in that all columns' perceptrons are one tensor program.

    <sections>

    References
    ----------
    .. [1] Agarwal et al., "Neural Additive Models: Interpretable Machine Learning with Neural Nets", NeurIPS 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = AdditiveNetClassifier(d_hidden=8, max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    """


@net_estimator(parameters=_HIDDEN + EMBEDDING + LEVELS, attributes=ENCODER)
class AdditiveNetRegressor(NetRegressorHead, BaseAdditiveNet):
    """Neural additive model for regression on mixed tables: the prediction is a sum of a function a column.

    As :class:`AdditiveNetClassifier`, with the squared error of the standardised target; `y` may have several columns.
    Predictions stay within the targets of ``fit``: where the sum leaves them, it is no sum.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = AdditiveNetRegressor(d_hidden=8, max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
