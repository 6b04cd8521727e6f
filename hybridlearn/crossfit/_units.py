"""Units of work: a member on a fold, or many of them computed as one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Sequence

from hybridlearn._protocols import Fit, FitsTogether
from hybridlearn.crossfit._margin import FoldModel, fold_margins
from hybridlearn.crossfit._member import (
    FittedFold,
    FoldFit,
    MemberError,
    fit_fold,
    fit_params,
    gapless,
    no_news_of_levels,
)

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
    first = _plain_fit(fits[unit[0]], n_classes, weighted)
    # a fold that lacks all classes but one is fitted by no member of ours
    most = 1 if first is None else first.estimator.n_together(first.X, first.y, **first.params)
    n_parts = -(-len(unit) // max(1, most))
    return [unit[k * len(unit) // n_parts : (k + 1) * len(unit) // n_parts] for k in range(n_parts)]


def _plain_fit(fit: FoldFit, n_classes: int, weighted: bool) -> Fit | None:
    """The fit as the estimator gets it; None where the training part has one class only."""
    training = fit.training
    present, target = gapless(training.target, n_classes)
    if present is not None and len(present) == 1:
        return None
    return Fit(fit.estimator, training.X, target, fit_params(fit.estimator, training, weighted=weighted))


def fit_unit(fits: Sequence[FoldFit], *, n_classes: int, weighted: bool, seed: int) -> list[Outcome]:
    """Fit the members of a unit and read the margins of their test parts, or the error of each."""
    plain = [_plain_fit(fit, n_classes, weighted) if len(fits) > 1 else None for fit in fits]
    together = [fit for fit, as_one in zip(fits, plain, strict=True) if as_one is not None]
    outcomes = iter(_fit_together(together, [fit for fit in plain if fit is not None], n_classes))
    return [
        fit_fold(fit, n_classes=n_classes, weighted=weighted, seed=seed) if as_one is None else next(outcomes)
        for fit, as_one in zip(fits, plain, strict=True)
    ]


def _fit_together(fits: list[FoldFit], plain: list[Fit], n_classes: int) -> list[Outcome]:
    if not fits:
        return []
    started = time.perf_counter()
    errors = fits[0].estimator.fit_together(plain)
    seconds = (time.perf_counter() - started) / len(fits)
    done = [fit for fit, error in zip(fits, errors, strict=True) if error is None]
    models = [
        FoldModel(fit.estimator, len(fit.split[0]), gapless(fit.rows.target[fit.split[0]], n_classes)[0], n_classes)
        for fit in done
    ]
    try:
        with no_news_of_levels():
            margins = fold_margins(models, [fit.test for fit in done])
    except Exception as error:
        return [fit.failed(own or error) for fit, own in zip(fits, errors, strict=True)]
    fitted = iter([fit.fitted(*its, seconds) for fit, its in zip(done, zip(models, margins, strict=True), strict=True)])
    return [next(fitted) if error is None else fit.failed(error) for fit, error in zip(fits, errors, strict=True)]
