"""Features of single levels: what the target is like there, and how often they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from sklearn.preprocessing import TargetEncoder

from hybridlearn.features._seen import Guide, Seen, is_text
from hybridlearn.table import fit_target_codes, target_codes

# A column of two levels says as much as its target code.
_FEWEST_LEVELS = 3


class Unsupervised:
    """A family that never looks at the target: training rows are as any others."""

    def training_columns(self, seen: Seen, guide: Guide) -> Iterator[np.ndarray]:
        """As :meth:`columns`."""
        return self.columns(seen)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """The features, one by one."""
        raise NotImplementedError


class LevelTargets:
    """Cross-fitted target codes of integer codes, whatever these stand for: the part that several families share."""

    def __init__(self, labels: Sequence[str]):
        self.names = [f"target({label})" for label in labels]
        self._encoders: list[TargetEncoder] = []

    def named(self, outputs: Sequence[str]) -> list[str]:
        """Names of the features: one a column, in multiclass one a class."""
        return [f"{name}{output}" for name in self.names for output in outputs]

    def training_columns(self, codes: Iterator[np.ndarray], guide: Guide) -> Iterator[np.ndarray]:
        """Learn, and give the training rows the codes of folds that they are not in."""
        self._encoders = []
        for column in codes:
            coded, encoder = fit_target_codes(
                column[:, None], guide.rows, classification=guide.classification, seed=guide.seed
            )
            self._encoders.append(encoder)
            yield from coded.T

    def columns(self, codes: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Codes of new rows."""
        for encoder, column in zip(self._encoders, codes, strict=True):
            yield from target_codes(encoder, column[:, None]).T


class LevelCounts:
    """How many of the training rows have a code, as log(1 + count); 0 for one never seen."""

    def __init__(self, labels: Sequence[str]):
        self.names = [f"count({label})" for label in labels]
        self._log_counts: list[np.ndarray] = []

    def fit(self, codes: Iterator[np.ndarray]) -> Self:
        """Count."""
        # the first slots are those of UNSEEN = -2 and MISSING = -1
        counts = [np.bincount(column + 2, minlength=2) for column in codes]
        self._log_counts = [np.log1p(np.append(count, 0)).astype(np.float32) for count in counts]
        return self

    def columns(self, codes: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Of any rows; codes beyond those counted were never seen."""
        for log_count, column in zip(self._log_counts, codes, strict=True):
            yield log_count[np.minimum(column + 2, len(log_count) - 1)]


def many_levels(seen: Seen) -> dict[int, str]:
    """Positions and names of the categorical columns of more than two levels that are no text."""
    return {
        j: str(column.name)
        for j, column in enumerate(seen.schema.categorical)
        if len(column.levels) >= _FEWEST_LEVELS and not is_text(column)
    }


class Targets:
    """Of each category, the target's smoothed mean in its level: of those of most levels, where rows are few."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        names = many_levels(seen)
        by_levels = sorted(names, key=lambda j: -len(seen.schema.categorical[j].levels))
        self._columns = by_levels[: guide.most_coded]
        self._targets = LevelTargets([names[j] for j in self._columns])
        self.names = self._targets.named(guide.labels)
        return self

    def training_columns(self, seen: Seen, guide: Guide) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        return self._targets.training_columns(map(seen.codes, self._columns), guide)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        return self._targets.columns(map(seen.codes, self._columns))


class Counts(Unsupervised):
    """Of each category, how often its level came; of a row, how many values are missing."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        names = many_levels(seen)
        self._columns = list(names)
        self._counts = LevelCounts(list(names.values())).fit(map(seen.codes, self._columns))
        self._has_gaps = any(column.n_missing for column in seen.schema.columns)
        self.names = [*self._counts.names, *(["missing values"] if self._has_gaps else [])]
        return self

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        yield from self._counts.columns(map(seen.codes, self._columns))
        if self._has_gaps:
            n_missing = np.zeros(len(seen), dtype=np.float32)
            for i in range(seen.X.shape[1]):
                n_missing += seen.X.iloc[:, i].isna().to_numpy()
            yield n_missing
