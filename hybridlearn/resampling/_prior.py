"""What resampling does to the prior of the classes, and how it is put back."""

from __future__ import annotations

import numpy as np

from hybridlearn._heads import centred


def prior_shift(odds: np.ndarray) -> np.ndarray:
    """What to add to a margin when a row of each class was `odds` times less likely to be drawn (Elkan, 2001).

    Parameters
    ----------
    odds : ndarray of shape (n_classes,)
        Weight of each class before over that after; a factor that all share changes nothing.

    Returns
    -------
    ndarray of shape (n_outputs,)
        Of two classes one number, of more one a class, centred.

    References
    ----------
    .. [1] Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.

    Examples
    --------
    >>> prior_shift(np.array([9.0, 1.0])).round(3)
    array([-2.197])
    """
    log_odds = np.log(odds)
    return log_odds[1:] - log_odds[:1] if len(odds) == 2 else centred(log_odds[None])[0]
