"""What small fits tell of large ones: seconds as a power law of rows, and what there is to gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from hybridlearn._clock import Deadline
from hybridlearn._row_losses import row_losses
from hybridlearn.crossfit._margin import FoldModel
from hybridlearn.crossfit._member import FittedFold, FoldFit, fit_fold, no_news_of_levels
from hybridlearn.table import TrainingRows, take_rows

# Rows of the first small fit; each that follows has so many times as many.
FEWEST_ROWS = 250
_GROWTH = 4
_WARM_UP_ROWS = 50
# A first fit that takes so many times what is little is not repeated.
_WORTH_ANOTHER = 10
# Of the rows of a small fit, the share that judges it.
_APART = 0.2
# A limit under which a member of ours does the least that it can.
LEAST_LIMIT = 1e-3
_STEEPEST = 3.0
# Of the seconds of a small fit, the share that grows with the rows, whatever was measured.
_LEAST_GROWING = 0.1
# Rows that are predicted to see how long it takes: more where few take less than so many seconds.
_PREDICTED, _TELLING = (1000, 10_000), 0.05


@dataclass(frozen=True)
class Pace:
    """How fast a member is.

    Attributes
    ----------
    sizes, seconds : tuple of float
        Rows and seconds of small fits, in the order of rows; of a member with a limit, of the least that it does.
    a_prediction : float
        Seconds a row that is predicted.
    gain : float
        Share of the loss of the constant prediction that a small fit takes away, on rows kept apart.
    at_ease : float
        Seconds a row of a fit that nothing cut short; infinite where none was that.
    """

    sizes: tuple[float, ...]
    seconds: tuple[float, ...]
    a_prediction: float
    gain: float
    at_ease: float

    def fit_seconds(self, n_rows: float) -> float:
        """Of a fit of so many rows: between small fits by interpolation, beyond them by the power law of the last two.

        Where the exponent is below 1, they tell of a start that is the same for all sizes, and of a line.
        """
        sizes, seconds = np.array(self.sizes), np.maximum.accumulate(self.seconds)
        if n_rows <= sizes[-1]:
            return float(np.interp(n_rows, sizes, seconds))
        times = n_rows / sizes[-1]
        if len(sizes) == 1:
            return float(seconds[-1] * times)
        exponent = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
        if exponent >= 1:
            return float(seconds[-1] * times ** min(exponent, _STEEPEST))
        slope = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
        growing = max(slope * sizes[-1], _LEAST_GROWING * seconds[-1])
        return float(seconds[-1] + growing * (times - 1))

    def rows_within(self, seconds: float, most: int) -> int:
        """The most rows, up to `most`, whose fit takes no longer; 0 where even the fewest take longer."""
        if self.fit_seconds(most) <= seconds:
            return most
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.fit_seconds(middle) <= seconds else (low, middle)
        return low if low >= min(FEWEST_ROWS, most) else 0

    def corrected(self, factor: float) -> Pace:
        """The pace of fits that turn out to take so many times as long."""
        return replace(self, seconds=tuple(s * factor for s in self.seconds))


def limit_name(estimator: Any) -> str | None:
    """Name of the parameter that limits the seconds of a fit, that of a pipeline's last step with its prefix."""
    prefix = ""
    while hasattr(estimator, "steps"):
        step, estimator = estimator.steps[-1]
        prefix += f"{step}__"
    return f"{prefix}time_limit" if "time_limit" in estimator.get_params(deep=False) else None


def limited(estimator: Any, seconds: float) -> Any:
    """The estimator, told to fit no longer than that, or than its user has said; others as they are."""
    name = limit_name(estimator)
    if name is None:
        return estimator
    own = estimator.get_params(deep=True)[name]
    return estimator.set_params(**{name: seconds if own is None else min(own, seconds)})


