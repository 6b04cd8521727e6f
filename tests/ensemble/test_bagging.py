"""Bagging: draws of the rows, judged by the models that left a row out, with the prior put back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hybridlearn.crossfit import margin
from hybridlearn.ensemble import HybridBaggingClassifier, HybridBaggingRegressor, HybridClassifier, HybridRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

N_ROWS = 80
IDS = 1000 + 7 * np.arange(N_ROWS)  # no id is a position
RNG = np.random.default_rng(0)
X = np.column_stack([IDS, RNG.normal(size=(N_ROWS, 2))])
NUMBER = X[:, 1] + RNG.normal(size=N_ROWS)
TWO = (NUMBER > 0.5).astype(int)
THREE = np.digitize(NUMBER, [-1, 0.5])
GROUPS = np.arange(N_ROWS) // 5
WEIGHT = RNG.uniform(0.5, 2, N_ROWS)


class Spy(BaseEstimator):
    """Keeps what it was fitted on, by the ids in the first column."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Any:
        self.seen_, self.target_ = (X[:, 0].astype(int) - 1000) // 7, y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


class SpyClassifier(ClassifierMixin, Spy):
    pass


class SpyRegressor(RegressorMixin, Spy):
    pass


class WeighedSpy(SpyClassifier):
    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
        self.weight_ = sample_weight
        return super().fit(X, y)


def bagged(estimator: Any, resample: str, n_estimators: int = 6, **settings: Any) -> Any:
    is_classifier = isinstance(estimator, ClassifierMixin) or "Classifier" in type(estimator).__name__
    cls = HybridBaggingClassifier if is_classifier else HybridBaggingRegressor
    own = {"estimator": estimator, "resample": resample, "n_estimators": n_estimators, "random_state": 0}
    return cls(**own | settings)


def fits_of(bag: Any) -> list[Any]:
    return [entry for entry in bag.ledger_.entries if entry.step == "fit"]


# bootstrap


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("spy", [SpyClassifier(), WeighedSpy(), SpyRegressor()], ids=["plain", "weighed", "numbers"])
def test_out_of_bag_rows_are_those_that_a_model_never_saw(spy: Any, grouped: bool) -> None:
    y = NUMBER if isinstance(spy, SpyRegressor) else TWO
    bag = bagged(spy, "bootstrap").fit(X, y, groups=GROUPS if grouped else None)
    bag.ledger_.assert_leak_free()
    if grouped:
        bag.ledger_.assert_grouped(GROUPS)
    for entry, test, fitted in zip(fits_of(bag), bag.oof_.tests, bag.named_estimators_.estimator, strict=True):
        np.testing.assert_array_equal(entry.fitted_on, np.unique(fitted.seen_))
        np.testing.assert_array_equal(test, np.setdiff1d(np.arange(N_ROWS), fitted.seen_))
        np.testing.assert_array_equal(entry.predicted, test)
        np.testing.assert_array_equal(fitted.target_, y[fitted.seen_])
        assert 0.2 < len(test) / N_ROWS < 0.55  # about 1 / e
        if grouped:
            assert not set(GROUPS[test]) & set(GROUPS[fitted.seen_])
    assert len({fitted.seen_.tobytes() for fitted in bag.named_estimators_.estimator}) == 6


def counts_of(fitted: Any) -> np.ndarray:
    return np.bincount(fitted.seen_, minlength=N_ROWS)


def test_drawn_twice_is_a_weight_of_two() -> None:
    """A spy that takes no weights gets the same draws as repeated rows."""
    weighed, plain = (bagged(spy, "bootstrap").fit(X, TWO) for spy in (WeighedSpy(), SpyClassifier()))
    for one, two in zip(weighed.named_estimators_.estimator, plain.named_estimators_.estimator, strict=True):
        assert counts_of(one).max() == 1
        assert counts_of(two).max() > 1
        assert counts_of(two).sum() == N_ROWS
        np.testing.assert_array_equal(one.weight_, counts_of(two)[one.seen_])


def test_weights_multiply_those_of_the_draw() -> None:
    plain = bagged(WeighedSpy(), "bootstrap").fit(X, TWO)
    weighted = bagged(WeighedSpy(), "bootstrap").fit(X, TWO, sample_weight=WEIGHT)
    for one, two in zip(plain.named_estimators_.estimator, weighted.named_estimators_.estimator, strict=True):
        np.testing.assert_array_equal(one.seen_, two.seen_)
        np.testing.assert_array_equal(two.weight_, one.weight_ * WEIGHT[one.seen_])


