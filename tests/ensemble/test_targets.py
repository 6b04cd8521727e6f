"""Targets of every pandas type, predictions of the matching labels; the threshold between two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from hybridlearn.ensemble import HybridClassifier

MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]


def fitted(table, y: Any, **settings: Any) -> HybridClassifier:
    return HybridClassifier(estimators=MEMBERS, cv=2, random_state=0, **settings).fit(table.X, y)


@pytest.mark.parametrize(
    ("dtype", "labels"),
    [
        ("Int64", [3, 8]),
        ("UInt8", [0, 1]),
        ("boolean", [False, True]),
        ("bool", [False, True]),
        ("string", ["no", "yes"]),
        ("str", ["no", "yes"]),
        ("category", ["no", "yes"]),
        (pd.CategoricalDtype(["yes", "unused", "no"], ordered=True), ["no", "yes"]),
        ("object", ["no", "yes"]),
        ("object", [False, True]),
        ("float64", [0.0, 1.0]),
        ("Float64", [0.0, 1.0]),
        ("int8", [-1, 1]),
    ],
)
@pytest.mark.parametrize("wrap", [pd.Series, list], ids=["series", "list"])
def test_predictions_are_labels_of_the_target(table, dtype: Any, labels: list[Any], wrap: type) -> None:
    y = pd.Series([labels[code] for code in table.two], dtype=dtype)
    hybrid, on_codes = fitted(table, wrap(y)), fitted(table, table.two)
    assert hybrid.classes_.tolist() == labels
    assert hybrid.predict(table.X).tolist() == [labels[code] for code in on_codes.predict(table.X)]
    np.testing.assert_array_equal(hybrid.predict_proba(table.X), on_codes.predict_proba(table.X))
    assert [type(label) for label in hybrid.predict(table.X).tolist()] == [type(labels[0])] * 160
    if dtype != "object" or labels[0] == "no":  # scikit-learn's metrics take no objects but text
        assert hybrid.score(table.X, wrap(y)) == on_codes.score(table.X, table.two)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category", "Float64", "object"])
def test_a_missing_target_is_counted(table, dtype: str) -> None:
    labels = {"string": ["no", "yes"], "category": ["no", "yes"], "object": ["no", "yes"]}.get(dtype, [0, 1])
    y = pd.Series([labels[code] for code in table.two], dtype=dtype)
    y[:2] = None
    with pytest.raises(ValueError, match="y contains NaN: 2 rows have no target"):
        fitted(table, y)


def test_three_labels_with_gaps(table) -> None:
    hybrid = fitted(table, pd.Series(table.three).map({0: 7, 1: 0, 2: 2}).astype("Int64"))
    assert hybrid.classes_.tolist() == [0, 2, 7]
    assert hybrid.decision_function(table.X).shape == (160, 3)
    assert set(hybrid.predict(table.X)) <= {0, 2, 7}


# threshold


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.8, 1.0])
def test_the_threshold_changes_predictions_only(table, threshold: float) -> None:
    labels = np.where(table.two, "yes", "no")
    half, moved = fitted(table, labels), fitted(table, labels, threshold=threshold)
    p = half.predict_proba(table.X)
    np.testing.assert_array_equal(moved.predict_proba(table.X), p)
    np.testing.assert_array_equal(moved.decision_function(table.X), half.decision_function(table.X))
    pd.testing.assert_frame_equal(
        moved.leaderboard_.drop(columns="fit_seconds"), half.leaderboard_.drop(columns="fit_seconds")
    )
    np.testing.assert_array_equal(moved.predict(table.X), np.where(p[:, 1] > threshold, "yes", "no"))
    np.testing.assert_array_equal(half.predict(table.X), np.where(p[:, 1] > 0.5, "yes", "no"))


def test_a_fitted_hybrid_follows_its_threshold(table) -> None:
    hybrid = fitted(table, table.two)
    p = hybrid.predict_proba(table.X)[:, 1]
    hybrid.set_params(threshold=0.7)
    np.testing.assert_array_equal(hybrid.predict(table.X), p > 0.7)


def test_three_classes_know_no_threshold(table) -> None:
    with pytest.raises(ValueError, match=r"threshold=0.7 is for two classes, y has 3"):
        fitted(table, table.three, threshold=0.7)
