"""What weights mean to every ensemble: ones are none, zero is absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, is_regressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeRegressor

from hybridlearn.ensemble import (
    ConcatClassifier,
    ConcatRegressor,
    HybridBaggingClassifier,
    HybridBaggingRegressor,
    HybridBoostingClassifier,
    HybridBoostingRegressor,
    HybridStackingClassifier,
    HybridStackingRegressor,
)
from hybridlearn.trees import BoostedTreesClassifier

N_ROWS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
NUMBER = X[:, 0] - X[:, 1] + RNG.normal(size=N_ROWS)
TWO = (NUMBER > 0).astype(int)
ODD = np.where(np.arange(N_ROWS) % 2, 3.0, 1.0)

LINE, TREE = ("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2, random_state=0))
CLASSIFIERS = [("line", LogisticRegression()), ("bayes", GaussianNB())]
TREES = BoostedTreesClassifier(n_estimators=3, learning_rate=0.5, random_state=0)

ENSEMBLES: dict[str, BaseEstimator] = {
    **{
        f"bagging {resample} {type(member).__name__}": cls(estimator=member, resample=resample, n_estimators=3)
        for resample in ("folds", "bootstrap", "under")
        for cls, member in [
            (HybridBaggingClassifier, LogisticRegression()),
            (HybridBaggingClassifier, TREES),
            (HybridBaggingRegressor, Ridge()),
        ]
        if (resample, cls) != ("under", HybridBaggingRegressor)
    },
    "stacking classes": HybridStackingClassifier(estimators=CLASSIFIERS, cv=3),
    "stacking classes, any": HybridStackingClassifier(
        estimators=CLASSIFIERS, cv=3, final_estimator=LogisticRegression(), passthrough=True
    ),
    "stacking numbers": HybridStackingRegressor(estimators=[LINE, TREE], cv=3),
    "stacking numbers, any": HybridStackingRegressor(estimators=[LINE, TREE], cv=3, final_estimator=Ridge()),
    "boosting classes": HybridBoostingClassifier(estimators=[LINE, ("trees", TREES)], cv=2, inner_cv=2),
    "boosting numbers": HybridBoostingRegressor(estimators=[LINE, TREE], cv=2, inner_cv=2),
    "concat classes": ConcatClassifier(embedders=[("trees", TREES), ("pca", PCA(2, random_state=0))], cv=2),
    "concat numbers": ConcatRegressor(embedders=[("pca", PCA(2, random_state=0))], cv=2),
}

few = settings(max_examples=3)
pytestmark = pytest.mark.filterwarnings("ignore:members .* take no sample_weight:UserWarning")


def margins(ensemble: BaseEstimator, rows: np.ndarray, seed: int = 0, **fit_params: Any) -> np.ndarray:
    y = NUMBER if is_regressor(ensemble) else TWO
    ensemble = ensemble.set_params(random_state=seed)
    return ensemble.fit(X[rows], y[rows], **fit_params).margin(X)


EVERYTHING = np.arange(N_ROWS)


@pytest.mark.parametrize("name", ENSEMBLES)
@few
@given(seed=st.integers(0, 99))
def test_weights_of_one_are_no_weights(name: str, seed: int) -> None:
    plain = margins(ENSEMBLES[name], EVERYTHING, seed)
    ones = margins(ENSEMBLES[name], EVERYTHING, seed, sample_weight=np.ones(N_ROWS))
    np.testing.assert_allclose(ones, plain, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ENSEMBLES)
@few
@given(
    weight=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=N_ROWS, max_size=N_ROWS).filter(
        lambda w: sum(v > 0 for v in w) > 35
    ),
    seed=st.integers(0, 99),
    grouped=st.booleans(),
)
def test_a_row_of_weight_zero_is_as_if_it_had_never_been(
    name: str, weight: list[float], seed: int, grouped: bool
) -> None:
    weights = np.array(weight)
    kept = np.flatnonzero(weights)
    groups = EVERYTHING // 3 if grouped else None
    weighted = margins(ENSEMBLES[name], EVERYTHING, seed, sample_weight=weights, groups=groups)
    positions = getattr(ENSEMBLES[name], "oof_", None)
    assert positions is None or positions.positions.tolist() == kept.tolist()
    absent = margins(
        ENSEMBLES[name], kept, seed, sample_weight=weights[kept], groups=None if groups is None else groups[kept]
    )
    np.testing.assert_array_equal(weighted, absent)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_weights_matter(name: str) -> None:
    plain, weighted = (margins(ENSEMBLES[name], EVERYTHING, sample_weight=w) for w in (None, ODD))
    assert np.abs(plain - weighted).max() > 1e-3


@pytest.mark.parametrize("name", [name for name in ENSEMBLES if "bootstrap" not in name and "under" not in name])
def test_a_row_of_weight_zero_has_no_time(name: str) -> None:
    weights = np.where(EVERYTHING % 5 == 2, 0.0, ODD)
    kept, time = np.flatnonzero(weights), RNG.permutation(N_ROWS) // 2
    weighted = margins(ENSEMBLES[name], EVERYTHING, sample_weight=weights, time=time)
    absent = margins(ENSEMBLES[name], kept, sample_weight=weights[kept], time=time[kept])
    np.testing.assert_array_equal(weighted, absent)
