"""What may become of a row: how far its columns move, which stay, what holds between them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.stats import median_abs_deviation

from hybridlearn.table._box import Box, inward, is_coarse, numbers_of, put_numbers
from hybridlearn.table._frame import (
    BOOLEAN,
    CATEGORICAL,
    NUMERIC,
    column_kind,
    is_timedelta,
    read_raw_table,
    to_float,
)

Eps = float | Sequence[float] | np.ndarray | Mapping[Hashable, float]


@dataclass(frozen=True, eq=False)
class FeatureConstraints:
    """What an attack may do to a row, and a certificate must withstand: a rule for each column, by name.

    Numbers move by up to an ``eps``. Everything else (categories, booleans, datetimes, spans of time, missing values)
    stays as it is unless it is named in `categorical`. Columns of an array are named 0, 1, ...

    Parameters
    ----------
    bounds : dict of column to (float, float), optional
        Least and largest value. A value outside of them may stay, or come nearer.
    immutable : sequence of columns, optional
        Columns that stay.
    integer : sequence of columns, optional
        Columns of whole numbers.
    categorical : dict of column to sequence of levels, optional
        Columns that may take any of these levels.
    increase_only : sequence of columns, optional
        Columns that do not fall: an age, a number of past loans.
    relations : sequence of str, optional
        What holds between columns, as `DataFrame.eval` reads it: ``"instalment <= income"``. One that begins with a
        column and ``==`` says how the column follows from others: it is computed from them after they have moved.
        Rows for which a relation does not hold are an error.
    scale : dict of column to float, optional
        Robust standard deviation of each column: the unit of an ``eps`` that is a number. Default: that of the rows
        that are attacked or certified.

    See Also
    --------
    FeatureConstraints.from_data : Constraints that a table itself suggests.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [30.0, 50.0], "income": [2000.0, 3000.0], "job": ["cook", "clerk"]})
    >>> constraints = FeatureConstraints(increase_only=["age"], integer=["age"], categorical={"job": ["cook", "clerk"]})
    >>> box = constraints.box(X, eps={"age": 2.5, "income": 100})
    >>> box.lower, box.upper
    (array([[  30., 1900.],
           [  50., 2900.]]), array([[  32., 2100.],
           [  52., 3100.]]))
    """

    bounds: Mapping[Hashable, tuple[float, float]] = field(default_factory=dict)
    immutable: Sequence[Hashable] = ()
    integer: Sequence[Hashable] = ()
    categorical: Mapping[Hashable, Sequence[Any]] = field(default_factory=dict)
    increase_only: Sequence[Hashable] = ()
    relations: Sequence[str] = ()
    scale: Mapping[Hashable, float] | None = None

    @classmethod
    def from_data(cls, X: Any, **own: Any) -> Self:
        """Constraints that a table suggests: numbers stay in its range, whole numbers whole; its scales.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
            Training rows, as a rule.
        **own
            Parameters of :class:`FeatureConstraints`, which stand in place of what `X` suggests; ``bounds`` column by
            column.

        Returns
        -------
        FeatureConstraints

        Examples
        --------
        >>> import pandas as pd
        >>> X = pd.DataFrame({"age": [30, 50, 41], "income": [2000.5, 3000.0, 2500.0]})
        >>> constraints = FeatureConstraints.from_data(X, immutable=["income"])
        >>> constraints.bounds["age"], constraints.integer
        ((30.0, 50.0), ['age'])
        """
        frame = as_frame(X)
        numbers = {name: to_float(frame[name]) for name in _numeric(frame)}
        present = {name: values[~np.isnan(values)] for name, values in numbers.items()}
        present = {name: values for name, values in present.items() if len(values)}
        suggested: dict[str, Any] = {
            "bounds": {name: (float(v.min()), float(v.max())) for name, v in present.items()}
            | dict(own.pop("bounds", {})),
            "integer": [name for name, values in present.items() if (values == np.rint(values)).all()],
            "scale": {name: robust_deviation(values) for name, values in numbers.items()},
        }
        return cls(**suggested | own)

    def box(self, X: Any, eps: Eps) -> Box:
        """What each row may become.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        eps : float, array-like of shape (n_columns,) or dict of column to float
            How far numbers move: a number is in robust standard deviations of each column, an array or a dict in its
            units; columns that a dict does not name stay.

        Returns
        -------
        Box
            Relations are left out: it holds what they forbid too.

        Raises
        ------
        ValueError
            On a column that is not there or of another kind, an `eps` of another shape or below 0, rows that break
            a relation.
        """
        frame = as_frame(X)
        columns = _numeric(frame)
        self._check(frame, columns)
        broken = int((~self.holds(frame)).sum())
        if broken:
            raise ValueError(
                f"relations {list(self.relations)} do not hold for {broken} of {len(frame)} rows of X; "
                "none holds where a value is missing"
            )
        places = np.array([_place(frame, name) for name in columns], np.int64)
        given = numbers_of(frame, places)
        reach = self._reach(frame, columns, given, eps)
        low, high = self._limits(columns, given)
        lower, upper = np.maximum(given - reach, low), np.minimum(given + reach, high)
        rises = [name in self.increase_only for name in columns]
        lower[:, rises] = given[:, rises]
        whole = [name in self.integer for name in columns]
        lower[:, whole] = np.minimum(np.ceil(lower[:, whole]), given[:, whole])
        upper[:, whole] = np.maximum(np.floor(upper[:, whole]), given[:, whole])
        for i, name in enumerate(columns):
            if is_coarse(frame[name].dtype):
                lower[:, i], upper[:, i] = inward(lower[:, i], upper[:, i], frame[name].dtype)
        choices = [
            (_place(frame, name), level)
            for name, levels in self.categorical.items()
            if name not in self.immutable
            for level in levels
        ]
        return Box(frame, not isinstance(X, pd.DataFrame), places, lower, upper, choices)

    def completed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows whose columns that follow from others are computed from them."""
        derived = self._derived(frame)
        # as many times as there are: what one follows from may follow itself
        for name, relation in [*derived.items()] * len(derived):
            numbers = to_float(pd.Series(frame.eval(relation)))
            frame = frame.assign(**{str(name): put_numbers(frame[name], numbers, numbers != to_float(frame[name]))})
        return frame

    def holds(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether all relations hold, shape (n_rows,), bool."""
        found = np.ones(len(frame), dtype=bool)
        derived = self._derived(frame)
        for name, relation in derived.items():
            found &= np.isclose(to_float(frame[name]), to_float(pd.Series(frame.eval(relation))))
        for relation in self.relations:
            if _name_of(relation, frame) not in derived:
                found &= np.asarray(frame.eval(relation), dtype=bool)
        return found

    def follows(self, frame: pd.DataFrame) -> list[Hashable]:
        """Columns that follow from others."""
        return list(self._derived(frame))

    def _derived(self, frame: pd.DataFrame) -> dict[str, str]:
        named = {
            _name_of(relation, frame): relation.split("==", 1)[1] for relation in self.relations if "==" in relation
        }
        return {name: relation for name, relation in named.items() if name is not None}

    def _reach(self, frame: pd.DataFrame, columns: list[Hashable], given: np.ndarray, eps: Eps) -> np.ndarray:
        """How far each numeric column moves, in its units."""
        if isinstance(eps, Mapping):
            _check_names("eps", eps, frame)
            _check_numbers("eps", eps, columns)
            reach = np.array([float(eps.get(name, 0.0)) for name in columns])
        elif np.ndim(eps) == 0:
            scale = self.scale or {name: robust_deviation(v) for name, v in zip(columns, given.T, strict=True)}
            _check_names("scale", scale, frame)
            reach = float(eps) * np.array([scale.get(name, 0.0) for name in columns])  # type: ignore[arg-type]
            if self.scale is None and len(frame) < 2 and np.any(np.asarray(eps) > 0):
                raise ValueError(
                    "eps as a number is in standard deviations, which one row does not have; give "
                    "constraints=FeatureConstraints.from_data(X_train), or eps in units of the columns, as a dict"
                )
        else:
            array = np.asarray(eps, dtype=np.float64)
            if array.shape != (frame.shape[1],):
                raise ValueError(f"eps has shape {array.shape}, but X has {frame.shape[1]} columns")
            reach = array[[_place(frame, name) for name in columns]]
        if not (np.isfinite(reach).all() and (reach >= 0).all()):
            raise ValueError(f"eps must hold finite numbers of at least 0, got {eps!r:.80}")
        reach[[name in self.immutable for name in columns]] = 0.0
        return reach

    def _limits(self, columns: list[Hashable], given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How low and how high each number may be: a value outside its bounds may stay, or come nearer."""
        limits = np.array([self.bounds.get(name, (-np.inf, np.inf)) for name in columns], np.float64).reshape(-1, 2)
        if (limits[:, 0] > limits[:, 1]).any():
            raise ValueError(f"bounds must hold the least value first, got {dict(self.bounds)!r:.200}")
        return np.fmin(limits[:, 0], given), np.fmax(limits[:, 1], given)

    def _check(self, frame: pd.DataFrame, numeric: list[Hashable]) -> None:
        for word in ("bounds", "immutable", "integer", "categorical", "increase_only"):
            named = getattr(self, word)
            if isinstance(named, str):
                raise ValueError(f"{word} must be a list of columns, got {named!r}")
            _check_names(word, named, frame)
            if word in ("bounds", "integer", "increase_only"):
                _check_numbers(word, named, numeric)
        for name, levels in self.categorical.items():
            kind = column_kind(frame[name])
            if isinstance(levels, str) or pd.isna(list(levels)).any():
                raise ValueError(
                    f"categorical[{name!r}] must be a list of levels, none of them missing, got {levels!r:.80}"
                )
            if kind not in (CATEGORICAL, BOOLEAN):
                raise ValueError(f"categorical names column {name!r}, which is {kind}; give bounds and integer instead")


def as_constraints(constraints: Any) -> FeatureConstraints:
    """Constraints, or those of nothing; a TypeError on anything else."""
    if constraints is None:
        return FeatureConstraints()
    if not isinstance(constraints, FeatureConstraints):
        raise TypeError(f"constraints must be FeatureConstraints, got {type(constraints).__name__}")
    return constraints


def as_frame(X: Any) -> pd.DataFrame:
    """A table as a frame; columns of an array are 0, 1, ..."""
    table = read_raw_table(X)
    if hasattr(table, "tocsr"):
        raise TypeError("X is a sparse matrix; robustness needs a dense table: X.toarray()")
    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)


