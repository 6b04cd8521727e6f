"""MixedSMOTE: imbalanced-learn's checks, dtypes, whole numbers, gaps, and what a synthetic row may be."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import BaseEstimator

from hybridlearn import MixedSMOTE

# pytest wants a list, and gets a generator
CHECKS = parametrize_with_checks([MixedSMOTE(random_state=0)])


@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), ids=CHECKS.kwargs["ids"])
def test_imbalanced_learn_agrees(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    with warnings.catch_warnings():
        # the checks use what pandas and numpy have given up
        warnings.simplefilter("ignore")
        check(estimator)


def mixed_table(n_rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """A column of each kind that pandas knows, with gaps where it can have any."""
    rng = np.random.RandomState(seed)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.randint(0, 10_000, n_rows), unit="h")
    X = pd.DataFrame(
        {
            "float": rng.randn(n_rows),
            "float32": rng.randn(n_rows).astype("float32"),
            "int": rng.randint(0, 1000, n_rows),
            "uint8": rng.randint(0, 255, n_rows).astype("uint8"),
            "nullable": pd.array(rng.randint(0, 1000, n_rows), dtype="Int64"),
            "whole": rng.randint(0, 1000, n_rows).astype(float),
            "zeros": np.where(rng.uniform(size=n_rows) < 0.7, 0.0, rng.lognormal(size=n_rows)),
            "bool": rng.uniform(size=n_rows) < 0.5,
            "boolean": pd.array(rng.uniform(size=n_rows) < 0.5, dtype="boolean"),
            "text": rng.choice(["a", "b"], n_rows),
            "category": pd.Categorical(rng.choice(["x", "y"], n_rows), categories=["x", "y", "never"]),
            "ordered": pd.Categorical(rng.choice(["lo", "hi"], n_rows), categories=["lo", "hi"], ordered=True),
            "moment": moments,
            "zone": moments.tz_localize("UTC").tz_convert("Europe/Berlin"),
            "span": pd.to_timedelta(rng.randint(0, 10_000, n_rows), unit="s"),
            "period": pd.PeriodIndex(moments, freq="D"),
            "nothing": np.full(n_rows, np.nan),
            "sparse": pd.arrays.SparseArray(np.where(rng.uniform(size=n_rows) < 0.9, 0.0, rng.randn(n_rows))),
        }
    )
    X["mixed"] = pd.Series([1, "a", 2.5, None] * (n_rows // 4), dtype=object)
    X["arrow"] = X["int"].astype("int64[pyarrow]")
    X["arrow_text"] = X["text"].astype("string[pyarrow]")
    X["arrow_moment"] = X["moment"].astype("timestamp[ns][pyarrow]")
    for name in ("float", "nullable", "whole", "boolean", "text", "category", "moment", "span", "arrow"):
        X.loc[rng.uniform(size=n_rows) < 0.2, name] = None
    return X


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    pytest.importorskip("pyarrow")
    return mixed_table()


@pytest.fixture(scope="module")
def y(table: pd.DataFrame) -> np.ndarray:
    return np.where(np.random.RandomState(1).uniform(size=len(table)) < 0.15, "yes", "no")


def test_columns_stay_what_they_are(table: pd.DataFrame, y: np.ndarray) -> None:
    X, labels = MixedSMOTE(random_state=0).fit_resample(table, y)
    pd.testing.assert_series_equal(X.dtypes, table.dtypes)
    pd.testing.assert_frame_equal(X.iloc[: len(table)], table)
    assert X["category"].cat.categories.tolist() == ["x", "y", "never"]
    assert pd.Series(labels).value_counts().nunique() == 1
    new = X.iloc[len(table) :]
    assert (new["whole"].dropna() % 1 == 0).all()
    assert set(new["text"].dropna()) == {"a", "b"}
    assert new["nothing"].isna().all()


def test_a_row_lies_between_its_parents(table: pd.DataFrame, y: np.ndarray) -> None:
    sampler = MixedSMOTE(random_state=0)
    X, labels = sampler.fit_resample(table, y)
    made = np.arange(len(table), len(X))
    assert (y[sampler.sample_indices_] == labels).all()
    assert (y[sampler.neighbor_indices_] == labels).all()
    first, second = (table.iloc[ids[made]] for ids in (sampler.sample_indices_, sampler.neighbor_indices_))
    new = X.iloc[made]
    for name in ("float", "int", "uint8", "nullable", "zeros", "moment", "arrow"):
        a, b, value = (part[name].reset_index(drop=True) for part in (first, second, new))
        known = (a.notna() & b.notna()).to_numpy(bool)
        low, high = np.minimum(a[known], b[known]), np.maximum(a[known], b[known])
        assert ((value[known] >= low) & (value[known] <= high)).all(), name
    for name in ("text", "category", "bool", "period"):
        a, b, value = (
            part[name].astype(object).where(part[name].notna(), None).tolist() for part in (first, second, new)
        )
        assert all(v in (x, z) for v, x, z in zip(value, a, b, strict=True)), name
    gap = new["nullable"].isna().to_numpy()
    nearer = np.where(sampler.steps_[made, None] < 0.5, first[["nullable"]].isna(), second[["nullable"]].isna())[:, 0]
    np.testing.assert_array_equal(gap, nearer)


def test_what_many_rows_share_is_taken_over(table: pd.DataFrame, y: np.ndarray) -> None:
    """Nothing between 0 and a gain is made, as SMOTE would."""
    X, _ = MixedSMOTE(random_state=0).fit_resample(table[["zeros", "float32"]], y)
    new = X["zeros"].iloc[len(table) :]
    assert 0.4 < (new == 0).mean() < 0.95


def test_numbers_alone_are_as_smote_would_have_them() -> None:
    """Standardised numbers, no gaps: the mean and the spread of what is made are those of imbalanced-learn's."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(4000, 3), (rng.uniform(size=4000) < 0.2).astype(int)
    ours, theirs = (s.fit_resample(X, y)[0][4000:] for s in (MixedSMOTE(random_state=0), SMOTE(random_state=0)))
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.06)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), atol=0.06)


