"""From a model to parts of a file: a list of nodes in JSON, of which each knows those before it, and bytes beside."""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_arrays
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from hybridlearn.persistence._names import full_name, name_of
from hybridlearn.persistence._sklearn import NotStorableError, dump_sklearn

_PLAIN = (bool, int, str, type(None))
_CONTAINERS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_DICTS: dict[type, str] = {dict: "dict", OrderedDict: "ordered dict", Bunch: "bunch"}
# Bits that safetensors cannot name are stored as integers.
_AS_INTEGERS = "mM"
_NUMERIC = "biuf"
_TEXT = "OU"


class Parts(NamedTuple):
    """What a model is in a file."""

    root: Any
    parts: dict[str, bytes]


def encode(model: Any) -> Parts:
    """The parts of a model, and the value that stands for it.

    Raises
    ------
    NotStorableError
    """
    encoder = _Encoder()
    root = encoder.value(model, type(model).__name__)
    return Parts(root, encoder.parts())


class _Encoder:
    """Makes nodes of objects, one of each: who is there twice is there twice again."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.blobs: dict[str, bytes] = {}
        # an object is kept, lest another gets its id
        self.known: dict[int, tuple[dict[str, int], Any]] = {}
        self.open: set[int] = set()

    def parts(self) -> dict[str, bytes]:
        objects = json.dumps(self.nodes, separators=(",", ":"), allow_nan=False).encode()
        return {"objects.json": objects, "arrays.safetensors": save_arrays(self.arrays), **self.blobs}

    def value(self, thing: Any, path: str) -> Any:
        """What stands for a thing in JSON: itself, or a reference to its node."""
        if type(thing) in _PLAIN:
            return thing
        if type(thing) is float:
            return thing if math.isfinite(thing) else {"float": str(thing)}
        if id(thing) in self.known:
            return self.known[id(thing)][0]
        if id(thing) in self.open:
            raise NotStorableError(f"{path} ({type(thing).__name__}) contains itself and cannot be stored")
        self.open.add(id(thing))
        node = self.node(thing, path)
        self.open.remove(id(thing))
        self.nodes.append(node)
        reference = {"#": len(self.nodes) - 1}
        self.known[id(thing)] = reference, thing
        return reference

    def node(self, thing: Any, path: str) -> dict[str, Any]:
        cls: type = type(thing)
        if cls in _CONTAINERS:
            return {"is": _CONTAINERS[cls], "items": [self.value(v, f"{path}[{i}]") for i, v in enumerate(thing)]}
        if cls in _DICTS:
            items = [[self.value(k, f"{path} (a key)"), self.value(v, f"{path}[{k!r}]")] for k, v in thing.items()]
            return {"is": _DICTS[cls], "items": items}
        if isinstance(thing, np.generic | np.ndarray | np.dtype | np.random.RandomState):
            return self.of_numpy(thing, path)
        if isinstance(thing, pd.DataFrame | pd.Series | pd.Index | pd.Timestamp | pd.api.extensions.ExtensionDtype):
            return self.of_pandas(thing, path)
        if cls is slice:
            return {"is": "slice", "items": [self.value(v, path) for v in (thing.start, thing.stop, thing.step)]}
        if isinstance(thing, type):
            return {"is": "class", "class": name_of(thing) or full_name(thing)}
        return self.of_object(thing, path)

    # numpy and pandas

    def of_numpy(self, thing: Any, path: str) -> dict[str, Any]:
        if isinstance(thing, np.random.RandomState):
            return {"is": "random state", "state": self.value(thing.get_state(legacy=False), path)}
        if isinstance(thing, np.dtype):
            return {"is": "dtype", "dtype": _checked(thing, path).str}
        if isinstance(thing, np.generic):
            return {"is": "scalar", "array": self.value(np.asarray(thing), path)}
        if type(thing) is not np.ndarray:
            raise NotStorableError(f"{path} is a {full_name(type(thing))}, which cannot be stored")
        if thing.dtype.kind in _TEXT:
            items = [self.value(item, f"{path}[...]") for item in thing.ravel().tolist()]
            return {"is": "objects", "dtype": thing.dtype.str, "shape": list(thing.shape), "items": items}
        return {"is": "array", **self.stored(thing, path)}

    def stored(self, array: np.ndarray, path: str) -> dict[str, Any]:
        """Where the bits of an array are. That it was in Fortran's order is told: sums may hang on it."""
        dtype = _checked(array.dtype, path).str
        is_transposed = array.flags.f_contiguous and not array.flags.c_contiguous
        if is_transposed:
            array = array.T
        if array.dtype.kind in _AS_INTEGERS:
            array = array.view(np.int64)
        name = str(len(self.arrays))
        # a copy of no more than one row of zeros keeps the shape, which ascontiguousarray does not
        self.arrays[name] = np.require(array, requirements="C").reshape(array.shape)
        return {"array": name, "dtype": dtype, "transposed": is_transposed}

    def of_pandas(self, thing: Any, path: str) -> dict[str, Any]:
        if isinstance(thing, pd.DataFrame):
            columns = [self.of_column(thing.iloc[:, j], f"{path}.{name}") for j, name in enumerate(thing.columns)]
            return {
                "is": "frame",
                "columns": columns,
                "names": self.value(thing.columns, path),
                "index": self.value(thing.index, path),
            }
        if isinstance(thing, pd.Series):
            index, name = self.value(thing.index, path), self.value(thing.name, path)
            return {"is": "series", "values": self.of_column(thing, path), "index": index, "name": name}
        if type(thing) is pd.RangeIndex:
            items = [thing.start, thing.stop, thing.step, self.value(thing.name, path)]
            return {"is": "range", "items": items}
        if type(thing) is pd.Index:
            return {
                "is": "index",
                "values": self.of_column(thing.to_series(), path),
                "name": self.value(thing.name, path),
            }
        raise NotStorableError(f"{path} is a {full_name(type(thing))}, which cannot be stored")

    def of_column(self, column: pd.Series, path: str) -> dict[str, Any]:
        dtype = column.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            codes, levels = self.value(column.cat.codes.to_numpy(), path), self.value(dtype.categories, path)
            return {"codes": codes, "levels": levels, "ordered": dtype.ordered}
        if not isinstance(dtype, np.dtype) and str(dtype) != "str":
            raise NotStorableError(f"{path} has the dtype {dtype}, which cannot be stored")
        values = column.to_numpy(dtype=object) if str(dtype) == "str" else column.to_numpy()
        return {"values": self.value(values, path), "dtype": "str" if str(dtype) == "str" else None}

    # what computes

    def of_object(self, thing: Any, path: str) -> dict[str, Any]:
        torch, xgboost = sys.modules.get("torch"), sys.modules.get("xgboost")
        if torch is not None and isinstance(thing, torch.nn.Parameter):
            grad = thing.requires_grad
            return {"is": "parameter", **self.stored(_as_array(thing, path), path), "requires_grad": grad}
        if torch is not None and isinstance(thing, torch.Tensor):
            return {"is": "tensor", **self.stored(_as_array(thing, path), path)}
        if torch is not None and isinstance(thing, torch.nn.Module):
            state = self.value(_module_state(thing, path), path)
            return {"is": "module", "class": name_of(type(thing)) or full_name(type(thing)), "state": state}
        if xgboost is not None and isinstance(thing, xgboost.Booster):
            return {"is": "booster", "part": self.blob("boosters", "ubj", bytes(thing.save_raw("ubj")))}
        name = name_of(type(thing))
        if name is not None and (not name.startswith("sklearn ") or _holds_estimators(thing)):
            return {"is": "object", "class": name, "state": self.value(_object_state(thing), path)}
        if isinstance(thing, FunctionType) and "<" not in thing.__qualname__:
            return {"is": "function", "name": full_name(thing)}
        return {"is": "sklearn", "part": self.blob("sklearn", "skops", dump_sklearn(thing, path))}

    def blob(self, folder: str, ending: str, blob: bytes) -> str:
        name = f"{folder}/{len(self.blobs)}.{ending}"
        self.blobs[name] = blob
        return name


