"""Targets, weights, groups and times in, plain validated arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_array, check_consistent_length, column_or_1d

from hybridlearn._compat import check_sample_weight


def plain_target(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """Validate that `y` is a target for the rows of `X`.

    Parameters
    ----------
    estimator : estimator
        Named in the errors.
    X : array-like or DataFrame
        Must have as many rows; must not hold the target as a column.
    y : array-like of shape (n_rows,), or (n_rows, n_outputs) where the estimator takes several outputs
        Numbers, text, booleans, categories, nullable or not; several outputs are numbers.

    Returns
    -------
    ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Of a plain numpy dtype, without missing or infinite values.

    Raises
    ------
    ValueError
        Missing values, another length than `X`, a target among the columns.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    if getattr(estimator, "_takes_several_outputs", False) and _n_columns(y) > 1:
        return _several_outputs(X, y)
    column_name = getattr(y, "name", None)
    if types.is_extension_array_dtype(y):
        y = _without_extension_dtype(pd.Series(y))
    array = column_or_1d(_with_gaps(y), warn=True)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: y")
    if array.dtype.kind == "O":
        array = pd.Series(array).infer_objects().to_numpy()
    _check_no_missing(pd.Series(array))
    if array.dtype.kind == "f":
        assert_all_finite(array, input_name="y")
    check_consistent_length(X, array)
    _check_is_no_column(X, column_name, array)
    return array


def _n_columns(y: Any) -> int:
    shape = y.shape if hasattr(y, "shape") else np.asarray(y, dtype=object).shape
    return shape[1] if len(shape) == 2 else 1


def _several_outputs(X: Any, y: Any) -> np.ndarray:
    if isinstance(y, pd.DataFrame):
        for column in y.columns:
            _check_no_missing(y[column])
            _check_is_no_column(X, column, y[column].to_numpy())
    outputs = check_array(y, dtype="numeric", input_name="y")
    check_consistent_length(X, outputs)
    return outputs


def _with_gaps(values: Any) -> Any:
    """A list of texts as an array of objects: numpy alone would make text of a NaN among them."""
    holds_text = isinstance(values, list | tuple) and any(isinstance(value, str) for value in values)
    return np.asarray(values, dtype=object) if holds_text else values


def _check_no_missing(y: pd.Series) -> None:
    n_missing = int(y.isna().sum())
    if n_missing:
        raise ValueError(f"Input y contains NaN: {n_missing} rows have no target; drop them")


def find_classes(estimator: Any, y: np.ndarray) -> np.ndarray:
    """Labels that occur, sorted and of their own type.

    Raises
    ------
    ValueError
        A continuous target, or one class only.
    """
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise ValueError(
            f"{error} For numbers take a regressor; or bins of them: pd.qcut(y, 10, labels=False)"
        ) from None
    classes = LabelEncoder().fit(y).classes_
    if len(classes) < 2:
        (label,) = classes.tolist()
        raise ValueError(f"y holds one class only ({label!r}); {type(estimator).__name__} needs at least 2 classes")
    return classes


def encode_classes(classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Position of each label in the sorted `classes`, int64 of shape (n_rows,); a label not among them is an error."""
    unknown = np.setdiff1d(y, classes).tolist()
    if unknown:
        raise ValueError(f"y holds labels {unknown[:5]} that are not among the classes {classes.tolist()[:10]}")
    return np.searchsorted(classes, y).astype(np.int64)


def to_numbers(y: np.ndarray) -> np.ndarray:
    """Regression target as float64, or a ValueError."""
    try:
        return y.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"Unknown label type: y must hold numbers for a regression: {error}") from error


def _without_extension_dtype(y: pd.Series) -> np.ndarray:
    _check_no_missing(y)
    if isinstance(y.dtype, pd.CategoricalDtype):
        return np.asarray(y)
    if types.is_bool_dtype(y.dtype):
        return y.to_numpy(dtype=bool)
    if types.is_numeric_dtype(y.dtype):
        return y.to_numpy(dtype=np.int64 if types.is_integer_dtype(y.dtype) else np.float64)
    return y.to_numpy(dtype=object)


def _check_is_no_column(X: Any, name: Any, y: np.ndarray) -> None:
    if name is None or not isinstance(X, pd.DataFrame) or name not in X.columns:
        return
    column = X[name]
    if not column.isna().any() and (column.to_numpy(dtype=object) == y.astype(object)).all():
        raise ValueError(f"column {name!r} of X is the target itself; drop it: X.drop(columns={name!r})")


def read_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Validate weights: float64 of shape (n_rows,), ones for None; negative, NaN or all zero is a ValueError."""
    return check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def read_groups(groups: Any, X: Any) -> np.ndarray | None:
    """Validate groups: int codes of shape (n_rows,), None for None; a missing group is a ValueError."""
    if groups is None:
        return None
    codes, _ = pd.factorize(column_or_1d(_with_gaps(groups)))
    check_consistent_length(X, codes)
    if (codes < 0).any():
        raise ValueError(f"groups is missing for {int((codes < 0).sum())} rows; give each row a group")
    return codes


def read_time(time: Any, X: Any) -> np.ndarray | None:
    """Validate when the rows were: their ranks in time, dense and shared by equal times.

    Parameters
    ----------
    time : array-like of shape (n_rows,) or None
        Numbers, datetimes with or without a zone, timedeltas or periods.
    X : array-like or DataFrame
        Must have as many rows.

    Returns
    -------
    ndarray of shape (n_rows,), int64, or None
        None for None.

    Raises
    ------
    ValueError
        Missing times, another length than `X`, text or whatever else has no order in time.
    """
    if time is None:
        return None
    times = pd.Series(column_or_1d(_with_gaps(time))).infer_objects()
    check_consistent_length(X, times)
    n_missing = int(times.isna().sum())
    if n_missing:
        raise ValueError(f"time is missing for {n_missing} rows; give each row a time")
    if times.dtype.kind not in "biufmM" and not isinstance(times.dtype, pd.PeriodDtype):
        raise ValueError(f"time must hold numbers or points in time, not {times.dtype}; give pd.to_datetime(time)")
    return pd.factorize(times, sort=True)[0].astype(np.int64)
