"""Boosting across kinds: each stage learns what the margins of those before it, out of fold, have left over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.optimize import minimize, nnls
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from hybridlearn.ensemble import HybridBoostingClassifier, HybridBoostingRegressor
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

Stages = list[tuple[str, Any]]
N_ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
# a line, a step and noise: a linear and a tree stage each have something to learn
NUMBER = 2 * X[:, 0] + 3 * (X[:, 1] > 0.5) + 0.5 * RNG.normal(size=N_ROWS)
TWO = np.where(NUMBER + RNG.normal(size=N_ROWS) > 1, "yes", "no")
THREE = np.digitize(NUMBER, [-0.5, 2])
WEIGHT = RNG.uniform(0.5, 2, N_ROWS)

TREES = BoostedTreesClassifier(n_estimators=5, learning_rate=0.3, early_stopping=False, random_state=0)
NET = TabularMLPClassifier(hidden_layer_sizes=(8,), max_epochs=8, learning_rate=0.02, random_state=0, device="cpu")
TREE = DecisionTreeRegressor(max_depth=2, random_state=0)
NUMBERS: Stages = [("linear", LinearRegression()), ("tree", TREE), ("ridge", Ridge(10.0))]
CLASSES: Stages = [("trees", TREES), ("ridge", Ridge()), ("mlp", NET)]
STEPS = BoostedTreesRegressor(n_estimators=4, learning_rate=0.3, early_stopping=False, random_state=0)


def regressor(stages: Stages = NUMBERS, **settings: Any) -> HybridBoostingRegressor:
    return HybridBoostingRegressor(**{"estimators": stages, "cv": 3, "inner_cv": 2, "random_state": 0} | settings)


def classifier(stages: Stages = CLASSES, **settings: Any) -> HybridBoostingClassifier:
    return HybridBoostingClassifier(**{"estimators": stages, "cv": 3, "inner_cv": 2, "random_state": 0} | settings)


def inner_splits(boost: Any, stage: str, fold: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The inner folds of a chain, as the ledger tells of them: once, or once a class."""
    outside = boost.oof_.tests[fold]
    entries = [e for e in boost.ledger_.entries if (e.step, e.member, e.fold) == ("fit", stage, fold)]
    assert all(np.isin(outside, e.predicted).all() for e in entries)
    once = {e.fitted_on.tobytes(): e for e in entries}.values()
    return [(e.fitted_on, np.setdiff1d(e.predicted, outside)) for e in once]


Learn = Callable[[Any, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def chain_by_hand(
    boost: Any, stages: Stages, fold: int, start: np.ndarray, learn: Learn, loss: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[np.ndarray], list[float]]:
    """What the stages of one outer fold say of all rows, and the loss after each on the rows inside.

    `learn` fits an estimator on some rows behind the margins so far, and gives what maps a table to margins.
    """
    train = np.setdiff1d(np.arange(N_ROWS), boost.oof_.tests[fold])
    margin = np.tile(start, (N_ROWS, 1))
    steps, losses = [], []
    for name, estimator in stages:
        splits = inner_splits(boost, name, fold)
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), train)
        inside, everywhere = np.full_like(margin, np.nan), []
        for fitted_on, test in splits:
            np.testing.assert_array_equal(np.union1d(fitted_on, test), train)
            step = learn(clone(estimator), fitted_on, margin)
            inside[test] = step(X[test])
            everywhere.append(step(X))
        margin = margin + boost.learning_rate * inside
        losses.append(np.average(loss(margin)[train], weights=WEIGHT[train]))
        steps.append(np.mean(everywhere, axis=0) + (0 if len(steps) else start))
    return steps, losses


