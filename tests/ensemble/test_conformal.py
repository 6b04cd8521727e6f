"""Intervals and sets of labels against their definitions, written out row by row."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hybridlearn.crossfit import FoldModel, Ledger, OutOfFold
from hybridlearn.ensemble import (
    HybridBaggingClassifier,
    HybridBaggingRegressor,
    HybridBoostingRegressor,
    HybridClassifier,
    HybridRegressor,
    HybridStackingClassifier,
)
from hybridlearn.ensemble._conformal import intervals, label_sets

N_ROWS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 2))
NUMBER = X[:, 0] + RNG.normal(size=N_ROWS)
TWO = (NUMBER > 0).astype(int)
THREE = np.digitize(NUMBER, [-0.7, 0.7])
WEIGHT = RNG.integers(1, 4, N_ROWS)
NEW = RNG.normal(size=(25, 2))


# the definitions


def place(n: int, weight: np.ndarray, alpha: float) -> float:
    """Of how many rows, each there as often as it weighs, the (1 - alpha) quantile with one row more is the last."""
    return (1 - alpha) * (n + 1) / n * weight.sum() - 1e-9


def upper_quantile(values: np.ndarray, weight: np.ndarray, alpha: float) -> float:
    repeated = np.sort(np.repeat(values, weight))
    k = math.ceil(place(len(values), weight, alpha))
    return repeated[k - 1] if k <= len(repeated) else np.inf


def interval_by_hand(residual: np.ndarray, told: np.ndarray, weight: np.ndarray, alpha: float) -> list[float]:
    """CV+ and jackknife+: `told` is what the models that never saw a row say of the new one, one number a row."""
    return [-upper_quantile(residual - told, weight, alpha), upper_quantile(told + residual, weight, alpha)]


def set_by_hand(score: np.ndarray, told: np.ndarray, codes: np.ndarray, weight: np.ndarray, alpha: float) -> list[bool]:
    """CV+ class by class: `told` holds 1 - p of each label for the new row, by the models that never saw a row."""
    kept = []
    for label in range(told.shape[1]):
        of = codes == label
        n_below = weight[of][score[of] < told[of, label]].sum()
        kept.append(bool(not of.any() or n_below < place(of.sum(), weight[of], alpha)))
    return kept


# folds


@pytest.mark.parametrize("weight", [np.ones(N_ROWS, dtype=int), WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.37])
def test_intervals_of_folds_are_cv_plus(weight: np.ndarray, alpha: float) -> None:
    members = [("line", LinearRegression()), ("ridge", Ridge(20))]
    hybrid = HybridRegressor(estimators=members, cv=4, final_estimator="mean", random_state=0)
    hybrid.fit(X, NUMBER, sample_weight=None if (weight == 1).all() else weight)
    told, residual = np.empty((N_ROWS, len(NEW))), np.empty(N_ROWS)
    for fold in range(4):
        inside, outside = hybrid.oof_.fold != fold, hybrid.oof_.fold == fold
        fitted = [m.fit(X[inside], NUMBER[inside], sample_weight=weight[inside]) for _, m in members]
        told[outside] = np.mean([m.predict(NEW) for m in fitted], axis=0)
        residual[outside] = np.abs(NUMBER[outside] - np.mean([m.predict(X[outside]) for m in fitted], axis=0))
    expected = [interval_by_hand(residual, told[:, j], weight, alpha) for j in range(len(NEW))]
    np.testing.assert_allclose(hybrid.predict_interval(NEW, alpha), expected, rtol=1e-9)


@pytest.mark.parametrize("weight", [np.ones(N_ROWS, dtype=int), WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("codes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("alpha", [0.1, 0.4])
def test_sets_of_folds_are_cv_plus_class_by_class(weight: np.ndarray, codes: np.ndarray, alpha: float) -> None:
    members = [("bayes", GaussianNB()), ("linear", LogisticRegression())]
    hybrid = HybridClassifier(estimators=members, cv=4, final_estimator="nonnegative", random_state=0)
    hybrid.fit(X, codes, sample_weight=None if (weight == 1).all() else weight)
    told, score = np.empty((N_ROWS, len(NEW), codes.max() + 1)), np.empty(N_ROWS)
    for fold in range(4):
        rows, judge = np.flatnonzero(hybrid.oof_.fold == fold), hybrid.judge(fold)

        def probability(table: np.ndarray, fold: int = fold, judge: Any = judge) -> np.ndarray:
            margins = [models[fold].margin(table) for models in hybrid.models_.values()]
            margin = judge.combiner.intercept + sum(w * m for w, m in zip(judge.combiner.weights, margins, strict=True))
            margin = margin / judge.temperature
            return softmax(np.column_stack([0 * margin, margin]) if margin.shape[1] == 1 else margin, axis=1)

        told[rows] = 1 - probability(NEW)
        score[rows] = 1 - probability(X[rows])[np.arange(len(rows)), codes[rows]]
    expected = [set_by_hand(score, told[:, j], codes, weight, alpha) for j in range(len(NEW))]
    sets = hybrid.predict_set(NEW, alpha)
    np.testing.assert_array_equal(sets, expected)
    assert len(np.unique(sets, axis=0)) > 1


# bags


@pytest.mark.parametrize("weight", [np.ones(N_ROWS, dtype=int), WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("n_bags", [3, 25])
def test_intervals_of_bootstraps_are_jackknife_plus_after_bootstrap(weight: np.ndarray, n_bags: int) -> None:
    tree = DecisionTreeRegressor(max_depth=3)
    bag = HybridBaggingRegressor(estimator=tree, n_estimators=n_bags, resample="bootstrap", random_state=0)
    bag.fit(X, NUMBER, sample_weight=None if (weight == 1).all() else weight)
    residual, told, rows = [], [], []
    for i in range(N_ROWS):
        without = [
            model.estimator
            for model, test in zip(bag.models_["estimator"], bag.oof_.tests, strict=True)
            if i in test.tolist()
        ]
        if without:
            rows.append(i)
            residual.append(abs(NUMBER[i] - np.mean([m.predict(X[[i]])[0] for m in without])))
            told.append(np.mean([m.predict(NEW) for m in without], axis=0))
    assert (len(rows) < N_ROWS) == (n_bags == 3)
    expected = [interval_by_hand(np.array(residual), column, weight[rows], 0.2) for column in np.transpose(told)]
    np.testing.assert_allclose(bag.predict_interval(NEW, 0.2), expected, rtol=1e-9)


def test_sets_of_bootstraps_ask_the_bags_without_the_row() -> None:
    tree = DecisionTreeClassifier(max_depth=2)
    bag = HybridBaggingClassifier(estimator=tree, n_estimators=12, resample="bootstrap", random_state=0).fit(X, THREE)
    score, told = np.empty(N_ROWS), np.empty((N_ROWS, len(NEW), 3))
    for i in range(N_ROWS):
        judge = bag.judge(bag.oof_.fold[i])
        without = [
            model for model, test in zip(bag.models_["estimator"], bag.oof_.tests, strict=True) if i in test.tolist()
        ]
        scale = judge.combiner.weights[0] / judge.temperature
        own, new = (scale * np.mean([m.margin(table) for m in without], axis=0) for table in (X[[i]], NEW))
        score[i], told[i] = 1 - softmax(own, axis=1)[0, THREE[i]], 1 - softmax(new, axis=1)
    ones = np.ones(N_ROWS, dtype=int)
    expected = [set_by_hand(score, told[:, j], THREE, ones, 0.2) for j in range(len(NEW))]
    np.testing.assert_array_equal(bag.predict_set(NEW, 0.2), expected)


# any margins at all


class Scaled:
    """A model that has its own opinion of each row: its sum of columns, times a factor."""

    def __init__(self, factors: np.ndarray):
        self.factors = factors

    def margin(self, X: Any) -> np.ndarray:
        return np.asarray(X.sum(axis=1)).reshape(-1, 1) * self.factors


def made_up(target: np.ndarray, weight: np.ndarray, n_classes: int, n_folds: int = 3, seed: int = 0) -> Any:
    """An ensemble of one member with out-of-fold margins that were drawn, and what it says of new rows."""
    rng = np.random.default_rng(seed)
    n_outputs = n_classes if n_classes > 2 else 1
    fold = np.arange(len(target)) % n_folds
    margin = 2 * rng.normal(size=(len(target), n_outputs))
    oof = OutOfFold(
        margins={"m": margin, "blend": margin},
        fold=fold,
        target=target,
        classes=np.arange(n_classes) if n_classes else None,
        weight=np.asarray(weight, dtype=float),
        positions=np.arange(len(target)),
        is_ordered=False,
        tests=[np.flatnonzero(fold == k) for k in range(n_folds)],
        models={"m": [FoldModel(Scaled(rng.normal(size=n_outputs)), 9, None, n_classes) for _ in range(n_folds)]},
        fit_seconds={},
        failed={},
        ledger=Ledger(),
    )
    return SimpleNamespace(oof_=oof, judge=lambda fold: SimpleNamespace(margin=lambda margins, table: margins[0]))


WEIGHTS = st.lists(st.integers(1, 5), min_size=4, max_size=40)
ALPHA = st.floats(0.01, 0.99)


def told_by(ensemble: Any) -> np.ndarray:
    """Margins of the new rows by the model of each training row's fold."""
    return np.stack([ensemble.oof_.models["m"][fold].margin(NEW) for fold in ensemble.oof_.fold])


