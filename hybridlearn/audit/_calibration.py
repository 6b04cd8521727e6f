"""How honest probabilities are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def reliability_curve(y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """What was predicted against what happened, in bins of equally many rows.

    Equal mass rather than equal width, because with a rare class most bins of equal width are nearly empty.
    Rows of one probability are never parted, so the result does not depend on the order of the rows.

    Parameters
    ----------
    y_true : array-like of bool, shape (n_rows,)
        Whether the event happened.
    y_prob : array-like of float, shape (n_rows,)
        Its predicted probability.
    n_bins : int, default=10
        Number of bins; ties may leave fewer.

    Returns
    -------
    DataFrame
        One row a bin that is not empty: `rows` (count), `predicted` (mean probability), `observed` (share of
        events).

    Examples
    --------
    >>> reliability_curve([False, True, False, True], [0.1, 0.2, 0.6, 0.8], n_bins=2)
       rows  predicted  observed
    0     2       0.15       0.5
    1     2       0.70       0.5
    """
    rows = pd.DataFrame({"predicted": np.asarray(y_prob, float), "observed": np.asarray(y_true, float)})
    edges = np.quantile(rows["predicted"], np.arange(1, n_bins) / n_bins)
    bins = rows.groupby(np.searchsorted(edges, rows["predicted"]))
    return bins.mean().assign(rows=bins.size())[["rows", "predicted", "observed"]].reset_index(drop=True)


def expected_calibration_error(y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = 10) -> float:
    """How far the predicted probabilities are from what happened, on average over the rows.

    The mean over bins of equally many rows of ``|predicted - observed|``, weighted by their rows: 0 is best,
    1 worst. It is never quite 0 for finitely many rows: a perfect forecast of 12 % has about 0.03 on 500
    rows in 10 bins.

    Parameters
    ----------
    y_true : array-like of bool, shape (n_rows,)
        Whether the event happened.
    y_prob : array-like of float, shape (n_rows,)
        Its predicted probability.
    n_bins : int, default=10
        Number of bins; see `reliability_curve`.

    Returns
    -------
    float

    Examples
    --------
    >>> round(expected_calibration_error([False, True, False, True], [0.1, 0.2, 0.6, 0.8], n_bins=2), 3)
    0.275
    """
    curve = reliability_curve(y_true, y_prob, n_bins=n_bins)
    return float(np.average((curve["predicted"] - curve["observed"]).abs(), weights=curve["rows"]))
