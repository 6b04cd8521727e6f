"""What a model would lose without a column: permutation importance on rows that it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d
from tqdm import tqdm

from hybridlearn._extras import axes_for
from hybridlearn._random import RandomState
from hybridlearn._row_losses import row_losses
from hybridlearn._target import encode_classes, to_numbers
from hybridlearn.crossfit import margin, no_news_of_levels, steps_of, through, unwrapped
from hybridlearn.inspection._mixing import Mixer
from hybridlearn.table import Schema, row_hashes

Groups = str | Mapping[str, Sequence[Hashable]] | None
# Spearman's correlation from which on "auto" takes two columns for one.
_ALIKE = 0.9
# Of rows, a share that may be among those of a fit by chance.
_BY_CHANCE = 0.02


@dataclass(frozen=True, eq=False)
class Importance:
    """Permutation importances.

    Attributes
    ----------
    frame : DataFrame
        Of each group of columns, the most important first: ``columns``, ``importance`` (mean loss that is added where
        the columns hold values of other rows: log loss in nats, or squared error), ``standard_error``, and the
        confidence interval from ``low`` to ``high``.
    loss : float
        Mean loss with all columns as they are.
    confidence : float
        Of the intervals.
    """

    frame: pd.DataFrame
    loss: float
    confidence: float

    def plot(self, *, max_groups: int = 20, ax: Any = None) -> Any:
        """Draw the importances and their intervals, the greatest at the top.

        Parameters
        ----------
        max_groups : int, default=20
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_for(ax, purpose="Importance.plot")
        shown = self.frame.iloc[:max_groups][::-1]
        reach = np.array([shown["importance"] - shown["low"], shown["high"] - shown["importance"]])
        ax.barh(shown.index.astype(str), shown["importance"], xerr=reach, color="tab:blue", ecolor="0.4")
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.set(xlabel=f"loss added by a permutation (over {self.loss:.4g}; {self.confidence:.0%} intervals)")
        return ax