@given(weight=WEIGHTS, alpha=ALPHA, seed=st.integers(0, 1000))
def test_intervals_are_their_definition_for_any_margins_and_weights(weight: list[int], alpha: float, seed: int) -> None:
    target = np.random.default_rng(seed).normal(size=len(weight)).round(1)
    ensemble = made_up(target, np.array(weight), 0, seed=seed)
    residual, told = np.abs(target - ensemble.oof_.margins["blend"][:, 0]), told_by(ensemble)[:, :, 0]
    expected = [interval_by_hand(residual, told[:, j], np.array(weight), alpha) for j in range(len(NEW))]
    np.testing.assert_allclose(intervals(ensemble, NEW, alpha), expected)


@given(weight=WEIGHTS, alpha=ALPHA, seed=st.integers(0, 1000), n_classes=st.integers(2, 4))
def test_sets_are_their_definition_for_any_margins_and_weights(
    weight: list[int], alpha: float, seed: int, n_classes: int
) -> None:
    codes = np.random.default_rng(seed).integers(n_classes, size=len(weight))
    ensemble = made_up(codes, np.array(weight), n_classes, seed=seed)

    def unlikely(margin: np.ndarray) -> np.ndarray:
        return 1 - softmax(np.concatenate([0 * margin, margin], axis=-1) if n_classes == 2 else margin, axis=-1)

    told = unlikely(told_by(ensemble))
    score = unlikely(ensemble.oof_.margins["blend"])[np.arange(len(codes)), codes]
    expected = [set_by_hand(score, told[:, j], codes, np.array(weight), alpha) for j in range(len(NEW))]
    np.testing.assert_array_equal(label_sets(ensemble, NEW, alpha), expected)


