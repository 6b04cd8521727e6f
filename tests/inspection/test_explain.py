"""Explanations: against values counted over all subsets, of functions set by hand, of hybrids as sums of members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBRegressor

from hybridlearn import (
    AdditiveNetRegressor,
    BoostedTreesClassifier,
    BoostedTreesRegressor,
    FeatureBuilder,
    FTTransformerRegressor,
    HybridBaggingClassifier,
    HybridBoostingRegressor,
    HybridClassifier,
    HybridRegressor,
    HybridStackingRegressor,
    MixedSMOTE,
    TableEncoder,
    TabMRegressor,
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularResNetRegressor,
    explain,
    importance,
    make_tabular_pipeline,
)
from hybridlearn.table import UnseenCategoryWarning

TREES = {"n_estimators": 15, "learning_rate": 0.3, "early_stopping": False}
NET = {"max_epochs": 15, "learning_rate": 0.02, "early_stopping": False}
Count = Callable[..., np.ndarray]


def three(number: np.ndarray) -> np.ndarray:
    return np.digitize(number, np.quantile(number, [0.3, 0.7]))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


# -- exact where the model's kind allows


@pytest.mark.parametrize("categories", ["encode", "native"])
@pytest.mark.parametrize("task", ["number", "two", "three"])
def test_trees_have_the_values_counted_over_all_subsets(
    mixed: pd.DataFrame, number: np.ndarray, count: Count, task: str, categories: str
) -> None:
    """One-hot and target codes of a category are one player; gaps go where the trees send them."""
    cls = BoostedTreesRegressor if task == "number" else BoostedTreesClassifier
    y = {"number": number, "two": number > np.median(number), "three": three(number)}[task]
    trees = cls(**TREES, max_depth=5, categories=categories, random_state=0).fit(mixed, y)
    found = explain(trees, mixed[:4], mixed[100:130])
    assert found.methods == {"": "trees"}
    assert_allclose(found.values.reshape(4, 4, -1), count(trees, mixed[:4], mixed[100:130]), atol=2e-5)
    assert found.check_additivity() < 2e-5


def test_a_linear_model_behind_an_encoder_is_exact(mixed: pd.DataFrame, number: np.ndarray, count: Count) -> None:
    model = make_pipeline(TableEncoder(encode="onehot"), Ridge()).fit(mixed, number)
    found = explain(model, mixed[:4], mixed[100:130])
    assert found.methods == {"": "linear"}
    assert_allclose(found.values, count(model, mixed[:4], mixed[100:130])[..., 0], atol=1e-10)


def test_a_transformer_of_scikit_learn_is_looked_through(mixed: pd.DataFrame, number: np.ndarray, count: Count) -> None:
    columns = make_column_transformer(
        (StandardScaler(), ["income"]), (OneHotEncoder(sparse_output=False), ["colour"]), remainder="drop"
    )
    model = make_pipeline(columns, LogisticRegression()).fit(mixed, number > 4)
    found = explain(model, mixed[:4], mixed[100:130])
    assert found.methods == {"": "linear"}
    assert_allclose(found.values, count(model, mixed[:4], mixed[100:130])[..., 0], atol=1e-8)
    assert not found.values[:, [0, 3]].any()


@pytest.mark.parametrize(
    ("net", "how"),
    [
        (TabularMLPRegressor(hidden_layer_sizes=(16,), **NET), "net"),
        (TabMRegressor(k=3, n_blocks=1, d_block=8, **NET), "net"),
        (TabularResNetRegressor(n_blocks=1, d_block=8, d_hidden=8, **NET), "permutations"),
        (FTTransformerRegressor(n_blocks=1, d_block=8, n_heads=2, d_hidden=8, **NET), "permutations"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nets_are_near_the_values_counted(
    mixed: pd.DataFrame, number: np.ndarray, count: Count, net: Any, how: str
) -> None:
    """A rule where there are linear maps and elementwise functions only; attention and norms are sampled."""
    net = net.set_params(random_state=0).fit(mixed, number)
    found = explain(net, mixed[:6], mixed[100:140])
    assert found.methods == {"": how}
    assert found.check_additivity() < 1e-6
    assert cosine(found.values, count(net, mixed[:6], mixed[100:140])[..., 0]) > 0.98


def test_a_class_has_what_it_has_against_the_others(mixed: pd.DataFrame, number: np.ndarray, count: Count) -> None:
    net = TabularMLPClassifier(hidden_layer_sizes=(16,), **NET, random_state=0).fit(mixed, three(number))
    found = explain(net, mixed[:4], mixed[100:130])
    assert found.values.shape == (4, 4, 3)
    assert found.methods == {"": "net"}
    assert_allclose(found.values.sum(axis=2), 0, atol=1e-9)
    assert cosine(found.values, count(net, mixed[:4], mixed[100:130])) > 0.98


def test_any_other_model_is_sampled(mixed: pd.DataFrame, number: np.ndarray, count: Count) -> None:
    model = make_pipeline(TableEncoder(), RandomForestRegressor(20, random_state=0)).fit(mixed, number)
    found = explain(model, mixed[:4], mixed[100:130])
    assert found.methods == {"": "permutations"}
    assert found.check_additivity() < 1e-10
    assert cosine(found.values, count(model, mixed[:4], mixed[100:130])[..., 0]) > 0.98


def test_margins_that_end_somewhere_are_gone_to_by_the_rule(count: Count) -> None:
    """A regression's net stays within the targets of its fit, probabilities of a linear model above their floor."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    y = X @ [1.0, 2.0, -1.0]
    net = TabularMLPRegressor(hidden_layer_sizes=(16,), **NET, random_state=0).fit(X, y.clip(-0.5, 0.5))
    wide = 4 * X[:8]
    found = explain(net, wide, X[100:140])
    assert found.methods == {"": "net"}
    assert (np.abs(net.predict(wide)) == 0.5).any()
    assert found.check_additivity() < 1e-5
    assert cosine(found.values, count(net, wide, X[100:140])[..., 0]) > 0.95
    linear = HybridClassifier(estimators=[("linear", LogisticRegression(C=1e4))], cv=2, random_state=0).fit(X, y > 0)
    found = explain(linear, wide, X[100:140])
    assert found.methods == {"linear": "linear"}
    assert found.check_additivity() < 1e-5


