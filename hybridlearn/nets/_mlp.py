"""The multilayer perceptron as a pair of estimators."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

from hybridlearn._compat import integer, real
from hybridlearn._docs import shares_doc
from hybridlearn._heads import also_takes
from hybridlearn._random import RandomState
from hybridlearn.modules import TabularMLP
from hybridlearn.nets._base import BaseNet
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead


class BaseTabularMLP(BaseNet):
    """The parameters of the multilayer perceptron and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseNet._parameter_constraints,
        "hidden_layer_sizes": ["array-like"],
        "dropout": [real(0, 1, closed="left")],
        "d_embedding": [integer(2)],
        "n_frequencies": [integer(1)],
        "frequency_scale": [real(0, closed="neither")],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (256, 256),
        dropout: float = 0.1,
        d_embedding: int = 4,
        n_frequencies: int = 16,
        frequency_scale: float = 0.1,
        max_levels: int = 1000,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 256,
        max_epochs: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 16,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.d_embedding = d_embedding
        self.n_frequencies = n_frequencies
        self.frequency_scale = frequency_scale
        self.max_levels = max_levels
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build_module(self, n_numeric: int, cardinalities: list[int], n_outputs: int) -> TabularMLP:
        if not all(isinstance(width, Integral) and width > 0 for width in self.hidden_layer_sizes):
            raise ValueError(f"hidden_layer_sizes={self.hidden_layer_sizes!r} must hold positive ints")
        return TabularMLP(
            n_numeric,
            cardinalities,
            n_outputs,
            hidden_layer_sizes=self.hidden_layer_sizes,
            dropout=self.dropout,
            d_embedding=self.d_embedding,
            n_frequencies=self.n_frequencies,
            frequency_scale=self.frequency_scale,
        )


_PARAMETERS = """
    hidden_layer_sizes : sequence of int, default=(256, 256)
        Width of each hidden layer.
    dropout : float, default=0.1
        Share of a hidden layer's units that a training step leaves out.
    d_embedding : int, default=4
        Numbers a numeric column becomes, itself included.
    n_frequencies : int, default=16
        Cosines behind each of these embeddings.
    frequency_scale : float, default=0.1
        Standard deviation of their initial frequencies; larger fits finer wiggles.
    max_levels : int, default=1000
        Levels kept a categorical column, the most frequent first; the others share one embedding.
    learning_rate : float, default=0.002
        Of AdamW, constant.
    weight_decay : float, default=0.01
        Of AdamW.
    batch_size : int, default=256
        Rows a step.
    max_epochs : int, default=200
        Upper bound of passes over the training rows.
    early_stopping : bool, default=True
        Whether to keep rows aside, stop when their loss no longer falls, and go back to the best weights.
    validation_fraction : float, default=0.15
        Share of the rows (of the groups, if given) kept aside; stratified in classification.
    n_iter_no_change : int, default=16
        Epochs without a lower loss before training stops.
    device : str, default="auto"
        A torch device; "auto" takes CUDA, then MPS, then the CPU. The fitted net is kept on the CPU.
    random_state : int, RandomState or None, default=None
        Decides the split, the initial weights, the row order and dropout. Global seeds are left alone.
    verbose : int, default=0
        From 1 on, a progress bar over the epochs.
"""

_ATTRIBUTES = """
    module_ : TabularMLP
        The trained torch module, on the CPU, in evaluation mode.
    encoder_ : TableEncoder
        What turns a table into the module's inputs.
    history_ : list of dict
        ``epoch``, ``train_loss`` and ``valid_loss`` of each epoch.
    n_iter_ : int
        Epochs run.
    stopping_rows_ : ndarray of int
        Positions of the rows that stopped the training.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
@also_takes(class_weight=None)
class TabularMLPClassifier(NetClassifierHead, BaseTabularMLP):
    """Multilayer perceptron for classification of mixed tables.

    Numbers are robustly scaled and embedded by learned cosines, categories by learned vectors
    (:class:`~hybridlearn.table.TableEncoder`, :class:`~hybridlearn.modules.TabularMLP`); AdamW minimises the
    weighted cross-entropy. Missing values, text categories, datetimes and sample weights are taken as they are.
    The embeddings and the scaling are those of RealMLP [1]_; unlike it, the net is small, trains at a constant
    rate and stops early.

    Parameters
    ----------
    <parameters>
    class_weight : "balanced", dict or None, default=None
        Multiplies ``sample_weight`` by class, as in scikit-learn; None is 1 each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    <attributes>

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


@shares_doc(parameters=_PARAMETERS, attributes=_ATTRIBUTES)
class TabularMLPRegressor(NetRegressorHead, BaseTabularMLP):
    """Multilayer perceptron for regression on mixed tables.

    As :class:`TabularMLPClassifier`, with the squared error of the standardised target.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    target_mean_, target_scale_ : float
        What the target was standardised with, in its units.
    <attributes>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = TabularMLPRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