@given(weight=WEIGHTS, alphas=st.lists(ALPHA, min_size=2, max_size=2).map(sorted), seed=st.integers(0, 1000))
def test_a_smaller_alpha_never_excludes_more(weight: list[int], alphas: list[float], seed: int) -> None:
    codes = np.random.default_rng(seed).integers(3, size=len(weight))
    numbers, labels = made_up(codes * 1.0, np.array(weight), 0), made_up(codes, np.array(weight), 3)
    (wide, narrow), (many, few) = (
        [f(e, NEW, a) for a in alphas] for f, e in ((intervals, numbers), (label_sets, labels))
    )
    assert (wide[:, 0] <= narrow[:, 0]).all()
    assert (wide[:, 1] >= narrow[:, 1]).all()
    assert (many | ~few).all()


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_weights_have_no_unit(scale: float, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(2, size=30)
    for ones in (np.ones(30), 1.0 + np.arange(30) % 3):
        for function, target, n_classes in ((intervals, codes * 1.0, 0), (label_sets, codes, 2)):
            plain, scaled = (function(made_up(target, w, n_classes), NEW, 0.2) for w in (ones, ones * scale))
            np.testing.assert_array_equal(plain, scaled)


# few rows


def test_ends_are_infinite_with_fewer_rows_than_alpha_needs() -> None:
    for n_rows, alpha, is_finite in ((8, 0.1, False), (9, 0.1, True), (18, 0.05, False), (19, 0.05, True)):
        ends = intervals(made_up(np.zeros(n_rows), np.ones(n_rows), 0), NEW, alpha)
        assert np.isfinite(ends).all() == is_finite
        assert np.isfinite(ends).any() == is_finite
        assert is_finite or (ends == [-np.inf, np.inf]).all()
    assert not np.isfinite(intervals(made_up(np.zeros(8), 1.0 + np.arange(8), 0), NEW, 0.1)).any()


def test_the_labels_of_a_class_with_few_rows_are_in_every_set() -> None:
    codes = np.repeat([0, 1, 2], [8, 9, 9])
    sets = label_sets(made_up(codes, 1.0 + np.arange(26) % 2, 3), 100 * NEW, 0.1)
    assert sets[:, 0].all()
    assert not sets[:, 1].all()


def test_a_class_that_no_fold_tests_is_in_every_set() -> None:
    half, rest = np.flatnonzero(THREE != 2), np.flatnonzero(THREE == 2)
    splits = [(np.append(half[i::2], rest), half[1 - i :: 2]) for i in range(2)]
    hybrid = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=splits, random_state=0).fit(X, THREE)
    sets = hybrid.predict_set(NEW, 0.4)
    assert sets[:, 2].all()
    assert not sets.all()


