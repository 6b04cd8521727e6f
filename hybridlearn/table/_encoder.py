"""A table of mixed columns as one matrix of well-behaved numbers and category codes."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hybridlearn._compat import StrOptions, integer
from hybridlearn._fitting import whole_fit
from hybridlearn.table._frame import read_table
from hybridlearn.table._schema import MISSING, UNSEEN, Column, Schema

N_RESERVED = 2  # code 0: unseen or rare level; code 1: missing
_LARGEST_Z = 1e6


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode numbers, booleans, datetimes and categories for nets and linear models.

    Numbers (booleans as 0 and 1, datetimes as seconds and parts) are centred at the median, scaled by the
    interquartile range and clipped smoothly to +-3, as in RealMLP [1]_; a column whose quartiles coincide is
    scaled by half its range. Categories become integer codes: 0 for a level that is unseen or beyond
    `max_levels`, 1 for missing, 2 and up for the levels in sorted order; or one column a level. The target is never
    looked at.

    A column of numbers that is constant in ``fit`` is encoded as 0, whatever numbers it holds later; one that is all
    missing in ``fit`` is missing later too, whatever it holds. Infinite values count as +-1e38. An object column that
    mixes types is read as text. Unseen levels give one :class:`UnseenCategoryWarning`.

    Parameters
    ----------
    encode : {"ordinal", "onehot"}, default="ordinal"
        Form of the categorical columns.
    max_levels : int, default=1000
        Levels kept a column, the most frequent first; the others share one code.
    missing : {"indicator", "impute", "keep"}, default="indicator"
        Missing numbers become 0, the median; "indicator" adds a column that tells where, if any are missing in
        ``fit``; "keep" leaves them NaN.

    Attributes
    ----------
    schema_ : Schema
        Kinds, levels and missing counts of the columns.
    center_, scale_ : ndarray of shape (n_numeric,)
        Median and scale of the numeric block; a scale of infinity marks a constant column.
    cardinalities_ : ndarray of shape (n_categorical,)
        Codes a categorical column, the two reserved ones included.
    categorical_features_ : ndarray of bool of shape (n_features_out,)
        Which output columns are integer codes.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.

    References
    ----------
    .. [1] Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
       Tabular Data", NeurIPS 2024.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20.0, None, 40.0, 30.0], "job": ["cook", "clerk", None, "cook"]})
    >>> TableEncoder().set_output(transform="pandas").fit_transform(X).round(2)
        age  age_missing  job
    0 -0.95          0.0  3.0
    1  0.00          1.0  2.0
    2  0.95          0.0  1.0
    3  0.00          0.0  3.0
    """

    _parameter_constraints: ClassVar[dict] = {
        "encode": [StrOptions({"ordinal", "onehot"})],
        "max_levels": [integer(1)],
        "missing": [StrOptions({"indicator", "impute", "keep"})],
    }

    def __init__(self, *, encode: str = "ordinal", max_levels: int = 1000, missing: str = "indicator"):
        self.encode = encode
        self.max_levels = max_levels
        self.missing = missing

    @whole_fit
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn kinds, scales and levels.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : ignored

        Returns
        -------
        self
        """
        frame = read_table(self, X, reset=True)
        self.schema_ = Schema.from_data(frame)
        # column by column, so that the table never stands in memory twice
        facts = np.array([_center_scale_gaps(numbers) for numbers in self.schema_.numeric_columns(frame)])
        self.center_, self.scale_, has_missing = facts.reshape(-1, 3).T
        self._indicator = np.flatnonzero(has_missing * (self.missing == "indicator"))
        self._ranks = [_rank_of_code(column, self.max_levels) for column in self.schema_.categorical]
        self.cardinalities_ = np.array([r.max(initial=0) + 1 for r in self._ranks], dtype=np.int64).clip(N_RESERVED)
        n_numbers = len(self.center_) + len(self._indicator)
        n_out = len(self.get_feature_names_out())
        self.categorical_features_ = (np.arange(n_out) >= n_numbers) & (self.encode == "ordinal")
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode the rows of `X`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_features_out), float64
            Finite, unless missing numbers are kept. Numbers, indicators, then categories; see
            :meth:`get_feature_names_out`.
        """
        check_is_fitted(self)
        frame = read_table(self, X, reset=False)
        numbers = self.schema_.numeric_block(frame)
        codes = self._category_codes(self.schema_.category_codes(frame))
        if self.encode == "onehot":
            codes = self._one_hot(codes)
        missing = np.isnan(numbers[:, self._indicator])
        return np.column_stack([self._squash(numbers), missing, codes]).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Checked against the names seen in ``fit``; gives the names where `X` was an array.

        Returns
        -------
        ndarray of str of shape (n_features_out,)
        """
        check_is_fitted(self, "schema_")
        columns = self._named_columns(input_features)
        named = Schema(columns, self.schema_.n_rows)
        names = named.numeric_names
        names += [f"{names[i]}_missing" for i in self._indicator]
        for column, ranks in zip(named.categorical, self._ranks, strict=True):
            names += _onehot_names(column, ranks) if self.encode == "onehot" else [str(column.name)]
        return np.array(names, dtype=object)

    def _named_columns(self, input_features: Any) -> tuple[Column, ...]:
        known = getattr(self, "feature_names_in_", None)
        if input_features is None:
            fallback = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = fallback if known is None else known
        elif known is not None and list(input_features) != list(known):
            raise ValueError("input_features is not equal to feature_names_in_")
        elif len(input_features) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to number of features ({self.n_features_in_}), "
                f"got {len(input_features)}"
            )
        return tuple(
            Column(name, c.kind, c.dtype, c.n_missing, c.levels, c.counts)
            for name, c in zip(input_features, self.schema_.columns, strict=True)
        )

    def _squash(self, numbers: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            z = np.clip((numbers - self.center_) / self.scale_, -_LARGEST_Z, _LARGEST_Z)
        squashed = z / np.sqrt(1 + (z / 3) ** 2)
        return squashed if self.missing == "keep" else np.nan_to_num(squashed, nan=0.0)

    def _category_codes(self, codes: np.ndarray) -> np.ndarray:
        """Positions in the levels -> 0 unseen or rare, 1 missing, 2 and up the levels that are kept."""
        out = np.empty_like(codes)
        for j, ranks in enumerate(self._ranks):
            # two slots behind the levels, for MISSING = -1 and UNSEEN = -2
            table = np.empty(len(ranks) + 2, dtype=np.int64)
            table[: len(ranks)] = ranks
            table[MISSING], table[UNSEEN] = 1, 0
            out[:, j] = table[codes[:, j]]
        return out

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        layout = zip(self.schema_.categorical, self._ranks, strict=True)
        blocks = [codes[:, [j]] == _onehot_codes(column, ranks) for j, (column, ranks) in enumerate(layout)]
        return np.column_stack([np.empty((len(codes), 0)), *blocks])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _center_scale_gaps(column: np.ndarray) -> tuple[float, float, bool]:
    """Median and scale of a column and whether it has gaps; (0, inf) if all is missing, (c, inf) if constant."""
    present = column[~np.isnan(column)]
    has_gaps = len(present) < len(column)
    if len(present) == 0:
        return 0.0, np.inf, has_gaps
    low, q25, center, q75, high = np.quantile(present, [0, 0.25, 0.5, 0.75, 1])
    return center, (q75 - q25) or (high - low) / 2 or np.inf, has_gaps


def _rank_of_code(column: Column, max_levels: int) -> np.ndarray:
    """Output code of each level: the `max_levels` most frequent keep one of their own, the others get 0."""
    counts = np.array(column.counts, dtype=np.int64)
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_levels])
    ranks = np.zeros(len(counts), dtype=np.int64)
    ranks[kept] = N_RESERVED + np.arange(len(kept))
    return ranks


def _onehot_codes(column: Column, ranks: np.ndarray) -> np.ndarray:
    """Codes that get a column: the kept levels, then missing and the rare ones together where there are any."""
    missing = [1] if column.n_missing else []
    rare = [0] if (ranks == 0).any() else []
    return np.array([*ranks[ranks > 0], *missing, *rare], dtype=np.int64)


def _onehot_names(column: Column, ranks: np.ndarray) -> list[str]:
    level_of = dict(zip(ranks, column.levels, strict=True)) | {0: "rare", 1: "missing"}
    return [f"{column.name}_{level_of[code]}" for code in _onehot_codes(column, ranks)]
