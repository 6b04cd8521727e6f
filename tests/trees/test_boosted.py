"""Boosted trees: losses, margins, rounds, labels, weights, groups and seeds, each against a small reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.class_weight import compute_sample_weight

from hybridlearn._protocols import StopsEarly
from hybridlearn.table import UnseenCategoryWarning
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor, _boosted
from hybridlearn.trees._encoding import TreeEncoder

QUICK = {"n_estimators": 20, "learning_rate": 0.3, "random_state": 0}
# What a weight and a repetition must agree on: no draw of rows or columns, no Hessian bound.
PLAIN = {**QUICK, "early_stopping": False, "subsample": 1.0, "max_features": 1.0, "min_child_weight": 0.0}
MANY = [f"level {i:02}" for i in range(18)]  # more than get a column each


def table(n_rows: int = 240, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Mixed columns, some values missing, and a noisy number that depends on each."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "b": rng.normal(size=n_rows),
            "few": rng.choice(["x", "y", "z"], n_rows),
            "many": rng.choice(MANY, n_rows),
            "flag": rng.random(n_rows) < 0.5,
        }
    )
    effect = X["many"].map({level: i / 7 for i, level in enumerate(MANY)})
    y = X["a"] * X["b"] + (X["few"] == "y") + effect + X["flag"] + rng.normal(scale=0.3, size=n_rows)
    X.loc[::17, "a"], X.loc[::19, "many"] = np.nan, None
    return X, y.to_numpy(copy=True)


def classes(y: np.ndarray, n_classes: int) -> np.ndarray:
    return np.searchsorted(np.quantile(y, np.arange(1, n_classes) / n_classes), y)


# steps


@pytest.mark.parametrize(("n_classes", "rate"), [(10, 0.05), (11, 0.1)])
def test_steps_are_larger_of_many_classes(n_classes: int, rate: float) -> None:
    X, y = np.random.default_rng(0).normal(size=(220, 2)), np.arange(220) % n_classes
    own, told = (
        BoostedTreesClassifier(n_estimators=2, random_state=0, **settings).fit(X, y).margin(X)
        for settings in ({}, {"learning_rate": rate})
    )
    np.testing.assert_array_equal(own, told)


# losses


@pytest.mark.parametrize(
    ("settings", "constant"),
    [
        ({"loss": "squared_error"}, np.mean),
        ({"loss": "poisson"}, np.mean),
        ({"loss": "absolute_error"}, np.median),
        ({"loss": "quantile", "quantile": 0.9}, lambda y: np.quantile(y, 0.9)),
    ],
)
def test_each_loss_has_its_own_best_constant(settings: dict[str, Any], constant: Any) -> None:
    y = np.random.default_rng(0).gamma(0.5, size=400)
    X = np.zeros((400, 1))
    model = BoostedTreesRegressor(**{**PLAIN, "n_estimators": 40}, **settings).fit(X, y)
    assert model.predict(X[:1])[0] == pytest.approx(constant(y), abs=0.02)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_covers_its_share_of_new_rows(quantile: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1500, 1))
    y = X[:, 0] + (1.5 + X[:, 0]) * rng.normal(size=1500)
    model = BoostedTreesRegressor(
        loss="quantile", quantile=quantile, n_estimators=40, learning_rate=0.2, max_depth=2, random_state=0
    ).fit(X[:1000], y[:1000])
    assert np.mean(y[1000:] <= model.predict(X[1000:])) == pytest.approx(quantile, abs=0.06)


def test_poisson_predicts_no_negative_count() -> None:
    X, y = table()
    counts = np.random.default_rng(0).poisson(np.exp(y - 2))
    model = BoostedTreesRegressor(loss="poisson", **QUICK).fit(X, counts)
    assert model.predict(X).min() >= 0
    assert np.corrcoef(model.predict(X), counts)[0, 1] > 0.5


def test_poisson_refuses_a_negative_target() -> None:
    with pytest.raises(ValueError, match="loss='poisson' needs y >= 0"):
        BoostedTreesRegressor(loss="poisson").fit(np.eye(3), [1, 2, -1])


# margins


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_margin_is_the_boosters(n_classes: int) -> None:
    X, y = table()
    model = BoostedTreesClassifier(**QUICK).fit(X, classes(y, n_classes))
    encoded = xgb.DMatrix(model.encoder_.transform(X), feature_types=model.booster_.feature_types)
    outputs = model.booster_.predict(encoded, output_margin=True, strict_shape=True).astype(np.float64)
    expected = outputs if n_classes == 2 else outputs - outputs.mean(axis=1, keepdims=True)
    assert model.margin(X).dtype == np.float64
    np.testing.assert_allclose(model.margin(X), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), np.atleast_2d(_softmax(outputs, n_classes)), rtol=0, atol=1e-12)


def _softmax(outputs: np.ndarray, n_classes: int) -> np.ndarray:
    logits = np.column_stack([np.zeros(len(outputs)), outputs]) if n_classes == 2 else outputs
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_margin_of_a_regression_is_its_prediction() -> None:
    X, y = table()
    model = BoostedTreesRegressor(loss="poisson", **QUICK).fit(X, np.abs(y))
    np.testing.assert_array_equal(model.margin(X)[:, 0], model.predict(X))


# categories


def test_the_booster_holds_numeric_splits_only() -> None:
    X, y = table()
    encoded = BoostedTreesClassifier(**QUICK).fit(X, y > 1).booster_
    native = BoostedTreesClassifier(categories="native", **QUICK).fit(X, y > 1).booster_
    assert set(encoded.feature_types) == {"q"}
    assert encoded.trees_to_dataframe()["Category"].isna().all()
    assert native.trees_to_dataframe()["Category"].notna().any()


@pytest.mark.parametrize("categories", ["encode", "native"])
def test_an_unseen_level_counts_as_a_missing_one_and_is_said_once(categories: str) -> None:
    X, y = table()
    model = BoostedTreesRegressor(categories=categories, **QUICK).fit(X, y)
    with pytest.warns(UnseenCategoryWarning, match=r"column 'few' \(240 rows\)") as said:
        unseen = model.predict(X.assign(few="q"))
    assert len(said) == 1
    np.testing.assert_array_equal(unseen, model.predict(X.assign(few=pd.Series([None] * len(X), dtype="str"))))


def test_the_rows_kept_aside_never_reach_the_codes_of_the_search(monkeypatch) -> None:
    """Whatever their targets: the search sees the same columns, the booster of all rows others."""
    X, y = table()
    encoded: list[np.ndarray] = []

    class Recorder(TreeEncoder):
        def fit_transform(self, *args: Any, **kwargs: Any) -> np.ndarray:
            encoded.append(super().fit_transform(*args, **kwargs))
            return encoded[-1]

        def transform(self, *args: Any, **kwargs: Any) -> np.ndarray:
            encoded.append(super().transform(*args, **kwargs))
            return encoded[-1]

    monkeypatch.setattr(_boosted, "TreeEncoder", Recorder)
    stopping = BoostedTreesRegressor(**QUICK).fit(X, y).stopping_rows_
    y[stopping] += 100
    again = BoostedTreesRegressor(**QUICK).fit(X, y)
    np.testing.assert_array_equal(again.stopping_rows_, stopping)
    search, kept_aside, everything, search_again, kept_aside_again, everything_again = encoded
    assert [len(codes) for codes in encoded[:3]] == [204, 36, 240]
    np.testing.assert_array_equal(search, search_again)
    np.testing.assert_array_equal(kept_aside, kept_aside_again)
    assert not np.array_equal(everything, everything_again, equal_nan=True)


def test_the_fitted_target_codes_are_those_of_all_rows() -> None:
    X, y = table()
    y = (y > np.median(y)).astype(int)
    model = BoostedTreesClassifier(**QUICK).fit(X, y)
    many = X[["many"]].fillna("missing")
    by_hand = TargetEncoder(target_type="binary").fit(many, y).transform(many)
    np.testing.assert_allclose(model.encoder_.transform(X)[:, -1:], by_hand, rtol=0, atol=1e-12)


# rounds


def searched(weight: np.ndarray | None) -> tuple[pd.DataFrame, np.ndarray, BoostedTreesClassifier]:
    X, y = table()
    y = (y > np.median(y)).astype(int)
    settings = {"n_estimators": 200, "learning_rate": 0.2, "n_iter_no_change": 5, "random_state": 0}
    return X, y, BoostedTreesClassifier(**settings).fit(X, y, sample_weight=weight)


WEIGHT = np.random.default_rng(0).uniform(0.5, 2, 240)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_all_rows_are_boosted_for_the_rounds_that_served_best(weight: np.ndarray | None) -> None:
    X, y, model = searched(weight)
    assert model.n_iter_ == int(np.argmin(model.history_)) + 1 == model.booster_.num_boosted_rounds()
    assert 1 < model.n_iter_ < len(model.history_) == model.n_iter_ + 5
    straight = BoostedTreesClassifier(
        n_estimators=model.n_iter_, learning_rate=0.2, early_stopping=False, random_state=0
    ).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(model.margin(X), straight.margin(X))


def test_the_rounds_found_give_the_same_booster_without_a_search() -> None:
    X, y, model = searched(None)
    assert isinstance(model, StopsEarly)
    assert model.rounds_found() == {"early_stopping": False, "n_estimators": model.n_iter_}
    straight = clone(model).set_params(**model.rounds_found()).fit(X, y)
    np.testing.assert_array_equal(model.margin(X), straight.margin(X))
    assert straight.rounds_found() == {}
    with pytest.raises(NotFittedError):
        BoostedTreesRegressor().rounds_found()


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_history_is_the_loss_of_rows_that_the_search_has_not_seen(weight: np.ndarray | None) -> None:
    X, y, model = searched(weight)
    stopping = model.stopping_rows_
    training = np.setdiff1d(np.arange(len(y)), stopping)
    on_training = None if weight is None else weight[training]
    for n_rounds in (1, model.n_iter_, len(model.history_)):
        blind = BoostedTreesClassifier(
            n_estimators=n_rounds, learning_rate=0.2, early_stopping=False, random_state=0
        ).fit(X.iloc[training], y[training], sample_weight=on_training)
        p = blind.predict_proba(X.iloc[stopping])
        loss = log_loss(y[stopping], p, sample_weight=None if weight is None else weight[stopping])
        assert model.history_[n_rounds - 1] == pytest.approx(loss, abs=1e-5)


def test_a_regression_is_searched_by_its_own_loss() -> None:
    X, y = table()
    model = BoostedTreesRegressor(**QUICK).fit(X, y)
    stopping = model.stopping_rows_
    training = np.setdiff1d(np.arange(len(y)), stopping)
    blind = BoostedTreesRegressor(**QUICK, early_stopping=False).fit(X.iloc[training], y[training])
    loss = root_mean_squared_error(y[stopping], blind.predict(X.iloc[stopping]))
    assert loss == pytest.approx(model.history_[-1], rel=1e-5)
    assert len(model.history_) == QUICK["n_estimators"]


def test_without_early_stopping_every_row_trains_every_round() -> None:
    X, y = table()
    model = BoostedTreesRegressor(**PLAIN).fit(X, y)
    assert model.n_iter_ == PLAIN["n_estimators"]
    assert model.history_ == []
    assert len(model.stopping_rows_) == 0


def test_the_stopping_rows_are_a_stratified_share() -> None:
    X, y = table()
    y = classes(y, 3)
    stopping = BoostedTreesClassifier(validation_fraction=0.25, **QUICK).fit(X, y).stopping_rows_
    assert np.bincount(y[stopping]).tolist() == [20, 20, 20]


def test_groups_stay_on_one_side_of_the_split() -> None:
    X, y = table()
    groups = np.random.default_rng(0).integers(30, size=len(y))
    for model, target in [(BoostedTreesRegressor(**QUICK), y), (BoostedTreesClassifier(**QUICK), y > 1)]:
        stopping = model.fit(X, target, groups=groups).stopping_rows_
        training = np.setdiff1d(np.arange(len(y)), stopping)
        assert len(stopping) > 10
        assert not set(groups[stopping]) & set(groups[training])


def test_groups_that_cannot_be_split_are_named() -> None:
    X, y = table()
    with pytest.raises(ValueError, match=r"groups cannot be split .*early_stopping=False"):
        BoostedTreesRegressor(**QUICK).fit(X, y, groups=np.zeros(len(y)))


# time


TIME = pd.date_range("2024-01-01", periods=60, tz="Europe/Berlin")[np.random.default_rng(5).permutation(240) // 4]


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_the_latest_rows_stop_those_strictly_before_them(cls: type) -> None:
    X, y = table()
    y = y > 1 if cls is BoostedTreesClassifier else y
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    model = cls(**QUICK, validation_fraction=0.25).fit(X, y, sample_weight=weight, time=TIME)
    kept = np.flatnonzero(weight)
    stopping, training = model.stopping_rows_, np.setdiff1d(kept, model.stopping_rows_)
    assert weight[stopping].all()
    assert len(stopping) / len(kept) == pytest.approx(0.25, abs=2 / len(kept))
    assert TIME[training].max() < TIME[stopping].min()


def test_target_codes_of_both_fits_follow_time(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table()
    encoded: list[np.ndarray] = []

    class Recorder(TreeEncoder):
        def fit_transform(self, *args: Any, **kwargs: Any) -> np.ndarray:
            encoded.append(super().fit_transform(*args, **kwargs))
            return encoded[-1]

    monkeypatch.setattr(_boosted, "TreeEncoder", Recorder)
    BoostedTreesRegressor(**QUICK).fit(X, y, time=TIME)
    early = TIME.day_of_year.to_numpy() < 30
    BoostedTreesRegressor(**QUICK).fit(X, np.where(early, y, y + 100), time=TIME)
    search, everything, search_again, everything_again = encoded
    np.testing.assert_array_equal(everything[early], everything_again[early])
    assert not np.array_equal(everything[~early], everything_again[~early], equal_nan=True)
    assert np.isnan(search[:, -1]).any()
    assert not np.array_equal(search, search_again, equal_nan=True), "later rows of the search see the change too"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_may_come_late(n_classes: int) -> None:
    """Then the rows that train in the search do not hold it; those of the last fit do."""
    X, y = table()
    labels = np.where(TIME.day_of_year > 55, n_classes - 1, classes(y, 2) * (n_classes - 2))
    model = BoostedTreesClassifier(**QUICK).fit(X, labels, time=TIME)
    assert model.predict_proba(X).shape == (240, n_classes)
    assert set(labels[np.setdiff1d(np.arange(240), model.stopping_rows_)]) == set(range(n_classes - 1))


def test_rows_of_one_time_can_be_boosted_but_not_searched() -> None:
    X, y = table()
    with pytest.raises(ValueError, match=r"all rows are of one time; set early_stopping=False"):
        BoostedTreesRegressor(**QUICK).fit(X, y, time=np.zeros(240))
    model = BoostedTreesRegressor(**QUICK, early_stopping=False).fit(X, y, time=np.zeros(240))
    assert np.isfinite(model.predict(X)).all()


def test_groups_and_time_exclude_each_other() -> None:
    X, y = table()
    with pytest.raises(ValueError, match="give groups or time, not both"):
        BoostedTreesRegressor(**QUICK).fit(X, y, groups=TIME, time=TIME)


# labels


@pytest.mark.parametrize(
    "labels", [np.array(["no", "perhaps", "yes"]), np.array([0, 2, 7]), np.array([-1.0, 0.0, 3.0])]
)
def test_any_labels_give_the_margins_of_codes_and_their_own_predictions(labels: np.ndarray) -> None:
    X, y = table()
    codes = classes(y, 3)
    model = BoostedTreesClassifier(**QUICK).fit(X, labels[codes])
    on_codes = BoostedTreesClassifier(**QUICK).fit(X, codes)
    np.testing.assert_array_equal(model.classes_, labels)
    np.testing.assert_array_equal(model.margin(X), on_codes.margin(X))
    np.testing.assert_array_equal(model.predict(X), labels[on_codes.predict(X)])
    assert model.score(X, labels[codes]) > 0.7


def test_two_text_labels() -> None:
    X, y = table()
    labels = np.where(y > np.median(y), "yes", "no")
    model = BoostedTreesClassifier(**QUICK).fit(X, labels)
    assert ((model.decision_function(X) > 0) == (model.predict(X) == "yes")).all()
    assert model.score(X, labels) > 0.8


# weights


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_weights_of_one_are_no_weights(cls: type) -> None:
    X, y = table()
    y = y > 1 if cls is BoostedTreesClassifier else y
    plain = cls(**QUICK).fit(X, y).margin(X)
    np.testing.assert_array_equal(cls(**QUICK).fit(X, y, sample_weight=np.ones(len(y))).margin(X), plain)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_a_row_of_weight_zero_is_absent(cls: type, early_stopping: bool) -> None:
    X, y = table()
    y = y > 1 if cls is BoostedTreesClassifier else y
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    settings = {**QUICK, "early_stopping": early_stopping}
    weighted = cls(**settings).fit(X, y, sample_weight=weight)
    kept = weight > 0
    absent = cls(**settings).fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_array_equal(weighted.margin(X[kept]), absent.margin(X[kept]))
    # positions are those in what was handed to fit
    np.testing.assert_array_equal(weighted.stopping_rows_, np.flatnonzero(kept)[absent.stopping_rows_])


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_a_weight_is_a_repetition(cls: type) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 3)), rng.normal(size=120)
    y = y > 0 if cls is BoostedTreesClassifier else y
    weight = rng.integers(1, 4, 120)
    weighted = cls(**PLAIN).fit(X, y, sample_weight=weight)
    repeated = cls(**PLAIN).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    plain = cls(**PLAIN).fit(X, y)
    np.testing.assert_allclose(weighted.margin(X), repeated.margin(X), rtol=1e-4, atol=1e-5)
    assert np.abs(plain.margin(X) - repeated.margin(X)).max() > 1e-2


def test_class_weight_multiplies_sample_weight() -> None:
    X, y = table()
    labels = np.where(y > np.quantile(y, 0.8), "rare", "common")
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    balanced = BoostedTreesClassifier(**PLAIN, class_weight="balanced").fit(X, labels, sample_weight=weight)
    by_hand = weight * compute_sample_weight("balanced", labels)
    np.testing.assert_array_equal(
        balanced.margin(X), BoostedTreesClassifier(**PLAIN).fit(X, labels, sample_weight=by_hand).margin(X)
    )


# seeds


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
def test_the_seed_decides_everything(cls: type) -> None:
    X, y = table()
    y = y > 1 if cls is BoostedTreesClassifier else y
    np.random.seed(0)
    first = cls(**QUICK).fit(X, y)
    np.random.seed(1)
    second = cls(**QUICK).fit(X, y)
    other = cls(**{**QUICK, "random_state": 1}).fit(X, y)
    np.testing.assert_array_equal(first.margin(X), second.margin(X))
    assert (first.margin(X) != other.margin(X)).any()
    assert first.stopping_rows_.tolist() != other.stopping_rows_.tolist()


def test_the_seed_draws_the_rows_of_each_tree() -> None:
    X, y = np.random.default_rng(0).normal(size=(2, 200))
    settings = {"n_estimators": 5, "subsample": 0.5, "early_stopping": False}
    first, again, other = (
        BoostedTreesRegressor(**settings, random_state=seed).fit(X[:, None], y).predict(X[:, None])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_weights_that_sum_to_1_are_shares_of_the_rows() -> None:
    """As those of AdaBoost: taken at their face, no leaf would have the Hessian that it needs."""
    X, y = table()
    plain = BoostedTreesClassifier(**QUICK).fit(X, y > 0)
    shares = BoostedTreesClassifier(**QUICK).fit(X, y > 0, sample_weight=np.full(len(y), 1 / len(y)))
    np.testing.assert_allclose(shares.margin(X), plain.margin(X), rtol=1e-5)
