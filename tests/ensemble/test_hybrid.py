"""The hybrid as a whole: a weighted sum of margins, learned out of fold, fitted whole or not at all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridlearn.crossfit import MemberError, cross_fit, margin
from hybridlearn.ensemble import HybridClassifier, HybridRegressor
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.table import TableEncoder, UnseenCategoryWarning
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

NET = {"hidden_layer_sizes": (8,), "max_epochs": 4, "learning_rate": 0.02}


def mixed_members() -> list[tuple[str, Any]]:
    """Members that take text and missing values."""
    linear = make_pipeline(TableEncoder(encode="onehot"), LogisticRegression())
    trees = BoostedTreesClassifier(n_estimators=5, learning_rate=0.3)
    return [("trees", trees), ("mlp", TabularMLPClassifier(**NET)), ("linear", linear)]


# the sum


@pytest.mark.parametrize("kind", ["greedy", "nonnegative", "mean"])
@pytest.mark.parametrize("task", ["two", "three", "number"])
def test_the_decision_is_the_weighted_sum_of_the_members_margins(
    table, members, regressors, task: str, kind: str
) -> None:
    regression = task == "number"
    cls, chosen = (HybridRegressor, regressors) if regression else (HybridClassifier, members)
    hybrid = cls(estimators=chosen, cv=3, final_estimator=kind, random_state=0).fit(table.X, getattr(table, task))
    margins = hybrid.member_margins(table.X)
    total = hybrid.intercept_ + sum(hybrid.weights_[name] * margins[name] for name in hybrid.weights_.index)
    answer = hybrid.predict(table.X) if regression else hybrid.decision_function(table.X)
    np.testing.assert_allclose(answer.reshape(total.shape) * hybrid.temperature_, total, rtol=0, atol=1e-9)
    assert (hybrid.weights_ >= 0).all()
    if regression:
        assert hybrid.temperature_ == 1
        return
    p = hybrid.predict_proba(table.X)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    decision = np.column_stack([np.zeros(160), answer]) if task == "two" else answer
    odds = np.exp(decision - decision.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, odds / odds.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_array_equal(hybrid.predict(table.X), p.argmax(axis=1))


def test_the_temperature_divides_intercept_and_sum(table, members) -> None:
    hybrid = HybridClassifier(estimators=members, cv=2, random_state=0).fit(table.X, table.three)
    hybrid.intercept_, hybrid.temperature_ = np.array([0.5, 0.25, -0.75]), 4.0
    total = hybrid.intercept_ + sum(hybrid.weights_[k] * m for k, m in hybrid.member_margins(table.X).items())
    np.testing.assert_allclose(hybrid.decision_function(table.X) * 4, total, rtol=0, atol=1e-9)


def test_a_members_margin_is_the_mean_over_its_fold_models(table, members) -> None:
    hybrid = HybridClassifier(estimators=members, cv=3, random_state=0).fit(table.X, table.two)
    n_train = 160 - np.bincount(hybrid.oof_.fold)
    for (name, margins), models in zip(hybrid.member_margins(table.X).items(), hybrid.estimators_, strict=True):
        assert models == hybrid.named_estimators_[name]
        by_hand = np.mean([margin(m, table.X, floor=1 / (2 * n)) for m, n in zip(models, n_train, strict=True)], axis=0)
        np.testing.assert_allclose(margins, by_hand, rtol=1e-12)


def test_the_out_of_fold_table_is_that_of_the_engine(table, members) -> None:
    hybrid = HybridClassifier(estimators=members, cv=3, random_state=4).fit(table.X, table.three)
    oof = cross_fit(members, table.X, table.three, cv=3, random_state=4)
    np.testing.assert_array_equal(hybrid.oof_.fold, oof.fold)
    for name in oof.members:
        np.testing.assert_array_equal(hybrid.oof_.margins[name], oof.margins[name])
    assert list(hybrid.oof_.margins) == [*oof.members, "blend"]
    assert hybrid.ledger_ is hybrid.oof_.ledger
    hybrid.ledger_.assert_leak_free()


def test_a_blend_beats_its_members_where_they_know_different_things(table) -> None:
    halves = [
        (f"half{i}", make_pipeline(FunctionTransformer(_column, kw_args={"i": i}), LogisticRegression()))
        for i in range(2)
    ]
    hybrid = HybridClassifier(estimators=halves, cv=4, random_state=0).fit(table.X, table.two)
    assert hybrid.leaderboard_["member"].iloc[0] == "blend"
    assert (hybrid.weights_ > 0).all()


def _column(X: np.ndarray, i: int) -> np.ndarray:
    return X[:, [i]]


# scores


@pytest.mark.parametrize(
    ("scoring", "metric"),
    [
        ("neg_log_loss", lambda y, p: -log_loss(y, p)),
        ("roc_auc", lambda y, p: roc_auc_score(y, p[:, 1])),
        ("accuracy", lambda y, p: accuracy_score(y, p[:, 1] > 0.5)),
        (make_scorer(accuracy_score), lambda y, p: accuracy_score(y, p[:, 1] > 0.5)),
        (lambda estimator, X, y: estimator.predict_proba(X)[:, 1].sum(), lambda y, p: p[:, 1].sum()),
    ],
)
def test_the_leaderboard_shows_the_scoring_on_out_of_fold_margins(table, members, scoring: Any, metric: Any) -> None:
    hybrid = HybridClassifier(estimators=members, cv=3, scoring=scoring, random_state=0).fit(table.X, table.two)
    board = hybrid.leaderboard_.set_index("member")
    assert set(board.index) == {"trees", "linear", "bayes", "blend"}
    for name, scores in hybrid.oof_.margins.items():
        p = 1 / (1 + np.exp(-scores))
        assert board.loc[name, "score"] == pytest.approx(metric(table.two, np.column_stack([1 - p, p])))
    pd.testing.assert_series_equal(
        board.loc[hybrid.weights_.index, "weight"], hybrid.weights_, check_names=False, check_index=False
    )


@pytest.mark.parametrize("scoring", ["neg_mean_poisson_deviance", "neg_mean_gamma_deviance", "r2"])
def test_scores_of_positive_numbers_suit_a_positive_target(table, scoring: str) -> None:
    members = [("trees", BoostedTreesRegressor(n_estimators=5, loss="poisson"))]
    hybrid = HybridRegressor(estimators=members, cv=2, scoring=scoring, random_state=0)
    hybrid.fit(table.X, np.exp(table.number))
    assert np.isfinite(hybrid.leaderboard_["score"]).all()


class Forbidden(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        raise AssertionError("fitted, though the parameters cannot work")

    def predict_proba(self, X: Any) -> Any: ...


@pytest.mark.parametrize(
    ("settings", "target", "message"),
    [
        ({"scoring": "no_such_score"}, "two", "no_such_score"),
        ({"scoring": "roc_auc"}, "three", "roc_auc|multi_class"),
        ({"threshold": 0.3}, "three", "threshold=0.3 is for two classes, y has 3"),
        ({"threshold": 1.5}, "two", "threshold"),
        ({"final_estimator": "best"}, "two", "final_estimator"),
        ({"cv": 1}, "two", "cv"),
        ({"cv": [(np.arange(80), np.arange(80, 160))]}, "two", "one fold"),
    ],
)
def test_parameters_that_cannot_work_are_refused_before_anything_is_fitted(
    table, settings: dict[str, Any], target: str, message: str
) -> None:
    hybrid = HybridClassifier(**{"estimators": [("forbidden", Forbidden())], "cv": 2} | settings)
    with pytest.raises(ValueError, match=message):
        hybrid.fit(table.X, getattr(table, target))


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ([], ValueError, "estimators is empty"),
        ([("a", GaussianNB()), ("a", GaussianNB())], ValueError, "must be unique"),
        ([("blend", GaussianNB())], ValueError, "not 'blend'"),
        ([("ridge", Ridge())], TypeError, r"member 'ridge' \(Ridge\) is not a classifier"),
        ([("cv", GaussianNB())], ValueError, "cv"),
        ([("a", "drop")], TypeError, "member 'a' is 'drop', not a scikit-learn estimator"),
    ],
)
def test_members_that_cannot_be_blended_are_refused(table, chosen: Any, error: type, message: str) -> None:
    """A member named like a parameter could not be told from it in ``set_params``."""
    hybrid = HybridClassifier(estimators=chosen, cv=2)
    with pytest.raises(error, match=message):
        hybrid.fit(table.X, table.two)
    assert clone(hybrid).get_params()["cv"] == 2  # and shows its parameters still


def test_a_classifier_is_no_regressor(table) -> None:
    with pytest.raises(TypeError, match=r"'bayes' \(GaussianNB\) is not a regressor"):
        HybridRegressor(estimators=[("bayes", GaussianNB())]).fit(table.X, table.number)


# folds


def test_groups_share_a_fold(table, members) -> None:
    groups = np.arange(160) // 8
    hybrid = HybridClassifier(estimators=members, cv=4, random_state=0).fit(table.X, table.two, groups=groups)
    assert all(len(set(hybrid.oof_.fold[groups == group])) == 1 for group in range(20))


@pytest.mark.parametrize("regression", [False, True])
def test_where_folds_leave_rows_uncovered_members_are_fitted_once_more_on_all(table, regression: bool) -> None:
    cls, member, y = (
        (HybridRegressor, Ridge(), table.number) if regression else (HybridClassifier, LogisticRegression(), table.two)
    )
    hybrid = cls(estimators=[("linear", member)], cv=TimeSeriesSplit(3), random_state=0).fit(table.X, y)
    expected = margin(clone(member).fit(table.X, y), table.X, floor=1 / 320)
    np.testing.assert_allclose(hybrid.member_margins(table.X)["linear"], expected, rtol=1e-9, atol=1e-9)
    assert [len(models) for models in hybrid.estimators_] == [1]
    assert hybrid.oof_.coverage == 0.75
    # the weights come from covered rows alone
    blend, covered = hybrid.oof_.margins["blend"], hybrid.oof_.covered
    np.testing.assert_array_equal(np.isnan(blend[:, 0]), ~covered)


def test_the_fit_on_all_rows_has_its_seed_from_the_hybrid(table) -> None:
    members = [("trees", BoostedTreesClassifier(n_estimators=10, learning_rate=0.3))]
    first, again, other = (
        HybridClassifier(estimators=members, cv=TimeSeriesSplit(3), random_state=seed)
        .fit(table.X, table.two)
        .decision_function(table.X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_rare_class_is_warned_of_and_works(table) -> None:
    y = np.where(np.arange(160) < 3, "rare", np.where(table.two, "yes", "no"))
    members = [("linear", LogisticRegression()), ("trees", BoostedTreesClassifier(n_estimators=3))]
    with pytest.warns(UserWarning, match=r"classes \['rare'\] have fewer rows than cv=5") as said:
        hybrid = HybridClassifier(estimators=members, random_state=0).fit(table.X, y)
    assert len(said) == 1
    assert np.isfinite(hybrid.oof_.margins["blend"]).all()
    assert hybrid.predict_proba(table.X).shape == (160, 3)


def test_a_class_of_one_row_is_an_error_that_names_it(table, members) -> None:
    y = np.where(np.arange(160) == 7, "lonely", np.where(table.two, "yes", "no"))
    with pytest.raises(ValueError, match=r"class 'lonely' has one row .*drop it or merge it"):
        HybridClassifier(estimators=members).fit(table.X, y)


def test_classes_that_no_fold_tests_do_not_stop_the_fit(table) -> None:
    half = np.flatnonzero(table.three != 2)
    rest = np.flatnonzero(table.three == 2)
    splits = [(np.append(half[::2], rest), half[1::2]), (np.append(half[1::2], rest), half[::2])]
    hybrid = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=splits).fit(table.X, table.three)
    assert hybrid.predict_proba(table.X).shape == (160, 3)


# whole or not at all


class Interrupts(ClassifierMixin, BaseEstimator):
    """Fails in the fold whose training part lacks the first row."""

    def __init__(self, *, first: float = 0.0, error: type[BaseException] = KeyboardInterrupt):
        self.first = first
        self.error = error

    def fit(self, X: np.ndarray, y: np.ndarray) -> Interrupts:
        self.classes_ = np.unique(y)
        if self.first not in X[:, 0]:
            raise self.error("enough")
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), 2), 0.5)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))


@pytest.mark.parametrize(("error", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (ValueError, MemberError)])
@pytest.mark.parametrize("fitted_before", [False, True])
def test_a_fit_that_does_not_end_leaves_nothing(table, error: type, seen: type, fitted_before: bool) -> None:
    hybrid = HybridClassifier(estimators=[("bayes", GaussianNB())], cv=3, random_state=0)
    if fitted_before:
        hybrid.fit(table.X, table.two)
    hybrid.set_params(estimators=[("bayes", GaussianNB()), ("odd", Interrupts(first=table.X[0, 0], error=error))])
    with pytest.raises(seen):
        hybrid.fit(table.X, table.two)
    assert [name for name in vars(hybrid) if name.endswith("_")] == []
    with pytest.raises(NotFittedError):
        hybrid.predict(table.X)
    with pytest.raises(NotFittedError):
        hybrid.member_margins(table.X)
    # and it can be fitted again
    hybrid.set_params(odd=GaussianNB()).fit(table.X, table.two).predict(table.X)


def test_an_error_names_the_member(table) -> None:
    odd = Interrupts(first=table.X[0, 0], error=ZeroDivisionError)
    with pytest.raises(MemberError, match="member 'odd' failed: ZeroDivisionError: enough"):
        HybridClassifier(estimators=[("odd", odd)], cv=2).fit(table.X, table.two)


# at prediction


def test_levels_never_seen_are_told_of_once(mixed) -> None:
    frame, y = mixed
    hybrid = HybridClassifier(estimators=mixed_members(), cv=3, random_state=0).fit(frame, y)
    new = frame.head(10).assign(colour=["octarine"] * 3 + ["red"] * 7, town="elsewhere")
    with pytest.warns(UnseenCategoryWarning, match=r"'colour' \(3 rows\), column 'town' \(10 rows\)") as said:
        p = hybrid.predict_proba(new)
    assert len(said) == 1
    assert np.isfinite(p).all()


def test_levels_that_one_fold_alone_holds_are_no_news(mixed) -> None:
    frame, y = mixed
    frame = frame.assign(town=np.where(np.arange(160) == 3, "once", frame["town"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hybrid = HybridClassifier(estimators=mixed_members(), cv=3, random_state=0).fit(frame, y)
        hybrid.predict(frame)


def test_levels_of_rows_of_weight_zero_were_never_seen(mixed) -> None:
    frame, y = mixed
    weight = np.where(np.arange(160) < 6, 0.0, 1.0)
    frame = frame.assign(town=np.where(weight == 0, "nowhere", frame["town"]))
    hybrid = HybridClassifier(estimators=mixed_members()[:1], cv=3, random_state=0).fit(frame, y, sample_weight=weight)
    absent = HybridClassifier(estimators=mixed_members()[:1], cv=3, random_state=0).fit(frame[6:], y[6:])
    assert hybrid.schema_ == absent.schema_
    with pytest.warns(UnseenCategoryWarning, match=r"'town' \(6 rows\)"):
        hybrid.predict(frame.head(6))


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.drop(columns="flag"),
        lambda X: X.assign(more=1),
        lambda X: X.rename(columns={"flag": "banner"}),
        lambda X: X[X.columns[::-1]],
        pytest.param(
            lambda X: X.to_numpy(dtype=object)[:, :3],
            marks=pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
        ),
    ],
)
def test_other_columns_than_in_fit_are_an_error(mixed, change: Any) -> None:
    frame, y = mixed
    hybrid = HybridClassifier(estimators=mixed_members()[:1], cv=2, random_state=0).fit(frame, y)
    with pytest.raises(ValueError, match=r"feature names should match|3 features, but .* is expecting 4"):
        hybrid.predict(change(frame))


def test_sparse_tables_are_for_members_that_take_them(table) -> None:
    X = (np.abs(table.X) > 1).astype(float)
    members = [("linear", LogisticRegression()), ("bayes", MultinomialNB())]
    hybrid = HybridClassifier(estimators=members, cv=3, random_state=0).fit(sparse.csr_matrix(X), table.two)
    dense = HybridClassifier(estimators=members, cv=3, random_state=0).fit(X, table.two)
    np.testing.assert_allclose(hybrid.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), rtol=1e-6)
    members.append(("trees", BoostedTreesClassifier(n_estimators=2)))
    with pytest.raises(TypeError, match=r"sparse matrix, which members \['trees'\] do not take; use X.toarray"):
        HybridClassifier(estimators=members, cv=3).fit(sparse.csr_matrix(X), table.two)


# weights


def test_weights_of_one_are_no_weights(mixed) -> None:
    frame, y = mixed
    plain, ones = (
        HybridClassifier(estimators=mixed_members(), cv=2, random_state=0).fit(frame, y, sample_weight=weight)
        for weight in (None, np.ones(160))
    )
    np.testing.assert_array_equal(plain.decision_function(frame), ones.decision_function(frame))
    pd.testing.assert_frame_equal(
        plain.leaderboard_.drop(columns="fit_seconds"), ones.leaderboard_.drop(columns="fit_seconds")
    )


def test_rows_of_weight_zero_are_absent(mixed) -> None:
    frame, y = mixed
    weight = np.random.default_rng(0).integers(0, 3, 160).astype(float)
    kept = weight > 0
    weighted = HybridClassifier(estimators=mixed_members(), cv=2, random_state=0).fit(frame, y, sample_weight=weight)
    absent = HybridClassifier(estimators=mixed_members(), cv=2, random_state=0).fit(
        frame[kept], y[kept], sample_weight=weight[kept]
    )
    np.testing.assert_array_equal(weighted.decision_function(frame), absent.decision_function(frame))
    np.testing.assert_array_equal(weighted.oof_.positions, np.flatnonzero(kept))


def test_weights_move_members_blend_and_scores(table) -> None:
    """Rows of weight 50 speak another language: the hybrid learns theirs."""
    weight = np.where(np.arange(160) < 40, 50.0, 1.0)
    y = np.where(weight > 1, (table.X[:, 2] > 0), table.two)
    members = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
    hybrid = HybridClassifier(estimators=members, cv=4, random_state=0).fit(table.X, y, sample_weight=weight)
    assert hybrid.score(table.X[:40], y[:40]) > 0.8
    board = hybrid.leaderboard_.set_index("member")["score"]
    p = 1 / (1 + np.exp(-hybrid.oof_.margins["linear"][:, 0]))
    assert board["linear"] == pytest.approx(-log_loss(y, p, sample_weight=weight))


def test_members_without_weights_are_named_once(table) -> None:
    members = [("linear", LogisticRegression()), ("neighbours", KNeighborsClassifier())]
    with pytest.warns(UserWarning, match=r"members \['neighbours'\] take no sample_weight") as said:
        HybridClassifier(estimators=members, cv=2, random_state=0).fit(table.X, table.two, sample_weight=np.ones(160))
    assert len(said) == 1


# regression


def test_a_regressor_answers_in_units_of_the_target(table, regressors) -> None:
    hybrid = HybridRegressor(estimators=regressors, cv=3, random_state=0).fit(table.X, 1000 + 50 * table.number)
    assert 900 < hybrid.predict(table.X).mean() < 1100
    assert hybrid.score(table.X, 1000 + 50 * table.number) > 0.6
    board = hybrid.leaderboard_.set_index("member")["score"]
    errors = hybrid.oof_.margins["blend"][:, 0] - (1000 + 50 * table.number)
    assert board["blend"] == pytest.approx(-np.sqrt(np.mean(errors**2)))


def test_a_hybrid_of_hybrids_adds_up(table, members) -> None:
    inner = HybridClassifier(estimators=members[1:], cv=2)
    outer = HybridClassifier(estimators=[("hybrid", inner), members[0]], cv=2, random_state=0).fit(table.X, table.two)
    fold_models = outer.named_estimators_["hybrid"]
    expected = np.mean([model.decision_function(table.X) for model in fold_models], axis=0)
    np.testing.assert_allclose(outer.member_margins(table.X)["hybrid"][:, 0], expected, rtol=1e-12)


def test_trees_of_any_loss_are_members(table) -> None:
    members = [
        (loss, BoostedTreesRegressor(n_estimators=5, learning_rate=0.3, loss=loss))
        for loss in ("squared_error", "absolute_error", "poisson")
    ]
    y = np.exp(table.number / 2)
    hybrid = HybridRegressor(estimators=members, cv=2, final_estimator="nonnegative", random_state=0).fit(table.X, y)
    assert np.corrcoef(hybrid.predict(table.X), y)[0, 1] > 0.5


# a sum of a function a column


@pytest.mark.parametrize("task", ["two", "number"])
def test_additive_members_make_a_sum_of_a_function_a_column(mixed: Any, task: str) -> None:
    """What a change of one column does to the margin is the same whatever the other columns are."""
    X, y = mixed
    cls, y = (HybridClassifier, y) if task == "two" else (HybridRegressor, y + X["a"].fillna(0).clip(-1, 1))
    hybrid = cls(estimators="additive", cv=2, random_state=0).fit(X, y)
    assert set(hybrid.weights_.index) == {"additive_trees", "additive_net", "linear"}
    # a regression's net and clipped probabilities end the sum at the rim
    trees = hybrid.named_estimators_["additive_trees"][0]
    for column in X:
        other = X.sample(frac=1, random_state=0).reset_index(drop=True)
        step = trees.margin(X.assign(**{column: X[column].iloc[0]})) - trees.margin(X)
        elsewhere = other.assign(**{column: X[column]})
        same = trees.margin(elsewhere.assign(**{column: X[column].iloc[0]})) - trees.margin(elsewhere)
        np.testing.assert_allclose(step, same, atol=1e-5)
    assert hybrid.features_ is None


def test_additive_members_take_no_features(mixed: Any) -> None:
    X, y = mixed
    with pytest.raises(ValueError, match="features= mixes columns"):
        HybridClassifier(estimators="additive", features=FunctionTransformer()).fit(X, y)
