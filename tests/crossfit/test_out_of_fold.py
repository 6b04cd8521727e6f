"""The out-of-fold table: its frame, its coverage, the blend's place in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB

from hybridlearn.crossfit import BLEND, Entry, cross_fit

MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]


def test_the_frame_tells_fold_target_and_margins_by_row(table) -> None:
    labels = np.array(["no", "yes"])[table.two]
    weight = np.where(np.arange(150) % 5 == 0, 0.0, 1.0)
    oof = cross_fit(MEMBERS, table.X, labels, cv=3, sample_weight=weight, random_state=0)
    kept = np.flatnonzero(weight)
    expected = {
        "fold": oof.fold,
        "target": labels[kept],
        "linear": oof.margins["linear"][:, 0],
        "bayes": oof.margins["bayes"][:, 0],
    }
    pd.testing.assert_frame_equal(oof.frame, pd.DataFrame(expected, index=pd.Index(kept, name="row")))
    assert oof.members == ["linear", "bayes"]
    np.testing.assert_array_equal(oof.classes[oof.target], labels[kept])


def test_several_classes_have_a_column_each(table) -> None:
    labels = np.array(["low", "middle", "top"])[table.three]
    oof = cross_fit(MEMBERS[:1], table.X, labels, cv=2, random_state=0)
    assert oof.frame.columns.tolist() == ["fold", "target", "linear[low]", "linear[middle]", "linear[top]"]
    np.testing.assert_array_equal(oof.frame[["linear[low]", "linear[middle]", "linear[top]"]], oof.margins["linear"])


def test_numbers_stay_numbers(table) -> None:
    oof = cross_fit([("linear", Ridge())], table.X, table.number, cv=2, random_state=0)
    assert oof.classes is None
    np.testing.assert_array_equal(oof.frame["target"], table.number)


def test_rows_that_no_fold_tests_have_no_margin(table) -> None:
    oof = cross_fit(MEMBERS, table.X, table.two, cv=TimeSeriesSplit(4))
    assert oof.coverage == 120 / 150
    np.testing.assert_array_equal(oof.fold, np.repeat([-1, 0, 1, 2, 3], 30))
    for margin in oof.margins.values():
        np.testing.assert_array_equal(np.isnan(margin[:, 0]), np.arange(150) < 30)


def test_a_blend_joins_a_copy(table) -> None:
    oof = cross_fit(MEMBERS, table.X, table.two, cv=2, random_state=0)
    n_entries = len(oof.ledger.entries)
    step = Entry("blend weights", BLEND, 0, np.array([0]), np.array([1]), order=2)
    blended = oof.with_blend(np.zeros((150, 1)), [step])
    assert list(blended.margins) == ["linear", "bayes", BLEND]
    assert blended.ledger.entries[-1] is step
    assert BLEND not in oof.margins
    assert len(oof.ledger.entries) == n_entries
    assert blended.members == ["linear", "bayes"]
