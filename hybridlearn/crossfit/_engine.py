"""The one engine: every member on every fold's training part, predicting the rows it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone, is_classifier
from tqdm import tqdm

from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn._random import RandomState, draw_seed, seed_nested
from hybridlearn._splits import Split
from hybridlearn.crossfit._budget import Budget, tell_of_cuts
from hybridlearn.crossfit._folds import make_splits
from hybridlearn.crossfit._fronts import fit_fronts, record_fronts
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
from hybridlearn.crossfit._pace import LEAST_LIMIT, limited
from hybridlearn.crossfit._running import Running, run_units
from hybridlearn.crossfit._units import plan_units
from hybridlearn.resampling import Resampling
from hybridlearn.table import TrainingRows, read_raw_table, read_training_rows

Members = Sequence[tuple[str, Any]]
# Of the time, what a transformer in front of all members may take.
_FRONT_SHARE = 0.2


def cross_fit(
    estimators: Members,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    sample_weight: Any = None,
    groups: Any = None,
    time: Any = None,
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
    time : array-like of shape (n_rows,), optional
        Numbers or datetimes: folds, and inner splits, train on earlier rows than they test. Folds of a splitter that
        all do so in the order of the rows, as `TimeSeriesSplit`, say as much without it.
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
    rows, classes, splits, seed = begin(estimators, X, y, sample_weight, groups, cv, random_state, time=time)
    with tqdm(total=len(estimators) * len(splits), desc="cross_fit", unit="fit", disable=not verbose) as bar:
        return cross_fit_rows(
            estimators,
            rows,
            splits,
            classes=classes,
            weighted=sample_weight is not None,
            on_error=on_error,
            seed=seed,
            running=Running(n_jobs),
            on_fit=lambda name: bar.update(),
        )


def begin(
    estimators: Members,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    cv: Any,
    random_state: RandomState,
    *,
    time: Any = None,
) -> tuple[TrainingRows, np.ndarray | None, list[Split], int]:
    """Validate what was handed to a cross-fit: its rows, the classes (None in regression), folds and seed."""
    check_members(estimators)
    classification = is_classifier(estimators[0][1])
    head = (ClassifierHead if classification else RegressorHead)()
    rows = read_training_rows(head, X, y, sample_weight, groups, reader=_read_for_anybody, time=time)
    seed = draw_seed(random_state)
    classes = head.classes_ if classification else None
    rows, splits = make_splits(cv, rows, classes=classes, seed=seed)
    return rows, classes, splits, seed


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


def cross_fit_rows(
    members: Members,
    rows: TrainingRows,
    splits: list[Split],
    *,
    classes: np.ndarray | None,
    weighted: bool,
    on_error: str,
    seed: int,
    running: Running,
    on_fit: Callable[[str], object],
    weights: dict[str, np.ndarray] | None = None,
    least: int | None = None,
    resampling: Resampling | None = None,
    front: Any = None,
) -> OutOfFold:
    """The engine behind :func:`cross_fit`, on rows and folds that are already made.

    `on_fit` is called with the member's name after each fit. Seeds are drawn before anything is fitted, so that
    results do not depend on `running`. Members may have `weights` of their own, of shape (n_rows,): rows of weight 0
    are then left out of the member's training parts, not of its test parts. `resampling` is done to each training part,
    with a seed of its own; `front`, a transformer, is fitted on it before that, once for all members. Under a deadline
    of `running` members are fitted as :class:`Budget` says; of one member, `least` folds are then enough.
    """
    warn_unweighted(members, weighted)
    rng = np.random.RandomState(seed)
    seeded = [
        (name, seed_nested(clone(estimator), rng), resampling.seeded(rng) if resampling else None)
        for name, estimator in members
        for _ in splits
    ]
    fronts = fit_fronts(
        _in_time(front, len(splits), running),
        rows,
        splits,
        classification=classes is not None,
        weighted=weighted,
        rng=rng,
        n_jobs=running.n_jobs,
    )
    fits = [
        FoldFit(name, estimator, *_weighted(own.rows, split, (weights or {}).get(name)), resampling=drawing)
        for (name, estimator, drawing), own, split in zip(seeded, cycle(fronts), cycle(splits), strict=False)
    ]
    n_classes = 0 if classes is None else len(classes)
    parts: dict[int, FittedFold] = {}
    failed: dict[str, str] = {}
    how = {"n_classes": n_classes, "weighted": weighted, "seed": seed}
    budget = None if running.deadline is None else Budget(fits, how, running, least=least)
    for i, outcome in _outcomes(fits, how, running) if budget is None else budget.outcomes():
        if not isinstance(outcome, MemberError):
            parts[i] = outcome.behind(fronts[i % len(splits)].transformer)
        elif on_error == "raise":
            raise outcome
        else:
            failed.setdefault(fits[i].name, str(outcome))
        on_fit(fits[i].name)
    for message in failed.values():
        warnings.warn(f"{message}; it is left out (on_error='skip')", UserWarning, stacklevel=2)
    lost = {*failed, *(budget.skipped if budget else ())}
    fitted: dict[str, list[FittedFold]] = {name: [] for name, _ in members if name not in lost}
    if not fitted:
        raise MemberError(f"every member failed: {' | '.join(failed.values())}")
    if budget is not None:
        tell_of_cuts({name: told for name, told in budget.cut.items() if name not in running.extras})
    for i, part in sorted(parts.items()):
        if fits[i].name in fitted:
            fitted[fits[i].name].append(part)
    # fewer than all only where `least` says so, and then of the one member
    tests = [test for k, (_, test) in enumerate(splits) if any(i % len(splits) == k for i in parts)]
    fold = np.full(len(rows), -1)
    for k, test in enumerate(tests):
        fold[test] = k
    cut = None if budget is None else budget.cut
    oof = collect(dict(members), fitted, tests, fold, rows, classes, failed=failed, cut=cut)
    if front is not None:
        record_fronts(oof.ledger, splits)
    return oof


def _in_time(front: Any, n_folds: int, running: Running) -> Any:
    """A transformer in front, told to take its share of the time that is left if it has a limit."""
    if front is None or running.deadline is None:
        return front
    n_rounds = -(-n_folds // effective_n_jobs(running.n_jobs))
    return limited(clone(front), max(_FRONT_SHARE * running.deadline.left() / n_rounds, LEAST_LIMIT))


def _weighted(rows: TrainingRows, split: Split, weight: np.ndarray | None) -> tuple[TrainingRows, Split]:
    """Rows and a fold under a member's own weights."""
    if weight is None:
        return rows, split
    train, test = split
    return replace(rows, weight=weight), (train[weight[train] > 0], test)