def test_a_poisson_booster_whose_prediction_is_no_sum_is_sampled(mixed: pd.DataFrame, number: np.ndarray) -> None:
    trees = BoostedTreesRegressor(loss="poisson", **TREES, random_state=0).fit(mixed, number.clip(0))
    found = explain(trees, mixed[:4], mixed[100:130])
    assert found.methods == {"": "permutations"}
    assert found.check_additivity() < 1e-10


# -- hybrids


def members(kind: str) -> list[tuple[str, Any]]:
    trees = BoostedTreesClassifier if kind == "classes" else BoostedTreesRegressor
    net = TabularMLPClassifier if kind == "classes" else TabularMLPRegressor
    linear = LogisticRegression() if kind == "classes" else Ridge()
    return [
        ("trees", trees(**TREES)),
        ("mlp", net(hidden_layer_sizes=(16,), **NET)),
        ("linear", make_pipeline(TableEncoder(encode="onehot"), linear)),
    ]


def test_a_hybrids_values_are_the_sum_of_its_members(mixed: pd.DataFrame, number: np.ndarray, count: Count) -> None:
    hybrid = HybridRegressor(estimators=members("number"), cv=2, final_estimator="mean", random_state=0)
    hybrid.fit(mixed, number)
    found = explain(hybrid, mixed[:4], mixed[100:130])
    assert set(found.by_member) == {"trees", "mlp", "linear"}
    assert_allclose(sum(found.by_member.values()), found.values)
    assert found.check_additivity() < 1e-5
    assert cosine(found.values, count(hybrid, mixed[:4], mixed[100:130])[..., 0]) > 0.995


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_hybrid_of_classes_behind_features_adds_up(mixed: pd.DataFrame, number: np.ndarray, n_classes: int) -> None:
    """A feature of two columns is shared between them; a temperature divides all."""
    y = three(number) if n_classes == 3 else number > np.median(number)
    builder = FeatureBuilder(select=None, families=["target", "crosses", "numbers"])
    hybrid = HybridClassifier(
        estimators=members("classes"), cv=2, final_estimator="mean", features=builder, random_state=0
    ).fit(mixed, y)
    rows = mixed.sample(30, random_state=0)
    found = explain(hybrid, rows, mixed[100:140])
    assert found.check_additivity() < 1e-5
    whole = explain(hybrid, rows, mixed[100:140], method="permutations")
    assert cosine(found.values, whole.values) > 0.9
    assert whole.by_member == {}


