"""Progress of a fit: a task a fit of a member, for a person and for a program; and the picture of a blend."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeRegressor

from hybridlearn.crossfit import MemberError
from hybridlearn.ensemble import (
    HybridBaggingClassifier,
    HybridBoostingClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    HybridStackingRegressor,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 8))
Y = (X[:, 0] + RNG.normal(size=240) > 0).astype(int)
STEP = 3 * (X.sum(axis=1) > 1) + 0.3 * RNG.normal(size=240)
LINES = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
NUMBERS = [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))]

# how many fits they tell of
TOLD = {
    "hybrid": (HybridClassifier(estimators=LINES, cv=3), 6),
    "stacking": (HybridStackingClassifier(estimators=LINES, cv=3, final_estimator=LogisticRegression()), 6),
    "two layers": (HybridStackingRegressor(estimators=NUMBERS, cv=3, layers=2, random_state=0), 20),
    "folds": (HybridBaggingClassifier(estimator=GaussianNB(), n_estimators=4), 4),
    "bootstrap": (HybridBaggingClassifier(estimator=GaussianNB(), n_estimators=4, resample="bootstrap"), 4),
    "under": (HybridBaggingClassifier(estimator=GaussianNB(), n_estimators=4, resample="under"), 4),
}


def fit(ensemble: Any) -> Any:
    return ensemble.fit(X, STEP if isinstance(ensemble, HybridStackingRegressor) else Y)


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.n_told: set[int | None] = set()

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        if context.parent is None:
            self.n_told.add(context.max_subtasks)
        self.events.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        self.events.append(f"end {context.task_name} {context.task_id}")


@pytest.mark.parametrize("name", TOLD)
def test_a_callback_sees_one_task_a_fit(name: str) -> None:
    ensemble, n_fits = TOLD[name]
    watcher = Watcher()
    watched = fit(clone(ensemble).set_callbacks(watcher))
    tasks = [f"{what} fit {i}" for i in range(n_fits) for what in ("begin", "end")]
    assert watcher.events == ["setup", "begin fit 0", *tasks, "end fit 0", "teardown"]
    assert watcher.n_told == {n_fits}
    if name == "two layers":
        assert watched.n_layers_ == 2


def test_callbacks_only_watch() -> None:
    stack = HybridStackingClassifier(estimators=LINES, cv=3, random_state=0)
    alone, watched = fit(clone(stack)), fit(clone(stack).set_callbacks(Watcher()))
    np.testing.assert_array_equal(watched.margin(X), alone.margin(X))


def test_a_layer_that_is_switched_off_tells_of_fewer_fits() -> None:
    watcher = Watcher()
    stack = HybridStackingRegressor(estimators=[("mean", DummyRegressor())], cv=4, layers=2, random_state=0)
    with pytest.warns(UserWarning, match="switched off"):
        stack.set_callbacks(watcher).fit(X, STEP)
    assert watcher.n_told == {4 * 4 - 2}
    assert watcher.events.count("end fit 9") == 1  # of all folds, and of two layers of all but one
    assert "end fit 10" not in watcher.events


def test_a_callback_is_torn_down_when_a_member_fails() -> None:
    watcher = Watcher()
    stack = HybridStackingClassifier(estimators=[("bad", LogisticRegression(C=-1.0))], cv=3)
    with pytest.raises(MemberError, match="member 'bad' failed"):
        stack.set_callbacks(watcher).fit(X, Y)
    assert watcher.events[0] == "setup"
    assert watcher.events[-1] == "teardown"


@pytest.mark.parametrize("name", TOLD)
def test_scikit_learns_progress_bar_is_drawn(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ensemble, _ = TOLD[name]
    fit(clone(ensemble).set_callbacks(ProgressBar()))
    out = "".join(capsys.readouterr())
    assert type(ensemble).__name__ in out
    assert "100%" in out


@pytest.mark.parametrize("name", TOLD)
def test_verbose_draws_a_bar_on_stderr(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    ensemble, n_fits = TOLD[name]
    fit(clone(ensemble).set_params(verbose=1))
    out, err = capsys.readouterr()
    assert out == ""
    assert type(ensemble).__name__ in err
    assert f"{n_fits}/{n_fits}" in err
    assert "member=" in err


@pytest.mark.parametrize("name", TOLD)
def test_silence_is_the_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit(clone(TOLD[name][0]))
    assert capsys.readouterr() == ("", "")


# the picture


BOOST = HybridBoostingClassifier(estimators=[("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=1))], cv=3)
PICTURED = {name: ensemble for name, (ensemble, _) in TOLD.items()} | {"boosting": BOOST}


@pytest.mark.parametrize("name", PICTURED)
def test_the_picture_of_a_blend_has_a_bar_a_member(name: str) -> None:
    ensemble = fit(clone(PICTURED[name]))
    axes = ensemble.plot_blend()
    board = ensemble.leaderboard_[::-1]
    assert [label.get_text() for label in axes.get_yticklabels()] == board["member"].tolist()
    assert [bar.get_width() for bar in axes.patches] == board["weight"].fillna(0).tolist()
    assert [text.get_text() for text in axes.texts] == [f"{score:.4g}" for score in board["score"]]
    assert axes.get_title() == type(ensemble).__name__
    plt.close(axes.figure)


def test_the_picture_may_be_part_of_another() -> None:
    figure, axes = plt.subplots(1, 2)
    hybrid = fit(HybridClassifier(estimators=LINES, cv=2))
    assert hybrid.plot_blend(ax=axes[1]) is axes[1]
    assert len(axes[0].patches) == 0
    plt.close(figure)
    with pytest.raises(NotFittedError):
        HybridClassifier(estimators=LINES).plot_blend()
