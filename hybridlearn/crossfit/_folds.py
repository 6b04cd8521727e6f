"""The folds that a ``cv`` stands for: disjoint, within groups, in the order of time."""

from __future__ import annotations

import warnings
from copy import copy
from dataclasses import replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import PredefinedSplit

from hybridlearn._splits import Split, folds
from hybridlearn.table import TrainingRows


def make_splits(
    cv: Any, rows: TrainingRows, *, classes: np.ndarray | None, seed: int, parameter: str = "cv"
) -> tuple[TrainingRows, list[Split]]:
    """Folds of the rows: shuffled (with times: forward in time) for an int, else those of the splitter.

    An int above the rows of a class gives a warning that names the class; some training parts then lack it.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
    rows : TrainingRows
    classes : ndarray of shape (n_classes,) or None
        Labels of the codes; None in regression.
    seed : int
        Of an int's folds, and of a shuffling splitter that brings none.
    parameter : str, default="cv"
        The user's name for it, in messages.

    Returns
    -------
    rows : TrainingRows
        With a ``time`` where each fold trains on rows that stand before those it tests, and test parts follow each
        other, as in `TimeSeriesSplit`: then their order is that of time.
    splits : list of (train, test)
        With a ``time``, in its order.

    Raises
    ------
    ValueError
        When a class has one row, a row is in two test parts, a part is empty, train and test share a row or a
        group, training rows are later than those of the test part, or test parts overlap in time.
    """
    if classes is not None:
        _check_class_counts(rows, classes, int(cv) if isinstance(cv, Integral) else 0, parameter)
    if isinstance(cv, Integral):
        codes = None if classes is None else rows.target
        splits = folds(
            codes, rows.groups, n_rows=len(rows), n_splits=int(cv), seed=seed, time=rows.time, parameter=parameter
        )
    else:
        splits = _given_splits(cv, rows, seed)
    _check_parts(splits)
    if rows.groups is not None:
        _check_groups(splits, rows.groups)
        if all(train.max() < test.min() for train, test in splits):
            raise ValueError(
                "cv goes forward in the order of the rows, and groups are given; inner splits can follow one of them: "
                "leave groups out, or give a splitter by groups"
            )
    elif rows.time is not None:
        splits = _one_after_another([_before_the_test(rows.time, *split) for split in splits], rows.time)
    elif all(train.max() < test.min() for train, test in splits):
        in_order = sorted(splits, key=lambda split: split[1].min())
        if all(one.max() < two.min() for (_, one), (_, two) in pairwise(in_order)):
            rows, splits = replace(rows, time=np.arange(len(rows))), in_order
    return rows, splits


def _given_splits(cv: Any, rows: TrainingRows, seed: int) -> list[Split]:
    if isinstance(cv, str):
        # which has a method split too
        raise ValueError(f"cv={cv!r} must be an int, a splitter or a list of (train, test)")
    if isinstance(cv, PredefinedSplit):
        cv = list(cv.split())
    if not hasattr(cv, "split"):
        return [(_kept(rows, train), _kept(rows, test)) for train, test in cv]
    if rows.time is None:
        with warnings.catch_warnings():
            # whether they are torn is checked, and inner splits go by them
            warnings.filterwarnings("ignore", message="The groups parameter is ignored", category=UserWarning)
            return list(_seeded(cv, seed).split(rows.X, rows.target, rows.groups))
    order = np.argsort(rows.time, kind="stable")
    sorted_rows = rows.take(order)
    return [(order[train], order[test]) for train, test in _seeded(cv, seed).split(sorted_rows.X, sorted_rows.target)]


def _seeded(splitter: Any, seed: int) -> Any:
    """A shuffling splitter that brings no seed gets one, as members do; the user's own is left as it is."""
    if getattr(splitter, "random_state", 0) is None and getattr(splitter, "shuffle", True):
        splitter = copy(splitter)
        splitter.random_state = seed
    return splitter


def _kept(rows: TrainingRows, positions: Any) -> np.ndarray:
    """Positions among the rows of positive weight, of those that are given as positions in all rows."""
    positions = np.asarray(positions)
    if positions.size and not (positions.min() >= 0 and positions.max() < rows.n_handed):
        raise ValueError(
            f"cv names row positions {positions.min()} to {positions.max()}, but X has rows 0 to {rows.n_handed - 1}"
        )
    found = np.searchsorted(rows.positions, positions).clip(max=len(rows) - 1)
    return found[rows.positions[found] == positions]


def _check_class_counts(rows: TrainingRows, classes: np.ndarray, n_splits: int, parameter: str) -> None:
    counts, labels = np.bincount(rows.target, minlength=len(classes)), classes.tolist()
    if counts.min() < 2:
        raise ValueError(
            f"class {labels[counts.argmin()]!r} has one row (n_samples = 1), which cannot be learned and "
            "predicted; drop it or merge it with another class"
        )
    rare = [label for label, count in zip(labels, counts, strict=True) if count < n_splits]
    if rare:
        warnings.warn(
            f"classes {rare} have fewer rows than {parameter}={n_splits}: some training parts lack them; lower "
            f"{parameter} or merge classes",
            UserWarning,
            stacklevel=5,
        )


def _check_parts(splits: list[Split]) -> None:
    if not splits or any(len(train) == 0 or len(test) == 0 for train, test in splits):
        raise ValueError("cv gave no split, or one with an empty part")
    if any(np.intersect1d(train, test).size for train, test in splits):
        raise ValueError("cv gave a split whose train and test parts share rows")
    if np.bincount(np.concatenate([test for _, test in splits])).max() > 1:
        raise ValueError("cv puts a row into two test parts; give a splitter that tests each row at most once")


def _check_groups(splits: list[Split], groups: np.ndarray) -> None:
    for fold, (train, test) in enumerate(splits):
        n_torn = len(np.intersect1d(groups[train], groups[test]))
        if n_torn:
            raise ValueError(
                f"cv tears {n_torn} groups apart in fold {fold}; give an int or a splitter that keeps groups together, "
                "such as GroupKFold"
            )


def _before_the_test(time: np.ndarray, train: np.ndarray, test: np.ndarray) -> Split:
    """The split without training rows of the time at which the test part begins."""
    begins = time[test].min()
    if time[train].max() > begins:
        raise ValueError(
            "cv trains on rows that are later than those it tests; with time, give an int or TimeSeriesSplit"
        )
    train = train[time[train] < begins]
    if not len(train):
        raise ValueError("cv gave a training part without a row that is earlier than its test part")
    return train, test


def _one_after_another(splits: list[Split], time: np.ndarray) -> list[Split]:
    """The splits in the order of time; all rows of the time at which a test part begins are tested in it.

    Weights and temperature that judge a fold are learned from the test parts of those before it.
    """
    splits = sorted(splits, key=lambda split: time[split[1]].min())
    begins = [time[test].min() for _, test in splits]
    for i, end in enumerate(begins[1:]):
        train, test = splits[i]
        if begins[i] == end or time[test].max() > end:
            raise ValueError("cv gave test parts that overlap in time; with time, give an int or TimeSeriesSplit")
        later_train, later_test = splits[i + 1]
        splits[i] = train, test[time[test] < end]
        splits[i + 1] = later_train, np.concatenate([test[time[test] == end], later_test])
    return splits