@pytest.mark.parametrize("wrap", ["pipeline", "search", "frozen", "bagging", "boosting"])
def test_what_holds_a_hybrid_is_explained_as_the_hybrid(mixed: pd.DataFrame, number: np.ndarray, wrap: str) -> None:
    X = mixed[["age", "income"]].fillna(0)
    boosting = HybridBoostingRegressor(
        estimators=[("linear", Ridge()), ("trees", BoostedTreesRegressor(**TREES))], cv=2, inner_cv=2, random_state=0
    )
    small = HybridRegressor(estimators=[("trees", BoostedTreesRegressor(**TREES))], cv=2, random_state=0)
    model = {
        "pipeline": lambda: make_pipeline(StandardScaler(), small).fit(X, number),
        "search": lambda: GridSearchCV(small, {"cv": [2]}, cv=2).fit(X, number),
        "frozen": lambda: FrozenEstimator(small.fit(X, number)),
        "bagging": lambda: HybridBaggingClassifier(
            estimator=BoostedTreesClassifier(**TREES), n_estimators=3, resample="under", random_state=0
        ).fit(X, number > np.quantile(number, 0.8)),
        "boosting": lambda: boosting.fit(X, number),
    }[wrap]()
    found = explain(model, X[:5], X[100:130])
    assert found.check_additivity() < 1e-5
    assert "permutations" not in " ".join(found.methods.values())


def test_members_set_by_hand_to_a_known_function_are_explained_rightly() -> None:
    """``2 x0 + sign(x1 > 0) + x2^2``, by a linear model, a booster and an additive net, each of its own term."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(600, 3)), columns=list("abc"))
    X["b"] = rng.choice([-0.7, -0.2, 0.1, 0.5], 600)
    linear = Ridge(alpha=1e-12).fit(X, 2 * X["a"])
    booster = BoostedTreesRegressor(
        n_estimators=1,
        learning_rate=1.0,
        l2_regularization=0.0,
        subsample=1.0,
        max_features=1.0,
        max_depth=1,
        early_stopping=False,
        random_state=0,
    ).fit(X, np.where(X["b"] > 0, 1.0, -1.0))
    net = AdditiveNetRegressor(d_hidden=1, numeric_embedding="none", dropout=0.0, max_epochs=1, random_state=0)
    net.fit(X, X["c"] ** 2)
    by_hand(net)
    target = 2 * X["a"] + np.where(X["b"] > 0, 1.0, -1.0) + net.predict(X)
    frozen = [("linear", FrozenEstimator(linear)), ("trees", FrozenEstimator(booster)), ("net", FrozenEstimator(net))]
    hybrid = HybridStackingRegressor(estimators=frozen, cv="prefit", final_estimator="nonnegative", random_state=0)
    hybrid.fit(X, target)
    found = explain(hybrid, X[:50], X, n_background=600)
    scale = {name: hybrid.weights_[name] for name in hybrid.weights_.index}
    curve = net.predict(X)
    known = np.column_stack([2 * X["a"], np.where(X["b"] > 0, 1.0, -1.0), curve])
    known = (known - known.mean(axis=0)) * [scale["linear"], scale["trees"], scale["net"]]
    assert_allclose(found.values, known[:50], atol=1e-3)
    assert_allclose(hybrid.predict(X), target, atol=1e-3)


def by_hand(net: AdditiveNetRegressor) -> None:
    """Of the net's perceptrons only that of the last column says something: twice a SiLU of it, stretched."""
    module = net.module_
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        first, second = module.hidden.layers[0], module.hidden.layers[3]
        first.weight[2, 0, 0], second.weight[2, 0, 0] = 2.0, 1.0
        module.output.weight[0, 2] = 1.0


def test_a_pipeline_whose_steps_have_moved_into_folds(mixed: pd.DataFrame, number: np.ndarray) -> None:
    """What is fitted is in the members: the pipeline's own steps are not."""
    hybrid = HybridClassifier(estimators=[("trees", BoostedTreesClassifier(**TREES))], cv=2, random_state=0)
    builder = FeatureBuilder(select=None, families=["target"])
    model = make_tabular_pipeline(MixedSMOTE(random_state=0), builder, hybrid).fit(mixed, number > 5)
    found = explain(model, mixed[:5], mixed[100:130])
    assert found.methods == {"trees": "trees"}
    assert found.check_additivity() < 1e-5


def test_several_targets_and_labels_have_an_axis(mixed: pd.DataFrame, number: np.ndarray) -> None:
    net = TabularMLPRegressor(hidden_layer_sizes=(8,), **NET, random_state=0)
    found = explain(net.fit(mixed, np.column_stack([number, -number])), mixed[:5], mixed[100:120])
    assert found.values.shape == (5, 4, 2)
    assert found.predictions.columns.tolist() == ["prediction of 0", "prediction of 1"]
    labels = np.column_stack([number > 4, number > 5]).astype(int)
    several = TabularMLPClassifier(hidden_layer_sizes=(8,), **NET, random_state=0).fit(mixed, labels)
    found = explain(several, mixed[:5], mixed[100:120])
    assert found.check_additivity() < 1e-6
    assert found.predictions.shape == (5, 4)