def sample_of(codes: np.ndarray | None, among: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    """A random sample of positions, sorted; of each class (None in regression) its share, and two at least."""
    if size >= len(among):
        return among
    rng = np.random.RandomState(seed)
    if codes is None:
        return np.sort(rng.choice(among, size, replace=False))
    present, counts = np.unique(codes[among], return_counts=True)
    wanted = np.clip(np.round(size * counts / len(among)).astype(int), np.minimum(counts, 2), counts)
    chosen = [
        rng.choice(among[codes[among] == code], n, replace=False) for code, n in zip(present, wanted, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def find_pace(fit: FoldFit, how: dict[str, Any], until: Deadline, *, little: float = 0.0) -> Pace | None:
    """Fit a member on few rows, then on more while time is left: its pace; None where it fails on all.

    Parameters
    ----------
    fit : FoldFit
        One of the member's; it is left as it is.
    how : dict
        The other arguments of :func:`fit_fold`.
    until : Deadline
        Of all small fits, as far as they can be foreseen.
    little : float, default=0.0
        Seconds of a small fit after which another one, of more rows, is done in any case.
    """
    has_limit = limit_name(fit.estimator) is not None
    # of the time of a member with a limit, half is for the fit that shows what it can do
    least_until = until.part(0.5) if has_limit else until
    timed: dict[int, float] = {}
    size, most, gain = min(FEWEST_ROWS, len(fit.split[0])), len(fit.split[0]), 0.0
    trial = _Trial(fit, how, until.clock)
    warm = _warm_up(trial, min(_WARM_UP_ROWS, size), until, little)
    if warm is not None:
        timed[warm.n_rows], gain, model = warm.seconds, warm.gain, warm.model
    while warm is None:
        found = trial.run(size, LEAST_LIMIT if has_limit else None)
        if found is not None:
            timed[found.n_rows], gain, model = found.seconds, found.gain, found.model
        took = 0.0 if found is None else found.seconds
        # the least that a member does is mostly its start: one size alone says nothing of the slope
        enough = _GROWTH * little if has_limit and len(timed) < 2 else little
        if size == most or (took > enough and _GROWTH * took > least_until.left()):
            break
        size = min(_GROWTH * size, most)
    if not timed:
        return None
    a_prediction = trial.a_prediction(model)
    at_ease = np.inf
    if not has_limit:
        at_ease = timed[max(timed)] / max(timed)
    elif not until.is_over:
        found = trial.run(max(timed), until.left())
        if found is not None:
            gain = found.gain
            at_ease = np.inf if timed_out(found.model.estimator) else found.seconds / max(timed)
    seconds = tuple(max(s, 1e-6) for s in timed.values())
    return Pace(tuple(timed), seconds, a_prediction, gain, float(at_ease))


def _warm_up(trial: _Trial, size: int, until: Deadline, little: float) -> _Found | None:
    """A first fit of very few rows, which is kept only where it says that a larger one would take too long.

    What takes long only once, as loading a library, says nothing of the pace: if there is time, it is done twice.
    """
    has_limit = limit_name(trial.fit.estimator) is not None

    def is_slow(found: _Found | None) -> bool:
        return found is not None and found.seconds > little and FEWEST_ROWS / size * found.seconds > until.left()

    found = trial.run(size, LEAST_LIMIT if has_limit else None)
    if has_limit or not is_slow(found):
        return None
    if found is not None and found.seconds <= _WORTH_ANOTHER * little:
        found = trial.run(size, None)
    return found if is_slow(found) else None


@dataclass(frozen=True)
class _Found:
    n_rows: int
    seconds: float
    gain: float
    model: FoldModel


@dataclass(frozen=True)
class _Trial:
    """Small fits of a member, judged on rows kept apart."""

    fit: FoldFit
    how: dict[str, Any]
    clock: Callable[[], float]

    def run(self, size: int, limit: float | None) -> _Found | None:
        """One fit of so many rows; None where it fails: then there is nothing to be told of it."""
        rows, among = self.fit.rows, self.fit.split[0]
        classification, seed = self.how["n_classes"] > 0, self.how["seed"]
        chosen = sample_of(rows.target if classification else None, among, round(size / (1 - _APART)), seed=seed)
        few = rows.take(chosen)
        try:
            train, apart = few.sides(stratify=classification, fraction=_APART, seed=seed)
        except ValueError:
            # too few rows, groups or times for two sides
            train, apart = np.arange(len(few)), np.arange(len(few))
        estimator = clone(self.fit.estimator)
        if limit is not None:
            estimator = limited(estimator, limit)
        begun = self.clock()
        outcome = fit_fold(replace(self.fit, estimator=estimator, rows=few, split=(train, apart[:0])), **self.how)
        seconds = self.clock() - begun
        if not isinstance(outcome, FittedFold):
            return None
        try:
            with no_news_of_levels():
                margin = outcome.model.margin(take_rows(few.X, apart))
        except Exception:
            return None
        return _Found(len(train), seconds, _gain(margin, few, train, apart, self.how["n_classes"]), outcome.model)

    def a_prediction(self, model: FoldModel) -> float:
        """Seconds a row that is predicted."""
        for n_rows in _PREDICTED:
            table = take_rows(self.fit.rows.X, self.fit.split[0][:n_rows])
            begun = self.clock()
            with no_news_of_levels():
                model.margin(table)
            seconds = self.clock() - begun
            if seconds > _TELLING:
                break
        return seconds / min(n_rows, len(self.fit.split[0]))


def timed_out(estimator: Any) -> bool:
    """Whether a limit ended the training, of a pipeline's last step too."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return bool(getattr(estimator, "timed_out_", False))


def _gain(margin: np.ndarray, rows: TrainingRows, train: np.ndarray, apart: np.ndarray, n_classes: int) -> float:
    target, weight = rows.target[apart], rows.weight[apart]
    if rows.base_margin is not None:
        start = rows.base_margin[apart] if n_classes else np.zeros_like(margin)
    elif n_classes:
        shares = np.log((np.bincount(rows.target[train], minlength=n_classes) + 1) / (len(train) + n_classes))
        start = np.broadcast_to(shares[1:] - shares[:1] if n_classes == 2 else shares, margin.shape)
    else:
        start = np.full_like(margin, rows.target[train].mean())
    reached = margin + start if rows.base_margin is not None else margin
    before, after = (
        float(np.average(row_losses(m, target, classification=n_classes > 0), weights=weight)) for m in (start, reached)
    )
    return max(0.0, 1 - after / before) if before > 0 else 0.0
