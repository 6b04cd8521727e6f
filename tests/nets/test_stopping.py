"""The rows that stop the training: which they are, and what they decide."""

from __future__ import annotations

import numpy as np
import pytest
from _estimators import SMALL_NET
from sklearn.metrics import log_loss, mean_squared_error

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

FAST = {**SMALL_NET, "random_state": 0}
PAIR = [TabularMLPClassifier, TabularMLPRegressor]


def target(cls: type, noisy: np.ndarray) -> np.ndarray:
    return noisy > 0 if cls is TabularMLPClassifier else noisy


@pytest.mark.parametrize("fraction", [0.15, 0.4])
def test_stopping_rows_are_a_stratified_share(numbers: np.ndarray, fraction: float) -> None:
    y = np.repeat([0, 1, 2], [60, 40, 20])
    net = TabularMLPClassifier(**FAST, validation_fraction=fraction).fit(numbers, y)
    assert len(net.stopping_rows_) == round(120 * fraction)
    counts = np.bincount(y[net.stopping_rows_])
    assert (np.abs(counts - np.array([60, 40, 20]) * fraction) < 1).all()


@pytest.mark.parametrize("cls", PAIR)
def test_groups_are_respected(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    groups = np.random.default_rng(0).integers(0, 15, 120).astype(str)
    net = cls(**FAST).fit(numbers, target(cls, noisy), groups=groups)
    stops = np.isin(np.arange(120), net.stopping_rows_)
    assert 0 < stops.sum() < 120
    assert not set(groups[stops]) & set(groups[~stops])


@pytest.mark.parametrize("cls", PAIR)
@pytest.mark.parametrize("with_groups", [False, True])
def test_stopping_rows_are_places_in_what_was_handed_to_fit(
    cls: type, with_groups: bool, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = (np.arange(120) % 3 > 0).astype(float)
    groups = np.arange(120) // 2 if with_groups else None
    net = cls(**FAST).fit(numbers, target(cls, noisy), sample_weight=weight, groups=groups)
    assert weight[net.stopping_rows_].all()
    assert net.stopping_rows_.max() >= 80, "they would all be below if they were places among the rows that count"


@pytest.mark.parametrize("cls", PAIR)
def test_without_early_stopping_no_row_stops(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = cls(**FAST, early_stopping=False, n_iter_no_change=1).fit(numbers, target(cls, noisy))
    assert net.stopping_rows_.size == 0
    assert net.n_iter_ == len(net.history_) == FAST["max_epochs"]
    assert set(net.history_[0]) == {"epoch", "train_loss"}


OVERFITS = {**FAST, "max_epochs": 80, "learning_rate": 0.05, "n_iter_no_change": 5, "dropout": 0.0}


def test_a_classifier_keeps_the_weights_with_the_least_loss_on_the_stopping_rows(
    numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    y = np.where(noisy > 0, "yes", "no")
    net = TabularMLPClassifier(**OVERFITS, class_weight={"yes": 3}).fit(numbers, y, sample_weight=weight)
    losses = [record["valid_loss"] for record in net.history_]
    assert net.n_iter_ == np.argmin(losses) + 1 + 5 < 80
    rows = net.stopping_rows_
    loss = log_loss(
        y[rows], net.predict_proba(numbers[rows]), sample_weight=(weight * np.where(y == "yes", 3, 1))[rows]
    )
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_a_regressor_keeps_the_weights_with_the_least_error_on_the_stopping_rows(
    numbers: np.ndarray, noisy: np.ndarray
) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    net = TabularMLPRegressor(**OVERFITS).fit(numbers, noisy, sample_weight=weight)
    losses = [record["valid_loss"] for record in net.history_]
    assert net.n_iter_ == np.argmin(losses) + 1 + 5 < 80
    rows = net.stopping_rows_
    error = mean_squared_error(noisy[rows], net.predict(numbers[rows]), sample_weight=weight[rows])
    assert error / net.target_scale_**2 == pytest.approx(min(losses), rel=1e-5)


def test_the_stopping_rows_do_not_train(numbers: np.ndarray, noisy: np.ndarray) -> None:
    """Another target for them changes when the training ends, not how it goes."""
    net = TabularMLPRegressor(**FAST).fit(numbers, noisy)
    other = noisy.copy()
    other[net.stopping_rows_] += 100
    changed = TabularMLPRegressor(**FAST).fit(numbers, other)
    np.testing.assert_array_equal(net.stopping_rows_, changed.stopping_rows_)
    for record, other_record in zip(net.history_, changed.history_, strict=False):
        assert record["train_loss"] == other_record["train_loss"]
        assert record["valid_loss"] < other_record["valid_loss"]
