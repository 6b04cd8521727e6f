"""Model files without pickle: reading one never runs what is in it."""

from hybridlearn.persistence._archive import ModelFileError
from hybridlearn.persistence._file import VersionWarning, about, load, save, versions
from hybridlearn.persistence._sklearn import NotStorableError

__all__ = ["ModelFileError", "NotStorableError", "VersionWarning", "about", "load", "save", "versions"]
