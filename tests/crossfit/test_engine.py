"""Cross-fitting: the same numbers as scikit-learn's own, on the folds that were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from scipy import sparse
from sklearn.base import clone, is_regressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from hybridlearn.crossfit import MemberError, OutOfFold, cross_fit
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

TREES = {"n_estimators": 10, "learning_rate": 0.3, "random_state": 0}
NET = {"hidden_layer_sizes": (8,), "max_epochs": 4, "learning_rate": 0.02, "random_state": 0}

# read from predict_proba
STRANGERS = {
    "logistic": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
    "bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(5),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": RandomForestClassifier(7, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "smote": imblearn.pipeline.make_pipeline(SMOTE(random_state=0), GaussianNB()),
}
# read natively, by decision_function
OURS = {
    "trees": BoostedTreesClassifier(**TREES),
    "scaled_trees": make_pipeline(StandardScaler(), BoostedTreesClassifier(**TREES)),
    "mlp": TabularMLPClassifier(**NET),
}
REGRESSORS = {
    "ridge": Ridge(),
    "neighbours": KNeighborsRegressor(5),
    "forest": RandomForestRegressor(5, random_state=0),
    "scaled": make_pipeline(StandardScaler(), Ridge(10)),
    "trees": BoostedTreesRegressor(**TREES),
    "mlp": TabularMLPRegressor(**NET),
}


def folds_of(oof: OutOfFold) -> PredefinedSplit:
    return PredefinedSplit(oof.fold)


def margins_of_probabilities(p: np.ndarray, oof: OutOfFold) -> np.ndarray:
    """Log-odds, or centred log-probabilities, clipped at 1 / (2 n_train) of the row's fold."""
    n_train = len(oof.fold) - np.bincount(oof.fold)[oof.fold]
    floor = 1 / (2 * n_train)[:, None]
    p = np.clip(p, floor, 1 - floor)
    if p.shape[1] == 2:
        return np.log(p[:, 1:] / (1 - p[:, 1:]))
    return np.log(p) - np.log(p).mean(axis=1, keepdims=True)


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("cv", [4, StratifiedKFold(3)], ids=["int", "splitter"])
def test_classifiers_agree_with_cross_val_predict(table, target: str, cv: Any) -> None:
    y = getattr(table, target)
    oof = cross_fit(list((STRANGERS | OURS).items()), table.X, y, cv=cv, random_state=0)
    n_clipped = 0
    for name, member in STRANGERS.items():
        p = cross_val_predict(clone(member), table.X, y, cv=folds_of(oof), method="predict_proba")
        expected = margins_of_probabilities(p, oof)
        n_clipped += (p == 0).sum()
        np.testing.assert_allclose(oof.margins[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)
    for name, member in OURS.items():
        expected = cross_val_predict(clone(member), table.X, y, cv=folds_of(oof), method="decision_function")
        # nets are fitted together: the same up to float32
        atol = 1e-4 if name == "mlp" else 1e-9
        np.testing.assert_allclose(oof.margins[name], expected.reshape(150, -1), rtol=0, atol=atol, err_msg=name)
    assert n_clipped > 20


def test_regressors_agree_with_cross_val_predict(table) -> None:
    oof = cross_fit(list(REGRESSORS.items()), table.X, table.number, cv=3, random_state=0)
    for name, member in REGRESSORS.items():
        expected = cross_val_predict(clone(member), table.X, table.number, cv=folds_of(oof))
        rtol = 1e-4 if name == "mlp" else 0
        np.testing.assert_allclose(oof.margins[name], expected[:, None], rtol=rtol, err_msg=name)


def test_frames_with_text_reach_the_members_as_they_are(table) -> None:
    X = pd.DataFrame(table.X, columns=list("abcd")).assign(e=np.where(table.X[:, 2] > 0, "plus", "minus"))
    member = BoostedTreesClassifier(**TREES)
    oof = cross_fit([("trees", member)], X, table.two, cv=3, random_state=0)
    expected = cross_val_predict(member, X, table.two, cv=folds_of(oof), method="decision_function")
    np.testing.assert_array_equal(oof.margins["trees"][:, 0], expected)


def test_a_strangers_booster_with_text_labels(table) -> None:
    labels = np.array(["maybe", "no", "yes"])[table.three]
    member = XGBClassifier(n_estimators=5, max_depth=2)
    oof = cross_fit([("xgb", member)], table.X, labels, cv=3, random_state=0)
    # by itself it takes codes only
    p = cross_val_predict(member, table.X, table.three, cv=folds_of(oof), method="predict_proba")
    np.testing.assert_allclose(oof.margins["xgb"], margins_of_probabilities(p, oof), rtol=0, atol=1e-5)
    assert oof.classes.tolist() == ["maybe", "no", "yes"]


def test_sparse_tables_go_to_members_that_take_them(table) -> None:
    X = (np.abs(table.X) > 1).astype(float)
    members = [("linear", LogisticRegression()), ("bayes", MultinomialNB())]
    dense = cross_fit(members, X, table.two, cv=3, random_state=0)
    for kind in (sparse.csr_matrix, sparse.csc_array):
        oof = cross_fit(members, kind(X), table.two, cv=3, random_state=0)
        for name in dense.members:
            np.testing.assert_allclose(oof.margins[name], dense.margins[name], atol=1e-9)
    with pytest.raises(MemberError, match=r"member 'trees' failed: TypeError: .*sparse.*toarray"):
        cross_fit([*members, ("trees", BoostedTreesClassifier(**TREES))], sparse.csr_matrix(X), table.two, cv=3)


# folds


def test_an_int_gives_stratified_folds_in_classification(table) -> None:
    rare = (np.arange(150) % 10 == 0).astype(int)
    oof = cross_fit([("bayes", GaussianNB())], table.X, rare, cv=5, random_state=0)
    assert [np.bincount(rare[oof.fold == k]).tolist() for k in range(5)] == [[27, 3]] * 5


@pytest.mark.parametrize("number", [int, np.int32, np.int64])
def test_any_integer_is_a_number_of_folds(table, number: type) -> None:
    oof = cross_fit([("ridge", Ridge())], table.X, table.number, cv=number(3), random_state=0)
    assert np.bincount(oof.fold).tolist() == [50, 50, 50]


@pytest.mark.parametrize("classification", [True, False])
def test_one_fold_is_none(table, classification: bool) -> None:
    member, y = (GaussianNB(), table.two) if classification else (Ridge(), table.number)
    with pytest.raises(ValueError, match=r"n_splits=2|cv=1|cv must"):
        cross_fit([("m", member)], table.X, y, cv=1)


def test_folds_of_the_user_are_kept(table) -> None:
    fold = np.arange(150) % 4
    given: list[Any] = [
        PredefinedSplit(fold),
        [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)],
    ]
    for cv in given:
        oof = cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=cv)
        np.testing.assert_array_equal(oof.fold, fold)
    by_generator = cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=iter(given[1]))
    np.testing.assert_array_equal(by_generator.fold, fold)


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "PredefinedSplit"])
def test_folds_of_the_user_count_rows_of_weight_zero(table, as_list: bool) -> None:
    """Positions are those in what was handed over, though rows of weight zero are dropped."""
    fold = np.arange(150) % 3
    weight = (np.arange(150) % 5 > 0).astype(float)
    cv: Any = PredefinedSplit(fold)
    if as_list:
        cv = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    oof = cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=cv, sample_weight=weight)
    np.testing.assert_array_equal(oof.positions, np.flatnonzero(weight))
    np.testing.assert_array_equal(oof.fold, fold[oof.positions])
    for k in range(3):
        train, test = (weight > 0) & (fold != k), (weight > 0) & (fold == k)
        by_hand = GaussianNB().fit(table.X[train], table.two[train]).predict_proba(table.X[test])[:, 1]
        np.testing.assert_allclose(1 / (1 + np.exp(-oof.margins["bayes"][oof.fold == k, 0])), by_hand, rtol=1e-6)


