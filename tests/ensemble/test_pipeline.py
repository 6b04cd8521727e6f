"""Samplers and transformers in front of an estimator: weights get through, folds stay clean."""

from __future__ import annotations

from typing import Any

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from hybridlearn import (
    BoostedTreesClassifier,
    ConcatClassifier,
    HybridBaggingClassifier,
    HybridBoostingClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    MixedSMOTE,
    ResampledClassifier,
    TableEncoder,
    TabularPipeline,
    UnderBaggingClassifier,
    leak_canary,
    load,
    make_tabular_pipeline,
    save,
)

LINEAR = [("linear", LogisticRegression())]
TREES = BoostedTreesClassifier(n_estimators=10, learning_rate=0.3)


@pytest.fixture(scope="module")
def rare() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    X = rng.randn(600, 3)
    return X, (X[:, 0] + 0.5 * rng.randn(600) > 1.2).astype(int)


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Recorder:
        self.X_, self.y_, self.weight_, self.groups_ = X, y, sample_weight, groups
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), self.classes_[0])


class Certain(Recorder):
    """Says the same of all rows."""

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


def test_without_weights_it_is_imbalanced_learns(rare: Any) -> None:
    X, y = rare
    steps = [("scale", StandardScaler()), ("smote", SMOTE(random_state=0)), ("linear", LogisticRegression())]
    ours, theirs = (kind(steps).fit(X, y).predict_proba(X) for kind in (TabularPipeline, imblearn.pipeline.Pipeline))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "sampler", [RandomUnderSampler(random_state=0), MixedSMOTE(random_state=0), SMOTE(random_state=0)]
)
def test_weights_and_groups_get_through_a_sampler(sampler: Any, rare: Any) -> None:
    X, y = rare
    weight, groups = np.random.RandomState(0).uniform(1, 2, len(y)), np.arange(len(y)) // 4
    fitted = make_tabular_pipeline(StandardScaler(), sampler, Recorder()).fit(X, y, sample_weight=weight, groups=groups)
    last = fitted[-1]
    assert len(last.X_) == len(last.y_) == len(last.weight_) == len(last.groups_)
    assert np.bincount(last.y_)[0] == np.bincount(last.y_)[1]
    real = (last.X_[:, None] == StandardScaler().fit_transform(X)[None]).all(axis=2)
    known, origin = real.any(axis=1), real.argmax(axis=1)
    np.testing.assert_allclose(last.weight_[known], weight[origin[known]])
    np.testing.assert_array_equal(last.groups_[known], groups[origin[known]])
    assert last.weight_.min() >= 1
    assert last.weight_.max() <= 2


def test_a_last_step_that_takes_no_weights_is_named(rare: Any) -> None:
    X, y = rare
    with pytest.raises(ValueError, match="KNeighborsClassifier, the last step, takes no sample_weight"):
        make_tabular_pipeline(StandardScaler(), KNeighborsClassifier()).fit(X, y, sample_weight=np.ones(len(y)))


@pytest.mark.parametrize("final", [
    HybridClassifier(estimators=LINEAR, cv=3),
    ResampledClassifier(estimator=LogisticRegression(), cv=3),
    UnderBaggingClassifier(estimator=LogisticRegression(), n_estimators=3),
])  # fmt: skip
def test_a_sampler_moves_into_the_folds(final: Any, rare: Any) -> None:
    X, y = rare
    pipeline = make_tabular_pipeline(StandardScaler(), MixedSMOTE(random_state=0), final.set_params(random_state=0))
    pipeline.fit(X, y)
    hybrid = pipeline[-1]
    members = [member for own in hybrid.estimators_ for member in own]
    assert all(next(name for name, _ in member.steps) == "mixedsmote" for member in members)
    assert len(hybrid.oof_.fold) == len(y)
    assert hybrid.get_params()["cv" if hasattr(final, "cv") else "n_estimators"] == 3
    probability = pipeline.predict_proba(X)
    np.testing.assert_array_equal(probability, hybrid.predict_proba(pipeline[0].transform(X)))
    assert ((probability[:, 1] > 0.5) == y).mean() > 0.85


def test_a_canary_is_silent_behind_a_sampler_and_sings_behind_imbalanced_learns() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 4)), np.repeat([0, 1], 200)
    hybrid = HybridClassifier(estimators=[("near", KNeighborsClassifier(5))], cv=4)
    smote = MixedSMOTE(sampling_strategy=lambda y: {0: 400, 1: 400})
    ours, theirs = (
        leak_canary(make(smote, hybrid), X, y, n_repeats=4, random_state=0)
        for make in (make_tabular_pipeline, imblearn.pipeline.make_pipeline)
    )
    assert abs(ours.auc - 0.5) < 0.06
    assert theirs.auc > 0.7


