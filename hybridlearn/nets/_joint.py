"""Several nets trained end to end under one head, as a pair of estimators."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sklearn.base import clone
from torch import nn

from hybridlearn._compat import StrOptions, real, validate_params
from hybridlearn._composition import BaseComposed
from hybridlearn._docs import leads_with
from hybridlearn.modules import JointNet, TabularNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._mlp import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.nets._pair import ENCODER, LEVELS, net_estimator
from hybridlearn.nets._resnet import TabularResNetClassifier, TabularResNetRegressor
from hybridlearn.nets._table_net import BaseTableNet
from hybridlearn.table import TrainingRows
from hybridlearn.training import TensorTable


@leads_with(branches="auto", dropout=0.0)
class BaseJointNet(BaseTableNet, BaseComposed):
    """The branches and the module they build."""

    _parts_parameter: ClassVar[str] = "branches"
    _parameter_constraints: ClassVar[dict] = {
        **BaseTableNet._parameter_constraints,
        "branches": [StrOptions({"auto"}), list],
        "dropout": [real(0, 1, closed="left")],
    }

    def _default_parts(self) -> list[tuple[str, Any]]:
        if self._is_classifier:
            return [("mlp", TabularMLPClassifier()), ("resnet", TabularResNetClassifier())]
        return [("mlp", TabularMLPRegressor()), ("resnet", TabularResNetRegressor())]

    def _check_part(self, name: str, part: Any) -> None:
        if not isinstance(part, BaseTableNet) or isinstance(part, BaseJointNet):
            families = "TabularMLP, TabularResNet, FTTransformer or TabM"
            raise TypeError(f"branch {name!r} must be a {families}, got {part!r:.80}")
        if part._is_classifier != self._is_classifier:
            wanted = "classifier" if self._is_classifier else "regressor"
            raise TypeError(f"branch {name!r} ({type(part).__name__}) is not a {wanted}")

    def _read_rows(self, *args: Any, **kwargs: Any) -> TrainingRows:
        self._check_parts()
        return super()._read_rows(*args, **kwargs)

    def _build_module(self, training: TensorTable) -> nn.Module:
        branches = [self._build_branch(name, net, training) for name, net in self._parts()]
        x_num, x_cat = (training.inputs[name][:1] for name in ("x_num", "x_cat"))
        with torch.no_grad():
            d_in = sum(branch.eval().embed(x_num, x_cat).shape[1] for branch in branches)
        return JointNet(branches, nn.Linear(d_in, self._n_outputs), dropout=self.dropout)

    def _build_branch(self, name: str, net: Any, training: TensorTable) -> TabularNet:
        """The module that a branch would train, had it read these rows."""
        branch = clone(net)
        vars(branch).update({key: value for key, value in vars(self).items() if key.endswith("_")})
        try:
            validate_params(branch)
            return branch._build_module(training)
        except (TypeError, ValueError) as error:
            raise ValueError(f"branch {name!r} cannot be built: {error}") from error

    def _shaping(self) -> dict[str, Any]:
        """Of a branch, what the joint net does not say itself: seeds of branches do not keep nets apart."""
        own = self.get_params(deep=False)
        branches = [
            (type(net), {key: value for key, value in net.get_params(deep=False).items() if key not in own})
            for _, net in self._known_parts()
        ]
        return super()._shaping() | {"branches": branches}


_BRANCHES = """
    branches : "auto" or list of (str, net), default="auto"
        Each a TabularMLP, TabularResNet, FTTransformer or TabM of the same task, of which embedding and hidden layers
        count, dropout among them. Its parameters of training, loss, levels, device and seed have no effect, nor has
        what it may have learned: those of this net hold for all. "auto" takes a perceptron (``mlp``) and a residual
        net (``resnet``) with their defaults. Nested parameters are reached by name, e.g. ``mlp__hidden_layer_sizes``.
    dropout : float, default=?
        Share of what the output layer sees that a training step leaves out.
"""


@net_estimator(parameters=_BRANCHES + LEVELS, attributes=ENCODER)
class JointNetClassifier(NetClassifierHead, BaseJointNet):
    """Several nets trained end to end under one head, for classification of mixed tables.

    Where a hybrid adds up the margins of nets that were trained apart, here one linear layer sees the last hidden
    states of all of them side by side (TabM's members too), and one loss trains them together: each learns what the
    others leave over. The table is encoded once, a missing number as the median and an indicator, in an FT-Transformer
    as well.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from hybridlearn.nets import TabMClassifier
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> branches = [("mlp", TabularMLPClassifier(hidden_layer_sizes=(32,))), ("tabm", TabMClassifier(k=2, d_block=16))]
    >>> net = JointNetClassifier(branches=branches, max_epochs=10, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    >>> net.embed(X).shape  # 32 of the perceptron, 2 x 16 of TabM
    (178, 64)
    """


@net_estimator(parameters=_BRANCHES + LEVELS, attributes=ENCODER)
class JointNetRegressor(NetRegressorHead, BaseJointNet):
    """Several nets trained end to end under one head, for regression on mixed tables.

    As :class:`JointNetClassifier`, with the squared error of the standardised target; `y` may have several columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = JointNetRegressor(max_epochs=5, random_state=0)
    >>> net.set_params(mlp__hidden_layer_sizes=(32,), resnet__d_block=16).fit(X, y).predict(X).shape
    (442,)
    """
