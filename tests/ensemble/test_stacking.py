"""Stacking: any estimator on out-of-fold margins, and a second layer that has to prove itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hybridlearn._row_losses import row_losses
from hybridlearn.crossfit import cross_fit, margin
from hybridlearn.ensemble import (
    HybridClassifier,
    HybridRegressor,
    HybridStackingClassifier,
    HybridStackingRegressor,
)
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._meta import TwoLayers, margin_columns, with_second_layer
from hybridlearn.table import TableEncoder, UnseenCategoryWarning
from hybridlearn.trees import BoostedTreesClassifier

LINES = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
TASKS = ["two", "three", "number"]


def side_by_side(margins: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    return np.hstack([margins[name] for name in names])


# sums


@pytest.mark.parametrize("kind", ["greedy", "nonnegative", "mean"])
@pytest.mark.parametrize("task", TASKS)
def test_a_sum_is_that_of_the_plain_hybrid_to_the_last_bit(table, members, regressors, task: str, kind: str) -> None:
    chosen = regressors if task == "number" else members
    plain, stack = (
        (HybridRegressor, HybridStackingRegressor)
        if task == "number"
        else (
            HybridClassifier,
            HybridStackingClassifier,
        )
    )
    y = getattr(table, task)
    one, two = (
        cls(estimators=chosen, cv=3, final_estimator=kind, random_state=3).fit(table.X, y) for cls in (plain, stack)
    )
    np.testing.assert_array_equal(two.margin(table.X), one.margin(table.X))
    pd.testing.assert_series_equal(two.weights_, one.weights_)
    pd.testing.assert_frame_equal(two.oof_.frame, one.oof_.frame)
    assert two.temperature_ == one.temperature_
    assert two.final_estimator_.weights.tolist() == two.weights_.tolist()
    assert (two.n_layers_, two.layer_gain_) == (1, pytest.approx(np.nan, nan_ok=True))


# any estimator on the margins


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_final_estimator_is_fitted_on_out_of_fold_margins(
    table, members, regressors, task: str, weighted: bool
) -> None:
    chosen, cls, final = (
        (regressors, HybridStackingRegressor, Ridge(3.0))
        if task == "number"
        else (members, HybridStackingClassifier, LogisticRegression(C=0.1))
    )
    y = getattr(table, task)
    weight = np.random.default_rng(0).uniform(0.5, 2, 160) if weighted else None
    if task == "number":
        chosen = chosen[:2]  # neighbours take no weights
    stack = cls(estimators=chosen, cv=3, final_estimator=final, random_state=4).fit(table.X, y, sample_weight=weight)
    oof = cross_fit(chosen, table.X, y, cv=3, sample_weight=weight, random_state=4)
    seen = side_by_side(oof.margins, oof.members)

    def fitted_on(rows: np.ndarray) -> Any:
        return clone(final).fit(seen[rows], y[rows], sample_weight=None if weight is None else weight[rows])

    by_hand = fitted_on(np.arange(160))
    np.testing.assert_array_equal(stack.final_estimator_.coef_, by_hand.coef_)
    # the blend's margin of a row comes from a final estimator, and a temperature, of the other folds
    for k in range(3):
        own, others = np.flatnonzero(oof.fold == k), np.flatnonzero(oof.fold != k)
        expected = margin(fitted_on(others), seen[own], floor=1 / (2 * len(others)))
        honest = stack.oof_.margins["blend"][own] * stack.judge(k).temperature
        np.testing.assert_allclose(honest, expected, rtol=0, atol=1e-12)
    # and a prediction from the final estimator of all folds on the mean margins of the fold models
    told = side_by_side(stack.member_margins(table.X), oof.members)
    expected = margin(by_hand, told, floor=1 / 320) / stack.temperature_
    np.testing.assert_allclose(stack.margin(table.X), expected, rtol=0, atol=1e-12)
    stack.ledger_.assert_leak_free()


def test_a_final_estimator_sees_class_codes_and_the_stack_names_labels(table) -> None:
    labels = np.array(["maybe", "no", "yes"])[table.three]
    stack = HybridStackingClassifier(estimators=LINES, cv=3, final_estimator=GaussianNB(), random_state=0)
    stack.fit(table.X, labels)
    assert stack.final_estimator_.classes_.tolist() == [0, 1, 2]
    assert set(stack.predict(table.X)) == {"maybe", "no", "yes"}
    assert stack.score(table.X, labels) > 0.6


@pytest.mark.parametrize(
    "final",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        BoostedTreesClassifier(n_estimators=3),
        HybridClassifier(estimators=LINES, cv=2),
    ],
    ids=["pipeline", "trees", "hybrid"],
)
def test_any_classifier_combines(table, final: Any) -> None:
    stack = HybridStackingClassifier(estimators=LINES, cv=3, final_estimator=final, random_state=0, device="cpu")
    stack.fit(table.X, table.three)
    again = clone(stack).fit(table.X, table.three)
    np.testing.assert_array_equal(stack.predict_proba(table.X), again.predict_proba(table.X))
    assert type(stack.final_estimator_) is type(final)
    assert stack.final_estimator_ is not final
    assert stack.predict_set(table.X).any(axis=1).all()
    devices = {value for key, value in stack.final_estimator_.get_params().items() if key.endswith("device")}
    assert devices <= {"cpu"}
    assert "cpu" not in {value for key, value in final.get_params().items() if key.endswith("device")}


def test_what_needs_a_sum_is_not_to_be_had_of_a_final_estimator(table) -> None:
    stack = HybridStackingClassifier(estimators=LINES, cv=2, random_state=0).fit(table.X, table.two)
    assert hasattr(stack, "weights_")
    stack.set_params(final_estimator=LogisticRegression()).fit(table.X, table.two)
    assert not hasattr(stack, "weights_")
    assert not hasattr(stack, "intercept_")
    assert stack.leaderboard_["weight"].isna().all()
    assert isinstance(stack.final_estimator_, LogisticRegression)


# the table beside the margins


class Sees:
    """Keeps what it was given."""

    def fit(self, X: Any, y: np.ndarray) -> Any:
        self.seen_, self.classes_ = X, np.unique(y)
        return self


class SeesRegressor(RegressorMixin, Sees, BaseEstimator):
    def predict(self, X: Any) -> np.ndarray:
        self.asked_ = X
        return np.zeros(X.shape[0])


class SeesClassifier(ClassifierMixin, Sees, BaseEstimator):
    def predict_proba(self, X: Any) -> np.ndarray:
        self.asked_ = X
        return np.full((X.shape[0], len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X: Any) -> np.ndarray: ...


def seen_with(X: Any, y: np.ndarray, members: Any = LINES) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """What a final estimator sees in ``fit`` and is asked in prediction, and the margins of both."""
    cls, final = (
        (HybridStackingRegressor, SeesRegressor())
        if y.dtype == float
        else (
            HybridStackingClassifier,
            SeesClassifier(),
        )
    )
    stack = cls(estimators=members, cv=2, final_estimator=final, passthrough=True, random_state=0).fit(X, y)
    stack.margin(X)
    names = [name for name, _ in members]
    seen, asked = stack.final_estimator_.seen_, stack.final_estimator_.asked_
    return seen, asked, side_by_side(stack.oof_.margins, names), side_by_side(stack.member_margins(X), names)


@pytest.mark.parametrize("task", TASKS)
def test_passthrough_puts_the_margins_behind_the_columns_of_an_array(table, task: str) -> None:
    members = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))] if task == "number" else LINES
    seen, asked, learned, told = seen_with(table.X, getattr(table, task), members)
    np.testing.assert_array_equal(seen, np.hstack([table.X, learned]))
    np.testing.assert_array_equal(asked, np.hstack([table.X, told]))


def test_passthrough_keeps_a_sparse_table_sparse(table) -> None:
    X = sparse.csr_matrix(np.where(np.abs(table.X) > 1, table.X, 0))
    members = [("linear", LogisticRegression()), ("strict", LogisticRegression(C=0.01))]
    seen, asked, learned, told = seen_with(X, table.two, members)
    for found, margins in [(seen, learned), (asked, told)]:
        assert found.format == "csr"
        np.testing.assert_array_equal(found.toarray(), np.hstack([X.toarray(), margins]))


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("two", ["margin of linear", "margin of bayes"]),
        ("three", [f"margin of {name} [{k}]" for name in ("linear", "bayes") for k in range(3)]),
    ],
)
def test_passthrough_names_the_margins_in_a_frame(table, task: str, names: list[str]) -> None:
    frame = pd.DataFrame(table.X, columns=list("abcd"), index=np.arange(160) // 2)
    seen, asked, learned, told = seen_with(frame, getattr(table, task))
    for found, margins in [(seen, learned), (asked, told)]:
        assert found.columns.tolist() == [*"abcd", *names]
        pd.testing.assert_frame_equal(found[list("abcd")], frame)
        np.testing.assert_array_equal(found[names], margins)


def test_passthrough_names_numbered_columns_by_text(mixed, table) -> None:
    """scikit-learn takes no names of which some are numbers: as those of a frame made of an array."""
    numbered = pd.DataFrame(table.X)
    seen, _, _, _ = seen_with(numbered, table.two)
    assert seen.columns.tolist() == ["0", "1", "2", "3", "margin of linear", "margin of bayes"]
    frame, y = mixed
    linear = make_pipeline(TableEncoder(encode="onehot"), LogisticRegression())
    stack = HybridStackingClassifier(
        estimators=[("linear", linear)], final_estimator=linear, passthrough=True, cv=3, random_state=0
    )
    array = frame.to_numpy(dtype=object)
    assert stack.fit(array, y).score(array, y) > 0.6


def test_passthrough_gives_the_table_of_the_rows_that_are_judged(table) -> None:
    """The honest margin of a fold: of a final estimator that saw table and margins of the others."""
    final = LogisticRegression()
    stack = HybridStackingClassifier(estimators=LINES, cv=3, final_estimator=final, passthrough=True, random_state=0)
    stack.fit(table.X, table.two)
    seen = np.hstack([table.X, side_by_side(stack.oof_.margins, ["linear", "bayes"])])
    for k in range(3):
        own, others = stack.oof_.fold == k, stack.oof_.fold != k
        by_hand = clone(final).fit(seen[others], table.two[others])
        honest = stack.oof_.margins["blend"][own] * stack.judge(k).temperature
        expected = margin(by_hand, seen[own], floor=1 / (2 * others.sum()))
        np.testing.assert_allclose(honest, expected, rtol=0, atol=1e-12)


def test_levels_are_news_once_and_only_of_new_rows() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=120), "town": [f"town {i}" for i in np.arange(120) // 2]})
    y = frame["a"] + rng.normal(size=120) > 0
    trees = BoostedTreesClassifier(n_estimators=3)
    stack = HybridStackingClassifier(
        estimators=[("trees", trees)], final_estimator=trees, passthrough=True, cv=3, random_state=0
    )
    stack.fit(frame, y)
    for answer in (stack.predict, stack.predict_set):
        with pytest.warns(UnseenCategoryWarning, match=r"'town' \(1 rows\)") as said:
            answer(frame[:2].assign(town=["town 3", "nowhere"]))
        assert len(said) == 1


# parameters


def test_parameters_of_the_final_estimator_are_read_and_set_by_name() -> None:
    stack = HybridStackingClassifier(estimators=LINES, final_estimator=LogisticRegression(C=3))
    assert stack.get_params()["final_estimator__C"] == 3
    assert stack.get_params()["linear__C"] == 1
    assert not any("__" in name for name in stack.get_params(deep=False))
    stack.set_params(final_estimator__C=5, linear__C=7)
    assert (stack.final_estimator.C, stack.estimators[0][1].C) == (5, 7)
    stack.set_params(final_estimator=GaussianNB(), final_estimator__var_smoothing=0.5)
    assert stack.final_estimator.var_smoothing == 0.5
    copy = clone(stack)
    assert copy.final_estimator is not stack.final_estimator
    assert copy.get_params()["final_estimator__var_smoothing"] == 0.5
    assert not any(name.startswith("final_estimator__") for name in HybridStackingClassifier().get_params())
    with pytest.raises(ValueError, match="Invalid parameter 'bogus'"):
        stack.set_params(final_estimator__bogus=1)


def test_parameters_of_the_final_estimator_leave_auto_alone() -> None:
    stack = HybridStackingClassifier(final_estimator=LogisticRegression()).set_params(final_estimator__C=5)
    assert stack.estimators == "auto"


def test_a_grid_search_tunes_the_final_estimator(table) -> None:
    stack = HybridStackingClassifier(estimators=LINES, cv=2, final_estimator=LogisticRegression(), random_state=0)
    search = GridSearchCV(stack, {"final_estimator__C": [1e-6, 1.0]}, cv=2, scoring="neg_log_loss")
    search.fit(table.X, table.two)
    assert search.best_estimator_.final_estimator_.C == 1
    for C, score in zip([1e-6, 1.0], search.cv_results_["mean_test_score"], strict=True):
        stack.set_params(final_estimator__C=C)
        by_hand = cross_val_score(stack, table.X, table.two, cv=2, scoring="neg_log_loss").mean()
        assert score == pytest.approx(by_hand)
    assert len(set(search.cv_results_["mean_test_score"])) == 2


FITTED = [("linear", LogisticRegression().fit([[0.0] * 4, [1.0] * 4], [0, 1]))]
HALF = [(np.arange(60), np.arange(60, 100)), (np.arange(60), np.arange(100, 130)), (np.arange(60), np.arange(130, 160))]
APART = [
    (np.arange(40, 80), np.arange(40)),
    (np.r_[:40, 100:160], np.arange(40, 100)),
    (np.arange(100), np.arange(100, 160)),
]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"passthrough": True}, ValueError, "passthrough=True hands X .* final_estimator='greedy' is a sum of margins"),
        ({"cv": "prefit", "estimators": FITTED, "layers": 2}, ValueError, "cv='prefit' does not; set layers=1"),
        ({"cv": "prefit", "estimators": "auto"}, ValueError, "cv='prefit' needs fitted estimators"),
        ({"layers": 2, "cv": 2}, ValueError, "layers=2 needs cv of at least 3 folds"),
        ({"layers": 2, "cv": TimeSeriesSplit(3)}, ValueError, "layers=2 needs folds that cover all rows"),
        ({"layers": 2, "cv": HALF}, ValueError, "layers=2 needs folds that cover all rows"),
        ({"layers": 2, "cv": APART}, ValueError, "layers=2 needs folds that share training rows with the first"),
        ({"layers": 3}, ValueError, "layers"),
        ({"cv": "fitted"}, ValueError, "cv"),
        ({"final_estimator": "best"}, ValueError, "final_estimator"),
        ({"final_estimator": Ridge()}, TypeError, r"'final_estimator' \(Ridge\) is not a classifier"),
        ({"final_estimator": StandardScaler()}, TypeError, r"'final_estimator' \(StandardScaler\) is not a classifier"),
    ],
)
def test_what_cannot_be_stacked_is_refused(table, settings: dict[str, Any], error: type, message: str) -> None:
    stack = HybridStackingClassifier(**{"estimators": LINES, "random_state": 0} | settings)
    with pytest.raises(error, match=message):
        stack.fit(table.X, table.two)
    assert not hasattr(stack, "oof_")


def test_a_classifier_does_not_combine_numbers(table) -> None:
    stack = HybridStackingRegressor(estimators=[("ridge", Ridge())], final_estimator=LogisticRegression())
    with pytest.raises(TypeError, match=r"'final_estimator' \(LogisticRegression\) is not a regressor"):
        stack.fit(table.X, table.number)


# a second layer

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(600, 8))
STEP = 3 * (WIDE.sum(axis=1) > 1) + 0.3 * RNG.normal(size=600)
BAND = (np.abs(WIDE.sum(axis=1) - 2) < 2) ^ (RNG.random(600) < 0.02)
HELPED = {
    "number": (
        HybridStackingRegressor,
        [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))],
        STEP,
    ),
    "two": (
        HybridStackingClassifier,
        [("linear", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=2))],
        BAND,
    ),
}


@pytest.mark.parametrize("task", HELPED)
def test_a_second_layer_that_helps_is_kept(task: str) -> None:
    """A line finds the direction, a tree behind it the step or the band."""
    cls, members, y = HELPED[task]
    one, two = (
        cls(estimators=members, cv=4, layers=layers, random_state=0).fit(WIDE[:240], y[:240]) for layers in (1, 2)
    )
    assert two.n_layers_ == 2
    assert two.layer_gain_ > 0
    assert list(two.models_) == [*dict(members), *(f"{name}:2" for name in dict(members))]
    assert two.score(WIDE[240:], y[240:]) > one.score(WIDE[240:], y[240:])


@pytest.mark.parametrize("as_frame", [False, True], ids=["array", "frame"])
def test_two_layers_are_two_cross_fits(as_frame: bool) -> None:
    cls, members, y = HELPED["number"]
    X = pd.DataFrame(WIDE, columns=list("abcdefgh")) if as_frame else WIDE
    stack = cls(estimators=members, cv=4, layers=2, random_state=0).fit(X, y)
    first = cross_fit(members, X, y, cv=4, random_state=0)
    above = margin_columns(np.stack(list(first.margins.values())), first.members, X)
    assert list(getattr(above, "columns", []))[8:] == (["margin of linear", "margin of tree"] if as_frame else [])
    second = cross_fit(members, above, y, cv=4, random_state=0)
    for name in dict(members):
        np.testing.assert_array_equal(stack.oof_.margins[name], first.margins[name])
        np.testing.assert_array_equal(stack.oof_.margins[f"{name}:2"], second.margins[name])
    # a model of the second layer stands on those of the first that were fitted on the same rows
    for name in dict(members):
        predictions = []
        for k, model in enumerate(stack.models_[f"{name}:2"]):
            assert isinstance(model.estimator, TwoLayers)
            assert model.estimator.below == {below: stack.models_[below][k] for below in first.members}
            told = np.stack([first.models[below][k].margin(X) for below in first.members])
            predictions.append(second.models[name][k].margin(margin_columns(told, first.members, X)))
        np.testing.assert_array_equal(stack.member_margins(X)[f"{name}:2"], np.mean(predictions, axis=0))


def test_the_ledger_tells_the_second_layer_apart() -> None:
    cls, members, y = HELPED["two"]
    stack = cls(estimators=members, cv=4, layers=2, random_state=0).fit(WIDE, y)
    stack.ledger_.assert_leak_free()
    fits = {(e.member, e.fold): e for e in stack.ledger_.entries if e.step == "fit"}
    assert set(fits) == {(name, k) for name in stack.models_ for k in range(4)}
    for (name, k), entry in fits.items():
        assert entry.order == (2 if name.endswith(":2") else 1)
        np.testing.assert_array_equal(entry.fitted_on, np.flatnonzero(stack.oof_.fold != k))
        np.testing.assert_array_equal(entry.predicted, np.flatnonzero(stack.oof_.fold == k))


# many small folds: the mean of the targets outside a fold gives those inside away
fold_of = np.concatenate([np.zeros(40, dtype=int), 1 + np.arange(60) // 2])
TELLTALE = [(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in np.unique(fold_of)]
NOISE = np.random.default_rng(1)
COLUMN = NOISE.normal(size=(1100, 1))
LEAKING = {
    "two": (
        HybridStackingClassifier,
        [("prior", DummyClassifier(strategy="prior")), ("tree", DecisionTreeClassifier(max_depth=1))],
        NOISE.integers(0, 2, 1100),
    ),
    "number": (
        HybridStackingRegressor,
        [("mean", DummyRegressor()), ("tree", DecisionTreeRegressor(max_depth=1))],
        NOISE.normal(size=1100),
    ),
}


@pytest.mark.parametrize("task", LEAKING)
def test_a_second_layer_that_thrives_on_what_margins_give_away_is_switched_off(task: str) -> None:
    cls, members, y = LEAKING[task]
    X, noise = COLUMN[:100], y[:100]
    settings = {"estimators": members, "cv": TELLTALE, "final_estimator": "mean", "random_state": 0}
    with pytest.warns(UserWarning, match="layers=2 is switched off: on 40 rows kept out of both layers") as said:
        two = cls(layers=2, **settings).fit(X, noise)
    assert len(said) == 1
    assert said[0].filename == __file__
    assert two.n_layers_ == 1
    assert np.isfinite(two.layer_gain_)
    one = cls(**settings).fit(X, noise)
    np.testing.assert_array_equal(two.margin(X), one.margin(X))
    pd.testing.assert_frame_equal(two.oof_.frame, one.oof_.frame)
    pd.testing.assert_frame_equal(two.ledger_.frame, one.ledger_.frame)


@pytest.mark.parametrize("task", LEAKING)
def test_without_the_check_such_a_layer_would_look_better_than_it_is(task: str) -> None:
    """Targets are noise: what the second layer gains out of fold it does not gain on other rows."""
    _, members, y = LEAKING[task]
    X, noise, classification = COLUMN[:100], y[:100], task == "two"
    first = cross_fit(members, X, noise, cv=TELLTALE, random_state=0)
    above = margin_columns(np.stack(list(first.margins.values())), first.members, X)
    both = with_second_layer(first, cross_fit(members, above, noise, cv=TELLTALE, random_state=0))
    both.ledger.assert_leak_free()
    claimed, true = [], []
    for oof in (first, both):
        assembly = assemble(oof, blend_learner(oof, "mean", seed=0))
        losses = row_losses(assembly.oof.margins["blend"], noise, classification=classification)
        claimed.append(losses[fold_of > 0].mean())
        margins = np.stack([np.mean([m.margin(COLUMN[100:]) for m in own], axis=0) for own in oof.models.values()])
        true.append(row_losses(assembly.final.margin(margins), y[100:], classification=classification).mean())
    assert claimed[0] - claimed[1] > 0.1
    assert true[0] - true[1] < (claimed[0] - claimed[1]) / 3


def test_the_check_keeps_the_first_fold_out_of_both_layers(table) -> None:
    """Folds whose training parts do not hold all rows but the test part are cut to those of the first."""
    cv = [(train[::2], test) for train, test in KFold(4, shuffle=True, random_state=0).split(table.X)]
    spies = [("spy", SeesRegressor())]
    stack = HybridStackingRegressor(estimators=spies, cv=cv, layers=2, random_state=0)
    fitted: list[np.ndarray] = []
    original = SeesRegressor.fit
    try:
        SeesRegressor.fit = lambda self, X, y: (fitted.append(X[:, :4]), original(self, X, y))[1]
        with pytest.warns(UserWarning, match="switched off"):
            stack.fit(table.X, table.number)
    finally:
        SeesRegressor.fit = original
    inside = {row.tobytes() for row in table.X[cv[0][0]]}
    checks = fitted[4:]
    assert len(checks) == 6  # two layers of three folds
    for (train, _), first, second in zip(cv[1:], checks[:3], checks[3:], strict=True):
        assert {row.tobytes() for row in first} == {row.tobytes() for row in table.X[train]} & inside
        np.testing.assert_array_equal(first, second)
