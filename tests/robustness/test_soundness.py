"""What looks like a sum of bounded parts and is none, or not quite: certificates hold all the same, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _robust import NET, TREES
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)
from torch import nn
from xgboost import XGBClassifier

from hybridlearn import (
    BoostedTreesClassifier,
    FeatureConstraints,
    GuardedClassifier,
    HybridBoostingClassifier,
    HybridClassifier,
    ModuleClassifier,
    NotCertifiableError,
    TabularMLPClassifier,
    TabularMLPRegressor,
    attack,
    certify,
    margin,
)

_DRAWN = np.random.default_rng(0)
X = _DRAWN.normal(size=(300, 3))
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


@pytest.fixture
def rng() -> np.random.Generator:
    """Of each test its own, whatever ran before."""
    return np.random.default_rng(1)


def broken(model: Any, rows: Any, eps: Any, constraints: FeatureConstraints | None = None, **how: Any) -> int:
    """Certified rows that some row of their box breaks; an error where next to none or nothing was certified."""
    constraints = constraints or FeatureConstraints()
    certificate, box = certify(model, rows, eps=eps, constraints=constraints, **how), constraints.box(rows, eps)
    rng, found = np.random.default_rng(1), np.zeros(len(box), dtype=bool)
    for i in range(150):
        share = rng.random(box.lower.shape)
        share = share.round() if i % 2 else share
        moved = box.as_given(box.with_numbers(box.lower + share * (box.upper - box.lower)))
        found |= model.predict(moved) != certificate.labels
    assert found.any(), "the box is too small to show anything"
    return int((found & certificate.certified).sum())


def refused(model: Any, rows: Any, message: str, eps: Any = 0.1) -> None:
    with pytest.raises(NotCertifiableError, match=message):
        certify(model, rows, eps=eps, constraints=FeatureConstraints(scale={0: 1.0, 1: 1.0, 2: 1.0}))


# -- the same number seen twice


@pytest.mark.parametrize("method", ["bounds", "veritas"])
def test_equal_columns_are_not_one_number(method: str, rng: np.random.Generator) -> None:
    whole = rng.integers(0, 3, (400, 2)).astype(float)
    trees = BoostedTreesClassifier(**TREES).fit(whole, whole[:, 0] != whole[:, 1])
    rows = np.zeros((3, 2))
    assert not trees.predict(rows).any()
    assert trees.predict([[1.0, 0.0]]).all()
    certificate = certify(trees, rows, eps=[1, 1], constraints=FeatureConstraints(integer=[0, 1]), method=method)
    assert not certificate.certified.any()
    if method == "veritas":
        assert attack(trees, rows, eps=[1, 1], method=method, budget=1).success.all()


@pytest.mark.parametrize("method", ["bounds", "veritas"])
def test_a_curve_that_keeps_the_ends_is_no_number(method: str, rng: np.random.Generator) -> None:
    x = np.concatenate([np.zeros(300), rng.random(900) ** 3, np.ones(30)])
    table, y = np.column_stack([x, rng.normal(size=len(x))]), (x > 0.2) & (x < 0.4)
    members = [
        ("raw", BoostedTreesClassifier(**TREES)),
        ("ranks", make_pipeline(QuantileTransformer(n_quantiles=200), BoostedTreesClassifier(**TREES))),
    ]
    model = HybridClassifier(estimators=members, final_estimator="mean", cv=2, random_state=0).fit(table, y)
    rows, bounds = np.column_stack([np.zeros(4), [0.1, 0.2, -0.1, 0.3]]), FeatureConstraints(bounds={0: (0, 1)})
    assert broken(model, rows, [1, 0], bounds, method=method, time_limit=0.1) == 0


# -- nets


def test_margins_of_net_regressors_are_in_units_of_their_target(loans: pd.DataFrame, paid: np.ndarray) -> None:
    net = TabularMLPRegressor(hidden_layer_sizes=(16,), max_epochs=30, learning_rate=0.02, random_state=0)
    model = HybridBoostingClassifier(estimators=[("net", net)], cv=2, inner_cv=2, random_state=0)
    model.fit(loans[:160], paid[:160])
    assert broken(model, loans[160:], 0.5) == 0


class Residual(nn.Sequential):
    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


def with_a_shortcut(n_features: int, n_outputs: int) -> nn.Module:
    hidden = Residual(nn.Linear(8, 8), nn.ReLU())
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), hidden, nn.Linear(8, n_outputs))


def with_a_hook(n_features: int, n_outputs: int) -> nn.Module:
    function = nn.ReLU()
    function.register_forward_hook(lambda module, inputs, output: output**2)
    return nn.Sequential(nn.Linear(n_features, 8), function, nn.Linear(8, n_outputs))


def in_any_order(n_features: int, n_outputs: int) -> nn.Module:
    layers = [nn.ReLU(), nn.Linear(n_features, 8), nn.Linear(8, 6), nn.SiLU(), nn.ReLU(), nn.Linear(6, n_outputs)]
    return nn.Sequential(*layers)


def test_modules_are_what_their_layers_are() -> None:
    def fitted(module: Any) -> Any:
        return ModuleClassifier(module=module, max_epochs=20, learning_rate=0.02, random_state=0).fit(X, Y)

    refused(fitted(with_a_shortcut), X, "the layer Residual")
    refused(fitted(with_a_hook), X, "ReLU whose forward was changed")
    for method in ("bounds", "intervals"):
        assert broken(fitted(in_any_order), X, 0.3, method=method) == 0


# -- fewer bits


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("trees", [BoostedTreesClassifier(**TREES), XGBClassifier(n_estimators=20)])
def test_float32_is_rounded_on_the_way(scaler: Any, trees: Any, rng: np.random.Generator) -> None:
    """Scaled in float32 and in float64, a whole number falls on different sides of a threshold that it sits upon."""
    whole = rng.integers(0, 60, (1500, 2)).astype(np.float32) * 7 + 3
    y = ((whole[:, 0] % 5 > 2) ^ (whole[:, 1] > 200)).astype(int)
    model = make_pipeline(scaler, trees).fit(whole, y)
    rows, constraints = whole[:300], FeatureConstraints(integer=[0, 1])
    for eps in ([7, 0], [0, 7]):
        certificate, box = certify(model, rows, eps=eps, constraints=constraints), constraints.box(rows, eps)
        for end in (box.lower, box.upper):
            for dtype in (np.float32, np.float64):
                moved = model.predict(end.astype(dtype))
                assert (moved == certificate.labels)[certificate.certified].all()


def test_what_is_too_coarse_is_refused() -> None:
    coarse = X.astype(np.float32)
    refused(make_pipeline(StandardScaler(), LogisticRegression()).fit(coarse, Y), coarse, "fitted on float32")
    refused(make_pipeline(PowerTransformer(), BoostedTreesClassifier(**TREES)).fit(coarse, Y), coarse, "too coarse a")
    fine = make_pipeline(PowerTransformer(), BoostedTreesClassifier(**TREES)).fit(X, Y)
    assert broken(fine, X, 0.3) == 0


# -- tables


def test_nothing_in_a_sparse_table_is_missing_to_xgboost(rng: np.random.Generator) -> None:
    late = rng.poisson(1.0, 400).astype(float)
    table = pd.DataFrame({"town": [f"town {i}" for i in rng.integers(0, 30, 400)], "late": late})
    front = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    model = make_pipeline(front, XGBClassifier(n_estimators=10)).fit(table, (late == 0).astype(int))
    with pytest.raises(NotCertifiableError, match="sparse"):
        certify(model, table, eps={"late": 1.0})


def test_numbers_behind_an_imputer_may_be_categories(rng: np.random.Generator) -> None:
    code = rng.integers(0, 6, 400)
    mixed = pd.DataFrame({"code": [*code[:-5].astype(object), *["x"] * 5], "z": rng.normal(size=400)})
    model = make_pipeline(SimpleImputer(strategy="most_frequent"), BoostedTreesClassifier(**TREES))
    model.fit(mixed, np.isin(code, [0, 3, 5]))
    with pytest.raises(NotCertifiableError, match="were categories in fit"):
        certify(model, mixed[:50].astype({"code": int}), eps={"code": 2.0})


# -- trees that are no sum


def test_early_stopped_trees_end_where_they_predict() -> None:
    model = XGBClassifier(n_estimators=100, early_stopping_rounds=20)
    model.fit(X[:150], Y[:150], eval_set=[(X[150:200], Y[150:200])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert broken(model, X[200:], 0.2) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi_strategy": "multi_output_tree"}, "multi_output_tree"),
        ({"booster": "dart"}, "XGBClassifier"),
        ({"objective": "binary:logitraw"}, "logitraw the margin is no sum"),
    ],
)
def test_other_trees_are_refused(options: dict[str, Any], message: str) -> None:
    y = np.digitize(X[:, 0], [-0.5, 0.5]) if "multi_strategy" in options else Y
    refused(XGBClassifier(n_estimators=5, **options).fit(X, y), X[:1], message)


def test_where_the_sum_starts_is_rounded_too(rng: np.random.Generator) -> None:
    """Small leaves upon a large start: float32 keeps few of their bits."""
    rare = (rng.random(300) < 0.05).astype(int)
    trees = BoostedTreesClassifier(
        n_estimators=30, learning_rate=1e-4, max_depth=2, early_stopping=False, random_state=0
    )
    model = HybridClassifier(estimators=[("trees", trees)], cv=2, random_state=0).fit(X, rare)
    certificate, box = certify(model, X[:50], eps=[0.3] * 3), FeatureConstraints().box(X[:50], [0.3] * 3)
    sign = np.where(certificate.labels == 1, 1.0, -1.0)
    for _ in range(200):
        moved = box.lower + rng.random(box.lower.shape) * (box.upper - box.lower)
        assert (sign * margin(model, moved)[:, 0] >= certificate.margin_lower).all()


# -- ties


def test_a_tie_is_decided_as_predict_decides() -> None:
    flat = XGBClassifier(n_estimators=1, base_score=0.5, gamma=1e9, learning_rate=1e-12).fit(X, Y)
    assert (np.abs(margin(flat, X)) < 1e-9).all()
    assert not certify(flat, X, eps=0.1).certified.any()
    assert not attack(flat, X, eps=0.1, budget=20).success.any()


def test_several_labels_are_no_decision() -> None:
    net = TabularMLPClassifier(**NET).fit(X, (X > 0).astype(int))
    for act in (certify, attack):
        with pytest.raises(NotCertifiableError, match="several labels"):
            act(net, X, eps=0.1)


# -- what a second review found


@pytest.mark.parametrize("dtypes", [("float32", "int8"), ("float16", "int16"), ("float32", "uint8")])
@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
def test_few_bits_beside_whole_numbers(dtypes: tuple[str, str], scaler: Any, rng: np.random.Generator) -> None:
    """A row whose whole numbers stay is scaled in few bits, one whose move by fractions in float64."""
    table = pd.DataFrame({"a": rng.integers(0, 60, 1500) * 7 + 3, "i": rng.integers(0, 50, 1500)})
    table = table.astype(dict(zip(table, dtypes, strict=True)))
    trees = BoostedTreesClassifier(n_estimators=30, early_stopping=False, random_state=0)
    model = make_pipeline(scaler, trees).fit(table, (table["a"] % 5 > 2) ^ (table["a"] > 200))
    rows, eps = table[:300], {"a": 7, "i": 0.5}
    box, certificate = FeatureConstraints().box(rows, eps), certify(model, rows, eps=eps)
    for end in (box.lower, box.upper):
        moved = rows.assign(a=end[:, 0].astype(dtypes[0]))
        assert (model.predict(moved) == certificate.labels)[certificate.certified].all()
        moved = moved.assign(i=end[:, 1])
        assert (model.predict(moved) == certificate.labels)[certificate.certified].all()
    whole, radius = FeatureConstraints(integer=["i"]), np.array([0.5])
    inside = certify(model, rows, eps={"a": 14, "i": 1}, constraints=whole)
    box = whole.box(rows, {"a": 14, "i": 1}).shrunk(radius)
    for end in (box.lower, box.upper):
        moved = rows.assign(a=end[:, 0].astype(dtypes[0]))
        assert (model.predict(moved) == inside.labels)[inside.radius >= radius].all()


def test_a_transformer_of_no_column_and_columns_by_a_slice_of_names() -> None:
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    front = make_column_transformer((OneHotEncoder(), []), (StandardScaler(), slice("a", "b")), remainder="passthrough")
    model = make_pipeline(front, LogisticRegression()).fit(table, Y)
    assert broken(model, table, 0.3) == 0


@pytest.mark.parametrize("dtype", ["Float64", "Int64"])
def test_gaps_of_nullable_columns_are_missing_to_a_stranger(dtype: str) -> None:
    table = pd.DataFrame((X * 10).round(), columns=["a", "b", "c"]).astype(dtype)
    table.loc[::9, "a"] = pd.NA
    assert broken(XGBClassifier(n_estimators=10).fit(table, Y), table, 0.3) == 0


def test_large_numbers_in_a_module() -> None:
    model = ModuleClassifier(module=two_layers, max_epochs=5, random_state=0).fit(X * 1e8, Y)
    certify(model, X * 1e8, eps=1e-6)


def two_layers(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_outputs))


def test_where_nothing_may_move_nothing_falls(rng: np.random.Generator) -> None:
    table = pd.DataFrame({"a": rng.choice(list("uvw"), 200), "b": rng.choice(list("uvw"), 200)})
    trees = BoostedTreesClassifier(**TREES).fit(table, table["a"] == "u")
    assert not attack(trees, table, eps={}).success.any()
    assert certify(trees, table, eps={}).certified.all()
    infinite = np.where(rng.random((200, 2)) < 0.1, np.inf, rng.random((200, 2))).astype(np.float16)
    trees = BoostedTreesClassifier(**TREES).fit(infinite, infinite[:, 0] > 0.5)
    assert certify(trees, infinite, eps=[0, 0], method="veritas").certified.all()


def test_what_abstains_is_no_decision() -> None:
    guarded = GuardedClassifier(
        estimator=BoostedTreesClassifier(**TREES), on_anomaly="abstain", abstain_label=-1, random_state=0
    ).fit(X, Y)
    far = X * 20
    assert (guarded.predict(far) == -1).any()
    for act in (attack, certify):
        with pytest.raises(NotCertifiableError, match="more than its classes"):
            act(guarded, far, eps=0.1)
