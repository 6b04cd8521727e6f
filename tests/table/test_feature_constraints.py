"""What may become of a row: boxes, by hand and for any numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from hybridlearn import FeatureConstraints


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [30, 50, 41],
            "income": [2000.5, np.nan, 2500.0],
            "job": ["cook", "clerk", None],
            "member": [True, False, True],
            "since": pd.to_datetime(["2020-01-01", "2021-05-05", "2022-02-02"]),
        }
    )


def test_numbers_move_and_all_else_stays(people: pd.DataFrame) -> None:
    box = FeatureConstraints().box(people, {"age": 2, "income": 10})
    lower, upper = box.corners()
    assert_array_equal(lower["age"], [28, 48, 39])
    assert_array_equal(upper["income"], [2010.5, np.nan, 2510.0])
    pd.testing.assert_frame_equal(lower[["job", "member", "since"]], people[["job", "member", "since"]])
    assert list(box.alternatives()) == []


def test_each_constraint_narrows_its_column(people: pd.DataFrame) -> None:
    constraints = FeatureConstraints(
        bounds={"age": (29, 100)}, integer=["age"], increase_only=["income"], categorical={"job": ["cook", "boss"]}
    )
    box = constraints.box(people, {"age": 2.5, "income": 10})
    assert_array_equal(box.lower, [[29, 2000.5], [48, np.nan], [39, 2500.0]])
    assert_array_equal(box.upper[:, 0], [32, 52, 43])
    (_, cook), (place, boss) = box.alternatives()
    assert place == 2
    assert cook["job"].iloc[:2].tolist() == ["cook", "cook"]
    assert boss["job"].iloc[:2].tolist() == ["boss", "boss"]
    assert pd.isna(boss["job"].iloc[2]), "what is missing stays missing"


def test_a_value_outside_its_bounds_may_only_come_nearer(people: pd.DataFrame) -> None:
    box = FeatureConstraints(bounds={"age": (35, 45)}).box(people, {"age": 3})
    assert_array_equal(box.lower[:, 0], [30, 47, 38])
    assert_array_equal(box.upper[:, 0], [33, 50, 44])


def test_immutable_columns_stay(people: pd.DataFrame) -> None:
    constraints = FeatureConstraints(immutable=["age", "job"], categorical={"job": ["cook"]})
    box = constraints.box(people, {"age": 2.5, "income": 10})
    assert_array_equal(box.lower[:, 0], people["age"])
    assert box.choices == []


def test_a_number_is_in_robust_deviations() -> None:
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 1000.0], "constant": 1.0})
    box = FeatureConstraints().box(X, 1.0)
    assert box.upper[0, 0] == pytest.approx(1.4826, rel=1e-4)  # median deviation of 1
    assert_array_equal(box.upper[:, 1], X["constant"])
    other = FeatureConstraints.from_data(X, bounds={"x": (-5000, 5000)}, integer=[]).box(X.iloc[:1], 1.0)
    assert other.upper[0, 0] == box.upper[0, 0], "the scale is that of the table the constraints were made from"


def test_an_array_stays_an_array() -> None:
    X = np.array([[1.0, 2.0], [3.0, 4.0]])
    box = FeatureConstraints(integer=[0]).box(X, [1.0, 0.5])
    lower, upper = box.corners()
    assert isinstance(lower, np.ndarray)
    assert_array_equal(upper, [[2.0, 2.5], [4.0, 4.5]])


def test_data_suggest_constraints(people: pd.DataFrame) -> None:
    constraints = FeatureConstraints.from_data(people, bounds={"age": (18, 99)}, immutable=["income"])
    assert constraints.bounds == {"age": (18, 99), "income": (2000.5, 2500.0)}
    assert constraints.integer == ["age"]
    assert constraints.immutable == ["income"]


def test_columns_follow_from_columns_that_follow() -> None:
    X = pd.DataFrame({"all": [12, 16], "half": [6.0, 8.0], "quarter": [3, 4], "a": [4, 8], "b": [8, 8]})
    relations = ["quarter == half / 2", "half == all / 2", "all == a + b"]
    completed = FeatureConstraints(relations=relations).completed(X.assign(a=[8, 8]))
    assert completed.loc[0].tolist() == [16, 8, 4, 8, 8]
    assert completed["all"].dtype == X["all"].dtype


@pytest.mark.parametrize("dtype", ["float32", "Float32", "float16"])
def test_numbers_of_few_bits_stay_in_their_box(dtype: str) -> None:
    X = pd.DataFrame({"x": pd.Series([1.0, 3.3, None], dtype=dtype)})
    box = FeatureConstraints().box(X, {"x": 0.1})
    for end in box.corners():
        assert end["x"].dtype == X["x"].dtype
        numbers = end["x"].to_numpy(dtype=np.float64, na_value=np.nan)[:2]
        assert ((numbers >= box.lower[:2, 0]) & (numbers <= box.upper[:2, 0])).all()
        assert (np.abs(numbers - X["x"].to_numpy(dtype=np.float64, na_value=np.nan)[:2]) <= 0.1).all()
    assert [end["x"].dtype.name for end in box.ends()[2:]] == ["float64", "float64"]


def test_cells_that_stay_are_what_they_were() -> None:
    spans = pd.to_timedelta([1, 2, 3], unit="h")
    X = pd.DataFrame({"x": [np.inf, 1.0, 2.0], "whole": [1, 2, 3], "wait": spans, "odd": [10**17 + 1, 5, 7]})
    box = FeatureConstraints(integer=["whole"]).box(X, {"x": 0.5, "whole": 1})
    upper = box.corners()[1]
    assert upper["x"].tolist() == [np.inf, 1.5, 2.5]
    pd.testing.assert_frame_equal(upper[["wait", "odd"]], X[["wait", "odd"]])
    assert upper["whole"].dtype == X["whole"].dtype
    small = pd.DataFrame({"x": np.array([0, 255], dtype=np.uint8)})
    assert FeatureConstraints(integer=["x"]).box(small, {"x": 1}).corners()[0]["x"].tolist() == [-1, 254]


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8),
    eps=st.floats(0, 1e4),
    whole=st.booleans(),
    rises=st.booleans(),
    share=st.floats(0, 1),
)
def test_a_row_is_always_in_its_box(values: list[float], eps: float, whole: bool, rises: bool, share: float) -> None:
    X = pd.DataFrame({"x": values})
    names: Any = ["x"]
    constraints = FeatureConstraints(integer=names if whole else [], increase_only=names if rises else [])
    box = constraints.box(X, {"x": eps})
    x = X[["x"]].to_numpy()
    assert (box.lower <= x).all()
    assert (x <= box.upper).all()
    assert (box.upper - box.lower <= 2 * eps + 1e-9 * np.abs(x)).all()
    shrunk = box.shrunk(share)
    assert (shrunk.lower >= box.lower - 1e-9).all()
    assert (shrunk.lower <= x).all()
    assert not rises or (box.lower == x).all()


def test_relations_are_computed_or_checked() -> None:
    X = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "total": [4.0, 6.0]})
    constraints = FeatureConstraints(relations=["total == a + b", "a <= b"])
    moved = X.assign(a=[2.0, 9.0])
    completed = constraints.completed(moved)
    assert_array_equal(completed["total"], [5.0, 13.0])
    assert_array_equal(constraints.holds(completed), [True, False])
    assert_array_equal(constraints.holds(moved), [False, False])


@pytest.mark.parametrize(
    ("constraints", "eps", "message"),
    [
        ({"immutable": ["wage"]}, 1.0, r"immutable names columns that are not in X: \['wage'\]"),
        ({"bounds": {"job": (0, 1)}}, 1.0, r"bounds names columns that are no numbers: \['job'\]"),
        ({"bounds": {"age": (90, 35)}}, 1.0, "bounds must hold the least value first"),
        ({"categorical": {"age": [1]}}, 1.0, "categorical names column 'age', which is numeric"),
        ({"immutable": "age"}, 1.0, "immutable must be a list of columns"),
        ({"categorical": {"job": "cook"}}, 1.0, "must be a list of levels"),
        ({"categorical": {"job": [None]}}, 1.0, "none of them missing"),
        ({}, {"job": 1.0}, "eps names columns that are no numbers"),
        ({"relations": ["income > 2200"]}, 1.0, "do not hold for 2 of 3 rows"),
        ({}, [1.0], r"eps has shape \(1,\), but X has 5 columns"),
        ({}, -1.0, "eps must hold finite numbers of at least 0"),
        ({}, {"wage": 1.0}, r"eps names columns that are not in X: \['wage'\]"),
    ],
)
def test_bad_constraints_are_named(people: pd.DataFrame, constraints: dict[str, Any], eps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureConstraints(**constraints).box(people, eps)


def test_one_row_has_no_deviation(people: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="which one row does not have"):
        FeatureConstraints().box(people.iloc[:1], 0.5)
