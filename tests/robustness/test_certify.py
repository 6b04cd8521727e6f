"""Certificates: no row of a box breaks one; decisions, thresholds and refusals are those of the model."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _robust import MODELS, NET, TREES
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from torch import nn
from xgboost import XGBClassifier

from hybridlearn import (
    BoostedTreesClassifier,
    FeatureBuilder,
    FeatureConstraints,
    FTTransformerClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    ModuleClassifier,
    NotCertifiableError,
    TabularMLPClassifier,
    TabularResNetClassifier,
    attack,
    certify,
    margin,
)

CONSTRAINTS = FeatureConstraints(
    integer=["age"], categorical={"job": ["cook", "boss", "pilot"], "town": ["town 3", "town 4", "Atlantis"]}
)
LINEAR = LogisticRegression(max_iter=10_000)
EPS = {"age": 3, "income": 300, "debt": 0.2}


def anywhere(box: Any, rng: np.random.Generator) -> Any:
    """A row of each box: ends, or anything between; any level."""
    share = rng.random(box.lower.shape)
    share = np.where(rng.random(box.lower.shape) < 0.5, share.round(), share)
    numbers = box.lower + share * (box.upper - box.lower)
    levels = np.column_stack([rng.integers(-1, len(own), len(box)) for own in box.levels.values()])
    return box.candidates(numbers, levels.reshape(len(box), -1))


@pytest.mark.filterwarnings("ignore:levels that were not there in fit")
@pytest.mark.parametrize("task", ["two", "three"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["bounds", "intervals", "veritas"])
def test_no_row_of_a_box_breaks_a_certificate(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, name: str, task: str, method: str
) -> None:
    model, rows = fitted[name, task], loans[160:]
    certificate = certify(model, rows, eps=EPS, constraints=CONSTRAINTS, method=method, time_limit=0.05)
    box, rng = CONSTRAINTS.box(rows, EPS), np.random.default_rng(0)
    assert 0 < certificate.certified.mean() < 1
    labels = model.predict(rows)
    assert_array_equal(certificate.labels, labels)
    for _ in range(60):
        moved = model.predict(anywhere(box, rng))
        assert (moved == labels)[certificate.certified].all()


@pytest.mark.filterwarnings("ignore:levels that were not there in fit")
@pytest.mark.parametrize("name", MODELS)
def test_what_a_margin_falls_to_is_bounded(fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, name: str) -> None:
    model, rows = fitted[name, "two"], loans[160:]
    certificate = certify(model, rows, eps=EPS, constraints=CONSTRAINTS)
    box, rng = CONSTRAINTS.box(rows, EPS), np.random.default_rng(0)
    sign = np.where(certificate.labels == "yes", 1.0, -1.0)
    assert_allclose(certificate.margin, sign * margin(model, rows)[:, 0], atol=1e-9)
    for _ in range(60):
        assert (sign * margin(model, anywhere(box, rng))[:, 0] >= certificate.margin_lower).all()


def test_veritas_agrees_with_brute_force() -> None:
    """Of few trees every cell of the box is visited: the least margin is found exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    trees = BoostedTreesClassifier(n_estimators=6, max_depth=3, early_stopping=False, random_state=0).fit(X, y)
    rows, eps = X[:40], 0.4
    certificate = certify(trees, rows, eps=[eps, eps], method="veritas", time_limit=10.0)
    forest = trees.forest()
    inner, certified = forest.left >= 0, []
    for row, label in zip(rows, trees.predict(rows), strict=True):
        cells = []
        for j in range(2):
            cuts = forest.threshold[inner & (forest.feature == j)].astype(np.float64)
            inside = cuts[(cuts > row[j] - eps) & (cuts <= row[j] + eps)]
            cells.append(np.concatenate([[row[j] - eps, row[j] + eps], inside]))
        certified.append((trees.predict(np.array(list(product(*cells)))) == label).all())
    assert_array_equal(certificate.certified, certified)
    bounds = certify(trees, rows, eps=[eps, eps])
    assert (bounds.margin_lower <= certificate.margin_lower + 1e-9).all()
    assert bounds.certified.sum() < certificate.certified.sum()
    hurried = certify(trees, rows, eps=[eps, eps], method="veritas", time_limit=1e-9)
    assert_allclose(hurried.margin_lower, bounds.margin_lower, err_msg="a search that has not ended proves nothing")


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), eps=st.floats(0.01, 0.5), n_trees=st.integers(1, 6), width=st.integers(2, 8))
def test_small_hybrids_agree_with_a_grid(seed: int, eps: float, n_trees: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    y = (X["a"] + rng.normal(scale=0.5, size=60) > 0).astype(int)
    members = [
        ("trees", BoostedTreesClassifier(n_estimators=n_trees, max_depth=2, learning_rate=0.5, early_stopping=False)),
        ("net", TabularMLPClassifier(hidden_layer_sizes=(width,), max_epochs=3, learning_rate=0.05)),
    ]
    model = HybridClassifier(estimators=members, cv=2, random_state=0).fit(X, y)
    rows = X[:5]
    certificate = certify(model, rows, eps=[eps, eps])
    steps = np.linspace(-eps, eps, 9)
    for i in np.flatnonzero(certificate.certified):
        grid = pd.DataFrame([rows.iloc[i] + [da, db] for da in steps for db in steps], columns=["a", "b"])
        assert (model.predict(grid) == certificate.labels[i]).all()


def test_a_box_of_nothing_certifies_everything(fitted: dict[tuple[str, str], Any], loans: pd.DataFrame) -> None:
    certificate = certify(fitted["hybrid", "two"], loans[160:], eps={})
    assert certificate.certified.all()
    assert_allclose(certificate.margin_lower, certificate.margin, atol=0.02)
    assert (certificate.radius == 1).all()


def test_radius_and_labels_are_those_of_the_certificate(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, paid: np.ndarray
) -> None:
    model, rows = fitted["trees", "two"], loans[160:]
    certificate = certify(model, rows, eps=EPS)
    assert_array_equal(certificate.radius == 1, certificate.certified)
    assert (certificate.radius[~certificate.certified] < 1).all()
    share = 0.25
    narrow = certify(model, rows, eps={name: share * value for name, value in EPS.items()})
    assert_array_equal(narrow.certified[certificate.radius >= share], True)
    right = certify(model, rows, paid[160:], eps=EPS)
    assert_array_equal(right.certified, certificate.certified & (certificate.labels == paid[160:]))
    assert list(certificate.frame) == ["label", "certified", "margin", "margin_lower", "radius"]


@pytest.mark.parametrize("threshold", [0.2, 0.9, "f1"])
def test_the_decision_is_that_of_the_threshold(loans: pd.DataFrame, paid: np.ndarray, threshold: Any) -> None:
    members = [("trees", BoostedTreesClassifier(**TREES)), ("linear", LogisticRegression())]
    X = loans[["age", "debt"]]
    target = paid == "yes"
    model = HybridClassifier(estimators=members, cv=2, threshold=threshold, random_state=0).fit(X[:160], target[:160])
    rows = X[160:]
    certificate = certify(model, rows, eps={"age": 2, "debt": 0.1})
    assert_array_equal(certificate.labels, model.predict(rows))
    assert 0 < certificate.certified.mean() < 1
    box, rng = FeatureConstraints().box(rows, {"age": 2, "debt": 0.1}), np.random.default_rng(0)
    for _ in range(50):
        numbers = box.lower + rng.random(box.lower.shape) * (box.upper - box.lower)
        moved = model.predict(box.with_numbers(numbers))
        assert (moved == certificate.labels)[certificate.certified].all()


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        XGBClassifier(n_estimators=15, max_depth=3),
        make_pipeline(StandardScaler(), XGBClassifier(n_estimators=15, max_depth=3)),
        make_pipeline(StandardScaler(), TabularMLPClassifier(hidden_layer_sizes=(16,), **NET)),
    ],
    ids=["linear", "xgboost", "scaled xgboost", "scaled net"],
)
def test_strangers_and_pipelines_are_certified(load: Any, model: Any) -> None:
    X, y = load(return_X_y=True)
    model = model.fit(X[::2], y[::2])
    rows, eps = X[1::2], 0.15
    certificate = certify(model, rows, y[1::2], eps=eps)
    found = attack(model, rows, y[1::2], eps=eps, budget=40)
    assert certificate.certified.mean() > 0.5
    assert not (certificate.certified & found.success).any()
    assert ((found.ahead >= certificate.margin_lower) | ~found.attacked).all()


