"""One member on one fold: weights, groups and times handed through, classes made gapless, margins made possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from scipy.optimize import minimize
from scipy.special import logit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from hybridlearn._splits import folds
from hybridlearn.crossfit import FoldModel, MemberError, cross_fit, fit_model
from hybridlearn.crossfit._member import fit_params, takes_weights
from hybridlearn.table import TrainingRows
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

WEIGHT = np.random.default_rng(3).uniform(0.2, 3, 150)
GROUPS = np.arange(150) // 5


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps the weights that reach it."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Spy:
        self.classes_, self.weight_ = np.unique(y), sample_weight
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=int)


# weights


@pytest.mark.parametrize("pipe", [make_pipeline, imblearn.pipeline.make_pipeline], ids=["sklearn", "imblearn"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda pipe, spy: spy,
        lambda pipe, spy: pipe(StandardScaler(), spy),
        lambda pipe, spy: pipe(StandardScaler(), make_pipeline("passthrough", spy)),
    ],
    ids=["bare", "pipeline", "pipeline in a pipeline"],
)
@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_the_last_step(table, routing: bool, wrap: Any, pipe: Any) -> None:
    with config_context(enable_metadata_routing=routing):
        # with routing, a scaler must say that it wants none
        spy = Spy().set_fit_request(sample_weight=True) if routing else Spy()
        member = wrap(pipe, spy)
        if routing and hasattr(member, "steps"):
            member.steps[0][1].set_fit_request(sample_weight=False)
        oof = cross_fit([("m", member)], table.X, table.two, cv=3, sample_weight=WEIGHT, random_state=0)
    for k, model in enumerate(oof.models["m"]):
        last = model.estimator
        while hasattr(last, "steps"):
            last = last[-1]
        np.testing.assert_array_equal(last.weight_, WEIGHT[oof.fold != k])


def test_without_weights_none_are_handed_on(table) -> None:
    oof = cross_fit([("m", Spy())], table.X, table.two, cv=2)
    assert all(model.estimator.weight_ is None for model in oof.models["m"])


def test_members_that_take_no_weights_are_named_once(table) -> None:
    members = [
        ("linear", LogisticRegression()),
        ("neighbours", KNeighborsClassifier()),
        ("scaled_neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier())),
    ]
    with pytest.warns(UserWarning, match=r"\['neighbours', 'scaled_neighbours'\] take no sample_weight") as said:
        weighted = cross_fit(members, table.X, table.two, cv=3, sample_weight=WEIGHT, random_state=0)
    assert len(said) == 1
    plain = cross_fit(members, table.X, table.two, cv=3, random_state=0)
    np.testing.assert_array_equal(weighted.margins["neighbours"], plain.margins["neighbours"])
    assert np.abs(weighted.margins["linear"] - plain.margins["linear"]).max() > 0.01


def test_a_regressor_without_weights_is_named_too(table) -> None:
    with pytest.warns(UserWarning, match=r"\['neighbours'\] take no sample_weight"):
        cross_fit(
            [("neighbours", KNeighborsRegressor()), ("ridge", Ridge())],
            table.X,
            table.number,
            cv=2,
            sample_weight=WEIGHT,
        )


def test_with_routing_a_pipeline_that_asks_for_no_weights_is_named(table) -> None:
    with config_context(enable_metadata_routing=True):
        deaf = make_pipeline(StandardScaler(), LogisticRegression().set_fit_request(sample_weight=False))
        with pytest.warns(UserWarning, match=r"\['deaf'\] take no sample_weight"):
            cross_fit([("deaf", deaf)], table.X, table.two, cv=2, sample_weight=WEIGHT)


@pytest.mark.parametrize("make", [lambda: LinearSVC(), lambda: make_pipeline("passthrough", LinearSVC())])
@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_a_member_that_has_to_be_calibrated(table, routing: bool, make: Callable[[], Any]) -> None:
    """Bare or at the end of a pipeline, with routing or without: the same member, so the same margins."""

    def margins(member: Any) -> np.ndarray:
        return cross_fit([("m", member)], table.X, table.two, cv=2, sample_weight=WEIGHT, random_state=0).margins["m"]

    expected = margins(LinearSVC())
    with config_context(enable_metadata_routing=routing):
        if routing and isinstance(member := make(), Pipeline):
            member[-1].set_fit_request(sample_weight=True)
        else:
            member = make()
        np.testing.assert_allclose(margins(member), expected, rtol=1e-6)


RESAMPLED = imblearn.pipeline.make_pipeline(
    RandomOverSampler(random_state=0, shrinkage=0.1), BoostedTreesClassifier(n_estimators=5, random_state=0)
)


def test_groups_make_folds_for_a_pipeline_that_resamples(table) -> None:
    """The resampled rows have no groups: none may be handed to the last step."""
    rare = (table.number > 1).astype(int)
    grouped = cross_fit([("m", RESAMPLED)], table.X, rare, cv=3, groups=GROUPS, random_state=0)
    splits = [(np.flatnonzero(grouped.fold != k), np.flatnonzero(grouped.fold == k)) for k in range(3)]
    expected = cross_fit([("m", RESAMPLED)], table.X, rare, cv=splits, random_state=0)
    np.testing.assert_array_equal(grouped.margins["m"], expected.margins["m"])


def test_a_pipeline_that_resamples_takes_no_weights(table) -> None:
    """The resampled rows have no weights either."""
    rare = (table.number > 1).astype(int)
    member = imblearn.pipeline.make_pipeline(SMOTE(random_state=0), LogisticRegression())
    with pytest.warns(UserWarning, match=r"\['smote'\] take no sample_weight"):
        weighted = cross_fit([("smote", member)], table.X, rare, cv=3, sample_weight=WEIGHT, random_state=0)
    plain = cross_fit([("smote", member)], table.X, rare, cv=3, random_state=0)
    np.testing.assert_array_equal(weighted.margins["smote"], plain.margins["smote"])


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
@pytest.mark.parametrize("wrap", [lambda last: last, lambda last: make_pipeline(StandardScaler(), last)])
def test_groups_reach_the_inner_split(table, cls: type, wrap: Any) -> None:
    y = table.two if cls is BoostedTreesClassifier else table.number
    oof = cross_fit([("m", wrap(cls(n_estimators=3)))], table.X, y, cv=2, groups=GROUPS, random_state=0)
    for k, model in enumerate(oof.models["m"]):
        train = np.flatnonzero(oof.fold != k)
        last = model.estimator[-1] if hasattr(model.estimator, "steps") else model.estimator
        stopping = train[last.stopping_rows_]
        assert not set(GROUPS[stopping]) & set(GROUPS[np.setdiff1d(train, stopping)])


# time


class Clock(Spy):
    """Keeps the times that reach it too."""

    def fit(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None, time: np.ndarray | None = None
    ) -> Clock:
        self.time_ = time
        return super().fit(X, y, sample_weight)


TIME = np.random.default_rng(4).permutation(150) // 2


def timed(table, y: np.ndarray, time: np.ndarray = TIME) -> TrainingRows:
    return TrainingRows(table.X, y, WEIGHT, None, np.arange(150), 150, time)


def fit(estimator: Any, rows: TrainingRows, *, n_classes: int = 2, weighted: bool = True) -> FoldModel:
    return fit_model(estimator, rows, n_classes=n_classes, weighted=weighted, seed=0)


@pytest.mark.parametrize(
    "wrap", [lambda clock: clock, lambda clock: make_pipeline(StandardScaler(), make_pipeline("passthrough", clock))]
)
@pytest.mark.parametrize("routing", [False, True])
def test_ranks_in_time_reach_the_last_step(table, routing: bool, wrap: Any) -> None:
    with config_context(enable_metadata_routing=routing):
        clock = Clock().set_fit_request(sample_weight=True, time=True) if routing else Clock()
        member = wrap(clock)
        if routing and hasattr(member, "steps"):
            member.steps[0][1].set_fit_request(sample_weight=False)
        last = fit(member, timed(table, table.two)).estimator
    while hasattr(last, "steps"):
        last = last[-1]
    np.testing.assert_array_equal(last.time_, TIME)


@pytest.mark.parametrize("member", [Spy(), LogisticRegression(), RESAMPLED], ids=["spy", "sklearn", "resampled"])
def test_who_takes_no_time_gets_none(table, member: Any) -> None:
    assert "time" not in str(fit_params(member, timed(table, table.two), weighted=True).keys())


@pytest.mark.parametrize("cls", [BoostedTreesClassifier, BoostedTreesRegressor])
@pytest.mark.parametrize("wrap", [lambda last: last, lambda last: make_pipeline(StandardScaler(), last)])
def test_time_reaches_the_inner_split(table, cls: type, wrap: Any) -> None:
    is_classifier = cls is BoostedTreesClassifier
    rows = timed(table, table.two if is_classifier else table.number)
    model = fit(wrap(cls(n_estimators=3, random_state=0)), rows, n_classes=2 if is_classifier else 0)
    last = model.estimator[-1] if hasattr(model.estimator, "steps") else model.estimator
    assert np.delete(TIME, last.stopping_rows_).max() < TIME[last.stopping_rows_].min()


def test_a_request_of_none_is_heard_where_metadata_is_routed(table) -> None:
    rows = timed(table, table.two)
    with config_context(enable_metadata_routing=True):
        deaf = Clock().set_fit_request(sample_weight=False, time=False)
        assert fit_params(deaf, rows, weighted=True) == {}
        assert not takes_weights(deaf)
        assert takes_weights(Clock())
        assert list(fit_params(Clock().set_fit_request(time=False), rows, weighted=True)) == ["sample_weight"]
        for holder in (AdaBoostClassifier(LogisticRegression()), BaggingClassifier(LogisticRegression())):
            assert takes_weights(holder), "who holds others is asked as ever"
    assert list(fit_params(deaf, rows, weighted=True)) == ["sample_weight", "time"]


# classes


def test_members_see_gapless_codes_whatever_the_labels(table) -> None:
    labels = np.array([2, 5, 11])[table.three]
    # without class 11 (and then 2) in the training part
    splits = [
        (np.flatnonzero(table.three != 2), np.flatnonzero(table.three == 2)),
        (np.flatnonzero(table.three != 0), np.flatnonzero(table.three == 0)),
    ]
    oof = cross_fit([("m", Spy())], table.X, labels, cv=splits)
    assert [model.estimator.classes_.tolist() for model in oof.models["m"]] == [[0, 1], [0, 1]]
    assert [model.present.tolist() for model in oof.models["m"]] == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    "member",
    [LogisticRegression(C=0.01), GaussianNB(), BoostedTreesClassifier(n_estimators=3), LinearSVC(C=0.01)],
)
def test_an_absent_class_gets_the_floor(table, member: Any) -> None:
    """Of the classes that the training part holds the member decides; the absent one has 1 / (2 n_train)."""
    others, middle = np.flatnonzero(table.three != 1), np.flatnonzero(table.three == 1)
    train, rest = others[:60], others[60:]
    oof = cross_fit([("m", member)], table.X, table.three, cv=[(train, middle), (middle, rest)], random_state=0)
    margin = oof.margins["m"][middle]
    np.testing.assert_allclose(margin.sum(axis=1), 0, atol=1e-12)
    p = np.exp(margin) / np.exp(margin[:, [0, 2]]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p[:, 1], 1 / 120, rtol=1e-9)
    known = oof.models["m"][0].estimator.predict_proba(table.X[middle])
    np.testing.assert_allclose(p[:, [0, 2]], np.clip(known, 1 / 120, 119 / 120), rtol=1e-5)
    # the other training part holds one class only: there is nothing to fit
    alone = np.log([1 / (2 * len(middle)), 1, 1 / (2 * len(middle))])
    expected = np.broadcast_to(alone - alone.mean(), (len(rest), 3))
    np.testing.assert_allclose(oof.margins["m"][rest], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("present", [0, 1])
def test_one_of_two_classes_gets_the_floor(table, present: int) -> None:
    train, test = np.flatnonzero(table.two == present), np.flatnonzero(table.two != present)
    frame = pd.DataFrame(table.X, columns=list("abcd"))
    for member in (LogisticRegression(), BoostedTreesClassifier(n_estimators=3), LinearSVC()):
        oof = cross_fit([("m", member)], frame, table.two, cv=[(train, test), (test, train)])
        expected = np.log(2 * len(train)) * (1 if present else -1)
        np.testing.assert_allclose(oof.margins["m"][test], expected, rtol=1e-12)


def test_a_class_of_fewer_rows_than_folds_is_in_some_training_parts_only(table) -> None:
    y = table.two.copy()
    y[:3] = 2
    with pytest.warns(UserWarning, match=r"classes \[2\] have fewer rows than cv=5") as said:
        oof = cross_fit([("bayes", LogisticRegression())], table.X, y, cv=5, random_state=0)
    assert len(said) == 1
    assert sorted(oof.fold[:3].tolist()) == sorted(set(oof.fold[:3]))
    assert oof.coverage == 1.0
    assert np.isfinite(oof.margins["bayes"]).all()


# calibration of members that give no probabilities


@pytest.mark.parametrize(
    "member",
    [
        LinearSVC(),
        SGDClassifier(loss="hinge", random_state=0),
        make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
    ],
)
def test_a_decision_is_calibrated_by_a_rising_line(table, member: Any) -> None:
    oof = cross_fit([("m", member)], table.X, table.two, cv=2, random_state=0)
    for k, model in enumerate(oof.models["m"]):
        decision = model.estimator.decider.decision_function(table.X[oof.fold == k])
        slope, intercept = np.polyfit(decision, oof.margins["m"][oof.fold == k, 0], 1)
        assert slope > 0
        line = intercept + slope * decision
        np.testing.assert_allclose(oof.margins["m"][oof.fold == k, 0], line, rtol=0, atol=1e-6)
    # log-odds, and about right
    loss = np.logaddexp(0, np.where(table.two, -1, 1) * oof.margins["m"][:, 0]).mean()
    assert loss < 0.6


def test_a_decision_of_three_classes_gives_centred_margins(table) -> None:
    oof = cross_fit([("m", LinearSVC(random_state=0))], table.X, table.three, cv=2, random_state=0)
    np.testing.assert_allclose(oof.margins["m"].sum(axis=1), 0, atol=1e-9)
    assert np.mean(oof.margins["m"].argmax(axis=1) == table.three) > 0.5


@pytest.mark.parametrize("n_rare", [2, 3, 6])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_decision_is_calibrated_though_a_class_is_rare(table, n_classes: int, n_rare: int) -> None:
    """Fewer rows than inner folds, or than the five of `CalibratedClassifierCV`, are no reason to fail."""
    y = table.two.copy() if n_classes == 3 else np.zeros(150, dtype=int)
    y[:n_rare] = n_classes - 1
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        oof = cross_fit([("m", LinearSVC(random_state=0))], table.X, y, cv=5, random_state=0)
    assert ["have fewer rows than cv=5" in str(warning.message) for warning in said] == [True] * (n_rare < 5)
    assert np.isfinite(oof.margins["m"]).all()
    assert oof.coverage == 1.0


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows the rows it was fitted on by heart and guesses at all others, as sure of itself."""

    fits: ClassVar[list[np.ndarray]] = []

    def fit(self, X: np.ndarray, y: np.ndarray) -> Memoriser:
        self.classes_ = np.unique(y)
        self.known_ = dict(zip(X[:, 0], 2 * y - 1, strict=True))
        self.fits.append(X[:, 0])
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return np.array([self.known_.get(row[0], np.sign(row[1])) for row in X], dtype=float)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return (self.decision_function(X) > 0).astype(int)


