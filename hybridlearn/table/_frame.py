"""Any table in, one pandas frame out: the only file that knows pandas dtypes by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

NUMERIC, CATEGORICAL, BOOLEAN, DATETIME = "numeric", "categorical", "boolean", "datetime"

# Beyond this a value counts as this, infinities among them: it still fits into the float32 of nets and boosters.
LARGEST = 1e38

_KIND_OF_INFERRED = {
    "boolean": BOOLEAN,
    "integer": NUMERIC,
    "floating": NUMERIC,
    "mixed-integer-float": NUMERIC,
    "decimal": NUMERIC,
    "datetime": DATETIME,
    "datetime64": DATETIME,
    "date": DATETIME,
    "empty": NUMERIC,
    "timedelta": NUMERIC,
    "timedelta64": NUMERIC,
    "period": DATETIME,
}


def read_table(estimator: Any, X: Any, *, reset: bool) -> pd.DataFrame:
    """Validate `X` as scikit-learn would and return it as a frame whose columns keep their dtypes.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_`` (`reset`), or is checked against them.
    X : DataFrame or array-like of shape (n_rows, n_columns)
    reset : bool
        True in ``fit``, False in ``predict`` and ``transform``.

    Returns
    -------
    DataFrame
        Column labels are the names of `X`, or 0, 1, ... for an array. Never written to.

    Raises
    ------
    TypeError
        When `X` is sparse.
    ValueError
        When it is empty, not two-dimensional, complex, holds a column name twice, or has other columns than in
        ``fit``.
    """
    if sparse.issparse(X):
        raise TypeError(f"{type(estimator).__name__} was passed a sparse matrix; it needs a dense table: X.toarray()")
    if isinstance(X, pd.DataFrame):
        _check_frame(X)
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    array = validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)
    return pd.DataFrame(array, copy=False)


def read_raw_table(X: Any, *, any_object: bool = True) -> Any:
    """Validate the shape of `X` for members that look at the values themselves.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
    any_object : bool, default=True
        Whether an array may hold objects that are neither text nor numbers.

    Returns
    -------
    DataFrame, csr matrix or ndarray
        Dtypes are kept; an array of objects becomes numbers where it can, else a frame with a dtype a column.
    """
    if isinstance(X, pd.DataFrame):
        _check_frame(X)
        return X
    table = check_array(X, accept_sparse="csr", dtype=None, ensure_all_finite=False)
    if table.dtype != object:
        return table
    try:
        return table.astype(np.float64)
    except ValueError:
        return pd.DataFrame(table).infer_objects()
    except TypeError:
        if any_object:
            return pd.DataFrame(table).infer_objects()
        raise


def _check_frame(X: pd.DataFrame) -> None:
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()].unique().tolist()
        raise ValueError(f"columns {twice} stand more than once in X; rename or drop them")
    complex_columns = [name for name, dtype in zip(X.columns, X.dtypes, strict=True) if types.is_complex_dtype(dtype)]
    if complex_columns:
        raise ValueError(f"Complex data not supported: columns {complex_columns}")
    # scikit-learn words the errors on empty tables; no value is looked at
    check_array(np.empty(X.shape), ensure_all_finite=False)


def is_float64(frame: pd.DataFrame) -> bool:
    """Whether a frame holds nothing but float64, so that it can be read as one block."""
    return bool((frame.dtypes == np.float64).all())


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Rows of a frame, array, sparse matrix or Series by position."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def column_kind(column: pd.Series) -> str:
    """Kind of one column by its dtype; an object column by what it holds."""
    dtype = column.dtype
    if types.is_bool_dtype(dtype):
        return BOOLEAN
    if isinstance(dtype, pd.CategoricalDtype):
        return CATEGORICAL
    if types.is_numeric_dtype(dtype) or dtype.kind == "m":
        return NUMERIC
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return DATETIME
    if types.is_object_dtype(dtype):
        return _KIND_OF_INFERRED.get(types.infer_dtype(column, skipna=True), CATEGORICAL)
    return CATEGORICAL


def is_timedelta(column: pd.Series) -> bool:
    """Whether a column holds spans of time."""
    is_object = types.is_object_dtype(column.dtype)
    return column.dtype.kind == "m" or (is_object and types.infer_dtype(column, skipna=True).startswith("timedelta"))


def to_float(column: pd.Series) -> np.ndarray:
    """Numeric, boolean or timedelta column (in seconds) as float64 with NaN, within +-``LARGEST``."""
    if is_timedelta(column):
        column = pd.to_timedelta(column).dt.total_seconds()
    elif types.is_object_dtype(column.dtype):
        column = pd.to_numeric(column.map(_float, na_action="ignore"))
    return np.clip(column.to_numpy(dtype=np.float64, na_value=np.nan), -LARGEST, LARGEST)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return LARGEST if value > 0 else -LARGEST


def to_datetime(column: pd.Series) -> pd.Series:
    """Datetime, date or period column as naive UTC ``datetime64`` with NaT."""
    if types.is_object_dtype(column.dtype) and types.infer_dtype(column, skipna=True) == "period":
        column = pd.Series(pd.PeriodIndex(column))
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    return pd.to_datetime(column, utc=True).dt.tz_localize(None)


def to_labels(column: pd.Series, *, observed: bool = True) -> tuple[np.ndarray, Sequence[str]]:
    """Categorical column as positions in a list of text labels, -1 where missing.

    The labels are text so that a level is the same one whatever its dtype: 1, 1.0, "1" and a category 1 are. Unless
    `observed`, labels that no row holds may be among them, which is faster.
    """
    if not observed and isinstance(column.dtype, pd.CategoricalDtype):
        codes, uniques = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, uniques = pd.factorize(to_text(column))
    label_codes, labels = pd.factorize(np.array([_label(value) for value in uniques], dtype=object))
    return np.where(codes < 0, -1, np.append(label_codes, -1)[codes]), list(labels)


def to_text(column: pd.Series) -> pd.Series:
    """An object column of mixed values as text; any other column as it is."""
    if types.is_object_dtype(column.dtype) and types.infer_dtype(column, skipna=True) != "string":
        return column.map(_label, na_action="ignore")
    return column


def _label(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)
