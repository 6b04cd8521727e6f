"""Progress of a fit: a bar for a person, scikit-learn's callbacks for a program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _nets import NETS, tiny
from sklearn.callback import FitCallback

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.training import DivergedError

FAST = {"max_epochs": 6}
STOPS_EARLY = {"max_epochs": 100, "learning_rate": 0.1, "n_iter_no_change": 2}


class Watcher:
    """Notes what it is told; asks to stop after an epoch."""

    def __init__(self, stop_after: int | None = None):
        self.stop_after = stop_after
        self.events: list[str] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        self.events.append(f"end {context.task_name} {context.task_id}")
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


def told(n_epochs: int) -> list[str]:
    epochs = [f"{what} epoch {i}" for i in range(n_epochs) for what in ("begin", "end")]
    return ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]


def test_the_watcher_keeps_the_protocol() -> None:
    assert isinstance(Watcher(), FitCallback)


@pytest.mark.parametrize(
    "settings", [FAST, {**FAST, "early_stopping": False}, STOPS_EARLY], ids=["all", "no stopping", "stops early"]
)
@pytest.mark.parametrize("cls", NETS)
def test_a_callback_sees_one_task_an_epoch(
    cls: type, settings: dict[str, Any], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    watcher = Watcher()
    net = tiny(cls, **settings).set_callbacks(watcher).fit(numbers, noisy > 0)
    assert (net.n_iter_ < settings["max_epochs"]) == (settings is STOPS_EARLY)
    assert watcher.events == told(net.n_iter_)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_callback_may_stop_the_training(early_stopping: bool, numbers: np.ndarray, noisy: np.ndarray) -> None:
    settings = {**FAST, "early_stopping": early_stopping}
    watcher = Watcher(stop_after=3)
    stopped = tiny(TabularMLPRegressor, **settings).set_callbacks(watcher).fit(numbers, noisy)
    assert watcher.events == told(3)
    assert stopped.n_iter_ == 3
    three_epochs = tiny(TabularMLPRegressor, **{**settings, "max_epochs": 3}).fit(numbers, noisy)
    np.testing.assert_array_equal(stopped.predict(numbers), three_epochs.predict(numbers))


def test_callbacks_only_watch(numbers: np.ndarray, noisy: np.ndarray) -> None:
    watched = tiny(TabularMLPRegressor, **FAST).set_callbacks(Watcher()).fit(numbers, noisy)
    alone = tiny(TabularMLPRegressor, **FAST).fit(numbers, noisy)
    np.testing.assert_array_equal(watched.predict(numbers), alone.predict(numbers))
    assert watched.history_ == alone.history_


def test_a_callback_is_torn_down_when_the_fit_fails(numbers: np.ndarray, noisy: np.ndarray) -> None:
    watcher = Watcher()
    net = tiny(TabularMLPRegressor, **{**FAST, "learning_rate": 1e30}).set_callbacks(watcher)
    with pytest.raises(DivergedError):
        net.fit(numbers, noisy)
    assert watcher.events[0] == "setup"
    assert watcher.events[-1] == "teardown"
    assert "end fit 0" not in watcher.events


def test_verbose_draws_a_bar_on_stderr(
    capsys: pytest.CaptureFixture[str], numbers: np.ndarray, noisy: np.ndarray
) -> None:
    tiny(TabularMLPClassifier, **FAST, verbose=1).fit(numbers, noisy > 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "TabularMLPClassifier" in err
    assert f"{FAST['max_epochs']}/{FAST['max_epochs']}" in err
    assert "train_loss" in err
    assert "valid_loss" in err


def test_silence_is_the_default(capsys: pytest.CaptureFixture[str], numbers: np.ndarray, noisy: np.ndarray) -> None:
    tiny(TabularMLPRegressor, **STOPS_EARLY).fit(numbers, noisy)
    assert capsys.readouterr() == ("", "")
