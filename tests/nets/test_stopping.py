"""The rows that stop the training: which they are, and what they decide."""

from __future__ import annotations

import numpy as np
import pytest
from _nets import CLASSIFIERS, NETS, REGRESSORS, target, tiny, without_dropout
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, mean_squared_error

from hybridlearn._protocols import StopsEarly


@pytest.mark.parametrize("fraction", [0.15, 0.4])
@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_stopping_rows_are_a_stratified_share(cls: type, numbers: np.ndarray, fraction: float) -> None:
    y = np.repeat([0, 1, 2], [60, 40, 20])
    net = tiny(cls, validation_fraction=fraction, max_epochs=1).fit(numbers, y)
    assert len(net.stopping_rows_) == round(120 * fraction)
    counts = np.bincount(y[net.stopping_rows_])
    assert (np.abs(counts - np.array([60, 40, 20]) * fraction) < 1).all()


@pytest.mark.parametrize("cls", NETS)
def test_groups_are_respected(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    groups = np.random.default_rng(0).integers(0, 15, 120).astype(str)
    net = tiny(cls, max_epochs=1).fit(numbers, target(cls, noisy), groups=groups)
    stops = np.isin(np.arange(120), net.stopping_rows_)
    assert 0 < stops.sum() < 120
    assert not set(groups[stops]) & set(groups[~stops])


@pytest.mark.parametrize("cls", NETS)
def test_the_latest_rows_stop_those_strictly_before_them(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    time = np.random.default_rng(0).permutation(120) // 3
    weight = (np.arange(120) % 3 > 0).astype(float)
    net = tiny(cls, max_epochs=1).fit(numbers, target(cls, noisy), sample_weight=weight, time=time.astype("M8[D]"))
    stopping, training = net.stopping_rows_, np.setdiff1d(np.flatnonzero(weight), net.stopping_rows_)
    assert len(stopping) == pytest.approx(0.15 * 80, abs=3)
    assert weight[stopping].all()
    assert time[training].max() < time[stopping].min()


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_class_may_come_after_all_rows_that_train(cls: type, numbers: np.ndarray) -> None:
    net = tiny(cls, max_epochs=2).fit(numbers, np.repeat([0, 1, 2], [60, 50, 10]), time=np.arange(120))
    assert net.stopping_rows_.min() < 110
    assert net.predict_proba(numbers).shape == (120, 3)


@pytest.mark.parametrize("cls", NETS)
def test_rows_of_one_time_cannot_be_split(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="all rows are of one time; set early_stopping=False"):
        tiny(cls).fit(numbers, target(cls, noisy), time=np.ones(120))
    with pytest.raises(ValueError, match="give groups or time, not both"):
        tiny(cls).fit(numbers, target(cls, noisy), groups=np.arange(120), time=np.arange(120))


@pytest.mark.parametrize("cls", NETS)
@pytest.mark.parametrize("with_groups", [False, True], ids=["no groups", "groups"])
def test_stopping_rows_are_places_in_what_was_handed_to_fit(
    cls: type, with_groups: bool, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = (np.arange(120) % 3 > 0).astype(float)
    groups = np.arange(120) // 2 if with_groups else None
    net = tiny(cls, max_epochs=1).fit(numbers, target(cls, noisy), sample_weight=weight, groups=groups)
    assert weight[net.stopping_rows_].all()
    assert net.stopping_rows_.max() >= 80, "they would all be below if they were places among the rows that count"


@pytest.mark.parametrize("cls", NETS)
def test_without_early_stopping_no_row_stops(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls, early_stopping=False, n_iter_no_change=1, max_epochs=6).fit(numbers, target(cls, noisy))
    assert net.stopping_rows_.size == 0
    assert net.n_iter_ == len(net.history_) == 6
    assert set(net.history_[0]) == {"epoch", "train_loss"}


OVERFITS = {"max_epochs": 80, "learning_rate": 0.05, "n_iter_no_change": 5}


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_classifier_keeps_the_weights_with_the_least_loss_on_the_stopping_rows(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    y = target(cls, noisy)
    net = without_dropout(cls, **OVERFITS, class_weight={"yes": 3}).fit(numbers, y, sample_weight=weight)
    losses = [record["valid_loss"] for record in net.history_]
    assert net.n_iter_ == np.argmin(losses) + 1 + 5 < 80
    rows = net.stopping_rows_
    by_class = weight * np.where(y == "yes", 3, 1)
    loss = log_loss(y[rows], net.predict_proba(numbers[rows]), sample_weight=by_class[rows])
    assert loss == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_regressor_keeps_the_weights_with_the_least_error_on_the_stopping_rows(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    net = without_dropout(cls, **OVERFITS).fit(numbers, noisy, sample_weight=weight)
    losses = [record["valid_loss"] for record in net.history_]
    assert net.n_iter_ == np.argmin(losses) + 1 + 5 < 80
    rows = net.stopping_rows_
    net.target_range_ = np.array([[-np.inf], [np.inf]])  # the loss knows no limits
    error = mean_squared_error(noisy[rows], net.predict(numbers[rows]), sample_weight=weight[rows])
    assert error / net.target_scale_[0] ** 2 == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("cls", NETS)
def test_the_rounds_found_are_those_up_to_the_best_epoch(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = without_dropout(cls, **OVERFITS).fit(numbers, y)
    assert isinstance(net, StopsEarly)
    best = int(np.argmin([record["valid_loss"] for record in net.history_])) + 1
    assert net.rounds_found() == {"early_stopping": False, "max_epochs": best}
    straight = clone(net).set_params(**net.rounds_found()).fit(numbers, y)
    assert straight.n_iter_ == best
    assert straight.rounds_found() == {}
    with pytest.raises(NotFittedError):
        clone(net).rounds_found()


def test_a_net_that_was_never_stopped_found_as_many_rounds_as_it_ran(numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(REGRESSORS[0])
    for _ in range(3):
        net.partial_fit(numbers, noisy)
    assert net.rounds_found() == {"early_stopping": False, "max_epochs": 3}


@pytest.mark.parametrize("cls", REGRESSORS)
def test_the_stopping_rows_do_not_train(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    """Their targets exchanged among them change when the training ends, not how it goes."""
    net = tiny(cls).fit(numbers, noisy)
    other = noisy.copy()
    other[net.stopping_rows_] = np.roll(noisy[net.stopping_rows_], 1)
    changed = tiny(cls).fit(numbers, other)
    np.testing.assert_array_equal(net.stopping_rows_, changed.stopping_rows_)
    losses, other_losses = (
        {name: [record[name] for record in one.history_] for name in ("train_loss", "valid_loss")}
        for one in (net, changed)
    )
    n_epochs = min(net.n_iter_, changed.n_iter_)
    np.testing.assert_allclose(losses["train_loss"][:n_epochs], other_losses["train_loss"][:n_epochs], rtol=1e-4)
    assert np.abs(np.subtract(losses["valid_loss"][:n_epochs], other_losses["valid_loss"][:n_epochs])).max() > 0.01
