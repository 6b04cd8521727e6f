"""Moments: where they stand in the day, the week and the year, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd

from hybridlearn.features._levels import Unsupervised
from hybridlearn.features._seen import Guide, Seen
from hybridlearn.table import DATETIME, to_datetime

_DAY = 86_400.0


class Dates(Unsupervised):
    """Of each datetime: sine and cosine of the cycles that it goes through; days between two of them."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        found = [i for i, column in enumerate(seen.schema.columns) if column.kind == DATETIME]
        self._columns = [i for i in found if seen.schema.columns[i].n_missing < len(seen)]
        name_of = {i: str(seen.schema.columns[i].name) for i in self._columns}
        self._cycles = {i: _moving_cycles(_moments(seen, i)) for i in self._columns}
        cycles = [f"{wave}({cycle} of {name_of[i]})" for i in self._columns for cycle in self._cycles[i] for wave in
                  ("sin", "cos")]  # fmt: skip
        self.names = cycles + [f"days({name_of[i]} - {name_of[j]})" for i, j in combinations(self._columns, 2)]
        return self

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        moments = {i: _moments(seen, i) for i in self._columns}
        for i in self._columns:
            cycles = _cycles(moments[i])
            for cycle in self._cycles[i]:
                yield np.sin(2 * np.pi * cycles[cycle])
                yield np.cos(2 * np.pi * cycles[cycle])
        for i, j in combinations(self._columns, 2):
            yield ((moments[i] - moments[j]).dt.total_seconds() / _DAY).to_numpy()


def _moments(seen: Seen, i: int) -> pd.Series:
    return to_datetime(seen.X.iloc[:, i]).reset_index(drop=True)


def _cycles(when: pd.Series) -> dict[str, np.ndarray]:
    """Shares of a cycle that have passed, missing where the moment is."""
    of = when.dt
    in_day = (when - of.normalize()).dt.total_seconds() / _DAY
    parts = {
        "day": in_day,
        "week": (of.day_of_week + in_day) / 7,
        "month": (of.day - 1 + in_day) / of.days_in_month,
        "year": (of.day_of_year - 1 + in_day) / 366,
    }
    return {name: part.to_numpy(dtype=np.float64, na_value=np.nan) for name, part in parts.items()}


def _moving_cycles(when: pd.Series) -> list[str]:
    """The cycles in which the moments stand at more than one place."""
    cycles = _cycles(when)
    return [name for name, share in cycles.items() if len(np.unique(share[~np.isnan(share)])) > 1]
