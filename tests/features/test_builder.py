"""FeatureBuilder: what is added, what it may know, what earns its place, and what is refused."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from hybridlearn import (
    BoostedTreesClassifier,
    FeatureBuilder,
    HybridClassifier,
    _clock,
    load,
    make_tabular_pipeline,
    save,
)
from hybridlearn.features import _builder
from hybridlearn.table import UnseenCategoryWarning


def builder(*families: str, **settings: object) -> FeatureBuilder:
    """Of some families, all of which stay."""
    return FeatureBuilder(families=list(families) or "all", select=None, random_state=0, **settings)


def mixed(n_rows: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of all kinds, with gaps; the answer hangs on a ratio, and on which pair of many levels meets."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "income": rng.lognormal(3, 0.5, n_rows),
            "loan": rng.lognormal(3, 0.5, n_rows),
            "rooms": rng.integers(1, 6, n_rows),
            "town": rng.choice(list("ABCDEFGHIJKL"), n_rows),
            "job": pd.Categorical(rng.choice(list("klmnopqrstuv"), n_rows)),
            "owner": rng.uniform(size=n_rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 40_000, n_rows), unit="h"),
        }
    )
    X.loc[rng.uniform(size=n_rows) < 0.1, ["loan", "job"]] = None
    of_pair = np.random.default_rng(0).normal(size=(12, 13))[X["town"].map(ord) - ord("A"), X["job"].cat.codes]
    answer = 4 * np.abs(np.log(X["loan"].fillna(20) / X["income"])) + 2 * of_pair + 0.3 * rng.normal(size=n_rows)
    return X, answer.to_numpy()


def test_columns_stay_and_features_follow() -> None:
    X, y = mixed()
    made = builder().fit(X, y).transform(X)
    pd.testing.assert_frame_equal(made[X.columns], X)
    assert (made.dtypes.iloc[X.shape[1] :] == np.float32).all()
    assert {"target(town)", "count(job)", "missing values", "sin(year of since)"} <= set(made.columns)


def test_names_are_those_of_the_columns() -> None:
    X, y = mixed()
    front = builder().fit(X, y)
    assert front.get_feature_names_out().tolist() == front.transform(X).columns.tolist()
    assert front.get_feature_names_out(X.columns).tolist() == front.transform(X).columns.tolist()
    with pytest.raises(ValueError, match="input_features"):
        front.get_feature_names_out(["a"])


def test_an_array_for_an_array() -> None:
    X, y = mixed()
    numbers = X[["income", "loan", "rooms"]].to_numpy()
    made = builder().fit_transform(numbers, y)
    assert isinstance(made, np.ndarray)
    assert made.shape[1] > 3
    np.testing.assert_array_equal(made[:, :3], numbers)


def test_what_the_answer_hangs_on_is_found() -> None:
    X, y = mixed(2000)
    found = builder().fit(X, y).names_by_family_
    assert found["numbers"] == ["income / loan"]
    assert "target(town x job)" in found["crosses"]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_noise(seed: int) -> None:
    X, y = mixed(1000)
    found = builder().set_params(random_state=seed).fit(X, np.random.default_rng(seed).permutation(y)).names_by_family_
    # the best of a hundred pairs may pass by chance
    assert sum(map(len, (found["crosses"], found["groups"], found["numbers"]))) <= 4


def test_a_family_that_helps_stays_and_noise_does_not() -> None:
    X, y = mixed(3200)
    families = ["counts", "crosses", "numbers"]
    good = FeatureBuilder(families=families, random_state=0).fit(X, y)
    assert {"crosses", "numbers"} <= set(good.families_)
    report = good.report_.set_index("family")
    assert report.loc["numbers", "gain"] > report.loc["numbers", "standard_error"]
    assert report.loc["all that stayed", "n_features"] == sum(report.loc[name, "n_features"] for name in good.families_)
    shuffled = FeatureBuilder(families=families, random_state=0).fit(X, np.random.default_rng(0).permutation(y))
    assert shuffled.families_ == []
    pd.testing.assert_frame_equal(shuffled.transform(X), X)


# what a row may know


def test_what_is_kept_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = mixed(3200)
    limited = FeatureBuilder(families=["counts", "crosses", "numbers"], time_limit=4, random_state=0)
    assert clone(limited).set_params(time_limit=1e-9).fit(X, y).families_ == []
    # asked for the fourth time: it is known that all together help, not which of them
    moments = count()
    monkeypatch.setattr(_clock, "now", lambda: float(next(moments)))
    limited.fit(X, y)
    assert limited.families_ == ["counts", "crosses", "numbers"]
    assert limited.report_["gain"].notna().tolist() == [False, False, False, True, True]


def test_a_row_does_not_know_its_own_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """However its target changes; the columns are chosen beforehand."""
    for module in ("_crosses", "_groups", "_numbers"):
        monkeypatch.setattr(f"hybridlearn.features.{module}.LEAST_SCORE", -np.inf)
    X, y = mixed(120)
    front = builder(max_pairs=50)
    before = front.fit_transform(X, y)
    for row in range(0, 120, 17):
        other = y.copy()
        other[row] += 100.0
        after = clone(front).fit_transform(X, other)
        same = [name for name in before.columns if name in after.columns]
        assert len(same) > 40
        pd.testing.assert_series_equal(before[same].iloc[row], after[same].iloc[row])


def test_target_codes_follow_groups() -> None:
    X, y = mixed(200)
    X["id"] = np.repeat(np.arange(40), 5).astype(str)
    groups = np.repeat(np.arange(40), 5)
    made = builder("target").fit_transform(X, y, groups=groups)
    # in a group, nobody's target is known: to all of it the code of a level never seen there is that of all other rows
    assert made.groupby(groups)["target(id)"].nunique().max() == 1
    alone = builder("target").fit_transform(X, y)
    assert alone.groupby(groups)["target(id)"].nunique().max() > 1


def test_target_codes_look_back_only() -> None:
    X, y = mixed(200)
    time = np.arange(200)
    before = builder("target").fit_transform(X, y, time=time)
    later = y.copy()
    later[120:] += 50.0
    after = builder("target").fit_transform(X, later, time=time)
    pd.testing.assert_series_equal(before["target(town)"].iloc[:120], after["target(town)"].iloc[:120])


def test_rows_of_weight_zero_teach_nothing() -> None:
    X, y = mixed()
    weight = np.r_[np.ones(300), np.zeros(100)]
    wrong = y.copy()
    wrong[300:] = 1e6
    weighted = builder().fit(X, wrong, sample_weight=weight)
    few = builder().fit(X.iloc[:300], y[:300], sample_weight=np.ones(300))
    pd.testing.assert_frame_equal(weighted.transform(X), few.transform(X))
    made = clone(weighted).fit_transform(X, wrong, sample_weight=weight)
    pd.testing.assert_frame_equal(made.iloc[300:], weighted.transform(X.iloc[300:]))


def test_the_same_seed_gives_the_same_features() -> None:
    X, y = mixed()
    once, again = (builder().fit_transform(X, y > 0) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


# targets


@pytest.mark.parametrize(
    ("y", "outputs"),
    [
        (np.arange(400) % 2, [""]),
        (np.arange(400) % 2 == 0, [""]),
        (np.array(["a", "b", "c"])[np.arange(400) % 3], ["[a]", "[b]", "[c]"]),
        (np.arange(400) % 3, ["[0]", "[1]", "[2]"]),
        (np.arange(400) % 3 + 0.0, [""]),
        (np.arange(400), [""]),
        (np.random.default_rng(0).normal(size=400), [""]),
    ],
    ids=["two", "booleans", "text", "three", "floats", "many whole numbers", "numbers"],
)
def test_the_task_is_told_from_the_target(y: np.ndarray, outputs: list[str]) -> None:
    X, _ = mixed()
    names = builder("target").fit(X, y).names_by_family_["target"]
    assert names[: len(outputs)] == [f"target(town){output}" for output in outputs]


def test_the_task_can_be_given() -> None:
    X, _ = mixed()
    y = np.arange(400) % 3
    assert "target(town)" in builder("target", task="regression").fit(X, y).names_by_family_["target"]
    with pytest.raises(ValueError, match="regressor"):
        builder("target", task="classification").fit(X, np.random.default_rng(0).normal(size=400))


def test_a_class_with_one_row() -> None:
    X, _ = mixed(60)
    y = np.r_[2, np.arange(59) % 2]
    made = FeatureBuilder(families=["target", "counts"], random_state=0).fit_transform(X, y)
    assert len(made) == 60
    assert "target(town)[2]" in builder().fit(X, y).names_by_family_["target"]


@pytest.mark.parametrize("n_rows", [2, 3, 5, 9])
def test_few_rows(n_rows: int) -> None:
    X, y = mixed(n_rows)
    assert len(FeatureBuilder(random_state=0).fit_transform(X, y)) == n_rows
    assert len(builder().fit(X, y).transform(X)) == n_rows


# bad input


def test_unknown_families_are_named() -> None:
    X, y = mixed()
    with pytest.raises(ValueError, match="unknown: \\['ratios'\\]"):
        FeatureBuilder(families=["target", "ratios"]).fit(X, y)
    with pytest.raises(ValueError, match="must name some of"):
        FeatureBuilder(families=[]).fit(X, y)


def test_a_column_with_the_name_of_a_feature() -> None:
    X, y = mixed()
    with pytest.raises(ValueError, match=r"features \['target\(town\)'\] would have a name twice; rename"):
        builder("target").fit(X.assign(**{"target(town)": 1.0}), y)


def test_new_levels_give_one_warning_and_are_average() -> None:
    X, y = mixed()
    front = builder("target", "counts", "crosses").fit(X, y)
    new = X.iloc[:5].assign(town="Z")
    with pytest.warns(UnseenCategoryWarning, match="'town'"):
        made = front.transform(new)
    np.testing.assert_allclose(made["target(town)"], y.mean(), rtol=1e-6)
    assert (made["count(town)"] == 0).all()


def test_a_column_that_is_all_missing() -> None:
    X, y = mixed(60)
    X["nothing"] = np.nan
    X["no_text"] = pd.Series([None] * len(X), dtype="str")
    X["no_time"] = pd.Series([pd.NaT] * len(X))
    made = FeatureBuilder(random_state=0).fit_transform(X, y)
    assert len(made) == len(X)
    assert builder().fit_transform(X, y).shape[1] > X.shape[1]


def test_dtypes_of_pandas_and_arrow() -> None:
    X, y = mixed()
    other = X.assign(
        income=X["income"].astype("double[pyarrow]"),
        loan=X["loan"].astype("Float64"),
        rooms=X["rooms"].astype("Int64"),
        town=X["town"].astype("string[pyarrow]"),
        job=X["job"].astype(object),
        owner=X["owner"].astype("boolean"),
        since=X["since"].astype("timestamp[ns][pyarrow]"),
    )
    plain, exotic = (builder().fit_transform(table, y).iloc[:, X.shape[1] :] for table in (X, other))
    pd.testing.assert_frame_equal(plain, exotic)


def test_in_a_pipeline_that_gives_pandas() -> None:
    X, y = mixed()
    pipeline = make_pipeline(builder(), BoostedTreesClassifier(n_estimators=5)).set_output(transform="pandas")
    assert pipeline.fit(X, y > 0).predict(X).shape == (400,)
    assert pipeline[:-1].get_feature_names_out()[-1] in pipeline[:-1].transform(X).columns


def test_groups_that_are_few_leave_nothing_to_judge() -> None:
    X, y = mixed()
    front = FeatureBuilder(random_state=0).fit(X, y, groups=np.zeros(400))
    assert front.families_ == []
    with pytest.raises(ValueError, match="groups"):
        builder("target").fit(X, y, groups=np.zeros(400))


def test_every_family_has_a_name_in_the_docstring() -> None:
    assert all(f"``{name}``" in (FeatureBuilder.__doc__ or "") for name in _builder.FAMILIES)


def test_every_family_can_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_crosses", "_groups", "_numbers"):
        monkeypatch.setattr(f"hybridlearn.features.{module}.LEAST_SCORE", -np.inf)
    X, y = mixed(200)
    X["text"] = [f"row number {i}" for i in range(200)]
    front = builder(max_pairs=2).fit(X, y)
    assert all(front.names_by_family_.values())
    save(front, tmp_path / "front.hybrid")
    pd.testing.assert_frame_equal(load(tmp_path / "front.hybrid").transform(X), front.transform(X))


def test_a_hybrid_keeps_one_front_a_fold(tmp_path: Path) -> None:
    X, y = mixed(100)
    members = [("few", BoostedTreesClassifier(n_estimators=2)), ("more", BoostedTreesClassifier(n_estimators=3))]
    hybrid = HybridClassifier(estimators=members, features=builder("target"), cv=2, random_state=0).fit(X, y > 0)
    save(hybrid, tmp_path / "hybrid.hybrid")
    loaded = load(tmp_path / "hybrid.hybrid")
    np.testing.assert_array_equal(loaded.predict_proba(X), hybrid.predict_proba(X))
    assert loaded.models_["few"][0].front is loaded.models_["more"][0].front


def test_numbers_as_column_names() -> None:
    X, y = mixed(100)
    X = X.set_axis(range(X.shape[1]), axis=1)
    front = FeatureBuilder(families=["counts", "dates"], random_state=0).fit(X, y)
    assert front.transform(X).columns.tolist() == front.get_feature_names_out().tolist()
    members = [("trees", BoostedTreesClassifier(n_estimators=2))]
    hybrid = HybridClassifier(estimators=members, features=builder("counts"), cv=2, random_state=0).fit(X, y > 0)
    assert hybrid.predict(X).shape == (100,)


def test_features_of_one_name() -> None:
    X, y = mixed()
    X = X.rename(columns={"town": "a", "job": "a x a"}).assign(**{"a x a x a": X["town"]})
    front = builder("counts").fit(X, y)
    assert len(set(front.transform(X).columns)) == front.transform(X).shape[1]
    with pytest.raises(ValueError, match="would have a name twice"):
        builder("counts").fit(X.assign(**{"count(a)": 1}), y)


def test_many_classes_in_a_hybrid_are_classes() -> None:
    """Of more values than the builder alone would take for classes."""
    X, _ = mixed(600)
    trees = BoostedTreesClassifier(n_estimators=1, max_depth=1, early_stopping=False)
    hybrid = HybridClassifier(estimators=[("trees", trees)], features=builder("target"), cv=2, random_state=0)
    hybrid.fit(X[["town"]], np.arange(600) % 120)
    assert [front.task for front in hybrid.features_] == ["classification"] * 2


def test_copies_of_a_row_share_a_fold() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": [f"i{i}" for i in rng.integers(0, 400, 600)]})
    y = (rng.uniform(size=600) < 0.06).astype(int)
    pipeline = make_tabular_pipeline(
        RandomOverSampler(random_state=0),
        Keeps(families=["target"], select=None, random_state=0),
        BoostedTreesClassifier(),
    ).fit(X, y)
    code, target = pipeline[1].made_["target(id)"], pipeline[1].y_
    assert abs(np.corrcoef(code, target)[0, 1]) < 0.3


class Keeps(FeatureBuilder):
    """Keeps what it has given the training rows."""

    def fit_transform(self, X: Any, y: Any, *, parents: Any = None) -> Any:
        self.y_, self.made_ = y, super().fit_transform(X, y, parents=parents)
        return self.made_


@pytest.mark.parametrize(
    ("y", "message"),
    [(None, "FeatureBuilder requires y"), (np.zeros(400, dtype=int), "FeatureBuilder needs at least 2 classes")],
)
def test_errors_name_the_builder(y: Any, message: str) -> None:
    X, _ = mixed()
    with pytest.raises(ValueError, match=message):
        builder().fit(X, y)


def test_targets_of_other_dtypes() -> None:
    X, y = mixed()
    assert builder("target").fit(X, y.astype(object)).names_by_family_["target"][0] == "target(town)"
    with pytest.raises(ValueError, match="must name some of"):
        FeatureBuilder(families=[["counts"]]).fit(X, y)


@pytest.mark.parametrize("n_times", [1, 5, 8, 12, 40])
def test_few_times_and_many_rows_at_the_first(n_times: int) -> None:
    X, y = mixed(200)
    time = np.r_[np.zeros(120), np.arange(80) % n_times]
    made = FeatureBuilder(families=["target", "counts"], random_state=0).fit_transform(X, y > 0, time=time)
    assert len(made) == 200