def importance(
    model: Any,
    X: Any,
    y: Any,
    *,
    groups: Groups = None,
    n_repeats: int = 5,
    confidence: float = 0.95,
    random_state: RandomState = 0,
    verbose: int = 0,
) -> Importance:
    """How much worse a fitted model's loss is where columns hold values of other rows.

    Of a hybrid, on the rows of its ``fit``, each judged by the fold models that never saw it: no rows need be kept
    aside. Of any other model, on rows that it was not trained on. Differs from
    :func:`sklearn.inspection.permutation_importance` [1]_ in that, in groups of columns that are permuted together
    (two columns that say the same otherwise hide each other's importance), and in intervals: the standard error is that
    of the mean over rows of the loss each row gains, itself a mean over the repeats.

    Parameters
    ----------
    model : fitted estimator
        A hybrid of this package, or any classifier or regressor with a margin.
    X : array-like or DataFrame of shape (n_rows, n_columns)
        Of a hybrid, the rows of ``fit`` in their order; else rows that the model has not seen, which is checked of the
        models of this package.
    y : array-like of shape (n_rows,)
        Their target.
    groups : dict of str to list of columns, "auto" or None, default=None
        Columns by names or, of an array, positions, that are permuted together; each other column is a group of its
        own. "auto" groups numbers whose rank correlation is 0.9 or more, either way. None groups none.
    n_repeats : int, default=5
        Permutations a group.
    confidence : float, default=0.95
        Of the intervals, in (0, 1).
    random_state : int, RandomState or None, default=0
        Draws the permutations.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    Importance

    Raises
    ------
    ValueError
        On rows that are not those of a hybrid's ``fit``; of another model, where more rows equal rows of its fit than
        equal each other; on groups that name columns that are not there, or one twice.

    Warns
    -----
    UserWarning
        Where some rows equal rows of the fit, as rows of few values do by chance.

    References
    ----------
    .. [1] Breiman, "Random Forests", Machine Learning 45, 2001. It takes the rows that a tree's bootstrap left out.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from hybridlearn import BoostedTreesRegressor, HybridRegressor
    >>> from hybridlearn.inspection import importance
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> hybrid = HybridRegressor(estimators=[("trees", BoostedTreesRegressor(n_estimators=30))], random_state=0)
    >>> importance(hybrid.fit(X, y), X, y).frame.index[0]
    's5'
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats!r}")
    if hasattr(X, "tocsr"):
        raise TypeError("X is a sparse matrix; importance needs a dense table: X.toarray()")
    model, mixer = unwrapped(model), Mixer(X)
    check_is_fitted(model)
    target = _target(model, y)
    if len(target) != len(mixer.table):
        raise ValueError(f"y has {len(target)} rows, X has {len(mixer.table)}")
    columns = _grouped(mixer, groups)
    margin_of = _judge(model, mixer.table, y)
    classification = is_classifier(model)
    plain = margin_of(mixer.table)
    judged = np.flatnonzero(~np.isnan(plain).any(axis=1))

    def losses(margins: np.ndarray) -> np.ndarray:
        return row_losses(margins[judged], target[judged], classification=classification)

    before = losses(plain)
    rng = check_random_state(random_state)
    reach = ndtri((1 + confidence) / 2)
    records = {}
    with tqdm(total=len(columns) * n_repeats, unit="permutation", disable=not verbose) as bar:
        for name, own in columns.items():
            gained = np.zeros(len(judged))
            for _ in range(n_repeats):
                rows = np.tile(np.arange(len(target))[:, None], mixer.n_columns)
                rows[:, own] = rng.permutation(len(target))[:, None]
                with no_news_of_levels():
                    gained += losses(margin_of(mixer.take(rows))) - before
                bar.update()
            gained /= n_repeats
            mean, error = float(gained.mean()), float(gained.std(ddof=1) / np.sqrt(len(judged)))
            told = [mixer.names[i] for i in own]
            records[name] = (told, mean, error, mean - reach * error, mean + reach * error)
    names = ["columns", "importance", "standard_error", "low", "high"]
    frame = pd.DataFrame.from_dict(records, orient="index", columns=names).rename_axis("group")
    frame = frame.sort_values("importance", ascending=False, kind="stable")
    return Importance(frame, float(before.mean()), confidence)


def _judge(model: Any, table: Any, y: Any) -> Callable[[Any], np.ndarray]:
    """What gives margins of rows that were not seen."""
    chain, last = steps_of(model)
    seen = through(chain, table)
    if hasattr(last, "replay"):
        _check_are_those_of_fit(last, seen, y)
        return lambda changed: last.replay(through(chain, changed))
    while hasattr(last, "estimator_"):
        # a guard, a calibration: what is inside has seen the rows
        last = last.estimator_
    hashes = row_hashes(seen, np.asarray(y))
    shared = np.isin(hashes, getattr(last, "row_hashes_", np.empty(0)))
    # rows of few values have twins by chance
    is_twin = pd.Series(hashes).duplicated(keep=False)
    if shared.mean() > is_twin.mean() + _BY_CHANCE:
        raise ValueError(
            f"{type(last).__name__} was trained on {shared.sum()} of {len(table)} rows of X and y, on which nothing is "
            "unimportant; give rows that it has not seen"
        )
    if shared.any():
        warnings.warn(
            f"{shared.sum()} of {len(table)} rows of X and y equal rows that {type(last).__name__} was trained on; if "
            "they are those rows and not their like, columns seem more important than they are",
            UserWarning,
            stacklevel=3,
        )
    return lambda changed: margin(model, changed)


def _check_are_those_of_fit(hybrid: Any, table: Any, y: Any) -> None:
    """A ValueError unless row for row they are: in another order, models would judge rows that they have seen."""
    name, positions = type(hybrid).__name__, hybrid.oof_.positions
    n_fitted = positions.max() + 1
    if len(table) != n_fitted:
        raise ValueError(f"X has {len(table)} rows, {name} was fitted on {n_fitted}; give the rows of fit")
    # a column that mixes text and numbers is text to a hybrid
    read = Schema.from_data(table).settled(table) if isinstance(table, pd.DataFrame) else table
    differ = int((row_hashes(read, np.asarray(y))[positions] != hybrid.row_hashes_).sum())
    if differ:
        raise ValueError(
            f"{differ} of {len(table)} rows of X and y are not those that {name} was fitted on in their place; give "
            "the rows in the order of fit"
        )


def _target(model: Any, y: Any) -> np.ndarray:
    y = column_or_1d(y)
    return encode_classes(model.classes_, y) if is_classifier(model) else to_numbers(y)


def _grouped(mixer: Mixer, groups: Groups) -> dict[str, list[int]]:
    """Positions of the columns of each group."""
    if groups is None:
        groups = {}
    elif isinstance(groups, str):
        if groups != "auto":
            raise ValueError(f"groups must be a dict, 'auto' or None, got {groups!r}")
        groups = _alike(mixer)
    if not isinstance(groups, Mapping) or any(isinstance(own, str) for own in groups.values()):
        raise ValueError(f"groups must be a dict of names to lists of columns, 'auto' or None, got {groups!r:.80}")
    places = {name: i for i, name in enumerate(mixer.names)}
    named = [column for own in groups.values() for column in own]
    unknown = [column for column in named if column not in places]
    twice = sorted({str(column) for column in named if named.count(column) > 1})
    if unknown or twice:
        raise ValueError(f"groups must name columns of X once each; not in X: {unknown}, more than once: {twice}")
    taken = [name for name in groups if name in places and name not in groups[name]]
    if taken:
        raise ValueError(f"groups {taken} are called as columns that are not in them; call them otherwise")
    found = {str(name): [places[column] for column in own] for name, own in groups.items()}
    return found | {str(name): [i] for name, i in places.items() if name not in named}


def _alike(mixer: Mixer) -> dict[str, list[Hashable]]:
    """Columns of numbers that go together, by chains of correlations."""
    frame = pd.DataFrame(mixer.table)
    numbers = frame.select_dtypes("number")
    alike = numbers.corr(method="spearman").abs().ge(_ALIKE).to_numpy()
    _, label = connected_components(alike, directed=False)
    groups = pd.Series(numbers.columns, dtype=object).groupby(label)
    return {" + ".join(map(str, own)): own.tolist() for _, own in groups if len(own) > 1}
