"""What of scikit-learn is no plain Python object: trees and their kin, checked before they are built; skops's parts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from skops.io import dumps, get_untrusted_types, loads

from hybridlearn.persistence._archive import ModelFileError, NotStorableError, checked_directory
from hybridlearn.persistence._names import class_of, full_name

_SCHEMA = "schema.json"
# Of the nodes of skops those that small things without arrays are made of: losses, links, ufuncs.
_SKOPS_NODES = frozenset(
    {"DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode", "ObjectNode", "TupleNode", "TypeNode"}
)
# What scikit-learn has for the metrics of its neighbour trees, by the bare names of their classes.
_METRICS = {f"{name}Distance64": name.lower() for name in ("Euclidean", "Manhattan", "Chebyshev", "Minkowski")}


def dump_sklearn(thing: Any, path: str) -> bytes:
    """Bytes of what skops knows, and loads without being told to trust it; `path` says where it was found."""
    cls = full_name(type(thing))
    try:
        blob = dumps(thing, compression=zipfile.ZIP_STORED)
        foreign = get_untrusted_types(data=blob)
        if foreign:
            raise NotStorableError(
                f"{path} is a {cls}, which cannot be stored: skops does not trust {', '.join(foreign)}"
            )
        load_sklearn(blob)
    except NotStorableError:
        raise
    except Exception as error:
        raise NotStorableError(f"{path} is a {cls}, which cannot be stored: {error}") from error
    return blob


def load_sklearn(blob: bytes) -> Any:
    """What skops stored, of types that it trusts, with no array in it that could be larger than it says."""
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        if set(checked_directory(archive, len(blob))) != {_SCHEMA}:
            raise ModelFileError("skops has put more than a schema into it")
        foreign_nodes = set(_loaders(json.loads(archive.read(_SCHEMA)))) - _SKOPS_NODES
    if foreign_nodes:
        raise ModelFileError(f"it holds nodes of skops that no model file has: {', '.join(sorted(foreign_nodes))}")
    foreign = get_untrusted_types(data=blob)
    if foreign:
        raise ModelFileError(f"it holds what skops does not trust: {', '.join(foreign)}")
    return loads(blob, trusted=[])


def _loaders(node: Any) -> Iterator[str]:
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _loaders(child)
    if isinstance(node, dict) and "__loader__" in node:
        yield str(node["__loader__"])


def rebuilds(cls: type) -> bool:
    """Whether an estimator makes anew, from its state, what it does not keep, as isotonic regression its curve."""
    return issubclass(cls, BaseEstimator) and getattr(cls, "__setstate__") is not BaseEstimator.__setstate__  # noqa: B009


# trees


def tree_state(tree: Any) -> dict[str, Any]:
    """All of a decision tree of scikit-learn."""
    _, (n_features, n_classes, n_outputs), state = tree.__reduce__()
    return {"n_features": n_features, "n_classes": n_classes, "n_outputs": n_outputs, **state}


def tree_of(state: dict[str, Any]) -> Any:
    """A decision tree, which scikit-learn walks without a look at where it goes."""
    nodes, n_classes, n_outputs = state["nodes"], state["n_classes"], state["n_outputs"]
    n_features = state["n_features"]
    if not (len(n_classes) == n_outputs and n_outputs > 0 and n_classes.min() > 0):
        raise ModelFileError("a tree has other outputs than it says")
    if state["values"].shape != (len(nodes), n_outputs, n_classes.max()) or state["node_count"] != len(nodes):
        raise ModelFileError("a tree has other nodes than it says")
    # scikit-learn's test, to the letter: what it takes for a branch must lead somewhere
    is_leaf = nodes["left_child"] == -1
    depth = depth_of(nodes["left_child"], nodes["right_child"], is_leaf)
    if not depth <= state["max_depth"] <= len(nodes):
        raise ModelFileError("a tree has another depth than it says")
    inner = nodes["feature"][~is_leaf]
    if ((inner < 0) | (inner >= n_features)).any():
        raise ModelFileError("a tree asks for a feature that there is not")
    tree = class_of("sklearn.tree._tree:Tree", {})(n_features, n_classes, n_outputs)
    tree.__setstate__({name: state[name] for name in ("max_depth", "node_count", "nodes", "values")})
    return tree


def depth_of(left: np.ndarray, right: np.ndarray, is_leaf: np.ndarray) -> int:
    """Of a tree given by the children of its nodes, all of which must be there and come after their parents.

    Raises
    ------
    ModelFileError
    """
    parents, children = np.flatnonzero(~is_leaf), np.stack([left, right], axis=1)[~is_leaf].astype(np.int64)
    if len(left) == 0 or (children <= parents[:, np.newaxis]).any() or (children >= len(left)).any():
        raise ModelFileError("a tree has branches that lead nowhere")
    if len(np.unique(children)) < children.size:
        raise ModelFileError("a tree has branches that grow together")
    depth, level = 0, np.zeros(1, dtype=np.int64)
    while len(level := level[~is_leaf[level]]):
        depth, level = depth + 1, np.unique(np.concatenate([left[level], right[level]]).astype(np.int64))
    return depth


def check_trees(estimator: Any) -> None:
    """Whether the trees of an estimator ask for no other features than it looks for in a table."""
    state = vars(estimator)
    tree_class: Any = class_of("sklearn.tree._tree:Tree", {})
    n_features, subsets = state.get("n_features_in_"), state.get("estimators_features_")
    members = state.get("estimators_", [])
    # forests and boosting hand their tables to the trees of their members as they are
    hands_on = hasattr(type(estimator), "apply") or subsets is not None
    trees: list[tuple[Any, Any]] = [(state.get("tree_"), n_features)]
    for i, member in enumerate(members.ravel() if isinstance(members, np.ndarray) else members if hands_on else []):
        trees.append((getattr(member, "tree_", None), n_features if subsets is None else len(subsets[i])))
    if any(isinstance(tree, tree_class) and tree.n_features != expected for tree, expected in trees):
        raise ModelFileError("a tree is of another number of features than its estimator")
    for predictor in (one for stage in state.get("_predictors", []) for one in stage):
        _check_predictor(vars(predictor), n_features, state["_bin_mapper"])


def _check_predictor(state: dict[str, Any], n_features: int, mapper: Any) -> None:
    """The like of :func:`tree_of` for histogram gradient boosting."""
    nodes, is_leaf = state["nodes"], state["nodes"]["is_leaf"] != 0
    depth_of(nodes["left"], nodes["right"], is_leaf)
    inner = nodes[~is_leaf]
    if ((inner["feature_idx"] < 0) | (inner["feature_idx"] >= n_features)).any():
        raise ModelFileError("a tree asks for a feature that there is not")
    of_categories = inner[inner["is_categorical"] != 0]
    bitsets = [state[name] for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets")]
    if any(
        bits.ndim != 2 or bits.shape[1] != 8 or (of_categories["bitset_idx"] >= len(bits)).any() for bits in bitsets
    ):
        raise ModelFileError("a tree asks for categories that there are not")
    if not np.asarray(mapper.is_categorical_)[of_categories["feature_idx"]].all():
        raise ModelFileError("a tree asks for categories of a number")


# neighbours


def neighbours_state(tree: Any, path: str) -> dict[str, Any]:
    """What a tree of neighbours was built from."""
    state = tree.__getstate__()
    metric = type(state[11]).__name__
    if metric not in _METRICS:
        raise NotStorableError(f"{path} is a {full_name(type(tree))} with a {metric}, which cannot be stored")
    settings = {"p": state[11].__getstate__()[0]} if _METRICS[metric] == "minkowski" else {}
    return {
        "kind": type(tree).__name__,
        "data": np.asarray(state[0]),
        "leaf_size": state[4],
        "metric": _METRICS[metric],
        "settings": settings,
        "sample_weight": state[12],
    }


def neighbours_of(state: dict[str, Any]) -> Any:
    """A tree of neighbours, built anew: the same rows give the same tree, and nothing in it can lead astray."""
    from sklearn.neighbors import BallTree, KDTree

    kinds = {"KDTree": KDTree, "BallTree": BallTree}
    if state["metric"] not in _METRICS.values() or not set(state["settings"]) <= {"p"} or state["leaf_size"] < 1:
        raise ModelFileError("a tree of neighbours has a metric or leaf size that none has")
    settings = {name: state[name] for name in ("leaf_size", "metric", "sample_weight")}
    return kinds[state["kind"]](state["data"], **settings, **state["settings"])
