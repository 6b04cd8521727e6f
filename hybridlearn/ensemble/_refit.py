"""Members fitted once more on all rows, where folds leave some out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from hybridlearn._protocols import StopsEarly
from hybridlearn._random import seed_nested
from hybridlearn.crossfit import FoldFit, FoldModel, OutOfFold, Running, fit_fronts, fit_in_time
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.resampling import Resampling


def refitted(
    members: Members,
    oof: OutOfFold,
    work: Work,
    *,
    running: Running,
    n_each: int = 1,
    resampling: Resampling | None = None,
    front: Any = None,
) -> dict[str, list[FoldModel]]:
    """Rows that no test part holds must not be lost: each member once more (`n_each` times), on all rows.

    Who stops early runs for the rounds or epochs that it found on the largest training part. Where there is no time
    for it, that is the model that stays.
    """
    rng = np.random.RandomState(work.seed)
    everything, nothing = np.arange(len(work.rows)), np.empty(0, dtype=np.int64)
    (whole,) = fit_fronts(
        front,
        work.rows,
        [(everything, nothing)],
        classification=work.classes is not None,
        weighted=work.weighted,
        rng=rng,
        n_jobs=running.n_jobs,
    )
    longest = {name: max(models, key=lambda model: model.n_train) for name, models in oof.models.items()}
    fits = [
        FoldFit(
            name,
            seed_nested(_as_long_as(fitted.estimator, clone(member)), rng),
            whole.rows,
            (everything, nothing),
            resampling=resampling.seeded(rng) if resampling else None,
        )
        for name, member in members
        if (fitted := longest.get(name)) is not None
        for _ in range(n_each)
    ]
    parts, _ = fit_in_time(fits, work.how, running, on_fit=lambda name: None, least=1, is_needed=False)
    models: dict[str, list[FoldModel]] = {name: [] for name in longest}
    for i, part in sorted(parts.items()):
        models[fits[i].name].append(part.behind(whole.transformer).model)
    for name, own in models.items():
        if not own:
            own.append(longest[name])
            if oof.cut is not None:
                told = [oof.cut.get(name, ""), "not refitted on all rows"]
                oof.cut[name] = ", ".join(filter(None, told))
    return models


def _as_long_as(fitted: Any, member: Any) -> Any:
    """The member, told to run as long as a fitted one of its kind found best."""
    prefix = ""
    while hasattr(fitted, "steps"):
        step, fitted = fitted.steps[-1]
        prefix += f"{step}__"
    if isinstance(fitted, StopsEarly):
        member.set_params(**{f"{prefix}{name}": value for name, value in fitted.rounds_found().items()})
    return member
