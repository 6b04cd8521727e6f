"""What the mean of fold models loses in spread, put back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridlearn._clock import Deadline
from hybridlearn._heads import probabilities
from hybridlearn.crossfit import OutOfFold, margins_by_member, no_news_of_levels, sample_of
from hybridlearn.ensemble._blend import Blend
from hybridlearn.table import take_rows

# Rows whose variance is looked at, under a deadline in so many parts.
_MOST_ROWS, _N_PARTS = 500, 5


def stretched(blend: Blend, temperature: float, oof: OutOfFold, X: Any, deadline: Deadline | None = None) -> Blend:
    """The blend for the mean of all fold models, of one that was learned from the margins of single ones.

    Weights and temperature are right for models that never saw a row: with folds, one. A new row gets the mean of K,
    which averages away a part of what single models differ in, and so is less sure than it could be. Let V be the
    variance, over rows, of single models' margins, and v that of a row's margin among models: then V - (1 - 1/K) v is
    the variance of the means, and the regression of the truth on them is steeper by the quotient of the two. Rows count
    by the curvature of their log loss. Here v is told by the models that have seen a row, which mostly differ less than
    those that have not: the margin is stretched rather too little than too much. No label is looked at.

    Parameters
    ----------
    blend : Blend
    temperature : float
        What its margin is divided by.
    oof : OutOfFold
        Of a classification, with the models that predict.
    X : table of n_rows rows
        What these were fitted on.
    deadline : Deadline, optional
        Past it, fewer rows are looked at.

    Returns
    -------
    Blend
        The same where no row was seen by two models, or the margin does not vary.
    """
    left_out = oof.left_out
    n_unseen, n_seen = left_out.sum(axis=1), (~left_out).sum(axis=1)
    rows = sample_of(oof.target, np.flatnonzero((n_unseen > 0) & (n_seen > 1)), _MOST_ROWS, seed=0)
    if not len(rows) or not blend.weights.any():
        return blend
    rows, margins = _asked(rows, blend, temperature, oof, X, deadline)
    seen = ~left_out[rows].T[:, :, None]
    single = margins.mean(axis=0, where=~seen)
    weight = oof.weight[rows, None] * _curvature(margins.mean(axis=0, where=seen))
    if not weight.any(axis=0).all():
        return blend
    centre = np.average(single, axis=0, weights=weight)
    of_rows = float((weight * (single - centre) ** 2).sum())
    of_models = float((weight * margins.var(axis=0, ddof=1, where=seen)).sum())
    lost = np.average(1 / n_unseen[rows], weights=oof.weight[rows]) - 1 / left_out.shape[1]
    if of_rows == 0:
        return blend
    by = of_rows / (of_rows - lost * min(of_models, of_rows))
    # margins of several classes are centred, and stay so
    about = temperature * (centre - centre.mean() if len(centre) > 1 else centre)
    return Blend(by * blend.weights, about + by * (blend.intercept - about))


def _asked(
    rows: np.ndarray, blend: Blend, temperature: float, oof: OutOfFold, X: Any, deadline: Deadline | None
) -> tuple[np.ndarray, np.ndarray]:
    """As many of the rows as there is time for, some at least, and what each model says of them."""
    n_parts = 1 if deadline is None else min(_N_PARTS, len(rows))
    parts, found = [rows[i::n_parts] for i in range(n_parts)], []
    for part in parts:
        found.append(_margins(blend, temperature, oof, take_rows(X, part)))
        if deadline is not None and deadline.is_over:
            break
    return np.concatenate(parts[: len(found)]), np.concatenate(found, axis=1)


def _margins(blend: Blend, temperature: float, oof: OutOfFold, table: Any) -> np.ndarray:
    """Calibrated margins by each model, shape (n_models, n_rows, n_outputs)."""
    weight = dict(zip(oof.members, blend.weights, strict=True))
    models = {name: own for name, own in oof.models.items() if weight[name]}
    with no_news_of_levels():
        of_members = margins_by_member(models, table)
    total = sum(weight[name] * np.stack(own) for name, own in of_members.items())
    return (blend.intercept + total) / temperature


def _curvature(margin: np.ndarray) -> np.ndarray:
    """Of the log loss, by each output."""
    probability = probabilities(margin)[:, -margin.shape[1] :]
    return probability * (1 - probability)