def _checked(dtype: np.dtype, path: str) -> np.dtype:
    if dtype.kind not in _NUMERIC + _AS_INTEGERS + _TEXT or dtype.str.startswith(">") or dtype.itemsize > 8:
        raise NotStorableError(f"{path} has the dtype {dtype}, which cannot be stored")
    return dtype


def _as_array(tensor: Any, path: str) -> np.ndarray:
    if tensor.is_sparse or tensor.is_quantized or str(tensor.dtype) == "torch.bfloat16":
        raise NotStorableError(f"{path} is a tensor of type {tensor.type()}, which cannot be stored")
    return tensor.detach().cpu().numpy()


def _module_state(module: Any, path: str) -> dict[str, Any]:
    """What a module has beyond what torch gives to each; without hooks, which are code."""
    import torch

    usual = vars(torch.nn.Module())
    hooked = [name for name in usual if "hook" in name and vars(module).get(name)]
    if hooked:
        raise NotStorableError(f"{path} ({type(module).__name__}) has hooks ({hooked[0]}), which cannot be stored")
    return {name: value for name, value in vars(module).items() if name not in usual or value != usual[name]}


def _object_state(thing: Any) -> dict[str, Any]:
    # callbacks belong to a fit, not to what came of it
    return {name: value for name, value in vars(thing).items() if not name.startswith("_skl_callback")}


def _holds_estimators(thing: Any) -> bool:
    """Whether an estimator of scikit-learn is made of others, which may be ours."""
    if not isinstance(thing, BaseEstimator):
        return True
    return any(hasattr(value, "fit") for name, value in thing.get_params(deep=True).items())
