"""Any estimator on the members' margins: as what combines them, and as a second layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone

from hybridlearn._random import seed_nested
from hybridlearn.crossfit import FoldModel, OutOfFold, fit_model
from hybridlearn.ensemble._assembly import stacked
from hybridlearn.ensemble._base import Work
from hybridlearn.table import take_rows


def margin_columns(margins: np.ndarray, names: list[str], X: Any = None) -> Any:
    """Margins of members as columns, with those of the table in front where it is given.

    Parameters
    ----------
    margins : ndarray of shape (n_members, n_rows, n_outputs)
    names : list of str
        Of the members.
    X : DataFrame, csr matrix or ndarray of shape (n_rows, n_columns), optional

    Returns
    -------
    ndarray, or what `X` is; all names in a frame are then text
    """
    columns = margins.transpose(1, 0, 2).reshape(margins.shape[1], -1)
    if X is None:
        return columns
    if sparse.issparse(X):
        return sparse.hstack([X, columns], format="csr")
    if not isinstance(X, pd.DataFrame):
        return np.hstack([X, columns])
    labels = [
        f"margin of {name}" + (f" [{k}]" if margins.shape[2] > 1 else "")
        for name in names
        for k in range(margins.shape[2])
    ]
    # scikit-learn takes no names that are partly text
    return pd.concat([X.rename(columns=str), pd.DataFrame(columns, columns=labels, index=X.index)], axis=1)


@dataclass(frozen=True, eq=False)
class MetaModel:
    """An estimator that was fitted on margins, and on the table with `passthrough`: no sum of them."""

    model: FoldModel
    names: list[str]
    passthrough: bool

    def margin(self, margins: np.ndarray, X: Any = None) -> np.ndarray:
        """Combine (n_members, n_rows, n_outputs) to (n_rows, n_outputs)."""
        return self.model.margin(margin_columns(margins, self.names, X if self.passthrough else None))


def meta_learner(oof: OutOfFold, estimator: Any, work: Work, *, passthrough: bool) -> Callable[[np.ndarray], MetaModel]:
    """What fits a clone of the estimator on out-of-fold margins."""
    names = list(oof.members)
    columns = margin_columns(stacked(oof), names, work.rows.X if passthrough else None)

    def learn(rows: np.ndarray) -> MetaModel:
        training = replace(work.rows.take(rows), X=take_rows(columns, rows))
        seeded = seed_nested(clone(estimator), np.random.RandomState(work.seed))
        model = fit_model(seeded, training, n_classes=work.n_classes, weighted=work.weighted, seed=work.seed)
        return MetaModel(model, names, passthrough)

    return learn


@dataclass(frozen=True, eq=False)
class TwoLayers:
    """A model of the second layer behind the models of the first that belong to the same fold.

    It saw their out-of-fold margins, each of one model: so it is given those of one model each.
    """

    below: dict[str, FoldModel]
    above: FoldModel

    def margin(self, X: Any) -> np.ndarray:
        """Margin of each row of the table."""
        margins = np.stack([model.margin(X) for model in self.below.values()])
        return self.above.margin(margin_columns(margins, list(self.below), X))


def with_second_layer(one: OutOfFold, two: OutOfFold) -> OutOfFold:
    """The table of both layers: members of the second are named ``name:2``, their steps are of the second order."""
    names = {name: f"{name}:2" for name in two.members}
    below = [{name: own[k] for name, own in one.models.items()} for k in range(len(one.tests))]
    models = {
        new: [
            replace(above, estimator=TwoLayers(below[k], above), present=None)
            for k, above in enumerate(two.models[name])
        ]
        for name, new in names.items()
    }
    entries = [replace(e, member=names[e.member], order=2) for e in two.ledger.entries]
    return replace(
        one,
        margins=one.margins | {new: two.margins[name] for name, new in names.items()},
        models=one.models | models,
        fit_seconds=one.fit_seconds | {new: two.fit_seconds[name] for name, new in names.items()},
        cut=None if one.cut is None else one.cut | {f"{name}:2": told for name, told in (two.cut or {}).items()},
        ledger=one.ledger.extended(entries),
    )
