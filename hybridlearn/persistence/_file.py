"""`save` and `load`."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from hybridlearn.persistence._archive import Archive, reading, write_archive
from hybridlearn.persistence._decode import decode
from hybridlearn.persistence._encode import encode
from hybridlearn.persistence._names import by_full_name

_LIBRARIES = ("hybridlearn", "numpy", "scikit-learn", "torch", "xgboost", "skops")


class VersionWarning(UserWarning):
    """A model file was written by other versions of the libraries than read it."""


def versions() -> dict[str, str]:
    """The installed versions of what a model is made of."""
    return dict(_installed())


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    # half of the time that a small file takes to load
    return ("python", platform.python_version()), *[(name, version(name)) for name in _LIBRARIES]


def save(model: Any, path: str | PathLike[str], *, notes: dict[str, str] | None = None) -> None:
    """Write a model to a file that can be read without running anything in it.

    One zip: parameters and state in JSON, arrays and nets as safetensors, boosters in xgboost's UBJ, compiled parts of
    scikit-learn by skops; and a manifest with versions and the size and SHA-256 of each part. There is no pickle in it.
    The file takes its name when all of it is written.

    Parameters
    ----------
    model : estimator
        Any estimator of this package, fitted or not, or one of scikit-learn, imbalanced-learn or xgboost, alone or as
        a member; few are refused. Modules and functions of your own are stored by name; :func:`load` needs them handed
        over. Estimators of your own are refused.
    path : path-like
        What is there is replaced. The usual ending is ``.hybrid``.
    notes : dict of str to str, optional
        What else is to be known of the model, such as the name of its target; :func:`about` tells it.

    Raises
    ------
    NotStorableError
        Naming what cannot be stored, and where in the model it is; nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(trees, Path(folder) / "trees.hybrid")
    ...     again = load(Path(folder) / "trees.hybrid")
    >>> bool((again.predict_proba(X) == trees.predict_proba(X)).all())
    True
    """
    kept = dict(notes or {})
    if not all(isinstance(text, str) for item in kept.items() for text in item):
        raise TypeError(f"notes must be texts by names, got {notes!r}")
    if isinstance(model, type):
        raise TypeError(f"save needs an estimator, and {model.__name__} is a class; did you forget its parentheses?")
    told = {"model": type(model).__name__, "versions": versions(), "notes": kept}
    write_archive(Path(path), encode(model), told)


def load(path: str | PathLike[str], *, trusted: Iterable[Any] = ()) -> Any:
    """Read a model that :func:`save` wrote; its predictions are the same to the last bit.

    A file may name classes of a fixed list only, and no code of it is run. Every size and hash is checked before what
    it belongs to is used. (A hash tells of damage; it does not tell who wrote the file.)

    Parameters
    ----------
    path : path-like
    trusted : iterable of classes and functions, default=()
        Your own that the model is made of, such as the module of a `ModuleClassifier` or a loss function. They are
        taken as they are given; nothing is imported for them.

    Returns
    -------
    estimator

    Raises
    ------
    ModelFileError
        When the file is damaged, altered or no model file, names what is neither known nor trusted, or was written in a
        later format.
    OSError
        When there is no file, or none that may be read.

    Warns
    -----
    VersionWarning
        When the file was written by other versions of the libraries; the model is loaded.
    """
    by_name = by_full_name(trusted)

    def read(archive: Archive) -> tuple[Any, dict[str, str]]:
        return decode(archive, by_name), archive.manifest["versions"]

    model, written = reading(Path(path), read)
    _compare(Path(path), written)
    return model


def about(path: str | PathLike[str]) -> dict[str, Any]:
    """The manifest of a model file: ``model``, ``versions``, ``notes``, and ``files`` with their sizes.

    Nothing else is read. Notes are not protected by a hash: they are told, never used by :func:`load`.
    """
    return reading(Path(path), lambda archive: archive.manifest)


def _compare(path: Path, written: dict[str, str]) -> None:
    here = versions()
    other = [f"{name} {written.get(name)} (here {here[name]})" for name in here if written.get(name) != here[name]]
    if other:
        warnings.warn(
            f"{path} was written with {', '.join(other)}; predictions may differ", VersionWarning, stacklevel=3
        )
