"""Each family of features against the definition of it, row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridlearn import FeatureBuilder
from hybridlearn.features._crosses import LevelColumn
from hybridlearn.features._groups import Group
from hybridlearn.features._screen import level_score, number_score
from hybridlearn.features._seen import Seen
from hybridlearn.table import Schema


def builder(*families: str) -> FeatureBuilder:
    return FeatureBuilder(families=list(families), select=None, random_state=0)


def seen(X: pd.DataFrame) -> Seen:
    return Seen(Schema.from_data(X), X)


LEVELS = st.sampled_from(["a", "b", "c", None])
NUMBERS = st.one_of(st.none(), st.integers(-3, 3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(LEVELS, NUMBERS), min_size=2, max_size=30))
def test_a_number_within_its_level(cells: list[tuple[str | None, int | None]]) -> None:
    X = pd.DataFrame({"level": pd.Series([c[0] for c in cells], dtype="str"), "x": [c[1] for c in cells]}, dtype=None)
    X["x"] = X["x"].astype("float64")
    table = seen(X)
    level = LevelColumn("level", 0, None, 3 + 2)
    group = Group.of(level, 0, table)
    mean, std, standing, rank = group.columns(table)
    own = X["level"].fillna("missing")
    known = X["x"].dropna()
    for i in range(len(X)):
        same = X["x"][(own == own[i])].dropna()
        if len(known):
            smoothed = (same.sum() + 5 * known.mean()) / (len(same) + 5)
            np.testing.assert_allclose(mean[i], smoothed, atol=1e-9)
        if np.isnan(X["x"][i]):
            assert np.isnan(standing[i])
            assert np.isnan(rank[i])
            continue
        assert std[i] > 0
        np.testing.assert_allclose(standing[i], (X["x"][i] - mean[i]) / std[i], atol=1e-9)
        below = (same < X["x"][i]).mean() + (same == X["x"][i]).mean() / 2
        np.testing.assert_allclose(rank[i], below, atol=1e-9)


def test_new_numbers_in_levels_known_and_new() -> None:
    X = pd.DataFrame({"level": list("aabb"), "x": [1.0, 3.0, 10.0, 20.0]})
    group = Group.of(LevelColumn("level", 0, None, 4), 0, seen(X))
    new = Seen(Schema.from_data(X), pd.DataFrame({"level": ["a", "b", "Z"], "x": [2.0, 100.0, 5.0]}))
    mean, _, _, rank = group.columns(new)
    np.testing.assert_allclose(rank, [0.5, 1.0, np.nan])
    assert mean[2] == X["x"].mean()


@settings(max_examples=50, deadline=None)
@given(st.lists(LEVELS, min_size=3, max_size=30))
def test_counts(levels: list[str | None]) -> None:
    X = pd.DataFrame({"level": pd.Series(levels, dtype="str")})
    made = builder("counts").fit(X, np.arange(len(X)) + 0.5).transform(X)
    if "count(level)" in made:
        expected = X.groupby("level", dropna=False)["level"].transform("size")
        np.testing.assert_allclose(made["count(level)"], np.log1p(expected), rtol=1e-6)
    if "missing values" in made:
        np.testing.assert_array_equal(made["missing values"], X["level"].isna())


def test_pairs_of_levels() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.choice(list("klmnopqrstuv"), 3000), "b": rng.integers(0, 12, 3000)})
    y = pd.Series(rng.normal(size=(12, 12))[X["a"].map(ord) - ord("k"), X["b"]] + 0.1 * rng.normal(size=3000))
    front = builder("crosses").fit(X, y)
    assert front.names_by_family_["crosses"] == ["target(a x b)", "count(a x b)"]
    made = front.transform(X)
    np.testing.assert_allclose(made["count(a x b)"], np.log1p(X.groupby(["a", "b"])["b"].transform("size")), rtol=1e-6)
    means = y.groupby([X["a"], X["b"]]).transform("mean")
    np.testing.assert_allclose(made["target(a x b)"], means, atol=0.1)
    new = front.transform(pd.DataFrame({"a": ["k"], "b": [99]}))
    np.testing.assert_allclose(new["target(a x b)"], y.mean(), rtol=1e-6)


@pytest.mark.parametrize("sign", ["+", "-", "*", "/"])
def test_operations(sign: str) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(2000, 3)), columns=list("abc"))
    answer = X.eval(f"a {sign} b")
    y = np.sin(3 * np.clip(answer, -3, 3)) + 0.05 * rng.normal(size=2000)
    front = builder("numbers").fit(X, y)
    assert f"a {sign} b" in front.names_by_family_["numbers"]
    np.testing.assert_allclose(front.transform(X)[f"a {sign} b"], answer, rtol=1e-5)


def test_what_cannot_be_divided_is_missing_and_what_is_too_large_is_cut() -> None:
    from hybridlearn.features._numbers import Numbers

    a, b = np.array([1.0, 1e38, np.nan]), np.array([0.0, 1e38, 1.0])
    np.testing.assert_array_equal(Numbers._applied("/", a, b), [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(Numbers._applied("*", a, b), [0.0, 1e38, np.nan])


def test_dates() -> None:
    X = pd.DataFrame(
        {
            "start": pd.to_datetime(["2024-01-01 00:00", "2024-01-01 06:00", None, "2024-07-01 12:00"]),
            "end": pd.to_datetime(["2024-01-02 00:00", "2024-01-01 18:00", "2024-03-01 00:00", "2024-07-02 12:00"]),
        }
    )
    made = builder("dates").fit(X, np.arange(4) + 0.5).transform(X)
    np.testing.assert_allclose(made["sin(day of start)"], [0, 1, np.nan, 0], atol=1e-6)
    np.testing.assert_allclose(made["cos(day of start)"], [1, 0, np.nan, -1], atol=1e-6)
    np.testing.assert_allclose(made["days(start - end)"], [-1, -0.5, np.nan, -1], atol=1e-6)
    whole_days = X.assign(start=X["start"].dt.normalize())
    assert "sin(day of start)" not in builder("dates").fit_transform(whole_days, np.arange(4) + 0.5)


def test_text() -> None:
    rng = np.random.default_rng(0)
    words = ["red", "blue", "green", "small", "large", "house", "car", "tree"]
    texts = [" ".join(rng.choice(words, 4)) for _ in range(300)]
    X = pd.DataFrame({"text": texts, "code": [str(i % 50) for i in range(300)]})
    assert len(set(texts)) > 250
    y = np.array(["red" in text for text in texts])
    front = builder("text", "target").fit(X, y)
    # a text is no level, a code is no text
    assert front.names_by_family_["target"] == ["target(code)"]
    assert front.names_by_family_["text"] == [f"text{k}(text)" for k in range(16)]
    new = pd.DataFrame({"text": [texts[0], "a red house never seen", None], "code": "1"})
    with pytest.warns(UserWarning, match="'text'"):
        made = front.transform(new)[front.names_by_family_["text"]].to_numpy()
    np.testing.assert_allclose(made[0], front.transform(X.iloc[:1])[front.names_by_family_["text"]].iloc[0])
    assert np.isfinite(made[1]).all()
    assert np.isnan(made[2]).all()


# the screen


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_scores_of_what_says_nothing_are_about_standard(n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    of_numbers, of_levels = [], []
    for _ in range(200):
        residual = rng.normal(size=(500, n_outputs))
        weight = rng.uniform(0.1, 3, 500)
        of_numbers.append(number_score(rng.normal(size=500), residual, weight))
        of_levels.append(level_score(rng.integers(0, 50, 500), residual, weight))
    for scores in (of_numbers, of_levels):
        # that of levels is a little below, for the mean of all rows is taken out
        assert -0.8 < np.mean(scores) < 0.3
        assert 0.6 < np.std(scores) < 1.4
        assert np.max(scores) < 4.5


def test_missing_values_are_a_bin() -> None:
    residual = np.r_[np.ones(50), -np.ones(50)][:, None]
    assert number_score(np.r_[np.full(50, np.nan), np.zeros(50)], residual, np.ones(100)) > 10
    assert number_score(np.full(100, np.nan), residual, np.ones(100)) == 0


def test_a_level_of_one_row_says_nothing_of_it() -> None:
    residual = np.random.default_rng(0).normal(size=(200, 1))
    assert level_score(np.arange(200), residual, np.ones(200)) == 0


def test_rows_of_next_to_no_weight_are_as_absent() -> None:
    rng = np.random.default_rng(0)
    values, residual = rng.integers(0, 3, 300), rng.normal(size=(300, 1))
    levels, weight = rng.integers(0, 9, 300), np.r_[np.full(100, 1e-9), np.ones(200)]
    residual[:100] += values[:100, None] ** 2 + levels[:100, None]
    few = slice(100, None)
    for score, column in ((number_score, values.astype(float)), (level_score, levels)):
        np.testing.assert_allclose(
            score(column, residual, weight), score(column[few], residual[few], weight[few]), atol=0.2
        )


def test_levels_of_several_words_are_no_text_where_they_come_again() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"job": rng.choice([f"job {i} kind" for i in range(40)], 300)})
    y = rng.normal(size=300)
    assert builder("text", "target").fit(X, y).names_by_family_ == {"target": ["target(job)"], "text": []}
    X["job"] = pd.Categorical([f"job {i} kind" for i in range(300)])
    assert builder("text").fit(X, y).names_by_family_ == {"text": []}


def test_texts_that_do_not_vary() -> None:
    X = pd.DataFrame({"text": [" ".join("." * (i + 1)) for i in range(100)]})
    made = builder("text").fit_transform(X, np.arange(100) + 0.5)
    assert len(made) == 100


def test_a_text_is_read_alike_in_fit_and_later() -> None:
    X = pd.DataFrame({"text": pd.Series([f"some words {i}" if i % 3 else float(i) for i in range(100)], dtype=object)})
    front = builder("text").fit(X, np.arange(100) + 0.5)
    assert front.names_by_family_["text"]
    pd.testing.assert_frame_equal(front.fit_transform(X, np.arange(100) + 0.5), front.transform(X))
    lists = pd.DataFrame({"text": [[i, i + 1] for i in range(100)]})
    assert builder("text", "target").fit_transform(lists, np.arange(100) + 0.5).shape[0] == 100


def test_columns_with_the_name_of_a_part_of_a_date() -> None:
    rng = np.random.default_rng(0)
    when = pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, 2000), unit="D")
    X = pd.DataFrame(
        {"when": when, "when_year": rng.integers(0, 12, 2000), "c": rng.choice(list("klmnopqrstuv"), 2000)}
    )
    y = rng.normal(size=(12, 12))[X["when_year"], X["c"].map(ord) - ord("k")]
    assert "target(when_year x c)" in builder("crosses").fit(X, y).names_by_family_["crosses"] or (
        "target(c x when_year)" in builder("crosses").fit(X, y).names_by_family_["crosses"]
    )


def test_many_classes_get_no_more_target_codes_than_a_booster_can_read() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"c{j}": rng.choice(list("abcdef"), 2000) for j in range(8)})
    y = rng.integers(20, size=2000)
    names = FeatureBuilder(families=["target"], select=None, random_state=0).fit(X, y).names_by_family_["target"]
    assert len(names) == 5 * 20
