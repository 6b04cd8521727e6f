"""From parts of a file to the model, in one pass over nodes that only know those before them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import sklearn
from safetensors.numpy import load as load_arrays
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from hybridlearn._compat import request_again
from hybridlearn.persistence._archive import Archive, ModelFileError
from hybridlearn.persistence._arrays import dtype_of, unpack
from hybridlearn.persistence._booster import check_booster
from hybridlearn.persistence._encode import BUILTINS
from hybridlearn.persistence._names import class_of, function_of
from hybridlearn.persistence._sklearn import check_trees, load_sklearn, neighbours_of, rebuilds, tree_of

_CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_DICTS: dict[str, type[dict]] = {"dict": dict, "ordered dict": OrderedDict, "bunch": Bunch}
_SIMPLE = (bool, int, float, str, bytes, type(None), np.generic, type, pd.Timestamp, pd.Timedelta, type(pd.NA))


def decode(archive: Archive, trusted: dict[str, Any]) -> Any:
    """The model of a file.

    Parameters
    ----------
    archive : Archive
    trusted : dict of str to class or function
        What a file may name beyond what is known, by full name.

    Raises
    ------
    ModelFileError, or whatever else a damaged file brings about
    """
    decoder = _Decoder(archive, trusted)
    whole = json.loads(archive.read("objects.json"))
    for node in whole["nodes"]:
        decoder.made.append(decoder.make(node))
    return decoder.value(whole["root"])


class _Decoder:
    def __init__(self, archive: Archive, trusted: dict[str, Any]):
        self.archive = archive
        self.trusted = trusted
        self.arrays = load_arrays(archive.read("arrays.safetensors"))
        self.made: list[Any] = []
        # bytes that may still be copied from one thing into another: many copies of one are a bomb
        self.left = 4 * archive.size

    def value(self, value: Any) -> Any:
        """A plain value, or what a reference means."""
        if not isinstance(value, dict):
            return value
        if "float" in value:
            return float(value["float"])
        number = value["#"]
        if not (type(number) is int and 0 <= number < len(self.made)):
            raise ModelFileError(f"reference {number!r} leads nowhere")
        return self.made[number]

    def values(self, items: list) -> list[Any]:
        return [self.value(item) for item in items]

    def one(self, cls: type, value: Any) -> Any:
        """What a reference means, which must be of a class."""
        found = self.value(value)
        if type(found) is not cls:
            raise ModelFileError(f"it holds a {type(found).__name__} where a {cls.__name__} should be")
        self.spend(found)
        return found

    def spend(self, thing: Any) -> None:
        """Count a thing that is to be copied."""
        self.left -= thing.nbytes if isinstance(thing, np.ndarray) else 0
        if self.left < 0:
            raise ModelFileError("it makes far more of its arrays than it holds")

    def make(self, node: dict[str, Any]) -> Any:
        """The object of a node."""
        kind = node["is"]
        if kind in _CONTAINERS:
            items = self.values(node["items"])
            return _CONTAINERS[kind](map(_key, items) if "set" in kind else items)
        if kind in _DICTS:
            made = _DICTS[kind]()
            made.update({_key(self.value(k)): self.value(v) for k, v in node["items"]})
            return made
        make = _MAKERS.get(kind)
        if make is None:
            raise ModelFileError(f"it holds a node of kind {kind!r}, which is none")
        return make(self, node)

    # numpy and pandas

    def array(self, node: dict[str, Any]) -> np.ndarray:
        # each has one node, which takes it
        return unpack(node, self.arrays.pop(node["array"]))

    def objects(self, node: dict[str, Any]) -> np.ndarray:
        array = np.empty(len(node["items"]), dtype=object)
        for i, item in enumerate(node["items"]):
            array[i] = self.value(item)
        return array.reshape(node["shape"])

    def scalar(self, node: dict[str, Any]) -> Any:
        array = self.one(np.ndarray, node["array"])
        if array.ndim or array.dtype == object:
            raise ModelFileError("a number is an array")
        return array[()]

    def masked(self, node: dict[str, Any]) -> np.ma.MaskedArray:
        data, mask, fill = (self.one(np.ndarray, node[name]) for name in ("data", "mask", "fill"))
        return np.ma.MaskedArray(data, mask=mask, fill_value=fill[()])

    def sparse(self, node: dict[str, Any]) -> Any:
        kind = node["kind"]
        if kind not in ("csr_array", "csr_matrix", "csc_array", "csc_matrix"):
            raise ModelFileError(f"{kind!r} is no sparse matrix that a model file may hold")
        parts = tuple(self.one(np.ndarray, part) for part in node["parts"])
        matrix = getattr(scipy.sparse, kind)(parts, shape=tuple(node["shape"]))
        matrix.check_format(full_check=True)
        return matrix

    def random_state(self, node: dict[str, Any]) -> np.random.RandomState:
        told, state = self.one(dict, node["state"]), np.random.RandomState()
        if not 0 <= told["state"]["pos"] <= len(told["state"]["key"]):
            raise ModelFileError("a random state is beyond its end")
        state.set_state(told)
        return state

    def generator(self, node: dict[str, Any]) -> np.random.Generator:
        bits = np.random.PCG64(np.random.SeedSequence(**self.one(dict, node["seeds"])))
        bits.state = self.one(dict, node["state"])
        return np.random.Generator(bits)

    def column(self, node: dict[str, Any]) -> Any:
        if "codes" in node:
            levels = self.value(node["levels"])
            return pd.Categorical.from_codes(self.one(np.ndarray, node["codes"]), levels, ordered=node["ordered"])
        values = self.one(np.ndarray, node["values"])
        if not node["text"]:
            return values
        if not all(type(value) is str or value is np.nan or value != value for value in values):
            raise ModelFileError("a column of text holds something else")
        return pd.array(values, dtype="str")

    def frame(self, node: dict[str, Any]) -> pd.DataFrame:
        index = self.value(node["index"])
        columns = {j: self.series_of(column, index) for j, column in enumerate(node["columns"])}
        frame = pd.DataFrame(columns, index)
        frame.columns = self.value(node["names"])
        return frame

    def series(self, node: dict[str, Any]) -> pd.Series:
        series = self.series_of(node["values"], self.value(node["index"]))
        series.name = _key(self.value(node["name"]))
        return series

    def series_of(self, node: dict[str, Any], index: pd.Index) -> pd.Series:
        column = self.column(node)
        if len(column) != len(index):
            raise ModelFileError("a column has another length than its index")
        return pd.Series(column, index=index, dtype=column.dtype)

    def range_index(self, node: dict[str, Any]) -> pd.RangeIndex:
        start, stop, step, name = node["items"]
        return pd.RangeIndex(start, stop, step, name=_key(self.value(name)))

    def index(self, node: dict[str, Any]) -> pd.Index:
        column = self.column(node["values"])
        for item in column if column.dtype == object else ():
            _key(item)
        return pd.Index(column, dtype=column.dtype, name=_key(self.value(node["name"])), tupleize_cols=False)

    # what computes

    def tensor(self, node: dict[str, Any]) -> Any:
        import torch

        return torch.from_numpy(self.array(node))

    def parameter(self, node: dict[str, Any]) -> Any:
        import torch

        return torch.nn.Parameter(self.tensor(node), requires_grad=node["requires_grad"])

    def module(self, node: dict[str, Any]) -> Any:
        """A module as it was, without a call of its own code."""
        import torch

        cls = class_of(node["class"], self.trusted)
        if not issubclass(cls, torch.nn.Module):
            raise ModelFileError(f"{node['class']!r} is no module")
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        vars(module).update(self.state(node))
        if isinstance(module, torch.nn.RNNBase):
            torch.nn.RNNBase.__setstate__(module, vars(module))
        return module

    def booster(self, node: dict[str, Any]) -> Any:
        import xgboost

        raw = self.archive.read(node["part"])
        check_booster(raw)
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        return booster

    def object(self, node: dict[str, Any]) -> Any:
        """An object with its attributes; its ``__init__`` is not called."""
        cls = class_of(node["class"], {})
        thing: Any = object.__new__(cls)
        if rebuilds(cls):
            thing.__setstate__({**self.state(node), "_sklearn_version": sklearn.__version__})
        else:
            vars(thing).update(self.state(node))
            _add_later_parameters(thing)
        if "requests" in node:
            request_again(thing, self.one(dict, node["requests"]))
        check_trees(thing)
        return thing

    def state(self, node: dict[str, Any]) -> dict[str, Any]:
        state = self.one(dict, node["state"])
        if not all(type(name) is str for name in state):
            raise ModelFileError("an attribute has a name that none can have")
        return state

    def copied(self, node: dict[str, Any]) -> dict[str, Any]:
        """State whose arrays are copied into what is built of it."""
        state = self.state(node)
        for value in state.values():
            self.spend(value)
        return state


def _key(thing: Any) -> Any:
    """What is to be looked up by its hash, which must not be a tangle of tuples."""
    parts = thing if type(thing) is tuple else (thing,)
    if not all(isinstance(part, _SIMPLE) for part in parts):
        raise ModelFileError(f"a {type(thing).__name__} is no key")
    return thing


_MAKERS: dict[str, Callable[[_Decoder, dict[str, Any]], Any]] = {
    "NaT": lambda self, node: pd.NaT,
    "<NA>": lambda self, node: pd.NA,
    "Timestamp": lambda self, node: pd.Timestamp(self.one(np.datetime64, node["value"])),
    "Timedelta": lambda self, node: pd.Timedelta(self.one(np.timedelta64, node["value"])),
    "array": _Decoder.array,
    "booster": _Decoder.booster,
    "builtin": lambda self, node: BUILTINS[node["name"]],
    "bytes": lambda self, node: self.one(np.ndarray, node["array"]).tobytes(),
    "categorical": lambda self, node: pd.CategoricalDtype(self.value(node["levels"]), ordered=node["ordered"]),
    "class": lambda self, node: class_of(node["class"], self.trusted),
    "dtype": lambda self, node: dtype_of(node["dtype"]),
    "frame": _Decoder.frame,
    "function": lambda self, node: function_of(node["name"], self.trusted),
    "generator": _Decoder.generator,
    "index": _Decoder.index,
    "masked": _Decoder.masked,
    "module": _Decoder.module,
    "neighbours": lambda self, node: neighbours_of(self.copied(node)),
    "object": _Decoder.object,
    "objects": _Decoder.objects,
    "parameter": _Decoder.parameter,
    "path": lambda self, node: Path(node["path"]),
    "random state": _Decoder.random_state,
    "range": lambda self, node: range(*self.values(node["items"])),
    "range index": _Decoder.range_index,
    "scalar": _Decoder.scalar,
    "series": _Decoder.series,
    "sklearn": lambda self, node: load_sklearn(self.archive.read(node["part"])),
    "slice": lambda self, node: slice(*self.values(node["items"])),
    "sparse": _Decoder.sparse,
    "tensor": _Decoder.tensor,
    "tree": lambda self, node: tree_of(self.copied(node)),
    "type of dtype": lambda self, node: dtype_of(node["dtype"]).type,
}


def _add_later_parameters(thing: Any) -> None:
    """Parameters that an estimator of ours has got since the file was written have their defaults."""
    if isinstance(thing, BaseEstimator) and type(thing).__module__.startswith("hybridlearn."):
        for parameter in signature(type(thing)).parameters.values():
            if parameter.default is not parameter.empty:
                vars(thing).setdefault(parameter.name, parameter.default)
