"""Resampled rows in front of classifiers: probabilities, weights, folds, nets of one program, early stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.tree import DecisionTreeClassifier

from hybridlearn import (
    BoostedTreesClassifier,
    HybridClassifier,
    MixedSMOTE,
    ResampledClassifier,
    TabularMLPClassifier,
)
from hybridlearn.datasets import load_mortgages

TREES = BoostedTreesClassifier(n_estimators=40, learning_rate=0.2)
SMALL_NET = TabularMLPClassifier(hidden_layer_sizes=(16,), max_epochs=8)


@pytest.fixture(scope="module")
def rare() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    X = rng.randn(6000, 4)
    y = (rng.uniform(size=6000) < 1 / (1 + np.exp(4 - 2 * X[:, 0]))).astype(int)
    return train_test_split(X, y, stratify=y, random_state=0)


def loss(model: Any, X: Any, y: Any) -> float:
    return log_loss(y, model.predict_proba(X)[:, 1])


@pytest.mark.parametrize("sampler", ["weights", "under", "over", "smote", SMOTE()])
def test_correction_gives_the_probabilities_back(sampler: Any, rare: Any) -> None:
    X, X_test, y, y_test = rare
    models = [
        ResampledClassifier(estimator=LogisticRegression(), sampler=sampler, correct=correct, random_state=0).fit(X, y)
        for correct in ("none", "auto")
    ]
    before, after = (loss(model, X_test, y_test) for model in models)
    plain = loss(LogisticRegression().fit(X, y), X_test, y_test)
    assert before > 1.5 * plain
    assert after < 1.03 * plain
    models[1].ledger_.assert_leak_free()


def test_the_prior_shift_is_that_of_the_rows() -> None:
    """What is added is the log of the odds at which rows of each class were drawn: a quarter of the frequent one's."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(200, 2), np.repeat([0, 1], [160, 40])
    model = ResampledClassifier(estimator=LogisticRegression(), cv=4, random_state=0).fit(X, y)
    shifts = [each.shift[0] for each in model.models_["estimator"]]
    np.testing.assert_allclose(shifts, -np.log(4), atol=1e-9)


def test_weights_are_the_users_too(rare: Any) -> None:
    """Weights that undo the rarity: what is put back is the prior of the weighted rows."""
    X, _, y, _ = rare
    weight = np.where(y == 1, (y == 0).sum() / (y == 1).sum(), 1.0)
    model = ResampledClassifier(estimator=LogisticRegression(), sampler="under", random_state=0)
    share = model.fit(X, y, sample_weight=weight).predict_proba(X)[:, 1] @ weight / weight.sum()
    assert share == pytest.approx(0.5, abs=0.03)


def test_weights_reach_a_synthetic_row() -> None:
    """Rows of next to no weight do not count, nor does what is made of them."""
    rng = np.random.RandomState(0)
    X = rng.randn(400, 1)
    y = (X[:, 0] + 0.3 * rng.randn(400) > 1).astype(int)
    noise = rng.uniform(size=400) < 0.3
    corrupted = np.where(noise, 1 - y, y)
    weight = np.where(noise, 1e-6, 1.0)
    model = ResampledClassifier(estimator=LogisticRegression(), sampler="smote", random_state=0)
    right = [(model.fit(X, corrupted, sample_weight=w).predict(X[~noise]) == y[~noise]).mean() for w in (None, weight)]
    assert right[1] > right[0]
    assert right[1] > 0.93


def test_groups_share_a_side(rare: Any) -> None:
    X, _, y, _ = rare
    groups = np.arange(len(y)) // 5
    model = ResampledClassifier(estimator=TREES, sampler="smote", cv=3, random_state=0).fit(X, y, groups=groups)
    model.ledger_.assert_grouped(groups)
    assert "early stopping" in set(model.ledger_.frame["step"])


def test_time_goes_forward(rare: Any) -> None:
    X, _, y, _ = rare
    time = np.arange(len(y))
    model = ResampledClassifier(estimator=TREES, sampler="smote", cv=3, random_state=0).fit(X, y, time=time)
    model.ledger_.assert_in_order(time)
    assert len(model.models_["estimator"]) == 1
    assert loss(model, X, y) < 0.2


