"""The mean of fold models: what it loses in spread is put back, by what the models say and no label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hybridlearn._clock import Deadline
from hybridlearn._heads import centred
from hybridlearn.crossfit import Ledger, OutOfFold
from hybridlearn.ensemble import HybridBaggingClassifier, HybridClassifier, HybridRegressor, HybridStackingClassifier
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._blend import Blend
from hybridlearn.ensemble._stretch import stretched

ONE = Blend(np.ones(1), np.zeros(1))


@dataclass(frozen=True)
class Told:
    """A model whose margins are known beforehand; the table holds positions of rows."""

    margins: np.ndarray
    front: Any = None

    def seen(self, X: np.ndarray) -> np.ndarray:
        return X

    def margin_behind(self, X: np.ndarray) -> np.ndarray:
        return self.margins[X[:, 0]]


def told(margins: np.ndarray, *, classes: int = 2) -> tuple[OutOfFold, np.ndarray]:
    """The table of one member, and what its models were fitted on; margins are of (n_models, n_rows, n_outputs)."""
    n_models, n_rows, _ = margins.shape
    fold = np.arange(n_rows) % n_models
    oof = OutOfFold(
        margins={"a": margins[fold, np.arange(n_rows)]},
        fold=fold,
        target=fold % 2,
        classes=np.arange(classes),
        weight=np.ones(n_rows),
        positions=np.arange(n_rows),
        is_ordered=False,
        tests=[np.flatnonzero(fold == k) for k in range(n_models)],
        models={"a": [Told(each) for each in margins]},  # type: ignore[list-item]
        fit_seconds={"a": 1.0},
        failed={},
        ledger=Ledger(),
    )
    return oof, np.arange(n_rows)[:, None]


def noisy(n_models: int, n_rows: int, n_outputs: int = 1, *, noise: float = 1.0) -> np.ndarray:
    """Models that each add a noise of their own to what they have in common."""
    rng = np.random.default_rng(0)
    common = rng.normal(0.5, 1, size=(n_rows, n_outputs))
    return common + noise * rng.normal(size=(n_models, n_rows, n_outputs))


def test_the_mean_is_as_steep_as_the_truth_is_on_it() -> None:
    # of f + e, what is best known of the truth by one model is its margin itself; by the mean of 4, 2 / 1.25 times it;
    # small margins: all rows count alike
    blend = stretched(ONE, 1.0, *told(0.01 * noisy(4, 2000)))
    assert_allclose(blend.weights, 2 / 1.25, rtol=0.05)
    assert_allclose(blend.margin(np.full((1, 1, 1), 0.005)), 0.005, atol=0.001)


def test_probabilities_of_the_mean_are_as_sure_as_they_may_be() -> None:
    margins = noisy(5, 50_000)
    truth = noisy(5, 50_000, noise=0)[0, :, 0]
    target = np.random.default_rng(1).uniform(size=len(truth)) < expit(truth)
    oof, X = told(margins)

    def slope(margin: np.ndarray) -> tuple[float, float]:
        found = LogisticRegression(C=np.inf).fit(margin, target)
        return found.coef_[0, 0], found.intercept_[0]

    weight, intercept = slope(oof.margins["a"])
    new = stretched(Blend(np.array([weight]), np.array([intercept])), 1.0, oof, X)
    of_mean, _ = slope(margins.mean(axis=0))
    assert of_mean > 1.5 * weight
    assert_allclose(new.weights[0], of_mean, rtol=0.1)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_margin_is_stretched_about_its_mean(temperature: float) -> None:
    blend = Blend(np.array([2.0]), np.array([0.003]))
    margins = 1e-3 * noisy(3, 500)
    oof, X = told(margins)
    new = stretched(blend, temperature, oof, X)
    by = new.weights[0] / 2
    mean = blend.margin(oof.margins["a"][None]).mean()
    assert by > 1.1
    given = np.linspace(-3, 3, 7).reshape(1, 7, 1)
    assert_allclose(new.margin(given), mean + by * (blend.margin(given) - mean), atol=1e-7)


def test_no_label_is_looked_at() -> None:
    oof, X = told(noisy(5, 400))
    other = replace(oof, target=1 - oof.target)
    assert_array_equal(stretched(ONE, 1.0, oof, X).weights, stretched(ONE, 1.0, other, X).weights)


def test_margins_of_several_classes_stay_centred() -> None:
    margins = np.stack([centred(each) for each in noisy(5, 400, 3)])
    oof, X = told(margins, classes=3)
    new = stretched(Blend(np.ones(1), np.zeros(3)), 1.0, oof, X)
    assert new.weights[0] > 1.1
    assert_allclose(new.intercept.sum(), 0, atol=1e-12)


def test_weights_of_rows_count_as_rows_do() -> None:
    margins = noisy(4, 300)
    margins[:, 150:] *= 3
    oof, X = told(margins)
    doubled, X_doubled = told(np.concatenate([margins, margins[:, :100]], axis=1))
    fold = np.append(oof.fold, oof.fold[:100])
    doubled = replace(doubled, fold=fold, tests=[np.flatnonzero(fold == k) for k in range(4)])
    oof.weight[:100] = 2
    assert_allclose(stretched(ONE, 1.0, oof, X).weights, stretched(ONE, 1.0, doubled, X_doubled).weights)


def test_the_most_that_is_put_back_is_what_a_mean_can_lose() -> None:
    # models that have nothing in common: of the mean of 4, a fourth of the variance is left
    assert_allclose(stretched(ONE, 1.0, *told(1e-4 * noisy(4, 2000, noise=100.0))).weights, 4, rtol=0.05)


@pytest.mark.parametrize(
    "margins",
    [
        pytest.param(noisy(2, 50), id="two models, of which one has seen a row"),
        pytest.param(noisy(1, 50), id="one model"),
        pytest.param(np.repeat(noisy(1, 50), 4, axis=0), id="models that are alike"),
        pytest.param(np.ones((4, 50, 1)), id="all rows are alike"),
        pytest.param(np.full((4, 50, 1), 1e3), id="no doubt"),
    ],
)
def test_where_nothing_is_lost_nothing_is_changed(margins: np.ndarray) -> None:
    oof, X = told(margins)
    new = stretched(ONE, 1.0, oof, X)
    assert_allclose(new.weights, 1, rtol=1e-12)
    assert_allclose(new.intercept, 0, atol=1e-9)


def test_past_its_deadline_it_looks_at_fewer_rows() -> None:
    oof, X = told(noisy(4, 1000))
    asked = []

    class Counted(Told):
        def margin_behind(self, X: np.ndarray) -> np.ndarray:
            asked.append(len(X))
            return super().margin_behind(X)

    oof.models["a"] = [Counted(each.margins) for each in oof.models["a"]]  # type: ignore[attr-defined]
    of_all = stretched(ONE, 1.0, oof, X, Deadline.after(1000))
    assert asked == [100] * 20
    asked.clear()
    assert stretched(ONE, 1.0, oof, X, Deadline.after(-1)).weights[0] == pytest.approx(of_all.weights[0], rel=0.2)
    assert asked == [100] * 4


def test_members_without_weight_are_not_asked() -> None:
    oof, X = told(noisy(4, 60))
    oof.models["silent"] = [object()] * 4  # type: ignore[list-item]
    assert stretched(Blend(np.array([1.0, 0.0]), np.zeros(1)), 1.0, oof, X).weights[0] > 1
    nobody = Blend(np.zeros(2), np.ones(1))
    assert stretched(nobody, 1.0, oof, X) is nobody


# in ensembles

LEAFY = {"min_samples_leaf": 10, "random_state": 0}


def learned(model: Any, kind: str = "greedy") -> Blend:
    """What the out-of-fold table alone says."""
    combiner = assemble(model.oof_, blend_learner(model.oof_, kind, seed=0)).final.combiner
    assert isinstance(combiner, Blend)
    return combiner


@pytest.mark.parametrize("target", ["two", "three"])
def test_a_hybrid_stretches_its_blend_and_judges_single_models_without(table, target: str) -> None:
    members = [("tree", DecisionTreeClassifier(**LEAFY))]
    model = HybridClassifier(estimators=members, cv=4, random_state=0).fit(table.X, getattr(table, target))
    plain = learned(model)
    new = stretched(plain, model.temperature_, model.oof_, table.X)
    assert new.weights[0] > plain.weights[0]
    assert_allclose(model.weights_, new.weights)
    assert_allclose(model.intercept_, new.intercept)
    assert_allclose(model.replay(table.X), model.oof_.margins["blend"])
    assert model.leaderboard_.set_index("member")["weight"]["tree"] == model.weights_["tree"]


def test_a_stack_of_weights_is_stretched_as_a_hybrid_is_and_one_with_a_final_estimator_is_not(table) -> None:
    shared: dict[str, Any] = {
        "estimators": [("tree", DecisionTreeClassifier(**LEAFY))],
        "cv": 4,
        "random_state": 0,
    }
    hybrid = HybridClassifier(**shared).fit(table.X, table.two)
    stack = HybridStackingClassifier(**shared).fit(table.X, table.two)
    assert_array_equal(stack.margin(table.X), hybrid.margin(table.X))
    final = HybridStackingClassifier(**shared, final_estimator=LogisticRegression()).fit(table.X, table.two)
    assert not hasattr(final, "weights_")


def test_a_number_is_what_the_blend_says(table) -> None:
    members = [("tree", DecisionTreeRegressor(**LEAFY))]
    model = HybridRegressor(estimators=members, cv=4, random_state=0).fit(table.X, table.number)
    assert_allclose(model.weights_, learned(model).weights)


def test_models_fitted_again_on_all_rows_are_no_mean(table) -> None:
    members = [("tree", DecisionTreeClassifier(**LEAFY))]
    model = HybridClassifier(estimators=members, cv=TimeSeriesSplit(3), random_state=0).fit(table.X, table.two)
    assert_allclose(model.weights_, learned(model).weights)


def test_bags_judge_a_row_by_a_mean_too_and_lose_less(table) -> None:
    params: dict[str, Any] = {
        "estimator": DecisionTreeClassifier(**LEAFY),
        "n_estimators": 12,
        "random_state": 0,
    }
    by = {}
    for resample in ("folds", "bootstrap"):
        model = HybridBaggingClassifier(**params, resample=resample).fit(table.X, table.two)
        by[resample] = model.weights_.iloc[0] / learned(model, "mean").weights[0]
    assert 1 < by["bootstrap"] < by["folds"]