def test_weight_zero_is_absence(table) -> None:
    weight = np.random.default_rng(0).integers(0, 3, 150).astype(float)
    kept = weight > 0
    members = [("trees", BoostedTreesClassifier(n_estimators=5)), ("linear", LogisticRegression())]
    weighted = cross_fit(members, table.X, table.two, cv=3, sample_weight=weight, random_state=0)
    absent = cross_fit(members, table.X[kept], table.two[kept], cv=3, sample_weight=weight[kept], random_state=0)
    np.testing.assert_array_equal(weighted.positions, np.flatnonzero(kept))
    np.testing.assert_array_equal(weighted.fold, absent.fold)
    for name in weighted.members:
        np.testing.assert_array_equal(weighted.margins[name], absent.margins[name])


@pytest.mark.parametrize("cv", [3, StratifiedGroupKFold(3), LeaveOneGroupOut()])
def test_groups_never_cross(table, cv: Any) -> None:
    groups = np.array([f"group {i}" for i in np.random.default_rng(0).integers(8, size=150)])
    oof = cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=cv, groups=groups, random_state=0)
    assert all(len(set(oof.fold[groups == group])) == 1 for group in set(groups))
    assert oof.coverage == 1.0


def test_too_few_groups_are_named(table) -> None:
    with pytest.raises(ValueError, match="groups cannot be split: 3 distinct for cv=5 folds; lower cv"):
        cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=5, groups=np.arange(150) % 3)


