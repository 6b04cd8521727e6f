"""A transformer that adds features to a table, those that look at the target cross-fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from hybridlearn._clock import Deadline
from hybridlearn._compat import StrOptions, integer, real
from hybridlearn._fitting import whole_fit
from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.features._crosses import Crosses
from hybridlearn.features._dates import Dates
from hybridlearn.features._groups import Groups
from hybridlearn.features._levels import Counts, Targets
from hybridlearn.features._numbers import Numbers
from hybridlearn.features._screen import left_over
from hybridlearn.features._seen import Family, Guide, Seen
from hybridlearn.features._select import judge_families
from hybridlearn.features._text import Texts
from hybridlearn.table import Schema, TrainingRows, read_table, read_training_rows

FAMILIES: dict[str, type[Family]] = {
    "target": Targets,
    "counts": Counts,
    "crosses": Crosses,
    "groups": Groups,
    "numbers": Numbers,
    "dates": Dates,
    "text": Texts,
}
# These are chosen by what a fast model leaves of the target.
_SCREENED = {"crosses", "groups", "numbers"}
# Whole numbers of more values than this are taken to be a quantity, not names of classes.
_MOST_CLASSES = 100


class FeatureBuilder(TransformerMixin, BaseEstimator):
    """Add engineered features to a table, and keep those that earn their place.

    Seven families: ``target`` (the target's smoothed mean in each level of a category, cross-fitted), ``counts`` (how
    often a level comes; how many values of a row are missing), ``crosses`` (both for pairs of categories, or of numbers
    of few values), ``groups`` (mean and standard deviation of a number among the rows of a level, and where the row
    stands among them), ``numbers`` (a sum, difference, product or ratio of two), ``dates`` (cycles, and days between
    dates), ``text`` (singular directions of hashed n-grams). Pairs are chosen by a cheap screen, in the manner of
    OpenFE [1]_: by what they say of what a fast booster, cross-fitted, leaves of the target, as far as their parents do
    not say it, and chance does not.

    With ``select="auto"`` a family stays only if without it the out-of-fold loss of a fast booster would be higher, and
    if those that stay lower it by more than the standard error and more than shuffled features do. The folds are inside
    the rows of ``fit``; where these are too few to be judged (20 rows, 8 groups or times at least) no family stays.

    A family has at most 100 target codes, and one for ten rows: of many classes, each of which has a code, fewer
    columns are coded. With more than eight classes, families are judged on fewer rows.

    What ``fit_transform`` gives the training rows is not what ``transform`` would: their target codes come from the
    targets of other rows, by folds that follow `groups` and `time`.

    Parameters
    ----------
    families : "all" or list of str, default="all"
        Those that may be added, of the seven above.
    select : {"auto", None}, default="auto"
        None keeps them all.
    max_pairs : int, default=20
        Pairs that are chosen at most, of each family of pairs.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, booleans, categories, two numbers, and whole numbers of at most 100 values of an integer type
        for classes.
    time_limit : float or None, default=None
        Seconds after which no more families are judged: those stay that have not been left out, where it is known that
        they help together, else none. The features of the table are made in any case.
    random_state : int, RandomState or None, default=None
        Decides folds and samples.

    Attributes
    ----------
    report_ : DataFrame
        Of each family: how many features it has, with ``select="auto"`` the ``gain`` (mean out-of-fold loss that it
        saves beside those that stayed: log loss in nats, or squared error), its ``standard_error``, and whether it was
        ``kept``. Rows ``noise``, the yardstick, and ``all that stayed`` are of features beside none.
    families_ : list of str
        Those that were kept.
    names_by_family_ : dict of str to list of str
        The features that are added.
    schema_ : Schema
        Of the training rows.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.

    References
    ----------
    .. [1] Zhang et al., "OpenFE: Automated Feature Generation with Expert-level Performance", ICML 2023. It screens by
       the gain of a booster that starts from the first one's margins; we by binned residuals, which needs no fit.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"weight": rng.uniform(50, 100, 500), "height": rng.uniform(1.5, 2.0, 500)})
    >>> y = (X["weight"] / X["height"] > 43).to_numpy()
    >>> builder = FeatureBuilder(random_state=0).fit(X, y)
    >>> builder.families_, builder.names_by_family_["numbers"]
    (['numbers'], ['weight / height'])
    >>> builder.transform(X).shape
    (500, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        "families": [StrOptions({"all"}), list, tuple],
        "select": [StrOptions({"auto"}), None],
        "max_pairs": [integer(1)],
        "task": [StrOptions({"auto", "classification", "regression"})],
        "time_limit": [real(0, closed="neither"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        families: Any = "all",
        select: str | None = "auto",
        max_pairs: int = 20,
        task: str = "auto",
        time_limit: float | None = None,
        random_state: RandomState = None,
    ):
        self.families = families
        self.select = select
        self.max_pairs = max_pairs
        self.task = task
        self.time_limit = time_limit
        self.random_state = random_state

    @whole_fit
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        parents: Any = None,
    ) -> Self:
        """Learn which features to add, and what they need of these rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            Numbers, booleans, datetimes, categories and text, missing values allowed.
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Weighs rows where features are judged, not in target codes. Rows of weight 0 are not learned from.
        groups : array-like of shape (n_rows,), optional
            Rows of one group share a fold.
        time : array-like of shape (n_rows,), optional
            Numbers or datetimes: target codes of a row come from strictly earlier ones.
        parents : array-like of int of shape (n_rows, 2), optional
            Of rows some of which a sampler has made, the two rows that each lies between, or is a copy of; they share
            a fold. Pipelines of this package give it.

        Returns
        -------
        self
        """
        self._learn(X, y, sample_weight, groups=groups, time=time, parents=parents)
        return self

    @whole_fit
    def fit_transform(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        parents: Any = None,
    ) -> Any:
        """Fit, and add the features to the same rows: of a row, none knows its own target.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
        sample_weight, groups, time, parents : array-like, optional
            As in :meth:`fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_columns + n_features)
            As :meth:`transform` gives it.
        """
        table, rows, learned = self._learn(X, y, sample_weight, groups=groups, time=time, parents=parents)
        left_out = np.setdiff1d(np.arange(len(table)), rows.positions)
        if len(left_out) == 0:
            return self._extended(X, table, learned)
        features = np.empty((len(table), learned.shape[1]), dtype=np.float32)
        features[rows.positions] = learned
        features[left_out] = self._features(table.iloc[left_out])
        return self._extended(X, table, features)

    def transform(self, X: Any) -> Any:
        """Add the features to new rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_columns + n_features)
            The columns of `X` as they are, then the features, float32, missing where they cannot be told. An array for
            an array.
        """
        check_is_fitted(self)
        table = self._read(X, reset=False)
        self.schema_.warn_unseen(table)
        return self._extended(X, table, self._features(table))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Checked against the names seen in ``fit``.

        Returns
        -------
        ndarray of str of shape (n_features_out,)
        """
        check_is_fitted(self)
        given = [str(column.name) for column in self.schema_.columns]
        if input_features is not None and list(input_features) != given:
            raise ValueError("input_features is not equal to feature_names_in_")
        return np.array([*given, *chain.from_iterable(self.names_by_family_.values())], dtype=object)

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, **structure: Any
    ) -> tuple[pd.DataFrame, TrainingRows, np.ndarray]:
        """The table, the rows that were learned from, and their features."""
        deadline = Deadline.after(self.time_limit)
        wanted = self._wanted()
        classification = _is_classification(self.task, y)
        # what owns the target has the name that errors are to tell
        head: Any = type(type(self).__name__, (ClassifierHead if classification else RegressorHead,), {})()
        table = self._read(X, reset=True)
        rows = read_training_rows(head, table, y, sample_weight, reader=lambda *_, **__: table, **structure)
        classes = head.classes_ if classification else []
        # with the hashes of the rows, which are as long as the table
        del head
        weighted, seed = sample_weight is not None, draw_seed(self.random_state)
        self.schema_ = Schema.from_data(rows.X)
        rows, table = replace(rows, X=self.schema_.settled(rows.X)), self.schema_.settled(table)
        judged = None
        if self.select is not None:
            task = "classification" if classification else "regression"
            builder = clone(self).set_params(select=None, task=task, time_limit=None)
            judged = judge_families(builder, rows, len(classes), weighted=weighted, seed=seed, deadline=deadline)
            # where nothing can be judged, nothing has earned its place
            wanted = [] if judged is None else [name for name in wanted if name in judged.kept]
        seen = Seen(self.schema_, rows.X)
        if _SCREENED.intersection(wanted):
            sample, residual = left_over(rows, len(classes), weighted=weighted, seed=seed)
        else:
            sample, residual = np.empty(0, dtype=np.int64), np.empty((0, 1))
        labels = [f"[{label}]" for label in classes] if len(classes) > 2 else [""]
        weight = rows.weight[sample]
        guide = Guide(rows, classification, labels, sample, residual, weight, seed, self.max_pairs)
        self._fitted_ = {name: FAMILIES[name]().fit(seen, guide) for name in wanted}
        self.families_ = wanted
        self.names_by_family_ = {name: family.names for name, family in self._fitted_.items()}
        self._check_names()
        self.report_ = self._report() if judged is None else judged.report
        columns = chain.from_iterable(family.training_columns(seen, guide) for family in self._fitted_.values())
        return table, rows, self._filled(columns, len(rows))

    def _wanted(self) -> list[str]:
        """Names of the families, in their order."""
        if isinstance(self.families, str):
            return list(FAMILIES)
        unknown = [name for name in self.families if not isinstance(name, str) or name not in FAMILIES]
        if unknown or not self.families:
            raise ValueError(f"families={self.families!r} must name some of {list(FAMILIES)}; unknown: {unknown}")
        return [name for name in FAMILIES if name in self.families]

    def _check_names(self) -> None:
        features = Counter(chain.from_iterable(self.names_by_family_.values()))
        taken = features + Counter({str(column.name): 1 for column in self.schema_.columns})
        clash = sorted(name for name in features if taken[name] > 1)
        if clash:
            raise ValueError(
                f"features {clash} would have a name twice; rename columns of X that have it, or that they are made of"
            )

    def _report(self) -> pd.DataFrame:
        """Of families that were not judged."""
        facts = [(name, len(names), np.nan, np.nan, True) for name, names in self.names_by_family_.items()]
        return pd.DataFrame(facts, columns=["family", "n_features", "gain", "standard_error", "kept"])

    def _read(self, X: Any, *, reset: bool) -> pd.DataFrame:
        table = read_table(self, X, reset=reset)
        if not isinstance(X, pd.DataFrame):
            table = table.set_axis([f"x{i}" for i in table.columns], axis=1).infer_objects()
        return table if reset else self.schema_.settled(table)

    def _features(self, table: pd.DataFrame) -> np.ndarray:
        """Of new rows, shape (n_rows, n_features)."""
        if not self.families_:
            return np.empty((len(table), 0), dtype=np.float32)
        seen = Seen(self.schema_, table)
        return self._filled(chain.from_iterable(family.columns(seen) for family in self._fitted_.values()), len(table))

    def _filled(self, columns: Iterable[np.ndarray], n_rows: int) -> np.ndarray:
        """Columns side by side; they are made one by one, so that memory holds few of them twice."""
        n_features = sum(map(len, self.names_by_family_.values()))
        out = np.empty((n_rows, n_features), dtype=np.float32, order="F")
        for i, column in enumerate(columns):
            out[:, i] = column
        return out

    def _extended(self, X: Any, table: pd.DataFrame, features: np.ndarray) -> Any:
        """The table with its features, as the kind of table that it was."""
        names = list(chain.from_iterable(self.names_by_family_.values()))
        if isinstance(X, pd.DataFrame):
            if not hasattr(self, "feature_names_in_"):
                # numbers and names together would be refused
                X = X.set_axis([str(name) for name in X.columns], axis=1)
            return pd.concat([X, pd.DataFrame(features, columns=names, index=X.index, copy=False)], axis=1)
        return np.column_stack([table.to_numpy(), features])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _is_classification(task: str, y: Any) -> bool:
    if task != "auto":
        return task == "classification"
    values = pd.Series(np.asarray(y).ravel()).infer_objects().to_numpy()
    if values.dtype.kind in "mM":
        return False
    if values.dtype.kind == "f":
        return bool(np.isfinite(values).all()) and type_of_target(values) == "binary"
    return values.dtype.kind not in "iu" or len(np.unique(values)) <= _MOST_CLASSES
