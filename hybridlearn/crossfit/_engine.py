"""The one engine: every member on every fold's training part, predicting the rows it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier
from sklearn.model_selection import PredefinedSplit
from tqdm import tqdm

from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn._random import RandomState, draw_seed, seed_nested
from hybridlearn._splits import Split, folds
from hybridlearn.crossfit._ledger import Ledger
from hybridlearn.crossfit._member import (
    FittedFold,
    FoldFit,
    MemberError,
    check_is_estimator,
    check_task,
    frozen_parts,
    takes_weights,
)
from hybridlearn.crossfit._out_of_fold import BLEND, OutOfFold
from hybridlearn.crossfit._units import fit_unit, plan_units
from hybridlearn.table import TrainingRows, read_raw_table, read_training_rows

Members = Sequence[tuple[str, Any]]


def cross_fit(
    estimators: Members,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    sample_weight: Any = None,
    groups: Any = None,
    on_error: str = "raise",
    n_jobs: int | None = None,
    random_state: RandomState = None,
    verbose: int = 0,
) -> OutOfFold:
    """Fit every member on every fold's training part and take its margins of the rows it never saw.

    Parameters
    ----------
    estimators : list of (str, estimator)
        All classifiers or all regressors. Members see class codes 0, 1, ..., as in scikit-learn's stacking.
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
        Handed to the members as it is.
    y : array-like of shape (n_rows,)
    cv : int, splitter or iterable of (train, test), default=5
        An int gives shuffled folds, stratified in classification, by `groups` where given. Each row may be in at
        most one test part.
    sample_weight : array-like of shape (n_rows,), optional
        Rows of weight 0 are dropped before the folds are made.
    groups : array-like of shape (n_rows,), optional
        Rows of a group share a fold, and a side of each inner split.
    on_error : {"raise", "skip"}, default="raise"
        What a failing member does; "skip" leaves it out with a warning.
    n_jobs : int or None, default=None
        Processes over members and folds.
    random_state : int, RandomState or None, default=None
        Seeds folds and members; a seed that a member brings is kept.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    OutOfFold

    Raises
    ------
    MemberError
        Naming the member that failed.
    TypeError
        When members are not all of one task.
    ValueError
        On data or folds that cannot be used.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> oof = cross_fit([("bayes", GaussianNB())], X, y, random_state=0)
    >>> oof.margins["bayes"].shape, oof.coverage
    ((569, 1), 1.0)
    >>> oof.ledger.assert_leak_free()
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'")
    rows, classes, splits, seed = begin(estimators, X, y, sample_weight, groups, cv, random_state)
    with tqdm(total=len(estimators) * len(splits), desc="cross_fit", unit="fit", disable=not verbose) as bar:
        return cross_fit_rows(
            estimators,
            rows,
            splits,
            classes=classes,
            weighted=sample_weight is not None,
            on_error=on_error,
            n_jobs=n_jobs,
            seed=seed,
            on_fit=lambda name: bar.update(),
        )


def begin(
    estimators: Members, X: Any, y: Any, sample_weight: Any, groups: Any, cv: Any, random_state: RandomState
) -> tuple[TrainingRows, np.ndarray | None, list[Split], int]:
    """Validate what was handed to a cross-fit: its rows, the classes (None in regression), folds and seed."""
    check_members(estimators)
    classification = is_classifier(estimators[0][1])
    head = (ClassifierHead if classification else RegressorHead)()
    rows = read_training_rows(head, X, y, sample_weight, groups, reader=_read_for_anybody)
    seed = draw_seed(random_state)
    classes = head.classes_ if classification else None
    return rows, classes, make_splits(cv, rows, classes=classes, seed=seed), seed


def _read_for_anybody(estimator: Any, X: Any, *, reset: bool) -> Any:
    return read_raw_table(X)


