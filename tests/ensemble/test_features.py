"""A transformer in front of the members: fitted once a fold, and never on what it is asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags

from hybridlearn import (
    BoostedTreesClassifier,
    BoostedTreesRegressor,
    FeatureBuilder,
    HybridClassifier,
    HybridRegressor,
    MixedSMOTE,
    TabularMLPClassifier,
    make_tabular_pipeline,
)
from hybridlearn.crossfit import MemberError
from hybridlearn.ensemble import _hybrid
from hybridlearn.table import TableEncoder

TREES = BoostedTreesClassifier(n_estimators=5, learning_rate=0.3)
NET = TabularMLPClassifier(hidden_layer_sizes=(8,), max_epochs=2)
MEMBERS = [("trees", TREES), ("linear", make_pipeline(TableEncoder(encode="onehot"), LogisticRegression()))]
FRONT = FeatureBuilder(select=None)


class Notes(TransformerMixin, BaseEstimator):
    """Keeps what it was fitted on; column 0 is the row's number, and says whether the row was among them."""

    def fit(self, X: Any, y: Any) -> Notes:
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Any:
        self.rows_, self.y_, self.weight_, self.groups_, self.time_ = (
            X[:, 0].astype(int),
            y,
            sample_weight,
            groups,
            time,
        )
        return self.transform(X)

    def transform(self, X: Any) -> Any:
        return np.column_stack([X[:, 1:], np.isin(X[:, 0], self.rows_)])


def numbered(X: np.ndarray) -> np.ndarray:
    return np.column_stack([np.arange(len(X)), X])


def hybrid(**settings: Any) -> HybridClassifier:
    return HybridClassifier(**{"estimators": MEMBERS, "cv": 3, "random_state": 0} | settings)


def test_it_is_fitted_on_the_training_part_of_each_fold(table: Any) -> None:
    X = numbered(table.X)
    members = [("linear", LogisticRegression()), ("other", LogisticRegression(C=0.1))]
    fitted = hybrid(estimators=members, features=Notes()).fit(X, table.two)
    assert len(fitted.features_) == 3
    for k, front in enumerate(fitted.features_):
        np.testing.assert_array_equal(np.sort(front.rows_), np.flatnonzero(fitted.oof_.fold != k))
        # one front for both members, in the out-of-fold table and afterwards
        assert all(models[k].front is front for models in (*fitted.models_.values(), *fitted.oof_.models.values()))
    fitted.ledger_.assert_leak_free()
    steps = [entry for entry in fitted.ledger_.entries if entry.step == "features"]
    assert [len(entry.fitted_on) + len(entry.predicted) for entry in steps] == [160] * 3


def test_members_see_training_rows_as_fitted_and_others_as_new(table: Any) -> None:
    """A line that is told which rows were trained on: its answer for those of the test part shows what it saw."""
    X = numbered(table.X)
    fitted = hybrid(estimators=[("linear", KeepsRows())], features=Notes()).fit(X, table.two)
    for k, models in enumerate(zip(*fitted.models_.values(), strict=True)):
        seen = models[0].estimator.seen_
        np.testing.assert_array_equal(seen[:, -1], 1)
        assert len(seen) == (fitted.oof_.fold != k).sum()


class KeepsRows(LogisticRegression):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self.seen_ = X
        return super().fit(X, y)


def test_predictions_go_through_it(table: Any) -> None:
    scaled = hybrid(estimators=[("linear", LogisticRegression())], features=StandardScaler()).fit(table.X, table.two)
    inside = hybrid(estimators=[("linear", make_pipeline(StandardScaler(), LogisticRegression()))]).fit(
        table.X, table.two
    )
    np.testing.assert_allclose(scaled.predict_proba(table.X), inside.predict_proba(table.X))
    np.testing.assert_allclose(scaled.oof_.margins["blend"], inside.oof_.margins["blend"])
    np.testing.assert_array_equal(scaled.predict_set(table.X), inside.predict_set(table.X))


def test_rows_that_no_fold_tests_are_not_lost(table: Any) -> None:
    X = numbered(table.X)
    fitted = hybrid(estimators=[("linear", LogisticRegression())], cv=TimeSeriesSplit(3), features=Notes())
    fitted.fit(X, table.two)
    (front,) = fitted.features_
    np.testing.assert_array_equal(front.rows_, np.arange(160))
    np.testing.assert_array_equal(front.time_, np.arange(160))
    fitted.ledger_.assert_in_order(np.arange(160))
    assert fitted.predict(X).shape == (160,)


