"""Attacks: what they return is allowed, and turns the decision; constraints hold whatever they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _robust import MODELS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from hybridlearn import BoostedTreesClassifier, FeatureConstraints, ModuleClassifier, attack, certify, counterfactuals

CONSTRAINTS = FeatureConstraints(integer=["age"], categorical={"job": ["cook", "boss"]})
EPS = {"age": 4, "income": 500, "debt": 0.4}


@pytest.mark.filterwarnings("ignore:levels that were not there in fit")
@pytest.mark.parametrize("task", ["two", "three"])
@pytest.mark.parametrize("name", MODELS)
def test_success_is_what_predict_says(
    fitted: dict[tuple[str, str], Any],
    loans: pd.DataFrame,
    paid: np.ndarray,
    grade: np.ndarray,
    name: str,
    task: str,
) -> None:
    model, rows, y = fitted[name, task], loans[160:], {"two": paid, "three": grade}[task][160:]
    found = attack(model, rows, y, eps=EPS, constraints=CONSTRAINTS, budget=40)
    before, after = model.predict(rows), model.predict(found.X_adversarial)
    assert_array_equal(before != after, found.success)
    assert_array_equal(found.attacked, before == y)
    assert found.success.any()
    pd.testing.assert_frame_equal(found.X_adversarial[~found.success], rows[~found.success], check_dtype=False)
    assert (found.distance[found.success] <= 1 + 1e-9).all()
    assert (found.n_queries <= 2 * 40).all()


numbers = st.lists(st.sampled_from(["age", "income", "debt"]), unique=True, max_size=2)


@settings(max_examples=15)
@given(
    immutable=numbers,
    rising=numbers,
    relations=st.sampled_from([[], ["debt * 1000 <= income"]]),
    seed=st.integers(0, 99),
    method=st.sampled_from(["auto", "search", "pgd"]),
)
def test_attacks_never_leave_the_constraints(
    fitted: dict[tuple[str, str], Any],
    loans: pd.DataFrame,
    immutable: list[str],
    rising: list[str],
    relations: list[str],
    seed: int,
    method: str,
) -> None:
    rows = loans[160:200].dropna().query("debt * 1000 <= income")
    constraints = FeatureConstraints(
        immutable=immutable,
        increase_only=rising,
        integer=["age"],
        bounds={"age": (18, 80), "debt": (-4, 4)},
        categorical={"job": ["cook", "boss"]},
        relations=relations,
    )
    found = attack(
        fitted["hybrid", "two"], rows, eps=EPS, constraints=constraints, method=method, budget=15, random_state=seed
    )
    changed = found.X_adversarial
    for name in ("age", "income", "debt"):
        assert (np.abs(changed[name] - rows[name]) <= EPS[name] + 1e-9).all()
        assert name not in immutable or (changed[name] == rows[name]).all()
        assert name not in rising or (changed[name] >= rows[name]).all()
    assert not relations or (changed["debt"] * 1000 <= changed["income"]).all()
    assert (changed["age"] == changed["age"].round()).all()
    assert changed["age"].between(18, 80).all()
    assert changed["debt"].between(-4, 4).all()
    moved = changed["job"] != rows["job"]
    assert changed.loc[moved, "job"].isin(["cook", "boss"]).all()
    assert_array_equal(changed["town"], rows["town"])


def test_relations_hold_after_an_attack(loans: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)}).assign(total=lambda t: t["a"] + t["b"])
    X = X.assign(b=X["b"].clip(lower=X["a"])).assign(total=lambda t: t["a"] + t["b"])
    y = (X["total"] + rng.normal(scale=0.3, size=200) > 0.5).astype(int)
    trees = BoostedTreesClassifier(n_estimators=20, early_stopping=False, random_state=0).fit(X, y)
    constraints = FeatureConstraints(relations=["total == a + b", "a <= b"])
    found = attack(trees, X, y, eps={"a": 0.3, "b": 0.3, "total": 0.3}, constraints=constraints, budget=60)
    changed = found.X_adversarial
    assert found.success.any()
    np.testing.assert_allclose(changed["total"], changed["a"] + changed["b"])
    assert (changed["a"] <= changed["b"]).all()
    assert (np.abs(changed - X) <= 0.3 + 1e-9).all().all()
    pd.testing.assert_frame_equal(changed[~found.success], X[~found.success])


def test_more_questions_never_turn_fewer_rows(fitted: dict[tuple[str, str], Any], loans: pd.DataFrame) -> None:
    few, many = (
        attack(fitted["trees", "two"], loans[160:], eps=EPS, method="search", budget=budget) for budget in (5, 100)
    )
    assert few.success.sum() < many.success.sum()


def test_gradients_find_what_nets_fall_to(fitted: dict[tuple[str, str], Any], loans: pd.DataFrame) -> None:
    """Ten steps of descent turn as many rows as ten times the questions of a search."""
    net, rows = fitted["mlp", "two"], loans[160:]
    by_slope = attack(net, rows, eps=EPS, method="pgd", budget=20)
    by_search = attack(net, rows, eps=EPS, method="search", budget=20)
    assert by_slope.success.sum() >= by_search.success.sum()
    assert not by_slope.masked.any()


def test_no_attack_on_trees_is_stronger_than_the_exact_one() -> None:
    """What is not certified exactly is turned, and the other way round."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    y = (X["a"] * X["b"] > 0).astype(int)
    trees = BoostedTreesClassifier(n_estimators=12, max_depth=3, early_stopping=False, random_state=0).fit(X, y)
    rows, eps = X[:60], {"a": 0.3, "b": 0.3, "c": 0.3}
    exact = attack(trees, rows, eps=eps, method="veritas", budget=1, time_limit=10.0)
    certified = certify(trees, rows, eps=eps, method="veritas", time_limit=10.0).certified
    assert_array_equal(exact.success, ~certified)
    assert attack(trees, rows, eps=eps, method="search", budget=3).success.sum() < exact.success.sum()