def test_modules_of_the_user_are_bounded_in_their_float32() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    net = ModuleClassifier(module=two_layers, max_epochs=10, random_state=0).fit(X[::2], y[::2])
    certificate = certify(net, X[1::2], eps=0.0)
    exact = np.abs(margin(net, X[1::2])[:, 0])
    assert (certificate.margin_lower < exact).all()
    assert_allclose(certificate.margin_lower, exact, atol=0.05)
    wide = certify(net, X[1::2], eps=0.1)
    found = attack(net, X[1::2], eps=0.1, budget=40)
    assert not (wide.certified & found.success).any()


def two_layers(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_outputs))


def test_a_clipped_linear_margin_is_bounded(loans: pd.DataFrame, grade: np.ndarray) -> None:
    """In a fold of few rows probabilities are clipped early, which bends the margin."""
    X = loans[["age", "debt"]] * 30.0
    model = HybridClassifier(estimators=[("linear", LogisticRegression(C=1e4, max_iter=10_000))], cv=2, random_state=0)
    model.fit(X[:160], grade[:160])
    rows, eps = X[160:], {"age": 60, "debt": 6}
    certificate = certify(model, rows, eps=eps)
    box, rng = FeatureConstraints().box(rows, eps), np.random.default_rng(0)
    codes = certificate.labels
    for _ in range(200):
        share = rng.random(box.lower.shape).round()
        moved = margin(model, box.with_numbers(box.lower + share * (box.upper - box.lower)))
        own = moved[np.arange(len(rows)), codes]
        others = np.where(np.eye(3)[codes] == 1, -np.inf, moved).max(axis=1)
        assert (own - others >= certificate.margin_lower - 1e-9).all()


