"""From parts of a file to the model, in one pass over nodes that only know those before them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load as load_arrays
from sklearn.utils import Bunch

from hybridlearn.persistence._archive import Archive, ModelFileError
from hybridlearn.persistence._names import class_of, trusted_one
from hybridlearn.persistence._sklearn import load_sklearn

_CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_DICTS: dict[str, type[dict]] = {"dict": dict, "ordered dict": OrderedDict, "bunch": Bunch}


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
    for node in json.loads(archive.read("objects.json")):
        decoder.made.append(decoder.make(node))
    return decoder.value(archive.manifest["root"])


class _Decoder:
    def __init__(self, archive: Archive, trusted: dict[str, Any]):
        self.archive = archive
        self.trusted = trusted
        self.arrays = load_arrays(archive.read("arrays.safetensors"))
        self.made: list[Any] = []

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

    def make(self, node: dict[str, Any]) -> Any:
        """The object of a node."""
        kind = node["is"]
        if kind in _CONTAINERS:
            return _CONTAINERS[kind](self.values(node["items"]))
        if kind in _DICTS:
            made = _DICTS[kind]()
            made.update({self.value(k): self.value(v) for k, v in node["items"]})
            return made
        make = _MAKERS.get(kind)
        if make is None:
            raise ModelFileError(f"it holds a node of kind {kind!r}, which is none")
        return make(self, node)

    # numpy and pandas

    def array(self, node: dict[str, Any]) -> np.ndarray:
        dtype = np.dtype(node["dtype"])
        # the bytes of a file cannot be written to, a fitted array can
        stored = np.array(self.arrays[node["array"]])
        array = stored.view(dtype) if dtype.kind in "mM" else stored
        if array.dtype != dtype:
            raise ModelFileError(f"an array is of type {array.dtype}, not {dtype} as it should be")
        return array.T if node["transposed"] else array

    def objects(self, node: dict[str, Any]) -> np.ndarray:
        array = np.empty(len(node["items"]), dtype=object)
        array[:] = self.values(node["items"])
        return array.astype(np.dtype(node["dtype"])).reshape(node["shape"])

    def random_state(self, node: dict[str, Any]) -> np.random.RandomState:
        state = np.random.RandomState()
        state.set_state(self.value(node["state"]))
        return state

    def column(self, node: dict[str, Any]) -> Any:
        if "codes" in node:
            levels = self.value(node["levels"])
            return pd.Categorical.from_codes(self.value(node["codes"]), levels, ordered=node["ordered"])
        values = self.value(node["values"])
        return pd.array(values, dtype="str") if node["dtype"] == "str" else values

    def frame(self, node: dict[str, Any]) -> pd.DataFrame:
        index = self.value(node["index"])
        frame = pd.DataFrame({j: pd.Series(self.column(c), index=index) for j, c in enumerate(node["columns"])}, index)
        frame.columns = self.value(node["names"])
        return frame

    def series(self, node: dict[str, Any]) -> pd.Series:
        return pd.Series(self.column(node["values"]), index=self.value(node["index"]), name=self.value(node["name"]))

    def range(self, node: dict[str, Any]) -> pd.RangeIndex:
        start, stop, step, name = node["items"]
        return pd.RangeIndex(start, stop, step, name=self.value(name))

    def index(self, node: dict[str, Any]) -> pd.Index:
        return pd.Index(self.column(node["values"]), name=self.value(node["name"]))

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
        vars(module).update(self.value(node["state"]))
        return module

    def booster(self, node: dict[str, Any]) -> Any:
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(self.archive.read(node["part"])))
        return booster

    def object(self, node: dict[str, Any]) -> Any:
        """An object with its attributes; neither its ``__init__`` nor ``__setstate__`` is called."""
        cls = class_of(node["class"], {})
        thing: Any = object.__new__(cls)
        vars(thing).update(self.value(node["state"]))
        return thing

    def class_(self, node: dict[str, Any]) -> type:
        return class_of(node["class"], self.trusted)

    def function(self, node: dict[str, Any]) -> Any:
        return trusted_one(node["name"], self.trusted)

    def sklearn(self, node: dict[str, Any]) -> Any:
        return load_sklearn(self.archive.read(node["part"]))


_MAKERS: dict[str, Callable[[_Decoder, dict[str, Any]], Any]] = {
    "array": _Decoder.array,
    "objects": _Decoder.objects,
    "scalar": lambda self, node: self.value(node["array"])[()],
    "dtype": lambda self, node: np.dtype(node["dtype"]),
    "random state": _Decoder.random_state,
    "slice": lambda self, node: slice(*self.values(node["items"])),
    "frame": _Decoder.frame,
    "series": _Decoder.series,
    "range": _Decoder.range,
    "index": _Decoder.index,
    "tensor": _Decoder.tensor,
    "parameter": _Decoder.parameter,
    "module": _Decoder.module,
    "booster": _Decoder.booster,
    "object": _Decoder.object,
    "class": _Decoder.class_,
    "function": _Decoder.function,
    "sklearn": _Decoder.sklearn,
}
