"""Mixed tables as they come: text labels, gaps, categories, booleans, datetimes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _estimators import SMALL_NET

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import UnseenCategoryWarning

FAST = {**SMALL_NET, "random_state": 0}
LEARNS = {**FAST, "max_epochs": 40, "early_stopping": False, "dropout": 0.0}
LABELS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "a number": lambda X: X["age"] > 40,
    "a gap": lambda X: X["age"].isna(),
    "a text": lambda X: X["job"] == "cook",
    "a gap in a text": lambda X: X["job"].isna(),
    "a category": lambda X: X["grade"] == 2,
    "a boolean": lambda X: X["member"].fillna(False).astype(bool),
    "a datetime": lambda X: X["since"] > pd.Timestamp("2021-06-01"),
}


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_every_kind_of_column_is_learned_from(mixed: pd.DataFrame, label: Callable[[pd.DataFrame], pd.Series]) -> None:
    y = label(mixed).map({True: "yes", False: "no"})
    net = TabularMLPClassifier(**LEARNS).fit(mixed, y)
    assert net.classes_.tolist() == ["no", "yes"]
    assert set(net.predict(mixed)) == {"no", "yes"}
    assert net.score(mixed, y) >= 0.95


def test_three_text_labels_and_a_number_from_one_mixed_table(mixed: pd.DataFrame) -> None:
    y = mixed["job"].fillna("none")
    net = TabularMLPClassifier(**LEARNS).fit(mixed, y)
    assert net.classes_.tolist() == ["clerk", "cook", "none", "pilot"]
    assert net.score(mixed, y) >= 0.95
    number = mixed["age"].fillna(0)
    assert TabularMLPRegressor(**LEARNS).fit(mixed, number).score(mixed, number) >= 0.9


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda X: X.astype({"job": "category"}), id="category for text"),
        pytest.param(lambda X: X.astype({"job": object}), id="objects for text"),
        pytest.param(lambda X: X.astype({"job": "string", "age": "Float64"}), id="nullable"),
        pytest.param(lambda X: X.astype({"grade": "Int64"}).astype({"grade": "category"}), id="another category"),
        pytest.param(lambda X: X.astype({"member": object}), id="objects for booleans"),
    ],
)
def test_the_dtype_of_a_column_does_not_matter(mixed: pd.DataFrame, convert: Callable[[pd.DataFrame], Any]) -> None:
    X = mixed.drop(columns="since")
    y = mixed["job"] == "cook"
    expected = TabularMLPClassifier(**FAST).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(TabularMLPClassifier(**FAST).fit(convert(X), y).predict_proba(X), expected)
    np.testing.assert_array_equal(TabularMLPClassifier(**FAST).fit(X, y).predict_proba(convert(X)), expected)


def test_unseen_levels_give_one_warning_and_the_prediction_of_a_neutral_level(mixed: pd.DataFrame) -> None:
    X = mixed[["age", "job", "grade"]]
    net = TabularMLPClassifier(**FAST).fit(X, mixed["member"].fillna(True))
    unknown = X.assign(job="astronaut")
    with pytest.warns(UnseenCategoryWarning, match=r"column 'job' \(120 rows\)") as caught:
        probability = net.predict_proba(unknown)
    assert len(caught) == 1
    with pytest.warns(UnseenCategoryWarning, match="'job'"):
        np.testing.assert_array_equal(net.predict_proba(X.assign(job="acrobat")), probability)
    assert not net.module_.categorical.tables[0].weight[0].detach().any(), "no row of the fit has moved it"


def test_levels_beyond_the_most_frequent_share_one_embedding() -> None:
    X = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 20 + list("cdefghijkl") * 2})
    y = np.arange(60) % 2
    net = TabularMLPClassifier(**FAST, max_levels=2).fit(X, y)
    assert [table.num_embeddings for table in net.module_.categorical.tables] == [4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability = net.predict_proba(pd.DataFrame({"c": ["c", "l", "a"]}))
    np.testing.assert_array_equal(probability[0], probability[1])
    assert not np.array_equal(probability[0], probability[2])


@pytest.mark.parametrize("columns", [["age"], ["job"], ["member"], ["job", "grade"]], ids=str)
def test_a_table_may_lack_numbers_or_categories(mixed: pd.DataFrame, columns: list[str]) -> None:
    X, y = mixed[columns], mixed["age"].fillna(0) > 40
    proba = TabularMLPClassifier(**FAST).fit(X, y).predict_proba(X)
    assert np.isfinite(proba).all()
    assert proba.shape == (120, 2)


def test_a_frame_with_any_index_and_an_array_of_the_same_numbers_say_the_same(
    numbers: np.ndarray, noisy: np.ndarray
) -> None:
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"], index=np.arange(120) % 7)
    target = pd.Series(noisy, index=np.arange(120)[::-1])
    from_frame = TabularMLPRegressor(**FAST).fit(frame, target).predict(frame)
    from_array = TabularMLPRegressor(**FAST).fit(numbers.tolist(), noisy.tolist()).predict(numbers)
    np.testing.assert_array_equal(from_frame, from_array)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        pytest.param(lambda y: pd.Series(y).astype("boolean"), [False, True], id="boolean"),
        pytest.param(lambda y: pd.Series(y).astype("Int64") * 5, [0, 5], id="Int64 with a gap"),
        pytest.param(lambda y: pd.Series(np.where(y, "yes", "no")).astype("category"), ["no", "yes"], id="category"),
        pytest.param(lambda y: np.where(y, "yes", "no").tolist(), ["no", "yes"], id="list of text"),
        pytest.param(lambda y: np.where(y, 1.0, -1.0), [-1, 1], id="whole floats"),
    ],
)
def test_labels_come_back_as_they_went_in(
    numbers: np.ndarray, noisy: np.ndarray, y: Callable[[np.ndarray], Any], classes: list
) -> None:
    net = TabularMLPClassifier(**FAST).fit(numbers, y(noisy > 0))
    assert net.classes_.tolist() == classes
    predicted = net.predict(numbers)
    assert predicted.dtype == net.classes_.dtype
    np.testing.assert_array_equal(predicted == classes[1], net.decision_function(numbers) > 0)
    reference = TabularMLPClassifier(**FAST).fit(numbers, noisy > 0)
    np.testing.assert_array_equal(net.predict_proba(numbers), reference.predict_proba(numbers))