def test_the_calibrator_sees_only_rows_that_the_decision_has_not_seen(table) -> None:
    """Calibrated on the rows that it knows, the memoriser would be sure; on inner folds it is found out."""
    guess = np.random.default_rng(0).normal(size=150)
    X = np.column_stack([np.arange(150), guess])
    oof = cross_fit([("m", Memoriser())], X, table.two, cv=2, random_state=0)
    assert np.abs(oof.margins["m"]).max() < logit(0.75)


def test_inner_folds_keep_groups_together(table) -> None:
    X = np.column_stack([np.arange(150), table.X[:, 0]])
    Memoriser.fits.clear()
    oof = cross_fit([("m", Memoriser())], X, table.two, cv=2, groups=GROUPS, random_state=0)
    outer = [set(np.flatnonzero(oof.fold != k)) for k in range(2)]
    inner = [set(rows.astype(int)) for rows in Memoriser.fits if set(rows.astype(int)) not in outer]
    assert len(inner) == 6
    for rows in inner:
        (whole,) = (train for train in outer if rows < train)
        assert not set(GROUPS[list(rows)]) & set(GROUPS[list(whole - rows)])


def recorded(table, y: np.ndarray, time: np.ndarray) -> tuple[list[np.ndarray], Any]:
    """Rows of each inner fit, and the fitted model."""
    Memoriser.fits.clear()
    guess = np.random.default_rng(0).normal(size=150)
    rows = replace(timed(table, y, time), X=np.column_stack([np.arange(150), guess]))
    model = fit(Memoriser(), rows, weighted=False)
    *inner, everything = [np.sort(rows.astype(int)) for rows in Memoriser.fits]
    np.testing.assert_array_equal(everything, np.arange(150))
    return inner, model


