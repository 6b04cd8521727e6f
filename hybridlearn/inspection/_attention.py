"""Attention of nets that have it, never without a number that says how far it explains anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.utils.validation import check_is_fitted

from hybridlearn._extras import axes_for
from hybridlearn._random import RandomState
from hybridlearn.inspection._explain import explain
from hybridlearn.inspection._faithfulness import Faithfulness, faithfulness


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """What a net attends to.

    Attributes
    ----------
    attention : ndarray of shape (n_rows, n_blocks, n_heads, n_tokens, n_tokens)
        Weights of each head; the last token reads out the row.
    rollout : DataFrame of shape (n_rows, n_columns)
        Attention of the read-out traced back to the columns, summing to 1 a row.
    faithfulness : Faithfulness
        Of ``rollout`` as an explanation, beside random order.
    rank_correlation : float
        Mean over the rows of Spearman's correlation of ``rollout`` with absolute Shapley values.
    rank_correlation_standard_error : float
    """

    attention: np.ndarray
    rollout: pd.DataFrame
    faithfulness: Faithfulness
    rank_correlation: float
    rank_correlation_standard_error: float

    @property
    def frame(self) -> pd.DataFrame:
        """Mean ``attention`` of each column, the largest first."""
        mean = self.rollout.mean().rename("attention").rename_axis("column")
        return mean.sort_values(ascending=False, kind="stable").to_frame()

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean attention of each column, and how faithful it is.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_for(ax, purpose="AttentionMaps.plot")
        shown = self.frame["attention"][::-1]
        ax.barh(shown.index.astype(str), shown)
        areas = self.faithfulness.frame["deletion"]
        told = f"deletion area {areas['scores']:.2f}, at random {areas['random']:.2f}"
        ax.set(xlabel="attention (rollout)", title=f"{told}; rank correlation {self.rank_correlation:.2f}")
        return ax


def attention_maps(
    model: Any, X: Any, background: Any = None, *, n_background: int = 10, random_state: RandomState = 0
) -> AttentionMaps:
    """Attention weights of a net for each row, their rollout, and how far they explain its predictions.

    Attention is not an explanation by itself [1]_: a net may attend to what it does not use. So the maps come with the
    area under the curve of deletion and with their rank correlation with Shapley values, and are never mixed with
    :func:`explain`.

    Parameters
    ----------
    model : fitted net with attention
        Such as :class:`FTTransformerClassifier`.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    background : array-like or DataFrame, optional
        Rows that deleted columns get values from. Default: `X`.
    n_background : int, default=10
        Of them at most.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    AttentionMaps

    Raises
    ------
    TypeError
        When the model has no attention.

    References
    ----------
    .. [1] Jain and Wallace, "Attention Is Not Explanation", NAACL 2019. The rollout: Abnar and Zuidema, "Quantifying
       Attention Flow in Transformers", ACL 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from hybridlearn import FTTransformerClassifier
    >>> from hybridlearn.inspection import attention_maps
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = FTTransformerClassifier(d_block=16, n_blocks=1, max_epochs=5, random_state=0).fit(X, y)
    >>> attention_maps(net, X[:10]).rollout.shape
    (10, 13)
    """
    if not hasattr(model, "attention"):
        raise TypeError(f"{type(model).__name__} has no attention; explain() takes any model")
    check_is_fitted(model)
    others = X if background is None else background
    attention = model.attention(X)
    rollout = _rollout(attention) @ np.eye(model.n_features_in_)[model.column_of_tokens()]
    exact = explain(model, X, others, n_background=n_background, random_state=random_state)
    sizes = np.abs(exact.values).reshape(*rollout.shape, -1).sum(axis=2)
    correlations = pd.DataFrame({"r": [spearmanr(a, b).statistic for a, b in zip(rollout, sizes, strict=True)]})
    rank_correlation, error = correlations["r"].agg(["mean", "sem"]).to_numpy(dtype=np.float64)
    return AttentionMaps(
        attention=attention,
        rollout=pd.DataFrame(rollout, columns=exact.feature_names),
        faithfulness=faithfulness(model, X, rollout, others, n_background=n_background, random_state=random_state),
        rank_correlation=float(rank_correlation),
        rank_correlation_standard_error=float(error),
    )


def _rollout(attention: np.ndarray) -> np.ndarray:
    """What the token that is read out takes of each other one over all blocks, shape (n_rows, n_tokens - 1)."""
    n_rows, n_blocks, _, n_tokens, _ = attention.shape
    mixed = (attention.mean(axis=2) + np.eye(n_tokens)) / 2
    flow = np.tile(np.eye(n_tokens)[-1], (n_rows, 1))
    for block in reversed(range(n_blocks)):
        flow = np.einsum("nt,nts->ns", flow, mixed[:, block])
    flow = flow[:, :-1]
    return flow / flow.sum(axis=1, keepdims=True)
