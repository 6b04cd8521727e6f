"""How a classifier, and each of its members, does before, under and beyond any attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.metrics import matthews_corrcoef, recall_score, roc_auc_score
from sklearn.utils.validation import column_or_1d
from tqdm import tqdm

from hybridlearn._extras import axes_for
from hybridlearn._heads import ClassifierHead
from hybridlearn._protocols import Term
from hybridlearn._random import RandomState
from hybridlearn._target import encode_classes
from hybridlearn.crossfit import unwrapped
from hybridlearn.modules import NotCertifiableError
from hybridlearn.robustness._attack import attack
from hybridlearn.robustness._certify import certify
from hybridlearn.robustness._decision import Decision
from hybridlearn.table import FeatureConstraints, as_constraints

MODEL = "model"


@dataclass(frozen=True, eq=False)
class RobustnessReport:
    """Clean, attacked and certified figures of a model and its members.

    Attributes
    ----------
    frame : DataFrame
        One row a member and ``eps``: ``clean``, ``attacked`` and ``certified`` accuracy; ``auc`` and ``mcc``, and the
        same attacked (AUC of two classes); recall of each class under attack; ``majority``, what a constant predictor
        reaches; ``constant``, whether under attack (or before) one class is all that is predicted right; ``masked``,
        the share of rows whose gradients told nothing.
    not_certifiable : dict of str to str
        Why a member has no certificate, which is then NaN.
    """

    frame: pd.DataFrame
    not_certifiable: dict[str, str]

    def plot(self, ax: Any = None) -> Any:
        """Draw accuracy by ``eps``: attacked (lines) and certified (dashed), of each member.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_for(ax, purpose="plot")
        for i, (member, own) in enumerate(self.frame.groupby("member", sort=False)):
            eps, color = [0.0, *own["eps"]], f"C{i}"
            ax.plot(eps, [own["clean"].iloc[0], *own["attacked"]], color=color, marker="o", label=f"{member}, attacked")
            if own["certified"].notna().all():
                certified = [own["clean"].iloc[0], *own["certified"]]
                ax.plot(eps, certified, color=color, linestyle="--", label=f"{member}, certified")
        ax.axhline(self.frame["majority"].iloc[0], color="grey", linewidth=0.8, label="a constant predictor")
        ax.set(xlabel="eps", ylabel="accuracy", title="Robustness")
        ax.legend(fontsize="small")
        return ax


class _Member(ClassifierHead, BaseEstimator):
    """A member of a hybrid by itself: the mean of its fold models."""

    def __init__(self, models: list[Any], classes_: np.ndarray):
        self.models = models
        self.classes_ = classes_

    def terms(self) -> list[Term]:
        return [Term("", 1 / len(self.models), model) for model in self.models]

    def margin(self, X: Any) -> np.ndarray:
        return np.mean([model.margin(X) for model in self.models], axis=0)

    def predict(self, X: Any) -> np.ndarray:
        return self._labels_of(self.predict_proba(X))


def robustness_report(
    model: Any,
    X: Any,
    y: Any,
    *,
    eps: float | Sequence[float] = (0.05, 0.1, 0.2),
    constraints: FeatureConstraints | None = None,
    members: bool = True,
    budget: int = 200,
    random_state: RandomState = 0,
    verbose: int = 0,
) -> RobustnessReport:
    """Attack and certify a classifier, and each of its members, at several sizes of change.

    Parameters
    ----------
    model : fitted classifier
    X : array-like or DataFrame of shape (n_rows, n_columns)
        Rows that it was not fitted on.
    y : array-like of shape (n_rows,)
    eps : float or sequence of float, default=(0.05, 0.1, 0.2)
        As in :func:`attack`, each in robust standard deviations.
    constraints : FeatureConstraints, optional
        As in :func:`attack`.
    members : bool, default=True
        Whether each member of a hybrid has rows of its own; of two classes, members decide at 0.5.
    budget : int, default=200
        Of each attack.
    random_state : int, RandomState or None, default=0
        Of each attack.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    RobustnessReport

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.robustness import robustness_report
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X[::2], y[::2])
    >>> report = robustness_report(trees, X[1::2], y[1::2], eps=[0.1, 0.3], budget=50)
    >>> found = report.frame
    >>> bool((found["certified"] <= found["attacked"]).all() and (found["attacked"] <= found["clean"]).all())
    True
    """
    constraints, sizes = as_constraints(constraints), np.atleast_1d(np.asarray(eps, dtype=np.float64))
    if constraints.scale is None:
        # one unit for all, whatever rows are looked at
        constraints = FeatureConstraints(**vars(constraints) | {"scale": FeatureConstraints.from_data(X).scale})
    judged: dict[str, Any] = {MODEL: model}
    reasons: dict[str, str] = {}
    rows = []
    hybrid: Any = unwrapped(model)
    if members and hasattr(hybrid, "models_") and hasattr(hybrid, "weights_"):
        judged |= {name: _Member(models, hybrid.classes_) for name, models in hybrid.models_.items()}
    with tqdm(total=len(judged) * len(sizes), unit="attack", disable=not verbose) as bar:
        for name, each in judged.items():
            for size in sizes:
                how: dict[str, Any] = {"eps": size, "constraints": constraints}
                found, reason = _judged(each, X, y, how, budget, random_state)
                rows.append({"member": name, "eps": size, **found})
                reasons |= {name: reason} if reason else {}
                bar.update()
    return RobustnessReport(pd.DataFrame(rows), reasons)


def _judged(
    model: Any, X: Any, y: Any, how: dict[str, Any], budget: int, random_state: RandomState
) -> tuple[dict[str, Any], str]:
    target = encode_classes(model.classes_, column_or_1d(y))
    found = attack(model, X, y, budget=budget, random_state=random_state, **how)
    decision = Decision.of(model, how["constraints"].box(X, how["eps"]))
    try:
        certified, reason = float(certify(model, X, y, **how).certified.mean()), ""
    except NotCertifiableError as error:
        certified, reason = np.nan, str(error)
    attacked = np.asarray(encode_classes(model.classes_, np.asarray(model.predict(found.X_adversarial))))
    right = attacked == target
    row = {
        "clean": float((decision.codes == target).mean()),
        "attacked": float(right.mean()),
        "certified": certified,
        "mcc": float(matthews_corrcoef(target, decision.codes)),
        "mcc_attacked": float(matthews_corrcoef(target, attacked)),
    }
    if len(model.classes_) == 2:
        sign = np.where(decision.codes == 1, 1.0, -1.0)
        for name, ahead in (("auc", decision.distance), ("auc_attacked", found.ahead)):
            row[name] = float(roc_auc_score(target, sign * ahead)) if len(np.unique(target)) == 2 else np.nan
    recalls = recall_score(target, attacked, labels=np.arange(len(model.classes_)), average=None, zero_division=0.0)
    row |= {f"recall_attacked[{label}]": float(own) for label, own in zip(model.classes_, recalls, strict=True)}
    row["majority"] = float(np.bincount(target).max() / len(target))
    row["constant"] = len(np.unique(attacked[right])) < 2 or len(np.unique(decision.codes)) < 2
    row["masked"] = float(found.masked.mean())
    return row, reason
