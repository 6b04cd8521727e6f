"""What an explanation shows: tables, rankings, pictures, the form of another library."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from hybridlearn import BoostedTreesClassifier, explain
from hybridlearn.inspection import Explanation

TREES = {"n_estimators": 10, "learning_rate": 0.3, "early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def two(mixed: pd.DataFrame, number: np.ndarray) -> Explanation:
    y = np.where(number > np.median(number), "yes", "no")
    return explain(BoostedTreesClassifier(**TREES).fit(mixed, y), mixed[:40], mixed)


@pytest.fixture(scope="module")
def three(mixed: pd.DataFrame, number: np.ndarray) -> Explanation:
    y = np.array(["low", "mid", "top"])[np.digitize(number, [3.5, 5])]
    return explain(BoostedTreesClassifier(**TREES).fit(mixed, y), mixed[:40], mixed)


@pytest.fixture(autouse=True)
def close() -> None:
    yield
    plt.close("all")


def test_the_frame_has_a_row_a_row_and_column(two: Explanation, three: Explanation) -> None:
    assert two.frame.columns.tolist() == ["row", "column", "value", "contribution"]
    assert len(two.frame) == 40 * 4
    sums = two.frame.groupby("row")["contribution"].sum() + two.base_values
    assert_allclose(sums, two.margins, atol=1e-5)
    assert three.frame["class"].unique().tolist() == ["low", "mid", "top"]
    assert len(three.frame) == 40 * 4 * 3
    assert pd.isna(two.frame.query("column == 'age' and row == 0")["value"].iloc[0])


def test_probabilities_stand_beside_the_margin(two: Explanation) -> None:
    assert two.predictions.columns.tolist() == ["prediction", "probability of no", "probability of yes"]
    told = two.predictions["probability of yes"]
    assert_allclose(told, 1 / (1 + np.exp(-two.margins)))
    assert ((two.predictions["prediction"] == "yes") == (told > 0.5)).all()


def test_columns_are_ranked_by_what_they_move(two: Explanation, three: Explanation) -> None:
    for explanation in (two, three):
        assert sorted(explanation.ranking.index) == sorted(explanation.feature_names)
        assert explanation.ranking.is_monotonic_decreasing
    assert three.toward_prediction.shape == (40, 4)
    labels = three.margins.argmax(axis=1)
    assert_allclose(three.toward_prediction[7], three.values[7, :, labels[7]])


@pytest.mark.parametrize("kind", ["beeswarm", "waterfall", "dependence"])
def test_pictures_are_drawn(two: Explanation, three: Explanation, kind: str) -> None:
    ax = two.plot(kind, row=3)
    assert "margin" in ax.get_xlabel() + ax.get_ylabel()
    ax = three.plot(kind, label="low", max_columns=2, column="colour", ax=plt.figure().subplots())
    assert "margin of low" in ax.get_xlabel() + ax.get_ylabel()


def test_a_waterfall_ends_at_the_margin(two: Explanation) -> None:
    ax = two.plot("waterfall", row=5, max_columns=2)
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert len(ends) == 3
    assert ends[-1] == pytest.approx(two.margins[5], abs=1e-5)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"kind": "pie"}, "kind must be"),
        ({"kind": "waterfall", "row": 40}, "row must be a position among 40"),
        ({"kind": "dependence", "column": "weight"}, "column must be one of"),
    ],
)
def test_a_picture_of_what_is_not_there_is_refused(two: Explanation, how: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        two.plot(**how)


def test_a_class_that_is_not_there_is_refused(three: Explanation) -> None:
    with pytest.raises(ValueError, match=r"label must be one of \['low', 'mid', 'top'\]"):
        three.plot(label="high")


def test_shap_reads_it(two: Explanation, three: Explanation) -> None:
    shap = pytest.importorskip("shap")
    for explanation in (two, three):
        theirs = explanation.to_shap()
        assert isinstance(theirs, shap.Explanation)
        assert_allclose(theirs.values, explanation.values)
        assert_allclose(theirs.base_values + theirs.values.sum(axis=1), explanation.margins, atol=1e-5)
