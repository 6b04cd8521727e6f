"""The report on resampling: what is measured, on which rows, and what it advises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imblearn import FunctionSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from hybridlearn import BoostedTreesClassifier, MixedSMOTE, imbalance_report
from hybridlearn.crossfit import cross_fit
from hybridlearn.datasets import load_mortgages


@pytest.fixture(scope="module")
def rare() -> Any:
    rng = np.random.RandomState(0)
    X = rng.randn(3000, 3)
    return X, np.where(rng.uniform(size=3000) < 1 / (1 + np.exp(4 - 2 * X[:, 0])), "yes", "no")


@pytest.fixture(scope="module")
def report(rare: Any) -> Any:
    return imbalance_report(LogisticRegression(), *rare, random_state=0)


def row_of(report: Any, strategy: str, corrected: bool = False) -> Any:
    frame = report.frame
    return frame[(frame.strategy == strategy) & (frame.corrected == corrected)].iloc[0]


def test_each_way_has_its_rows(report: Any) -> None:
    found = list(zip(report.frame.strategy, report.frame.corrected, strict=True))
    strategies = [(name, corrected) for name in ("weights", "under", "over", "smote") for corrected in (False, True)]
    assert found == [("nothing", False), ("nothing", True), ("threshold", False), *strategies]
    assert report.frame.notna().all(axis=None)
    assert len(report.folds) == 5 * len(found)


def test_doing_nothing_is_what_cross_fitting_says(report: Any, rare: Any) -> None:
    X, y = rare
    oof = cross_fit([("linear", LogisticRegression())], X, y, random_state=0)
    told = row_of(report, "nothing")
    folds = report.folds[(report.folds.strategy == "nothing") & ~report.folds.corrected]
    for metric in ("auc", "log_loss", "ece", "f1"):
        assert told[metric] == pytest.approx(folds[metric].mean())
        assert told[f"{metric}_se"] == pytest.approx(folds[metric].std() / np.sqrt(5))
    # other folds of the same rows
    margin = oof.margins["linear"][:, 0]
    assert told["auc"] == pytest.approx(roc_auc_score(oof.target, margin), abs=0.01)
    assert told["log_loss"] == pytest.approx(log_loss(oof.target, 1 / (1 + np.exp(-margin))), abs=0.005)


def test_resampling_ruins_probabilities_and_correction_mends_them(report: Any) -> None:
    plain = row_of(report, "nothing")
    for strategy in ("weights", "under", "over", "smote"):
        before, after = row_of(report, strategy), row_of(report, strategy, corrected=True)
        assert before["log_loss"] > 1.5 * plain["log_loss"]
        assert after["log_loss"] < 1.05 * plain["log_loss"]
        assert after["ece"] < before["ece"] / 4


def test_a_threshold_does_for_labels_what_resampling_does(report: Any) -> None:
    plain, tuned = row_of(report, "nothing"), row_of(report, "threshold")
    assert tuned["balanced_accuracy"] > plain["balanced_accuracy"] + 0.1
    assert tuned["log_loss"] == plain["log_loss"]
    assert tuned["balanced_accuracy"] > row_of(report, "smote")["balanced_accuracy"] - 0.02


def test_the_advice_is_plain(report: Any) -> None:
    assert report.advice.startswith("Doing nothing is best: no resampling ranks rows better")
    assert "tune the threshold" in report.advice


def test_what_helps_is_named() -> None:
    """Neighbours of a rare class are outvoted, and counted again they are not: the ranking does gain."""
    rng = np.random.RandomState(0)
    y = (rng.uniform(size=2000) < 0.03).astype(int)
    X = rng.randn(2000, 2) + 2.0 * y[:, None]
    told = imbalance_report(KNeighborsClassifier(5), X, y, samplers=["smote"], n_repeats=2, random_state=0)
    assert "Better than doing nothing in auc" in told.advice
    assert "smote" in told.advice
    assert len(told.folds) == 2 * 5 * 5


def test_three_classes_and_a_real_table() -> None:
    rng = np.random.RandomState(0)
    y = rng.choice(3, 600, p=[0.7, 0.2, 0.1])
    X = rng.randn(600, 2) + y[:, None]
    told = imbalance_report(LogisticRegression(), X, y, samplers=["under", MixedSMOTE()], random_state=0)
    assert told.frame.strategy.tolist() == ["nothing", "nothing", "under", "under", "MixedSMOTE", "MixedSMOTE"]
    assert row_of(told, "under", corrected=True)["log_loss"] < row_of(told, "under")["log_loss"]
    X, y = load_mortgages()
    trees = BoostedTreesClassifier(n_estimators=20, learning_rate=0.2)
    told = imbalance_report(trees, X.iloc[:600], y.iloc[:600], samplers=["smote"], cv=3, random_state=0)
    assert told.frame.notna().all(axis=None)


def test_who_takes_no_weights_is_not_weighed(rare: Any) -> None:
    X, y = rare
    told = imbalance_report(KNeighborsClassifier(), X[:600], y[:600], samplers=["weights", "over"], random_state=0)
    assert "weights" not in set(told.frame.strategy)


def test_the_picture(report: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    axes = report.plot("ece")
    assert "ece" in axes.get_xlabel()
    with pytest.raises(ValueError, match="metric='brier' must be one of"):
        report.plot("brier")


@pytest.mark.parametrize(("estimator", "settings", "message"), [
    (LogisticRegression(), {"samplers": ["smoke"]}, "samplers holds 'smoke'"),
    (LogisticRegression(), {"n_repeats": 0}, "n_repeats=0"),
])  # fmt: skip
def test_what_cannot_be_used_is_named(estimator: Any, settings: dict, message: str, rare: Any) -> None:
    with pytest.raises(ValueError, match=message):
        imbalance_report(estimator, *rare, **settings)


def test_a_regressor_is_refused() -> None:
    with pytest.raises(TypeError, match="LinearRegression is a regressor"):
        imbalance_report(LinearRegression(), np.arange(20.0)[:, None], np.arange(20.0))


def test_what_calibration_alone_does_is_no_merit_of_a_sampler() -> None:
    rng = np.random.RandomState(0)
    y = (rng.uniform(size=800) < 0.1).astype(int)
    X = np.repeat(rng.randn(800, 1) + y[:, None], 12, axis=1) + 0.1 * rng.randn(800, 12)
    told = imbalance_report(GaussianNB(), X, y, samplers=[FunctionSampler()], random_state=0)
    assert "FunctionSampler" not in told.advice
    assert "Calibration alone" in told.advice
    same = row_of(told, "FunctionSampler", corrected=True), row_of(told, "nothing", corrected=True)
    assert same[0]["log_loss"] == pytest.approx(same[1]["log_loss"])


@pytest.mark.filterwarnings("ignore:classes .* have fewer rows than cv")
def test_samplers_of_one_class_are_numbered_and_a_fold_may_lack_a_class() -> None:
    rng = np.random.RandomState(0)
    X, y = rng.randn(90, 2), np.repeat([0, 1], 45)
    y[:3] = 2
    halves = [RandomUnderSampler(sampling_strategy={0: n, 1: n}) for n in (20, 30)]
    told = imbalance_report(LogisticRegression(), X, y, samplers=["over", *halves], random_state=0)
    assert told.frame.strategy.unique().tolist() == ["nothing", "over", "RandomUnderSampler", "RandomUnderSampler 2"]
    with pytest.raises(TypeError, match="samplers='under' must be a list"):
        imbalance_report(LogisticRegression(), X, y, samplers="under")
    with pytest.raises(TypeError, match="neither a name nor a sampler"):
        imbalance_report(LogisticRegression(), X, y, samplers=[RandomUnderSampler])