def test_sets_may_be_empty() -> None:
    """Far apart, each class is sure of its rows: what lies between them is like none."""
    side = np.repeat([-1.0, 1.0], 30)
    table = side[:, None] * 3 + RNG.normal(scale=0.1, size=(60, 1))
    hybrid = HybridClassifier(estimators=[("linear", LogisticRegression())], cv=3, random_state=0).fit(table, side > 0)
    sets = hybrid.predict_set(np.array([[-3.0], [0.0], [3.0]]), 0.2)
    np.testing.assert_array_equal(sets, [[True, False], [False, False], [False, True]])


# tables


@pytest.mark.parametrize("as_table", [np.asarray, pd.DataFrame, sparse.csr_matrix], ids=["array", "frame", "sparse"])
def test_some_rows_at_a_time_are_all_rows_at_once(monkeypatch: pytest.MonkeyPatch, as_table: Any) -> None:
    linear = [("linear", LogisticRegression())]
    regressor = HybridRegressor(estimators=[("ridge", Ridge())], cv=3, random_state=0).fit(as_table(X), NUMBER)
    classifier = HybridClassifier(estimators=linear, cv=3, random_state=0).fit(as_table(X), THREE)
    table = as_table(NEW)
    ends, sets = regressor.predict_interval(table), classifier.predict_set(table)
    asked = []
    for hybrid in (regressor, classifier):
        for model in next(iter(hybrid.models_.values())):
            plain = model.estimator.predict if hybrid is regressor else model.estimator.predict_proba
            monkeypatch.setattr(
                model.estimator, plain.__name__, lambda X, plain=plain: asked.append(X.shape[0]) or plain(X)
            )
    monkeypatch.setattr("hybridlearn.ensemble._conformal._MOST_SCORES", 7 * N_ROWS + 1)
    np.testing.assert_allclose(regressor.predict_interval(table), ends, rtol=1e-12)
    assert set(asked) == {7, 4}, "25 new rows, 60 residuals each"
    asked.clear()
    monkeypatch.setattr("hybridlearn.ensemble._conformal._MOST_SCORES", 2)
    np.testing.assert_array_equal(classifier.predict_set(table), sets)
    assert set(asked) == {1}, "never fewer"


def test_no_rows_have_no_intervals_and_no_sets() -> None:
    assert intervals(made_up(np.zeros(9), np.ones(9), 0), NEW[:0], 0.1).shape == (0, 2)
    empty = label_sets(made_up(np.arange(9) % 3, np.ones(9), 3), NEW[:0], 0.1)
    assert empty.shape == (0, 3)
    assert empty.dtype == bool


# every ensemble


