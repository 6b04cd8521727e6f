"""A look over a booster's bytes before xgboost reads them, which does not look where it goes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hybridlearn.persistence._archive import ModelFileError
from hybridlearn.persistence._sklearn import depth_of

# Universal Binary JSON: letters for numbers, big-endian.
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
_DEEPEST = 20
_NAMES_OF_FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")


class _Ubj:
    """Values of a text in Universal Binary JSON, as xgboost writes it; nothing is taken that is not there."""

    def __init__(self, raw: bytes):
        self.raw = raw
        self.at = 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.raw) - self.at:
            raise ModelFileError("a booster ends too early")
        self.at += size
        return self.raw[self.at - size : self.at]

    def letter(self) -> str:
        return self.take(1).decode("ascii")

    def number(self, letter: str) -> Any:
        dtype = np.dtype(_NUMBERS[letter])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def length(self) -> int:
        """Written as a long one, always."""
        letter = self.letter()
        if letter != "L":
            raise ModelFileError(f"a booster has a length of type {letter!r}")
        (length,) = struct.unpack(">q", self.take(8))
        return length

    def text(self) -> str:
        return self.take(self.length()).decode()

    def value(self, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise ModelFileError("a booster is nested too deeply")
        letter = self.letter()
        if letter == "{":
            return self.fields(depth)
        if letter == "[":
            return self.items(depth)
        if letter == "S":
            return self.text()
        return _CONSTANTS[letter] if letter in _CONSTANTS else self.number(letter)

    def fields(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.raw[self.at : self.at + 1] != b"}":
            name = self.text()
            if name in found:
                raise ModelFileError(f"a booster has {name!r} twice")
            found[name] = self.value(depth + 1)
        self.at += 1
        return found

    def items(self, depth: int) -> Any:
        letter = self.letter()
        dtype = None
        if letter == "$":
            dtype = np.dtype(_NUMBERS[self.letter()])
            letter = self.letter()
        if letter != "#":
            raise ModelFileError("a booster has a list without a length")
        length = self.length()
        if dtype is not None:
            return np.frombuffer(self.take(length * dtype.itemsize), dtype)
        if length > len(self.raw) - self.at:
            raise ModelFileError("a booster ends too early")
        return [self.value(depth + 1) for _ in range(length)]


def check_booster(raw: bytes) -> None:
    """Whether bytes are a booster of trees whose numbers fit together.

    Raises
    ------
    ModelFileError, or another where the bytes are no booster at all
    """
    reader = _Ubj(raw)
    learner = reader.value()["learner"]
    if reader.at != len(raw):
        raise ModelFileError("a booster goes on behind its end")
    told = {name: int(value) for name, value in learner["learner_model_param"].items() if name != "base_score"}
    n_features, n_groups = told["num_feature"], max(told["num_class"], told["num_target"], 1)
    for name in ("feature_names", "feature_types"):
        if len(learner[name]) not in (0, n_features):
            raise ModelFileError(f"a booster has {name} for another number of features")
    if learner["gradient_booster"]["name"] != "gbtree":
        raise ModelFileError(f"a booster is of kind {learner['gradient_booster']['name']!r}")
    model = learner["gradient_booster"]["model"]
    trees, n_trees = model["trees"], len(model["trees"])
    if n_trees != int(model["gbtree_model_param"]["num_trees"]) or len(model["tree_info"]) != n_trees:
        raise ModelFileError("a booster has another number of trees than it says")
    if any(not 0 <= group < n_groups for group in model["tree_info"]):
        raise ModelFileError("a booster has trees of a class that there is not")
    ends = model["iteration_indptr"]
    if sorted(ends) != list(ends) or (list(ends[:1]), list(ends[-1:])) != ([0], [n_trees]):
        raise ModelFileError("a booster has other rounds than trees")
    _check_levels(model.get("cats"), n_features)
    for i, tree in enumerate(trees):
        _check_tree(tree, i, n_features)


def _check_levels(cats: dict[str, Any] | None, n_features: int) -> None:
    """The levels of the categories of a data frame that a booster was trained on."""
    if cats is None or not (cats["enc"] or len(cats["feature_segments"]) or len(cats["sorted_idx"])):
        return
    sizes = []
    for levels in cats["enc"]:
        ends = levels.get("offsets", ())
        if len(ends) and (ends[0] != 0 or ends[-1] != len(levels["values"]) or (np.diff(ends) < 0).any()):
            raise ModelFileError("a booster has names of levels that there are not")
        sizes.append(max(len(ends) - 1, 0) if "offsets" in levels else len(levels["values"]))
    segments = np.concatenate([[0], np.cumsum(sizes)])
    order = [np.arange(size) for size in sizes]
    found = np.split(np.asarray(cats["sorted_idx"]), segments[1:-1])
    if len(sizes) != n_features or not np.array_equal(cats["feature_segments"], segments):
        raise ModelFileError("a booster has levels of other features than there are")
    if not all(np.array_equal(np.sort(one), other) for one, other in zip(found, order, strict=True)):
        raise ModelFileError("a booster has levels in an order that there is not")


def _check_tree(tree: dict[str, Any], number: int, n_features: int) -> None:
    told = {name: int(value) for name, value in tree["tree_param"].items()}
    names = ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
    lengths = {len(tree[name]) for name in (*names, *_NAMES_OF_FLOATS)}
    if (
        lengths != {told["num_nodes"]}
        or told["size_leaf_vector"] > 1
        or told["num_feature"] != n_features
        or tree["id"] != number
    ):
        raise ModelFileError("a tree of a booster has other nodes than it says")
    left, right, parents, features, kinds, _ = (np.asarray(tree[name], dtype=np.int64) for name in names)
    is_leaf = left == -1
    depth_of(left, right, is_leaf)
    inner = np.flatnonzero(~is_leaf)
    if (parents[left[inner]] != inner).any() or (parents[right[inner]] != inner).any():
        raise ModelFileError("a tree of a booster has branches that do not know where they come from")
    if ((features[inner] < 0) | (features[inner] >= n_features)).any():
        raise ModelFileError("a tree of a booster asks for a feature that there is not")
    nodes, starts, sizes, levels = (
        np.asarray(tree[f"categories{name}"], dtype=np.int64) for name in ("_nodes", "_segments", "_sizes", "")
    )
    by_level = np.flatnonzero(kinds == 1)
    if not (
        np.isin(kinds, (0, 1)).all() and np.array_equal(nodes, by_level) and len(starts) == len(sizes) == len(nodes)
    ):
        raise ModelFileError("a tree of a booster has categories of other nodes than it says")
    if ((starts < 0) | (sizes < 1) | (starts + sizes > len(levels))).any() or ((levels < 0) | (levels >= 2**24)).any():
        raise ModelFileError("a tree of a booster has categories that there are not")