def test_columns_of_every_kind(number: np.ndarray) -> None:
    """Booleans, moments, nullable integers, text mixed with numbers."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "flag": rng.random(240) < 0.5,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(900, size=240), unit="D"),
            "code": rng.choice(np.array([1, "x", None], dtype=object), 240),
            "count": pd.array(rng.integers(0, 5, 240), dtype="Int64"),
        }
    )
    X.loc[::7, "count"] = pd.NA
    y = number + X["flag"] + (X["when"].dt.month > 6)
    hybrid = HybridRegressor(estimators=members("number"), cv=2, final_estimator="mean", random_state=0).fit(X, y)
    found = explain(hybrid, X[:10], X[100:140])
    assert found.methods == {"trees": "trees", "mlp": "net", "linear": "linear"}
    assert found.check_additivity() < 1e-5
    assert importance(hybrid, X, y, n_repeats=2).frame.index[0] in ("flag", "when")


def test_a_single_column_has_all(number: np.ndarray) -> None:
    X = np.arange(240.0)[:, None]
    model = KNeighborsRegressor().fit(X, number)
    found = explain(model, X[:5], X)
    assert_allclose(found.values[:, 0] + found.base_values, model.predict(X[:5]))


# -- what is asked for, and what is wrong


def test_raw_xgboost_and_arrays_are_taken(number: np.ndarray, mixed: pd.DataFrame) -> None:
    X = mixed[["age", "income"]].to_numpy()
    model = XGBRegressor(n_estimators=10, random_state=0).fit(X, number)
    found = explain(model, X[:5], X[50:90])
    assert found.methods == {"": "trees"}
    assert found.feature_names == ["x0", "x1"]
    assert found.check_additivity() < 1e-5


def test_raw_xgboost_on_categories_is_taken(number: np.ndarray, mixed: pd.DataFrame, count: Count) -> None:
    X = mixed.astype({"colour": "category", "town": "category"})
    model = XGBRegressor(n_estimators=10, enable_categorical=True, max_cat_to_onehot=2, random_state=0).fit(X, number)
    found = explain(model, X[:4], X[50:80])
    assert found.methods == {"": "trees"}
    assert_allclose(found.values, count(model, X[:4], X[50:80])[..., 0], atol=2e-5)


def test_many_rows_go_in_parts_and_say_the_same(
    mixed: pd.DataFrame, number: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = BoostedTreesRegressor(**TREES, random_state=0).fit(mixed, number)
    whole = explain(trees, mixed[:50], mixed[100:130])
    monkeypatch.setattr("hybridlearn.inspection._explain._ROWS_AT_ONCE", 7)
    monkeypatch.setattr("hybridlearn.inspection._forest_shap._CELLS", 100)
    assert_allclose(explain(trees, mixed[:50], mixed[100:130]).values, whole.values, atol=1e-9)


def test_the_background_is_drawn_by_the_seed(mixed: pd.DataFrame, number: np.ndarray) -> None:
    trees = BoostedTreesRegressor(**TREES, random_state=0).fit(mixed, number)
    one, same, other = (explain(trees, mixed[:3], mixed, n_background=20, random_state=s).values for s in (0, 0, 1))
    assert_allclose(one, same)
    assert not np.allclose(one, other)


def test_bad_input_is_named(mixed: pd.DataFrame, number: np.ndarray) -> None:
    trees = BoostedTreesRegressor(**TREES, random_state=0).fit(mixed, number)
    with pytest.raises(NotFittedError):
        explain(BoostedTreesRegressor(), mixed)
    with pytest.raises(ValueError, match="background has 1 row"):
        explain(trees, mixed, mixed[:1])
    with pytest.raises(ValueError, match="income"):
        explain(trees, mixed.drop(columns="income"))
    with pytest.raises(ValueError, match="method must be"):
        explain(trees, mixed, method="lime")
    with pytest.raises(ValueError, match="two dimensions"):
        explain(trees, np.zeros(4))
    with pytest.warns(UnseenCategoryWarning, match="colour"):
        explain(trees, mixed[:3].assign(colour="violet"), mixed[100:130])


def test_a_final_estimator_that_is_no_sum_is_refused_with_what_to_do(mixed: pd.DataFrame, number: np.ndarray) -> None:
    X = mixed[["age", "income"]].fillna(0)
    model = HybridStackingRegressor(
        estimators=[("linear", Ridge())], final_estimator=RandomForestRegressor(5, random_state=0), cv=2, random_state=0
    ).fit(X, number)
    with pytest.raises(TypeError, match=r"no weighted sum.*greedy.*permutations"):
        explain(model, X[:3], X)
    assert explain(model, X[:3], X[:30], method="permutations").check_additivity() < 1e-9
