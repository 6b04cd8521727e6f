"""Fits that end by a deadline: the most gain a second first, each as long as its share, and what was cut is told."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone

from hybridlearn._clock import Deadline
from hybridlearn.crossfit._member import FittedFold, FoldFit
from hybridlearn.crossfit._pace import (
    FEWEST_ROWS,
    LEAST_LIMIT,
    Pace,
    find_pace,
    limit_name,
    limited,
    sample_of,
    timed_out,
)
from hybridlearn.crossfit._running import Running, run_units
from hybridlearn.crossfit._units import Outcome, plan_units

# Of the time, what small fits may take that tell how fast the members are.
PROBE_SHARE = 0.05
# A small fit that takes no more of it is followed by a larger one in any case.
_LITTLE = 0.01
# Of the time of a member with a limit, what may go into all but the learning (encoding, binning, predicting), and what
# may if it could not be fitted otherwise.
_OVERHEAD, _MOST_OVERHEAD = 0.2, 0.7
# Times what others are expected to need is left to them.
_SLACK = 1.2
# Of the time, what must be left to find out how fast somebody is: it may have a library to load.
_WORTH_A_LOOK = 0.1
# A sample that leaves room in its share is followed by a larger one: by so much of the room, and at most so many times.
_ROOM, _GROWTH = 0.7, 8.0
STOPPED = "stopped early at its share"
SAMPLE = "sample of "
SKIPPED = "skipped: "


@dataclass(eq=False)
class _Member:
    """The fits of one member: their positions among all, how many make it useful, and how fast they are."""

    name: str
    positions: list[int]
    fits: list[FoldFit]
    n_needed: int
    is_extra: bool = False
    pace: Pace | None = None

    @property
    def has_limit(self) -> bool:
        return limit_name(self.fits[0].estimator) is not None

    @property
    def n_train(self) -> int:
        return max(len(fit.split[0]) for fit in self.fits)

    def seconds(self, n_workers: int) -> float:
        """Of the fits it needs, of a member with a limit the least; infinite where nothing is known."""
        if self.pace is None:
            return math.inf
        each = [self.pace.fit_seconds(len(fit.split[0])) + self.prediction(fit) for fit in self.fits]
        return float(np.mean(each)) * self._n_rounds(n_workers)

    def at_ease(self, n_workers: int) -> float:
        """Seconds of all its fits where nothing cuts them short; infinite where nothing is known."""
        if self.pace is None or not self.has_limit:
            return self.seconds(n_workers)
        return self.seconds(n_workers) + self.pace.at_ease * self.n_train * -(-len(self.fits) // n_workers)

    def _n_rounds(self, n_workers: int) -> int:
        return -(-self.n_needed // n_workers)

    def prediction(self, fit: FoldFit) -> float:
        """Seconds that the prediction of a test part takes."""
        return 0.0 if self.pace is None else self.pace.a_prediction * len(fit.split[1])

    def size_within(self, seconds: float, n_workers: int) -> int:
        """Rows of a training part with which its fits are done in so many seconds; 0 where there are none."""
        if self.pace is None:
            return self.n_train
        a_fit = seconds / self._n_rounds(n_workers)
        return self.pace.rows_within(a_fit - max(map(self.prediction, self.fits)), self.n_train)


class Budget:
    """Does fits, member by member, until the deadline of `running`.

    Whoever has a parameter ``time_limit`` gets an equal share of the time that is left; others run as long as they
    run, and are skipped where that is foreseen to be longer than there is time. The first member is one with a limit,
    where there is one, else the fastest; it is always fitted: if need be, on a sample of the rows of each training
    part. The extras of `running` come last, in their order, and only where there is time for all rows of their folds.

    Parameters
    ----------
    fits : sequence of FoldFit
        Those of one name are one member's; not changed.
    how : dict
        The other arguments of :func:`fit_unit`.
    running : Running
        With a deadline.
    least : int or None, default=None
        Of a member's fits, how many make it useful; None is all.
    is_needed : bool, default=True
        Whether a member must be fitted, however long it takes.

    Attributes
    ----------
    cut : dict of str to str
        What was cut of each member; "" where nothing was.
    skipped : list of str
        Members that have fewer than `least` fits.
    """

    def __init__(
        self,
        fits: Sequence[FoldFit],
        how: dict[str, Any],
        running: Running,
        *,
        least: int | None = None,
        is_needed: bool = True,
    ):
        assert running.deadline is not None
        self.how = how
        self.running = running
        self.deadline: Deadline = running.deadline
        self.n_workers = effective_n_jobs(running.n_jobs)
        positions = defaultdict(list)
        for i, fit in enumerate(fits):
            positions[fit.name].append(i)
        self.members = [
            _Member(name, own, [fits[i] for i in own], least or len(own), name in running.extras)
            for name, own in positions.items()
        ]
        self.cut: dict[str, str] = {}
        self.skipped: list[str] = []
        self._has_model = not is_needed

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Which fit has ended, and what it leaves behind or its error."""
        if not self.members:
            return
        whole = self.deadline.left()
        self._probe()
        order = self._order()
        for k, member in enumerate(order):
            worth = 0.0 if member.pace is not None else _WORTH_A_LOOK * whole
            if self._has_model and self.deadline.left() <= worth:
                self._skip(member, "no time was left")
                continue
            if member.pace is None:
                self._find_pace(member, self.deadline.part(PROBE_SHARE))
            yield from self._fit(member, order[k + 1 :])

    def _probe(self) -> None:
        """Find the pace of the members, while there is time for it."""
        until = self.deadline.part(PROBE_SHARE)
        # one with a limit can be the first; of others one must know how long they take
        first = self._first_ones()
        safe = [member for member in first if member.has_limit]
        order = [*safe[:1], *(member for member in first if not member.has_limit), *safe[1:]]
        for k, member in enumerate(order):
            if k and until.is_over:
                break
            self._find_pace(member, until.part(1 / (len(order) - k)))

    def _first_ones(self) -> list[_Member]:
        """All but the extras, where there are others."""
        return [member for member in self.members if not member.is_extra] or self.members

    def _find_pace(self, member: _Member, until: Deadline) -> None:
        little = _LITTLE * max(self.deadline.left(), 0.0)
        largest = max(member.fits, key=lambda fit: len(fit.split[0]))
        member.pace = find_pace(largest, self.how, until, little=little)

    def _order(self) -> list[_Member]:
        """The most gain a second first; but before all one that surely ends in time.

        Those that will need their whole share come in the order in which they were given.
        """
        ones = self._first_ones()
        share = max(self.deadline.left(), LEAST_LIMIT) / len(ones)

        def gain(member: _Member) -> float:
            if member.pace is None:
                return -1.0
            seconds = member.seconds(self.n_workers)
            if member.has_limit and member.at_ease(self.n_workers) > share:
                return 1 / share
            return member.pace.gain / max(seconds, member.at_ease(self.n_workers), LEAST_LIMIT)

        order = sorted(ones, key=gain, reverse=True)
        safe = [member for member in order if member.has_limit]
        # of these, one that can see all rows in its share; or else the one that does the least
        fast = [member for member in safe if member.seconds(self.n_workers) <= _OVERHEAD * share]
        fastest = sorted(safe or order, key=lambda member: member.seconds(self.n_workers))
        first = (fast or fastest)[0]
        order = [first, *(member for member in order if member is not first)]
        return order + [member for member in self.members if member not in order]

    def _fit(self, member: _Member, others: list[_Member]) -> Iterator[tuple[int, Outcome]]:
        """Fit a member, on all rows or on a sample; or skip it."""
        is_needed = not self._has_model
        until = self.deadline.before(self._needs(others)) if member.has_limit else self.deadline
        if member.has_limit:
            share, size = until, 0
            for until, part in ((share, _OVERHEAD), (share, _MOST_OVERHEAD), (self.deadline, _MOST_OVERHEAD)):
                size = member.size_within(part * until.left(), self.n_workers)
                if size:
                    break
        else:
            is_fast = member.pace is None or member.seconds(self.n_workers) <= until.left()
            size = member.n_train if is_fast else 0
            if not is_fast and is_needed:
                size = member.size_within(until.left(), self.n_workers)
        if member.is_extra and not is_needed and size < member.n_train:
            size = 0
        if not size and not is_needed:
            self._skip(member, f"some {member.seconds(self.n_workers):.2g} s expected, {until.left():.2g} s left")
            return
        size = max(size, min(FEWEST_ROWS, member.n_train))
        n_done, errors, sampled, was_stopped = 0, 0, [], False
        for i, outcome in self._run(member, size, until, is_needed=is_needed):
            if isinstance(outcome, FittedFold):
                n_done += 1
                if len(outcome.fitted_on) < len(member.fits[member.positions.index(i)].split[0]):
                    sampled.append(len(outcome.fitted_on))
                was_stopped = was_stopped or timed_out(outcome.model.estimator)
            else:
                errors += 1
            yield i, outcome
        if n_done + errors < member.n_needed:
            self._skip(member, f"{n_done} of its {len(member.fits)} fits took too long for the rest")
            return
        self._has_model = self._has_model or not errors
        told = [f"{SAMPLE}{_span(sampled)} rows"] if sampled else []
        told += [STOPPED] if was_stopped else []
        told += [f"{n_done} of {len(member.fits)} fits"] if n_done + errors < len(member.fits) else []
        self.cut[member.name] = ", ".join(told)

    def _needs(self, members: list[_Member]) -> float:
        """Seconds that members will need, an equal share of what is left at most: what they leave, others may take."""
        left = max(self.deadline.left(), 0.0)
        members = [member for member in members if not member.is_extra]
        share = left / (len(members) + 1)
        return sum(
            min(share, _SLACK * member.at_ease(self.n_workers))
            for member in members
            # of who will be skipped, nothing; of who is not known, the most
            if member.has_limit or member.pace is None or member.seconds(self.n_workers) <= left
        )

    def _run(self, member: _Member, size: int, until: Deadline, *, is_needed: bool) -> Iterator[tuple[int, Outcome]]:
        """The units of a member; ends early where the rest would not be done in time, unless it is needed."""
        fits = self._sampled(member, size)
        units = plan_units(fits, n_classes=self.how["n_classes"], weighted=self.how["weighted"])
        n_at_once = 1 if self.n_workers == 1 else len(units)
        begun, n_done = self.deadline.clock(), 0
        for k in range(0, len(units), n_at_once):
            batch, ends = units[k : k + n_at_once], self.deadline.clock()
            n_rounds = -(-(len(units) - k) // self.n_workers)
            # workers that share a machine are slower than one alone
            n_rounds += self.n_workers > 1 and n_rounds > 1
            share = until.part(1 / n_rounds).left()
            ready = [self._limited(member, [fits[i] for i in unit], share) for unit in batch]
            for unit, outcomes in zip(batch, run_units(ready, self.how, self.running), strict=True):
                yield from zip((member.positions[i] for i in unit), outcomes, strict=True)
                n_done += len(unit)
                began, ends = ends, self.deadline.clock()
                a_fit = (ends - begun) / n_done
                if n_done == len(fits):
                    return
                ahead = max(member.n_needed - n_done, 1)
                if self._is_too_late(member, a_fit * ahead):
                    if not is_needed or n_done >= member.n_needed:
                        return
                    size = self._smaller(member, size, a_fit, ahead)
                elif member.has_limit and size < member.n_train:
                    size = min(member.n_train, int(size * min(max(1.0, _ROOM * share / (ends - began)), _GROWTH)))
                fits = self._sampled(member, size)

    def _is_too_late(self, member: _Member, seconds: float) -> bool:
        """Whether fits that take so long would not be done in time."""
        # those with a limit are told how much is left
        return self.deadline.is_over if member.has_limit else seconds > self.deadline.left()

    def _smaller(self, member: _Member, size: int, a_fit: float, n_left: int) -> int:
        """Rows of a sample, where fits so far have taken longer than was foreseen."""
        if member.pace is None:
            return size
        pace = member.pace.corrected(max(1.0, a_fit / member.pace.fit_seconds(size)))
        found = pace.rows_within(self.deadline.left() * self.n_workers / n_left, size)
        return max(found, min(FEWEST_ROWS, size))

    def _limited(self, member: _Member, unit: list[FoldFit], share: float) -> list[FoldFit]:
        """The fits of a unit, told how long they may take, with the predictions that follow them."""
        share -= sum(map(member.prediction, unit))
        if not member.has_limit:
            return unit
        seconds = max(share, LEAST_LIMIT)
        return [replace(fit, estimator=limited(clone(fit.estimator), seconds), known_as=fit.estimator) for fit in unit]

    def _sampled(self, member: _Member, size: int) -> list[FoldFit]:
        is_coded, seed = self.how["n_classes"] > 0, self.how["seed"]
        return [
            fit
            if size >= len(fit.split[0])
            else replace(
                fit,
                split=(
                    sample_of(fit.rows.target if is_coded else None, fit.split[0], size, seed=(seed + k) % 2**32),
                    fit.split[1],
                ),
            )
            for k, fit in enumerate(member.fits)
        ]

    def _skip(self, member: _Member, why: str) -> None:
        self.cut[member.name] = f"{SKIPPED}{why}"
        self.skipped.append(member.name)


def _span(sizes: list[int]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{most}" if least == most else f"{least} to {most}"


def tell_of_cuts(cut: dict[str, str]) -> None:
    """One warning that names the members that were skipped, and those that did not see all rows; none, no warning."""
    gone = {name: told.removeprefix(SKIPPED) for name, told in cut.items() if told.startswith(SKIPPED)}
    small = [name for name, told in cut.items() if told.startswith(SAMPLE)]
    reasons = "; ".join(f"{name}: {why}" for name, why in gone.items())
    said = [f"members {sorted(gone)} were skipped ({reasons})"] if gone else []
    said += [f"members {small} were trained on samples of the rows"] if small else []
    if said:
        warnings.warn(
            f"time_limit was short: {', and '.join(said)}; raise time_limit, or leave slow members out",
            UserWarning,
            stacklevel=5,
        )
