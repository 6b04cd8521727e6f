"""A simple model of a complicated one, and how far it can be trusted to be like it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor, export_text, plot_tree

from hybridlearn._extras import axes_for
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.crossfit import margin
from hybridlearn.inspection._plain import PlainTable
from hybridlearn.trees import BoostedTreesRegressor

_TRUSTED = 0.9
_SIZES = (2, 4, 8, 16, 32, 64, 128)
_ROUNDS = tuple(4 * size for size in _SIZES)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A simple model of another's margin.

    Attributes
    ----------
    kind : {"tree", "linear", "additive"}
    model : fitted regressor
        From the columns ``names`` to the margin.
    fidelity : Series
        On rows kept aside: ``r2`` of the margin and, of a classifier, ``agreement``, the share of rows to which both
        give the same label.
    front : DataFrame
        Fidelity by ``size``: leaves of a tree, columns of a linear model, trees of an additive one.
    names : list of str
        Of the columns that the model sees: numbers as they are, and a level each.
    text : str
        The model in words.
    """

    kind: str
    model: Any
    fidelity: pd.Series
    front: pd.DataFrame
    names: list[str]
    text: str
    plain: PlainTable = field(repr=False)

    def margin(self, X: Any) -> np.ndarray:
        """The margin that the simple model gives rows, shape (n_rows, n_outputs)."""
        found = np.asarray(self.model.predict(self.plain.transform(X)))
        return found.reshape(len(found), -1)

    def plot(self, ax: Any = None) -> Any:
        """Draw the tree, or the largest coefficients, or the front of an additive model.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_for(ax, purpose="Surrogate.plot")
        if self.kind == "tree":
            plot_tree(self.model, feature_names=self.names, filled=True, impurity=False, ax=ax)
        elif self.kind == "linear":
            weights = np.atleast_2d(self.model[-1].coef_)
            order = np.argsort(np.abs(weights).max(axis=0))[-20:]
            names = np.array(self.names, dtype=object)[self.model[-2].get_support()]
            ax.barh(names[order], weights[-1, order])
            ax.set(xlabel="margin added by a standard deviation")
        else:
            self.plot_front(ax)
        return ax

    def plot_front(self, ax: Any = None) -> Any:
        """Draw fidelity against size.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_for(ax, purpose="Surrogate.plot_front")
        self.front.plot(x="size", y=list(self.fidelity.index), marker="o", ax=ax)
        ax.axhline(_TRUSTED, color="0.6", linewidth=0.8)
        ax.set(xlabel=f"size of the {self.kind} model", ylabel="fidelity", xscale="log")
        return ax


def surrogate(
    model: Any,
    X: Any,
    *,
    kind: str = "tree",
    max_leaf_nodes: int = 16,
    test_size: float = 0.25,
    random_state: RandomState = 0,
) -> Surrogate:
    """Learn a simple model of a fitted one's margin, and measure on rows kept aside how like it is.

    Parameters
    ----------
    model : fitted estimator
        With a margin.
    X : array-like or DataFrame of shape (n_rows, n_columns)
        Rows to learn from, unlabelled; the more, the better.
    kind : {"tree", "linear", "additive"}, default="tree"
        A decision tree [1]_; a ridge regression; or boosted trees of one column each, a sum of curves.
    max_leaf_nodes : int, default=16
        Of a tree.
    test_size : float, default=0.25
        Share of the rows kept aside.
    random_state : int, RandomState or None, default=0
        Draws them.

    Returns
    -------
    Surrogate

    Warns
    -----
    UserWarning
        Where ``r2`` is below 0.9: what the simple model says is then not what the other one does.

    References
    ----------
    .. [1] Craven and Shavlik, "Extracting Tree-Structured Representations of Trained Networks", NeurIPS 1995. They draw
       new rows; we take those that are there.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.inspection import surrogate
    >>> X = pd.DataFrame(np.random.default_rng(0).uniform(size=(500, 2)), columns=["age", "income"])
    >>> trees = BoostedTreesClassifier(n_estimators=50, early_stopping=False, random_state=0)
    >>> print(surrogate(trees.fit(X, X["age"] > 0.5), X, max_leaf_nodes=2).text)
    |--- age <= 0.50
    |   |--- value: [-2.76]
    |--- age >  0.50
    |   |--- value: [3.05]
    <BLANKLINE>
    """
    if kind not in _MAKERS:
        raise ValueError(f"kind must be one of {list(_MAKERS)}, got {kind!r}")
    target = margin(model, X)
    if len(target) < 20:
        raise ValueError(f"X has {len(target)} rows; a surrogate needs 20, best some thousands")
    if hasattr(X, "tocsr"):
        raise TypeError("X is a sparse matrix; a surrogate needs a dense table: X.toarray()")
    seed = draw_seed(random_state)
    plain = PlainTable.of(X)
    columns = plain.transform(X)
    train, test = train_test_split(np.arange(len(target)), test_size=test_size, random_state=seed)

    def judged(fitted: Any) -> dict[str, float]:
        told = np.asarray(fitted.predict(columns[test])).reshape(len(test), -1)
        facts = {"r2": float(r2_score(target[test], told))}
        if decided is not None:
            facts["agreement"] = float((decided(told) == decided(target[test])).mean())
        return facts

    wanted = target[train][:, 0] if target.shape[1] == 1 else target[train]
    decided = _decision(model, X, target) if is_classifier(model) else None
    sizes = {"tree": {*_SIZES, max_leaf_nodes}, "linear": {min(size, columns.shape[1]) for size in _SIZES}}
    makes = {
        size: _MAKERS[kind](size, seed, (columns.shape[1], target.shape[1]))
        for size in sorted(sizes.get(kind, _ROUNDS))
    }
    fitted = {size: make.fit(columns[train], wanted) for size, make in makes.items()}
    front = pd.DataFrame([{"size": size, **judged(own)} for size, own in fitted.items()])
    chosen = fitted[max_leaf_nodes if kind == "tree" else max(fitted)]
    fidelity = pd.Series(judged(chosen), name="fidelity")
    if fidelity["r2"] < _TRUSTED:
        warnings.warn(
            f"the {kind} model explains {fidelity['r2']:.2f} of the margin's variance on rows kept aside, less than "
            f"{_TRUSTED}: it is not what {type(model).__name__} does; see .front for larger ones",
            UserWarning,
            stacklevel=2,
        )
    classes = [str(label) for label in model.classes_] if is_classifier(model) and target.shape[1] > 1 else []
    text = _TEXTS[kind](chosen, plain.names, classes)
    return Surrogate(kind, chosen, fidelity, front, plain.names, text, plain)


