"""Units of work: a member on a fold, or many of them computed as one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from hybridlearn._protocols import Fit, FitsTogether
from hybridlearn.crossfit._margin import FoldModel
from hybridlearn.crossfit._member import (
    FittedFold,
    FoldFit,
    MemberError,
    fit_fold,
    fit_params,
    gapless,
    no_news_of_levels,
    starting_among,
)
from hybridlearn.resampling import Drawn

Outcome = FittedFold | MemberError


def plan_units(fits: Sequence[FoldFit], *, n_classes: int, weighted: bool) -> list[list[int]]:
    """Which fits are computed as one: positions in `fits`, by unit.

    The plan hangs on estimators and rows alone, not on how many processes there are: so results do not either.
    """
    units: dict[Hashable, list[int]] = defaultdict(list)
    for i, fit in enumerate(fits):
        likeness = fit.estimator.likeness() if isinstance(fit.estimator, FitsTogether) else None
        units[i if likeness is None else likeness].append(i)
    return [part for unit in units.values() for part in _parts(unit, fits, n_classes, weighted)]


def _parts(unit: list[int], fits: Sequence[FoldFit], n_classes: int, weighted: bool) -> list[list[int]]:
    if len(unit) == 1:
        return [unit]
    first = _plain_fit(fits[unit[0]], fits[unit[0]].drawn(), n_classes, weighted)
    # a fold that lacks all classes but one is fitted by no member of ours
    most = 1 if first is None else first.estimator.n_together(first, [fits[i].estimator for i in unit])
    n_parts = -(-len(unit) // most)
    return [unit[k * len(unit) // n_parts : (k + 1) * len(unit) // n_parts] for k in range(n_parts)]


def _plain_fit(fit: FoldFit, drawn: Drawn, n_classes: int, weighted: bool) -> Fit | None:
    """The fit as the estimator gets it; None where the training part has one class only."""
    training, weighted = drawn.rows, weighted or drawn.is_weighted
    present, target = gapless(training.target, n_classes)
    if present is not None and len(present) == 1:
        return None
    training = starting_among(training, present, n_classes)
    return Fit(fit.estimator, training.X, target, fit_params(fit.estimator, training, weighted=weighted))


def fit_unit(fits: Sequence[FoldFit], *, n_classes: int, weighted: bool, seed: int) -> list[Outcome]:
    """Fit the members of a unit and read the margins of their test parts, or the error of each."""
    outcomes: dict[int, Outcome] = {}
    drawn = [fit.drawn() for fit in fits] if len(fits) > 1 else []
    plain = {i: _plain_fit(fits[i], own, n_classes, weighted) for i, own in enumerate(drawn)}
    together = {i: fit for i, fit in plain.items() if fit is not None}
    if together:
        started = time.perf_counter()
        errors = fits[0].estimator.fit_together(list(together.values()))
        seconds = (time.perf_counter() - started) / len(together)
        outcomes = {i: fits[i].failed(error) for i, error in zip(together, errors, strict=True) if error is not None}
        fitted = {i: _model(fits[i], drawn[i], n_classes) for i in together if i not in outcomes}
        with no_news_of_levels():
            # a fit on all rows has none to predict
            margins = {i: _margin(model, fits[i].test) for i, model in fitted.items() if len(fits[i].split[1])}
        for i in fitted:
            margin = margins.get(i, np.empty((0, 1)))
            is_lost = isinstance(margin, Exception)
            outcomes[i] = fits[i].failed(margin) if is_lost else fits[i].fitted(fitted[i], margin, seconds, drawn[i])
    for i, fit in enumerate(fits):
        if i not in outcomes:
            outcomes[i] = fit_fold(fit, n_classes=n_classes, weighted=weighted, seed=seed)
    return [outcomes[i] for i in range(len(fits))]


def _model(fit: FoldFit, drawn: Drawn, n_classes: int) -> FoldModel:
    rows = drawn.rows
    present, _ = gapless(rows.target, n_classes)
    is_step = rows.base_margin is not None
    return FoldModel(fit.estimator, len(rows), present, n_classes, shift=drawn.shift, is_step=is_step)


def _margin(model: FoldModel, table: Any) -> Any:
    """The margin of a model, or its error."""
    try:
        return model.margin(table)
    except Exception as error:
        return error
