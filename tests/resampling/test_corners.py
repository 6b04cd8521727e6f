"""Copies at the ends of what rows may become: where they lie, what they do to trees, and that they leak nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from hybridlearn import BoostedTreesClassifier, CornerSampler, HybridClassifier, attack, certify


@pytest.fixture
def data() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=300), "n": rng.integers(0, 9, 300), "c": rng.choice(["a", "b"], 300)})
    X.loc[::7, "x"] = np.nan
    return X, np.where(X["x"].fillna(0) + 0.1 * X["n"] + rng.normal(scale=0.3, size=300) > 0.4, "yes", "no")


def test_only_numbers_move_and_to_the_ends(data: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = data
    sampler = CornerSampler(eps={"x": 0.5, "n": 1}, n_copies=3, random_state=0)
    more, labels = sampler.fit_resample(X, y)
    assert len(more) == 4 * len(X)
    origin = sampler.sample_indices_
    pd.testing.assert_frame_equal(more[: len(X)], X, check_dtype=False)
    assert_array_equal(labels, y[origin])
    given = X.iloc[origin].reset_index(drop=True)
    assert_array_equal(more["c"], given["c"])
    assert_array_equal(more["x"].isna(), given["x"].isna())
    moved = (more["x"] - given["x"])[len(X) :].dropna()
    assert set(moved.abs().round(9)) == {0.5}
    assert 0.4 < (moved > 0).mean() < 0.6


def test_trees_that_have_seen_corners_fall_less() -> None:
    """Of pictures of digits, each of whose pixels may be a level brighter or darker."""
    X, y = load_digits(return_X_y=True)
    rows = np.isin(y, [3, 8, 9])
    X, y, eps = X[rows], y[rows], [1.0] * X.shape[1]
    plain, robust = (
        HybridClassifier(estimators=[("trees", BoostedTreesClassifier())], cv=2, resample=sampler, random_state=0).fit(
            X[::2], y[::2]
        )
        for sampler in (None, CornerSampler(eps=eps))
    )
    certified = [certify(model, X[1::2], y[1::2], eps=eps).certified.mean() for model in (plain, robust)]
    fallen = [attack(model, X[1::2], eps=eps, budget=60).success.mean() for model in (plain, robust)]
    assert certified[1] > certified[0] + 0.03
    assert fallen[1] < fallen[0]
    robust.ledger_.assert_leak_free()


def test_bad_eps_is_named(data: tuple[pd.DataFrame, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="eps names columns that are not in X"):
        CornerSampler(eps={"z": 1.0}).fit_resample(*data)
    with pytest.raises(ValueError, match="CornerSampler"):
        CornerSampler().fit_resample(data[0], np.random.default_rng(0).normal(size=300))
