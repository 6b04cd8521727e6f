"""What each loss is for, seen on tables where it must show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _nets import CLASSIFIERS, EXACT, REGRESSORS, without_dropout
from sklearn.metrics import balanced_accuracy_score, recall_score

from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor

RNG = np.random.default_rng(0)
N = 600
X = RNG.normal(size=(N, 2))
RARE = (X[:, 0] + RNG.normal(size=N) > 2.2).astype(int)  # a tenth of the rows, hard to tell
LEARNS = {"early_stopping": False, "weight_averaging": 0.0, "max_epochs": 12, "batch_size": 64}


def fitted(cls: type, y: np.ndarray, **settings: Any) -> Any:
    return without_dropout(cls, **{**LEARNS, **settings}).fit(X, y)


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize("setting", [{"loss": "logit_adjusted"}, {"class_weight": "balanced"}], ids=str)
def test_a_rare_class_is_found_more_often(cls: type, setting: dict[str, Any]) -> None:
    assert 0.05 < RARE.mean() < 0.12
    plain, careful = fitted(cls, RARE).predict(X), fitted(cls, RARE, **setting).predict(X)
    assert recall_score(RARE, careful) > recall_score(RARE, plain) + 0.2
    assert balanced_accuracy_score(RARE, careful) > balanced_accuracy_score(RARE, plain) + 0.05


@pytest.mark.parametrize("loss", ["focal", "logit_adjusted"])
def test_rare_classes_among_several_are_found_more_often(loss: str) -> None:
    y = np.digitize(X[:, 0] + RNG.normal(size=N) * 0.7, [-1.8, 1.8])
    plain, careful = (fitted(TabularMLPClassifier, y, loss=name, focal_gamma=4.0) for name in ("log_loss", loss))
    accuracies = [balanced_accuracy_score(y, net.predict(X)) for net in (plain, careful)]
    assert accuracies[1] > accuracies[0] + (0.05 if loss == "logit_adjusted" else 0.0)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_focal_loss_is_less_sure(cls: type) -> None:
    sure = [np.abs(fitted(cls, RARE, loss=loss).margin(X)).mean() for loss in ("log_loss", "focal")]
    assert sure[1] < 0.8 * sure[0]


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_focal_loss_without_a_focus_is_log_loss(cls: type) -> None:
    plain = fitted(cls, RARE, **EXACT, max_epochs=3)
    same = fitted(cls, RARE, **EXACT, max_epochs=3, loss="focal", focal_gamma=0.0)
    np.testing.assert_allclose(same.margin(X), plain.margin(X), atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True], ids=["no weights", "weights"])
def test_the_adjusted_margin_is_the_margin_without_the_prior_log_odds(weighted: bool) -> None:
    """On two columns of zeros and ones, where every loss finds its optimum."""
    rng = np.random.default_rng(3)
    columns = rng.integers(0, 2, size=(4000, 2)).astype(float)
    y = rng.random(4000) < 0.05 + 0.15 * columns[:, 0] + 0.2 * columns[:, 1]
    weight = np.where(columns[:, 0] > 0, 2.0, 0.5) if weighted else np.ones(4000)
    prior = np.average(y, weights=weight)
    settings = {**LEARNS, "batch_size": 500, "max_epochs": 40, "weight_decay": 0.0, "weight_averaging": 0.9}
    margins = {}
    for loss in ("log_loss", "logit_adjusted"):
        net = without_dropout(TabularMLPClassifier, loss=loss, **settings)
        margins[loss] = net.fit(columns, y, sample_weight=weight).margin(columns)[:, 0]
    expected = margins["log_loss"] - np.log(prior / (1 - prior))
    assert np.log(prior / (1 - prior)) < -1
    np.testing.assert_allclose(margins["logit_adjusted"], expected, atol=0.2)


@pytest.mark.parametrize("share", [0.1, 0.8])
@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_quantile_covers_its_share(cls: type, share: float) -> None:
    y = X[:, 0] + np.random.default_rng(1).normal(size=N)
    net = fitted(cls, y, loss="quantile", quantile=share, max_epochs=25, weight_averaging=0.95)
    assert (y <= net.predict(X)).mean() == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("setting", [{"loss": "huber", "huber_delta": 0.1}, {"loss": "absolute_error"}], ids=str)
def test_a_robust_loss_is_moved_less_by_outliers(cls: type, setting: dict[str, Any]) -> None:
    y = X[:, 0] + 0.1 * X[:, 1]
    spoiled = y.copy()
    spoiled[::20] += 30
    moved = []
    for loss in ({"loss": "squared_error"}, setting):
        predicted = fitted(cls, spoiled, **loss, max_epochs=20).predict(X)
        moved.append(np.abs(predicted - y)[spoiled == y].mean())
    assert moved[1] < 0.7 * moved[0]


def test_the_absolute_error_goes_for_the_median_and_the_squared_one_for_the_mean() -> None:
    y = np.random.default_rng(2).exponential(size=N)
    flat = np.zeros((N, 1))
    for loss, aim in [("absolute_error", np.median(y)), ("squared_error", y.mean())]:
        net = without_dropout(TabularMLPRegressor, **{**LEARNS, "loss": loss, "max_epochs": 30}).fit(flat, y)
        np.testing.assert_allclose(net.predict(flat), aim, atol=0.1)
    assert y.mean() - np.median(y) > 0.25


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("loss", ["huber", "absolute_error", "quantile"])
def test_every_loss_of_a_regression_knows_several_outputs(cls: type, loss: str) -> None:
    y = np.column_stack([X[:, 0], 100 * X[:, 1]])
    assert fitted(cls, y, loss=loss).score(X, y) > 0.5
