"""From a model to parts of a file: a list of nodes in JSON, of which each knows those before it, and bytes beside."""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_arrays
from scipy.sparse import issparse, sparray
from sklearn.utils import Bunch

from hybridlearn._compat import lasting_state, requests_of
from hybridlearn.persistence._archive import NotStorableError
from hybridlearn.persistence._arrays import describe, pack
from hybridlearn.persistence._booster import check_booster
from hybridlearn.persistence._names import full_name, function_name, name_of
from hybridlearn.persistence._sklearn import dump_sklearn, neighbours_state, rebuilds, tree_state

_PLAIN = (bool, int, str, type(None))
_CONTAINERS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_DICTS: dict[type, str] = {dict: "dict", OrderedDict: "ordered dict", Bunch: "bunch"}
# Classes of Python's and numpy's own that stand for a type of numbers.
BUILTINS: dict[str, type] = {
    cls.__name__: cls for cls in (bool, bytes, dict, float, int, list, object, set, str, tuple)
}
_NUMPY = (np.generic, np.ndarray, np.dtype, np.random.RandomState, np.random.Generator)
_PANDAS = (
    pd.DataFrame,
    pd.Series,
    pd.Index,
    pd.Timestamp,
    pd.Timedelta,
    type(pd.NaT),
    type(pd.NA),
    pd.api.extensions.ExtensionDtype,
    pd.api.extensions.ExtensionArray,
)


def encode(model: Any) -> dict[str, bytes]:
    """The parts of a model, by name.

    Raises
    ------
    NotStorableError
    """
    encoder = _Encoder()
    try:
        root = encoder.value(model, type(model).__name__)
    except RecursionError:
        raise NotStorableError(f"{type(model).__name__} is nested too deeply to be stored") from None
    return encoder.parts(root)