def test_weights_groups_and_times_reach_it(table: Any) -> None:
    X, groups, weight = numbered(table.X), np.arange(160) // 4, np.linspace(1, 2, 160)
    settings = {"estimators": [("linear", LogisticRegression())], "features": Notes()}
    fitted = hybrid(**settings).fit(X, table.two, sample_weight=weight, groups=groups)
    front = fitted.features_[0]
    np.testing.assert_array_equal(front.weight_, weight[front.rows_])
    np.testing.assert_array_equal(front.groups_, groups[front.rows_])
    assert front.time_ is None
    plain = hybrid(**settings).fit(X, table.two).features_[0]
    assert plain.weight_ is None
    assert plain.groups_ is None
    fitted.ledger_.assert_grouped(groups)
    builder = hybrid(features=FRONT, cv=GroupKFold(3)).fit(table.X, table.two, groups=groups)
    assert builder.predict(table.X).shape == (160,)


def test_it_may_take_what_members_do_not(table: Any) -> None:
    X = table.X.copy()
    X[::7, 0] = np.nan
    linear = [("linear", LogisticRegression())]
    with pytest.raises(MemberError, match="NaN"):
        hybrid(estimators=linear).fit(X, table.two)
    assert hybrid(estimators=linear, features=SimpleImputer()).fit(X, table.two).predict(X).shape == (160,)


