"""What a stranger found: each was wrong once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from xgboost import XGBClassifier

from hybridlearn import (
    BoostedTreesClassifier,
    GuardedClassifier,
    HybridClassifier,
    explain,
    importance,
    margin,
    surrogate,
)
from hybridlearn.inspection import faithfulness

_DRAWN = np.random.default_rng(0)
TABLE = pd.DataFrame(_DRAWN.normal(size=(240, 4)), columns=["a", "b", "noise", "d"])
Y = (TABLE["a"] + TABLE["b"] + _DRAWN.normal(scale=0.5, size=240) > 0).astype(int)
TREES = BoostedTreesClassifier(n_estimators=60, learning_rate=0.2, early_stopping=False, random_state=0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Of each test its own, whatever ran before."""
    return np.random.default_rng(1)


def ratio(table: pd.DataFrame) -> np.ndarray:
    return (table["w"] / table["h"] ** 2).to_numpy()[:, None]


# -- explain


def test_columns_that_are_seen_in_mixtures_only_are_sampled(rng: np.random.Generator) -> None:
    X = load_breast_cancer(as_frame=True).data
    model = make_pipeline(StandardScaler(), PCA(), LogisticRegression()).fit(X, X["worst radius"] > 16)
    found = explain(model, X[:10], X, n_background=30)
    assert found.methods == {"": "permutations"}
    assert found.ranking["worst radius"] > 2 * found.ranking["mean fractal dimension"]
    body = pd.DataFrame({"w": rng.lognormal(size=100), "h": 1.7 + 0.01 * rng.normal(size=100)})
    model = make_pipeline(FunctionTransformer(ratio), LinearRegression()).fit(body, body["w"])
    values = explain(model, body[:5], body[50:]).values
    assert (np.abs(values[:, 0]) > 5 * np.abs(values[:, 1])).all()


def test_what_is_shared_is_told() -> None:
    model = make_pipeline(PolynomialFeatures(2), Ridge()).fit(TABLE, TABLE["a"])
    assert explain(model, TABLE[:5], TABLE).methods == {"": "linear (features of several columns shared)"}


def test_what_a_sparse_table_leaves_out_is_missing_to_xgboost(rng: np.random.Generator) -> None:
    X = pd.DataFrame({name: rng.choice(list("uvw"), 200) for name in "ab"})
    model = make_pipeline(OneHotEncoder(), XGBClassifier(n_estimators=5)).fit(X, (X["a"] == "u").astype(int))
    found = explain(model, X[:5], X)
    assert found.methods == {"": "trees"}
    assert found.check_additivity() < 1e-5
    assert (np.abs(found.values[:, 0]) > np.abs(found.values[:, 1])).all()


def test_early_stopped_trees_are_exact_up_to_where_they_predict() -> None:
    model = XGBClassifier(n_estimators=100, early_stopping_rounds=10)
    model.fit(TABLE[:150], Y[:150], eval_set=[(TABLE[150:], Y[150:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    found = explain(model, TABLE[:5], TABLE)
    assert found.methods == {"": "trees"}
    assert found.check_additivity() < 1e-5


def test_trees_of_several_outputs_are_sampled() -> None:
    y = np.digitize(TABLE["a"], [-0.5, 0.5])
    model = XGBClassifier(n_estimators=3, multi_strategy="multi_output_tree").fit(TABLE, y)
    assert explain(model, TABLE[:3], TABLE, n_background=20).methods == {"": "permutations"}


def test_several_targets_of_a_stranger_have_an_axis() -> None:
    model = LinearRegression().fit(TABLE, TABLE[["a", "b"]].to_numpy() * [1.0, 2.0])
    values = explain(model, TABLE[:4], TABLE).values
    assert_allclose(values[:, 1, 1], 2 * (TABLE["b"][:4] - TABLE["b"].mean()), atol=0.5)
    labels = KNeighborsClassifier().fit(TABLE, (TABLE[["a", "b"]] > 0).astype(int))
    with pytest.raises(TypeError, match="several labels"):
        margin(labels, TABLE)


@pytest.mark.parametrize("n_background", [1, 0, -3, 2.5])
def test_a_background_has_rows(n_background: Any) -> None:
    with pytest.raises(ValueError, match="n_background must be an integer of at least 2"):
        explain(TREES.fit(TABLE, Y), TABLE[:3], TABLE, n_background=n_background)


def test_pictures_of_gaps_and_of_one_value(rng: np.random.Generator) -> None:
    X = TABLE.assign(level=pd.Categorical(rng.choice(["u", "v"], 240)), known=pd.array([True, False] * 120, "boolean"))
    X.loc[::7, ["level", "known"]] = None
    found = explain(TREES.fit(X, Y), X[:30], X)
    for column in ("level", "known"):
        assert found.plot("dependence", column=column).get_xlabel() == column
    almost = found.values.copy()
    almost[:, 0] = 0.1 + np.array([0, 1.4e-17] * 15)
    object.__setattr__(found, "values", almost)
    found.plot("beeswarm")


# -- importance


def test_a_hybrid_in_a_pipeline_is_judged_out_of_fold() -> None:
    hybrid = HybridClassifier(estimators=[("trees", TREES)], cv=3, random_state=0)
    model = make_pipeline(StandardScaler(), hybrid).fit(TABLE, Y)
    noise = importance(model, TABLE, Y, n_repeats=3).frame.loc["noise"]
    assert noise["low"] <= 0
    with pytest.raises(ValueError, match="are not those that HybridClassifier"):
        importance(model, TABLE[::-1], Y[::-1])


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), TREES), GuardedClassifier(estimator=TREES, random_state=0)],
    ids=["pipeline", "guarded"],
)
def test_rows_that_the_model_inside_has_seen_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="was trained on 240 of 240 rows"):
        importance(model.fit(TABLE, Y), TABLE, Y)