def test_a_table_without_numbers() -> None:
    rng = np.random.RandomState(0)
    X = pd.DataFrame({name: rng.choice(list("abcdef"), 200) for name in "pqr"})
    X.loc[::9, "p"] = None
    y = np.repeat([0, 1], [170, 30])
    more, labels = MixedSMOTE(random_state=0).fit_resample(X, y)
    assert (labels == 1).sum() == 170
    assert more.isna().any(axis=None)
    assert set(more["q"]) <= set("abcdef")


def test_days_and_tables_that_hold_nothing() -> None:
    pytest.importorskip("pyarrow")
    y = np.repeat([0, 1], [30, 10])
    days = pd.Series(pd.date_range("2024-01-01", periods=40)).astype("date32[pyarrow]")
    more, _ = MixedSMOTE(random_state=0).fit_resample(pd.DataFrame({"day": days}), y)
    assert more["day"].dtype == days.dtype
    more, labels = MixedSMOTE(random_state=0).fit_resample(pd.DataFrame({"a": [np.nan] * 40}), y)
    assert len(more) == len(labels) == 60


def test_several_classes_and_a_wanted_number() -> None:
    rng = np.random.RandomState(0)
    X, y = rng.randn(100, 2), np.repeat(["a", "b", "c"], [70, 20, 10])
    _, labels = MixedSMOTE(random_state=0).fit_resample(X, y)
    assert pd.Series(labels).value_counts().tolist() == [70, 70, 70]
    _, labels = MixedSMOTE(sampling_strategy={"c": 30}, random_state=0).fit_resample(X, y)
    assert pd.Series(labels).value_counts().to_dict() == {"a": 70, "b": 20, "c": 30}


