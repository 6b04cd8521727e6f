"""The ledger: entries that agree with what spies saw, and errors that name what leaks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, TargetEncoder

from hybridlearn.crossfit import LeakError, Ledger, OutOfFold, cross_fit
from hybridlearn.ensemble import HybridClassifier
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.trees import BoostedTreesClassifier

N_ROWS = 60
IDS = 1000 + 7 * np.arange(N_ROWS)  # no id is a position
X = np.column_stack([IDS, np.random.default_rng(0).normal(size=N_ROWS)])
NUMBER = X[:, 1] + np.random.default_rng(1).normal(size=N_ROWS)
CLASSES = (NUMBER > 0).astype(int)
GROUPS = np.arange(N_ROWS) // 4


class Spy(BaseEstimator):
    """Keeps what it was fitted on and what it was asked, by the ids in the first column."""

    def __init__(self, *, stops: bool = False):
        self.stops = stops

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Spy:
        self.seen_, self.target_, self.weight_ = X[:, 0].astype(int), y, sample_weight
        self.classes_ = np.unique(y)
        if self.stops:
            self.stopping_rows_ = np.arange(len(y))[::4]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.asked_ = X[:, 0].astype(int)
        return np.zeros(len(X))


class SpyRegressor(RegressorMixin, Spy):
    pass


class SpyClassifier(ClassifierMixin, Spy):
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_)) + 0 * self.predict(X)[:, None]


def positions(ids: np.ndarray) -> list[int]:
    return sorted((ids - 1000) // 7)


def assert_agrees_with_the_spies(oof: OutOfFold) -> None:
    """What the ledger says of each fit is what the fitted spy has seen, row by row."""
    told = {(e.step, e.member, e.fold): e for e in oof.ledger.entries}
    for name, models in oof.models.items():
        for k, model in enumerate(models):
            spy, fit = model.estimator, told.pop(("fit", name, k))
            assert positions(spy.asked_) == sorted(oof.positions[fit.predicted])
            assert positions(spy.seen_) == sorted(oof.positions[fit.fitted_on])
            if spy.stops:
                stopping = told.pop(("early stopping", name, k))
                assert positions(spy.asked_) == sorted(oof.positions[stopping.predicted])
                assert positions(spy.seen_[::4]) == sorted(oof.positions[stopping.fitted_on])
    assert not told, "steps that nobody took"
    oof.ledger.assert_leak_free()


ODD = [(np.arange(1, N_ROWS, 2), np.arange(0, N_ROWS, 4)), (np.arange(0, N_ROWS, 2)[::-1], np.arange(1, N_ROWS, 6))]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "cv", [3, KFold(4), StratifiedKFold(3, shuffle=True, random_state=5), GroupKFold(3), TimeSeriesSplit(3), ODD]
)
def test_the_ledger_agrees_with_spies(cv: Any, weighted: bool) -> None:
    weight = np.arange(N_ROWS) % 3 + 0.5 * (np.arange(N_ROWS) % 2) if weighted else None
    spies = [("plain", SpyClassifier()), ("stopping", SpyClassifier(stops=True))]
    groups = GROUPS if cv == 3 or isinstance(cv, GroupKFold) else None
    oof = cross_fit(spies, X, CLASSES, cv=cv, sample_weight=weight, groups=groups, random_state=0)
    assert_agrees_with_the_spies(oof)
    assert len(oof.positions) == (50 if weighted else 60)
    # what they saw beside the ids belongs to the same rows
    spy = oof.models["plain"][1].estimator
    np.testing.assert_array_equal(spy.target_, CLASSES[(spy.seen_ - 1000) // 7])
    if weight is not None:
        np.testing.assert_array_equal(spy.weight_, weight[(spy.seen_ - 1000) // 7])


@given(
    classification=st.booleans(),
    n_splits=st.integers(2, 5),
    groups=st.none() | st.lists(st.integers(0, 9), min_size=N_ROWS, max_size=N_ROWS).filter(lambda g: len(set(g)) > 4),
    weight=st.none() | st.lists(st.integers(0, 2), min_size=N_ROWS, max_size=N_ROWS).filter(lambda w: sum(w) > 50),
    seed=st.integers(0, 99),
)
def test_every_row_of_positive_weight_is_tested_once_by_models_that_never_saw_its_group(
    classification: bool, n_splits: int, groups: list[int] | None, weight: list[int] | None, seed: int
) -> None:
    if groups is not None and weight is not None:
        # groups that are left when rows of weight zero are gone
        n_splits = min(n_splits, len({g for g, w in zip(groups, weight, strict=True) if w}))
    target, spy = (CLASSES, SpyClassifier()) if classification else (NUMBER, SpyRegressor())
    oof = cross_fit([("spy", spy)], X, target, cv=n_splits, groups=groups, sample_weight=weight, random_state=seed)
    assert_agrees_with_the_spies(oof)
    kept = np.arange(N_ROWS) if weight is None else np.flatnonzero(weight)
    assert oof.positions.tolist() == kept.tolist()
    asked = np.concatenate([model.estimator.asked_ for model in oof.models["spy"]])
    assert positions(asked) == kept.tolist()
    if groups is not None:
        group = np.array(groups)
        for model in oof.models["spy"]:
            assert not set(group[positions(model.estimator.seen_)]) & set(group[positions(model.estimator.asked_)])


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    "member",
    [
        BoostedTreesClassifier(n_estimators=3),
        TabularMLPClassifier(hidden_layer_sizes=(4,), max_epochs=1),
    ],
)
def test_rows_that_stop_a_member_of_ours_are_told_apart(member: Any, grouped: bool) -> None:
    weight = np.arange(N_ROWS) % 3
    groups = GROUPS if grouped else None
    oof = cross_fit([("m", member)], X, CLASSES, cv=2, sample_weight=weight, groups=groups, random_state=0)
    oof.ledger.assert_leak_free()
    for k in range(2):
        fit, stopping = (e for e in oof.ledger.entries if e.fold == k)
        assert (fit.step, stopping.step) == ("fit", "early stopping")
        train = np.flatnonzero(oof.fold != k)
        np.testing.assert_array_equal(fit.fitted_on, train)
        assert 0 < len(stopping.fitted_on) < len(train)
        np.testing.assert_array_equal(train[oof.models["m"][k].estimator.stopping_rows_], stopping.fitted_on)
        if groups is not None:
            group = groups[oof.positions]
            assert not set(group[np.setdiff1d(train, stopping.fitted_on)]) & set(group[stopping.fitted_on])


# what comes fitted

TABLE = pd.DataFrame({"city": np.random.default_rng(0).choice(list("abcdef"), N_ROWS), "n": X[:, 1]})


def frozen_encoder() -> FrozenEstimator:
    return FrozenEstimator(TargetEncoder(cv=2, shuffle=False).fit(TABLE[["city"]], CLASSES))


def in_a_pipeline() -> Any:
    return make_pipeline(frozen_encoder(), LogisticRegression())


def in_a_column_transformer() -> Any:
    columns = ColumnTransformer([("codes", frozen_encoder(), ["city"]), ("rest", "passthrough", ["n"])])
    return make_pipeline(columns, LogisticRegression())


def in_a_vote() -> Any:
    frozen = FrozenEstimator(LogisticRegression().fit(TABLE[["n"]], CLASSES))
    vote = VotingClassifier([("frozen", frozen), ("fresh", LogisticRegression())], voting="soft")
    return make_pipeline("passthrough", vote)


def in_a_function() -> Any:
    encoder = frozen_encoder().estimator
    return make_pipeline(FunctionTransformer(encoder.transform), LogisticRegression())


def in_a_partial_function() -> Any:
    encoder = frozen_encoder().estimator
    return make_pipeline(FunctionTransformer(partial(partial(encoder.transform))), LogisticRegression())


def itself() -> Any:
    return FrozenEstimator(LogisticRegression().fit(TABLE[["n"]], CLASSES))


FROZEN = [
    (in_a_pipeline, ["city"], "m__frozenestimator"),
    (in_a_column_transformer, ["city", "n"], "m__columntransformer__codes"),
    (in_a_vote, ["n"], "m__votingclassifier__frozen"),
    (in_a_function, ["city"], "m__functiontransformer__func"),
    (in_a_partial_function, ["city"], "m__functiontransformer__func"),
    (itself, ["n"], "m"),
]


@pytest.mark.parametrize(("make", "columns", "path"), FROZEN)
def test_what_comes_fitted_is_caught_and_can_be_vouched_for(make: Any, columns: list[str], path: str) -> None:
    oof = cross_fit([("m", make())], TABLE[columns], CLASSES, cv=2, random_state=0)
    with pytest.raises(LeakError, match=rf"^{path} of 'm' in fold 0 came fitted .*trust=\['{path}'\]") as caught:
        oof.ledger.assert_leak_free()
    assert "FrozenEstimator" in str(caught.value)
    oof.ledger.assert_leak_free(trust=[path])
    with pytest.raises(LeakError):
        oof.ledger.assert_leak_free(trust=["another"])


def test_a_hybrid_tells_of_a_member_that_came_fitted() -> None:
    members = [("honest", LogisticRegression()), ("frozen", in_a_pipeline())]
    members[0] = ("honest", make_pipeline(TargetEncoder(cv=2), LogisticRegression()))
    hybrid = HybridClassifier(estimators=members, cv=2, random_state=0).fit(TABLE[["city"]], CLASSES)
    with pytest.raises(LeakError, match=r"^frozen__frozenestimator of 'frozen'"):
        hybrid.ledger_.assert_leak_free()
    honest = HybridClassifier(estimators=members[:1], cv=2, random_state=0).fit(TABLE[["city"]], CLASSES)
    honest.ledger_.assert_leak_free()


# what is planted

ROWS = st.lists(st.integers(0, 30), unique=True, max_size=12)


@given(ROWS, ROWS)
def test_an_entry_leaks_when_it_shares_a_row(fitted_on: list[int], predicted: list[int]) -> None:
    ledger = Ledger()
    ledger.record("fit", "m", 2, fitted_on=np.array(fitted_on, dtype=int), predicted=np.array(predicted, dtype=int))
    shared = sorted(set(fitted_on) & set(predicted))
    assert ledger.frame.iloc[0].tolist() == ["fit", "m", 2, 1, len(fitted_on), len(predicted), len(shared)]
    if not shared:
        ledger.assert_leak_free()
        return
    rows = ", ".join(map(str, shared[:5])) + (", ..." if len(shared) > 5 else "")
    with pytest.raises(LeakError) as caught:
        ledger.assert_leak_free(trust=["fit", "m"])  # trust is for what came fitted
    assert str(caught.value) == f"fit of 'm' in fold 2 was fitted on {len(shared)} of the rows it predicted: {rows}"


@pytest.mark.parametrize("step", ["fit", "early stopping", "blend weights"])
def test_an_entry_planted_in_a_clean_ledger_is_found(step: str) -> None:
    oof = cross_fit([("spy", SpyClassifier())], X, CLASSES, cv=3, random_state=0)
    oof.ledger.assert_leak_free()
    oof.ledger.record(step, "spy", 1, fitted_on=np.array([4, 9, 11]), predicted=np.array([2, 9, 4]))
    with pytest.raises(LeakError, match=f"{step} of 'spy' in fold 1 was fitted on 2 of the rows it predicted: 4, 9$"):
        oof.ledger.assert_leak_free()


def test_the_unknown_has_no_count() -> None:
    ledger = Ledger()
    ledger.record("m__part", "m", 0, fitted_on=None, predicted=np.arange(4))
    assert ledger.frame.iloc[0].tolist() == ["m__part", "m", 0, 1, -1, 4, 4]
