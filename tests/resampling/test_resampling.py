"""What happens to the rows of a training part: their weights, groups and times, and the prior of the classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from imblearn import over_sampling, under_sampling
from imblearn.combine import SMOTEENN
from sklearn.linear_model import LogisticRegression

from hybridlearn.resampling import SAMPLER_NAMES, MixedSMOTE, Resampling, prior_shift
from hybridlearn.table import TrainingRows

CLASSES = np.array(["no", "yes"])


def some_rows(n: int = 400, rare: float = 0.15, seed: int = 0, **given: np.ndarray) -> TrainingRows:
    rng = np.random.RandomState(seed)
    target = (rng.uniform(size=n) < rare).astype(int)
    X = rng.randn(n, 3) + target[:, None]
    weight = rng.uniform(0.5, 2.0, n)
    return TrainingRows(X, target, weight, given.get("groups"), np.arange(n), n, given.get("time"))


def drawn_by(sampler: object, rows: TrainingRows, *, takes_weights: bool = False, correct: str = "auto"):
    resampling = Resampling.of(sampler, CLASSES, correct).seeded(np.random.RandomState(0))
    return resampling.draw(rows, takes_weights=takes_weights)


@pytest.mark.parametrize("name", sorted(SAMPLER_NAMES - {"weights"}))
def test_each_name_resamples_numbers(name: str) -> None:
    rows = some_rows()
    drawn = drawn_by(name, rows)
    new = drawn.rows
    assert len(new) == len(new.X) == len(new.weight) == len(drawn.origin)
    assert set(new.target) == {0, 1}
    shares = [np.bincount(each.target)[1] / len(each) for each in (rows, new)]
    assert shares[1] > shares[0]
    kept = (new.X[:, None] == rows.X[drawn.origin][:, None]).all(axis=(1, 2))
    np.testing.assert_allclose(new.weight[kept], rows.weight[drawn.origin][kept], rtol=1e-6)
    assert new.weight.min() >= rows.weight.min() - 1e-9
    assert new.weight.max() <= rows.weight.max() + 1e-9
    np.testing.assert_array_equal(new.target, rows.target[drawn.origin])


def test_weights_of_a_synthetic_row_lie_between_those_of_its_parents() -> None:
    rows = some_rows()
    drawn = drawn_by("smote", rows)
    made = drawn.rows.parents[:, 0] != drawn.rows.parents[:, 1]
    ends = rows.weight[drawn.rows.parents[made]]
    weight = drawn.rows.weight[made]
    assert made.sum() > 100
    assert ((weight >= ends.min(axis=1)) & (weight <= ends.max(axis=1))).all()
    assert len(np.unique(weight)) > 50


@pytest.mark.parametrize("sampler", [over_sampling.SMOTE(), SMOTEENN()])
def test_parents_are_found_where_the_sampler_does_not_tell(sampler: object) -> None:
    """No real row is taken for made, and each is its own parent."""
    rows = some_rows()
    drawn = drawn_by(sampler, rows)
    new = drawn.rows
    is_real = (new.X[:, None] == rows.X[None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(is_real, new.parents[:, 0] == new.parents[:, 1])
    np.testing.assert_array_equal(new.X[is_real], rows.X[new.parents[is_real, 0]])


def test_copies_are_weights_for_who_takes_them() -> None:
    """Random over-sampling by copies and by weights: the same rows count as often."""
    rows = some_rows()
    copies, weights = (drawn_by("over", rows, takes_weights=takes) for takes in (False, True))
    assert len(weights.rows) == len(rows)
    assert weights.is_weighted
    by_copies = np.bincount(copies.origin, copies.rows.weight, len(rows))
    np.testing.assert_allclose(by_copies, weights.rows.weight)
    assert copies.rows.parents is not None
    shrunk = drawn_by(over_sampling.RandomOverSampler(shrinkage=0.1), rows, takes_weights=True)
    assert len(shrunk.rows) > len(rows)


def test_weights_balance_what_classes_weigh() -> None:
    rows = some_rows()
    drawn = drawn_by("weights", rows, takes_weights=True)
    totals = np.bincount(drawn.rows.target, drawn.rows.weight)
    assert totals[0] == pytest.approx(totals[1])
    assert drawn.rows.weight.sum() == pytest.approx(rows.weight.sum())
    with pytest.raises(ValueError, match="takes sample_weight; use 'over'"):
        drawn_by("weights", rows)


def test_groups_and_times_go_with_a_row() -> None:
    rows = some_rows(groups=np.arange(400) // 7)
    for name in ("smote", "under"):
        drawn = drawn_by(name, rows)
        np.testing.assert_array_equal(drawn.rows.groups, rows.groups[drawn.origin])
    rows = some_rows(time=np.random.RandomState(1).permutation(400))
    drawn = drawn_by("smote", rows)
    parents = drawn.rows.parents
    np.testing.assert_array_equal(drawn.rows.time, rows.time[parents].max(axis=1))


def test_rows_are_chosen_by_what_is_near_whatever_the_columns_are() -> None:
    """Cleaning samplers see numbers; the rows that stay keep their columns."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"x": rng.randn(300), "job": rng.choice(["a", "b"], 300)})
    X.loc[::10, "x"] = np.nan
    y = (rng.uniform(size=300) < 0.2).astype(int)
    rows = TrainingRows(X, y, np.ones(300), None, np.arange(300), 300)
    drawn = drawn_by("tomek", rows)
    assert 0 < len(drawn.rows) < 300
    pd.testing.assert_frame_equal(drawn.rows.X, X.iloc[drawn.origin])
    with pytest.raises(ValueError, match=r"BorderlineSMOTE cannot resample .*columns \['x', 'job'\].*'smote'"):
        drawn_by("borderline", rows)