def test_rows_of_few_values_have_twins_by_chance(rng: np.random.Generator) -> None:
    X = pd.DataFrame({name: rng.choice(list("uv"), 400) for name in "abc"})
    X, X_test, y, y_test = train_test_split(X, X["a"] == "u", random_state=0)
    with pytest.warns(UserWarning, match="of 100 rows of X and y equal rows"):
        found = importance(TREES.fit(X, y), X_test, y_test)
    assert found.frame.index[0] == "a"


def test_groups_are_a_dict_and_take_no_name_of_a_column() -> None:
    X, y = TABLE + 10, Y
    model = TREES.fit(TABLE, Y)
    with pytest.raises(ValueError, match=r"groups \['d'\] are called as columns"):
        importance(model, X, y, groups={"d": ["a", "b"]})
    for groups in ([["a", "b"]], {"g": "noise"}):
        with pytest.raises(ValueError, match="groups must be a dict of names to lists"):
            importance(model, X, y, groups=groups)
    with pytest.raises(NotFittedError):
        importance(BoostedTreesClassifier(), X, y)


# -- faithfulness and surrogates


def test_the_background_has_the_columns_of_the_rows() -> None:
    model = TREES.fit(TABLE, Y)
    scores = np.zeros((5, 4))
    with pytest.raises(ValueError, match="background must have rows, and the columns of X"):
        faithfulness(model, TABLE[:5], scores, TABLE.drop(columns="a"))
    with pytest.raises(ValueError, match="scores hold NaN"):
        faithfulness(model, TABLE[:5], scores * np.nan, TABLE)


def test_agreement_is_of_labels(rng: np.random.Generator) -> None:
    """Where the threshold is far from 0.5, no margin is above 0, and many labels are of the second class."""
    rare = (rng.random(240) < 0.05 + 0.1 * (TABLE["a"] > 0)).astype(int)
    trees = BoostedTreesClassifier(n_estimators=10, max_depth=2, early_stopping=False)
    model = HybridClassifier(estimators=[("trees", trees)], cv=3, threshold="f1", random_state=0).fit(TABLE, rare)
    assert (margin(model, TABLE) < 0).all()
    assert 0 < model.predict(TABLE).mean() < 1
    with pytest.warns(UserWarning, match="of the margin's variance"):
        found = surrogate(model, TABLE, kind="tree", max_leaf_nodes=2, random_state=0)
    assert found.fidelity["agreement"] < 1


def test_sizes_are_what_they_are_called() -> None:
    model = TREES.fit(TABLE, Y)
    with pytest.warns(UserWarning, match="of the margin's variance"):
        linear = surrogate(model, TABLE, kind="linear")
    assert linear.front["size"].tolist() == [2, 4]
    with pytest.warns(UserWarning, match="of the margin's variance"):
        additive = surrogate(model, TABLE, kind="additive")
    assert additive.front["size"].max() == additive.model.booster_.num_boosted_rounds()