def warn_unweighted(members: Members, weighted: bool) -> None:
    """Name the members that weights do not reach, once."""
    unweighted = [name for name, estimator in members if weighted and not takes_weights(estimator)]
    if unweighted:
        warnings.warn(
            f"members {unweighted} take no sample_weight and are fitted without",
            UserWarning,
            stacklevel=3,
        )


def fit_in_time(
    fits: Sequence[FoldFit],
    how: dict[str, Any],
    running: Running,
    *,
    on_fit: Callable[[str], object],
    least: int | None = None,
    is_needed: bool = True,
) -> tuple[dict[int, FittedFold], dict[str, str]]:
    """Do the fits that there is time for, those of one likeness as one.

    Parameters
    ----------
    fits : sequence of FoldFit
    how : dict
        ``n_classes`` (0 in regression), ``weighted`` (whether the user gave weights) and ``seed``.
    running : Running
        Without a deadline all fits are done.
    on_fit : callable
        Called with the member's name after each fit.
    least : int, optional
        Of a member, how many fits make it useful; those of one that has fewer are left out. Default: all.
    is_needed : bool, default=True
        Whether a member must be fitted, however long it takes.

    Returns
    -------
    parts : dict of int to FittedFold
        What each leaves behind, by its position.
    cut : dict of str to str
        What was cut, by name.

    Raises
    ------
    MemberError
        The first, at once.
    """
    parts: dict[int, FittedFold] = {}
    budget = None if running.deadline is None else Budget(fits, how, running, least=least, is_needed=is_needed)
    for i, outcome in _outcomes(fits, how, running) if budget is None else budget.outcomes():
        if isinstance(outcome, MemberError):
            raise outcome
        parts[i] = outcome
        on_fit(fits[i].name)
    if budget is None:
        return parts, {}
    return {i: part for i, part in parts.items() if fits[i].name not in budget.skipped}, budget.cut


def _outcomes(
    fits: Sequence[FoldFit], how: dict[str, Any], running: Running
) -> Iterator[tuple[int, FittedFold | MemberError]]:
    """Which fit has ended, and what it leaves behind or its error."""
    units = plan_units(fits, n_classes=how["n_classes"], weighted=how["weighted"])
    for unit, outcomes in zip(units, run_units([[fits[i] for i in unit] for unit in units], how, running), strict=True):
        yield from zip(unit, outcomes, strict=True)


def collect(
    members: dict[str, Any],
    fitted: dict[str, list[FittedFold]],
    tests: list[np.ndarray],
    fold: np.ndarray,
    rows: TrainingRows,
    classes: np.ndarray | None,
    *,
    failed: dict[str, str] | None = None,
    cut: dict[str, str] | None = None,
) -> OutOfFold:
    """The table of fits of each member; a row's margin is the mean over the models whose test part holds it.

    Parameters
    ----------
    members : dict of str to estimator
    fitted : dict of str to list of FittedFold
    tests : list of ndarray of int
        Test part of each model of a member.
    fold : ndarray of shape (n_rows,)
        The part of the rows that is left out together when weights and temperature are judged; -1 where no test part
        holds the row.
    rows : TrainingRows
    classes : ndarray or None
    failed, cut : dict of str to str, optional
    """
    n_outputs = 1 if classes is None or len(classes) == 2 else len(classes)
    count = np.bincount(np.concatenate(tests), minlength=len(rows))
    margins, ledger = {}, Ledger()
    for name, parts in fitted.items():
        total = np.zeros((len(rows), n_outputs))
        frozen = frozen_parts(members[name])
        for k, (part, test) in enumerate(zip(parts, tests, strict=True)):
            total[test] += part.margin
            _record(ledger, name, k, part, test, frozen)
        margins[name] = np.full_like(total, np.nan)
        np.divide(total, count[:, None], out=margins[name], where=count[:, None] > 0)
    return OutOfFold(
        margins=margins,
        fold=fold,
        target=rows.target,
        classes=classes,
        weight=rows.weight,
        positions=rows.positions,
        is_ordered=rows.time is not None,
        tests=tests,
        models={name: [part.model for part in parts] for name, parts in fitted.items()},
        fit_seconds={name: sum(part.seconds for part in parts) for name, parts in fitted.items()},
        failed=failed or {},
        ledger=ledger,
        cut=cut,
    )


def _record(ledger: Ledger, name: str, k: int, part: FittedFold, test: np.ndarray, frozen: list[str]) -> None:
    ledger.record_fit(name, k, part.fitted_on, part.stopping_rows, test)
    for path in frozen:
        ledger.record(f"{name}__{path}" if path else name, name, k, fitted_on=None, predicted=test)