def test_time_order_leaves_the_first_rows_uncovered(table) -> None:
    oof = cross_fit([("ridge", Ridge())], table.X, table.number, cv=TimeSeriesSplit(2))
    assert oof.coverage == pytest.approx(2 / 3)
    assert np.isnan(oof.margins["ridge"][:50]).all()
    by_hand = Ridge().fit(table.X[:100], table.number[:100]).predict(table.X[100:])
    np.testing.assert_array_equal(oof.margins["ridge"][100:, 0], by_hand)


HALF, REST = np.arange(75), np.arange(75, 150)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (RepeatedKFold(n_splits=2, n_repeats=2), "a row into two test parts"),
        (ShuffleSplit(4, test_size=0.5, random_state=0), "a row into two test parts"),
        ([(HALF, REST), (REST, REST)], "train and test parts share rows"),
        ([(HALF, REST), (REST, HALF[:0])], "an empty part"),
        ([], "no split"),
        ([(HALF, REST), (REST, np.array([3, 150]))], r"150|out of bounds|position"),
        ([(HALF, REST), (REST, np.array([3, -1]))], r"-1|negative|position"),
    ],
)
def test_folds_that_cannot_be_used_are_refused(table, cv: Any, message: str) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=cv)


# members that cannot be

FAILING = make_pipeline(FunctionTransformer(np.linalg.inv), LogisticRegression())


def test_a_failing_member_is_named(table) -> None:
    with pytest.raises(MemberError, match="member 'bad' failed: LinAlgError: ") as caught:
        cross_fit([("good", GaussianNB()), ("bad", FAILING)], table.X, table.two, cv=3)
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)


def test_a_failing_member_can_be_skipped(table) -> None:
    with pytest.warns(UserWarning, match="member 'bad' failed: LinAlgError: .*left out") as said:
        oof = cross_fit(
            [("good", GaussianNB()), ("bad", FAILING)], table.X, table.two, cv=3, on_error="skip", random_state=0
        )
    alone = cross_fit([("good", GaussianNB())], table.X, table.two, cv=3, random_state=0)
    assert len(said) == 1
    assert oof.members == list(oof.margins) == list(oof.fit_seconds) == ["good"]
    assert list(oof.failed) == ["bad"]
    assert {entry.member for entry in oof.ledger.entries} == {"good"}
    np.testing.assert_array_equal(oof.margins["good"], alone.margins["good"])


def test_a_member_that_fails_in_one_fold_is_skipped_in_all(table) -> None:
    picky = make_pipeline(FunctionTransformer(_refuses_row_zero), GaussianNB())
    with pytest.warns(UserWarning, match="member 'picky' failed: ValueError: here is row zero"):
        oof = cross_fit([("good", GaussianNB()), ("picky", picky)], table.X, table.two, cv=KFold(3), on_error="skip")
    assert oof.members == ["good"]


def _refuses_row_zero(X: np.ndarray) -> np.ndarray:
    # only the first fold predicts it, the others train on it
    if len(X) > 75 and (X[0] == np.random.default_rng(0).normal(size=4)).all():
        raise ValueError("here is row zero")
    return X


def test_when_every_member_fails_there_is_nothing_to_skip_to(table) -> None:
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(MemberError, match="every member failed: member 'bad' failed: LinAlgError"),
    ):
        cross_fit([("bad", FAILING)], table.X, table.two, cv=2, on_error="skip")


