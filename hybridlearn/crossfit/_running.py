"""How fits are run: in which processes, from and to which folder, and by when."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joblib import delayed

from hybridlearn._clock import Deadline
from hybridlearn.crossfit._member import FoldFit
from hybridlearn.crossfit._parallel import run_jobs
from hybridlearn.crossfit._pieces import Pieces, fit_and_keep
from hybridlearn.crossfit._units import Outcome, fit_unit


@dataclass(frozen=True)
class Running:
    """What fits do not hang on, but how long they take and what is kept of them.

    Attributes
    ----------
    n_jobs : int or None
        Processes, as in joblib.
    pieces : Pieces, optional
        Where finished units are kept and found.
    deadline : Deadline, optional
        By when all is to be done; only then may results hang on it.
    extras : frozenset of str, default=frozenset()
        Members that, under a deadline, get what time the others leave, one after the other.
    """

    n_jobs: int | None = None
    pieces: Pieces | None = None
    deadline: Deadline | None = None
    extras: frozenset[str] = frozenset()


def run_units(units: list[list[FoldFit]], how: dict[str, Any], running: Running) -> Iterator[list[Outcome]]:
    """What each unit leaves behind, in their order; those that are kept are not fitted again.

    Parameters
    ----------
    units : list of list of FoldFit
    how : dict
        The other arguments of :func:`fit_unit`.
    running : Running
    """
    if running.pieces is None:
        yield from run_jobs([delayed(fit_unit)(unit, **how) for unit in units], running.n_jobs)
        return
    pieces = [running.pieces.piece(unit, how) for unit in units]
    kept = [piece.find(len(unit)) for piece, unit in zip(pieces, units, strict=True)]
    everything = zip(pieces, units, kept, strict=True)
    jobs = [delayed(fit_and_keep)(piece, unit, how) for piece, unit, found in everything if found is None]
    results, told = run_jobs(jobs, running.n_jobs), set()
    for unit, found in zip(units, kept, strict=True):
        if found is not None:
            yield [*found]
            continue
        outcomes, complaint = next(results)
        if complaint is not None and unit[0].name not in told:
            told.add(unit[0].name)
            warnings.warn(
                f"fits of member {unit[0].name!r} cannot be kept in checkpoint={str(running.pieces.folder)!r} "
                f"({complaint}); a fit that goes on does them again",
                UserWarning,
                stacklevel=2,
            )
        yield outcomes
