"""Many estimators on the same folds: the table of GridSearchCV, weights of their own, errors that say what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hybridlearn
import hybridlearn.training._together
from hybridlearn.crossfit import MemberError, fit_many
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

NET = {"hidden_layer_sizes": (8,), "max_epochs": 6, "random_state": 0, "device": "cpu"}
GRID = {"learning_rate": [0.005, 0.02], "weight_decay": [0.0, 0.1]}


def settings_of(estimator: Any, grid: dict[str, list]) -> list[Any]:
    return [clone(estimator).set_params(**params) for params in ParameterGrid(grid)]


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "roc_auc", "f1"])
def test_the_table_is_that_of_grid_search(table, scoring: str | None) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.01, 1.0, 100.0]}
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, cv=folds, scoring=scoring).fit(table.X, table.two)
    many = fit_many(settings_of(pipeline, grid), table.X, table.two, folds=folds, scoring=scoring)
    assert many.cv_results_["params"] == search.cv_results_["params"]
    # margins are of probabilities clipped at 1 / (2 n_train)
    rtol = 1e-3 if scoring == "neg_log_loss" else 1e-9
    for name in ("mean_test_score", "std_test_score", "rank_test_score", *(f"split{k}_test_score" for k in range(4))):
        np.testing.assert_allclose(many.cv_results_[name], search.cv_results_[name], rtol=rtol, err_msg=name)
    column = many.cv_results_["param_logisticregression__C"]
    assert isinstance(column, np.ma.MaskedArray)
    assert column.tolist() == search.cv_results_["param_logisticregression__C"].tolist()
    assert many.best_index_ == search.best_index_
    assert many.best_params_ == search.best_params_
    assert many.best_score_ == pytest.approx(search.best_score_, rel=rtol)


def test_labels_of_text_are_scored_as_they_are(table) -> None:
    y = np.where(table.three == 1, "mid", np.where(table.three == 0, "low", "up"))
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=KFold(3)).fit(table.X, y)
    many = fit_many(settings_of(LogisticRegression(), {"C": [0.1, 1.0]}), table.X, y, folds=KFold(3))
    np.testing.assert_allclose(many.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_a_regression_is_scored_by_its_determination(table) -> None:
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 100.0]}, cv=KFold(3)).fit(table.X, table.number)
    many = fit_many(settings_of(Ridge(), {"alpha": [0.1, 100.0]}), table.X, table.number, folds=KFold(3))
    np.testing.assert_allclose(many.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


@pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
def test_nets_that_are_tuned_go_together_and_score_as_in_grid_search(
    table, cls: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = table.two if cls is TabularMLPClassifier else table.number
    scoring = "neg_log_loss" if cls is TabularMLPClassifier else "neg_mean_squared_error"
    net, folds = cls(**NET), KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(net, GRID, cv=folds, scoring=scoring).fit(table.X, y)

    def refuse(*args: Any) -> None:
        raise AssertionError("trained alone")

    monkeypatch.setattr(hybridlearn.training._together, "train", refuse)
    many = fit_many(settings_of(net, GRID), table.X, y, folds=folds, scoring=scoring)
    expected = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(many.cv_results_["mean_test_score"], expected, rtol=1e-4)
    assert many.best_params_ == search.best_params_
    assert [len(models) for models in many.estimators] == [3] * 4
    many.oof.ledger.assert_leak_free()


def test_estimators_of_other_kinds_show_what_they_have(table) -> None:
    many = fit_many([LogisticRegression(C=2.0), TabularMLPClassifier(**NET)], table.X, table.two, folds=3)
    assert many.cv_results_["params"][0]["C"] == 2.0
    assert many.cv_results_["param_C"].mask.tolist() == [False, True]
    assert many.frame.shape[0] == 2


def test_one_estimator_has_no_params_and_is_the_best(table) -> None:
    many = fit_many([LogisticRegression()], table.X, table.two, folds=3)
    assert many.cv_results_["params"] == [{}]
    assert many.best_index_ == 0


# -- weights


def test_weights_of_ones_own_are_those_of_a_fit_on_the_rows_that_have_any(table) -> None:
    """Bootstraps: rows that were not drawn do not train; they are tested all the same."""
    rng = np.random.default_rng(0)
    own = np.stack([np.bincount(rng.integers(0, 150, 150), minlength=150) for _ in range(3)]).astype(float)
    splits = list(KFold(3, shuffle=True, random_state=0).split(table.X))
    nets = [TabularMLPRegressor(**NET) for _ in range(3)]
    many = fit_many(nets, table.X, table.number, folds=splits, sample_weights=own)
    assert many.oof.covered.all()
    for i, models in enumerate(many.estimators):
        for (train, test), model in zip(splits, models, strict=True):
            kept = train[own[i, train] > 0]
            alone = TabularMLPRegressor(**NET).fit(table.X[kept], table.number[kept], sample_weight=own[i, kept])
            np.testing.assert_allclose(model.predict(table.X[test]), alone.predict(table.X[test]), rtol=1e-3, atol=1e-3)
    for entry in many.oof.ledger.entries:
        if entry.step == "fit":
            assert (own[int(entry.member), many.oof.positions[entry.fitted_on]] > 0).all()


def test_weights_for_all_weigh_the_scores_too(table) -> None:
    weight = np.random.default_rng(0).integers(0, 3, 150).astype(float)
    many = fit_many([Ridge()], table.X, table.number, folds=3, sample_weights=weight, random_state=0)
    keep = weight > 0
    assert many.oof.positions.tolist() == np.flatnonzero(keep).tolist()
    doubled = fit_many([Ridge()], table.X, table.number, folds=3, sample_weights=2 * weight, random_state=0)
    assert doubled.best_score_ == pytest.approx(many.best_score_, rel=1e-2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 150)), r"shape \(n_rows,\) or \(1, n_rows\), a row for each estimator; got \(2, 150\)"),
        (np.ones((1, 149)), "149"),
        (np.full((1, 150), -1.0), "none below 0"),
        (np.full((1, 150), np.nan), "finite"),
        (np.ones(149), "149"),
        (np.zeros((1, 150)), "estimator 0 are all 0"),
        ([None, np.ones(150)], "must be numbers"),
    ],
)
def test_weights_that_cannot_be_used_are_said_to_be(table, weights: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_many([Ridge()], table.X, table.number, sample_weights=weights)


# -- what else a user may do


def test_folds_in_time_order_leave_the_first_rows_without_margins(table) -> None:
    many = fit_many([Ridge()], table.X, table.number, folds=TimeSeriesSplit(3))
    assert 0 < many.oof.coverage < 1
    assert np.isfinite(many.best_score_)


def test_frames_and_a_name_at_the_top(table) -> None:
    X = pd.DataFrame(table.X).add_prefix("c").assign(k=pd.Categorical(np.where(table.X[:, 0] > 0, "p", "m")))
    many = hybridlearn.fit_many([TabularMLPClassifier(**NET)] * 2, X, table.two, folds=2, random_state=0)
    assert many.cv_results_["mean_test_score"].shape == (2,)


def test_a_failing_estimator_is_named_by_its_position(table) -> None:
    nets = [TabularMLPClassifier(**NET), TabularMLPClassifier(**NET, learning_rate=-1)]
    with pytest.raises(MemberError, match=r"member '1' failed.*learning_rate"):
        fit_many(nets, table.X, table.two, folds=2)


@pytest.mark.parametrize(
    ("estimators", "error", "message"),
    [
        ([], ValueError, "estimators is empty"),
        ([Ridge(), LogisticRegression()], TypeError, "regressor"),
        ([Ridge], TypeError, "Ridge"),
    ],
)
def test_lists_that_cannot_be_used_are_said_to_be(table, estimators: list, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        fit_many(estimators, table.X, table.number)


def test_a_score_that_does_not_suit_is_known_before_the_fits(table) -> None:
    with pytest.raises(ValueError, match="roc_auc"):
        fit_many([Ridge()], table.X, table.number, scoring="roc_auc")


def test_a_list_of_scores_is_refused(table) -> None:
    with pytest.raises(TypeError, match="must be one score"):
        fit_many([Ridge()], table.X, table.number, scoring=["r2", "neg_mean_squared_error"])


def test_a_score_that_is_no_number_ranks_last(table) -> None:
    y = np.sort(table.two)
    models = settings_of(LogisticRegression(), {"C": [0.1, 1.0]})
    with pytest.warns(UserWarning, match="rank last|Only one class is present"):
        many = fit_many(models, table.X, y, folds=KFold(3), scoring="roc_auc")
    assert many.cv_results_["rank_test_score"].tolist() == [1, 1]


def test_a_generator_of_estimators_is_a_list_of_them(table) -> None:
    many = fit_many((Ridge(alpha=a) for a in (0.1, 1.0)), table.X, table.number, folds=3)
    assert [params["alpha"] for params in many.cv_results_["params"]] == [0.1, 1.0]


def test_a_part_that_is_another_shows_itself(table) -> None:
    pipelines = [make_pipeline(StandardScaler(), LogisticRegression()), make_pipeline(StandardScaler(), GaussianNB())]
    bagged = [BaggingClassifier(LogisticRegression(), 2), BaggingClassifier(GaussianNB(), 2)]
    assert "steps" in fit_many(pipelines, table.X, table.two, folds=2).cv_results_["params"][0]
    shown = fit_many(bagged, table.X, table.two, folds=2).cv_results_["param_estimator"]
    assert [type(estimator) for estimator in shown] == [LogisticRegression, GaussianNB]
