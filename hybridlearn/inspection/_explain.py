"""Additive explanations of margins: a hybrid's are the weighted sum of its members'."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from tqdm import tqdm

from hybridlearn._random import RandomState
from hybridlearn.crossfit import Part, margin, no_news_of_levels, parts_of
from hybridlearn.inspection._explanation import Explanation
from hybridlearn.inspection._game import SAMPLED, Game, adds_up
from hybridlearn.table import take_rows

# Rows that are explained together.
_ROWS_AT_ONCE = 1000


def explain(
    model: Any,
    X: Any,
    background: Any = None,
    *,
    method: str = "auto",
    n_background: int = 100,
    random_state: RandomState = 0,
    verbose: int = 0,
) -> Explanation:
    """Shapley values of a fitted model's margin: what each column adds to it, against a background of other rows.

    Columns that are not known have the values of a row of the background, the mean over its rows is taken
    (interventional values), and the values of a row sum to its margin less the mean margin of the background. Such
    values are linear in the model: those of a hybrid are the weighted sum of its members', each found as fast as its
    kind allows.

    ============= ===========================================================================================
    boosted trees exact (as interventional TreeSHAP [1]_, with all encoded columns of a column as one player)
    linear models exact; of one output, behind a clip or a link, the rescale rule as for nets
    nets          the rescale rule of DeepLIFT against each row of the background (as DeepSHAP [1]_), where
                  the net is made of linear maps and elementwise functions
    all else      antithetic permutations: exact in sum, the single values have a sampling error
    ============= ===========================================================================================

    An encoded column is a column's whose change alone changes it. One that several columns make together (a feature of
    two, say) is a player of its own, and its value is shared equally among them; where a column is seen in nothing else
    (principal components), all are sampled. Whatever does not add up to the margin is sampled instead:
    :attr:`Explanation.methods` says what was done.

    Parameters
    ----------
    model : fitted estimator
        A hybrid that is a weighted sum, any estimator of this package, or any classifier or regressor that has a
        margin (see :func:`hybridlearn.crossfit.margin`); in a `Pipeline`, a search or `FrozenEstimator` too.
    X : array-like or DataFrame of shape (n_rows, n_columns)
        Rows to be explained.
    background : array-like or DataFrame of shape (n_background, n_columns), optional
        Rows of at least 2, what a prediction is compared with: training rows, as a rule. Default: `X`.
    method : {"auto", "permutations"}, default="auto"
        "permutations" samples the model as a whole, whatever it is; it says nothing of members.
    n_background : int, default=100
        Of more rows than this in `background`, as many are drawn.
    random_state : int, RandomState or None, default=0
        Draws the background and the permutations.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    Explanation

    Raises
    ------
    NotFittedError
        When the model is not fitted.
    TypeError
        When a final estimator makes of the members' margins something that is no sum, and `method` is "auto"; on a
        sparse matrix.
    ValueError
        On other columns than those of ``fit``, a background of one row, a `method` that is not known.

    References
    ----------
    .. [1] Lundberg et al., "From Local Explanations to Global Understanding with Explainable AI for Trees", Nature
       Machine Intelligence 2, 2020; Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS
       2017.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.inspection import explain
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X, y)
    >>> explanation = explain(trees, X[:5], X)
    >>> explanation.values.shape, bool(explanation.check_additivity() < 1e-5)
    ((5, 30), True)
    """
    if method not in ("auto", SAMPLED):
        raise ValueError(f"method must be 'auto' or {SAMPLED!r}, got {method!r}")
    if not isinstance(n_background, Integral) or n_background < 2:
        raise ValueError(f"n_background must be an integer of at least 2, got {n_background!r}")
    rng = check_random_state(random_state)
    table, others = _table(X, "X"), _table(X if background is None else background, "background")
    if len(others) < 2:
        raise ValueError(f"background has {len(others)} row(s); give at least 2, best 100 of the training rows")
    if len(others) > n_background:
        others = take_rows(others, rng.choice(len(others), n_background, replace=False))
    parts = _parts(model, method)
    # what is new in the rows is told of here, once
    margins = margin(model, table)
    names = _names(model, table)
    if len(names) != table.shape[1]:
        raise ValueError(f"X has {table.shape[1]} columns, the model was fitted on {len(names)}")
    values: dict[str, np.ndarray] = {}
    methods: dict[str, set[str]] = {}
    seed = rng.randint(2**31)
    with no_news_of_levels(), tqdm(total=len(parts) * len(table), unit="row", disable=not verbose) as bar:
        base = margin(model, others)
        for start in range(0, len(table), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(table)))
            game = Game(take_rows(table, rows), others, np.random.RandomState(seed), bar.update)
            for part in parts:
                found, how = game.values(part)
                own = values.setdefault(part.member, np.zeros((len(table), table.shape[1], found.shape[2])))
                own[rows] += part.weight * found
                methods.setdefault(part.member, set()).add(how)
    if method == "auto" and not adds_up(np.sum(list(values.values()), axis=0), margins, base.mean(axis=0)):
        # what the model does to the table before its parts see it is more than the parts know
        return explain(model, table, others, method=SAMPLED, n_background=n_background, random_state=seed)
    told = {name: ", ".join(sorted(own)) for name, own in methods.items()}
    with no_news_of_levels():
        return Explanation.of(model, table, names, margins, base, values, told)


def _parts(model: Any, method: str) -> list[Part]:
    if method == SAMPLED:
        return [Part("", 1.0, (), None, lambda table: margin(model, table))]
    return list(parts_of(model))


def _table(X: Any, name: str) -> Any:
    if hasattr(X, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix; explain needs a dense table: {name}.toarray()")
    if isinstance(X, pd.DataFrame):
        return X.reset_index(drop=True)
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, rows and columns, got shape {array.shape}")
    return array


def _names(model: Any, table: Any) -> list[str]:
    if isinstance(table, pd.DataFrame):
        return [str(name) for name in table.columns]
    known = getattr(model, "feature_names_in_", None)
    return [f"x{i}" for i in range(table.shape[1])] if known is None else [str(name) for name in known]