def test_many_levels_are_neighbours_too() -> None:
    """More indicators than a dense table is made of: the same neighbours as in one."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"id": rng.randint(0, 2000, 3000).astype(str), "x": rng.randn(3000)})
    y = np.repeat([0, 1], [1000, 2000])
    sampler = MixedSMOTE(random_state=0, sampling_strategy={1: 2100})
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for limit in (10, 10_000):
            patch.setattr("hybridlearn.resampling._space._DENSE_LEVELS", limit)
            found.append(sampler.fit_resample(X, y)[0])
    # but for ties that rounding decides
    same = (found[0] == found[1]).all(axis=1)
    assert same.iloc[3000:].mean() > 0.9


def test_few_rows_are_named() -> None:
    X = np.arange(20.0)[:, None]
    with pytest.raises(
        ValueError, match=r"class 'rare' has n_samples = 3 rows, and k_neighbors=5 .* lower k_neighbors"
    ):
        MixedSMOTE().fit_resample(X, np.repeat(["often", "rare"], [17, 3]))
    with pytest.raises(ValueError, match="class 1 has n_samples = 1 rows"):
        MixedSMOTE(k_neighbors=1).fit_resample(X, np.repeat([0, 1], [19, 1]))


def test_a_regression_has_no_classes() -> None:
    rng = np.random.RandomState(0)
    with pytest.raises(ValueError, match=r"Unknown label type: continuous.*weigh rows"):
        MixedSMOTE().fit_resample(rng.randn(30, 2), rng.randn(30))


def test_sparse_is_refused() -> None:
    from scipy import sparse

    with pytest.raises(TypeError, match="sparse"):
        MixedSMOTE().fit_resample(sparse.csr_matrix(np.eye(20)), np.repeat([0, 1], 10))


@settings(max_examples=30, deadline=None)
@given(
    n_rare=st.integers(4, 12),
    k=st.integers(1, 3),
    n_levels=st.integers(1, 4),
    gaps=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_any_small_table(n_rare: int, k: int, n_levels: int, gaps: float, seed: int) -> None:
    """Whatever the levels and gaps: as many rows as asked for, dtypes kept, no level and no number out of range."""
    rng = np.random.RandomState(seed)
    n = 20 + n_rare
    X = pd.DataFrame({"x": rng.randn(n), "c": rng.randint(0, n_levels, n).astype(str), "i": rng.randint(-5, 5, n)})
    X.loc[rng.uniform(size=n) < gaps, "x"] = np.nan
    y = np.repeat([0, 1], [20, n_rare])
    more, labels = MixedSMOTE(k_neighbors=k, random_state=seed).fit_resample(X, y)
    rare = X[y == 1]
    new = more.iloc[n:]
    assert (labels == 1).sum() == 20
    assert (more.dtypes == X.dtypes).all()
    assert set(new["c"]) <= set(rare["c"])
    assert new["i"].between(rare["i"].min(), rare["i"].max()).all()
    known = rare["x"].dropna()
    assert new["x"].dropna().between(known.min(), known.max()).all() if len(known) else new["x"].isna().all()


def test_no_row_is_a_copy_where_its_parents_differ() -> None:
    """Of categories alone each row would often be one parent: it gets a value of the other."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame({name: rng.choice(list("abcdefghijkl"), 200) for name in "pqr"})
    y = np.repeat([0, 1], [160, 40])
    sampler = MixedSMOTE(k_neighbors=20, random_state=0)
    more, _ = sampler.fit_resample(X, y)
    made = np.arange(200, len(more))
    first, second = (X.iloc[ids[made]].to_numpy() for ids in (sampler.sample_indices_, sampler.neighbor_indices_))
    new = more.iloc[made].to_numpy()
    far = (first != second).sum(axis=1) > 1
    assert far.sum() > 100
    assert not ((new == first).all(axis=1) | (new == second).all(axis=1))[far].any()
