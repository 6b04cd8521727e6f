"""Certificates: decisions that no change within a box can turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from hybridlearn.robustness._decision import TIE, Decision
from hybridlearn.robustness._exact import JointTrees
from hybridlearn.robustness._falls import Falls
from hybridlearn.table import Box, FeatureConstraints, as_constraints

_METHODS = ("bounds", "intervals", "veritas")
_ROWS_AT_ONCE = 512
# Halvings by which the radius of a row is found.
_N_HALVINGS = 6


@dataclass(frozen=True, eq=False)
class Certificate:
    """What no change within a box can do.

    Attributes
    ----------
    certified : ndarray of shape (n_rows,), bool
        Whether the decision holds all over the box; with `y` given, and is right.
    labels : ndarray of shape (n_rows,)
        The decision, as ``predict`` gives it.
    margin_lower : ndarray of shape (n_rows,), float64
        A lower bound, all over the box, of how far the decision is from turning, in units of the margin: above 0 where
        it holds.
    margin : ndarray of shape (n_rows,), float64
        How far it is for the row as it is.
    radius : ndarray of shape (n_rows,), float64
        Share of the way to the ends of the box within which the decision is certified to hold, in [0, 1].
    """

    certified: np.ndarray
    labels: np.ndarray
    margin_lower: np.ndarray
    margin: np.ndarray
    radius: np.ndarray

    @property
    def frame(self) -> pd.DataFrame:
        """One row a row."""
        return pd.DataFrame(
            {
                "label": self.labels,
                "certified": self.certified,
                "margin": self.margin,
                "margin_lower": self.margin_lower,
                "radius": self.radius,
            }
        )


def certify(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    eps: Any,
    constraints: FeatureConstraints | None = None,
    method: str = "bounds",
    time_limit: float = 1.0,
    verbose: int = 0,
) -> Certificate:
    """Certify decisions of a fitted classifier against every change of a row within a box.

    Margins add: a lower bound of a hybrid's margin is the weighted sum of lower bounds of its fold models' margins,
    each found as its kind allows.

    ============= =============================================================================================
    boosted trees the least leaf of each tree that the box reaches; "veritas" searches all trees together, exactly
    nets          linear relaxation of perceptrons, TabM and additive nets, embeddings included; "intervals"
                  takes interval bounds, which are faster and looser
    linear models exact
    ============= =============================================================================================

    The certificate is of the decision that ``predict`` takes: of two classes it knows the threshold, of more it bounds
    the difference to each other class. It is sound with rounding: what floats may do is taken off.

    Parameters
    ----------
    model : fitted classifier
        A hybrid that is a weighted sum, boosted trees, nets, `LogisticRegression`, an XGBoost classifier; in a
        `Pipeline` behind transformers that look at columns one by one.
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y : array-like of shape (n_rows,), optional
        Labels: then only right decisions are certified.
    eps : float, array-like of shape (n_columns,) or dict of column to float
        How far numbers move: a number is in robust standard deviations of each column, an array or a dict in its units.
    constraints : FeatureConstraints, optional
        What else a row may become. Default: all but numbers stays, and numbers have no bounds.
    method : {"bounds", "intervals", "veritas"}, default="bounds"
        See the table; "veritas" bounds first, and searches only for rows that bounds leave open. It needs the extra
        ``robust``.
    time_limit : float, default=1.0
        Seconds that "veritas" may search for a row; when they are over, the bound stands.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    Certificate

    Raises
    ------
    NotCertifiableError
        Naming the step of the model for which no bounds are known: attention, layer norm, features of several columns.
    ValueError
        On `eps`, constraints or labels that do not fit.

    Notes
    -----
    Of an ensemble, bounds of the members may each be taken at another row of the box: the sum is a bound, and is the
    looser the more its members disagree.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.robustness import certify
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X[::2], y[::2])
    >>> certificate = certify(trees, X[1::2], y[1::2], eps=0.05)
    >>> bool(certificate.certified.mean() > 0.8)
    True
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}, got {method!r}")
    box = as_constraints(constraints).box(X, eps)
    decision = Decision.of(model, box)
    exact, falls = time_limit if method == "veritas" else 0.0, Falls(model, box, tight=method != "intervals")
    found = []
    with tqdm(total=len(box), unit="row", disable=not verbose) as bar:
        for start in range(0, len(box), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(box)))
            some = _Rows(falls, box.take(rows), decision.take(rows), exact)
            found.append(some.certified())
            bar.update(len(rows))
    lower, radius = (np.concatenate(part) for part in zip(*found, strict=True))
    certified = lower > 0
    if y is not None:
        certified &= decision.is_right(model, y)
    return Certificate(certified, model.classes_[decision.codes], lower, decision.distance, radius)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows, and how they are certified."""

    falls: Falls
    box: Box
    decision: Decision
    exact: float

    def certified(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower bounds of how far the decision is from turning, and radii."""
        radius = np.ones(len(self.box))
        lower = self._least(radius, np.arange(len(self.box)))
        left = np.flatnonzero(lower <= 0)
        reached = np.zeros(len(left))
        for step in 0.5 ** np.arange(1, _N_HALVINGS + 1) if len(left) else ():
            reached += step * (self._least(reached + step, left) > 0)
        radius[left] = reached
        return lower, radius

    def _least(self, share: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """How far at least some rows are from turning, each in a share of its box."""
        decision, box = self.decision.take(rows), self.box.take(rows).shrunk(share)
        of_trees, of_others = self.falls(box, decision.wanted)
        ahead = decision.ahead - of_trees - of_others - TIE
        if self.exact and (ahead <= 0).any():
            joint = JointTrees(self.falls.trees, box)
            for row in np.flatnonzero((ahead <= 0).any(axis=1)):
                for function in np.flatnonzero(ahead[row] <= 0):
                    left = decision.ahead[row, function] - of_others[row, function] - TIE
                    wanted = decision.wanted[row, function]
                    found = joint.search(int(row), wanted, enough=left, seconds=self.exact)
                    ahead[row, function] = max(ahead[row, function], left - found.fall)
        return ahead.min(axis=1)