def test_an_unknown_way_to_treat_errors_is_refused(table) -> None:
    with pytest.raises(ValueError, match="on_error"):
        cross_fit([("good", GaussianNB())], table.X, table.two, cv=2, on_error="ignore")


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ([], ValueError, "estimators is empty"),
        ([("a", GaussianNB()), ("a", LogisticRegression())], ValueError, r"unique.*\['a'\]"),
        ([("blend", GaussianNB())], ValueError, r"not 'blend'.*got \['blend'\]"),
        ([("a__b", GaussianNB())], ValueError, r"without '__'.*got \['a__b'\]"),
        ([("a", GaussianNB()), ("b", Ridge())], TypeError, r"member 'b' \(Ridge\) is not a classifier"),
        ([("a", Ridge()), ("b", GaussianNB())], TypeError, r"member 'b' \(GaussianNB\) is not a regressor"),
        ([("a", GaussianNB()), ("b", "drop")], TypeError, "member 'b' is 'drop', not a scikit-learn estimator"),
        ([("a", "drop")], TypeError, "member 'a' is 'drop', not a scikit-learn estimator"),
        ([("a", GaussianNB)], TypeError, "member 'a' is .*not a scikit-learn estimator"),
        ([("a", StandardScaler())], TypeError, r"member 'a' \(StandardScaler\) is not a regressor"),
    ],
)
def test_members_that_cannot_be_blended_are_refused(table, members: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cross_fit(members, table.X, table.two)


# seeds


def test_members_are_cloned_and_left_alone(table) -> None:
    member = BoostedTreesClassifier(**TREES | {"random_state": None})
    cross_fit([("trees", member)], table.X, table.two, cv=2, random_state=0)
    assert member.random_state is None
    assert not hasattr(member, "booster_")


def test_one_seed_decides_folds_and_members(table) -> None:
    members = [("forest", RandomForestClassifier(5)), ("trees", BoostedTreesClassifier(n_estimators=5))]
    first, again, other = (cross_fit(members, table.X, table.two, cv=3, random_state=seed) for seed in (1, 1, 2))
    for name in first.members:
        np.testing.assert_array_equal(first.margins[name], again.margins[name])
        assert (first.margins[name] != other.margins[name]).any()
    assert (first.fold != other.fold).any()
    seeds = [model.estimator.random_state for models in first.models.values() for model in models]
    assert len(set(seeds)) == 6


def test_a_seed_that_a_member_brings_is_kept(table) -> None:
    oof = cross_fit([("forest", RandomForestClassifier(3, random_state=7))], table.X, table.two, cv=2, random_state=0)
    assert [model.estimator.random_state for model in oof.models["forest"]] == [7, 7]


@pytest.mark.parametrize("members", [STRANGERS, REGRESSORS], ids=["classifiers", "regressors"])
def test_processes_change_nothing(table, members: dict[str, Any]) -> None:
    """Members that start quickly; those with nets and boosters are put to this test as a hybrid."""
    chosen = [("unseeded", clone(members["forest"]).set_params(random_state=None)), ("scaled", members["scaled"])]
    y = table.number if is_regressor(chosen[0][1]) else table.two
    one, two = (cross_fit(chosen, table.X, y, cv=2, random_state=0, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.fold, two.fold)
    for name in one.members:
        np.testing.assert_array_equal(one.margins[name], two.margins[name])
    pd.testing.assert_frame_equal(one.ledger.frame, two.ledger.frame)


@pytest.mark.parametrize("splitter", [KFold(3, shuffle=True), StratifiedKFold(3, shuffle=True)], ids=str)
def test_a_splitter_without_a_seed_gets_one(table, splitter: Any) -> None:
    before = np.random.get_state()[1].copy()
    tables = [
        cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=splitter, random_state=seed) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(tables[0].fold, tables[1].fold)
    assert (tables[0].fold != tables[2].fold).any()
    assert splitter.random_state is None
    np.testing.assert_array_equal(np.random.get_state()[1], before)


class ByFirstColumn:
    """Splits where the values of X say so."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        high = np.asarray(X)[:, 0] > 0
        yield np.flatnonzero(high), np.flatnonzero(~high)
        yield np.flatnonzero(~high), np.flatnonzero(high)


def test_a_splitter_sees_the_table(table) -> None:
    oof = cross_fit([("bayes", GaussianNB())], table.X, table.two, cv=ByFirstColumn())
    np.testing.assert_array_equal(oof.fold, (np.asarray(table.X)[:, 0] > 0).astype(int))