def check_chains(boost: Any, stages: Stages, start: Any, learn: Learn, loss: Any, **tolerance: float) -> None:
    """The whole hybrid against its chains by hand; where a chain has ended, the stages that others have are zero."""
    everywhere = {name: [] for name, _ in stages}
    for fold, test in enumerate(boost.oof_.tests):
        told = boost.stages_[boost.stages_["fold"] == fold]
        reached = stages[: len(told)]
        assert told["estimator"].tolist() == [name for name, _ in reached]
        rest = np.setdiff1d(np.arange(N_ROWS), test)
        steps, losses = chain_by_hand(boost, reached, fold, start(rest), learn, loss)
        np.testing.assert_allclose(told["loss"], losses, **tolerance)
        steps += [np.zeros_like(steps[0])] * (len(stages) - len(reached))
        for (name, _), step in zip(stages, steps, strict=True):
            np.testing.assert_allclose(boost.oof_.margins[name][test], step[test], **tolerance)
            everywhere[name].append(step)
    assert list(boost.weights_.index) == [name for name, _ in stages], "each is reached by a chain"
    for name, margin in boost.member_margins(X).items():
        np.testing.assert_allclose(margin, np.mean(everywhere[name], axis=0), **tolerance)


# each stage is fitted behind margins that are out of fold


