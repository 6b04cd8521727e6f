"""SMOTE for tables of numbers, moments, categories and gaps."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from imblearn.over_sampling.base import BaseOverSampler
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state

from hybridlearn._compat import StrOptions, integer, real
from hybridlearn._random import RandomState
from hybridlearn.resampling._space import Space, as_numbers
from hybridlearn.resampling._tables import BaseTableSampler
from hybridlearn.table import BOOLEAN, CATEGORICAL, DATETIME, Column, Schema

# A number that so many rows share is taken over from a parent, as a category is: nothing lies between it and another.
_COMMON = 0.05
_SOME_ROWS = 2000
# Dtypes between two values of which there may be none.
_WHOLE = ("period", "date32", "date64")


class MixedSMOTE(BaseTableSampler, BaseOverSampler):
    """Over-sample rare classes by rows between two neighbours, whatever the columns are.

    As SMOTE [1]_, a synthetic row lies at a random step between a row and one of its `k_neighbors` nearest of the same
    class. Differs from imbalanced-learn's `SMOTENC` [2]_ in taking missing values, and tables without a number; in
    distances in which every column counts alike (numbers in standard deviations, another category or a gap on one side
    as one of these, in the spirit of Gower [3]_); in a category that is that of one of the two parents, the nearer one
    more likely, rather than the most common one around, which would thin out what is rare. A number that a twentieth
    of the rows share (the zero of a gain) is taken over too; gaps among numbers are those of the nearer parent. No row
    is a copy of a parent, unless the two differ in one column at most.

    Dtypes, column names and categories are those of `X`; whole numbers stay whole. Text in any form, nullable and
    Arrow dtypes, booleans, datetimes and timedeltas are taken; sparse matrices are not.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        As in imbalanced-learn: "auto" gives each class as many rows as the largest has.
    k_neighbors : int, default=5
        Each class that is over-sampled must have more rows.
    n_jobs : int or None, default=None
        Threads of the search for neighbours, as in joblib.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    sampling_strategy_ : dict
        How many rows are made, by class.
    sample_indices_ : ndarray of shape (n_rows_out,), int
        Which row each row is, or was begun from.
    neighbor_indices_ : ndarray of shape (n_rows_out,), int
        The other parent; of a row of `X`, itself.
    steps_ : ndarray of shape (n_rows_out,), float64
        How far it lies from the first to the other, in [0, 1); 0 for rows of `X`.
    n_features_in_ : int
        Columns seen.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.

    References
    ----------
    .. [1] Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique", Journal of
       Artificial Intelligence Research 16, 2002.
    .. [2] Lemaître, Nogueira and Aridas, "Imbalanced-learn: A Python Toolbox to Tackle the Curse of Imbalanced
       Datasets in Machine Learning", JMLR 18, 2017.
    .. [3] Gower, "A General Coefficient of Similarity and Some of Its Properties", Biometrics 27, 1971.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [31, 35, 40, 52, 47, 58], "job": ["cook", "cook", None, "clerk", "clerk", None]})
    >>> y = ["yes", "yes", "no", "no", "no", "no"]
    >>> more, labels = MixedSMOTE(k_neighbors=1, random_state=0).fit_resample(X, y)
    >>> labels.count("yes"), more["age"].dtype
    (4, dtype('int64'))
    >>> more["job"].tail(2).tolist()
    ['cook', 'cook']
    """

    _parameter_constraints: ClassVar[dict] = {
        "sampling_strategy": [
            real(0, 1, closed="right"),
            StrOptions({"auto", "minority", "not minority", "not majority", "all"}),
            dict,
            callable,
        ],
        "random_state": ["random_state"],
        "k_neighbors": [integer(1)],
        "n_jobs": [int, None],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        k_neighbors: int = 5,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ):
        super().__init__(sampling_strategy=sampling_strategy)
        self.k_neighbors = k_neighbors
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        table = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
        schema = Schema.from_data(table)
        wanted = {label: n for label, n in self.sampling_strategy_.items() if n}
        own = {label: self._rows_of(label, y) for label in wanted}
        rng = check_random_state(self.random_state)
        space = Space(schema, table)
        drawn = [self._draw(rows, wanted[label], space, rng) for label, rows in own.items()]
        base, neighbor, step = (np.concatenate(part) for part in zip(*drawn, strict=True)) if drawn else _nobody()
        new = _between(schema, table, base, neighbor, step, rng)
        everything = np.arange(len(table))
        self.sample_indices_ = np.concatenate([everything, base])
        self.neighbor_indices_ = np.concatenate([everything, neighbor])
        self.steps_ = np.concatenate([np.zeros(len(table)), step])
        out = pd.concat([table, new], ignore_index=True) if len(new) else table.reset_index(drop=True)
        labels = y[self.sample_indices_]
        return (out if table is X else out.to_numpy(dtype=X.dtype)), labels

    def _rows_of(self, label: Any, y: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(y == label)
        if len(rows) <= self.k_neighbors:
            (name,) = np.array([label]).tolist()
            raise ValueError(
                f"class {name!r} has n_samples = {len(rows)} rows, and k_neighbors={self.k_neighbors} neighbours each "
                f"need {self.k_neighbors + 1}; lower k_neighbors, or over-sample such classes by copies "
                "(RandomOverSampler)"
            )
        return rows

    def _draw(
        self, rows: np.ndarray, n: int, space: Space, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows to begin from, neighbours, and steps towards them."""
        nearest = NearestNeighbors(n_neighbors=self.k_neighbors, n_jobs=self.n_jobs).fit(space.points(rows))
        # asked for no rows, it gives the neighbours of its own, none of them its own
        found = nearest.kneighbors(return_distance=False)
        base = rng.randint(len(rows), size=n)
        neighbor = found[base, rng.randint(self.k_neighbors, size=n)]
        return rows[base], rows[neighbor], rng.uniform(size=n)


