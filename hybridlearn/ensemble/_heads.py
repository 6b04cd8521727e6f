"""What a hybrid adds to the head of a classifier or a regressor: sets of labels, intervals."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from hybridlearn._extras import axes_for
from hybridlearn._heads import ClassifierHead, RegressorHead, decided
from hybridlearn.crossfit import OutOfFold
from hybridlearn.ensemble._conformal import check_conformal, intervals, label_sets
from hybridlearn.ensemble._threshold import check_threshold, learn_threshold, plot_threshold


class HybridClassifierHead(ClassifierHead):
    """A hybrid that names classes."""

    def _check_target(self) -> None:
        check_threshold(self.threshold, self.classes_)

    def _learn_threshold(self, oof: OutOfFold) -> Any:
        """Keep the threshold; that of each row, learned without its fold."""
        self.threshold_ = learn_threshold(self.threshold, oof, np.flatnonzero(oof.covered))
        if np.ndim(self.threshold_) == 2:
            return self.threshold_
        by_row = np.full(len(oof.fold), np.nan)
        for _, others, held_out in oof.second_level():
            by_row[held_out] = learn_threshold(self.threshold, oof, others)
        return by_row

    def _labels_of(self, probability: np.ndarray) -> np.ndarray:
        # a number may have been set since; a model of an earlier file has learned none
        is_number = isinstance(self.threshold, Real)
        threshold = self.threshold if is_number else self.threshold_
        return self.classes_[decided(probability, threshold)]

    def plot_threshold(self, ax: Any = None) -> Any:
        """Draw out-of-fold scores by threshold, and the threshold that is used.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        return plot_threshold(self, axes_for(ax, purpose="plot_threshold"))

    def predict_set(self, X: Any, alpha: float = 0.1) -> np.ndarray:
        """Labels that cannot be ruled out, each class held to the same risk.

        CV+ [1]_ with the least-probability score, one class at a time (Mondrian). Of the rows of each class, if rows
        come in any order, the set misses the label of at most 2 `alpha` (about `alpha` in practice). A set is empty
        where no label is likely enough; all labels of a class with fewer than ``1 / alpha - 1`` rows are in every set.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
        alpha : float, default=0.1
            Share of labels that may be missed, in (0, 1).

        Returns
        -------
        ndarray of shape (n_rows, n_classes), bool
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            On folds in the order of time: the rows to come are then no rows like any other.

        References
        ----------
        .. [1] Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020.
        """
        table = self._read_new(X)  # type: ignore[attr-defined]
        check_conformal(self.oof_, alpha)  # type: ignore[attr-defined]
        return label_sets(self, table, alpha)


class HybridRegressorHead(RegressorHead):
    """A hybrid that predicts numbers."""

    def _check_target(self) -> None:
        """Any numbers can be learned."""

    def _learn_threshold(self, oof: OutOfFold) -> Any:
        """A number is predicted as it is."""
        return 0.5

    def predict_interval(self, X: Any, alpha: float = 0.1) -> np.ndarray:
        """Interval that holds the target of most rows.

        CV+ [1]_ (of bags: jackknife+ after bootstrap [2]_) with absolute residuals. If rows come in any order it
        misses at most 2 `alpha` of the targets, about `alpha` in practice.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
        alpha : float, default=0.1
            Share of targets that may be missed, in (0, 1).

        Returns
        -------
        ndarray of shape (n_rows, 2), float64
            Lower and upper end, in units of the target; infinite with fewer than ``1 / alpha - 1`` rows.

        Raises
        ------
        ValueError
            On folds in the order of time: the rows to come are then no rows like any other.

        References
        ----------
        .. [1] Barber, Candès, Ramdas and Tibshirani, "Predictive Inference with the Jackknife+", Annals of
           Statistics 49, 2021.
        .. [2] Kim, Xu and Barber, "Predictive Inference Is Free with the Jackknife+-after-Bootstrap", NeurIPS 2020.
        """
        table = self._read_new(X)  # type: ignore[attr-defined]
        check_conformal(self.oof_, alpha)  # type: ignore[attr-defined]
        return intervals(self, table, alpha)
