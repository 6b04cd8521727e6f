"""Mixed tables as they come: text labels, gaps, categories, booleans, datetimes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import TABLE_NETS, category_tables, tiny, without_dropout

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import UnseenCategoryWarning

TABLE_CLASSIFIERS = [cls for cls in TABLE_NETS if "Classifier" in cls.__name__]
TABLE_REGRESSORS = [cls for cls in TABLE_NETS if "Regressor" in cls.__name__]
LEARNS = {"max_epochs": 40, "early_stopping": False}
LABELS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "a number": lambda X: X["age"] > 40,
    "a gap": lambda X: X["age"].isna(),
    "a text": lambda X: X["job"] == "cook",
    "a gap in a text": lambda X: X["job"].isna(),
    "a category": lambda X: X["grade"] == 2,
    "a boolean": lambda X: X["member"].fillna(False).astype(bool),
    "a datetime": lambda X: X["since"] > pd.Timestamp("2021-06-01"),
}


@pytest.mark.parametrize("cls", TABLE_CLASSIFIERS)
def test_every_kind_of_column_is_learned_from(cls: type, mixed: pd.DataFrame) -> None:
    y = pd.DataFrame({name: label(mixed).astype(int) for name, label in LABELS.items()})
    net = without_dropout(cls, **{**LEARNS, "max_epochs": 80}).fit(mixed, y)
    right = (net.predict(mixed) == y).mean()
    assert right[right < 0.95].to_dict() == {}


@pytest.mark.parametrize("cls", TABLE_CLASSIFIERS)
def test_text_labels_from_a_mixed_table(cls: type, mixed: pd.DataFrame) -> None:
    y = mixed["job"].fillna("none")
    net = without_dropout(cls, **LEARNS).fit(mixed, y)
    assert net.classes_.tolist() == ["clerk", "cook", "none", "pilot"]
    assert net.score(mixed, y) >= 0.95


@pytest.mark.parametrize("cls", TABLE_REGRESSORS)
def test_a_number_from_a_mixed_table(cls: type, mixed: pd.DataFrame) -> None:
    y = mixed["age"].fillna(20) + (mixed["job"] == "cook") * 10
    assert without_dropout(cls, **LEARNS).fit(mixed, y).score(mixed, y) >= 0.9


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
@pytest.mark.parametrize("cls", TABLE_CLASSIFIERS)
def test_the_dtype_of_a_column_does_not_matter(
    cls: type, mixed: pd.DataFrame, convert: Callable[[pd.DataFrame], Any]
) -> None:
    X = mixed.drop(columns="since")
    y = mixed["job"] == "cook"
    net = tiny(cls, max_epochs=3).fit(X, y)
    expected = net.predict_proba(X)
    np.testing.assert_array_equal(tiny(cls, max_epochs=3).fit(convert(X), y).predict_proba(X), expected)
    np.testing.assert_array_equal(net.predict_proba(convert(X)), expected)


@pytest.mark.parametrize("cls", TABLE_CLASSIFIERS)
def test_unseen_levels_give_one_warning_and_the_prediction_of_a_neutral_level(cls: type, mixed: pd.DataFrame) -> None:
    X = mixed[["age", "job", "grade"]]
    net = tiny(cls).fit(X, mixed["member"].fillna(True))
    unknown = X.assign(job="astronaut")
    with pytest.warns(UnseenCategoryWarning, match=r"column 'job' \(120 rows\)") as caught:
        probability = net.predict_proba(unknown)
    assert len(caught) == 1
    with pytest.warns(UnseenCategoryWarning, match="'job'"):
        np.testing.assert_array_equal(net.predict_proba(X.assign(job="acrobat")), probability)
    assert not any(tables[0].weight[0].detach().any() for tables in category_tables(net)), "no row has moved it"


@pytest.mark.parametrize("cls", TABLE_CLASSIFIERS)
def test_levels_beyond_the_most_frequent_share_one_embedding(cls: type) -> None:
    X = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 20 + list("cdefghijkl") * 2})
    y = np.arange(60) % 2
    net = tiny(cls, max_levels=2).fit(X, y)
    assert {table.num_embeddings for tables in category_tables(net) for table in tables} == {4}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability = net.predict_proba(pd.DataFrame({"c": ["c", "l", "a"]}))
    # the same row in another place of a product of matrices may differ in its last bit
    np.testing.assert_allclose(probability[0], probability[1], rtol=1e-12)
    assert not np.allclose(probability[0], probability[2], rtol=1e-9)


@pytest.mark.parametrize("columns", [["age"], ["job"], ["member"], ["job", "grade"]], ids=str)
@pytest.mark.parametrize("cls", TABLE_NETS)
def test_a_table_may_lack_numbers_or_categories(cls: type, mixed: pd.DataFrame, columns: list[str]) -> None:
    X, y = mixed[columns], mixed["age"].fillna(0) > 40
    margin = tiny(cls, max_epochs=2).fit(X, y).margin(X)
    assert np.isfinite(margin).all()
    assert margin.shape == (120, 1)


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_gaps_that_come_only_after_the_fit_are_taken(cls: type, mixed: pd.DataFrame) -> None:
    full = mixed[["age", "job"]].dropna()
    net = tiny(cls, max_epochs=2).fit(full, full["age"] > 40)
    assert np.isfinite(net.margin(mixed[["age", "job"]])).all()


@pytest.mark.parametrize("embedding", ["periodic", "quantile", "target", "linear", "none"])
@pytest.mark.parametrize("kind", ["numbers", "several numbers", "classes", "labels"])
def test_every_embedding_of_numbers_learns_of_every_target(embedding: str, kind: str, mixed: pd.DataFrame) -> None:
    age = mixed["age"].fillna(20).to_numpy()
    y = {
        "numbers": age,
        "several numbers": np.column_stack([age, -age]),
        "classes": np.digitize(age, [30, 40]),
        "labels": np.column_stack([age > 30, age > 40]).astype(int),
    }[kind]
    cls = TabularMLPRegressor if "numbers" in kind else TabularMLPClassifier
    net = without_dropout(cls, numeric_embedding=embedding, n_bins=8, **LEARNS)
    assert net.fit(mixed, y).score(mixed, y) > 0.75


def test_a_frame_with_any_index_and_an_array_of_the_same_numbers_say_the_same(
    numbers: np.ndarray, noisy: np.ndarray
) -> None:
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"], index=np.arange(120) % 7)
    target = pd.Series(noisy, index=np.arange(120)[::-1])
    from_frame = tiny(TabularMLPRegressor).fit(frame, target).predict(frame)
    from_array = tiny(TabularMLPRegressor).fit(numbers.tolist(), noisy.tolist()).predict(numbers)
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
    net = tiny(TabularMLPClassifier).fit(numbers, y(noisy > 0))
    assert net.classes_.tolist() == classes
    predicted = net.predict(numbers)
    assert predicted.dtype == net.classes_.dtype
    np.testing.assert_array_equal(predicted == classes[1], net.decision_function(numbers) > 0)
    reference = tiny(TabularMLPClassifier).fit(numbers, noisy > 0)
    np.testing.assert_array_equal(net.predict_proba(numbers), reference.predict_proba(numbers))