def _nobody() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)


def _between(
    schema: Schema,
    X: pd.DataFrame,
    base: np.ndarray,
    neighbor: np.ndarray,
    step: np.ndarray,
    rng: np.random.RandomState,
) -> pd.DataFrame:
    """The rows at a step from `base` to `neighbor`, of the dtypes of `X`."""
    nearer = np.where(step < 0.5, base, neighbor)
    columns = []
    for i, column in enumerate(schema.columns):
        values = X.iloc[:, i]
        parent = np.where(rng.uniform(size=len(base)) < step, neighbor, base)
        if column.kind in (CATEGORICAL, BOOLEAN) or values.dtype == object or column.dtype.startswith(_WHOLE):
            columns.append(values.iloc[parent])
            continue
        numbers = as_numbers(column, values)
        gap = np.isnan(numbers[base]) | np.isnan(numbers[neighbor])
        common = _is_common(numbers)
        moves = ~(gap | common[base] | common[neighbor])
        moved = _moved(column, values, numbers, base[moves], neighbor[moves], step[moves])
        if not moves.all():
            moved = _merged(moves, moved, values.iloc[np.where(gap, nearer, parent)[~moves]])
        columns.append(moved)
    columns = [values.reset_index(drop=True) for values in columns]
    for own, other in ((base, neighbor), (neighbor, base)):
        _tell_apart(columns, X, own, other, rng)
    return pd.concat(columns, axis=1).set_axis(X.columns, axis=1)


def _merged(where: np.ndarray, inside: pd.Series, outside: pd.Series) -> pd.Series:
    """One column of those values that stand `where` it is true, and of those that stand elsewhere."""
    order = np.argsort(np.concatenate([np.flatnonzero(where), np.flatnonzero(~where)]), kind="stable")
    return pd.concat([inside, outside], ignore_index=True).iloc[order].reset_index(drop=True)


def _tell_apart(
    columns: list[pd.Series], X: pd.DataFrame, own: np.ndarray, other: np.ndarray, rng: np.random.RandomState
) -> None:
    """Rows that came out as one parent get a value of the other, unless these differ in no more than one."""
    copies = np.arange(len(own))
    for i, made in enumerate(columns):
        copies = copies[_are_same(made.iloc[copies], X.iloc[own[copies], i])]
        if not len(copies):
            return
    differ = ~np.column_stack([_are_same(X.iloc[own[copies], i], X.iloc[other[copies], i]) for i in range(X.shape[1])])
    can = differ.sum(axis=1) > 1
    copies, chosen = copies[can], (differ[can] * rng.uniform(size=(can.sum(), X.shape[1]))).argmax(axis=1)
    for i in np.unique(chosen):
        changes = np.isin(np.arange(len(own)), copies[chosen == i])
        columns[i] = _merged(~changes, columns[i][~changes], X.iloc[other[changes], i])


def _are_same(one: pd.Series, two: pd.Series) -> np.ndarray:
    """Whether values are equal, or both missing, row by row."""
    one, two = one.reset_index(drop=True), two.reset_index(drop=True)
    equal = (one == two).to_numpy(dtype=bool, na_value=False)
    return equal | (one.isna() & two.isna()).to_numpy(dtype=bool)


def _is_common(numbers: np.ndarray) -> np.ndarray:
    """Whether many rows share the number, bool of shape (n_rows,)."""
    # what many share is found among some
    some = numbers[:: max(len(numbers) // _SOME_ROWS, 1)]
    value, count = np.unique(some, return_counts=True)
    least = max(2, _COMMON * len(numbers))
    shared = [v for v in value[count >= _COMMON / 2 * len(some)] if np.count_nonzero(numbers == v) >= least]
    return np.isin(numbers, shared) if shared else np.zeros(len(numbers), dtype=bool)


def _moved(
    column: Column,
    values: pd.Series,
    numbers: np.ndarray,
    base: np.ndarray,
    neighbor: np.ndarray,
    step: np.ndarray,
) -> pd.Series:
    """What lies at a step from one row's value to another's, of the same dtype."""
    moved = numbers[base] + step * (numbers[neighbor] - numbers[base])
    present = numbers[~np.isnan(numbers)]
    between = pd.Series(np.rint(moved) if (present == np.rint(present)).all() else moved)
    if column.kind == DATETIME:
        between = pd.to_datetime(between, unit="s", utc=True)
        between = between if values.dt.tz is not None else between.dt.tz_localize(None)
    elif values.dtype.kind == "m":
        between = pd.to_timedelta(between, unit="s")
    return between.astype(values.dtype)
