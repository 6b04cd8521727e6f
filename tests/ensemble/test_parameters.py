"""Parameters of members by name: read, set, cloned, searched; and the members that nobody has chosen."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridlearn.cli import main
from hybridlearn.datasets import load_mortgages
from hybridlearn.ensemble import HybridClassifier, HybridRegressor, default_members
from hybridlearn.ensemble._members import PRESETS
from hybridlearn.nets import TabMClassifier, TabMRegressor, TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import TableEncoder
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

NAMES = ["trees", "random_trees", "mlp", "tabm", "linear"]
SMALL_NET = {"hidden_layer_sizes": (8,), "max_epochs": 2}
# Nobody's choice, made quick.
QUICK_AUTO = {
    "cv": 2,
    "trees__n_estimators": 5,
    "random_trees__n_estimators": 5,
    "mlp__max_epochs": 2,
    "mlp__hidden_layer_sizes": (8,),
    "tabm__max_epochs": 2,
    "tabm__d_block": 8,
    "random_state": 0,
}


@pytest.mark.parametrize("cls", [HybridClassifier, HybridRegressor])
def test_default_members_are_two_boosters_two_nets_and_a_linear_model(cls: type) -> None:
    classification = cls is HybridClassifier
    trees, random, net, tabm, linear = (member for _, member in default_members(classification=classification))
    assert [name for name, _ in default_members(classification=classification)] == NAMES
    assert type(trees) is type(random) is (BoostedTreesClassifier if classification else BoostedTreesRegressor)
    assert trees.max_features > random.max_features
    assert type(tabm) is (TabMClassifier if classification else TabMRegressor)
    assert type(net) is (TabularMLPClassifier if classification else TabularMLPRegressor)
    assert isinstance(linear[-1], LogisticRegression if classification else RidgeCV)
    assert isinstance(linear[0], TableEncoder)


@pytest.mark.parametrize("cls", [HybridClassifier, HybridRegressor])
def test_auto_fits_a_mixed_frame(mixed, cls: type) -> None:
    frame, y = mixed
    frame = frame.assign(when=pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(160), unit="D"))
    hybrid = cls().set_params(**QUICK_AUTO).fit(frame, y)
    assert hybrid.weights_.index.tolist() == NAMES
    assert hybrid.feature_names_in_.tolist() == frame.columns.tolist()
    assert hybrid.n_features_in_ == 5
    assert {model.device for models in hybrid.estimators_[:4] for model in models} == {"auto"}


def fitted_members(hybrid: HybridClassifier, n_rows: int, n_classes: int = 2) -> list[str]:
    work = SimpleNamespace(rows=range(n_rows), classes=np.arange(n_classes))
    return [name for name, _ in hybrid._members(work)]


def test_the_slow_members_of_auto_are_left_out_unless_they_are_asked_for() -> None:
    hybrid = HybridClassifier()
    assert fitted_members(hybrid, 4000) == NAMES
    assert fitted_members(hybrid, 4001) == [name for name in NAMES if name != "tabm"]
    assert fitted_members(hybrid, 4000, 10) == NAMES
    assert fitted_members(hybrid, 4000, 11) == [name for name in NAMES if name != "random_trees"]
    best = [name for name, _ in default_members(preset="best", classification=True)]
    assert fitted_members(HybridClassifier(preset="best"), 10**6, 11) == best
    assert fitted_members(hybrid.set_params(tabm__k=4), 4001) == NAMES


def test_members_of_auto_are_read_without_being_written_out() -> None:
    hybrid = HybridClassifier()
    params = hybrid.get_params()
    assert params["mlp__learning_rate"] == 2e-3
    assert params["linear__model__C"] == 1.0
    assert isinstance(params["trees"], BoostedTreesClassifier)
    assert params["estimators"] == hybrid.estimators == "auto"
    assert set(hybrid.get_params(deep=False)) < set(params)
    assert not any("__" in name for name in hybrid.get_params(deep=False))


def test_a_parameter_of_a_member_of_auto_is_set_by_name() -> None:
    hybrid = HybridClassifier().set_params(mlp__learning_rate=0.1, linear__model__C=7.0, cv=3)
    assert hybrid.get_params()["mlp__learning_rate"] == 0.1
    assert hybrid.get_params()["linear__model__C"] == 7.0
    assert hybrid.get_params()["trees__learning_rate"] == HybridClassifier().get_params()["trees__learning_rate"]
    assert hybrid.cv == 3
    assert [name for name, _ in hybrid.estimators] == NAMES
    copy = clone(hybrid)
    assert copy.get_params()["mlp__learning_rate"] == 0.1
    assert copy.get_params()["mlp"] is not hybrid.get_params()["mlp"]


@pytest.mark.parametrize("classification", [True, False])
def test_presets_hold_more_and_more_members(classification: bool) -> None:
    fast, balanced, best = (
        [name for name, _ in default_members(preset=preset, classification=classification)]
        for preset in ("fast", "balanced", "best")
    )
    assert 1 < len(fast) < len(balanced) < len(best)
    assert best[: len(balanced)] == balanced
    cls = HybridClassifier if classification else HybridRegressor
    assert set(best) < set(cls(preset="best").get_params())


def test_the_command_line_knows_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert f"--preset {{{','.join(PRESETS)}}}" in capsys.readouterr().out


def test_members_are_those_of_the_preset_that_is_set_with_their_parameters() -> None:
    hybrid = HybridClassifier().set_params(tabm__k=4, preset="best")
    assert hybrid.get_params()["tabm__k"] == 4
    assert [name for name, _ in hybrid.estimators] == [
        name for name, _ in default_members(preset="best", classification=True)
    ]
    with pytest.raises(ValueError, match="tabm"):
        HybridClassifier(preset="best").set_params(tabm__k=4, preset="fast")


def test_an_unknown_preset_is_named_by_fit_and_harmless_before(mixed) -> None:
    hybrid = HybridClassifier(preset="quick")
    assert hybrid.get_params()["preset"] == "quick"
    with pytest.raises(ValueError, match="'preset' parameter of HybridClassifier must be a str among"):
        hybrid.fit(*mixed)
    with pytest.raises(ValueError, match="preset must be one of"):
        default_members(preset="quick", classification=True)


def test_own_parameters_leave_auto_alone() -> None:
    assert HybridClassifier().set_params(cv=3, threshold=0.2).estimators == "auto"
    assert clone(HybridClassifier(cv=3)).estimators == "auto"


def test_a_member_is_replaced_by_name() -> None:
    hybrid = HybridClassifier().set_params(mlp=GaussianNB(), mlp__var_smoothing=1e-3)
    assert isinstance(dict(hybrid.estimators)["mlp"], GaussianNB)
    assert hybrid.get_params()["mlp__var_smoothing"] == 1e-3
    listed = HybridClassifier(estimators=[("a", GaussianNB()), ("b", LogisticRegression())])
    listed.set_params(a=LogisticRegression(C=3))
    assert [(name, type(member).__name__) for name, member in listed.estimators] == [
        ("a", "LogisticRegression"),
        ("b", "LogisticRegression"),
    ]
    assert listed.get_params()["a__C"] == 3


def test_estimators_and_their_parameters_are_set_at_once() -> None:
    hybrid = HybridClassifier(estimators=[("a", GaussianNB())])
    hybrid.set_params(estimators=[("b", LogisticRegression())], b__C=2)
    assert hybrid.get_params()["b__C"] == 2
    hybrid.set_params(estimators="auto", mlp__dropout=0.3)
    assert hybrid.get_params()["mlp__dropout"] == 0.3


@pytest.mark.parametrize("unknown", [{"bogus": 1}, {"bogus__C": 1}])
@pytest.mark.parametrize("estimators", ["auto", [("mlp", GaussianNB())]], ids=["auto", "list"])
def test_an_unknown_parameter_changes_nothing(estimators: Any, unknown: dict[str, Any]) -> None:
    hybrid = HybridClassifier(estimators=estimators)
    with pytest.raises(ValueError, match="Invalid parameter 'bogus'"):
        hybrid.set_params(**unknown)
    assert hybrid.estimators is estimators


def test_fit_leaves_the_members_it_was_given_alone(table) -> None:
    trees = BoostedTreesClassifier(n_estimators=3)
    hybrid = HybridClassifier(estimators=[("trees", trees)], cv=2, device="cpu", random_state=0)
    before = trees.get_params()
    hybrid.fit(table.X, table.two)
    assert trees.get_params() == before
    assert not hasattr(trees, "booster_")
    assert hybrid.estimators[0][1] is trees
    assert {model.device for model in hybrid.named_estimators_.trees} == {"cpu"}


def test_the_device_goes_to_members_that_leave_it_open(table) -> None:
    members = [
        ("open", make_pipeline(FunctionTransformer(), TabularMLPClassifier(**SMALL_NET))),
        ("decided", TabularMLPClassifier(device="cpu", **SMALL_NET)),
    ]
    hybrid = HybridClassifier(estimators=members, device="cuda:99", cv=2)
    with pytest.raises(ValueError, match=r"device='cuda:99' is not present"):
        hybrid.fit(table.X, table.two)
    hybrid.set_params(estimators=members[1:]).fit(table.X, table.two)


def test_a_clone_is_unfitted_and_learns_the_same(table, members) -> None:
    hybrid = HybridClassifier(estimators=members, cv=2, random_state=0).fit(table.X, table.two)
    copy = clone(hybrid)
    assert [name for name in vars(copy) if name.endswith("_")] == []
    assert repr(copy) == repr(hybrid)
    expected = hybrid.decision_function(table.X)
    np.testing.assert_array_equal(copy.fit(table.X, table.two).decision_function(table.X), expected)


def test_a_pickle_keeps_table_ledger_and_board(mixed) -> None:
    frame, y = mixed
    hybrid = HybridClassifier().set_params(**QUICK_AUTO).fit(frame, y)
    again = pickle.loads(pickle.dumps(hybrid))
    np.testing.assert_array_equal(again.predict_proba(frame), hybrid.predict_proba(frame))
    pd.testing.assert_frame_equal(again.leaderboard_, hybrid.leaderboard_)
    pd.testing.assert_frame_equal(again.oof_.frame, hybrid.oof_.frame)
    pd.testing.assert_frame_equal(again.ledger_.frame, hybrid.ledger_.frame)
    again.ledger_.assert_leak_free()


def test_a_notebook_is_shown_the_members() -> None:
    for estimators, names in [("auto", NAMES), ([("mine", GaussianNB())], ["mine"])]:
        html = HybridClassifier(estimators=estimators)._repr_html_()
        assert "HybridClassifier" in html
        assert all(f"<label>{name}" in html for name in names)


def test_a_grid_search_tunes_a_net_inside_a_hybrid_inside_a_pipeline() -> None:
    """On the mortgages, with text labels and a frame."""
    X, y = load_mortgages()
    rows = np.random.default_rng(0).choice(len(y), 500, replace=False)
    X, y = X.iloc[rows], y.iloc[rows]
    members = [
        ("mlp", TabularMLPClassifier(hidden_layer_sizes=(8,), max_epochs=4)),
        ("linear", make_pipeline(TableEncoder(encode="onehot"), LogisticRegression())),
    ]
    pipeline = Pipeline([("same", FunctionTransformer()), ("hybrid", HybridClassifier(estimators=members, cv=2))])
    grid = {"hybrid__mlp__learning_rate": [1e-5, 0.02], "hybrid__random_state": [0]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert y.tolist().count("yes") > 20
    chosen = search.best_params_["hybrid__mlp__learning_rate"]
    fitted = search.best_estimator_["hybrid"]
    assert {model.learning_rate for model in fitted.named_estimators_.mlp} == {chosen}
    assert set(search.predict(X)) <= {"no", "yes"}
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    # the parameter reaches the net: almost at rest it knows less than its rival
    by_hand = [
        cross_val_score(clone(pipeline).set_params(hybrid__mlp__learning_rate=rate, hybrid__random_state=0), X, y,
                        cv=search.cv, scoring="neg_log_loss").mean()
        for rate in (1e-5, 0.02)
    ]  # fmt: skip
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand)
