"""Whether the columns that an explanation names are those that the prediction hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from hybridlearn._random import RandomState
from hybridlearn.crossfit import margin, no_news_of_levels
from hybridlearn.inspection._mixing import Mixer
from hybridlearn.table import take_rows

_ROWS_AT_ONCE = 2**14


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Areas under curves of deletion and insertion.

    Attributes
    ----------
    frame : DataFrame
        A row an order of columns (the one that was asked for, and ``random``): ``deletion`` and ``insertion``, means
        over the rows, and their standard errors. Deletion is better the lower, insertion the higher.
    curves : dict of str to ndarray of shape (n_columns + 1,)
        ``deletion`` and ``insertion`` by how many columns were deleted or inserted, means over the rows.
    by_row : DataFrame of n_rows rows
        Areas of each row.
    """

    frame: pd.DataFrame
    curves: dict[str, np.ndarray]
    by_row: pd.DataFrame


def faithfulness(
    model: Any,
    X: Any,
    scores: Any,
    background: Any,
    *,
    n_background: int = 10,
    random_state: RandomState = 0,
) -> Faithfulness:
    """Delete and insert columns in the order of their scores, and see how soon the margin goes.

    A column is deleted where it has the values of rows of the background; the margin's mean over these is taken. Of
    each row the margin of what is predicted counts, how far it has come from the background's mean, in units of the
    mean way over the rows: with all columns 1 in the mean, without any 0. The area under the curve is its mean over
    all numbers of columns [1]_.

    Parameters
    ----------
    model : fitted estimator
        With a margin.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    scores : ndarray of shape (n_rows, n_columns)
        What says most for the prediction goes first: contributions to the margin, or weights of attention.
    background : array-like or DataFrame of shape (n_background, n_columns)
        What deleted columns get their values from.
    n_background : int, default=10
        Rows of the background at most.
    random_state : int, RandomState or None, default=0
        Draws the background and the random orders.

    Returns
    -------
    Faithfulness

    References
    ----------
    .. [1] Petsiuk, Das and Saenko, "RISE", BMVC 2018. Deleted parts there are grey; here they are those of other rows.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from hybridlearn import BoostedTreesRegressor
    >>> from hybridlearn.inspection import explain, faithfulness
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesRegressor(n_estimators=30, random_state=0).fit(X, y)
    >>> toward = explain(trees, X[:50], X).toward_prediction
    >>> areas = faithfulness(trees, X[:50], toward, X).frame["deletion"]
    >>> bool(areas["scores"] < areas["random"])
    True
    """
    rng = check_random_state(random_state)
    table, others = (part if isinstance(part, pd.DataFrame) else np.asarray(part) for part in (X, background))
    if n_background < 1:
        raise ValueError(f"n_background must be at least 1, got {n_background!r}")
    if others.ndim != 2 or not len(others) or Mixer(table).names != Mixer(others).names:
        raise ValueError("background must have rows, and the columns of X in their order")
    scores = np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, which has no place in an order")
    if scores.shape != table.shape:
        raise ValueError(f"scores must have a number a row and column, shape {table.shape}, got {scores.shape}")
    drawn = rng.permutation(len(others))[:n_background]
    mixer = Mixer(table, take_rows(others, drawn))
    with no_news_of_levels():
        told = _towards(margin(model, mixer.table), len(table))
    orders = {"scores": np.argsort(-scores, axis=1, kind="stable"), "random": rng.random(scores.shape).argsort(axis=1)}
    by_row, curves = {}, {}
    for name, order in orders.items():
        for kind, own in (("deletion", order[:, ::-1]), ("insertion", order)):
            curve = _curve(model, mixer, own, told)
            curve = curve[:, ::-1] if kind == "deletion" else curve
            by_row[name, kind] = curve.mean(axis=1)
            if name == "scores":
                curves[kind] = curve.mean(axis=0)
    areas = pd.DataFrame(by_row)
    mean, error = areas.mean().unstack(), areas.sem().unstack().add_suffix("_standard_error")
    return Faithfulness(pd.concat([mean, error], axis=1).loc[list(orders)], curves, areas)


@dataclass(frozen=True, eq=False)
class _Towards:
    """Margins of what is predicted, by their way from the background."""

    label: np.ndarray
    start: np.ndarray
    unit: np.ndarray

    def share(self, margins: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own = margins[np.arange(len(rows)), self.label[rows]]
        return (own - self.start[rows]) / self.unit[rows]


def _towards(margins: np.ndarray, n_rows: int) -> _Towards:
    rows, others = margins[:n_rows], margins[n_rows:].mean(axis=0)
    label = rows.argmax(axis=1)
    start = others[label]
    way = rows[np.arange(n_rows), label] - start
    # in units of the mean, lest a row hardly moved outweigh all others
    return _Towards(label, start, np.where(way < 0, -1.0, 1.0) * max(np.abs(way).mean(), 1e-12))


def _curve(model: Any, mixer: Mixer, order: np.ndarray, towards: _Towards) -> np.ndarray:
    """How far the first columns of each row's order go, shape (n_rows, n_columns + 1)."""
    n_rows, n_columns = order.shape
    n_others = len(mixer.table) - n_rows
    rank = order.argsort(axis=1)
    steps = np.arange(n_columns + 1)
    curve = np.empty((n_rows, n_columns + 1))
    size = max(_ROWS_AT_ONCE // (len(steps) * n_others), 1)
    for start in range(0, n_rows, size):
        rows = np.arange(start, min(start + size, n_rows))
        kept = rank[rows][:, None, :] < steps[:, None]  # (n, n_steps, n_columns)
        chosen = np.where(kept[:, :, None], rows[:, None, None, None], n_rows + np.arange(n_others)[:, None])
        with no_news_of_levels():
            margins = margin(model, mixer.take(chosen.reshape(-1, n_columns)))
        share = towards.share(margins, np.repeat(rows, len(steps) * n_others))
        curve[rows] = share.reshape(len(rows), len(steps), n_others).mean(axis=2)
    return curve
