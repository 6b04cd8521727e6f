"""What a fit may use: rows validated together, those of weight zero left out with every other place kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from hybridlearn._heads import ClassifierHead, RegressorHead
from hybridlearn.table import TrainingRows, read_raw_table, read_training_rows


class Classifier(ClassifierHead, BaseEstimator):
    pass


class Regressor(RegressorHead, BaseEstimator):
    pass


X = pd.DataFrame({"n": [0.0, 1, 2, 3, 4, 5], "c": list("abcabc")}, index=[9, 8, 7, 6, 5, 4])
Y = np.array(["no", "yes", "no", "maybe", "yes", "no"])
GROUPS = ["u", "u", "v", "v", "w", "w"]


def read(
    estimator: Any = None, X: Any = X, y: Any = Y, weight: Any = None, groups: Any = None, time: Any = None
) -> TrainingRows:
    return read_training_rows(Classifier() if estimator is None else estimator, X, y, weight, groups, time=time)


def test_everything_is_kept_where_nothing_is_said_of_weights() -> None:
    classifier = Classifier()
    rows = read(classifier)
    assert rows.X is X
    assert classifier.classes_.tolist() == ["maybe", "no", "yes"]
    assert classifier.feature_names_in_.tolist() == ["n", "c"]
    assert rows.target.tolist() == [1, 2, 1, 0, 2, 1]
    assert rows.weight.tolist() == [1] * 6
    assert rows.groups is None
    assert rows.time is None
    assert rows.positions.tolist() == list(range(6))
    assert len(rows) == 6


def test_a_regression_target_is_float64() -> None:
    rows = read(Regressor(), y=pd.Series([1, 2, 3, 4, 5, 6], dtype="Int64"))
    assert rows.target.dtype == np.float64
    assert rows.target.tolist() == [1, 2, 3, 4, 5, 6]


def test_rows_of_weight_zero_are_left_out_and_the_places_of_the_others_kept() -> None:
    classifier = Classifier()
    rows = read(classifier, weight=[0, 2, 0.5, 0, 1, 3], groups=GROUPS)
    assert rows.positions.tolist() == [1, 2, 4, 5]
    pd.testing.assert_frame_equal(rows.X, X.iloc[[1, 2, 4, 5]])
    assert rows.weight.tolist() == [2, 0.5, 1, 3]
    assert classifier.classes_.tolist() == ["no", "yes"], "a class without weight is no class"
    assert rows.target.tolist() == [1, 0, 1, 0]


def test_groups_of_the_rows_left_are_numbered_as_if_the_others_had_never_been() -> None:
    """Else a row of weight zero would change the split, which follows the numbers."""
    weight = np.array([0, 1, 1, 1, 1, 1])
    groups = np.array(["w", "u", "u", "v", "v", "w"])
    kept = weight > 0
    alone = read(X=X[kept], y=Y[kept], groups=groups[kept])
    assert_array_equal(read(weight=weight, groups=groups).groups, alone.groups)


def test_groups_may_be_anything_with_equality() -> None:
    for groups in (GROUPS, pd.Categorical(GROUPS), pd.Series(GROUPS, index=X.index), np.array(GROUPS, dtype=object)):
        assert read(groups=groups).groups.tolist() == [0, 0, 1, 1, 2, 2]


def test_some_of_the_rows() -> None:
    some = read(weight=[1, 0, 2, 3, 4, 5], groups=GROUPS).take(np.array([4, 1]))
    assert some.positions.tolist() == [5, 2]
    assert some.X["n"].to_list() == [5, 2]
    assert some.target.tolist() == [1, 1]
    assert some.weight.tolist() == [5, 2]
    assert some.groups[0] != some.groups[1]


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(20), 2)], ids=["no groups", "groups"])
def test_the_two_sides_of_a_split_are_a_partition(groups: Any) -> None:
    table = pd.DataFrame({"n": np.arange(40.0)})
    weight = np.ones(40)
    weight[7] = 0
    rows = read(X=table, y=np.arange(40) % 2, weight=weight, groups=groups)
    training, stopping = rows.split(stratify=True, fraction=0.25, seed=0)
    assert sorted([*training.positions, *stopping.positions]) == [i for i in range(40) if i != 7]
    for side in (training, stopping):
        assert_array_equal(side.X["n"], side.positions)
        assert_array_equal(side.target, side.positions % 2)
    if groups is None:
        assert stopping.target.sum() == 5
        assert len(stopping) == 10
    else:
        assert not set(training.groups) & set(stopping.groups)


def test_the_order_in_time_goes_wherever_the_rows_go() -> None:
    rows = read(weight=[1, 0, 2, 3, 4, 5], time=[6.0, 0, 5, 4, 5, 1])
    assert rows.time.tolist() == [3, 2, 1, 2, 0], "as if the row of weight zero had never been"
    assert rows.reweighted(np.full(5, 2.0)).time is rows.time
    some = rows.take(np.array([4, 1]))
    assert some.time.tolist() == [0, 2]
    assert some.groups is None


def test_a_split_in_time_lets_the_latest_rows_stop() -> None:
    time = np.random.default_rng(0).permutation(40) // 2
    rows = read(X=pd.DataFrame({"n": np.arange(40.0)}), y=np.arange(40) % 2, time=time)
    training, stopping = rows.split(stratify=True, fraction=0.25, seed=0)
    assert len(stopping) == 10
    assert time[training.positions].max() < time[stopping.positions].min()
    assert training.time.max() < stopping.time.min()


def test_other_readers_give_other_tables() -> None:
    rows = read_training_rows(
        Regressor(), np.eye(3), [1.0, 2, 3], [1, 0, 1], None, lambda _, X, **__: read_raw_table(X)
    )
    assert_array_equal(rows.X, np.eye(3)[[0, 2]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"y": Y[:5]}, "inconsistent numbers of samples", id="y too short"),
        pytest.param({"y": None}, "Classifier requires y to be passed", id="no y"),
        pytest.param({"y": np.full(6, "a")}, "one class only", id="one class"),
        pytest.param({"y": Y, "weight": [0, 1, 0, 0, 1, 0]}, "one class only", id="one class with weight"),
        pytest.param(
            {"weight": [1, 0, 0, 0, 0, 0]}, "needs 2 rows of positive weight, got n_samples = 1", id="one row"
        ),
        pytest.param({"weight": [0] * 6}, "at least one non-zero", id="no weight"),
        pytest.param(
            {"weight": [1, 1, 1, 1, 1, -1]}, "Negative values in data passed to `sample_weight`", id="negative"
        ),
        pytest.param({"weight": [1] * 5}, r"sample_weight.shape == \(5,\), expected \(6,\)", id="weights too short"),
        pytest.param({"groups": GROUPS[:5]}, "inconsistent numbers of samples", id="groups too short"),
        pytest.param({"groups": [*GROUPS[:5], None]}, "groups is missing for 1 rows", id="missing group"),
        pytest.param({"time": range(5)}, "inconsistent numbers of samples", id="times too short"),
        pytest.param({"time": GROUPS}, "time must hold numbers or points in time", id="times of text"),
        pytest.param({"groups": GROUPS, "time": range(6)}, "give groups or time, not both", id="groups and times"),
        pytest.param({"X": X.iloc[:1], "y": Y[:1]}, "n_samples = 1", id="a table of one row"),
        pytest.param({"y": X["c"]}, r"column 'c' of X is the target itself; drop it: X.drop\(columns='c'\)", id="leak"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(**arguments)