@pytest.mark.parametrize(
    "ensemble",
    [
        HybridBoostingRegressor(estimators=[("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))], cv=3),
        HybridBaggingRegressor(estimator=Ridge(), n_estimators=4),
        HybridStackingClassifier(
            estimators=[("bayes", GaussianNB())], final_estimator=LogisticRegression(), passthrough=True, cv=3
        ),
        HybridBaggingClassifier(estimator=GaussianNB(), n_estimators=6, resample="under"),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_rows_that_were_trained_on_are_covered(ensemble: Any) -> None:
    ensemble.set_params(random_state=0)
    if hasattr(ensemble, "predict_proba"):
        sets = ensemble.fit(X, THREE).predict_set(X, 0.2)
        assert 0.7 < sets[np.arange(N_ROWS), THREE].mean() <= 1
        assert sets.mean() < 0.9
    else:
        lower, upper = ensemble.fit(X, NUMBER).predict_interval(X, 0.2).T
        assert 0.7 < np.mean((lower <= NUMBER) & (upper >= NUMBER)) < 1


# what cannot be asked


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, np.nan, None, True, "0.1"])
def test_a_level_that_is_none_is_an_error(alpha: Any) -> None:
    hybrid = HybridRegressor(estimators=[("ridge", Ridge())], cv=2, random_state=0).fit(X, NUMBER)
    with pytest.raises(ValueError, match=r"alpha=.* must be a number between 0 and 1"):
        hybrid.predict_interval(NEW, alpha)
    bayes = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=2, random_state=0).fit(X, TWO)
    with pytest.raises(ValueError, match=r"alpha=.* must be a number between 0 and 1"):
        bayes.predict_set(NEW, alpha)


@pytest.mark.parametrize("cv", [TimeSeriesSplit(3), 3], ids=["splitter", "time"])
def test_folds_in_the_order_of_time_give_none(cv: Any) -> None:
    time = np.arange(N_ROWS) if cv == 3 else None
    hybrid = HybridRegressor(estimators=[("ridge", Ridge())], cv=cv, random_state=0).fit(X, NUMBER, time=time)
    with pytest.raises(ValueError, match="forward in time give no intervals and no sets"):
        hybrid.predict_interval(NEW)
    bayes = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=cv, random_state=0).fit(X, TWO, time=time)
    with pytest.raises(ValueError, match="forward in time give no intervals and no sets"):
        bayes.predict_set(NEW)


# coverage


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are alike, with noise that is not: its scale hangs on the table."""
    table = rng.normal(size=(n, 2))
    return table, table[:, 0] + np.exp(table[:, 1] / 2) * rng.standard_t(4, size=n)


@pytest.mark.parametrize("alpha", [0.1, 0.3])
@pytest.mark.parametrize("bootstrap", [False, True], ids=["folds", "bags"])
def test_intervals_hold_as_many_targets_as_they_say(alpha: float, bootstrap: bool) -> None:
    """Up to 3.5 standard errors: of the new rows, and of the rows that set the ends."""
    rng, held = np.random.default_rng(1), []
    n_fits, n_train, n_new = 12, 150, 500
    regressor: Any = HybridRegressor(estimators=[("ridge", Ridge())], random_state=0)
    if bootstrap:
        regressor = HybridBaggingRegressor(estimator=Ridge(), resample="bootstrap", random_state=0)
    for _ in range(n_fits):
        regressor.fit(*drawn(n_train, rng))
        table, y = drawn(n_new, rng)
        lower, upper = regressor.predict_interval(table, alpha).T
        held.append(np.mean((lower <= y) & (y <= upper)))
    error = np.sqrt(alpha * (1 - alpha) * (1 / n_train + 1 / n_new) / n_fits)
    assert np.mean(held) == pytest.approx(1 - alpha, abs=3.5 * error)


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_sets_miss_as_many_labels_of_each_class_as_they_say(alpha: float) -> None:
    """Also of a class with a tenth of the rows."""
    rng, n_fits = np.random.default_rng(2), 8
    held, n_train, n_new = np.zeros((n_fits, 2)), np.zeros(2), np.zeros(2)
    for i in range(n_fits):
        (table, y), (new, y_new) = drawn(300, rng), drawn(2000, rng)
        codes, codes_new = (np.digitize(each, [1.8]) for each in (y, y_new))
        hybrid = HybridClassifier(estimators=[("linear", LogisticRegression())], random_state=0).fit(table, codes)
        inside = hybrid.predict_set(new, alpha)[np.arange(2000), codes_new]
        held[i] = [inside[codes_new == label].mean() for label in range(2)]
        n_train += np.bincount(codes) / n_fits
        n_new += np.bincount(codes_new) / n_fits
    error = np.sqrt(alpha * (1 - alpha) * (1 / n_train + 1 / n_new) / n_fits)
    assert n_train[1] < 60
    # of n rows, 1 / (n + 1) at most is held too often, as in any conformal method
    assert (np.abs(held.mean(axis=0) - (1 - alpha)) < 3.5 * error + 1 / (n_train + 1)).all()
