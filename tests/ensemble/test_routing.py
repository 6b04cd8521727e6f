"""Weights on their way through scikit-learn: routed to members, and into and out of its own ensembles and searches."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridlearn.crossfit import cross_fit
from hybridlearn.ensemble import (
    ConcatClassifier,
    HybridBaggingClassifier,
    HybridBoostingRegressor,
    HybridClassifier,
    HybridStackingClassifier,
    HybridStackingRegressor,
)
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.trees import BoostedTreesClassifier

N_ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
Y = (X[:, 0] + RNG.normal(size=N_ROWS) > 0).astype(int)
WEIGHT = np.where(X[:, 1] > 0, 3.0, 0.5)


def piped(*, routed: bool) -> Pipeline:
    """A scaler that asks for no weights, or refuses them, and a model that asks for them."""
    scaler, model = StandardScaler(), LogisticRegression()
    if routed:
        scaler.set_fit_request(sample_weight=False)
        model.set_fit_request(sample_weight=True)
    return make_pipeline(scaler, model)


def stack(member: Any, **settings: Any) -> HybridStackingClassifier:
    return HybridStackingClassifier(
        **{"estimators": [("piped", member)], "cv": 3, "final_estimator": "mean", "random_state": 0} | settings
    )


# metadata routing


def test_a_routed_pipeline_keeps_its_weights() -> None:
    """The same as those that are handed to its last step by hand, fold by fold."""
    plain = stack(piped(routed=False)).fit(X, Y, sample_weight=WEIGHT)
    with config_context(enable_metadata_routing=True):
        routed = stack(piped(routed=True)).fit(X, Y, sample_weight=WEIGHT)
        np.testing.assert_array_equal(routed.margin(X), plain.margin(X))
    for k, fitted in enumerate(routed.named_estimators_.piped):
        rows = np.flatnonzero(routed.oof_.fold != k)
        by_hand = piped(routed=False).fit(X[rows], Y[rows], logisticregression__sample_weight=WEIGHT[rows])
        np.testing.assert_array_equal(fitted[-1].coef_, by_hand[-1].coef_)
    unweighted = stack(piped(routed=False)).fit(X, Y)
    assert np.abs(unweighted.margin(X) - plain.margin(X)).max() > 0.05


def test_every_step_that_asks_gets_routed_weights() -> None:
    with config_context(enable_metadata_routing=True):
        member = piped(routed=True)
        member[0].set_fit_request(sample_weight=True)
        fitted = stack(member).fit(X, Y, sample_weight=WEIGHT).named_estimators_.piped[0]
        rows = np.flatnonzero(stack(member).fit(X, Y).oof_.fold != 0)
    np.testing.assert_allclose(fitted[0].mean_, np.average(X[rows], axis=0, weights=WEIGHT[rows]))


def test_a_routed_pipeline_that_asks_for_none_is_named_once() -> None:
    deaf = make_pipeline(StandardScaler(), LogisticRegression())
    with config_context(enable_metadata_routing=True):
        for part in (deaf[0], deaf[1]):
            part.set_fit_request(sample_weight=False)
        members = [("piped", deaf), ("asks", piped(routed=True))]
        with pytest.warns(UserWarning, match=r"members \['piped'\] take no sample_weight") as said:
            fitted = stack(None, estimators=members).fit(X, Y, sample_weight=WEIGHT)
        assert len(said) == 1
        expected = cross_fit(members[:1], X, Y, cv=3, random_state=0).margins["piped"]
    np.testing.assert_array_equal(fitted.oof_.margins["piped"], expected)


def test_a_final_estimator_is_routed_to_as_well() -> None:
    found = []
    for routed in (False, True):
        with config_context(enable_metadata_routing=routed):
            final = piped(routed=routed)
            found.append(stack(piped(routed=routed), final_estimator=final).fit(X, Y, sample_weight=WEIGHT).margin(X))
    np.testing.assert_array_equal(*found)


# members without weights

DEAF = ("deaf", KNeighborsClassifier())
HEARS = ("hears", LogisticRegression())
ENSEMBLES = {
    "hybrid": (HybridClassifier(estimators=[HEARS, DEAF], cv=2), "deaf"),
    "stacking": (HybridStackingClassifier(estimators=[HEARS, DEAF], cv=2), "deaf"),
    "final": (HybridStackingClassifier(estimators=[HEARS], cv=2, final_estimator=DEAF[1]), "final_estimator"),
    "bagging": (HybridBaggingClassifier(estimator=DEAF[1], n_estimators=2), "estimator"),
    "boosting": (
        HybridBoostingRegressor(estimators=[("hears", Ridge()), ("deaf", KNeighborsRegressor())], cv=2, inner_cv=2),
        "deaf",
    ),
    "concat": (ConcatClassifier(embedders=[("deaf", PCA(2))], cv=2), "deaf"),
}


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_member_without_weights_is_named_in_one_warning(name: str) -> None:
    ensemble, deaf = ENSEMBLES[name]
    with pytest.warns(UserWarning, match=rf"members \['{deaf}'\] take no sample_weight and are fitted without") as said:
        clone(ensemble).fit(X, Y, sample_weight=WEIGHT)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(ensemble).fit(X, Y)


def test_a_second_layer_does_not_repeat_the_warning() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(240, 8))
    step = 3 * (wide.sum(axis=1) > 1) + 0.3 * rng.normal(size=240)
    members = [("linear", Ridge()), ("deaf", KNeighborsRegressor(20))]
    stacked = HybridStackingRegressor(estimators=members, cv=3, layers=2, random_state=0)
    with pytest.warns(UserWarning, match=r"members \['deaf'\] take no sample_weight") as said:
        stacked.fit(wide, step, sample_weight=np.ones(240))
    assert stacked.n_layers_ == 2
    assert len(said) == 1


# inside cross-validation and searches


@pytest.mark.parametrize("routed", [False, True])
def test_weights_come_through_cross_validation(routed: bool) -> None:
    folds = StratifiedKFold(2)
    with config_context(enable_metadata_routing=routed):
        ensemble = stack(piped(routed=routed))
        if routed:
            ensemble.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        found = cross_validate(ensemble, X, Y, cv=folds, params={"sample_weight": WEIGHT}, return_estimator=True)
    for (train, _), fitted in zip(folds.split(X, Y), found["estimator"], strict=True):
        by_hand = stack(piped(routed=False)).fit(X[train], Y[train], sample_weight=WEIGHT[train])
        np.testing.assert_array_equal(fitted.margin(X), by_hand.margin(X))


@pytest.mark.parametrize("routed", [False, True])
def test_weights_come_through_a_search(routed: bool) -> None:
    with config_context(enable_metadata_routing=routed):
        ensemble = stack(piped(routed=routed))
        if routed:
            ensemble.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = GridSearchCV(ensemble, {"piped__logisticregression__C": [0.01, 1.0]}, cv=2)
        search.fit(X, Y, sample_weight=WEIGHT)
    best = search.best_params_["piped__logisticregression__C"]
    by_hand = stack(piped(routed=False).set_params(logisticregression__C=best)).fit(X, Y, sample_weight=WEIGHT)
    np.testing.assert_array_equal(search.best_estimator_.margin(X), by_hand.margin(X))


# ours inside scikit-learn's ensembles

NET = TabularMLPClassifier(hidden_layer_sizes=(4,), max_epochs=3, learning_rate=0.05, early_stopping=False)
# AdaBoost's weights sum to 1
TREES = BoostedTreesClassifier(n_estimators=3, max_depth=1, learning_rate=0.5)
HYBRID = HybridClassifier(estimators=[("linear", LogisticRegression())], cv=2)


@pytest.mark.parametrize("outer", [AdaBoostClassifier, BaggingClassifier])
@pytest.mark.parametrize("inner", [TREES, NET, HYBRID], ids=["trees", "net", "hybrid"])
def test_ours_are_members_of_scikit_learns_ensembles(inner: Any, outer: type) -> None:
    def told(weight: np.ndarray | None = None) -> np.ndarray:
        ensemble = outer(inner, n_estimators=3, random_state=0)
        return ensemble.fit(X, Y, sample_weight=weight).predict_proba(X)

    first = told()
    np.testing.assert_array_equal(told(), first)
    assert np.abs(told(WEIGHT) - first).max() > 1e-3
    assert (first.argmax(axis=1) == Y).mean() > 0.6