def robust_deviation(values: np.ndarray) -> float:
    """Standard deviation by the median of deviations; where that is 0 (most values are one), the usual one."""
    present = values[~np.isnan(values)]
    if len(present) == 0:
        return 0.0
    return float(median_abs_deviation(present, scale="normal")) or float(present.std())


def _numeric(frame: pd.DataFrame) -> list[Hashable]:
    return [name for name in frame.columns if column_kind(frame[name]) == NUMERIC and not is_timedelta(frame[name])]


def _name_of(relation: str, frame: pd.DataFrame) -> str | None:
    """The column that a relation says how to compute; None where it says none."""
    name = relation.split("==", 1)[0].strip()
    return name if "==" in relation and name in frame.columns else None


def _place(frame: pd.DataFrame, name: Hashable) -> int:
    columns: list[Any] = frame.columns.tolist()
    return columns.index(name)


def _check_names(word: str, names: Any, frame: pd.DataFrame) -> None:
    unknown = [name for name in names if name not in frame.columns]
    if unknown:
        raise ValueError(f"{word} names columns that are not in X: {unknown}")


def _check_numbers(word: str, names: Any, numeric: list[Hashable]) -> None:
    others = [name for name in names if name not in numeric]
    if others:
        raise ValueError(f"{word} names columns that are no numbers: {others}")