def _decision(model: Any, X: Any, margins: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """From margins to what is decided, of two classes at the margin at which the model turns."""
    if getattr(model, "multilabel_", False):
        return lambda told: told > 0
    if margins.shape[1] > 1:
        return lambda told: told.argmax(axis=1)
    is_second = np.asarray(model.predict(X)) == model.classes_[1]
    below, above = margins[~is_second, 0].max(initial=-np.inf), margins[is_second, 0].min(initial=np.inf)
    turns_at = (below + above) / 2
    return lambda told: told[:, 0] > turns_at


def _tree(size: int, seed: int, shape: tuple[int, int]) -> Any:
    return DecisionTreeRegressor(max_leaf_nodes=size, random_state=seed)


def _linear(size: int, seed: int, shape: tuple[int, int]) -> Any:
    """Of the columns that matter most to the model of all."""
    ridge = RidgeCV(np.logspace(-2, 4, 13))
    some = SelectFromModel(ridge, threshold=-np.inf, max_features=size)
    # a column without a value in the rows that are learned from stays, lest the names go astray
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), some, ridge)


def _additive(size: int, seed: int, shape: tuple[int, int]) -> Any:
    trees = BoostedTreesRegressor(
        n_estimators=size,
        learning_rate=0.1,
        max_depth=3,
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=seed,
    )
    return MultiOutputRegressor(trees) if shape[1] > 1 else trees


def _tree_text(tree: Any, names: list[str], classes: list[str]) -> str:
    told = f"value: margins of {classes}\n" if classes else ""
    return told + export_text(tree, feature_names=names)


def _linear_text(pipeline: Any, names: list[str], classes: list[str]) -> str:
    weights = pd.DataFrame(
        np.atleast_2d(pipeline[-1].coef_).T,
        index=np.array(names, dtype=object)[pipeline[-2].get_support()],
        columns=classes or ["margin a standard deviation"],
    )
    order = np.argsort(-weights.abs().max(axis=1).to_numpy(), kind="stable")
    return weights.iloc[order].round(4).to_string()


def _additive_text(model: Any, names: list[str], classes: list[str]) -> str:
    boosters = [each.booster_ for each in getattr(model, "estimators_", [model])]
    gains = pd.DataFrame([each.get_score(importance_type="total_gain") for each in boosters]).sum()
    share = (gains / gains.sum()).rename(lambda name: names[int(name.removeprefix("f"))]).rename("share of the gain")
    return share.sort_values(ascending=False).round(4).to_string()


_MAKERS = {"tree": _tree, "linear": _linear, "additive": _additive}
_TEXTS = {"tree": _tree_text, "linear": _linear_text, "additive": _additive_text}
