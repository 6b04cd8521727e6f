"""Model files that somebody wrote to do harm, and what is said of each."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from safetensors.numpy import save as save_arrays

Parts = dict[str, bytes]
MANIFEST = "manifest.json"


def parts_of(file: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: Parts, **info: Any) -> bytes:
    """A zip of parts; with attributes of the entries of all but the manifest."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, part in parts.items():
            entry = zipfile.ZipInfo(name)
            for key, value in info.items() if name != MANIFEST else ():
                setattr(entry, key, value)
            archive.writestr(entry, part, compress_type=entry.compress_type)
    return out.getvalue()


def sealed(parts: Parts, **info: Any) -> bytes:
    """A file whose manifest is right about its parts."""
    manifest = json.loads(parts[MANIFEST])
    others = {name: part for name, part in parts.items() if name != MANIFEST}
    manifest["files"] = {n: {"size": len(p), "sha256": sha256(p).hexdigest()} for n, p in others.items()}
    return zipped({MANIFEST: json.dumps(manifest).encode(), **others}, **info)


class Calls:
    """A pickle that would run something."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


PICKLE = pickle.dumps(Calls())

Forge = Callable[[bytes], bytes]
Node = dict[str, Any]


def forged(honest: bytes, nodes: list[Node], arrays: dict[str, np.ndarray], **more: bytes) -> bytes:
    """A file of nodes, of which the last is the model."""
    objects = json.dumps({"nodes": nodes, "root": ref(len(nodes) - 1)}).encode()
    parts = {MANIFEST: parts_of(honest)[MANIFEST], "objects.json": objects, "arrays.safetensors": save_arrays(arrays)}
    return sealed({**parts, **more})


def with_part(ending: str, part: bytes) -> Forge:
    def change(honest: bytes) -> bytes:
        parts = parts_of(honest)
        name = next(name for name in parts if name.endswith(ending))
        return sealed({**parts, name: part})

    return change


# nodes


def ref(number: int) -> Node:
    return {"#": number}


def nodes(*made: Node, **arrays: np.ndarray) -> Forge:
    return lambda honest: forged(honest, list(made), arrays)


def mapping(**items: Any) -> Node:
    return {"is": "dict", "items": [list(pair) for pair in items.items()]}


def listed(*items: Any, kind: str = "list") -> Node:
    return {"is": kind, "items": list(items)}


def an(cls: str, state: int) -> Node:
    return {"is": "object", "class": cls, "state": ref(state)}


def named(name: str) -> Forge:
    return nodes(mapping(), an(name, 0))


def cells(name: str, dtype: str = "<f8") -> Node:
    return {"is": "array", "array": name, "dtype": dtype, "transposed": False}


def raw(dtype: Any, shape: list[int]) -> Forge:
    """Eight bytes, as something else."""
    return nodes({**cells("a", dtype), "shape": shape}, a=np.zeros(8, dtype=np.uint8))


def objects_of(*items: Any, shape: list[int] | None = None) -> Node:
    return {"is": "objects", "items": list(items), "shape": shape or [len(items)]}


def column_of(values: Any, text: bool = False) -> Node:
    return {"values": values, "text": text}


def index_of(values: int, text: bool) -> Node:
    return {"is": "index", "values": column_of(ref(values), text), "name": None}


def range_index(stop: int, name: Any = None) -> Node:
    return {"is": "range index", "items": [0, stop, 1, name]}


def doubled(kind: str) -> list[Node]:
    """Each holds the one before twice: small to say, endless to walk. The last one is number 60."""
    return [listed(kind=kind), *[listed(ref(i), ref(i), kind=kind) for i in range(60)]]


# skops


def skops(loader: str, module: str, name: str, **more: Any) -> Node:
    return {"__class__": name, "__module__": module, "__loader__": f"{loader}Node", "__id__": 1, "protocol": 2, **more}


def of_skops(schema: Any, **files: bytes) -> Forge:
    """A file whose model is a part of skops."""
    part = zipped({"schema.json": json.dumps(schema).encode(), **files}) if isinstance(schema, dict) else schema
    node = {"is": "sklearn", "part": "sklearn/0.skops"}
    return lambda honest: forged(honest, [node], {}, **{"sklearn/0.skops": part})


def long_list(levels: int) -> Node:
    """An array of lists in lists, of which each holds the one below ten times by its number."""
    inner = skops("List", "builtins", "list", content=[])
    for level in range(levels):
        inner = skops("List", "builtins", "list", content=[{**inner, "content": []}] * 10, __id__=level + 2)
    shape = skops("Tuple", "builtins", "tuple", content=[])
    return skops("NdArray", "numpy", "ndarray", type="json", content=[inner], shape=shape)


# the container


def with_more(name: str, **info: Any) -> Forge:
    return lambda honest: sealed({**parts_of(honest), name: b"x"}, **info)


def with_manifest(**changes: Any) -> Forge:
    def change(honest: bytes) -> bytes:
        parts = parts_of(honest)
        return zipped({**parts, MANIFEST: json.dumps({**json.loads(parts[MANIFEST]), **changes}).encode()})

    return change


def lying(key: str, value: Any) -> Forge:
    """The manifest, of a part."""

    def change(honest: bytes) -> bytes:
        files = json.loads(parts_of(honest)[MANIFEST])["files"]
        files["objects.json"][key] = value
        return with_manifest(files=files)(honest)

    return change


def bomb(honest: bytes) -> bytes:
    return sealed({**parts_of(honest), "objects.json": b" " * 10**7}, compress_type=zipfile.ZIP_DEFLATED)


def faked_size(honest: bytes) -> bytes:
    """The directory of the zip says of its last part that it is 4 GB large."""
    at = honest.rindex(b"PK\x01\x02")
    return honest[: at + 20] + b"\xf0\xff\xff\xff" * 2 + honest[at + 28 :]


def without_last(honest: bytes) -> bytes:
    return zipped(dict(list(parts_of(honest).items())[:-1]))


NESTED = b'{"nodes":' + b"[" * 100_000 + b"]" * 100_000 + b',"root":0}'
SYSTEM = skops("Function", "os", "system")
TEXT = skops("Json", "builtins", "str", content='"a"', is_json=True)
ARGUMENTS = skops("Tuple", "builtins", "tuple", content=[TEXT])
METHOD = skops("Method", "builtins", "str", content={"func": "format", "obj": TEXT})
PARTIAL = {"func": SYSTEM, "args": ARGUMENTS, "kwds": TEXT, "namespace": TEXT}
SCHEMA = "hybridlearn:Schema"
ROWS = np.zeros((10_000, 1))
NEIGHBOURS = mapping(
    data=ref(0), kind="KDTree", leaf_size=5000, metric="euclidean", settings=ref(1), sample_weight=None
)
MANY_OUTPUTS = mapping(n_features=1, n_outputs=10**6, n_classes=ref(0), nodes=ref(0))
BEYOND = mapping(key=ref(0), pos=10**6)
RANDOM = mapping(bit_generator="MT19937", state=ref(1), has_gauss=0, gauss=0.0)
CSR = {"is": "sparse", "kind": "csr_matrix", "parts": [ref(0), ref(1), ref(2)], "shape": [1, 2]}

# What is wrong, and a part of what is said of it.
FORGED: dict[str, tuple[Forge, str]] = {
    "nothing": (lambda _: b"", "no model file"),
    "a pickle": (lambda _: PICKLE, "no model file"),
    "another zip": (lambda _: zipped({"a": b"b"}), "no manifest"),
    "a pickle as a part": (with_more("model.pkl"), "a name that no model file has"),
    "a pickle for JSON": (with_part("objects.json", PICKLE), "damaged"),
    "a pickle for xgboost": (with_part(".ubj", PICKLE), "damaged"),
    "a pickle for safetensors": (with_part(".safetensors", PICKLE), "damaged"),
    "a pickle for skops": (of_skops(PICKLE), "damaged"),
    "a way up": (with_more("../up"), "a name that no model file has"),
    "a root": (with_more("/etc/x"), "a name that no model file has"),
    "a drive": (with_more("C:\\x"), "a name that no model file has"),
    "a way up inside": (with_more("boosters/../../up.ubj"), "a name that no model file has"),
    "a folder": (with_more("boosters/"), "a name that no model file has"),
    "a link": (with_more("boosters/9.ubj", external_attr=(stat.S_IFLNK | 0o777) << 16), "is no plain file"),
    "a bomb": (bomb, "is compressed"),
    "a faked size": (faked_size, "compressed|larger than the file"),
    "a later format": (with_manifest(format=99), "update hybridlearn"),
    "no format": (with_manifest(format="1"), "none that ever was"),
    "no versions": (with_manifest(versions=[]), "tells no versions"),
    "no files": (with_manifest(files={}), "other parts than its manifest says"),
    "files of another kind": (with_manifest(files=[["objects.json"]]), "damaged"),
    "a smaller size": (lying("size", 1), "another size than the manifest says"),
    "another hash": (lying("sha256", "0" * 64), "has been altered"),
    "a part too few": (without_last, "other parts than its manifest says"),
    # names
    "os": (named("os:system"), "is not part of the package"),
    "eval": (named("builtins:eval"), "is not part of the package"),
    "a process": (named("subprocess:Popen"), "is not part of the package"),
    "numpy's tests": (named("numpy.testing:assert_equal"), "is not part of the package"),
    "a function of scikit-learn": (named("sklearn.linear_model:ridge_regression"), "is not part of the package"),
    "a function": (nodes({"is": "function", "name": "os:system"}), "is not part of the package"),
    "a class": (nodes({"is": "class", "class": "subprocess:Popen"}), "is not part of the package"),
    "a builtin": (nodes({"is": "builtin", "name": "eval"}), "KeyError"),
    "a kind": (nodes({"is": "pickle"}), "of kind 'pickle'"),
    "no module": (nodes(mapping(), {"is": "module", "class": SCHEMA, "state": ref(0)}), "is no module"),
    "a compiled class": (named("sklearn.tree._tree:Tree"), "damaged"),
    "numbers for names": (nodes(listed([1, 2], kind="dict"), an(SCHEMA, 0)), "a name that none can have"),
    "a list for attributes": (nodes(listed(), an(SCHEMA, 0)), "where a dict should be"),
    # ways
    "a way forward": (nodes(listed(ref(0))), "leads nowhere"),
    "a way back": (nodes(listed(ref(-1))), "leads nowhere"),
    "a way of text": (nodes(listed({"#": "0"})), "leads nowhere"),
    "no array": (nodes(cells("a")), "damaged"),
    # types and shapes
    "another type": (nodes(cells("a", "<i8"), a=np.zeros(1)), "not int64 as it should be"),
    "objects from bits": (raw("|O", [1]), "damaged"),
    "records of objects": (raw({"fields": [["a", "|O", 0]], "size": 8}, [1]), "damaged"),
    "code for a type": (raw("i4,(1,__import__('os').system('true'))f8", [1]), "is no type of an array"),
    "a list for a type": (raw(["<f8"], [1]), "damaged"),
    "long text": (raw("<U100000000", [1]), "damaged"),
    "a long record": (raw({"fields": [["a", "<f8", 0]], "size": 10**9}, [1]), "damaged"),
    "a huge shape": (raw("<M8[ns]", [10**9, 10**9]), "damaged"),
    "a shape below nothing": (raw("<M8[ns]", [-1, -1]), "damaged"),
    "objects in a huge shape": (nodes(objects_of(shape=[10**9])), "damaged"),
    "a cell for many rows": (
        nodes(
            range_index(10**9),
            cells("a"),
            {"is": "series", "values": column_of(ref(1)), "index": ref(0), "name": None},
            a=np.zeros(1),
        ),
        "another length than its index",
    ),
    "a number for many rows": (
        nodes(range_index(10**9), {"is": "frame", "columns": [column_of(1.0)], "index": ref(0), "names": ref(0)}),
        "where a ndarray should be",
    ),
    # what would fill the memory
    "an array many times": (nodes(*[cells("a")] * 1000, a=ROWS), "damaged"),
    "bytes many times": (
        nodes(cells("a"), *[{"is": "bytes", "array": ref(0)}] * 1000, a=ROWS),
        "far more of its arrays than it holds",
    ),
    "a tree many times": (
        nodes(cells("a"), mapping(), NEIGHBOURS, *[{"is": "neighbours", "state": ref(2)}] * 1000, a=ROWS),
        "far more of its arrays than it holds",
    ),
    "a part many times": (
        nodes(*[{"is": "booster", "part": "objects.json"}] * 2),
        "is asked for twice",
    ),
    # what would take for ever
    "a tangle as a key": (nodes(*doubled("tuple"), listed([ref(60), 1], kind="dict")), "is no key"),
    "a tangle in a set": (nodes(*doubled("tuple"), listed(ref(60), kind="set")), "is no key"),
    "a tangle as a name": (nodes(*doubled("tuple"), range_index(1, ref(60))), "is no key"),
    "a tangle as text": (nodes(*doubled("list"), objects_of(ref(60)), index_of(61, True)), "holds something else"),
    "a tangle as labels": (nodes(*doubled("tuple"), objects_of(ref(60)), index_of(61, False)), "is no key"),
    "deep": (with_part("objects.json", NESTED), "damaged"),
    "a long number": (with_part("objects.json", b"1" * 10_000), "damaged"),
    # what native code would follow
    "a tree of many outputs": (
        nodes(cells("a", "<i8"), MANY_OUTPUTS, {"is": "tree", "state": ref(1)}, a=np.ones(1, dtype=np.int64)),
        "other outputs than it says",
    ),
    "a random state beyond its end": (
        nodes(cells("a", "<u4"), BEYOND, RANDOM, {"is": "random state", "state": ref(2)}, a=np.zeros(624, np.uint32)),
        "beyond its end",
    ),
    "a sparse matrix that points out": (
        nodes(
            cells("a"),
            cells("b", "<i4"),
            cells("c", "<i4"),
            CSR,
            a=np.ones(1),
            b=np.array([9], np.int32),
            c=np.array([0, 1], np.int32),
        ),
        "damaged",
    ),
    "skops: os": (of_skops(SYSTEM), "what skops does not trust: os.system"),
    "skops: an old node": (
        of_skops({**SYSTEM, "protocol": 0, "content": {"module_path": "os", "function": "system"}}),
        "what skops does not trust: os.system",
    ),
    "skops: a method": (of_skops(METHOD), "nodes of skops that no model file has: MethodNode"),
    "skops: partial": (of_skops(skops("Partial", "functools", "partial", content=PARTIAL)), "PartialNode"),
    "skops: a call": (
        of_skops(skops("ConstructorFromReduce", "subprocess", "Popen", content=ARGUMENTS)),
        "FromReduceNode",
    ),
    "skops: operator": (
        of_skops(skops("OperatorFunc", "operator", "methodcaller", attrs=ARGUMENTS)),
        "OperatorFuncNode",
    ),
    "skops: a long list": (of_skops(long_list(3)), "NdArrayNode"),
    "skops: an array": (of_skops(TEXT, **{"1.npy": b"\x93NUMPY"}), "more than a schema"),
}
