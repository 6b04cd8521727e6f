"""FT-Transformer as a pair of estimators."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from hybridlearn._compat import integer, real
from hybridlearn._docs import also_takes, leads_with
from hybridlearn.modules import (
    CategoricalEmbedding,
    FTTransformer,
    LinearEmbedding,
    MissingValueEmbedding,
    TableTokens,
    TabularNet,
)
from hybridlearn.nets._heads import NetClassifierHead, NetRegressorHead
from hybridlearn.nets._pair import ENCODER, LEVELS, net_estimator
from hybridlearn.nets._table_net import BaseTableNet
from hybridlearn.table import TableEncoder
from hybridlearn.training import TensorTable


@also_takes(learning_rate=1e-3)
@leads_with(n_blocks=2, d_block=64, n_heads=4, d_hidden=128, attention_dropout=0.1, dropout=0.1)
class BaseFTTransformer(BaseTableNet):
    """The parameters of the FT-Transformer and the module they build."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseTableNet._parameter_constraints,
        "n_blocks": [integer(1)],
        "d_block": [integer(1)],
        "n_heads": [integer(1)],
        "d_hidden": [integer(1)],
        "attention_dropout": [real(0, 1, closed="left")],
        "dropout": [real(0, 1, closed="left")],
    }

    def _new_encoder(self) -> TableEncoder:
        # a missing number gets a token of its own; a token more for "it is missing" would double the columns
        return TableEncoder(max_levels=self.max_levels, missing="keep")

    def _build_module(self, training: TensorTable) -> nn.Module:
        if self.d_block % self.n_heads:
            raise ValueError(f"d_block={self.d_block} must be a multiple of n_heads={self.n_heads}")
        n_numeric, cardinalities = training.inputs["x_num"].shape[1], self._cardinalities
        numeric = MissingValueEmbedding(LinearEmbedding(n_numeric, d_embedding=self.d_block), n_numeric, self.d_block)
        categorical = CategoricalEmbedding(cardinalities, widths=[self.d_block] * len(cardinalities))
        hidden = FTTransformer(
            n_blocks=self.n_blocks,
            d_block=self.d_block,
            n_heads=self.n_heads,
            d_hidden=self.d_hidden,
            attention_dropout=self.attention_dropout,
            dropout=self.dropout,
        )
        tokens = TableTokens(numeric, categorical, self.d_block)
        return TabularNet(tokens, hidden, nn.Linear(self.d_block, self._n_outputs))

    def attention(self, X: Any) -> np.ndarray:
        """How much the tokens of each row attend to each other.

        Attention shows where the net looks, which is no proof of what moves its prediction.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_blocks, n_heads, n_tokens, n_tokens), float64
            From the token that asks (second to last axis) to the one that is asked; the last axis sums to 1. Tokens
            are the columns as ``encoder_.get_feature_names_out()`` names them, then the one that is read out.
        """
        return self._infer(X, "attention")

    def column_of_tokens(self) -> np.ndarray:
        """Position of the column that each token is of, the one that is read out left aside.

        Returns
        -------
        ndarray of shape (n_tokens - 1,), int
        """
        check_is_fitted(self)
        schema = self.encoder_.schema_
        return np.concatenate([schema.numeric_places, schema.categorical_places])


_HIDDEN = """
    n_blocks : int, default=?
        Blocks of attention and perceptron.
    d_block : int, default=?
        Width of a column's token; a multiple of `n_heads`.
    n_heads : int, default=?
        Attentions side by side in a block.
    d_hidden : int, default=?
        Hidden units of a block's perceptron.
    attention_dropout : float, default=?
        Share of the attention that a training step leaves out.
    dropout : float, default=?
        Share of the perceptron's units that it leaves out.
"""


@net_estimator(parameters=_HIDDEN + LEVELS, attributes=ENCODER)
class FTTransformerClassifier(NetClassifierHead, BaseFTTransformer):
    """FT-Transformer for classification of mixed tables: a row's columns attend to each other [1]_.

    Each number becomes a line of its own in as many dimensions, each category a learned vector, a missing number a
    learned vector of its column. Cost grows with the square of the number of columns. It is smaller than the paper's.

    <sections>

    References
    ----------
    .. [1] Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting Deep Learning Models for Tabular Data", NeurIPS
       2021.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = FTTransformerClassifier(d_block=16, max_epochs=5, random_state=0).fit(X, y)
    >>> net.predict_proba(X).shape
    (178, 3)
    >>> net.attention(X[:10]).shape  # 13 columns and the token that is read out
    (10, 2, 4, 14, 14)
    """


@net_estimator(parameters=_HIDDEN + LEVELS, attributes=ENCODER)
class FTTransformerRegressor(NetRegressorHead, BaseFTTransformer):
    """FT-Transformer for regression on mixed tables: a row's columns attend to each other.

    As :class:`FTTransformerClassifier`, with the squared error of the standardised target; `y` may have several
    columns.

    <sections>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> net = FTTransformerRegressor(d_block=16, max_epochs=5, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (442,)
    """