def test_what_needs_the_target_moves_with_all_that_follows(rare: Any) -> None:
    _, y = rare
    rng = np.random.RandomState(0)
    X = pd.DataFrame(
        {"town": rng.randint(0, 300, len(y)).astype(str), "street": rng.randint(0, 300, len(y)).astype(str)}
    )
    hybrid = HybridClassifier(estimators=LINEAR, cv=3, random_state=0)
    pipeline = make_tabular_pipeline(TargetEncoder(cv=StratifiedKFold(3)), StandardScaler(), hybrid).fit(X, y)
    assert [name for name, _ in pipeline[-1].estimators_[0][0].steps] == [
        "targetencoder",
        "standardscaler",
        "hybridclassifier",
    ]
    assert pipeline.predict(X).shape == (len(y),)
    assert pipeline.n_features_in_ == 2
    # a scaler alone stays in front
    pipeline = make_tabular_pipeline(TableEncoder(), hybrid).fit(X, y)
    assert isinstance(pipeline[-1].estimators_[0][0], LogisticRegression)


@pytest.mark.parametrize("final", [
    HybridBoostingClassifier(estimators=[("trees", TREES)]),
    ConcatClassifier(embedders=[("trees", TREES)]),
])  # fmt: skip
def test_where_it_cannot_move_it_is_refused(final: Any, rare: Any) -> None:
    with pytest.raises(
        ValueError, match=r"steps \['mixedsmote'\] look at the target, and .* put them into its members"
    ):
        make_tabular_pipeline(MixedSMOTE(), final).fit(*rare)


@pytest.mark.parametrize("final", [
    CalibratedClassifierCV(LogisticRegression(), cv=3),
    GridSearchCV(LogisticRegression(), {"C": [1.0]}),
])  # fmt: skip
def test_folds_of_others_are_refused_too(final: Any, rare: Any) -> None:
    with pytest.raises(ValueError, match="step 'mixedsmote' looks at the target, and would show the folds of"):
        make_tabular_pipeline(MixedSMOTE(), final).fit(*rare)


def test_as_a_member_it_gets_weights(rare: Any) -> None:
    X, y = rare
    hybrid = HybridClassifier(estimators=[("one", make_tabular_pipeline(MixedSMOTE(), Certain()))], cv=3)
    hybrid.set_params(random_state=0).fit(X, y, sample_weight=np.linspace(1, 2, len(y)))
    for member in hybrid.named_estimators_["one"]:
        weight, counts = member[-1].weight_, np.bincount(member[-1].y_)
        assert len(weight) == counts.sum()
        assert counts[0] == counts[1]
        assert 1 <= weight.min() < weight.max() <= 2


def test_grid_search_and_scores(rare: Any) -> None:
    X, y = rare
    pipeline = make_tabular_pipeline(TableEncoder(), MixedSMOTE(random_state=0), TREES)
    grid = {
        "mixedsmote__k_neighbors": [3, 5],
        "boostedtreesclassifier__max_depth": [2],
        "tableencoder__missing": ["keep"],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y, sample_weight=np.linspace(1, 2, len(y)))
    assert set(search.best_params_) == set(grid)
    inside = make_tabular_pipeline(
        MixedSMOTE(random_state=0), HybridClassifier(estimators=LINEAR, cv=2, random_state=0)
    )
    assert cross_val_score(inside, X, y, cv=3).mean() > 0.8


def test_frames_out_and_names(rare: Any) -> None:
    X = pd.DataFrame(rare[0], columns=["a", "b", "c"])
    pipeline = make_tabular_pipeline(StandardScaler(), MixedSMOTE(random_state=0), Recorder())
    fitted = pipeline.set_output(transform="pandas").fit(X, rare[1])
    assert fitted[-1].X_.columns.tolist() == ["a", "b", "c"]
    assert fitted[:-1].get_feature_names_out().tolist() == ["a", "b", "c"]
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]


def test_a_saved_one_predicts_as_before(rare: Any, tmp_path) -> None:
    X, y = rare
    hybrid = HybridClassifier(estimators=LINEAR, cv=2, random_state=0)
    pipeline = make_tabular_pipeline(StandardScaler(), MixedSMOTE(random_state=0), hybrid).fit(X, y)
    save(pipeline, tmp_path / "pipeline.hybrid")
    again = load(tmp_path / "pipeline.hybrid")
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))