def test_as_many_groups_are_drawn_as_there_are() -> None:
    bag = bagged(SpyClassifier(), "bootstrap").fit(X, TWO, groups=GROUPS)
    for fitted in bag.named_estimators_.estimator:
        of_group = counts_of(fitted).reshape(16, 5)
        assert (of_group == of_group[:, :1]).all()
        assert of_group[:, 0].sum() == 16
        assert of_group[:, 0].max() > 1


@pytest.mark.parametrize(
    ("estimator", "y"),
    [(LogisticRegression(), TWO), (GaussianNB(), THREE), (LinearRegression(), NUMBER), (KNeighborsClassifier(), TWO)],
)
def test_a_rows_margin_is_the_mean_over_the_bags_that_left_it_out(estimator: Any, y: np.ndarray) -> None:
    bag = bagged(estimator, "bootstrap", n_estimators=3).fit(X[:, 1:], y)
    total, n_left_out = 0.0, np.zeros(N_ROWS)
    for entry, fitted in zip(fits_of(bag), bag.named_estimators_.estimator, strict=True):
        n_distinct = len(entry.fitted_on)
        repeated = "KNeighbors" in type(estimator).__name__
        out = np.isin(np.arange(N_ROWS), entry.predicted)
        floor = 1 / (2 * (N_ROWS if repeated else n_distinct))
        total = total + np.where(out[:, None], margin(fitted, X[:, 1:], floor=floor), 0)
        n_left_out += out
    covered = n_left_out > 0
    assert 0.5 < covered.mean() < 1
    found = bag.oof_.margins["estimator"]
    np.testing.assert_allclose(found[covered], total[covered] / n_left_out[covered, None], rtol=1e-12)
    assert np.isnan(found[~covered]).all()
    np.testing.assert_array_equal(bag.oof_.covered, covered)
    assert bag.oof_.coverage == covered.mean()


def test_the_fit_on_a_bag_is_one_of_distinct_rows_with_weights() -> None:
    trees = BoostedTreesClassifier(n_estimators=8, learning_rate=0.3)
    bag = bagged(trees, "bootstrap").fit(X[:, 1:], TWO)
    counts = [counts_of(s) for s in bagged(SpyClassifier(), "bootstrap").fit(X, TWO).named_estimators_.estimator]
    seeds = set()
    for n_drawn, fitted in zip(counts, bag.named_estimators_.estimator, strict=True):
        rows = np.flatnonzero(n_drawn)
        alone = clone(fitted).fit(X[rows, 1:], TWO[rows], sample_weight=n_drawn[rows])
        np.testing.assert_array_equal(fitted.margin(X[:, 1:]), alone.margin(X[:, 1:]))
        seeds.add(fitted.random_state)
    assert len(seeds) == 6


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("regression", [False, True])
def test_no_row_both_trains_and_stops_a_training(regression: bool, grouped: bool) -> None:
    kind, y = (BoostedTreesRegressor, NUMBER) if regression else (BoostedTreesClassifier, TWO)
    bag = bagged(kind(n_estimators=5, learning_rate=0.3), "bootstrap")
    bag.fit(X[:, 1:], y, groups=GROUPS if grouped else None)
    stops = [entry for entry in bag.ledger_.entries if entry.step == "early stopping"]
    for entry, stop, fitted in zip(fits_of(bag), stops, bag.named_estimators_.estimator, strict=True):
        # the fit has each row once: a row that is there twice could be on both sides
        assert len(np.unique(fitted.row_hashes_)) == len(fitted.row_hashes_) == len(entry.fitted_on)
        np.testing.assert_array_equal(stop.fitted_on, entry.fitted_on[fitted.stopping_rows_])
        assert 0 < len(stop.fitted_on) < len(entry.fitted_on) / 2
    bag.ledger_.assert_leak_free()
    if grouped:
        bag.ledger_.assert_grouped(GROUPS)


