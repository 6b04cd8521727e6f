"""How much time there is: one clock that nobody sets, and the moments on it by which work must end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def now() -> float:
    """Seconds that only go forward."""
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """When work must end.

    Attributes
    ----------
    end : float
        On the clock.
    clock : callable
        Gives the seconds so far.
    """

    end: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, seconds: float | None, clock: Callable[[], float] | None = None) -> Deadline | None:
        """So many seconds from now; None where there is no limit."""
        if seconds is None:
            return None
        clock = clock or now
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds that are left, below 0 when it is over."""
        return self.end - self.clock()

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.left() <= 0

    def part(self, share: float) -> Deadline:
        """The deadline by which this share of what is left has gone."""
        return Deadline(self.end - (1 - share) * max(self.left(), 0.0), self.clock)

    def before(self, seconds: float) -> Deadline:
        """A deadline so many seconds earlier."""
        return Deadline(self.end - seconds, self.clock)