def test_inner_folds_follow_time(table) -> None:
    inner, model = recorded(table, table.two, TIME)
    assert [len(rows) for rows in inner] == pytest.approx([37.5, 75, 112.5], abs=1)
    for rows in inner:
        assert TIME[rows].max() < np.delete(TIME, rows).min()
    # it knows by heart what it was fitted on, so it is found out only if it was asked about later rows
    assert np.abs(model.margin(np.column_stack([np.arange(150), np.zeros(150)]))).max() < logit(0.75)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sigmoid_is_that_of_the_rows_that_have_a_fold(table, weighted: bool) -> None:
    model = fit(LinearSVC(random_state=0), timed(table, table.two), weighted=weighted).estimator
    decisions, rows = [], []
    for train, test in folds(None, None, n_rows=150, n_splits=3, seed=0, time=TIME):
        weight = WEIGHT[train] if weighted else None
        inner = LinearSVC(random_state=0).fit(table.X[train], table.two[train], sample_weight=weight)
        decisions.append(inner.decision_function(table.X[test]))
        rows.append(test)
    decision, y = np.concatenate(decisions), table.two[np.concatenate(rows)]
    weight = WEIGHT[np.concatenate(rows)] if weighted else np.ones(len(y))
    n = np.array([weight[y == 0].sum(), weight[y == 1].sum()])
    platt = np.where(y == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))

    def loss(line: np.ndarray) -> float:
        margin = line[0] * decision + line[1]
        return weight @ (np.logaddexp(0, margin) - platt * margin)

    by_hand = minimize(loss, [1.0, 0.0], tol=1e-10).x
    slope, intercept = np.polyfit(
        model.decider.decision_function(table.X), logit(model.predict_proba(table.X)[:, 1]), 1
    )
    np.testing.assert_allclose([slope, intercept], by_hand, rtol=1e-3)


