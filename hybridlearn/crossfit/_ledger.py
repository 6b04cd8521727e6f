"""Who saw which rows: the proof that no out-of-fold number comes from its own target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


class LeakError(AssertionError):
    """A number for a row comes from a step that was, or may have been, fitted with that row's target."""


@dataclass(frozen=True)
class Entry:
    """One step that was fitted on some rows and gave numbers for others.

    Attributes
    ----------
    step : str
        ``"fit"``, ``"early stopping"``, ``"blend weights"``, ``"calibration"``, or the path of a frozen part.
    member, fold
        Whose step, in which fold.
    fitted_on : ndarray of int or None
        Rows whose target it saw; None when nobody knows: then it is taken to be any.
    predicted : ndarray of int
        Rows it gave numbers for.
    order : int
        1: it saw targets itself. 2: it saw out-of-fold numbers of models that have seen targets of `predicted`;
        recorded and named, not a leak.
    """

    step: str
    member: str
    fold: int
    fitted_on: np.ndarray | None
    predicted: np.ndarray
    order: int = 1

    @property
    def shared(self) -> np.ndarray:
        """Rows on both sides."""
        if self.fitted_on is None:
            return self.predicted
        return np.intersect1d(self.fitted_on, self.predicted)


@dataclass
class Ledger:
    """Every step of a cross-fit with the rows it was fitted on and the rows it gave numbers for.

    Rows are positions in the table that was cross-fitted. It speaks of what went through the engine: what was done
    to `X` before, :func:`leak_canary` may find.

    Attributes
    ----------
    entries : list of Entry

    Examples
    --------
    >>> import numpy as np
    >>> ledger = Ledger()
    >>> ledger.record("fit", "trees", 0, fitted_on=np.array([0, 1, 2]), predicted=np.array([3, 4]))
    >>> ledger.assert_leak_free()
    >>> ledger.record("fit", "net", 0, fitted_on=np.array([0, 1, 3]), predicted=np.array([3, 4]))
    >>> ledger.assert_leak_free()
    Traceback (most recent call last):
    ...
    hybridlearn.crossfit._ledger.LeakError: fit of 'net' in fold 0 was fitted on 1 of the rows it predicted: 3
    """

    entries: list[Entry] = field(default_factory=list)

    def record(
        self,
        step: str,
        member: str,
        fold: int,
        *,
        fitted_on: np.ndarray | None,
        predicted: np.ndarray,
        order: int = 1,
    ) -> None:
        """Add one :class:`Entry`."""
        self.entries.append(Entry(step, member, fold, fitted_on, predicted, order))

    def record_fit(
        self, member: str, fold: int, fitted_on: np.ndarray, stopping_rows: np.ndarray | None, predicted: np.ndarray
    ) -> None:
        """Add a member's fit, and what stopped it early."""
        self.record("fit", member, fold, fitted_on=np.unique(fitted_on), predicted=predicted)
        if stopping_rows is not None and len(stopping_rows):
            self.record("early stopping", member, fold, fitted_on=stopping_rows, predicted=predicted)

    def extended(self, entries: Iterable[Entry]) -> Ledger:
        """A ledger with these entries more."""
        return Ledger([*self.entries, *entries])

    @property
    def frame(self) -> pd.DataFrame:
        """One row an entry: step, member, fold, order, and numbers of rows (-1: unknown)."""
        rows = [
            (e.step, e.member, e.fold, e.order, -1 if e.fitted_on is None else len(e.fitted_on), len(e.predicted),
             len(e.shared))
            for e in self.entries
        ]  # fmt: skip
        columns = ["step", "member", "fold", "order", "n_fitted_on", "n_predicted", "n_shared"]
        return pd.DataFrame(rows, columns=columns)

    def assert_leak_free(self, *, trust: Collection[str] = ()) -> None:
        """Raise unless no step gave a number for a row whose target it saw.

        Parameters
        ----------
        trust : collection of str, default=()
            Paths of frozen parts, as the error names them, that you vouch for: fitted elsewhere, or without the
            target.

        Raises
        ------
        LeakError
            Naming step, member, fold and rows.
        """
        for entry in self.entries:
            if not len(entry.shared) or (entry.fitted_on is None and entry.step in trust):
                continue
            who = f"{entry.step} of {entry.member!r} in fold {entry.fold}"
            if entry.fitted_on is None:
                raise LeakError(
                    f"{who} came fitted and may have seen the target of every row; fit it inside the folds (no "
                    f"FrozenEstimator, no method of a fitted estimator), or vouch for it: "
                    f"assert_leak_free(trust=[{entry.step!r}])"
                )
            rows = ", ".join(map(str, entry.shared[:5])) + (", ..." if len(entry.shared) > 5 else "")
            raise LeakError(f"{who} was fitted on {len(entry.shared)} of the rows it predicted: {rows}")

    def assert_in_order(self, time: np.ndarray) -> None:
        """Raise unless every step was fitted on rows that are earlier than all that it gave numbers for.

        Rows that stopped a training early must be later than those that trained.

        Parameters
        ----------
        time : ndarray of shape (n_rows,)
            Of the rows of the table: sortable.

        Raises
        ------
        LeakError
            Naming step, member and fold.
        """
        time = np.asarray(time)
        for what, before, after in self._sides():
            if len(before) and len(after) and time[before].max() >= time[after].min():
                raise LeakError(f"{what} crosses time")

    def assert_grouped(self, groups: np.ndarray) -> None:
        """Raise unless no step has a group on both sides; rows that stopped a training early are a side too.

        Parameters
        ----------
        groups : ndarray of shape (n_rows,)

        Raises
        ------
        LeakError
            Naming step, member and fold.
        """
        groups = np.asarray(groups)
        for what, before, after in self._sides():
            if len(np.intersect1d(groups[before], groups[after])):
                raise LeakError(f"{what} tears a group apart")

    def _sides(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """What each step learned from and what it gave numbers for; and each inner split of a training."""
        # the rows that stop a training come after those of its fit, of which a member may have several in a fold
        fits: dict[tuple[str, int], np.ndarray] = {}
        for e in self.entries:
            if e.fitted_on is None:
                continue
            where = f"{e.step} of {e.member!r} in fold {e.fold}"
            yield where, e.fitted_on, e.predicted
            if e.step == "fit":
                fits[e.member, e.fold] = e.fitted_on
            elif e.step == "early stopping" and (e.member, e.fold) in fits:
                trained = np.setdiff1d(fits[e.member, e.fold], e.fitted_on)
                yield f"the inner split for {where}", trained, e.fitted_on
