"""Fits that go together in cross-fitting: the same table as one by one, and nothing lost when one fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit

import hybridlearn.training._together
from hybridlearn.crossfit import MemberError, OutOfFold, cross_fit
from hybridlearn.crossfit._member import FoldFit
from hybridlearn.crossfit._units import plan_units
from hybridlearn.ensemble import HybridClassifier
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.nets._base import BaseNet
from hybridlearn.table import TrainingRows, read_training_rows

NET = {"hidden_layer_sizes": (8,), "max_epochs": 6, "learning_rate": 0.02, "device": "cpu"}


def net(**changes: Any) -> TabularMLPClassifier:
    return TabularMLPClassifier(**{**NET, **changes})


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From when it is called on, nets fit alone."""
    return lambda: monkeypatch.setattr(BaseNet, "likeness", lambda self: None)


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("trained alone")

    monkeypatch.setattr(hybridlearn.training._together, "train", refuse)


def assert_same_table(one: OutOfFold, other: OutOfFold, *, atol: float) -> None:
    assert one.members == other.members
    for name in one.members:
        np.testing.assert_allclose(one.margins[name], other.margins[name], rtol=0, atol=atol, err_msg=name)
    for entry, expected in zip(one.ledger.entries, other.ledger.entries, strict=True):
        assert (entry.step, entry.member, entry.fold) == (expected.step, expected.member, expected.fold)
        np.testing.assert_array_equal(entry.fitted_on, expected.fitted_on)
        np.testing.assert_array_equal(entry.predicted, expected.predicted)


@pytest.mark.usefixtures("no_loop")
def test_together_the_table_is_the_same_up_to_rounding(table, one_by_one: Any) -> None:
    members = [("slow", net(learning_rate=0.01)), ("linear", LogisticRegression()), ("fast", net(dropout=0.3))]
    weight = np.random.default_rng(0).integers(0, 3, 150).astype(float)
    options: dict[str, Any] = {"cv": 4, "sample_weight": weight, "random_state": 0}
    together = cross_fit(members, table.X, table.three, **options)
    together.ledger.assert_leak_free()
    one_by_one()
    assert_same_table(together, cross_fit(members, table.X, table.three, **options), atol=1e-4)


def test_the_number_of_processes_changes_no_bit(table) -> None:
    members = [("net", net()), ("other", net(learning_rate=0.01)), ("wide", net(hidden_layer_sizes=(16,)))]
    one = cross_fit(members, table.X, table.two, cv=3, random_state=0)
    assert_same_table(one, cross_fit(members, table.X, table.two, cv=3, random_state=0, n_jobs=2), atol=0.0)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_member_that_fails_among_others_is_named(table, on_error: str) -> None:
    members = [("good", net()), ("bad", net(learning_rate=1e30, weight_decay=0.0))]
    if on_error == "raise":
        with pytest.raises(MemberError, match="member 'bad' failed: DivergedError") as caught:
            cross_fit(members, table.X, table.two, cv=3, random_state=0)
        assert type(caught.value.__cause__).__name__ == "DivergedError"
        return
    with pytest.warns(UserWarning, match="member 'bad' failed.*left out"):
        oof = cross_fit(members, table.X, table.two, cv=3, random_state=0, on_error="skip")
    assert oof.members == ["good"]
    assert np.isfinite(oof.margins["good"]).all()


def test_folds_that_lack_classes_have_their_own_shape(table, one_by_one: Any) -> None:
    """One training part has a single class, one lacks a class, two have all three."""
    order = np.argsort(table.three, kind="stable")
    fold = np.zeros(150, dtype=int)
    fold[order] = np.arange(150) * 4 // 150
    y = np.where(fold == 3, table.three, np.minimum(table.three, 1))
    splits = [(np.flatnonzero(fold == k), np.flatnonzero(fold == (k + 1) % 4)) for k in range(4)]
    together = cross_fit([("net", net())], table.X, y, cv=splits, random_state=0)
    one_by_one()
    assert_same_table(together, cross_fit([("net", net())], table.X, y, cv=splits, random_state=0), atol=1e-4)


def test_a_hybrid_is_the_same_up_to_rounding(table, one_by_one: Any) -> None:
    members = [("net", net()), ("linear", LogisticRegression())]
    hybrid = HybridClassifier(estimators=members, cv=3, random_state=0)
    together = hybrid.fit(table.X, table.two).predict_proba(table.X)
    one_by_one()
    np.testing.assert_allclose(hybrid.fit(table.X, table.two).predict_proba(table.X), together, atol=1e-4)


# -- the plan


def rows_of(table: Any) -> TrainingRows:
    return read_training_rows(TabularMLPRegressor(), table.X, table.number, None, None)


def plan(estimators: list[Any], table: Any) -> list[list[int]]:
    rows = rows_of(table)
    split = (np.arange(100), np.arange(100, 150))
    fits = [FoldFit(str(i), estimator, rows, split) for i, estimator in enumerate(estimators)]
    return plan_units(fits, n_classes=0, weighted=False)


def test_alike_nets_are_one_unit_and_the_others_their_own(table) -> None:
    small, large = ({**NET, "hidden_layer_sizes": (width,)} for width in (8, 16))
    estimators = [TabularMLPRegressor(**kind) for kind in (small, large, small, small, large)]
    assert plan([*estimators, TabularMLPRegressor(**small, verbose=1)], table) == [[0, 2, 3], [1, 4], [5]]


def test_a_unit_that_would_be_too_long_is_cut_into_even_parts(table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseNet, "n_together", staticmethod(lambda first, estimators: 3))
    parts = plan([TabularMLPRegressor(**NET) for _ in range(7)], table)
    assert parts == [[0, 1], [2, 3], [4, 5, 6]]


def test_large_nets_are_units_of_their_own(table) -> None:
    estimators = [TabularMLPRegressor(**{**NET, "hidden_layer_sizes": (1500, 1500)}) for _ in range(3)]
    assert plan(estimators, table) == [[0], [1], [2]]


def test_a_fold_is_never_fitted_on_a_row_that_it_tests(table) -> None:
    fold = np.arange(150) % 3
    poisoned = table.number.copy()
    members = [("net", TabularMLPRegressor(**NET, random_state=0))]
    clean = cross_fit(members, table.X, table.number, cv=PredefinedSplit(fold), random_state=0)
    poisoned[fold == 1] += 1e3
    other = cross_fit(members, table.X, poisoned, cv=PredefinedSplit(fold), random_state=0)
    np.testing.assert_allclose(clean.margins["net"][fold == 1], other.margins["net"][fold == 1], atol=1e-4)
    assert np.abs(clean.margins["net"][fold == 0] - other.margins["net"][fold == 0]).min() > 1.0
