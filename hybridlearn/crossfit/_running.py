"""How fits are run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Running:
    """What fits do not hang on, but how long they take and what is kept of them.

    Attributes
    ----------
    n_jobs : int or None
        Processes, as in joblib.
    """

    n_jobs: int | None = None
