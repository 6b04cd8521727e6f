"""Parts that are skops's: estimators of scikit-learn, and what they are made of."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from skops.io import dumps, get_untrusted_types, loads

from hybridlearn.persistence._archive import ModelFileError, checked_directory
from hybridlearn.persistence._names import full_name


class NotStorableError(TypeError):
    """Something in a model cannot be stored; the message says what and where."""


def dump_sklearn(thing: Any, path: str) -> bytes:
    """Bytes of what skops knows, and loads without being told to trust it; `path` says where it was found."""
    cls = full_name(type(thing))
    try:
        blob = dumps(thing, compression=zipfile.ZIP_STORED)
        foreign = get_untrusted_types(data=blob)
    except Exception as error:
        raise NotStorableError(f"{path} is a {cls}, which skops cannot store: {error}") from error
    if foreign:
        raise NotStorableError(f"{path} is a {cls}, which cannot be stored: skops does not trust {', '.join(foreign)}")
    return blob


def load_sklearn(blob: bytes) -> Any:
    """What skops stored, of types that it trusts."""
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        checked_directory(archive, len(blob))
    foreign = get_untrusted_types(data=blob)
    if foreign:
        raise ModelFileError(f"it holds what skops does not trust: {', '.join(foreign)}")
    return loads(blob, trusted=[])
