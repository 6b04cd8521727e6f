"""What xgboost would follow to nowhere is found before it is given to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from _models import table, target
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from xgboost import XGBClassifier, XGBRegressor

from hybridlearn.persistence import NotStorableError, load, save
from hybridlearn.persistence._archive import ModelFileError
from hybridlearn.persistence._booster import check_booster
from hybridlearn.persistence._sklearn import check_trees, tree_of, tree_state


def grown(n_rounds: int = 3, **params: Any) -> xgboost.Booster:
    """On numbers and native categories."""
    X = table()[["a", "b", "size"]].assign(
        size=lambda frame: frame["size"].cat.codes.astype("int64").astype("category")
    )
    y = np.unique(target("three"), return_inverse=True)[1]
    params = {"max_depth": 3, "max_cat_to_onehot": 1, **params}
    return xgboost.train(params, xgboost.DMatrix(X, y, enable_categorical=True), n_rounds)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"gamma": 5.0},
        {"grow_policy": "lossguide", "max_leaves": 3},
        {"objective": "multi:softprob", "num_class": 3},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"tree_method": "exact", "gamma": 1.0, "max_cat_to_onehot": 9},
        {"objective": "reg:absoluteerror"},
        {"n_rounds": 0},
    ],
    ids=str,
)
def test_honest_boosters_pass(params: dict[str, Any]) -> None:
    if params.get("tree_method") == "exact":
        X, y = np.random.default_rng(0).normal(size=(200, 3)), np.arange(200) % 2
        booster = xgboost.train(params, xgboost.DMatrix(X, y), 3)
    else:
        booster = grown(**params)
    check_booster(bytes(booster.save_raw("ubj")))


def number_at(name: str, place: int, number: int, tree: int = 0, width: int = 4) -> Callable[[bytes], bytes]:
    """In a list of a tree, another number."""

    def change(raw: bytes) -> bytes:
        found = [m.end() for m in re.finditer(name.encode() + rb"\[\$.#L.{8}", raw, re.DOTALL)][tree]
        at = found + place * width
        return raw[:at] + number.to_bytes(width, "big", signed=True) + raw[at + width :]

    return change


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda raw: raw.replace(old, new, 1)


def size_of(name: str, size: str) -> Callable[[bytes], bytes]:
    pattern = re.compile(name.encode() + rb"SL\0{7}.\d+", re.DOTALL)
    return lambda raw: pattern.sub(name.encode() + b"SL" + len(size).to_bytes(8, "big") + size.encode(), raw, count=1)


CHANGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (number_at("left_children", 0, 1000), "lead nowhere"),
    (number_at("left_children", 0, -2), "lead nowhere"),
    (number_at("left_children", 0, 0), "lead nowhere"),
    (number_at("left_children", 0, 2), "grow together"),
    (number_at("parents", 1, 2), "do not know where they come from"),
    (number_at("split_indices", 0, 3), "asks for a feature"),
    (number_at("split_indices", 0, -1), "asks for a feature"),
    (size_of("num_nodes", "1"), "other nodes than it says"),
    (size_of("num_trees", "99"), "another number of trees"),
    (size_of("num_feature", "2"), "other nodes than it says"),
    (
        text(b"feature_names[#L\0\0\0\0\0\0\0\x03SL\0\0\0\0\0\0\0\x01a", b"feature_names[#L\0\0\0\0\0\0\0\x02"),
        "another number of features",
    ),
    (size_of("size_leaf_vector", "2"), "other nodes than it says"),
    (
        text(b"tree_info[#L\0\0\0\0\0\0\0\x03i\0", b"tree_info[#L\0\0\0\0\0\0\0\x03i\x09"),
        "of a class that there is not",
    ),
    (
        text(b"iteration_indptr[#L\0\0\0\0\0\0\0\x04i\0i\x01", b"iteration_indptr[#L\0\0\0\0\0\0\0\x04i\0i\x7f"),
        "other rounds",
    ),
    (text(b"\x06gbtree", b"\x06gbnone"), "of kind 'gbnone'"),
    (number_at("sorted_idx", 0, 7), "in an order"),
    (number_at("feature_segments", 1, 7), "levels of other features"),
    (text(b"left_children", b"base_weights_"), "KeyError|left_children"),
    (lambda raw: raw[:-10], "ends too early"),
    (lambda raw: raw + b"}", "goes on behind its end"),
    (lambda raw: b"{" + b"L\0\0\0\0\0\0\0\x01a{" * 100, "nested too deeply"),
    (lambda raw: b"{L\0\0\0\0\0\0\0\x01a[#L\0\x10\0\0\0\0\0\0", "ends too early"),
    (lambda raw: b"{L\xff\xff\xff\xff\xff\xff\xff\xff", "ends too early"),
    (lambda raw: b"{" + b"L\0\0\0\0\0\0\0\x01aZ" * 2 + b"}", "twice"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message for _, message in CHANGES])
def test_a_booster_that_leads_astray_is_refused(change: Callable[[bytes], bytes], message: str) -> None:
    honest = bytes(grown().save_raw("ubj"))
    raw = change(honest)
    assert raw != honest
    with pytest.raises((ModelFileError, KeyError), match=message):
        check_booster(raw)


@pytest.mark.parametrize("booster", ["dart", "gblinear"])
def test_other_kinds_are_refused_when_they_are_stored(booster: str, tmp_path: Path) -> None:
    X, y = table()[["a", "b"]].fillna(0), np.arange(120) % 2
    model = XGBClassifier(n_estimators=2, booster=booster).fit(X, y)
    with pytest.raises(NotStorableError, match=r"XGBClassifier\['_Booster'\] is a booster that cannot be stored"):
        save(model, tmp_path / "model")


def test_xgboosts_own_estimators_keep_levels_and_early_stopping(tmp_path: Path) -> None:
    X, y = table()[["a", "b", "size", "colour"]].astype({"colour": "category"}), target("number")
    model = XGBRegressor(n_estimators=20, early_stopping_rounds=2, enable_categorical=True, max_cat_to_onehot=1)
    model.fit(X[:80], y[:80], eval_set=[(X[80:], y[80:])], verbose=False)
    save(model, tmp_path / "model")
    found = load(tmp_path / "model")
    other = X.assign(colour=X["colour"].cat.reorder_categories(["red", "green", "blue"]))
    for asked in (X, other, X[["a", "b", "size", "colour"]].astype(object).pipe(lambda f: f.astype(X.dtypes))):
        assert found.predict(asked).tobytes() == model.predict(asked).tobytes()
    assert found.best_iteration == model.best_iteration
    assert pd.Series(found.feature_importances_).equals(pd.Series(model.feature_importances_))


# trees of scikit-learn


def forest() -> RandomForestClassifier:
    X = np.random.default_rng(0).normal(size=(60, 3))
    return RandomForestClassifier(2, random_state=0).fit(X, X[:, 0] > 0)


def at(name: str, place: int, number: int) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["nodes"][name][place] = number

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("left_child", 0, 10**6), "lead nowhere"),
        (at("right_child", 0, -5), "lead nowhere"),
        (at("left_child", 0, 0), "lead nowhere"),
        (at("left_child", -1, -129), "lead nowhere"),
        (at("right_child", 0, 1), "grow together"),
        (at("feature", 0, 3), "asks for a feature"),
        (at("feature", 0, -1), "asks for a feature"),
        (lambda state: state.update(node_count=10**6), "other nodes"),
        (lambda state: state.update(max_depth=0), "another depth"),
        (lambda state: state.update(max_depth=10**6), "another depth"),
        (lambda state: state.update(n_outputs=5), "other outputs"),
        (lambda state: state.update(values=state["values"][:1]), "other nodes"),
    ],
)
def test_a_tree_that_leads_astray_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    state = tree_state(forest().estimators_[0].tree_)
    state["nodes"] = state["nodes"].copy()
    assert tree_of(state).node_count == state["node_count"]
    change(state)
    with pytest.raises(ModelFileError, match=message):
        tree_of(state)


def test_trees_of_an_estimator_are_of_its_features() -> None:
    model = forest()
    check_trees(model)
    model.n_features_in_ = 2
    with pytest.raises(ModelFileError, match="another number of features"):
        check_trees(model)


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [("left", 1000, "lead nowhere"), ("feature_idx", 2, "a feature"), ("bitset_idx", 9, "categories that")],
)
def test_a_histogram_tree_that_leads_astray_is_refused(name: str, number: int, message: str) -> None:
    X = pd.DataFrame({"a": np.arange(200) % 7, "b": pd.Categorical(np.arange(200) % 5)})
    y = np.isin(np.arange(200) % 5, [0, 3])
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(X, y)
    check_trees(model)
    nodes = model._predictors[0][0].nodes
    assert nodes["is_categorical"][0]
    nodes[name][0] = number
    with pytest.raises(ModelFileError, match=message):
        check_trees(model)
