"""Copies of rows at the ends of what they may become: what trees, which have no slope, can learn to resist by."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from hybridlearn._compat import integer, real
from hybridlearn._random import RandomState
from hybridlearn.resampling._tables import BaseTableSampler
from hybridlearn.table import FeatureConstraints


class CornerSampler(BaseTableSampler):
    """Add copies of all rows whose numbers are moved up or down, each by chance, as far as `eps` lets them.

    What has learned from such copies gives way less to small changes of a row, whatever it is: boosted trees too, which
    have no gradient that adversarial training [1]_ could follow. Classes keep their shares. In ``resample=`` of a
    :class:`HybridClassifier` copies of a row never judge what its other copies have trained.

    Parameters
    ----------
    eps : float, array-like of shape (n_columns,) or dict of column to float, default=0.1
        How far numbers move: a number is in robust standard deviations of each column, an array or a dict in its units.
    n_copies : int, default=4
        Of each row.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    sampling_strategy_ : str
        "auto": there is no other.
    sample_indices_ : ndarray of shape (n_rows_out,), int
        Which row each row is, or is a moved copy of.
    n_features_in_ : int
        Columns seen.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.

    References
    ----------
    .. [1] Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks",
       ICLR 2018. Their rows are the worst that is found, ours are drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [31.0, 35.0, 40.0], "job": ["cook", "cook", None]})
    >>> more, labels = CornerSampler(eps={"age": 1.0}, n_copies=2, random_state=0).fit_resample(X, ["no", "yes", "no"])
    >>> more["age"].tolist()
    [31.0, 35.0, 40.0, 32.0, 36.0, 41.0, 32.0, 34.0, 41.0]
    >>> labels
    ['no', 'yes', 'no', 'no', 'yes', 'no', 'no', 'yes', 'no']
    """

    _sampling_type = "bypass"
    _parameter_constraints: ClassVar[dict] = {
        "eps": [real(0, closed="left"), dict, "array-like"],
        "n_copies": [integer(1)],
        "random_state": ["random_state"],
    }

    def __init__(self, *, eps: Any = 0.1, n_copies: int = 4, random_state: RandomState = None):
        super().__init__()
        self.eps = eps
        self.n_copies = n_copies
        self.random_state = random_state

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        rng = check_random_state(self.random_state)
        box = FeatureConstraints().box(X, self.eps)
        copies = [
            box.with_numbers(np.where(rng.random_sample(box.lower.shape) < 0.5, box.lower, box.upper))
            for _ in range(self.n_copies)
        ]
        out = pd.concat([box.frame, *copies], ignore_index=True)
        self.sample_indices_ = np.tile(np.arange(len(y)), 1 + self.n_copies)
        return (out if isinstance(X, pd.DataFrame) else out.to_numpy()), y[self.sample_indices_]