@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_regression_stages_learn_residuals_of_margins_that_are_out_of_fold(learning_rate: float) -> None:
    boost = regressor(NUMBERS[:2], learning_rate=learning_rate).fit(X, NUMBER, sample_weight=WEIGHT)

    def learn(estimator: Any, rows: np.ndarray, margin: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        estimator.fit(X[rows], NUMBER[rows] - margin[rows, 0], sample_weight=WEIGHT[rows])
        return lambda table: estimator.predict(table)[:, None]

    check_chains(
        boost, NUMBERS[:2], lambda rest: np.zeros(1), learn, lambda m: (NUMBER - m[:, 0]) ** 2, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("stages", [CLASSES, [("steps", STEPS), *CLASSES[1:2]]], ids=["all kinds", "regressors"])
def test_classification_stages_go_on_from_margins_or_get_newtons_step(stages: Stages, labels: np.ndarray) -> None:
    """Also a regressor that could start from margins, but not from those of classes."""
    boost = classifier(stages, learning_rate=0.4).fit(X, labels, sample_weight=WEIGHT)
    codes, n_classes = np.unique(labels, return_inverse=True)[1], len(set(labels.tolist()))

    def full(margin: np.ndarray) -> np.ndarray:
        return np.column_stack([0 * margin, margin]) if n_classes == 2 else margin

    def start(rest: np.ndarray) -> np.ndarray:
        share = np.bincount(codes[rest], WEIGHT[rest] / WEIGHT[rest].mean()) + 0.5
        return np.log(share[1:] / share[0]) if n_classes == 2 else np.log(share) - np.log(share).mean()

    def learn(estimator: Any, rows: np.ndarray, margin: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        if is_classifier(estimator):
            return estimator.fit(X[rows], codes[rows], sample_weight=WEIGHT[rows], base_margin=margin[rows]).margin
        p = expit(margin) if n_classes == 2 else softmax(margin, axis=1)
        wanted = codes[:, None] if n_classes == 2 else np.eye(3)[codes]
        step = np.clip((wanted - p) / (p * (1 - p)), -100, 100)
        fitted = [
            clone(estimator).fit(X[rows], step[rows, k], sample_weight=(WEIGHT[:, None] * p * (1 - p))[rows, k])
            for k in range(margin.shape[1])
        ]

        def centred(table: np.ndarray) -> np.ndarray:
            steps = np.column_stack([model.predict(table) for model in fitted])
            return (steps - steps.mean(axis=1, keepdims=True)) * 2 / 3 if n_classes > 2 else steps

        return centred

    def loss(margin: np.ndarray) -> np.ndarray:
        return -log_softmax(full(margin), axis=1)[np.arange(N_ROWS), codes]

    # nets are trained together, here alone: the same up to rounding
    check_chains(boost, stages, start, learn, loss, rtol=1e-3, atol=1e-4)


def test_weights_of_one_are_no_weights() -> None:
    """The Hessian weighs rows in either."""
    plain, ones = (classifier(CLASSES[:2]).fit(X, THREE, sample_weight=w) for w in (None, np.ones(N_ROWS)))
    np.testing.assert_array_equal(plain.margin(X), ones.margin(X))


class SmallTables(RegressorMixin, BaseEstimator):
    """Learns a line from more than 40 rows; from fewer it makes nonsense."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> SmallTables:
        self.linear_, self.shift_ = LinearRegression().fit(X, y, sample_weight), 100 * (len(X) <= 40)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.linear_.predict(X) + self.shift_


# margins of rows that a model was trained on leave no residual


@pytest.mark.parametrize(
    "memory", [KNeighborsRegressor(1), DecisionTreeRegressor(random_state=0)], ids=["neighbour", "deep tree"]
)
def test_behind_a_stage_that_knows_its_rows_by_heart_the_next_one_still_learns(memory: Any) -> None:
    noise = np.random.default_rng(1).normal(size=(N_ROWS, 8))
    table = np.column_stack([X, noise])
    np.testing.assert_array_equal(clone(memory).fit(table, NUMBER).predict(table), NUMBER)  # nothing would be left
    stages = [("memory", memory), ("linear", LinearRegression())]
    boost = regressor(stages, learning_rate=0.5).fit(table, NUMBER)
    assert boost.stages_.groupby("fold").size().tolist() == [2, 2, 2]
    assert boost.weights_["linear"] > 0.5
    alone = regressor(stages[:1]).fit(table, NUMBER)
    both, one = (r2_score(NUMBER, each.oof_.margins["blend"][:, 0]) for each in (boost, alone))
    assert both > one + 0.05


# where a chain ends


class Forbidden(RegressorMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        raise AssertionError("fitted, though every chain has ended")

    def predict(self, X: Any) -> Any: ...


def test_a_chain_ends_where_a_stage_does_not_lower_the_loss_inside() -> None:
    noise = np.random.default_rng(1).normal(size=(N_ROWS, 1))
    stages = [("linear", LinearRegression()), ("harm", KNeighborsRegressor(1)), ("forbidden", Forbidden())]
    boost = regressor(stages).fit(np.column_stack([X[:, 0], noise[:, 0]]), NUMBER)
    assert boost.stages_["estimator"].tolist() == ["linear"] * 3
    assert boost.weights_.index.tolist() == list(boost.named_estimators_) == ["linear"]
    assert {e.member for e in boost.ledger_.entries} == {"linear", "blend"}


def test_the_first_stage_is_kept_though_it_be_useless() -> None:
    boost = regressor([("harm", KNeighborsRegressor(1)), ("linear", LinearRegression())]).fit(X[:, 2:], NUMBER)
    assert boost.stages_["stage"].min() == 1
    assert boost.stages_["loss"].max() > NUMBER.var()
    assert np.isfinite(boost.predict(X[:, 2:])).all()


def test_chains_may_end_at_different_stages_and_later_ones_are_zero_there() -> None:
    few, many = np.arange(30), np.arange(30, N_ROWS)
    stages = [("mean", DummyRegressor()), ("large", SmallTables())]
    boost = regressor(stages, cv=[(many, few), (few, many)]).fit(X, NUMBER)
    assert boost.stages_[["fold", "estimator"]].to_numpy().tolist() == [[0, "mean"], [0, "large"], [1, "mean"]]
    later = boost.oof_.margins["large"][:, 0]
    assert (later[few] != 0).all()
    assert (later[many] == 0).all()
    grown, ended = (model.margin(X) for model in boost.models_["large"])
    assert (ended == 0).all()
    np.testing.assert_allclose(boost.member_margins(X)["large"], grown / 2)
    folds_of = [e.fold for e in boost.ledger_.entries if e.member == "large"]
    assert set(folds_of) == {0}


# order="auto"


def test_each_stage_is_the_candidate_that_lowers_the_loss_most() -> None:
    candidates = NUMBERS[:2]
    boost = regressor(candidates, order="auto", n_estimators=3).fit(X, NUMBER)
    assert set(boost.stages_["estimator"]) == {"linear", "tree"}
    assert boost.stages_["stage"].max() <= 3
    for fold, own in boost.stages_.groupby("fold"):
        margin = np.zeros(N_ROWS)
        for _, stage in own.iterrows():
            splits = inner_splits(boost, f"stage {stage['stage']}", fold)
            train = np.concatenate([test for _, test in splits])
            after = {}
            for name, estimator in candidates:
                after[name] = margin.copy()
                for rows, test in splits:
                    model = clone(estimator).fit(X[rows], NUMBER[rows] - margin[rows])
                    after[name][test] += model.predict(X[test])
            losses = {name: np.mean((NUMBER - each)[train] ** 2) for name, each in after.items()}
            assert stage["estimator"] == min(losses, key=lambda name: losses[name])
            assert stage["loss"] == pytest.approx(min(losses.values()))
            margin = after[stage["estimator"]]


def test_stages_that_choose_themselves_are_numbered_and_may_repeat() -> None:
    slow = BoostedTreesRegressor(n_estimators=2, learning_rate=0.3, early_stopping=False)
    boost = regressor([("slow", slow)], order="auto", n_estimators=3).fit(X, NUMBER)
    assert boost.weights_.index.tolist() == ["stage 1", "stage 2", "stage 3"]
    assert (boost.stages_["estimator"] == "slow").all()
    assert all((own["loss"].diff().dropna() < 0).all() for _, own in boost.stages_.groupby("fold"))


def test_classifiers_and_regressors_compete_for_a_stage() -> None:
    boost = classifier([("trees", TREES), ("ridge", Ridge())], order="auto", n_estimators=2).fit(X, THREE)
    assert {"trees", "ridge"} == set(boost.stages_["estimator"])
    boost.ledger_.assert_leak_free()


# weights, learned together


def test_weights_of_all_stages_are_those_of_non_negative_least_squares() -> None:
    boost = regressor().fit(X, NUMBER, sample_weight=WEIGHT)
    steps = np.column_stack([boost.oof_.margins[name][:, 0] for name in boost.weights_.index])
    root, means = np.sqrt(WEIGHT), np.average(steps, axis=0, weights=WEIGHT)
    center = np.average(NUMBER, weights=WEIGHT)
    expected, _ = nnls((steps - means) * root[:, None], (NUMBER - center) * root)
    np.testing.assert_allclose(boost.weights_, expected, atol=1e-9)
    assert len(expected) > 1
    assert (expected > 0).sum() > 1
    np.testing.assert_allclose(boost.intercept_, center - means @ expected)


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["two", "three"])
def test_weights_of_all_stages_minimise_the_log_loss_together(labels: np.ndarray) -> None:
    boost = classifier(CLASSES[:2]).fit(X, labels)
    steps = np.stack([boost.oof_.margins[name] for name in boost.weights_.index])
    codes = np.unique(labels, return_inverse=True)[1]

    def loss(params: np.ndarray) -> float:
        margin = np.tensordot(params[: len(steps)], steps, axes=1) + params[len(steps) :]
        full = np.column_stack([0 * margin, margin]) if margin.shape[1] == 1 else margin
        return -log_softmax(full, axis=1)[np.arange(N_ROWS), codes].mean()

    blend = assemble(boost.oof_, blend_learner(boost.oof_, "nonnegative", seed=0)).final.combiner
    found = np.concatenate([blend.weights, blend.intercept])
    bounds = [(0, None)] * len(steps) + [(None, None)] * steps.shape[2]
    best = minimize(loss, found, bounds=bounds, method="L-BFGS-B")
    assert len(steps) == 2
    assert (boost.weights_ >= 0).all()
    assert loss(found) < best.fun + 1e-5
    # the mean over folds is stretched
    by = boost.weights_[blend.weights > 0] / blend.weights[blend.weights > 0]
    assert np.ptp(by) < 1e-9
    assert 1 < by.iloc[0] < 1.5


@pytest.mark.parametrize("labels", [TWO, THREE, NUMBER], ids=["two", "three", "number"])
def test_margins_add_up(labels: np.ndarray) -> None:
    boost = (regressor() if labels is NUMBER else classifier()).fit(X, labels)
    margins = boost.member_margins(X)
    total = boost.intercept_ + sum(boost.weights_[name] * margins[name] for name in boost.weights_.index)
    np.testing.assert_allclose(boost.margin(X) * boost.temperature_, total, atol=1e-9)
    assert len(margins) > 1
    assert (boost.weights_ >= 0).all()
    assert boost.score(X, labels) > 0.6


# the ledger


def test_the_ledger_is_free_of_leaks_and_tells_where_stages_start() -> None:
    boost = classifier().fit(X, THREE)
    boost.ledger_.assert_leak_free()
    starts = [e for e in boost.ledger_.entries if e.step == "start of the stage"]
    reached = boost.stages_.loc[boost.stages_["stage"] > 1, ["estimator", "fold"]]
    assert {(e.member, e.fold) for e in starts} == set(reached.itertuples(index=False, name=None))
    for e in starts:
        assert e.order == 2
        np.testing.assert_array_equal(e.predicted, boost.oof_.tests[e.fold])
        np.testing.assert_array_equal(np.union1d(e.fitted_on, e.predicted), np.arange(N_ROWS))


STOPPING: Stages = [
    ("trees", BoostedTreesRegressor(n_estimators=3, learning_rate=0.3)),
    ("mlp", TabularMLPRegressor(hidden_layer_sizes=(8,), max_epochs=2)),
]


def test_groups_stay_together_in_folds_inner_folds_and_early_stopping() -> None:
    groups = np.repeat(np.arange(N_ROWS // 6), 6)
    boost = regressor(STOPPING).fit(X, NUMBER, groups=groups)
    assert "early stopping" in {e.step for e in boost.ledger_.entries}
    boost.ledger_.assert_grouped(groups)
    boost.ledger_.assert_leak_free()


@pytest.mark.parametrize(
    "stages", [[("mean", DummyRegressor()), *NUMBERS[:1]], STOPPING], ids=["plain", "stopping early"]
)
@pytest.mark.parametrize("with_splitter", [False, True], ids=["time", "splitter"])
def test_stages_go_forward_in_time(stages: Stages, with_splitter: bool) -> None:
    time = np.arange(N_ROWS) if with_splitter else np.random.default_rng(0).permutation(N_ROWS)
    boost = regressor(stages, cv=TimeSeriesSplit(3) if with_splitter else 3)
    boost.fit(X, NUMBER, time=None if with_splitter else time)
    assert len(boost.weights_) > 1
    boost.ledger_.assert_leak_free()
    boost.ledger_.assert_in_order(time)


def test_stages_add_up_in_the_first_fold_in_time_where_no_weights_are_learned() -> None:
    boost = regressor([("mean", DummyRegressor()), *NUMBERS[:1]]).fit(X, NUMBER, time=np.arange(N_ROWS))
    first, margins = boost.oof_.fold == 0, boost.oof_.margins
    assert first.any()
    np.testing.assert_allclose(margins["blend"][first], (margins["mean"] + margins["linear"])[first])


def test_where_folds_leave_rows_uncovered_one_chain_of_all_rows_predicts() -> None:
    boost = regressor(NUMBERS[:2], cv=TimeSeriesSplit(2)).fit(X, NUMBER)
    assert [len(models) for models in boost.models_.values()] == [1] * len(boost.weights_)
    # two inner folds forward in time: models of the first third, and of the first two
    third = N_ROWS // 3
    first = [LinearRegression().fit(X[:end], NUMBER[:end]).predict(X) for end in (third, 2 * third)]
    np.testing.assert_allclose(boost.member_margins(X)["linear"][:, 0], np.mean(first, axis=0))


# what cannot be a stage, and rare classes


@pytest.mark.parametrize(
    ("boost", "error", "message"),
    [
        (classifier([("a", LogisticRegression())]), TypeError, r"stage 'a' \(LogisticRegression\).*no base_margin"),
        (regressor([("a", TREES)]), TypeError, r"stage 'a' \(BoostedTreesClassifier\) is not a regressor"),
        (classifier([("a", PCA())]), TypeError, r"stage 'a' \(PCA\) is neither a classifier nor a regressor"),
        (classifier([("a", "drop")]), TypeError, "'a' is 'drop', not a scikit-learn estimator"),
        (classifier([("blend", Ridge())]), ValueError, "must not be 'blend'"),
        (classifier([("cv", Ridge())]), ValueError, r"no parameter's; got \['cv'\]"),
        (classifier([]), ValueError, "estimators is empty"),
        (classifier(order="best"), ValueError, "order"),
        (classifier(learning_rate=0.0), ValueError, "learning_rate"),
        (classifier(inner_cv=1), ValueError, "inner_cv"),
    ],
)
def test_what_cannot_be_boosted_is_refused_by_name(boost: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        boost.fit(X, TWO if is_classifier(boost) else NUMBER)


def test_classes_that_inner_training_parts_lack_do_not_stop_the_fit() -> None:
    labels = np.where(np.arange(N_ROWS) < 3, "rare", TWO)
    with pytest.warns(UserWarning, match=r"classes \['rare'\] have fewer rows than cv=4"):
        boost = classifier(cv=4).fit(X, labels)
    assert np.isfinite(boost.oof_.margins["blend"]).all()
    p = boost.predict_proba(X)
    assert p.shape == (N_ROWS, 3)
    assert p[:, 1].mean() < 0.2


@pytest.mark.parametrize("only", ["no", "yes"])
def test_an_inner_training_part_of_one_class_does_not_stop_the_fit(only: str) -> None:
    labels = np.where(np.arange(N_ROWS) < 20, only, TWO)
    boost = classifier(CLASSES[:1]).fit(X, labels, time=np.arange(N_ROWS))
    assert np.isfinite(boost.predict_proba(X)).all()


# the same again


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_two_fits_agree_to_the_last_bit_with_one_worker_or_two(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trees, net = (TREES, NET) if kind == "classification" else (STOPPING[0][1], STOPPING[1][1])
    unseeded = [(name, clone(each).set_params(random_state=None)) for name, each in (("trees", trees), ("mlp", net))]
    build, labels = (classifier, TWO) if kind == "classification" else (regressor, NUMBER)
    first, again, other = (build(unseeded, cv=2, random_state=seed).fit(X, labels) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.margin(X), again.margin(X))
    assert (first.margin(X) != other.margin(X)).any()
    monkeypatch.setattr("hybridlearn.crossfit._parallel._is_worth_workers", lambda *_: True)
    with parallel_config("threading"):  # that start at once
        two = build(unseeded, cv=2, n_jobs=2).fit(X, labels)
    np.testing.assert_array_equal(first.margin(X), two.margin(X))
    pd.testing.assert_frame_equal(first.stages_, two.stages_)


# the picture


def test_stages_are_drawn_fold_by_fold_with_their_mean() -> None:
    boost = regressor().fit(X, NUMBER)
    ax = boost.plot_stages()
    *folds, mean = ax.lines
    assert len(folds) == 3
    for line, (_, own) in zip(folds, boost.stages_.groupby("fold"), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), own["loss"])
        np.testing.assert_array_equal(line.get_xdata(), own["stage"])
    np.testing.assert_allclose(mean.get_ydata(), boost.stages_.groupby("stage")["loss"].mean())
    assert {text.get_text() for text in ax.texts} == set(boost.stages_["estimator"])
    assert boost.plot_stages(ax) is ax
