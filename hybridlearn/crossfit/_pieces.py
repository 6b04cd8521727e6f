"""Finished units in a folder: a fit that was killed goes on where it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from hybridlearn._files import replacing
from hybridlearn._random import draw_seed
from hybridlearn.crossfit._identity import Identities, NoIdentityError
from hybridlearn.crossfit._member import FittedFold, FoldFit, MemberError
from hybridlearn.crossfit._units import Outcome, fit_unit
from hybridlearn.persistence import ModelFileError, NotStorableError, load, save, versions
from hybridlearn.table import TrainingRows


@dataclass(frozen=True)
class Piece:
    """Where a unit is kept: under the hash of all that it hangs on.

    Attributes
    ----------
    folder : Path
    key : str
    named : tuple of class or function
        The code of the user that it names.
    reason : str or None
        Why it cannot be kept.
    """

    folder: Path
    key: str = ""
    named: tuple[Any, ...] = ()
    reason: str | None = None

    @property
    def path(self) -> Path:
        """Of its file, a model file."""
        return self.folder / f"{self.key}.hybrid"

    def find(self, n_fits: int) -> list[FittedFold] | None:
        """What is kept; None where there is nothing, or, with a warning, nothing that can be used."""
        if self.reason is not None or not self.path.exists():
            return None
        try:
            kept = load(self.path, trusted=self.named)
            if kept["key"] != self.key or len(kept["fits"]) != n_fits:
                raise ModelFileError(f"{self.path} holds another fit than its name says")
        except (ModelFileError, OSError, KeyError, TypeError) as error:
            warnings.warn(f"{error}; what it held is fitted again", UserWarning, stacklevel=2)
            return None
        return kept["fits"]

    def keep(self, fits: list[FittedFold]) -> str | None:
        """Keep a unit; why not, where it cannot be."""
        if self.reason is not None:
            return self.reason
        try:
            save({"key": self.key, "fits": fits}, self.path)
        except (NotStorableError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return None


@dataclass(frozen=True)
class Pieces:
    """A folder of finished units; several processes may use it at a time.

    Attributes
    ----------
    folder : Path
    time_limit : float or None
        Of all the fit: under another one, members are cut at other shares.
    identities : Identities
        Of what was asked for so far, as the table, which is that of all units.
    """

    folder: Path
    time_limit: float | None = None
    identities: Identities = field(default_factory=Identities, repr=False, compare=False)

    @classmethod
    def in_folder(cls, folder: str | PathLike[str], time_limit: float | None = None) -> Self:
        """Those of a folder, which is made where there is none."""
        if not str(folder):
            raise ValueError("checkpoint='' names no folder; '.' is the one you are in")
        path = Path(folder).expanduser()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"checkpoint={str(folder)!r} is no folder and cannot be made one: {error}") from error
        return cls(path, time_limit)

    def piece(self, unit: Sequence[FoldFit], how: dict[str, Any]) -> Piece:
        """Where a unit is kept."""
        try:
            fits = [(fit.known_as or fit.estimator, fit.resampling, *_told(fit.rows), *fit.split) for fit in unit]
            key = self.identities.key([versions(), self.time_limit, sorted(how.items()), fits])
        except NoIdentityError as error:
            return Piece(self.folder, reason=str(error))
        return Piece(self.folder, key, tuple(self.identities.named.values()))

    def seed(self, rows: TrainingRows, of: list[Any]) -> int:
        """The seed that was drawn for the first fit of these rows and things, and is that of the next ones too.

        Parameters
        ----------
        rows : TrainingRows
        of : list
            What else the fit hangs on.
        """
        try:
            key = self.identities.key([versions(), _told(rows), of])
        except NoIdentityError as error:
            warnings.warn(
                f"the seed of the fit cannot be kept ({error}); give random_state, lest the next fit draws another and "
                "begins anew",
                UserWarning,
                stacklevel=2,
            )
            return draw_seed(None)
        path = self.folder / f"{key}.seed.json"
        with FileLock(f"{path}.lock"):
            if path.exists():
                return int(json.loads(path.read_text())["seed"])
            seed = draw_seed(None)
            with replacing(path) as file:
                file.write(json.dumps({"seed": seed}).encode())
        return seed


def _told(rows: TrainingRows) -> tuple[Any, ...]:
    return rows.X, rows.target, rows.weight, rows.groups, rows.time, rows.base_margin


def fit_and_keep(piece: Piece, unit: Sequence[FoldFit], how: dict[str, Any]) -> tuple[list[Outcome], str | None]:
    """Fit a unit and keep it, in the process that fits it; with the reason where it cannot be kept."""
    outcomes = fit_unit(unit, **how)
    fits = [outcome for outcome in outcomes if not isinstance(outcome, MemberError)]
    # what has failed may not fail again
    return outcomes, piece.keep(fits) if len(fits) == len(outcomes) else None
