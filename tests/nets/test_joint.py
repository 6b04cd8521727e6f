"""Branches of a joint net: which they may be, what of them counts, and how they are reached."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import SMALL_NETS
from _nets import EXACT, category_tables, tiny
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import hybridlearn.training._together
from hybridlearn._protocols import Fit
from hybridlearn._random import seed_nested
from hybridlearn.crossfit import cross_fit
from hybridlearn.modules import MLP, FTTransformer, PeriodicEmbedding, PiecewiseLinearEmbedding, ResNet, TabM
from hybridlearn.nets import (
    FTTransformerClassifier,
    JointNetClassifier,
    JointNetRegressor,
    ModuleClassifier,
    TabMClassifier,
    TabMRegressor,
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularResNetClassifier,
    search_space,
)

MLP_BRANCH = TabularMLPClassifier(**SMALL_NETS["TabularMLP"])
ALL = [
    ("mlp", MLP_BRANCH),
    ("resnet", TabularResNetClassifier(**SMALL_NETS["TabularResNet"])),
    ("ft", FTTransformerClassifier(**SMALL_NETS["FTTransformer"])),
    ("tabm", TabMClassifier(**SMALL_NETS["TabM"])),
]


def joint(branches: Any, **changes: Any) -> JointNetClassifier:
    return tiny(JointNetClassifier, branches=branches, **changes)


# -- what of the branches counts


def test_all_families_are_branches_on_a_mixed_table(mixed: pd.DataFrame) -> None:
    y = mixed["job"].fillna("none")
    net = joint(ALL, max_epochs=40, early_stopping=False).fit(mixed, y)
    kinds = [type(branch.hidden) for branch in net.module_.branches]
    assert kinds == [MLP, ResNet, FTTransformer, TabM]
    assert len(category_tables(net)) == 4
    assert net.embed(mixed).shape == (120, 16 + 16 + 8 + 4 * 16)
    assert net.module_.output.in_features == 104
    assert net.score(mixed, y) >= 0.95
    embedded = torch.tensor(net.embed(mixed))
    outputs = torch.nn.functional.linear(embedded, net.module_.output.weight.double(), net.module_.output.bias.double())
    np.testing.assert_allclose(outputs.softmax(dim=1).detach(), net.predict_proba(mixed), atol=1e-9)


def test_by_default_there_are_a_perceptron_and_a_residual_net(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = JointNetRegressor(max_epochs=1, random_state=0).fit(numbers, noisy)
    assert net.branches == "auto"
    assert [type(branch.hidden) for branch in net.module_.branches] == [MLP, ResNet]
    assert net.embed(numbers).shape == (120, 256 + 192)


def test_architectures_reach_the_module(numbers: np.ndarray, noisy: np.ndarray) -> None:
    wide = clone(MLP_BRANCH).set_params(hidden_layer_sizes=[7, 5], numeric_embedding="target", dropout=0.25, n_bins=3)
    net = joint([("wide", wide), ("mlp", MLP_BRANCH)], dropout=0.125).fit(numbers, noisy > 0)
    first, second = net.module_.branches
    assert [layer.out_features for layer in first.hidden if isinstance(layer, torch.nn.Linear)] == [7, 5]
    assert isinstance(first.embedding.numeric, PiecewiseLinearEmbedding)
    assert isinstance(second.embedding.numeric, PeriodicEmbedding)
    rates = [part.p for part in net.module_.modules() if isinstance(part, torch.nn.Dropout)]
    assert rates == [0.25, 0.25, 0.1, 0.125]


@pytest.mark.parametrize("y", ["numbers", "several numbers", "classes", "labels"])
def test_the_splits_of_every_target_are_found_for_a_branch(y: str, numbers: np.ndarray, noisy: np.ndarray) -> None:
    target = {
        "numbers": noisy,
        "several numbers": numbers[:, :2],
        "classes": np.digitize(noisy, [-1, 1]),
        "labels": (numbers > 0).astype(int),
    }[y]
    kinds = (JointNetRegressor, TabularMLPRegressor) if "numbers" in y else (JointNetClassifier, TabularMLPClassifier)
    branch = kinds[1](hidden_layer_sizes=(8,), numeric_embedding="target")
    net = tiny(kinds[0], branches=[("mlp", branch)]).fit(numbers, target)
    assert np.isfinite(net.margin(numbers)).all()


def test_how_a_branch_would_train_has_no_effect_nor_has_what_it_learned(numbers: np.ndarray, noisy: np.ndarray) -> None:
    expected = joint([("mlp", MLP_BRANCH)]).fit(numbers, noisy > 0).margin(numbers)
    other = clone(MLP_BRANCH).set_params(
        learning_rate=1.0, weight_decay=0.5, batch_size=3, max_epochs=2, early_stopping=False, device="none"
    )
    other.set_params(max_levels=1, loss="focal", class_weight="balanced", random_state=7, verbose=1)
    fitted = clone(MLP_BRANCH).set_params(max_epochs=1).fit(numbers[:50, :2], noisy[:50] > 1)
    for branch in (other, fitted):
        net = joint([("mlp", branch)]).fit(numbers, noisy > 0)
        np.testing.assert_array_equal(net.margin(numbers), expected)
    assert fitted.n_features_in_ == 2, "branches are left as they were"
    assert not hasattr(other, "module_")


def test_one_loss_trains_every_branch(numbers: np.ndarray, noisy: np.ndarray) -> None:
    once, more = (joint(ALL[:2], **EXACT, max_epochs=n).fit(numbers, noisy > 0).module_ for n in (1, 3))
    moved = {name for name, p in once.named_parameters() if not torch.equal(p, dict(more.named_parameters())[name])}
    assert {name for name, _ in once.named_parameters()} == moved


def test_a_joint_net_starts_from_margins_too(numbers: np.ndarray, noisy: np.ndarray) -> None:
    base = 5 * numbers[:, 0]
    from_nothing, from_base = tiny(JointNetRegressor).fit(numbers, noisy), tiny(JointNetRegressor)
    from_base.fit(numbers, noisy + base, base_margin=base)
    np.testing.assert_allclose(from_base.margin(numbers), from_nothing.margin(numbers), atol=0.3)


# -- nested parameters


def test_parameters_of_branches_are_reached_by_name() -> None:
    net = joint([("mlp", clone(MLP_BRANCH)), ("tabm", TabMClassifier())])
    assert net.get_params()["mlp__hidden_layer_sizes"] == (16,)
    assert net.get_params()["tabm"] is net.branches[1][1]
    assert not {"mlp", "mlp__dropout"} & set(net.get_params(deep=False))
    net.set_params(mlp__dropout=0.5, tabm=MLP_BRANCH, dropout=0.25, learning_rate=0.5)
    assert net.branches[0][1].dropout == 0.5
    assert net.branches[1][1] is MLP_BRANCH
    assert (net.dropout, net.learning_rate) == (0.25, 0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'heigth'"):
        net.set_params(mlp__heigth=1)


def test_a_parameter_of_a_default_branch_writes_the_branches_out() -> None:
    net = JointNetClassifier()
    assert {"mlp", "mlp__dropout", "resnet__d_block"} <= set(net.get_params())
    assert net.set_params(learning_rate=0.1).branches == "auto"
    net.set_params(resnet__d_block=8)
    assert [(name, type(branch)) for name, branch in net.branches] == [
        ("mlp", TabularMLPClassifier),
        ("resnet", TabularResNetClassifier),
    ]
    assert net.branches[1][1].d_block == 8
    assert JointNetRegressor().set_params(mlp__dropout=0.0).branches[0][1].dropout == 0.0
    assert net.set_params(branches="auto").branches == "auto"


def test_branches_are_searched_cloned_and_pickled(numbers: np.ndarray, noisy: np.ndarray) -> None:
    grid = {"mlp__hidden_layer_sizes": [(2,), (3,)], "dropout": [0.0, 0.2]}
    search = GridSearchCV(joint([("mlp", MLP_BRANCH)]), grid, cv=2, error_score="raise").fit(numbers, noisy > 0)
    best = search.best_estimator_
    assert best.embed(numbers).shape[1] == search.best_params_["mlp__hidden_layer_sizes"][0]
    again = clone(pickle.loads(pickle.dumps(best))).fit(numbers, noisy > 0)
    np.testing.assert_array_equal(again.margin(numbers), best.margin(numbers))
    assert MLP_BRANCH.hidden_layer_sizes == (16,)
    assert {"dropout", "learning_rate"} <= set(search_space(best))


def test_a_notebook_shows_the_branches_side_by_side() -> None:
    html = joint(ALL)._repr_html_()
    assert all(name in html for name in ("mlp", "resnet", "ft", "tabm"))


# -- branches that cannot be


@pytest.mark.parametrize(
    ("branches", "error", "message"),
    [
        ([], ValueError, "branches is empty"),
        ([MLP_BRANCH], TypeError, r"branches must hold \(name, estimator\) pairs, got TabularMLP"),
        ([("a", MLP_BRANCH), ("a", MLP_BRANCH)], ValueError, r"must be unique.*got \['a'\]"),
        ([("a__b", MLP_BRANCH)], ValueError, r"without '__'.*got \['a__b'\]"),
        ([("dropout", MLP_BRANCH)], ValueError, r"no parameter's; got \['dropout'\]"),
        ([("", MLP_BRANCH)], ValueError, r"not empty.*got \[''\]"),
        ([("a", LogisticRegression())], TypeError, "branch 'a' must be a TabularMLP.*got LogisticRegression"),
        ([("a", ModuleClassifier(module=torch.nn.Linear))], TypeError, "branch 'a' must be a .*got ModuleClassifier"),
        ([("a", JointNetClassifier())], TypeError, "branch 'a' must be a .*got JointNetClassifier"),
        ([("a", TabularMLPClassifier)], TypeError, "branch 'a' must be a .*got <class"),
        ([("a", TabMRegressor())], TypeError, r"branch 'a' \(TabMRegressor\) is not a classifier"),
        ([("a", TabMClassifier(k=0))], ValueError, "branch 'a' cannot be built: The 'k' parameter of TabMClassifier"),
        (
            [("a", MLP_BRANCH), ("b", TabularMLPClassifier(hidden_layer_sizes=()))],
            ValueError,
            r"branch 'b' cannot be built: hidden_layer_sizes=\(\) must hold positive ints",
        ),
        ("all", ValueError, "The 'branches' parameter of JointNetClassifier must be a str among {'auto'}"),
    ],
)
def test_what_is_no_branch_is_named(
    branches: Any, error: type[Exception], message: str, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    net = joint(branches)
    for fit in (net.fit, net.partial_fit):
        with pytest.raises(error, match=message):
            fit(numbers, noisy > 0)
    assert not hasattr(net, "module_")
    assert net.get_params()["branches"] is branches
    assert clone(net).likeness() is not None


# -- many as one program


def levels(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(list("abcdefghij"), n)})
    return X, (X["a"] + (X["b"] < "d") + rng.normal(size=n) > 0.5).to_numpy()


BRANCHES = [branch for branch in ALL if branch[0] != "ft"]


def test_nets_of_the_same_branches_learn_together_what_each_learns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = levels(150)
    parts = [np.delete(np.arange(150), np.arange(k * 20, k * 30 + 20)) for k in range(4)]
    nets = [joint(BRANCHES, random_state=i, dropout=0.1 * i, max_epochs=8) for i in range(4)]
    fits = [Fit(clone(net), X.iloc[part], y[part], {}) for net, part in zip(nets, parts, strict=True)]
    with monkeypatch.context() as patch:
        patch.setattr(hybridlearn.training._together, "train", None)
        assert JointNetClassifier.fit_together(fits) == [None] * 4
    for net, fit in zip(nets, fits, strict=True):
        together, alone = fit.estimator.margin(X), net.fit(fit.X, fit.y).margin(X)
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_only_what_shapes_a_branch_keeps_nets_apart() -> None:
    net = joint([("mlp", clone(MLP_BRANCH)), ("tabm", TabMClassifier())])
    seeded = seed_nested(clone(net), np.random.RandomState(0))
    assert seeded.branches[0][1].random_state is not None
    like = [{"mlp__dropout": 0.5}, {"mlp__max_epochs": 1}, {"tabm__device": "x"}, {"tabm__class_weight": "balanced"}]
    for changes in [{}, {"learning_rate": 1.0, "dropout": 0.5}, *like]:
        assert clone(seeded).set_params(**changes).likeness() == net.likeness(), changes
    other = [{"mlp__hidden_layer_sizes": (4,)}, {"tabm__k": 2}, {"mlp__numeric_embedding": "none"}, {"max_levels": 3}]
    for changes in [*other, {"mlp": TabularResNetClassifier()}, {"branches": net.branches[:1]}]:
        assert clone(net).set_params(**changes).likeness() != net.likeness(), changes
    assert clone(seeded).set_params(branches="auto").likeness() != net.likeness()


def test_a_cross_fit_trains_its_folds_as_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = levels(150)
    sizes: list[int] = []
    original = JointNetClassifier.fit_together

    def fit_together(fits: Any) -> Any:
        sizes.append(len(list(fits)))
        return original(fits)

    monkeypatch.setattr(JointNetClassifier, "fit_together", staticmethod(fit_together))
    net = joint(BRANCHES, random_state=None)
    oof = cross_fit([("joint", net)], X, y, cv=3, random_state=0)
    assert sizes == [3]
    assert np.isfinite(oof.margins["joint"]).all()