def check_members(estimators: Members, *, classification: bool | None = None, reserved: Collection[str] = ()) -> None:
    """A clear error on an empty list, names that repeat or are taken, or members of the other task.

    Parameters
    ----------
    estimators : list of (str, estimator)
    classification : bool or None, default=None
        The task of all members; None takes the first one's.
    reserved : collection of str, default=()
        Names that something else has.
    """
    if not estimators:
        raise ValueError("estimators is empty; give at least one (name, estimator)")
    for item in estimators:
        if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
            raise TypeError(f"estimators must hold (name, estimator) pairs, got {item!r}")
        check_is_estimator(*item)
    names = [name for name, _ in estimators]
    bad = {name for name in names if names.count(name) > 1 or "__" in name or name in {BLEND, *reserved}}
    if bad:
        raise ValueError(
            f"names of estimators must be unique, without '__', not {BLEND!r} and no parameter's; got {sorted(bad)}"
        )
    if classification is None:
        classification = is_classifier(estimators[0][1])
    for name, estimator in estimators:
        check_task(name, estimator, classification=classification)


def make_splits(cv: Any, rows: TrainingRows, *, classes: np.ndarray | None, seed: int) -> list[Split]:
    """Folds of the rows: shuffled for an int, else those of the splitter.

    An int above the rows of a class gives a warning that names the class; some training parts then lack it.

    Raises
    ------
    ValueError
        When a class has one row, a row is in two test parts, a part is empty, or train and test share a row.
    """
    if classes is not None:
        _check_class_counts(rows.target, classes, int(cv) if isinstance(cv, Integral) else 0)
    codes = None if classes is None else rows.target
    if isinstance(cv, Integral):
        return folds(codes, rows.groups, n_rows=len(rows), n_splits=int(cv), seed=seed)
    if isinstance(cv, PredefinedSplit):
        cv = list(cv.split())
    if hasattr(cv, "split"):
        splits = list(_seeded(cv, seed).split(rows.X, rows.target, rows.groups))
    else:
        splits = [(_kept(rows, train), _kept(rows, test)) for train, test in cv]
    if not splits or any(len(train) == 0 or len(test) == 0 for train, test in splits):
        raise ValueError("cv gave no split, or one with an empty part")
    if any(np.intersect1d(train, test).size for train, test in splits):
        raise ValueError("cv gave a split whose train and test parts share rows")
    if np.bincount(np.concatenate([test for _, test in splits])).max() > 1:
        raise ValueError("cv puts a row into two test parts; give a splitter that tests each row at most once")
    return splits


def _seeded(splitter: Any, seed: int) -> Any:
    """A shuffling splitter that brings no seed gets one, as members do; the user's own is left as it is."""
    if getattr(splitter, "random_state", 0) is None and getattr(splitter, "shuffle", True):
        splitter = copy(splitter)
        splitter.random_state = seed
    return splitter


def _check_class_counts(target: np.ndarray, classes: np.ndarray, n_splits: int) -> None:
    counts, labels = np.bincount(target), classes.tolist()
    if counts.min() < 2:
        raise ValueError(
            f"class {labels[counts.argmin()]!r} has one row (n_samples = 1), which cannot be learned and "
            "predicted; drop it or merge it with another class"
        )
    rare = [label for label, count in zip(labels, counts, strict=True) if count < n_splits]
    if rare:
        warnings.warn(
            f"classes {rare} have fewer rows than cv={n_splits}: some training parts lack them; lower cv or merge "
            "classes",
            UserWarning,
            stacklevel=5,
        )


def _kept(rows: TrainingRows, positions: Any) -> np.ndarray:
    """Positions among the rows of positive weight, of those that are given as positions in all rows."""
    positions = np.asarray(positions)
    if positions.size and not (positions.min() >= 0 and positions.max() < rows.n_handed):
        raise ValueError(
            f"cv names row positions {positions.min()} to {positions.max()}, but X has rows 0 to {rows.n_handed - 1}"
        )
    found = np.searchsorted(rows.positions, positions).clip(max=len(rows) - 1)
    return found[rows.positions[found] == positions]