class _Encoder:
    """Makes nodes of objects, one of each: who is there twice is there twice again."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.blobs: dict[str, bytes] = {}
        # an object is kept, lest another gets its id
        self.known: dict[int, tuple[dict[str, int], Any]] = {}
        self.open: set[int] = set()

    def parts(self, root: Any) -> dict[str, bytes]:
        whole = {"nodes": self.nodes, "root": root}
        objects = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()
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
            # the order of a set is nobody's, but equal models are to be equal files
            items = thing if cls in (list, tuple) else sorted(thing, key=repr)
            return {"is": _CONTAINERS[cls], "items": [self.value(v, f"{path}[{i}]") for i, v in enumerate(items)]}
        if cls in _DICTS:
            pairs = [[self.value(k, f"{path} (a key)"), self.value(v, f"{path}[{k!r}]")] for k, v in thing.items()]
            return {"is": _DICTS[cls], "items": pairs}
        if isinstance(thing, Path):
            return {"is": "path", "path": str(thing)}
        if cls is bytes:
            return {"is": "bytes", "array": self.value(np.frombuffer(thing, np.uint8), path)}
        if isinstance(thing, _NUMPY) or issparse(thing):
            return self.of_numpy(thing, path)
        if isinstance(thing, _PANDAS):
            return self.of_pandas(thing, path)
        if cls in (slice, range):
            items = [self.value(v, path) for v in (thing.start, thing.stop, thing.step)]
            return {"is": cls.__name__, "items": items}
        if isinstance(thing, type):
            return self.of_class(thing, path)
        return self.of_object(thing, path)

    def of_class(self, cls: type, path: str) -> dict[str, Any]:
        if BUILTINS.get(cls.__name__) is cls:
            return {"is": "builtin", "name": cls.__name__}
        if issubclass(cls, np.generic) and not issubclass(cls, np.flexible) and np.dtype(cls).type is cls:
            return {"is": "type of dtype", "dtype": describe(np.dtype(cls), path)}
        return {"is": "class", "class": _class_name(cls, path)}

    # numpy and pandas

    def of_numpy(self, thing: Any, path: str) -> dict[str, Any]:
        if isinstance(thing, np.random.RandomState):
            state: Any = thing.get_state(legacy=False)
            if state["bit_generator"] != "MT19937":
                raise NotStorableError(f"{path} is a RandomState of a {state['bit_generator']}, which cannot be stored")
            return {"is": "random state", "state": self.value(state, path)}
        if isinstance(thing, np.random.Generator):
            if type(thing.bit_generator) is not np.random.PCG64:
                raise NotStorableError(f"{path} is a {thing}, which cannot be stored")
            seeds: Any = thing.bit_generator.seed_seq
            return {
                "is": "generator",
                "state": self.value(thing.bit_generator.state, path),
                "seeds": self.value(seeds.state, path),
            }
        if isinstance(thing, np.dtype):
            return {"is": "dtype", "dtype": describe(thing, path)}
        if isinstance(thing, np.generic):
            return {"is": "scalar", "array": self.value(np.asarray(thing), path)}
        if issparse(thing):
            return self.of_sparse(thing, path)
        if type(thing) is np.ma.MaskedArray:
            parts = {"data": thing.data, "mask": np.ma.getmaskarray(thing), "fill": np.asarray(thing.fill_value)}
            return {"is": "masked", **{name: self.value(part, path) for name, part in parts.items()}}
        if type(thing) not in (np.ndarray, np.memmap):
            raise NotStorableError(f"{path} is a {full_name(type(thing))}, which cannot be stored")
        if thing.dtype == object:
            items = [self.value(item, f"{path}[{i}]") for i, item in enumerate(thing.ravel().tolist())]
            return {"is": "objects", "shape": list(thing.shape), "items": items}
        return {"is": "array", **self.stored(np.asarray(thing), path)}

    def of_sparse(self, thing: Any, path: str) -> dict[str, Any]:
        if thing.format not in ("csr", "csc"):
            raise NotStorableError(f"{path} is sparse in the format {thing.format}, which cannot be stored")
        parts = [self.value(part, path) for part in (thing.data, thing.indices, thing.indptr)]
        kind = f"{thing.format}_{'array' if isinstance(thing, sparray) else 'matrix'}"
        return {"is": "sparse", "kind": kind, "parts": parts, "shape": list(thing.shape)}

    def stored(self, array: np.ndarray, path: str) -> dict[str, Any]:
        known, stored = pack(array, path)
        name = str(len(self.arrays))
        self.arrays[name] = stored
        return {"array": name, **known}

    def of_pandas(self, thing: Any, path: str) -> dict[str, Any]:
        if thing is pd.NaT or thing is pd.NA:
            return {"is": str(thing)}
        if type(thing) in (pd.Timestamp, pd.Timedelta) and getattr(thing, "tz", None) is None:
            return {"is": type(thing).__name__, "value": self.value(thing.to_numpy(), path)}
        if type(thing) is pd.CategoricalDtype:
            return {"is": "categorical", "levels": self.value(thing.categories, path), "ordered": thing.ordered}
        if type(thing) is pd.DataFrame:
            columns = [self.of_column(thing.iloc[:, j], f"{path}.{name}") for j, name in enumerate(thing.columns)]
            names, index = self.value(thing.columns, path), self.value(thing.index, path)
            return {"is": "frame", "columns": columns, "names": names, "index": index}
        if type(thing) is pd.Series:
            index, name = self.value(thing.index, path), self.value(thing.name, path)
            return {"is": "series", "values": self.of_column(thing, path), "index": index, "name": name}
        if type(thing) is pd.RangeIndex:
            items = [thing.start, thing.stop, thing.step, self.value(thing.name, path)]
            return {"is": "range index", "items": items}
        if type(thing) in (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex):
            values, name = self.of_column(thing.to_series(), path), self.value(thing.name, path)
            return {"is": "index", "values": values, "name": name}
        raise NotStorableError(f"{path} is a {full_name(type(thing))}, which cannot be stored")

    def of_column(self, column: pd.Series, path: str) -> dict[str, Any]:
        dtype = column.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            codes, levels = self.value(column.cat.codes.to_numpy(), path), self.value(dtype.categories, path)
            return {"codes": codes, "levels": levels, "ordered": dtype.ordered}
        if not isinstance(dtype, np.dtype) and str(dtype) != "str":
            raise NotStorableError(f"{path} has the dtype {dtype}, which cannot be stored")
        values = column.to_numpy(dtype=object) if str(dtype) == "str" else column.to_numpy()
        return {"values": self.value(values, path), "text": str(dtype) == "str"}

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
            return {"is": "module", "class": _class_name(type(thing), path), "state": state}
        if xgboost is not None and isinstance(thing, xgboost.Booster):
            return {"is": "booster", "part": self.blob("boosters", "ubj", _booster_bytes(thing, path))}
        name = name_of(type(thing))
        if name == "sklearn.tree._tree:Tree":
            return {"is": "tree", "state": self.value(tree_state(thing), path)}
        if name in ("sklearn.neighbors:KDTree", "sklearn.neighbors:BallTree"):
            return {"is": "neighbours", "state": self.value(neighbours_state(thing, path), path)}
        if name is not None:
            node = {"is": "object", "class": name, "state": self.value(_object_state(thing), path)}
            requests = requests_of(thing)
            return node if requests is None else {**node, "requests": self.value(requests, path)}
        if isinstance(thing, FunctionType) and "<" not in thing.__qualname__:
            return {"is": "function", "name": function_name(thing)}
        return {"is": "sklearn", "part": self.blob("sklearn", "skops", dump_sklearn(thing, path))}

    def blob(self, folder: str, ending: str, blob: bytes) -> str:
        name = f"{folder}/{len(self.blobs)}.{ending}"
        self.blobs[name] = blob
        return name


def _class_name(cls: type, path: str) -> str:
    name = name_of(cls) or full_name(cls)
    if "<" in name:
        raise NotStorableError(
            f"{path} needs {name}, which no other process can find: define it in a file, outside of functions"
        )
    return name


def _as_array(tensor: Any, path: str) -> np.ndarray:
    try:
        return tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise NotStorableError(f"{path} is a tensor of type {tensor.type()}, which cannot be stored: {error}") from None


def _booster_bytes(booster: Any, path: str) -> bytes:
    raw = bytes(booster.save_raw("ubj"))
    try:
        check_booster(raw)
    except Exception as error:
        raise NotStorableError(
            f"{path} is a booster that cannot be stored: only those of the kind 'gbtree' with one number in a leaf can "
            f"({error})"
        ) from error
    return raw


def _module_state(module: Any, path: str) -> dict[str, Any]:
    """What a module has beyond what torch gives to each; without hooks, which are code."""
    import torch

    usual = vars(torch.nn.Module())
    hooked = [name for name in usual if "hook" in name and vars(module).get(name)]
    if hooked:
        raise NotStorableError(f"{path} ({type(module).__name__}) has hooks ({hooked[0]}), which cannot be stored")
    # weak references, which are made of the weights
    made = {"_flat_weight_refs"} if isinstance(module, torch.nn.RNNBase) else set()
    state = {name: value for name, value in vars(module).items() if name not in made}
    return {name: value for name, value in state.items() if name not in usual or value != usual[name]}


def _object_state(thing: Any) -> dict[str, Any]:
    return lasting_state(thing.__getstate__() if rebuilds(type(thing)) else vars(thing))