def test_samplers_of_categories_take_tables_of_them() -> None:
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"x": rng.randn(200), "job": pd.Categorical(rng.choice(list("abc"), 200))})
    y = (rng.uniform(size=200) < 0.25).astype(int)
    rows = TrainingRows(X, y, np.linspace(1, 2, 200), None, np.arange(200), 200)
    for sampler in (over_sampling.SMOTENC(categorical_features=["job"]), over_sampling.SMOTEN()):
        drawn = drawn_by(sampler, rows if isinstance(sampler, over_sampling.SMOTENC) else replace(rows, X=X[["job"]]))
        assert np.bincount(drawn.rows.target)[0] == np.bincount(drawn.rows.target)[1]
        assert 1 <= drawn.rows.weight.min() <= drawn.rows.weight.max() <= 2
    with pytest.raises(TypeError, match=r"SMOTE is a class; give a sampler of it: SMOTE\(\)"):
        Resampling.of(over_sampling.SMOTE, CLASSES)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_prior_is_put_back_exactly(n_classes: int) -> None:
    """A logistic model of under-sampled rows, shifted, has the intercept of one of all rows (large sample)."""
    rng = np.random.RandomState(0)
    n = 200_000
    y = rng.choice(n_classes, n, p=[0.9, 0.1] if n_classes == 2 else [0.8, 0.15, 0.05])
    X = rng.randn(n, 1) + y[:, None]
    rows = TrainingRows(X, y, np.ones(n), None, np.arange(n), n)
    drawn = Resampling.of("under", np.arange(n_classes)).seeded(rng).draw(rows, takes_weights=True)
    whole = LogisticRegression(C=1e6).fit(X, y)
    under = LogisticRegression(C=1e6).fit(drawn.rows.X, drawn.rows.target)
    values = np.linspace(-1, 3, 9)[:, None]
    expected, got = (model.decision_function(values).reshape(9, -1) for model in (whole, under))
    np.testing.assert_allclose(got + drawn.shift, expected, atol=0.12)


def test_the_shift_of_two_classes_is_that_of_the_odds() -> None:
    assert prior_shift(np.array([4.0, 1.0]))[0] == pytest.approx(-np.log(4))
    three = prior_shift(np.array([4.0, 1.0, 1.0]))
    assert three.sum() == pytest.approx(0)
    assert three[0] - three[1] == pytest.approx(np.log(4))


def test_what_correction_is_automatic() -> None:
    found = {name: Resampling.of(name, CLASSES) for name in ("under", "over", "smote", "weights", "tomek")}
    assert [name for name, each in found.items() if each.puts_back] == ["under"]
    assert [name for name, each in found.items() if each.recalibrates] == ["over", "smote", "weights", "tomek"]
    nothing = Resampling.of(under_sampling.RandomUnderSampler(), CLASSES, "none")
    assert not nothing.puts_back
    assert not nothing.recalibrates


def test_a_part_of_one_class_is_left_as_it_is() -> None:
    rows = some_rows()
    rows = rows.take(np.flatnonzero(rows.target == 0))
    drawn = drawn_by("smote", rows)
    assert drawn.rows is rows
    assert drawn.shift is None


def test_labels_are_those_of_the_user() -> None:
    rows = some_rows()
    n_rare = int(rows.target.sum())
    drawn = drawn_by(MixedSMOTE(sampling_strategy={"yes": n_rare + 7}), rows)
    assert drawn.rows.target.sum() == n_rare + 7


class TestSides:
    """Rows that were made never stop a training, and none trains that was made of one that stops it."""

    def test_families_are_not_parted(self) -> None:
        rows = drawn_by("smote", some_rows()).rows
        train, valid = rows.sides(stratify=True, fraction=0.2, seed=0)
        assert (rows.parents[valid, 0] == rows.parents[valid, 1]).all()
        assert not np.isin(rows.parents[train], rows.parents[valid]).any()
        assert set(rows.target[valid]) == {0, 1}
        made = rows.parents[:, 0] != rows.parents[:, 1]
        assert made[train].any()

    def test_copies_are_not_parted(self) -> None:
        rows = drawn_by("over", some_rows()).rows
        train, valid = rows.sides(stratify=True, fraction=0.2, seed=0)
        assert len(np.unique(rows.parents[valid, 0])) == len(valid)
        assert not np.isin(rows.parents[train, 0], rows.parents[valid, 0]).any()

    def test_those_that_stop_weigh_as_those_that_train(self) -> None:
        rows = drawn_by("smote", some_rows()).rows
        training, stopping = rows.split(stratify=True, fraction=0.2, seed=0)
        shares = [np.bincount(each.target, each.weight)[1] / each.weight.sum() for each in (training, stopping)]
        assert shares[0] == pytest.approx(shares[1])
        assert shares[0] > 0.4