@pytest.mark.parametrize("target", ["two", "three", "labels"])
def test_feature_builder_in_front(mixed: Any, target: str) -> None:
    X, y = mixed
    y = {"two": y, "three": np.arange(len(y)) % 3, "labels": np.where(y == 1, "yes", "no")}[target]
    members = [("trees", TREES), ("net", NET)]
    fitted = hybrid(estimators=members, features=FRONT).fit(X, y)
    again = hybrid(estimators=members, features=FRONT, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(fitted.predict_proba(X), again.predict_proba(X))
    fitted.ledger_.assert_leak_free()
    assert any(front.names_by_family_["target"] for front in fitted.features_)


def test_regression_with_whole_numbers_is_no_classification(mixed: Any) -> None:
    X, _ = mixed
    y = np.arange(len(X)) % 7
    fitted = HybridRegressor(
        estimators=[("trees", BoostedTreesRegressor(n_estimators=5))], features=FRONT, cv=2, random_state=0
    ).fit(X, y)
    assert not any("[" in name for front in fitted.features_ for name in front.names_by_family_["target"])


def test_auto_selects_inside_each_fold(mixed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = mixed
    monkeypatch.setattr(_hybrid, "_FEWEST_ROWS", len(X))
    fitted = hybrid(cv=2).fit(X, y)
    assert all(front.select == "auto" and len(front.report_) for front in fitted.features_)
    assert all(front.select is None for front in hybrid(preset="fast", cv=2).fit(X, y).features_)
    assert all(front.select is None for front in hybrid(estimators=MEMBERS, cv=2, time_limit=60).fit(X, y).features_)
    many = np.arange(len(y)) % 3
    monkeypatch.setattr(_hybrid, "_MOST_CELLS_UNJUDGED", 3 * len(y) - 1)
    assert hybrid(preset="fast", cv=2).fit(X, many).features_ is None
    # in front of members that would fail on gaps, of few rows and behind steps that look at the target there is none
    numbers = X[["a", "flag"]].fillna(0)
    assert hybrid(estimators=[("linear", LogisticRegression())], cv=2).fit(numbers, y).features_ is None
    assert make_tabular_pipeline(MixedSMOTE(), hybrid(cv=2)).fit(X, y)[-1].features_ is None
    monkeypatch.setattr(_hybrid, "_FEWEST_ROWS", len(X) + 1)
    assert hybrid(estimators=MEMBERS[:1], cv=2).fit(X, y).features_ is None


@pytest.mark.parametrize("cls", [HybridClassifier, HybridRegressor])
def test_members_that_nobody_has_chosen_take_gaps(cls: type) -> None:
    # else "auto" would be None in front of them
    assert get_tags(cls(preset="best")).input_tags.allow_nan


def test_gaps_in_an_array_are_for_members_that_take_them(table: Any) -> None:
    X = table.X.copy()
    X[::7, 1] = np.nan
    assert hybrid().fit(X, table.two).predict(X).shape == (160,)
    plain = [("trees", TREES), ("linear", make_pipeline(StandardScaler(), LogisticRegression()))]
    with pytest.raises(ValueError, match="contains NaN"):
        hybrid(estimators=plain).fit(table.X, table.two).predict(X)


def test_features_take_their_share_of_the_time(mixed: Any) -> None:
    X, y = mixed
    fitted = hybrid(estimators=MEMBERS[:1], features=FeatureBuilder(), cv=2, time_limit=60).fit(X, y)
    assert all(0 < front.time_limit < 0.1 * 60 for front in fitted.features_)


def test_resampling_comes_after_it(mixed: Any) -> None:
    X, y = mixed
    y = (np.arange(len(y)) % 5 == 0).astype(int)
    fitted = hybrid(features=FRONT, resample=MixedSMOTE()).fit(X, y)
    fitted.ledger_.assert_leak_free()
    assert abs(fitted.predict_proba(X)[:, 1].mean() - 0.2) < 0.1


# what does not go


def test_a_failing_transformer_is_named(table: Any) -> None:
    def fail(X: Any) -> Any:
        raise RuntimeError("no such column")

    with pytest.raises(MemberError, match=r"features \(FunctionTransformer\) failed: RuntimeError: no such column"):
        hybrid(features=FunctionTransformer(fail)).fit(table.X, table.two)
    with pytest.raises(MemberError, match="must give a row for each row"):
        hybrid(features=FunctionTransformer(lambda X: X[:-1])).fit(table.X, table.two)


def test_a_sampler_is_no_transformer(table: Any) -> None:
    with pytest.raises(ValueError, match="'features' parameter of HybridClassifier"):
        hybrid(features=RandomOverSampler()).fit(table.X, table.two)


def test_steps_in_front_of_a_hybrid_with_features(table: Any) -> None:
    with pytest.raises(ValueError, match="would come after the features of HybridClassifier"):
        make_tabular_pipeline(MixedSMOTE(), hybrid(features=FRONT)).fit(table.X, table.two)


# in search and pipelines


def rare(mixed: Any) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    X, _ = mixed
    y = (np.arange(len(X)) % 4 == 0).astype(int)
    return X, y, np.random.default_rng(0).uniform(0.5, 2, len(X))


def test_grid_search_over_all_nested_parameters(mixed: Any) -> None:
    X, y, weight = rare(mixed)
    grid = {
        "features__max_pairs": [1],
        "features__families": [["counts"]],
        "resample__k_neighbors": [2],
        "trees__max_depth": [2, 3],
    }
    search = GridSearchCV(hybrid(features=FeatureBuilder(), resample=MixedSMOTE(), cv=2), grid, cv=2)
    search.fit(X, y, sample_weight=weight)
    assert len(search.cv_results_["params"]) == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best.features_[0].max_pairs == best.features.max_pairs
    unweighted = clone(best).fit(X, y)
    assert not np.allclose(best.predict_proba(X), unweighted.predict_proba(X))


def test_grid_search_over_a_pipeline(mixed: Any) -> None:
    X, y, weight = rare(mixed)
    pipeline = make_tabular_pipeline(
        FeatureBuilder(families=["counts"], random_state=0), MixedSMOTE(random_state=0), TREES
    )
    grid = {"featurebuilder__select": ["auto", None], "mixedsmote__k_neighbors": [3],
            "boostedtreesclassifier__max_depth": [2]}  # fmt: skip
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y, sample_weight=weight)
    assert len(search.cv_results_["params"]) == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    unweighted = clone(search.best_estimator_).fit(X, y)
    assert not np.allclose(search.predict_proba(X), unweighted.predict_proba(X))


def test_a_builder_in_front_of_a_hybrid_moves_into_its_folds(mixed: Any) -> None:
    X, y, _ = rare(mixed)
    pipeline = make_tabular_pipeline(FRONT, hybrid()).fit(X, y)
    assert [name for name, _ in pipeline[-1].estimators_[0][0].steps] == ["featurebuilder", "hybridclassifier"]
    assert not hasattr(pipeline[0], "schema_")
    assert pipeline.predict(X).shape == y.shape


def test_groups_reach_a_builder_in_a_pipeline(mixed: Any) -> None:
    X, y, _ = rare(mixed)
    X = X.assign(id=(np.arange(len(X)) // 4).astype(str))
    groups = np.arange(len(X)) // 4
    front = FeatureBuilder(families=["target"], select=None, random_state=0)
    pipeline = make_tabular_pipeline(front, TREES).fit(X, y, groups=groups)
    kept = clone(front).fit(X, y, groups=groups)
    np.testing.assert_array_equal(pipeline[0].transform(X)["target(id)"], kept.transform(X)["target(id)"])
