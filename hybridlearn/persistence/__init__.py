"""Model files without pickle: reading one never runs what is in it."""

from hybridlearn.persistence._archive import ModelFileError, NotStorableError
from hybridlearn.persistence._file import VersionWarning, about, load, save, versions

__all__ = ["ModelFileError", "NotStorableError", "VersionWarning", "about", "load", "save", "versions"]
