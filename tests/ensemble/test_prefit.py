"""Members that come fitted: margins of a holdout, and the proof, where there is one, that they never saw it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridlearn.crossfit import LeakError, margin
from hybridlearn.ensemble import (
    HybridBaggingClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    HybridStackingRegressor,
)
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

TRAIN, HOLD, NEW = np.arange(100), np.arange(100, 160), np.arange(160, 400)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3)).round(3)
NUMBER = X[:, 0] - X[:, 1] + RNG.normal(size=400)
TWO = np.where(NUMBER > 0, "yes", "no")
THREE = np.digitize(NUMBER, [-0.8, 0.8])
TARGETS = {"two": TWO, "three": THREE, "number": NUMBER}
FRAME = pd.DataFrame(X, columns=list("abc")).assign(town=RNG.choice(["Ulm", "Rom", "Bonn"], 400))


def trees(task: str = "two") -> Any:
    kind = BoostedTreesRegressor if task == "number" else BoostedTreesClassifier
    return kind(n_estimators=5, learning_rate=0.3, early_stopping=False, random_state=0)


def fitted_members(task: str = "two") -> list[tuple[str, Any]]:
    stranger = Ridge() if task == "number" else LogisticRegression()
    y = TARGETS[task]
    return [("ours", trees(task).fit(X[TRAIN], y[TRAIN])), ("stranger", stranger.fit(X[TRAIN], y[TRAIN]))]


def stack_of(members: list[tuple[str, Any]], task: str = "two", **settings: Any) -> Any:
    cls = HybridStackingRegressor if task == "number" else HybridStackingClassifier
    return cls(**{"estimators": members, "cv": "prefit", "random_state": 0} | settings)


# what they say


@pytest.mark.parametrize("task", TARGETS)
def test_margins_are_those_of_the_fitted_members(task: str) -> None:
    members = fitted_members(task)
    answers = {name: margin(member, X, floor=1 / (2 * n)) for (name, member), n in zip(members, (100, 60), strict=True)}
    stack = stack_of(members, task).fit(X[HOLD], TARGETS[task][HOLD])
    for name, answer in answers.items():
        np.testing.assert_array_equal(stack.oof_.margins[name], answer[HOLD])
        np.testing.assert_array_equal(stack.member_margins(X[NEW])[name], answer[NEW])
    assert stack.estimators_ == [[member] for _, member in members]
    total = stack.intercept_ + sum(stack.weights_[name] * answers[name][NEW] for name in answers)
    np.testing.assert_allclose(stack.margin(X[NEW]), total / stack.temperature_, rtol=0, atol=1e-12)
    assert stack.score(X[NEW], TARGETS[task][NEW]) > (0.4 if task == "number" else 0.55)
    assert stack.leaderboard_["fit_seconds"].eq(0).all()


def test_weights_and_temperature_are_judged_by_parts_of_the_holdout() -> None:
    stack = stack_of(fitted_members(), final_estimator=LogisticRegression()).fit(X[HOLD], TWO[HOLD])
    seen = np.hstack([stack.oof_.margins[name] for name in ("ours", "stranger")])
    assert sorted(set(stack.oof_.fold)) == [1, 2, 3, 4, 5]
    for k in range(1, 6):
        own, others = stack.oof_.fold == k, stack.oof_.fold != k
        by_hand = LogisticRegression().fit(seen[others], TWO[HOLD][others])
        honest = stack.oof_.margins["blend"][own] * stack.judge(k).temperature
        expected = margin(by_hand, seen[own], floor=1 / (2 * others.sum()))
        np.testing.assert_allclose(honest, expected, rtol=0, atol=1e-12)
    assert np.bincount(stack.oof_.fold)[1:].tolist() == [12] * 5


@pytest.mark.parametrize("n_groups", [2, 3, 30])
def test_parts_keep_groups_together_even_where_there_are_few(n_groups: int) -> None:
    groups = np.arange(60) * n_groups // 60
    stack = stack_of(fitted_members()).fit(X[HOLD], TWO[HOLD], groups=groups)
    assert stack.oof_.coverage == 1
    blend = [e for e in stack.ledger_.entries if e.step == "blend weights"]
    assert len(blend) == min(5, n_groups)
    assert not any(set(groups[e.fitted_on]) & set(groups[e.predicted]) for e in blend)


@pytest.mark.parametrize("n_times", [2, 3, 30])
def test_parts_follow_time_even_where_there_is_little(n_times: int) -> None:
    time = np.arange(60) * n_times // 60
    stack = stack_of(fitted_members()).fit(X[HOLD], TWO[HOLD], time=time)
    assert stack.oof_.coverage == 1
    first, *later = (e for e in stack.ledger_.entries if e.step == "blend weights")
    assert len(later) == min(5, n_times - 1)
    assert not len(first.fitted_on)
    assert all(time[e.fitted_on].max() < time[e.predicted].min() for e in later)


def test_one_group_or_time_cannot_be_parted() -> None:
    for kind in ("groups", "time"):
        with pytest.raises(ValueError, match=f"{kind} cannot be split: 1 distinct"):
            stack_of(fitted_members()).fit(X[HOLD], TWO[HOLD], **{kind: np.zeros(60)})


def test_weights_of_the_holdout_weigh_the_blend() -> None:
    """Rows of great weight speak the language of one member."""
    flipped = LogisticRegression().fit(X[TRAIN], np.where(TWO[TRAIN] == "yes", "no", "yes"))
    members = [("plain", LogisticRegression().fit(X[TRAIN], TWO[TRAIN])), ("flipped", flipped)]
    y = np.where(HOLD < 130, TWO[HOLD], np.where(TWO[HOLD] == "yes", "no", "yes"))
    for is_heavy, name in [(HOLD < 130, "plain"), (HOLD >= 130, "flipped")]:
        weight = np.where(is_heavy, 9.0, 1.0)
        stack = stack_of(members, final_estimator="nonnegative").fit(X[HOLD], y, sample_weight=weight)
        assert stack.weights_.idxmax() == name


def test_intervals_of_one_member_are_those_of_split_conformal() -> None:
    members = fitted_members("number")[1:]
    stack = stack_of(members, "number", final_estimator="mean").fit(X[HOLD], NUMBER[HOLD])
    residuals = np.sort(np.abs(NUMBER[HOLD] - members[0][1].predict(X[HOLD])))
    half = residuals[int(np.ceil(0.8 * 61)) - 1]
    told = members[0][1].predict(X[NEW])
    np.testing.assert_allclose(stack.predict_interval(X[NEW], alpha=0.2), np.column_stack([told - half, told + half]))
    inside = np.abs(NUMBER[NEW] - told) <= half
    assert 0.7 < inside.mean() < 0.95


@pytest.mark.parametrize("task", ["two", "three"])
def test_sets_hold_most_labels(task: str) -> None:
    stack = stack_of(fitted_members(task), task).fit(X[HOLD], TARGETS[task][HOLD])
    sets = stack.predict_set(X[NEW], alpha=0.2)
    codes = np.searchsorted(stack.classes_, TARGETS[task][NEW])
    assert 0.7 < sets[np.arange(len(NEW)), codes].mean() < 1
    assert not sets.all(axis=1).all()


def test_in_order_of_time_there_are_no_sets() -> None:
    stack = stack_of(fitted_members()).fit(X[HOLD], TWO[HOLD], time=np.arange(60))
    with pytest.raises(ValueError, match="folds that go forward in time give no intervals and no sets"):
        stack.predict_set(X[NEW])


# what they have seen


def hybrid() -> HybridClassifier:
    return HybridClassifier(estimators=[("bayes", GaussianNB())], cv=2, random_state=0)


def bagging() -> HybridBaggingClassifier:
    return HybridBaggingClassifier(estimator=GaussianNB(), n_estimators=2, random_state=0)


@pytest.mark.parametrize("make", [trees, hybrid, bagging])
def test_a_member_of_ours_that_was_trained_on_rows_of_the_holdout_is_refused(make: Any) -> None:
    rows = np.append(TRAIN, [103, 150])
    members = [*fitted_members(), ("greedy", make().fit(X[rows], TWO[rows]))]
    message = r"member 'greedy' was trained on 2 of the rows .* at positions 3, 50; drop them"
    with pytest.raises(ValueError, match=message):
        stack_of(members).fit(X[HOLD], TWO[HOLD])
    rest = np.setdiff1d(HOLD, rows)
    stack_of(members[2:]).fit(X[rest], TWO[rest]).ledger_.assert_leak_free()


def test_rows_are_known_by_number_and_target() -> None:
    frozen = trees("number").fit(X[:101], NUMBER[:101])
    stack = stack_of([("ours", frozen)], "number")
    with pytest.raises(ValueError, match=r"trained on 1 of the rows .* at positions 0;"):
        stack.fit(X[HOLD], NUMBER[HOLD])
    # the same numbers with another answer are another row
    stack.fit(X[HOLD], NUMBER[HOLD] + 1)


def test_rows_of_weight_zero_are_no_part_of_the_holdout() -> None:
    member = trees().fit(X[:103], TWO[:103])
    weight = np.where(np.arange(60) < 2, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"trained on 1 of the rows .* at positions 2;"):
        stack_of([("ours", member)]).fit(X[HOLD], TWO[HOLD], sample_weight=weight)
    weight[2] = 0
    stack = stack_of([("ours", member)]).fit(X[HOLD], TWO[HOLD], sample_weight=weight)
    assert stack.oof_.positions.tolist() == list(range(3, 60))


def as_objects(frame: pd.DataFrame) -> np.ndarray:
    return frame.to_numpy(dtype=object)


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(town=frame["town"].astype("category"))


def as_nullable(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.convert_dtypes()


CONTAINERS = [pd.DataFrame.copy, as_objects, as_categories, as_nullable]


@pytest.mark.parametrize("trained_as", CONTAINERS)
@pytest.mark.parametrize("held_as", CONTAINERS)
def test_another_container_hides_no_row(trained_as: Any, held_as: Any) -> None:
    member = trees().fit(trained_as(FRAME[:110]), TWO[:110])
    with pytest.raises(ValueError, match="member 'ours' was trained on 10 of the rows"):
        stack_of([("ours", member)]).fit(held_as(FRAME.iloc[HOLD]), pd.Series(TWO[HOLD], dtype="category"))


@pytest.mark.parametrize("dtype", [bool, int, float, "Int64", "boolean"])
def test_another_type_of_label_hides_no_row(dtype: Any) -> None:
    y = pd.Series(NUMBER > 0)
    member = trees().fit(X[:110], y[:110].astype(int))
    with pytest.raises(ValueError, match="member 'ours' was trained on 10 of the rows"):
        stack_of([("ours", member)]).fit(X[HOLD], y[HOLD].astype(dtype))


# what is taken on trust


def stranger(rows: np.ndarray) -> Any:
    return LogisticRegression().fit(X[rows], TWO[rows])


def pipeline(rows: np.ndarray) -> Any:
    """Ours at the end of a pipeline, but who knows what the pipeline has seen."""
    return make_pipeline(FunctionTransformer(), trees()).fit(X[rows], TWO[rows])


@pytest.mark.parametrize("make", [stranger, pipeline])
def test_strangers_are_taken_on_trust_and_the_ledger_says_so(make: Any) -> None:
    everything = np.arange(160)
    stack = stack_of([("ours", fitted_members()[0][1]), ("unknown", make(everything))]).fit(X[HOLD], TWO[HOLD])
    with pytest.raises(LeakError, match=r"^unknown of 'unknown' in fold 0 came fitted .*trust=\['unknown'\]"):
        stack.ledger_.assert_leak_free()
    with pytest.raises(LeakError):
        stack.ledger_.assert_leak_free(trust=["ours"])
    stack.ledger_.assert_leak_free(trust=["unknown"])


# what cannot be


def test_other_classes_are_refused() -> None:
    members = [("two", LogisticRegression().fit(X[TRAIN], THREE[TRAIN] > 1)), *fitted_members("three")]
    with pytest.raises(
        ValueError, match=r"member 'two' knows the classes \[False, True\], the holdout has \[0, 1, 2\]"
    ):
        stack_of(members).fit(X[HOLD], THREE[HOLD])
    some = HOLD[THREE[HOLD] != 2]
    with pytest.raises(ValueError, match=r"member 'ours' knows the classes \[0, 1, 2\], the holdout has \[0, 1\]"):
        stack_of(members[1:]).fit(X[some], THREE[some])


def test_an_unfitted_member_is_refused() -> None:
    with pytest.raises(NotFittedError, match="LogisticRegression"):
        stack_of([("lazy", LogisticRegression())]).fit(X[HOLD], TWO[HOLD])
    with pytest.raises(NotFittedError):
        stack_of([("lazy", trees())]).fit(X[HOLD], TWO[HOLD])


def test_a_clone_keeps_what_is_frozen_and_forgets_the_rest() -> None:
    stack = stack_of(fitted_members()).fit(X[HOLD], TWO[HOLD])
    with pytest.raises(NotFittedError):
        clone(stack).fit(X[HOLD], TWO[HOLD])
    frozen = [(name, FrozenEstimator(member)) for name, member in fitted_members()]
    copy = clone(stack_of(frozen)).fit(X[HOLD], TWO[HOLD])
    np.testing.assert_array_equal(copy.margin(X[NEW]), stack.margin(X[NEW]))
    assert copy.estimators_[0][0].estimator is frozen[0][1].estimator
    with pytest.raises(ValueError, match="member 'ours' was trained on 20 of the rows"):
        clone(copy).fit(X[80:160], TWO[80:160])


def test_frozen_members_are_searched_over() -> None:
    frozen = [(name, FrozenEstimator(member)) for name, member in fitted_members()]
    search = GridSearchCV(stack_of(frozen), {"final_estimator": ["mean", "nonnegative"]}, cv=2)
    search.fit(X[HOLD], TWO[HOLD])
    assert search.score(X[NEW], TWO[NEW]) > 0.6


def test_plain_hybrids_take_no_fitted_members() -> None:
    with pytest.raises(ValueError, match="cv='prefit' must be an int, a splitter or a list"):
        HybridClassifier(estimators=fitted_members(), cv="prefit").fit(X[HOLD], TWO[HOLD])
