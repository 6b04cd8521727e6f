"""Deletion and insertion: areas of a function that is known, explained order against chance and attention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from hybridlearn import BoostedTreesClassifier, FTTransformerRegressor, explain
from hybridlearn.inspection import attention_maps, faithfulness


def test_areas_of_a_linear_model_by_hand() -> None:
    """Of ``3 a + b`` at (1, 1) against (0, 0): from 4, deleting a leaves 1, then 0; inserting it gives 3, then 4."""
    X = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    model = LinearRegression().fit(X, X @ [3.0, 1.0])
    row, zero = np.ones((1, 2)), np.zeros((2, 2))
    found = faithfulness(model, row, [[3.0, 1.0]], zero)
    assert found.frame.loc["scores", "deletion"] == pytest.approx((4 + 1 + 0) / 4 / 3)
    assert found.frame.loc["scores", "insertion"] == pytest.approx((0 + 3 + 4) / 4 / 3)
    np.testing.assert_allclose(found.curves["deletion"], [1, 0.25, 0], atol=1e-12)
    worst = faithfulness(model, row, [[1.0, 3.0]], zero)
    assert worst.frame.loc["scores", "deletion"] == pytest.approx((4 + 3 + 0) / 4 / 3)


def test_explained_columns_go_first(mixed: pd.DataFrame, number: np.ndarray) -> None:
    y = np.digitize(number, [3.5, 5])
    trees = BoostedTreesClassifier(n_estimators=20, early_stopping=False, random_state=0).fit(mixed, y)
    found = faithfulness(trees, mixed[:60], explain(trees, mixed[:60], mixed).toward_prediction, mixed)
    areas, errors = found.by_row["scores"] - found.by_row["random"], found.frame
    assert areas["deletion"].mean() < -2 * areas["deletion"].sem()
    assert areas["insertion"].mean() > 2 * areas["insertion"].sem()
    assert errors.columns.tolist()[2:] == ["deletion_standard_error", "insertion_standard_error"]


def test_scores_of_another_shape_are_refused(mixed: pd.DataFrame, number: np.ndarray) -> None:
    trees = BoostedTreesClassifier(n_estimators=2, early_stopping=False).fit(mixed, number > 4)
    with pytest.raises(ValueError, match=r"shape \(240, 4\), got \(240, 2\)"):
        faithfulness(trees, mixed, np.zeros((240, 2)), mixed)


@pytest.fixture(scope="module")
def transformer(mixed: pd.DataFrame, number: np.ndarray) -> FTTransformerRegressor:
    net = FTTransformerRegressor(d_block=16, n_heads=2, max_epochs=30, learning_rate=3e-3, random_state=0)
    return net.fit(mixed, number)


def test_attention_comes_with_its_faithfulness(mixed: pd.DataFrame, transformer: FTTransformerRegressor) -> None:
    maps = attention_maps(transformer, mixed[:30], mixed)
    assert maps.attention.shape == (30, 2, 2, 5, 5)
    assert maps.rollout.columns.tolist() == list(mixed.columns)
    np.testing.assert_allclose(maps.rollout.sum(axis=1), 1)
    assert -1 <= maps.rank_correlation <= 1
    assert {"deletion", "insertion"} < set(maps.faithfulness.frame.columns)
    explained = faithfulness(transformer, mixed[:30], explain(transformer, mixed[:30], mixed).toward_prediction, mixed)
    assert explained.frame.loc["scores", "deletion"] < maps.faithfulness.frame.loc["scores", "deletion"]
    assert "rank correlation" in maps.plot().get_title()
    assert maps.frame["attention"].is_monotonic_decreasing


def test_a_rows_rollout_is_its_own_whatever_stands_beside_it(
    mixed: pd.DataFrame, transformer: FTTransformerRegressor
) -> None:
    """A column that is the same in all rows has its token all the same."""
    many = attention_maps(transformer, mixed[:20], mixed).rollout
    pd.testing.assert_frame_equal(attention_maps(transformer, mixed[:1], mixed).rollout, many[:1])
    assert many.iloc[0].nunique() == 4


def test_a_rollout_by_hand() -> None:
    """One block, one head: half of the read-out's attention is its own, and the columns share the rest."""
    from hybridlearn.inspection._attention import _rollout

    attention = np.zeros((1, 1, 1, 3, 3))
    attention[0, 0, 0, 2] = [0.6, 0.2, 0.2]
    np.testing.assert_allclose(_rollout(attention), [[0.75, 0.25]])


def test_a_model_without_attention_is_refused(mixed: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="has no attention"):
        attention_maps(BoostedTreesClassifier(), mixed)
