"""What members have requested of scikit-learn's metadata routing is part of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridlearn.ensemble import HybridClassifier
from hybridlearn.persistence import load, save
from hybridlearn.trees import BoostedTreesClassifier

RNG = np.random.default_rng(0)
X, Y, WEIGHT = RNG.normal(size=(80, 3)), np.arange(80) % 2, RNG.uniform(0.5, 2, size=80)


def test_requests_are_stored_and_hold_in_the_next_fit(tmp_path: Path) -> None:
    with config_context(enable_metadata_routing=True):
        linear = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            LogisticRegression().set_fit_request(sample_weight=True),
        )
        members = [("linear", linear), ("trees", BoostedTreesClassifier(n_estimators=3))]
        hybrid = HybridClassifier(estimators=members, cv=2, random_state=0, checkpoint=tmp_path / "pieces")
        hybrid.fit(X, Y, sample_weight=WEIGHT)
        assert len(list((tmp_path / "pieces").glob("*.hybrid"))) == 4
        save(hybrid, tmp_path / "model")
        again = load(tmp_path / "model")
        np.testing.assert_array_equal(again.margin(X), hybrid.margin(X))
        refitted = clone(again).set_params(checkpoint=None).fit(X, Y, sample_weight=WEIGHT)
        np.testing.assert_array_equal(refitted.margin(X), hybrid.margin(X))
        unweighted = clone(again).set_params(checkpoint=None).fit(X, Y)
        assert (unweighted.margin(X) != hybrid.margin(X)).any()


def test_a_request_of_a_leaf(tmp_path: Path) -> None:
    with config_context(enable_metadata_routing=True):
        for told in (True, False, "weight"):
            one = LogisticRegression().set_fit_request(sample_weight=told).fit(X, Y)
            save(one, tmp_path / "model")
            again = load(tmp_path / "model")
            assert str(again.get_metadata_routing()) == str(one.get_metadata_routing())
            np.testing.assert_array_equal(again.predict_proba(X), one.predict_proba(X))
