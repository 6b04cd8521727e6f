"""A limit to the seconds of a fit: where training ends, what is kept, and that nets still go together."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from _nets import NETS, target, tiny, without_dropout
from _slow import Ticking
from sklearn.base import clone

import hybridlearn._clock
from hybridlearn._protocols import Fit
from hybridlearn.nets import TabularMLPClassifier

# Ends every training at its first look at the clock.
AT_ONCE = 1e-9


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    monkeypatch.setattr(hybridlearn._clock, "now", clock)
    return clock


def same_weights(one: Any, other: Any) -> bool:
    states = zip(one.module_.state_dict().values(), other.module_.state_dict().values(), strict=True)
    return all(bool((a == b).all()) for a, b in states)


@pytest.mark.parametrize("cls", NETS)
def test_one_step_is_made_in_any_case(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls, time_limit=AT_ONCE, batch_size=16).fit(numbers, y)
    assert net.timed_out_
    assert net.n_iter_ == len(net.history_) == 1
    assert net.history_[0].keys() == {"epoch", "train_loss"}
    assert np.isfinite(net.margin(numbers)).all()
    assert net.rounds_found() == {"early_stopping": False, "max_epochs": 1}
    other = tiny(cls, time_limit=AT_ONCE, batch_size=16, max_epochs=1, early_stopping=False).fit(numbers, y)
    assert other.timed_out_


@pytest.mark.parametrize("cls", NETS)
def test_a_limit_that_is_not_reached_changes_nothing(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    plain = tiny(cls, random_state=0, max_epochs=3).fit(numbers, y)
    timed = clone(plain).set_params(time_limit=1e6).fit(numbers, y)
    assert not plain.timed_out_
    assert not timed.timed_out_
    assert timed.history_ == plain.history_
    assert same_weights(timed, plain)


@pytest.mark.usefixtures("ticking")
def test_the_best_weights_so_far_are_kept(numbers: np.ndarray, noisy: np.ndarray) -> None:
    # 102 rows train in 7 steps; an epoch looks at the clock after each, and at its end
    y = target(TabularMLPClassifier, noisy)
    options = {"random_state": 0, "batch_size": 16, "learning_rate": 0.05}
    net = without_dropout(TabularMLPClassifier, **options, max_epochs=50, time_limit=28.5).fit(numbers, y)
    assert net.timed_out_
    assert [record["epoch"] for record in net.history_] == [1, 2, 3, 4]
    assert ["valid_loss" in record for record in net.history_] == [True, True, True, False]
    losses = [record["valid_loss"] for record in net.history_[:3]]
    best = int(np.argmin(losses)) + 1
    whole = without_dropout(TabularMLPClassifier, **options, max_epochs=best).fit(numbers, y)
    assert same_weights(net, whole)
    assert net.rounds_found() == {"early_stopping": False, "max_epochs": best}


@pytest.mark.usefixtures("ticking")
def test_an_epoch_with_which_the_time_ends_counts(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(TabularMLPClassifier, noisy)
    options = {"random_state": 0, "batch_size": 16}
    net = without_dropout(TabularMLPClassifier, **options, max_epochs=50, time_limit=7.5).fit(numbers, y)
    assert net.timed_out_
    assert len(net.history_) == 1
    assert "valid_loss" in net.history_[0]
    assert same_weights(net, without_dropout(TabularMLPClassifier, **options, max_epochs=1).fit(numbers, y))


# -- as one program


def together(nets: list[Any], X: np.ndarray, y: np.ndarray) -> list[Any]:
    nets = [clone(net) for net in nets]
    assert type(nets[0]).fit_together([Fit(net, X, y, {}) for net in nets]) == [None] * len(nets)
    return nets


def test_limits_do_not_keep_nets_apart() -> None:
    assert tiny(TabularMLPClassifier, time_limit=3.0).likeness() == tiny(TabularMLPClassifier).likeness()


def test_in_a_program_each_keeps_its_own_limit(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(TabularMLPClassifier, noisy)
    plain = without_dropout(TabularMLPClassifier, random_state=0, batch_size=16, max_epochs=4)
    nets = [clone(plain).set_params(time_limit=limit) for limit in (None, AT_ONCE, 1e6)]
    fitted = together(nets, numbers, y)
    assert [net.timed_out_ for net in fitted] == [False, True, False]
    assert [net.n_iter_ for net in fitted] == [4, 1, 4]
    for net, alone in zip(fitted, nets, strict=True):
        np.testing.assert_allclose(net.margin(numbers), alone.fit(numbers, y).margin(numbers), rtol=1e-3, atol=1e-4)


def test_when_all_have_ended_the_program_ends(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(TabularMLPClassifier, noisy)
    nets = [tiny(TabularMLPClassifier, time_limit=AT_ONCE, batch_size=16, random_state=i) for i in range(3)]
    fitted = together(nets, numbers, y)
    assert [net.n_iter_ for net in fitted] == [1, 1, 1]
    assert all(net.timed_out_ and np.isfinite(net.margin(numbers)).all() for net in fitted)


@pytest.mark.usefixtures("ticking")
def test_in_a_program_the_best_weights_so_far_are_kept(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(TabularMLPClassifier, noisy)
    options = {"batch_size": 16, "learning_rate": 0.05, "max_epochs": 50}
    nets = [
        without_dropout(TabularMLPClassifier, **options, time_limit=60.0, random_state=i, n_iter_no_change=50)
        for i in range(2)
    ]
    for net in together(nets, numbers, y):
        assert net.timed_out_
        assert 1 < net.n_iter_ < 50
        losses = [record["valid_loss"] for record in net.history_ if "valid_loss" in record]
        best = int(np.argmin(losses)) + 1
        whole = clone(net).set_params(time_limit=None, max_epochs=best).fit(numbers, y)
        np.testing.assert_allclose(net.margin(numbers), whole.margin(numbers), rtol=1e-3, atol=1e-4)


# -- what cannot be a limit


@pytest.mark.parametrize("limit", [0, -1.0, "1 h", float("nan")])
def test_a_limit_is_a_positive_number(limit: Any, numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="time_limit"):
        tiny(TabularMLPClassifier, time_limit=limit).fit(numbers, target(TabularMLPClassifier, noisy))


def test_partial_fit_knows_no_limit(numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(TabularMLPClassifier, noisy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = tiny(TabularMLPClassifier, time_limit=AT_ONCE, random_state=0).partial_fit(numbers, y)
    assert not net.timed_out_
    assert same_weights(net, tiny(TabularMLPClassifier, random_state=0).partial_fit(numbers, y))