def test_few_groups_are_enough() -> None:
    for resample in ("bootstrap", "under"):
        bag = bagged(GaussianNB(), resample).fit(X, TWO, groups=np.arange(N_ROWS) // 27)
        assert set(bag.oof_.fold) <= {-1, 0, 1, 2}
        assert bag.oof_.coverage > 0.9


# folds


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("regression", [False, True])
def test_folds_are_a_hybrid_of_one_member(regression: bool, weighted: bool) -> None:
    trees, plain, y = (
        (BoostedTreesRegressor, HybridRegressor, NUMBER)
        if regression
        else (BoostedTreesClassifier, HybridClassifier, THREE)
    )
    weight = WEIGHT if weighted else None
    member = trees(n_estimators=5, learning_rate=0.3)
    bag = bagged(member, "folds", n_estimators=4).fit(X, y, sample_weight=weight)
    hybrid = plain(estimators=[("estimator", member)], cv=4, final_estimator="mean", random_state=0)
    hybrid.fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(bag.margin(X), hybrid.margin(X))
    pd.testing.assert_frame_equal(bag.oof_.frame, hybrid.oof_.frame)
    assert bag.oof_.coverage == 1


@pytest.mark.parametrize("resample", ["folds", "bootstrap"])
def test_a_prediction_is_the_mean_of_all_models(resample: str) -> None:
    bag = bagged(DecisionTreeRegressor(max_depth=3), resample).fit(X, NUMBER)
    expected = np.mean([fitted.predict(X) for fitted in bag.named_estimators_.estimator], axis=0)
    np.testing.assert_allclose(bag.predict(X), expected, rtol=1e-12)
    classes = bagged(DecisionTreeClassifier(max_depth=3), resample).fit(X, TWO)
    mean = np.mean([model.margin(X) for model in classes.models_["estimator"]], axis=0)
    total = classes.intercept_ + mean * classes.weights_["estimator"]
    np.testing.assert_allclose(classes.margin(X), total / classes.temperature_)


# balanced draws


@pytest.mark.parametrize("n_estimators", [3, 7])
@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_each_draw_is_balanced_and_leaves_a_fold_out(y: np.ndarray, n_estimators: int) -> None:
    bag = bagged(WeighedSpy(), "under", n_estimators).fit(X, y)
    n_parts = min(n_estimators, 5)
    draws = bag.named_estimators_.estimator
    for i, (fitted, test) in enumerate(zip(draws, bag.oof_.tests, strict=True)):
        np.testing.assert_array_equal(test, np.flatnonzero(bag.oof_.fold == i % n_parts))
        inside = np.bincount(np.delete(y, test))
        assert np.bincount(y[fitted.seen_]).tolist() == [inside.min()] * len(inside)
        assert counts_of(fitted).max() == 1
        assert not set(fitted.seen_) & set(test)
        assert fitted.weight_ is None
    assert len({counts_of(fitted).tobytes() for fitted in draws}) == n_estimators
    assert bag.oof_.coverage == 1
    bag.ledger_.assert_leak_free()


def test_balanced_draws_keep_weights_and_groups() -> None:
    bag = bagged(WeighedSpy(), "under").fit(X, TWO, sample_weight=WEIGHT, groups=GROUPS)
    for fitted, test in zip(bag.named_estimators_.estimator, bag.oof_.tests, strict=True):
        np.testing.assert_array_equal(fitted.weight_, WEIGHT[fitted.seen_])
        assert not set(GROUPS[test]) & set(GROUPS[fitted.seen_])
    bag.ledger_.assert_grouped(GROUPS)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_the_shift_puts_the_prior_of_the_training_part_back(y: np.ndarray) -> None:
    """A model that says nothing says the prior."""
    bag = bagged(SpyClassifier(), "under").fit(X, y)
    for model, test in zip(bag.models_["estimator"], bag.oof_.tests, strict=True):
        prior = np.bincount(np.delete(y, test)) / (N_ROWS - len(test))
        told = model.margin(X[:1])[0]
        p = np.array([1 - expit(told[0]), expit(told[0])]) if len(prior) == 2 else softmax(told)
        np.testing.assert_allclose(p, prior, rtol=1e-12)
        np.testing.assert_allclose(bag.oof_.margins["estimator"][test], told[None].repeat(len(test), 0), rtol=1e-12)
    if y is THREE:
        np.testing.assert_allclose(bag.margin(X).sum(axis=1), 0, atol=1e-9)


def large(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6000, 2))
    logits = np.column_stack([np.zeros(6000), table[:, 0] - 2.5, table[:, 1] - 3.5])[:, :n_classes]
    p = softmax(logits, axis=1)
    return table, (p.cumsum(axis=1) < rng.random((6000, 1))).sum(axis=1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_the_whole(n_classes: int) -> None:
    table, y = large(n_classes)
    rates = np.bincount(y) / len(y)
    assert rates[-1] < 0.15
    bag = bagged(LogisticRegression(), "under", n_estimators=10).fit(table, y)
    np.testing.assert_allclose(bag.predict_proba(table).mean(axis=0), rates, rtol=0.05)
    plain = margin(LogisticRegression().fit(table, y), table)
    assert np.abs(bag.margin(table) - plain).mean() < 0.1
    # without the shift the margins are those of balanced classes, off by the logarithm of their odds
    odds = np.log(rates[1:] / rates[0]) if n_classes == 2 else np.log(rates) - np.log(rates).mean()
    bare = np.mean([margin(model.estimator, table) for model in bag.models_["estimator"]], axis=0)
    assert np.abs(odds).min() > 0.3
    np.testing.assert_allclose((plain - bare).mean(axis=0), odds, atol=0.02)


def test_a_class_that_a_training_part_lacks_is_no_obstacle() -> None:
    y = np.where(np.arange(N_ROWS) < 1, 2, TWO)
    for resample in ("under", "bootstrap"):
        bag = bagged(LogisticRegression(), resample).fit(X[:, 1:], y)
        assert {model.lacks_classes for model in bag.models_["estimator"]} == {False, True}
        assert bag.predict_proba(X[:, 1:]).shape == (N_ROWS, 3)
        assert np.isfinite(bag.margin(X[:, 1:])).all()


# time


def test_draws_of_all_times_are_refused() -> None:
    for resample in ("bootstrap", "under"):
        with pytest.raises(ValueError, match=f"resample='{resample}' draws rows of all times .* use 'folds'"):
            bagged(GaussianNB(), resample).fit(X, TWO, time=np.arange(N_ROWS))


def test_folds_forward_in_time_end_with_fits_on_all_rows() -> None:
    """As many as there are folds, which differ in their seeds."""
    time = np.random.default_rng(0).permutation(N_ROWS)
    trees = BoostedTreesClassifier(n_estimators=8, learning_rate=0.3, subsample=0.5)
    bag = bagged(trees, "folds", n_estimators=4).fit(X[:, 1:], TWO, time=time)
    bag.ledger_.assert_in_order(time)
    (models,) = bag.estimators_
    assert len(models) == 4
    assert bag.oof_.coverage == pytest.approx(0.8)
    assert len({model.random_state for model in models}) == 4
    assert len({model.margin(X[:, 1:]).tobytes() for model in models}) == 4
    found = bag.oof_.models["estimator"][-1].estimator.rounds_found()
    for model in models:
        assert not model.early_stopping
        assert {name: getattr(model, name) for name in found} == found
        assert len(model.row_hashes_) == N_ROWS
    again = bagged(LinearRegression(), "folds", n_estimators=4).fit(X, NUMBER, time=time)
    np.testing.assert_allclose(again.predict(X), LinearRegression().fit(X, NUMBER).predict(X))


# parameters


def test_regressions_have_no_classes_to_balance() -> None:
    with pytest.raises(ValueError, match="resample='under' balances classes, a regression has none"):
        bagged(LinearRegression(), "under").fit(X, NUMBER)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"estimator": LinearRegression()}, TypeError, r"member 'estimator' \(LinearRegression\) is not a classifier"),
        ({"estimator": "trees"}, ValueError, "estimator"),
        ({"n_estimators": 1}, ValueError, "n_estimators"),
        ({"resample": "over"}, ValueError, "resample"),
    ],
)
def test_what_cannot_be_bagged_is_refused(settings: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        HybridBaggingClassifier(**{"estimator": GaussianNB()} | settings).fit(X, TWO)


def test_parameters_of_the_estimator_are_searched_by_name() -> None:
    bag = bagged(DecisionTreeClassifier(), "bootstrap", n_estimators=2)
    search = GridSearchCV(bag, {"estimator__max_depth": [1, 3], "resample": ["under"]}, cv=2).fit(X, TWO)
    assert search.best_estimator_.get_params()["estimator__max_depth"] in (1, 3)
    (models,) = search.best_estimator_.estimators_
    assert {model.max_depth for model in models} == {search.best_params_["estimator__max_depth"]}
    assert bag.estimator.max_depth is None


@pytest.mark.parametrize("resample", ["folds", "bootstrap", "under"])
def test_one_seed_decides_all(resample: str) -> None:
    tree = DecisionTreeClassifier(max_features=1)
    first, again, other = (bagged(tree, resample, random_state=seed).fit(X, TWO).margin(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_members_without_weights_are_named_once() -> None:
    for resample in ("folds", "bootstrap", "under"):
        with pytest.warns(UserWarning, match=r"members \['estimator'\] take no sample_weight") as said:
            bagged(KNeighborsClassifier(), resample).fit(X, TWO, sample_weight=WEIGHT)
        assert len(said) == 1
