"""Surrogates: a planted rule in the tree's words, fidelity on rows kept aside, a warning where it is poor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridlearn import BoostedTreesClassifier, BoostedTreesRegressor, surrogate

TREES = {"n_estimators": 60, "early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def rule() -> tuple[pd.DataFrame, np.ndarray]:
    """Refused who is under 30 or lives in the north; income says nothing."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.uniform(18, 80, 800),
            "region": rng.choice(["north", "south", "west"], 800),
            "income": rng.normal(size=800),
        }
    )
    X.loc[::50, "income"] = np.nan
    return X, np.where((X["age"] < 30) | (X["region"] == "north"), "refused", "granted")


def test_a_planted_rule_is_found_in_the_trees_text(rule: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = rule
    found = surrogate(BoostedTreesClassifier(**TREES).fit(X, y), X, max_leaf_nodes=3)
    splits = {line.split("|--- ")[1].split("<=")[0].strip() for line in found.text.splitlines() if "<=" in line}
    assert splits == {"age", "region = north"}
    threshold = float(next(line for line in found.text.splitlines() if "age <=" in line).split("<=")[1])
    assert threshold == pytest.approx(30, abs=0.5)
    assert found.fidelity["r2"] > 0.95
    assert found.fidelity["agreement"] == pytest.approx(1.0, abs=0.01)
    assert found.front["size"].tolist() == [2, 3, 4, 8, 16, 32, 64, 128]
    assert found.front["r2"].iloc[0] < found.front["r2"].iloc[-1]


@pytest.mark.parametrize("kind", ["tree", "linear", "additive"])
def test_each_kind_gives_margins_words_and_pictures(rule: tuple[pd.DataFrame, np.ndarray], kind: str) -> None:
    X, _ = rule
    model = BoostedTreesRegressor(**TREES).fit(X, X["age"] / 10 + 2.0 * (X["region"] == "west"))
    found = surrogate(model, X, kind=kind, max_leaf_nodes=64)
    assert found.fidelity["r2"] > 0.9
    assert "age" in found.text
    assert "region = west" in found.text
    assert np.corrcoef(found.margin(X)[:, 0], model.predict(X))[0, 1] > 0.95
    assert found.plot() is not None
    assert found.plot_front().get_ylabel() == "fidelity"


@pytest.mark.parametrize("kind", ["tree", "linear", "additive"])
def test_three_classes_have_three_margins(rule: tuple[pd.DataFrame, np.ndarray], kind: str) -> None:
    X, _ = rule
    model = BoostedTreesClassifier(**TREES).fit(X, X["region"].to_numpy(dtype=object))
    found = surrogate(model, X, kind=kind)
    assert found.margin(X[:5]).shape == (5, 3)
    assert found.fidelity["agreement"] > 0.99
    assert "west" in found.text


def test_a_surrogate_that_is_not_like_the_model_says_so(rule: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, _ = rule
    target = np.sin(X["age"]) * X["income"].fillna(0)
    model = BoostedTreesRegressor(**TREES).fit(X, target)
    with pytest.warns(UserWarning, match=r"less than 0.9.*see .front"):
        found = surrogate(model, X, max_leaf_nodes=4)
    assert found.fidelity["r2"] < 0.9


def test_fidelity_is_of_rows_that_the_tree_has_not_seen(rule: tuple[pd.DataFrame, np.ndarray]) -> None:
    """A tree of a leaf a row knows all rows it has learned from."""
    X, _ = rule
    noise = np.random.default_rng(1).normal(size=len(X))
    model = BoostedTreesRegressor(**TREES, learning_rate=0.3).fit(X, noise)
    with pytest.warns(UserWarning, match="less than"):
        found = surrogate(model, X, max_leaf_nodes=100_000)
    assert found.fidelity["r2"] < 0.5


def test_bad_input_is_named(rule: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = rule
    model = BoostedTreesClassifier(**TREES).fit(X, y)
    with pytest.raises(ValueError, match="kind must be one of"):
        surrogate(model, X, kind="forest")
    with pytest.raises(ValueError, match="X has 10 rows"):
        surrogate(model, X[:10])