class Counting(ClassifierMixin, BaseEstimator):
    """Tells how many rows of each class it was given, and knows nothing else."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Counting:
        self.classes_ = np.unique(y)
        self.counts_ = np.bincount(y).tolist()
        self.weights_ = np.bincount(y, sample_weight).round(3).tolist()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), 2), 0.5)

    def predict(self, X: Any) -> np.ndarray:
        return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize(("sampler", "counts", "weights"), [
    ("under", [32, 32], [32, 32]),
    ("smote", [128, 128], [128, 128]),
    ("over", [128, 32], [128, 128]),
    ("weights", [128, 32], [80, 80]),
])  # fmt: skip
def test_only_training_parts_are_resampled(sampler: str, counts: list[int], weights: list[float]) -> None:
    X, y = np.random.RandomState(0).randn(200, 2), np.repeat([0, 1], [160, 40])
    model = HybridClassifier(estimators=[("one", Counting())], resample=sampler, random_state=0).fit(X, y)
    fitted = model.named_estimators_["one"]
    # over-sampling by weights leaves out the rows that are never drawn; none is
    assert [each.counts_ for each in fitted] == [counts] * 5
    assert [each.weights_ for each in fitted] == [weights] * 5
    assert model.oof_.coverage == 1.0
    assert len(model.oof_.fold) == 200


def test_nets_of_one_shape_are_still_one_program(rare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y, _ = rare
    sizes = []
    together = TabularMLPClassifier.fit_together
    monkeypatch.setattr(
        TabularMLPClassifier, "fit_together", staticmethod(lambda fits: sizes.append(len(fits)) or together(fits))
    )
    monkeypatch.setattr(TabularMLPClassifier, "n_together", staticmethod(lambda first, estimators: 3))
    model = HybridClassifier(estimators=[("mlp", SMALL_NET)], resample="under", cv=3, random_state=0)
    model.fit(X[:600], y[:600])
    assert sizes == [3]
    assert all(each.shift is not None for each in model.models_["mlp"])


def test_what_was_made_never_stops_a_training(rare: Any) -> None:
    """Rounds found on real rows alone: many fewer than with copies of a row on both sides of the split."""
    X, _, y, _ = rare
    deep = BoostedTreesClassifier(max_depth=8, n_iter_no_change=10)
    model = ResampledClassifier(estimator=deep, sampler="smote", cv=2, random_state=0).fit(X, y)
    for fitted, entry in zip(model.named_estimators_["estimator"], model.oof_.tests, strict=True):
        assert fitted.n_iter_ < 150
        assert len(fitted.stopping_rows_) < 0.2 * (len(y) - len(entry))


def test_every_member_is_put_right(rare: Any) -> None:
    """The blend of members that were fitted on other shares of the classes is calibrated."""
    X, X_test, y, y_test = rare
    members = [("linear", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))]
    for kind in ("greedy", "nonnegative", "mean"):
        for sampler in ("under", "smote"):
            model = HybridClassifier(estimators=members, final_estimator=kind, resample=sampler, random_state=0)
            model.fit(X, y)
            assert model.predict_proba(X_test)[:, 1].mean() == pytest.approx(y_test.mean(), abs=0.02)
            total = model.intercept_ + sum(model.weights_[n] * m for n, m in model.member_margins(X_test).items())
            np.testing.assert_allclose(model.margin(X_test), total / model.temperature_, atol=1e-9)


def test_seeds_and_processes() -> None:
    X, y = load_mortgages()
    X, y = X.iloc[:600], y.iloc[:600]

    def fit(seed: int, n_jobs: int | None = None) -> np.ndarray:
        model = HybridClassifier(
            estimators=[("trees", TREES)], resample="smote", cv=2, random_state=seed, n_jobs=n_jobs
        )
        return model.fit(X, y).predict_proba(X)

    first = fit(0)
    np.testing.assert_array_equal(first, fit(0))
    np.testing.assert_array_equal(first, fit(0, n_jobs=2))
    assert (first != fit(1)).any()


def test_grid_search_reaches_the_sampler_and_weights_arrive() -> None:
    X, y = load_mortgages()
    X, y = X.iloc[:500], y.iloc[:500]
    hybrid = HybridClassifier(estimators=[("trees", TREES)], resample=MixedSMOTE(), cv=2, random_state=0)
    grid = {"resample__k_neighbors": [3, 5], "trees__max_depth": [2]}
    search = GridSearchCV(hybrid, grid, cv=2, scoring="neg_log_loss")
    search.fit(X, y, sample_weight=np.random.RandomState(0).uniform(0.5, 2, len(y)))
    assert set(search.best_params_) == set(grid)
    assert search.best_estimator_.oof_.weight.std() > 0


def test_under_a_checkpoint_another_sampler_is_another_fit(rare: Any, tmp_path) -> None:
    X, _, y, _ = rare
    X, y = X[:800], y[:800]

    def fit(sampler: Any) -> np.ndarray:
        model = ResampledClassifier(
            estimator=LogisticRegression(), sampler=sampler, cv=2, random_state=0, checkpoint=tmp_path
        )
        return model.fit(X, y).predict_proba(X)

    first = fit("under")
    n_pieces = len(list(tmp_path.glob("*.hybrid")))
    np.testing.assert_array_equal(first, fit("under"))
    assert len(list(tmp_path.glob("*.hybrid"))) == n_pieces
    assert (first != fit("smote")).any()
    assert (first != fit(RandomUnderSampler(sampling_strategy=0.5))).any()
    assert len(list(tmp_path.glob("*.hybrid"))) == 3 * n_pieces


class TestBadInput:
    def test_a_sampler_that_cannot_is_named(self) -> None:
        X = pd.DataFrame({"a": np.arange(60.0), "job": list("xyz") * 20})
        y = np.repeat([0, 1], [45, 15])
        with pytest.raises(ValueError, match=r"ADASYN cannot resample .*columns \['job'\]"):
            ResampledClassifier(estimator=TREES, sampler="adasyn", cv=2).fit(X, y)

    def test_too_few_rows_of_a_class(self) -> None:
        X, y = np.random.RandomState(0).randn(60, 2), np.repeat([0, 1], [54, 6])
        with pytest.raises(ValueError, match=r"k_neighbors=5 .* lower k_neighbors"):
            HybridClassifier(estimators=[("a", LogisticRegression())], resample="smote", cv=3).fit(X, y)

    def test_an_unknown_name(self) -> None:
        X, y = np.random.RandomState(0).randn(60, 2), np.repeat([0, 1], [54, 6])
        with pytest.raises(ValueError, match="'smoke'"):
            ResampledClassifier(sampler="smoke").fit(X, y)

    def test_weights_for_who_takes_none(self) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        X, y = np.random.RandomState(0).randn(60, 2), np.repeat([0, 1], [40, 20])
        with pytest.raises(ValueError, match="takes sample_weight; use 'over'"):
            ResampledClassifier(estimator=KNeighborsClassifier(), sampler="weights", cv=2).fit(X, y)
