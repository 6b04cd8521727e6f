"""What of an array goes into JSON, and how its bits lie among the arrays of a file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hybridlearn.persistence._archive import ModelFileError, NotStorableError

# Kinds that safetensors has names for; the bits of the others (dates, text, records) lie there as plain bytes.
_NAMED = "biuf"
_PLAIN_TYPE = re.compile(r"[<|]([biufc]\d{1,2}|[USV]\d{1,9}|[mM]8(\[\d{0,4}[a-zA-Z]{1,2}\])?)")
_LARGEST_NUMBER = 8


def pack(array: np.ndarray, path: str) -> tuple[dict[str, Any], np.ndarray]:
    """What is to be known of an array, and what is to be stored.

    That it was in Fortran's order is told: sums may hang on it.
    """
    is_transposed = array.flags.f_contiguous and not array.flags.c_contiguous
    known = {"dtype": describe(array.dtype, path), "transposed": is_transposed}
    stored = np.require(array.T if is_transposed else array, requirements="C").reshape(
        array.shape[:: 1 - 2 * is_transposed]
    )
    if array.dtype.kind not in _NAMED:
        known["shape"] = list(stored.shape)
        stored = np.frombuffer(stored.tobytes(), np.uint8)
    return known, stored


def unpack(known: dict[str, Any], stored: np.ndarray) -> np.ndarray:
    """An array of its own bits, which can be written to."""
    dtype = dtype_of(known["dtype"])
    if "shape" in known:
        array = np.frombuffer(bytearray(stored.tobytes()), dtype).reshape(known["shape"])
    else:
        array = np.array(stored)
    if array.dtype != dtype:
        raise ModelFileError(f"an array is of type {array.dtype}, not {dtype} as it should be")
    return array.T if known["transposed"] else array


def describe(dtype: np.dtype, path: str) -> Any:
    """A type in JSON: its name, or names, types and offsets of the fields of a record."""
    if dtype.names is not None:
        assert dtype.fields is not None
        fields = [[name, describe(dtype.fields[name][0], path), dtype.fields[name][1]] for name in dtype.names]
        return {"fields": fields, "size": dtype.itemsize}
    too_wide = dtype.kind in "biufc" and dtype.itemsize > _LARGEST_NUMBER * (1 + (dtype.kind == "c"))
    is_plain = dtype.hasobject or _PLAIN_TYPE.fullmatch(dtype.str)
    if dtype.itemsize == 0 or too_wide or dtype.subdtype or not is_plain:
        raise NotStorableError(f"{path} has the dtype {dtype}, which cannot be stored")
    return dtype.str


def dtype_of(known: Any) -> np.dtype:
    """The type that was described."""
    if isinstance(known, dict):
        names, types, offsets = zip(*known["fields"], strict=True)
        formats = [dtype_of(one) for one in types]
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": known["size"]})
    if not (known == "|O" or _PLAIN_TYPE.fullmatch(known)):
        raise ModelFileError(f"{known!r} is no type of an array")
    return np.dtype(known)
