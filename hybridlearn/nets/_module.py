"""Any torch module as a pair of estimators."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_array, validate_data
from torch import Tensor, nn

from hybridlearn._docs import leads_with
from hybridlearn.nets._base import BaseNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import net_estimator
from hybridlearn.training import TensorTable


@leads_with(module=Parameter.empty, module_params=None)
class BaseModule(BaseNet):
    """A module of the user's own, on arrays of any rank."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseNet._parameter_constraints,
        "module": "no_validation",
        "module_params": [dict, None],
    }
    # a module of the user's may make float32 tensors of its own
    _inference_dtype: ClassVar[torch.dtype] = torch.float32
    _adds_base_margin: ClassVar[bool] = False

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        n_dimensions = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
        if n_dimensions > 2:
            array = check_array(X, allow_nd=True, input_name="X", estimator=self)
            if reset:
                self.n_features_in_ = array.shape[1]
        else:
            array = validate_data(self, X, reset=reset)
        if reset:
            self.row_shape_ = array.shape[1:]
        elif array.shape[1:] != self.row_shape_:
            raise ValueError(f"X has rows of shape {array.shape[1:]}, those in fit were {self.row_shape_}")
        return array

    def _inputs(self, X: np.ndarray, rows: np.ndarray) -> dict[str, Tensor]:
        inputs = torch.tensor(X[rows], dtype=torch.float32)
        if not inputs.isfinite().all():
            raise ValueError("X holds values beyond float32 (3.4e38); scale them, with StandardScaler for example")
        return {"X": inputs}

    def _build_module(self, training: TensorTable) -> nn.Module:
        is_other_class = isinstance(self.module, type) and not issubclass(self.module, nn.Module)
        if is_other_class or isinstance(self.module, nn.Module) or not callable(self.module):
            raise TypeError(
                f"module must be a class of torch.nn.Module, or a function that makes one, got {self.module!r:.80}; "
                "its arguments go into module_params"
            )
        X = training.inputs["X"]
        sizes = {"n_features": X.shape[1], "n_outputs": self._n_outputs}
        wanted = {name: size for name, size in sizes.items() if name in signature(self.module).parameters}
        try:
            module = self.module(**wanted | (self.module_params or {}))
        except TypeError as error:
            raise TypeError(f"module cannot be made with module_params={self.module_params!r}: {error}") from error
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must make a torch.nn.Module, got a {type(module).__name__}")
        self._check_outputs(module, X[:2])
        return module

    def _check_outputs(self, module: nn.Module, X: Tensor) -> None:
        """Two rows through the module, which also gives lazy layers their shapes."""
        try:
            with torch.no_grad():
                outputs = module.eval()(X)
        except RuntimeError as error:
            name = type(module).__name__
            raise ValueError(f"module {name} cannot take float32 inputs of shape {tuple(X.shape)}: {error}") from error
        wanted = (len(X), self._n_outputs)
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != wanted:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ValueError(
                f"module {type(module).__name__} must return shape (n_rows, {self._n_outputs}) for this target: for "
                f"inputs {tuple(X.shape)} it returned {got}, not {wanted}"
            )


_MODULE = """
    module : type of torch.nn.Module, or callable
        The module's class, or a function that makes one. Its ``forward`` takes a float32 tensor of the shape of `X`
        and returns shape (n_rows, n_outputs): one log-odds for two classes, one logit a class for more, one log-odds a
        label, or one number an output of a regression. With a method ``embed`` of the same argument, so has the
        estimator.
    module_params : dict or None, default=None
        Arguments of `module`; None is none. Where it has arguments ``n_features`` or ``n_outputs`` that are not given
        here, they are ``X.shape[1]`` and what `y` needs.
"""
_ROW_SHAPE = """
    row_shape_ : tuple of int
        Shape of one row of `X`.
"""


@net_estimator(parameters=_MODULE, attributes=_ROW_SHAPE)
class ModuleClassifier(NetClassifierHead, BaseModule):
    """Any torch module as a classifier, on arrays of any rank.

    The module is built under the seed, trained as every net here is, and kept as ``module_``. `X` is taken as it is,
    without missing values: put scaling in front, in a Pipeline. A class from a notebook works with ``n_jobs``.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> class Convolution(nn.Module):
    ...     def __init__(self, n_channels, n_outputs):
    ...         super().__init__()
    ...         self.first, self.last = nn.Conv2d(1, n_channels, 3), nn.LazyLinear(n_outputs)
    ...     def forward(self, X):
    ...         return self.last(self.first(X.unsqueeze(1) / 16).relu().flatten(1))
    >>> net = ModuleClassifier(module=Convolution, module_params={"n_channels": 8}, max_epochs=5, random_state=0)
    >>> net.fit(X.reshape(-1, 8, 8), y).score(X.reshape(-1, 8, 8), y) > 0.9
    True
    """


@net_estimator(parameters=_MODULE, attributes=_ROW_SHAPE)
class ModuleRegressor(NetRegressorHead, BaseModule):
    """Any torch module as a regressor, on arrays of any rank.

    As :class:`ModuleClassifier`, with the squared error of the standardised target; `y` may have several columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = ModuleRegressor(module=nn.Linear, module_params={"in_features": 10, "out_features": 1}, random_state=0)
    >>> net.fit(X, y).predict(X).shape
    (442,)
    """
