"""Nets fitted together are the nets that their own fits would give."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import CLASSIFIERS, NETS, TABLE_NETS, tiny
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from torch import nn

import hybridlearn.nets._together
import hybridlearn.training._together
from hybridlearn._protocols import Fit, FitsTogether
from hybridlearn.crossfit import cross_fit
from hybridlearn.nets import ModuleClassifier, TabMClassifier, TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.nets._base import BaseNet
from hybridlearn.training import DivergedError

N_ROWS = 150
# attention drops out inside torch's own kernel, which torch.func cannot map: such a net is trained alone
STACKED = [cls for cls in NETS if "FTTransformer" not in cls.__name__]


def mixed_table(seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps in a few rows, and categories with levels that few rows have."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=list("abc"))
    X.loc[:1, "b"] = np.nan
    X["d"] = rng.choice(["x", "y", "z"], N_ROWS, p=[0.6, 0.38, 0.02])
    X["e"] = rng.choice(list("abcdefghijklmnopqrst"), N_ROWS)
    return X


def data_for(cls: type[BaseNet]) -> tuple[Any, np.ndarray]:
    X = mixed_table()
    y = X["a"].to_numpy() + 0.5 * np.random.default_rng(1).normal(size=N_ROWS)
    if cls in CLASSIFIERS:
        y = np.digitize(y, [-0.5, 0.5])
    return (X if cls in TABLE_NETS else X[["a", "c"]].to_numpy()), y


def parts_of(X: Any, n_parts: int) -> list[np.ndarray]:
    """Training parts of different sizes."""
    order = np.random.default_rng(2).permutation(len(X))
    return [np.sort(np.delete(order, np.arange(k * 17, k * 17 + 20 + k))) for k in range(n_parts)]


def fits_of(nets: list[Any], X: Any, y: np.ndarray, params: list[dict] | None = None) -> list[Fit]:
    fits = []
    for i, (net, part) in enumerate(zip(nets, parts_of(X, len(nets)), strict=True)):
        own = {} if params is None else {name: value[part] for name, value in params[i].items()}
        fits.append(Fit(net, X.iloc[part] if hasattr(X, "iloc") else X[part], y[part], own))
    return fits


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("trained alone")

    monkeypatch.setattr(hybridlearn.training._together, "train", refuse)


@pytest.mark.parametrize("cls", STACKED)
@pytest.mark.usefixtures("no_loop")
def test_together_is_alone_up_to_rounding(cls: type[BaseNet]) -> None:
    X, y = data_for(cls)
    rng = np.random.default_rng(3)
    changes = [
        {"learning_rate": 0.01, "weight_decay": 0.0},
        {"learning_rate": 0.02, "n_iter_no_change": 2},
        {"early_stopping": False, "l1": 1e-4},
        {"weight_averaging": 0.0, "max_epochs": 4, "gradient_clipping": 0.5},
    ]
    nets = [tiny(cls, random_state=i, **{"max_epochs": 8, **own}) for i, own in enumerate(changes)]
    weights = [{"sample_weight": rng.integers(0, 3, N_ROWS).astype(float)} for _ in nets]
    fits = fits_of([clone(net) for net in nets], X, y, weights)
    assert len({fit.estimator.likeness() for fit in fits}) == 1
    assert isinstance(fits[0].estimator, FitsTogether)
    assert cls.fit_together(fits) == [None] * 4
    for net, fit in zip(nets, fits, strict=True):
        net.fit(fit.X, fit.y, **fit.params)
        together = fit.estimator
        assert vars(together).keys() == vars(net).keys()
        assert together.n_iter_ == net.n_iter_
        np.testing.assert_array_equal(together.stopping_rows_, net.stopping_rows_)
        for record, expected in zip(together.history_, net.history_, strict=True):
            assert record == pytest.approx(expected, rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(together.margin(X), net.margin(X), rtol=1e-3, atol=1e-4)


def test_attention_is_trained_alone_and_the_same_to_the_last_bit() -> None:
    cls = hybridlearn.nets.FTTransformerClassifier
    X, y = data_for(cls)
    nets = [tiny(cls, random_state=i) for i in range(2)]
    fits = fits_of([clone(net) for net in nets], X, y)
    assert cls.fit_together(fits) == [None, None]
    for net, fit in zip(nets, fits, strict=True):
        np.testing.assert_array_equal(net.fit(fit.X, fit.y).margin(X), fit.estimator.margin(X))


@pytest.mark.usefixtures("no_loop")
def test_class_weights_and_losses_of_labels_have_their_own_too() -> None:
    X, y = data_for(TabularMLPClassifier)
    several = np.column_stack([y > 0, y > 1]).astype(int)
    for target, own in ((y, {"class_weight": "balanced", "loss": "logit_adjusted"}), (several, {"loss": "focal"})):
        nets = [tiny(TabularMLPClassifier, random_state=i, **own) for i in range(3)]
        fits = fits_of([clone(net) for net in nets], X, target)
        assert TabularMLPClassifier.fit_together(fits) == [None] * 3
        for net, fit in zip(nets, fits, strict=True):
            np.testing.assert_allclose(fit.estimator.margin(X), net.fit(fit.X, fit.y).margin(X), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("no_loop")
def test_time_goes_together_too() -> None:
    X, y = data_for(TabularMLPClassifier)
    time = np.random.default_rng(0).permutation(N_ROWS) // 2
    nets = [tiny(TabularMLPClassifier, random_state=i) for i in range(3)]
    fits = fits_of([clone(net) for net in nets], X, y, [{"time": time}] * 3)
    assert TabularMLPClassifier.fit_together(fits) == [None] * 3
    for net, fit in zip(nets, fits, strict=True):
        net.fit(fit.X, fit.y, **fit.params)
        stopping, time_of_fit = fit.estimator.stopping_rows_, fit.params["time"]
        np.testing.assert_array_equal(stopping, net.stopping_rows_)
        assert np.delete(time_of_fit, stopping).max() < time_of_fit[stopping].min()
        np.testing.assert_allclose(fit.estimator.margin(X), net.margin(X), rtol=1e-3, atol=1e-4)


# -- who goes with whom


def test_what_each_net_has_of_its_own_keeps_them_alike_and_what_shapes_it_does_not() -> None:
    net = tiny(TabularMLPClassifier)
    for name in hybridlearn.nets._together._OWN - {"verbose", "warm_start"}:
        assert clone(net).set_params(**{name: "something else"}).likeness() == net.likeness(), name
    for name in net.get_params().keys() - hybridlearn.nets._together._OWN:
        assert clone(net).set_params(**{name: "something else"}).likeness() != net.likeness(), name
    assert tiny(TabMClassifier).likeness() != net.likeness()


def test_a_net_that_is_watched_or_goes_on_is_fitted_alone() -> None:
    assert tiny(TabularMLPClassifier, verbose=1).likeness() is None
    assert tiny(TabularMLPClassifier, warm_start=True).likeness() is None
    assert tiny(TabularMLPClassifier).set_callbacks(ProgressBar()).likeness() is None
    assert ModuleClassifier(module=lambda n_features, n_outputs: nn.Linear(n_features, n_outputs)).likeness() is None


def test_the_size_is_asked_of_a_copy_and_an_error_is_left_to_the_fit() -> None:
    X, y = data_for(TabularMLPClassifier)
    net = tiny(TabularMLPClassifier)
    assert net.n_together(Fit(net, X, y, {}), [net] * 3) > 20
    large = tiny(TabularMLPClassifier, hidden_layer_sizes=(2000, 2000))
    assert large.n_together(Fit(large, X, y, {}), [large] * 3) == 1
    assert net.n_together(Fit(net, X, y[:-1], {}), [net] * 3) == 1
    endless = tiny(TabularMLPClassifier, max_epochs=1_000_000)
    assert net.n_together(Fit(net, X, y, {}), [net, endless]) == 1
    with pytest.raises(NotFittedError):
        net.margin(X)


def test_what_cannot_be_stacked_leaves_the_folds_to_other_processes() -> None:
    cls = hybridlearn.nets.FTTransformerClassifier
    X, y = data_for(cls)
    net = tiny(cls)
    assert net.n_together(Fit(net, X, y, {}), [net] * 3) == 1


def test_a_class_with_a_fit_of_its_own_is_asked() -> None:
    class Loud(TabularMLPClassifier):
        def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Loud:
            return super().fit(X, y, sample_weight=sample_weight, groups=groups)

    assert tiny(TabularMLPClassifier).likeness() is not None
    assert Loud().likeness() is None


def test_one_lost_margin_is_the_error_of_its_own_net() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    y = (X[:, 0] > 0).astype(int)
    own = {"module": nn.Linear, "module_params": {"in_features": 3, "out_features": 1}, "max_epochs": 1}
    own |= {"early_stopping": False, "batch_size": 1000, "weight_averaging": 0.0, "weight_decay": 0.0}
    good, bad = ModuleClassifier(**own, learning_rate=1e-3), ModuleClassifier(**own, learning_rate=3e38)
    with pytest.warns(UserWarning, match="member 'bad' failed"):
        oof = cross_fit([("good", good), ("bad", bad)], X, y, cv=3, on_error="skip", random_state=0)
    assert oof.members == ["good"]


# -- what goes wrong


def test_the_error_of_a_fit_is_its_own_and_leaves_its_net_unfitted() -> None:
    X, y = data_for(TabularMLPRegressor)
    nets = [tiny(TabularMLPRegressor, random_state=i) for i in range(4)]
    nets[1].set_params(learning_rate=-1.0)
    nets[2].set_params(learning_rate=1e30, weight_decay=0.0)
    fits = fits_of(nets, X, y)
    errors = TabularMLPRegressor.fit_together(fits)
    assert [type(error).__name__ for error in errors] == [
        "NoneType",
        "InvalidParameterError",
        "DivergedError",
        "NoneType",
    ]
    assert isinstance(errors[2], DivergedError)
    for i in (1, 2):
        with pytest.raises(NotFittedError):
            nets[i].predict(X)
    for i in (0, 3):
        alone = clone(nets[i]).fit(fits[i].X, fits[i].y)
        np.testing.assert_allclose(nets[i].predict(X), alone.predict(X), rtol=1e-3, atol=1e-4)


def test_an_interrupt_leaves_all_nets_unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hybridlearn.nets._together, "train_together", interrupt)
    X, y = data_for(TabularMLPClassifier)
    nets = [tiny(TabularMLPClassifier, random_state=i) for i in range(2)]
    with pytest.raises(KeyboardInterrupt):
        TabularMLPClassifier.fit_together(fits_of(nets, X, y))
    for net in nets:
        with pytest.raises(NotFittedError):
            net.predict(X)


def test_a_net_that_was_fitted_with_others_is_pickled_without_them() -> None:
    X, y = data_for(TabularMLPClassifier)
    nets = [tiny(TabularMLPClassifier, random_state=i) for i in range(3)]
    alone = clone(nets[0])
    fits = fits_of(nets, X, y)
    TabularMLPClassifier.fit_together(fits)
    pickled = pickle.dumps(nets[0])
    assert len(pickled) < 1.05 * len(pickle.dumps(alone.fit(fits[0].X, fits[0].y)))
    np.testing.assert_array_equal(pickle.loads(pickled).margin(X), nets[0].margin(X))
