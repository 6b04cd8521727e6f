"""Adversarial training: nets that fall less, bounds in the loss, and what is left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from skorch.history import History

from hybridlearn import (
    AdditiveNetClassifier,
    FTTransformerClassifier,
    NotCertifiableError,
    TabMClassifier,
    TabMRegressor,
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularResNetClassifier,
)
from hybridlearn.modules import embedded_columns, hull, layers_of, least_by_intervals
from hybridlearn.training import layers_of_net
from hybridlearn.training._adversarial import AdversarialNet
from hybridlearn.training._net import Patience, StopTraining

SMALL: dict[str, Any] = {"max_epochs": 24, "learning_rate": 0.01, "early_stopping": False, "random_state": 0}
EPS = 0.3


def worst_loss(net: Any, X: pd.DataFrame, y: np.ndarray, eps: float) -> float:
    """Binary cross-entropy at the ends of interval bounds, in encoded units of the robust deviation."""
    tensors = net.tensors(X)
    module, x = net.module_.double(), tensors["x_num"].double()
    columns = embedded_columns(module.embedding, x - eps / 2, x + eps / 2, [])
    sign = torch.tensor(np.where(y, 1.0, -1.0)).view(-1, 1, 1)
    with torch.no_grad():
        least = least_by_intervals(layers_of_net(module), *hull(columns), sign)
    return float(torch.nn.functional.softplus(-least).mean())


@pytest.mark.parametrize("net", [TabularMLPClassifier, TabMClassifier, AdditiveNetClassifier])
def test_bounds_in_the_loss_make_bounds_better(net: Any) -> None:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    plain = net(**SMALL).fit(X[::2], y[::2])
    robust = net(adversarial="ibp", adversarial_eps=EPS, **SMALL).fit(X[::2], y[::2])
    assert worst_loss(robust, X[1::2], y[1::2], EPS) < worst_loss(plain, X[1::2], y[1::2], EPS) / 2
    assert robust.score(X[1::2], y[1::2]) > 0.9
    assert {"train_loss", "train_clean_loss", "train_robust_loss"} <= set(robust.history_[-1])


@pytest.mark.parametrize("net", [TabularMLPClassifier, TabularResNetClassifier, FTTransformerClassifier])
def test_descent_in_the_loss_works_for_every_net(net: Any) -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    changes = {"max_epochs": 8}
    model = net(adversarial="pgd", adversarial_eps=EPS, **SMALL | changes).fit(X, y)
    last = model.history_[-1]
    assert last["train_robust_loss"] > last["train_clean_loss"]
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("peak", [0.0, 0.1, 0.35, 0.5, 0.8, 1.0])
def test_steps_find_what_is_worst_inside_the_box_and_at_its_ends(peak: float, training: bool) -> None:
    seen = SimpleNamespace(
        module_=SimpleNamespace(training=training),
        infer=lambda inputs: inputs["x_num"],
        get_loss=lambda outputs, target: -(outputs - target).square().sum(),
    )
    lower, upper = torch.full((500, 1), -3.0), torch.full((500, 1), 5.0)
    worst = torch.full((500, 1), -3.0 + 8.0 * peak)
    found: Any = AdversarialNet._found(seen, ({"x_num": torch.zeros(500, 1)}, worst), lower, upper)  # type: ignore[arg-type]
    assert (found - worst).abs().max() <= 0.1 * 8.0 + 1e-4


@pytest.mark.parametrize("mode", ["pgd", "ibp"])
@pytest.mark.parametrize("net", [TabularMLPRegressor, TabMRegressor])
def test_regressions_are_trained_too(net: Any, mode: str) -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = net(adversarial=mode, adversarial_eps=0.05, **SMALL).fit(X, y)
    assert model.score(X, y) > 0.2
    several = net(adversarial=mode, adversarial_eps=0.05, **SMALL | {"max_epochs": 3}).fit(X, np.column_stack([y, -y]))
    assert several.predict(X).shape == (len(X), 2)


@pytest.mark.parametrize("mode", ["pgd", "ibp"])
def test_labels_margins_and_early_stopping_go_along(mode: str) -> None:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    params = {**SMALL, "early_stopping": True, "max_epochs": 40, "n_iter_no_change": 4}
    net = TabularMLPClassifier(adversarial=mode, adversarial_eps=EPS, hidden_layer_sizes=(16,), **params).fit(X, y)
    # patience begins when the box has grown, an eighth of the epochs later
    assert net.n_iter_ >= 5 + 4
    assert {"valid_loss", "valid_clean_loss", "valid_robust_loss"} <= set(net.history_[-1])
    start = np.where(y, 1.0, -1.0)
    step = TabularMLPClassifier(adversarial=mode, adversarial_eps=EPS, **SMALL | {"max_epochs": 2})
    assert step.fit(X, y, base_margin=start).margin(X).shape == (len(X), 1)
    wine, kinds = load_wine(return_X_y=True, as_frame=True)
    step.fit(wine, kinds, base_margin=np.eye(3)[kinds])
    labels = np.column_stack([y, 1 - y])
    assert step.fit(X, labels).predict(X).shape == labels.shape


def test_mixed_tables_with_gaps() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=200), "kind": rng.choice(["a", "b"], 200), "whole": rng.integers(0, 5, 200)})
    X.loc[::9, "x"] = np.nan
    y = (X["x"].fillna(0) > 0).astype(int)
    for eps in (0.1, {"x": 0.2}, [0.2, 0.0, 1.0]):
        net = TabularMLPClassifier(adversarial="ibp", adversarial_eps=eps, **SMALL | {"max_epochs": 3}).fit(X, y)
        assert net.predict(X).shape == (200,)
    with pytest.raises(ValueError, match="eps names columns that are not in X"):
        TabularMLPClassifier(adversarial="pgd", adversarial_eps={"z": 1.0}).fit(X, y)


def test_a_box_of_nothing_is_no_other_loss() -> None:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    net = TabularMLPClassifier(adversarial="ibp", adversarial_eps=0.0, dropout=0.0, **SMALL).fit(X, y)
    for record in net.history_:
        # but for the chords of the curved embedding
        assert record["train_robust_loss"] == pytest.approx(record["train_clean_loss"], rel=0.02, abs=1e-3)


def test_nets_without_bounds_say_so() -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    for net, layer in ((TabularResNetClassifier, "ResNet"), (FTTransformerClassifier, "FTTransformer")):
        with pytest.raises(NotCertifiableError, match=layer):
            net(adversarial="ibp", **SMALL).fit(X, y)


def test_training_against_changes_is_a_loop_of_its_own() -> None:
    assert TabularMLPClassifier().likeness() is not None
    assert TabularMLPClassifier(adversarial="pgd").likeness() is None


def test_layers_of_a_net_are_those_behind_its_embedding() -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    module = TabularMLPClassifier(hidden_layer_sizes=(8, 4), **SMALL | {"max_epochs": 1}).fit(X, y).module_
    assert len(layers_of_net(module)) == 5
    assert len(layers_of(module.output)) == 1


def test_the_best_epoch_may_be_one_of_the_warm_up() -> None:
    """Validation is at the full box from the start, and a net may have learned enough before the box has grown."""
    net: Any = SimpleNamespace(history=History(), verbose=0)
    net.kept_state = lambda: len(net.history)
    patience = Patience(2)
    patience.on_train_begin(net)

    def epoch(loss: float) -> None:
        net.history.new_epoch()
        net.history.record("epoch", len(net.history))
        net.history.record("valid_loss", loss)
        net.warms_up = len(net.history) <= 4
        patience.on_epoch_end(net)

    for loss in (3.0, 1.0, 2.0, 2.0, 2.0):
        epoch(loss)
    with pytest.raises(StopTraining):
        epoch(2.0)
    assert patience.best_state_ == 2