def test_inner_folds_begin_when_all_classes_have_come(table) -> None:
    time = np.arange(150)
    y = np.where(time < 90, 0, table.two)
    y[90] = 1
    inner, model = recorded(table, y, time)
    assert [len(rows) for rows in inner] == [91, 92, 112]
    assert np.isfinite(model.margin(np.zeros((2, 2)))).all()
    three = np.where(time < 140, table.two, 2)
    late = fit(LinearSVC(random_state=0), timed(table, three, time), n_classes=3)
    assert np.isfinite(late.margin(table.X)).all()


def test_a_class_that_comes_and_goes_early_keeps_its_sigmoid(table) -> None:
    y = np.where(np.arange(150) < 30, table.three, table.two)
    model = fit(LinearSVC(random_state=0), timed(table, y, np.arange(150)), n_classes=3)
    margin = model.margin(table.X)
    assert margin.shape == (150, 3)
    assert margin[30:, 2].mean() < min(margin[30:, 0].mean(), margin[30:, 1].mean())


def test_a_decision_that_no_later_row_can_calibrate_is_an_error(table) -> None:
    y = np.zeros(150, dtype=int)
    y[149] = 1
    for time in (np.arange(150), np.zeros(150, dtype=int)):
        with pytest.raises(ValueError, match="no row is later than the first of each class; leave it out"):
            fit(LinearSVC(), timed(table, y, time))


class OnlyPredicts(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> OnlyPredicts:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=int)


def test_a_classifier_without_any_decision_is_an_error_that_names_it(table) -> None:
    with pytest.raises(MemberError, match="member 'mute' failed"):
        cross_fit([("mute", OnlyPredicts())], table.X, table.two, cv=2)
