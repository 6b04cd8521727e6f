"""The leak canary: finds what is planted where no ledger can look, and leaves the innocent alone."""

from __future__ import annotations

from typing import Any

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

from hybridlearn.crossfit import cross_fit, leak_canary
from hybridlearn.ensemble import HybridClassifier, HybridRegressor

N_ROWS = 300


def cities() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"city": rng.choice([f"city {i}" for i in range(60)], N_ROWS)})


def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_ROWS, 3))


HALVES = np.arange(N_ROWS) % 2
THIRDS = np.arange(N_ROWS) % 3
RARE = (np.arange(N_ROWS) % 8 == 0).astype(int)


class Means(TransformerMixin, BaseEstimator):
    """Mean target by level, that of a training row with its own: the classical mistake."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Means:
        self.means_ = pd.Series(np.asarray(y, dtype=float)).groupby(X["city"].to_numpy()).mean()
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        return X["city"].map(self.means_).fillna(self.means_.mean()).to_numpy()[:, None]


class Remembers(TransformerMixin, BaseEstimator):
    """Keeps a memory outside of itself, which no clone forgets."""

    memory: dict[float, int] = {}

    def fit(self, X: np.ndarray, y: np.ndarray) -> Remembers:
        self.memory.update(zip(X[:, 0], y, strict=True))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return np.array([[self.memory.get(row[0], 0.5)] for row in X])


def encoded(encoder: Any) -> Any:
    return make_pipeline(encoder, LogisticRegression())


def hybrid(**members: Any) -> HybridClassifier:
    return HybridClassifier(estimators=list(members.items()), cv=3, final_estimator="mean")


def test_an_encoder_in_front_of_a_hybrid_is_found() -> None:
    found = leak_canary(
        make_pipeline(Means(), hybrid(linear=LogisticRegression())), cities(), HALVES, n_repeats=6, random_state=0
    )
    assert found.leaks
    assert found.auc > 0.6


def test_the_same_encoder_inside_a_member_is_innocent() -> None:
    found = leak_canary(hybrid(linear=encoded(Means())), cities(), HALVES, n_repeats=10, random_state=0)
    assert not found.leaks
    assert abs(found.auc - 0.5) < 0.03


def test_smote_in_front_of_a_hybrid_is_found() -> None:
    neighbours = hybrid(neighbours=KNeighborsClassifier(3))
    pipeline = imblearn.pipeline.make_pipeline(SMOTE(), neighbours)
    found = leak_canary(pipeline, numbers(), RARE, n_repeats=4, random_state=0)
    assert found.leaks
    assert found.auc > 0.7


def test_smote_inside_a_member_is_innocent() -> None:
    inside = hybrid(neighbours=imblearn.pipeline.make_pipeline(SMOTE(), KNeighborsClassifier(3)))
    found = leak_canary(inside, numbers(), RARE, n_repeats=10, random_state=0)
    assert not found.leaks
    assert abs(found.auc - 0.5) < 0.05


def test_a_memory_that_survives_cloning_is_found_where_the_ledger_is_blind() -> None:
    leaking = make_pipeline(Remembers(), LogisticRegression())
    cross_fit([("m", leaking)], numbers(), HALVES, cv=3, random_state=0).ledger.assert_leak_free()
    Remembers.memory.clear()
    assert leak_canary(leaking, numbers(), HALVES, n_repeats=4, cv=3, random_state=0).leaks


@pytest.mark.parametrize("y", [HALVES, THIRDS, np.where(HALVES, "yes", "no"), pd.Series(HALVES == 1, dtype="boolean")])
def test_any_classification_target_serves(y: Any) -> None:
    clean = leak_canary(encoded(TargetEncoder(cv=3)), cities(), y, n_repeats=8, cv=3, random_state=0)
    assert not clean.leaks
    assert abs(clean.auc - 0.5) < 0.05
    leaking = make_pipeline(TargetEncoder(cv=3, smooth=0.01), hybrid(forest=RandomForestClassifier(5)))
    assert leak_canary(leaking, cities(), y, n_repeats=2, random_state=0).aucs.shape == (2,)


def test_a_regression_is_judged_by_being_above_the_median() -> None:
    y = np.random.default_rng(1).gamma(1, size=N_ROWS)
    regressor = HybridRegressor(estimators=[("ridge", Ridge())], cv=3)
    assert leak_canary(make_pipeline(Means(), regressor), cities(), y, n_repeats=6, random_state=0).leaks
    inside = HybridRegressor(estimators=[("ridge", make_pipeline(Means(), Ridge()))], cv=3)
    clean = leak_canary(inside, cities(), y, n_repeats=10, random_state=0)
    assert not clean.leaks
    assert abs(clean.auc - 0.5) < 0.05


def test_a_signal_is_no_leak() -> None:
    X = numbers()
    y = (X[:, 0] > 0).astype(int)
    found = leak_canary(LogisticRegression(), X, y, n_repeats=10, random_state=0)
    assert not found.leaks
    assert abs(found.auc - 0.5) < 0.05


def test_the_figures_are_those_of_the_shuffles() -> None:
    member = RandomForestClassifier(3, random_state=0)
    first, again = (leak_canary(member, numbers(), HALVES, n_repeats=3, cv=2, random_state=5) for _ in range(2))
    assert first.aucs.shape == (3,)
    assert len(set(first.aucs)) == 3
    assert first.auc == first.aucs.mean()
    assert first.standard_error == pytest.approx(first.aucs.std(ddof=1) / np.sqrt(3))
    np.testing.assert_array_equal(first.aucs, again.aucs)
    # seeds are drawn anew for each shuffle, on copies
    assert member.random_state == 0
    assert not hasattr(member, "estimators_")


def test_a_standard_error_needs_two() -> None:
    with pytest.raises(ValueError, match="n_repeats=1; a standard error needs at least 2"):
        leak_canary(LogisticRegression(), numbers(), HALVES, n_repeats=1)