@pytest.mark.parametrize("selector", [
    SelectKBest(k=5),
    SelectFromModel(LogisticRegression(), max_features=5),
    FeatureUnion([("best", SelectKBest(k=5))]),
    ColumnTransformer([("best", SelectKBest(k=5), list(range(100)))]),
    FunctionSampler(),
])  # fmt: skip
def test_whatever_may_look_at_the_target_moves(selector: Any) -> None:
    """Columns chosen by labels that mean nothing: chosen inside the folds, they tell nothing of the rows left out."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(200, 100), rng.permutation(np.repeat([0, 1], 100))
    fitted = make_tabular_pipeline(StandardScaler(), selector, HybridClassifier(estimators=LINEAR, random_state=0)).fit(
        X, y
    )
    assert len(fitted[-1].estimators_[0][0].steps) == 2
    margin = fitted[-1].oof_.margins["linear"][:, 0]
    assert roc_auc_score(fitted[-1].oof_.target, margin) < 0.63


@pytest.mark.parametrize("front", [SelectKBest(k=2), TargetEncoder(cv=StratifiedKFold(3)), MixedSMOTE()])
@pytest.mark.parametrize("final", [
    GridSearchCV(LogisticRegression(), {"C": [1.0]}),
    StackingClassifier(LINEAR),
    make_pipeline(StandardScaler(), HybridClassifier(estimators=LINEAR)),
    VotingClassifier([("hybrid", HybridClassifier(estimators=LINEAR))]),
])  # fmt: skip
def test_folds_that_lie_deeper_are_refused(front: Any, final: Any, rare: Any) -> None:
    with pytest.raises(ValueError, match="looks at the target, and would show the folds of"):
        make_tabular_pipeline(front, final).fit(*rare)


@pytest.mark.parametrize("final", [
    HybridClassifier(estimators=LINEAR, cv=3),
    HybridClassifier(estimators=LINEAR, cv=3, final_estimator="mean"),
    HybridStackingClassifier(estimators=LINEAR, cv=3),
    HybridBaggingClassifier(estimator=LogisticRegression(), n_estimators=3),
])  # fmt: skip
def test_members_behind_a_sampler_are_put_right(final: Any, rare: Any) -> None:
    X, y = rare
    for front in (MixedSMOTE(random_state=0), RandomUnderSampler(random_state=0)):
        probability = make_tabular_pipeline(front, final.set_params(random_state=0)).fit(X, y).predict_proba(X)[:, 1]
        assert probability.mean() == pytest.approx(y.mean(), abs=0.02)


def test_weights_reach_a_pipeline_at_the_end(rare: Any) -> None:
    X, y = rare
    weight = np.linspace(1, 2, len(y))
    fitted = make_tabular_pipeline(RandomUnderSampler(random_state=0), make_pipeline(StandardScaler(), Recorder()))
    assert fitted.fit(X, y, sample_weight=weight)[-1][-1].weight_.max() > 1.5
    hybrid = HybridClassifier(estimators=[("line", make_pipeline(StandardScaler(), LogisticRegression()))], cv=2)
    make_tabular_pipeline(MixedSMOTE(), hybrid).fit(X, y, sample_weight=weight)


def test_rows_of_weight_zero_are_left_out_first(rare: Any) -> None:
    X, y = rare[0].copy(), rare[1]
    weight = np.where(np.arange(len(y)) % 2, 1.0, 0.0)
    X[weight == 0] = 50
    for kind in (X, pd.DataFrame(X), X.tolist()):
        last = make_tabular_pipeline(MixedSMOTE(random_state=0), Recorder()).fit(kind, y, sample_weight=weight)[-1]
        assert np.asarray(last.X_).max() < 10
        assert np.bincount(last.y_)[0] == np.bincount(last.y_)[1]


def test_what_was_made_stops_no_training(rare: Any) -> None:
    X, y = rare
    trees = BoostedTreesClassifier(n_estimators=50, learning_rate=0.3)
    fitted = make_tabular_pipeline(MixedSMOTE(random_state=0), trees).fit(X, y)
    assert len(fitted[-1].stopping_rows_) <= 0.16 * len(y)


class Heir(Recorder):
    """Keeps the parents of its rows too."""

    def fit(self, X: Any, y: Any, parents: Any = None) -> Heir:
        self.parents_ = parents
        return super().fit(X, y)


def test_parents_outlive_a_second_sampler(rare: Any) -> None:
    """What was made of rows stays so when others are taken out again."""
    X, y = rare
    last = make_tabular_pipeline(SMOTE(random_state=0), RandomUnderSampler(random_state=0), Heir()).fit(X, y)[-1]
    real = last.parents_[:, 0] == last.parents_[:, 1]
    np.testing.assert_array_equal(last.X_[real], X[last.parents_[real, 0]])
    known = (last.X_[:, None] == X[None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(known, real)


def test_names_of_columns_and_a_numeric_target(rare: Any) -> None:
    X = pd.DataFrame(rare[0], columns=list("abc"))
    fitted = make_tabular_pipeline(MixedSMOTE(random_state=0), HybridClassifier(estimators=LINEAR, cv=2)).fit(
        X, rare[1]
    )
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"continuous; RandomUnderSampler resamples by classes. In a regression weigh"):
        make_tabular_pipeline(RandomUnderSampler(), Ridge()).fit(X, rare[0][:, 0])
