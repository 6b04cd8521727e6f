"""Labels by a threshold on the probability."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from hybridlearn._heads import ClassifierHead


class ThresholdHead(ClassifierHead):
    """A classifier whose ``threshold`` decides between two classes; it changes ``predict`` only."""

    threshold: float

    def predict(self, X: Any) -> np.ndarray:
        """Class of each row: ``classes_[1]`` where its probability is above ``threshold``; else the likeliest.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,)
            Of the type of ``classes_``.
        """
        check_is_fitted(self)
        if len(self.classes_) > 2:
            return super().predict(X)
        return self.classes_[(self.predict_proba(X)[:, 1] > self.threshold).astype(int)]
