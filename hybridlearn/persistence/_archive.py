"""The container of a model file: a zip of stored parts whose sizes and hashes are known before one is read."""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from hybridlearn._files import replacing

MANIFEST = "manifest.json"
FORMAT = 1
# One folder deep, nothing that a file system could take for something else.
_PART = re.compile(r"(objects\.json|arrays\.safetensors|(boosters|sklearn)/\d{1,9}\.(ubj|skops))")
_LARGEST_MANIFEST = 2**24


class ModelFileError(ValueError):
    """A model file cannot be read: damaged, altered, foreign or of a later version."""


class NotStorableError(TypeError):
    """Something in a model cannot be stored; the message says what and where."""


def write_archive(path: Path, parts: dict[str, bytes], about: dict[str, Any]) -> None:
    """Write parts and what is to be known of them, all or nothing: to a temporary name, which is then moved.

    Parameters
    ----------
    path : Path
        What is there is replaced.
    parts : dict of str to bytes
        By their names inside.
    about : dict
        Goes into the manifest.
    """
    files = {name: {"size": len(part), "sha256": sha256(part).hexdigest()} for name, part in parts.items()}
    manifest = json.dumps({"format": FORMAT, **about, "files": files}, indent=1).encode()
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, part in {MANIFEST: manifest, **parts}.items():
            # no dates: equal models are equal files (but for parts of skops, which numbers what it stores by chance)
            archive.writestr(zipfile.ZipInfo(name), part)


class Archive:
    """Parts of a model file, of which each is checked as it is read.

    Nothing in the file is compressed, so nothing is larger than it is; what the directory of the zip, the manifest and
    the bytes say of a part must be the same.
    """

    def __init__(self, file: BinaryIO):
        size = file.seek(0, io.SEEK_END)
        self._zip = zipfile.ZipFile(file)
        self._infos = checked_directory(self._zip, size)
        if MANIFEST not in self._infos:
            raise ModelFileError("it has no manifest: it is no model file")
        if self._infos[MANIFEST].file_size > _LARGEST_MANIFEST:
            raise ModelFileError("its manifest is too large")
        self.manifest = _read_manifest(self._zip.read(MANIFEST))
        self.size = size
        self._files = self.manifest["files"]
        self._unread = set(self._files)
        if set(self._files) != set(self._infos) - {MANIFEST}:
            raise ModelFileError("it holds other parts than its manifest says")
        for name, told in self._files.items():
            if not _PART.fullmatch(name):
                raise ModelFileError(f"part {name!r} has a name that no model file has")
            if told["size"] != self._infos[name].file_size:
                raise ModelFileError(f"part {name!r} has another size than the manifest says")

    def read(self, name: str) -> bytes:
        """The bytes of a part, once: many of one would be more than the file holds."""
        if name not in self._unread:
            raise ModelFileError(f"part {name!r} is {'asked for twice' if name in self._files else 'missing'}")
        self._unread.remove(name)
        part = self._zip.read(name)
        if sha256(part).hexdigest() != self._files[name]["sha256"]:
            raise ModelFileError(f"part {name!r} has been altered: its hash is not that of the manifest")
        return part


def checked_directory(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Entries by name, of a zip of `size` bytes: none twice, none compressed, none larger than the file."""
    infos = archive.infolist()
    if len({info.filename for info in infos}) < len(infos):
        raise ModelFileError("it holds two parts of one name")
    for info in infos:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ModelFileError(f"part {info.filename!r} is no plain file")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ModelFileError(f"part {info.filename!r} is compressed, which no part of a model file is")
    if sum(info.file_size for info in infos) > size:
        raise ModelFileError("its parts are larger than the file")
    return {info.filename: info for info in infos}


def _read_manifest(raw: bytes) -> dict[str, Any]:
    manifest = json.loads(raw)
    number = manifest["format"]
    if not isinstance(number, int) or number < 1:
        raise ModelFileError(f"format {number!r} is none that ever was")
    if number > FORMAT:
        raise ModelFileError(
            f"it is of format {number}, written by hybridlearn {manifest.get('versions', {}).get('hybridlearn')}; this "
            f"one reads up to {FORMAT}: update hybridlearn"
        )
    versions = manifest["versions"]
    if not (isinstance(versions, dict) and all(type(text) is str for item in versions.items() for text in item)):
        raise ModelFileError("its manifest tells no versions")
    return manifest


def reading(path: Path, read: Callable[[Archive], Any]) -> Any:
    """What `read` makes of a model file; whatever is wrong with it is a ModelFileError that names it."""
    with path.open("rb") as file:
        try:
            return read(Archive(file))
        except ModelFileError as error:
            raise ModelFileError(f"{path} cannot be loaded: {error}") from error.__cause__
        except Exception as error:
            # a damaged file may break anything: the zip, the JSON, an array, a booster
            raise ModelFileError(
                f"{path} cannot be loaded: it is damaged or no model file ({type(error).__name__}: {error})"
            ) from error