# -- refusals


def test_what_cannot_be_certified_is_named(loans: pd.DataFrame, paid: np.ndarray, grade: np.ndarray) -> None:
    X, rows = loans[["age", "debt"]], loans[["age", "debt"]][160:170]
    y = (paid == "yes").astype(int)

    def refused(model: Any, message: str, target: np.ndarray = y) -> None:
        model = model.fit(X[:160], target[:160])
        with pytest.raises(NotCertifiableError, match=message):
            certify(model, rows, eps={"age": 1})

    trees = BoostedTreesClassifier(**TREES)
    refused(TabularResNetClassifier(n_blocks=1, d_block=8, d_hidden=8, **NET), "layer ResNet")
    refused(FTTransformerClassifier(n_blocks=1, d_block=8, n_heads=2, d_hidden=8, **NET), "layer FTTransformer")
    refused(RandomForestClassifier(5), "RandomForestClassifier")
    refused(make_pipeline(PolynomialFeatures(), LINEAR), "PolynomialFeatures makes of the columns")
    refused(make_pipeline(OneHotEncoder(handle_unknown="ignore"), LINEAR), "numbers for categories")
    refused(CalibratedClassifierCV(LINEAR), "CalibratedClassifierCV")
    refused(make_pipeline(FeatureBuilder(), trees), "FeatureBuilder makes of the columns; fit .* features=None")
    refused(XGBClassifier(n_estimators=5, missing=0.0), "takes 0.0 for missing")
    forest = [("forest", RandomForestClassifier(5)), ("trees", trees)]
    refused(HybridClassifier(estimators=forest, cv=2), "member 'forest': no bounds are known for RandomForest")
    stacking = HybridStackingClassifier(estimators=[("trees", trees)], final_estimator=LINEAR, cv=2)
    refused(stacking, "no weighted sum")
    cost = [[0, 1, 9], [1, 0, 9], [1, 1, 0]]
    refused(HybridClassifier(estimators=[("trees", trees)], threshold=cost, cv=2), "a cost matrix", grade)
    with pytest.raises(NotCertifiableError, match="LinearRegression is no classifier"):
        certify(LinearRegression().fit(X, y), rows, eps={"age": 1})
    with pytest.raises(NotFittedError):
        certify(BoostedTreesClassifier(), rows, eps={"age": 1})


def test_numbers_that_were_categories_are_refused(loans: pd.DataFrame, paid: np.ndarray) -> None:
    X = pd.DataFrame({"code": loans["age"] // 10, "debt": loans["debt"]})
    trees = BoostedTreesClassifier(**TREES).fit(X[:160].astype({"code": "category"}), paid[:160])
    with pytest.raises(NotCertifiableError, match=r"columns \['code'\] were categories in fit"):
        certify(trees, X[160:], eps={"code": 1, "debt": 0.1})
    certify(trees, X[160:], eps={"debt": 0.1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0.1, "method": "guess"}, "method must be one of"),
        ({"eps": {"wage": 1}}, "eps names columns that are not in X"),
        ({"eps": 0.1, "y": ["maybe"] * 80}, "maybe"),
    ],
)
def test_bad_arguments_are_named(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        certify(fitted["trees", "two"], loans[160:], **arguments)