class Steps(nn.Module):
    """A net whose gradient is 0 almost everywhere, and that falls all the same."""

    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.output = nn.Linear(n_features, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        return self.output((X * 3).round().detach() / 3)


def test_masked_gradients_are_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    net = ModuleClassifier(module=Steps, max_epochs=20, learning_rate=0.05, random_state=0).fit(X, y)
    found = attack(net, X[:60], y[:60], eps=[0.5] * 3, budget=30)
    assert found.success.any()
    assert found.masked[found.success].all()


def test_any_classifier_is_attacked(loans: pd.DataFrame, paid: np.ndarray) -> None:
    X = loans[["age", "debt"]].to_numpy()
    neighbours: ClassifierMixin = KNeighborsClassifier().fit(X[:160], paid[:160])
    found = attack(neighbours, X[160:], paid[160:], eps=[5.0, 0.5], budget=40)
    assert isinstance(found.X_adversarial, np.ndarray)
    assert found.success.any()
    assert_array_equal(neighbours.predict(found.X_adversarial) != neighbours.predict(X[160:]), found.success)


def test_the_seed_decides(fitted: dict[tuple[str, str], Any], loans: pd.DataFrame) -> None:
    one, two = (attack(fitted["hybrid", "two"], loans[160:], eps=EPS, budget=10, random_state=3) for _ in range(2))
    pd.testing.assert_frame_equal(one.frame, two.frame)
    pd.testing.assert_frame_equal(one.X_adversarial, two.X_adversarial)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"method": "luck"}, "method must be one of"), ({"budget": 0}, "budget must be at least 1")],
)
def test_bad_arguments_are_named(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        attack(fitted["trees", "two"], loans[160:], eps=EPS, **arguments)


# -- counterfactuals


@pytest.mark.filterwarnings("ignore:levels that were not there in fit")
def test_counterfactuals_turn_the_decision_and_change_little(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame
) -> None:
    model, rows = fitted["hybrid", "two"], loans[160:180]
    constraints = FeatureConstraints.from_data(loans, immutable=["age"], categorical={"job": ["cook", "boss"]})
    near = counterfactuals(model, rows, constraints, budget=60)
    assert near.found.mean() > 0.9
    assert_array_equal(model.predict(near.X), near.label)
    assert_array_equal(model.predict(rows) != near.label, near.found)
    assert_array_equal(near.X["age"], rows["age"])
    assert near.frame["row"].value_counts().reindex(range(20), fill_value=0).tolist() == near.n_changed.tolist()
    far = attack(model, rows, eps=dict.fromkeys(("income", "debt"), 10000.0), constraints=constraints, budget=60)
    change = np.abs(far.X_adversarial["debt"] - rows["debt"])
    assert np.abs(near.X["debt"] - rows["debt"]).mean() < change.mean() / 2
    assert near.n_changed[near.found].mean() < 2.5


def test_a_linear_boundary_is_approached(loans: pd.DataFrame, paid: np.ndarray) -> None:
    """Of a stump the nearest change is known: just over its threshold."""
    X = pd.DataFrame({"x": np.linspace(0, 1, 200), "noise": np.random.default_rng(0).normal(size=200)})
    y = (X["x"] > 0.6).astype(int)
    stump = BoostedTreesClassifier(
        n_estimators=1, learning_rate=1.0, max_depth=1, max_features=1.0, early_stopping=False
    )
    stump.fit(X, y)
    near = counterfactuals(stump, X[::20], FeatureConstraints.from_data(X), budget=60)
    assert near.found.all()
    assert_array_equal(near.X["noise"], X["noise"][::20])
    assert np.abs(near.X["x"] - 0.6).max() < 0.02
