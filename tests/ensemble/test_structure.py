"""Time and groups in every split, on flights in the order of their departure: proved from the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from hybridlearn.crossfit import Entry, LeakError, Ledger
from hybridlearn.datasets import load_flights
from hybridlearn.ensemble import HybridBoostingClassifier, HybridClassifier, HybridStackingClassifier
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.table import TableEncoder
from hybridlearn.trees import BoostedTreesClassifier

N_ROWS = 500
ORDER = np.arange(N_ROWS)
TREES = {"n_estimators": 8, "learning_rate": 0.3, "n_iter_no_change": 3}


@pytest.fixture(scope="module")
def flights() -> tuple[pd.DataFrame, pd.Series]:
    """The first fortnight of January, one flight of 24."""
    X, y = load_flights()
    rows = slice(None, 24 * N_ROWS, 24)
    return X.iloc[rows].drop(columns="tailnum").reset_index(drop=True), y.iloc[rows].reset_index(drop=True)


def members() -> list[tuple[str, Any]]:
    trees = BoostedTreesClassifier(**TREES)
    return [
        ("trees", trees),
        ("piped", make_pipeline(TableEncoder(encode="onehot"), BoostedTreesClassifier(**TREES))),
        ("linear", make_pipeline(TableEncoder(encode="onehot"), LogisticRegression(C=0.1))),
    ]


def stack(cv: Any, **settings: Any) -> HybridStackingClassifier:
    return HybridStackingClassifier(**{"estimators": members(), "cv": cv, "random_state": 0} | settings)


def sides(ledger: Ledger) -> list[tuple[Entry, np.ndarray, np.ndarray]]:
    """Of each entry that was fitted on any rows, these and those it gave numbers for; of early stopping, the inner
    split too."""
    fits = {(e.member, e.fold): e.fitted_on for e in ledger.entries if e.step == "fit"}
    found = [(e, e.fitted_on, e.predicted) for e in ledger.entries if len(e.fitted_on)]
    found += [
        (e, np.setdiff1d(fits[e.member, e.fold], e.fitted_on), e.fitted_on)
        for e in ledger.entries
        if e.step == "early stopping"
    ]
    return found


def assert_stops_are_told(hybrid: Any) -> None:
    """Of a member inside a pipeline too."""
    stopped = {e.member for e in hybrid.ledger_.entries if e.step == "early stopping"}
    assert "piped" in stopped


STEPS = {"fit", "early stopping", "blend weights", "calibration"}


def assert_forward(hybrid: Any, time: np.ndarray) -> None:
    """No split inside crosses time: as the ledger says, and by hand."""
    hybrid.ledger_.assert_leak_free()
    hybrid.ledger_.assert_in_order(time)
    assert {e.step for e in hybrid.ledger_.entries} >= STEPS - {"calibration"}
    for entry, before, after in sides(hybrid.ledger_):
        assert time[before].max() < time[after].min(), entry
    assert_stops_are_told(hybrid)
    assert hybrid.oof_.is_ordered


# no inner split crosses


def test_folds_that_go_forward_make_every_inner_split_do_so(flights) -> None:
    hybrid = stack(TimeSeriesSplit(4)).fit(*flights)
    assert_forward(hybrid, ORDER)
    assert hybrid.oof_.coverage == 0.8
    np.testing.assert_array_equal(hybrid.oof_.covered, ORDER >= 100)


@pytest.mark.parametrize(("cv", "unit"), [(4, "hour"), (TimeSeriesSplit(4), "hour"), (TimeSeriesSplit(4), "day")])
def test_with_times_no_split_crosses_one(flights, cv: Any, unit: str) -> None:
    """Flights of one hour, or of one day, are of one time."""
    X, y = flights
    time = X["time_hour"].dt.floor("D") if unit == "day" else X["time_hour"]
    hybrid = stack(cv).fit(X, y, time=time)
    ranks = np.unique(time, return_inverse=True)[1]
    assert len(np.unique(ranks)) == (14 if unit == "day" else 228)
    assert_forward(hybrid, ranks)
    assert 0.7 < hybrid.oof_.coverage < 0.85


@pytest.mark.parametrize(("cv", "unit"), [(3, "day"), (GroupKFold(3), "carrier")])
def test_with_groups_no_split_tears_one(flights, cv: Any, unit: str) -> None:
    X, y = flights
    hybrid = stack(cv).fit(X, y, groups=X[unit])
    hybrid.ledger_.assert_leak_free()
    groups = X[unit].to_numpy()
    hybrid.ledger_.assert_grouped(pd.factorize(groups)[0])
    assert {e.step for e in hybrid.ledger_.entries} >= STEPS - {"calibration"}
    for entry, before, after in sides(hybrid.ledger_):
        assert not set(groups[before]) & set(groups[after]), entry
    assert_stops_are_told(hybrid)
    assert not hybrid.oof_.is_ordered
    assert hybrid.oof_.coverage == 1


def test_without_either_inner_splits_do_cross(flights) -> None:
    """The proofs bite: shuffled folds fail both."""
    X, y = flights
    ledger = stack(3).fit(X, y).ledger_
    ledger.assert_leak_free()
    with pytest.raises(LeakError, match="fit of 'trees' in fold 0 crosses time"):
        ledger.assert_in_order(ORDER)
    with pytest.raises(LeakError, match="fit of 'trees' in fold 0 tears a group apart"):
        ledger.assert_grouped(X["day"])


def test_rows_of_the_ledger_are_those_of_positive_weight(flights) -> None:
    X, y = flights
    weight = np.where(ORDER % 3 == 0, 0.0, 1.0)
    hybrid = stack(TimeSeriesSplit(3)).fit(X, y, sample_weight=weight)
    assert_forward(hybrid, ORDER[hybrid.oof_.positions])
    assert len(hybrid.oof_.positions) == np.count_nonzero(weight)


class Decides(ClassifierMixin, BaseEstimator):
    """Has no probabilities, so that it is calibrated on inner folds; notes what it was fitted on, and asked."""

    log: list[tuple[np.ndarray, list[np.ndarray]]] = []

    def fit(self, X: np.ndarray, y: np.ndarray) -> Any:
        self.classes_, self.asked_ = np.unique(y), []
        self.tree_ = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X[:, 1:], y)
        self.log.append((X[:, 0].astype(int), self.asked_))
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        self.asked_.append(X[:, 0].astype(int))
        return self.tree_.predict_proba(X[:, 1:])[:, 1]

    def predict(self, X: np.ndarray) -> np.ndarray: ...


@pytest.mark.parametrize("kind", ["rows", "time", "groups"])
def test_inner_folds_that_calibrate_a_member_follow_time_and_groups(flights, kind: str) -> None:
    X, y = flights
    table = np.column_stack([ORDER, X[["sched_dep_time", "sched_arr_time", "distance"]]]).astype(float)
    day, hour = X["day"].to_numpy(), np.unique(X["time_hour"], return_inverse=True)[1]
    given: dict[str, Any] = {"rows": {}, "time": {"time": hour}, "groups": {"groups": day}}[kind]
    Decides.log.clear()
    cv = {"rows": TimeSeriesSplit(3), "time": 3, "groups": 2}[kind]
    stack(cv, estimators=[("m", Decides())]).fit(table, y, **given)
    # the folds (of two, no model is asked of rows that it has seen) and, forward in time, all rows, each with three
    # inner folds
    assert len(Decides.log) == (2 if kind == "groups" else 4) * 4
    for fitted_on, asked in Decides.log:
        for rows in asked:
            if kind == "groups":
                assert not set(day[fitted_on]) & set(day[rows])
            else:
                time = ORDER if kind == "rows" else hour
                assert time[fitted_on].max() < time[rows].min()


def test_a_chain_of_boosting_goes_forward_too(flights) -> None:
    """Each stage has several fits in a fold, each with its own rows that stop it."""
    X, y = flights
    trees = [("trees", BoostedTreesClassifier(**TREES)), ("more", BoostedTreesClassifier(**TREES, max_depth=2))]
    boost = HybridBoostingClassifier(estimators=trees, cv=3, inner_cv=2, random_state=0)
    boost.fit(X, y, time=X["time_hour"])
    boost.ledger_.assert_leak_free()
    boost.ledger_.assert_in_order(np.unique(X["time_hour"], return_inverse=True)[1])
    boost.fit(X, y, groups=X["day"])
    boost.ledger_.assert_grouped(X["day"])


# the proofs bite


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_planted_row_is_found(step: str) -> None:
    before, after = np.arange(6), np.arange(6, 10)
    honest = Ledger([Entry(step, "m", 1, before, after)])
    for prove, labels in [(Ledger.assert_in_order, np.arange(10)), (Ledger.assert_grouped, np.arange(10) // 3)]:
        prove(honest, labels)
        # the first row after is of the time, and of the group, of the last before
        labels[6] = labels[5]
        with pytest.raises(LeakError, match=f"^{step} of 'm' in fold 1 "):
            prove(honest, labels)


def test_a_planted_inner_split_is_found() -> None:
    fit = Entry("fit", "m", 0, np.arange(9), np.arange(9, 12))
    last, first = (Entry("early stopping", "m", 0, rows, fit.predicted) for rows in (np.arange(7, 9), np.arange(3)))
    Ledger([fit, last]).assert_in_order(np.arange(12))
    with pytest.raises(LeakError, match=r"^the inner split for early stopping of 'm' in fold 0 crosses time$"):
        Ledger([fit, first]).assert_in_order(np.arange(12))
    Ledger([fit, first]).assert_grouped(np.arange(12) // 3)
    with pytest.raises(LeakError, match=r"^the inner split for early stopping of 'm' in fold 0 tears a group apart$"):
        Ledger([fit, last]).assert_grouped(np.arange(12) // 3)


def test_rows_that_stop_a_training_belong_to_the_fit_before_them() -> None:
    """A stage of boosting has several fits in a fold."""
    early = [Entry("fit", "m", 0, np.arange(5), np.arange(20, 24))]
    early += [Entry("early stopping", "m", 0, np.array([4]), np.arange(20, 24))]
    late = [Entry("fit", "m", 0, np.arange(10), np.arange(20, 24))]
    late += [Entry("early stopping", "m", 0, np.array([8, 9]), np.arange(20, 24))]
    Ledger([*early, *late]).assert_in_order(np.arange(24))
    with pytest.raises(LeakError, match="the inner split for early stopping"):
        Ledger([*late, early[1]]).assert_in_order(np.arange(24))


def test_what_predicts_nothing_and_what_learns_nothing_cross_nothing() -> None:
    nothing = np.array([], dtype=int)
    ledger = Ledger([Entry("fit", "m", 0, np.arange(3), nothing), Entry("fit", "m", 1, nothing, np.arange(3))])
    ledger.assert_in_order(np.arange(3))
    ledger.assert_grouped(np.zeros(3))


# the fit on all rows


@pytest.mark.parametrize("given", ["rows", "time"])
def test_members_end_with_one_fit_on_all_rows_for_as_long_as_was_found(flights, given: str) -> None:
    X, y = flights
    time = {"time": X["time_hour"]} if given == "time" else {}
    net = TabularMLPClassifier(hidden_layer_sizes=(4,), max_epochs=5, learning_rate=0.05, n_iter_no_change=1)
    chosen = [*members(), ("mlp", net)] if given == "rows" else members()
    hybrid = stack(TimeSeriesSplit(3) if given == "rows" else 3, estimators=chosen).fit(X, y, **time)
    n_train = [model.n_train for model in hybrid.oof_.models["trees"]]
    assert n_train == sorted(n_train)
    for name, (refitted,) in zip(hybrid.models_, hybrid.estimators_, strict=True):
        last, longest = (
            e[-1] if hasattr(e, "steps") else e for e in (refitted, hybrid.oof_.models[name][-1].estimator)
        )
        if name == "linear":
            continue
        found = longest.rounds_found()
        assert found["early_stopping"] is False
        assert {key: getattr(last, key) for key in found} == found
        assert len(last.row_hashes_) == N_ROWS
        assert len(last.stopping_rows_) == 0
        assert last.n_iter_ == next(value for key, value in found.items() if key != "early_stopping")
    assert hybrid.predict_proba(X).shape == (N_ROWS, 2)


def test_who_does_not_stop_early_runs_as_it_was_told(flights) -> None:
    X, y = flights
    trees = BoostedTreesClassifier(n_estimators=4, early_stopping=False)
    hybrid = HybridClassifier(estimators=[("trees", trees)], cv=TimeSeriesSplit(3), random_state=0).fit(X, y)
    assert hybrid.estimators_[0][0].n_iter_ == 4


# the order of rows


@pytest.mark.parametrize("cv", [4, TimeSeriesSplit(4)], ids=["int", "splitter"])
def test_shuffled_rows_with_times_are_the_sorted_rows(flights, cv: Any) -> None:
    X, y = flights
    table = X[["sched_dep_time", "sched_arr_time", "distance"]] / 1000
    # a splitter cuts by rows: of flights of one hour it takes those that stand first
    time = X["time_hour"].to_numpy() if cv == 4 else ORDER
    chosen = [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("trees", BoostedTreesClassifier(**TREES, subsample=1.0, max_features=1.0)),
    ]
    hybrid = stack(cv, estimators=chosen, final_estimator="nonnegative")
    shuffle = np.random.default_rng(0).permutation(N_ROWS)
    one = hybrid.fit(table, y, time=time)
    fold, margins, told = one.oof_.fold, one.oof_.margins, one.margin(table)
    two = hybrid.fit(table.iloc[shuffle], y.iloc[shuffle], time=time[shuffle])
    np.testing.assert_array_equal(two.oof_.fold, fold[shuffle])
    for name, margin in margins.items():
        np.testing.assert_allclose(two.oof_.margins[name], margin[shuffle], rtol=0, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(two.margin(table), told, rtol=0, atol=1e-3)