def cross_fit_rows(
    members: Members,
    rows: TrainingRows,
    splits: list[Split],
    *,
    classes: np.ndarray | None,
    weighted: bool,
    on_error: str,
    n_jobs: int | None,
    seed: int,
    on_fit: Callable[[str], object],
    weights: dict[str, np.ndarray] | None = None,
) -> OutOfFold:
    """The engine behind :func:`cross_fit`, on rows and folds that are already made.

    `on_fit` is called with the member's name after each fit. Seeds are drawn before anything is fitted, so that
    results do not depend on `n_jobs`. Members may have `weights` of their own, of shape (n_rows,): rows of weight 0
    are then left out of the member's training parts, not of its test parts.
    """
    _warn_unweighted(members, weighted)
    rng = np.random.RandomState(seed)
    n_classes = 0 if classes is None else len(classes)
    fits = [
        FoldFit(name, seed_nested(clone(estimator), rng), *_weighted(rows, split, (weights or {}).get(name)))
        for name, estimator in members
        for split in splits
    ]
    units = plan_units(fits, n_classes=n_classes, weighted=weighted)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(fit_unit)([fits[i] for i in unit], n_classes=n_classes, weighted=weighted, seed=seed) for unit in units
    )
    outcomes: dict[int, FittedFold] = {}
    failed: dict[str, str] = {}
    for unit, result in zip(units, results, strict=True):
        for i, outcome in zip(unit, result, strict=True):
            if not isinstance(outcome, MemberError):
                outcomes[i] = outcome
            elif on_error == "raise":
                raise outcome
            else:
                failed.setdefault(fits[i].name, str(outcome))
            on_fit(fits[i].name)
    for message in failed.values():
        warnings.warn(f"{message}; it is left out (on_error='skip')", UserWarning, stacklevel=2)
    fitted: dict[str, list[FittedFold]] = {name: [] for name, _ in members if name not in failed}
    if not fitted:
        raise MemberError(f"every member failed: {' | '.join(failed.values())}")
    for i, outcome in sorted(outcomes.items()):
        if fits[i].name in fitted:
            fitted[fits[i].name].append(outcome)
    return _collect(dict(members), fitted, failed, rows, splits, classes)


def _weighted(rows: TrainingRows, split: Split, weight: np.ndarray | None) -> tuple[TrainingRows, Split]:
    """Rows and a fold under a member's own weights."""
    if weight is None:
        return rows, split
    train, test = split
    return replace(rows, weight=weight), (train[weight[train] > 0], test)


def _warn_unweighted(members: Members, weighted: bool) -> None:
    unweighted = [name for name, estimator in members if weighted and not takes_weights(estimator)]
    if unweighted:
        warnings.warn(
            f"members {unweighted} take no sample_weight and are fitted without; the blend uses the weights",
            UserWarning,
            stacklevel=3,
        )


def _collect(
    members: dict[str, Any],
    fitted: dict[str, list[FittedFold]],
    failed: dict[str, str],
    rows: TrainingRows,
    splits: list[Split],
    classes: np.ndarray | None,
) -> OutOfFold:
    fold = np.full(len(rows), -1)
    for k, (_, test) in enumerate(splits):
        fold[test] = k
    n_outputs = 1 if classes is None or len(classes) == 2 else len(classes)
    margins, ledger = {}, Ledger()
    for name, parts in fitted.items():
        margins[name] = np.full((len(rows), n_outputs), np.nan)
        frozen = frozen_parts(members[name])
        for k, (part, (_, test)) in enumerate(zip(parts, splits, strict=True)):
            margins[name][test] = part.margin
            _record(ledger, name, k, part, test, frozen)
    return OutOfFold(
        margins=margins,
        fold=fold,
        target=rows.target,
        classes=classes,
        weight=rows.weight,
        positions=rows.positions,
        models={name: [part.model for part in parts] for name, parts in fitted.items()},
        fit_seconds={name: sum(part.seconds for part in parts) for name, parts in fitted.items()},
        failed=failed,
        ledger=ledger,
    )


def _record(ledger: Ledger, name: str, k: int, part: FittedFold, test: np.ndarray, frozen: list[str]) -> None:
    ledger.record("fit", name, k, fitted_on=part.fitted_on, predicted=test)
    if part.stopping_rows is not None and len(part.stopping_rows):
        ledger.record("early stopping", name, k, fitted_on=part.stopping_rows, predicted=test)
    for path in frozen:
        ledger.record(f"{name}__{path}" if path else name, name, k, fitted_on=None, predicted=test)
