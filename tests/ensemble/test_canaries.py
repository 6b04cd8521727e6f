"""Shuffled labels: no ensemble may know anything of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from hybridlearn.crossfit import leak_canary
from hybridlearn.ensemble import (
    ConcatClassifier,
    HybridBaggingClassifier,
    HybridBoostingClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    ResampledClassifier,
    UnderBaggingClassifier,
    make_tabular_pipeline,
)
from hybridlearn.ensemble._stacking import BaseStacking
from hybridlearn.features import FeatureBuilder
from hybridlearn.resampling import MixedSMOTE
from hybridlearn.table import TableEncoder
from hybridlearn.trees import BoostedTreesClassifier

K = 5
TREES = BoostedTreesClassifier(n_estimators=5, learning_rate=0.3, max_depth=2, early_stopping=False)
MEMBERS = [("trees", TREES), ("linear", LogisticRegression())]
TABLE_MEMBERS = [("trees", TREES), ("linear", make_pipeline(TableEncoder(encode="onehot"), LogisticRegression()))]
STAGES = [("ridge", Ridge()), ("trees", TREES)]


def half_as_many_again(y: np.ndarray) -> dict[int, int]:
    """Labels are balanced: a sampler has to be told to add rows of both."""
    return {int(code): int(1.5 * count) for code, count in zip(*np.unique(y, return_counts=True), strict=True)}


SMOTE = MixedSMOTE(sampling_strategy=half_as_many_again)
BUILDER = FeatureBuilder(select=None, max_pairs=5)
CONCAT = ConcatClassifier(embedders=[("trees", TREES)], cv=2)


def stacking(**settings: Any) -> HybridStackingClassifier:
    return HybridStackingClassifier(**{"estimators": MEMBERS, "cv": K} | settings)


def bagging(estimator: Any = TREES, n_estimators: int = K, **settings: Any) -> HybridBaggingClassifier:
    return HybridBaggingClassifier(estimator=estimator, n_estimators=n_estimators, **settings)


def boosting(**settings: Any) -> HybridBoostingClassifier:
    return HybridBoostingClassifier(**{"estimators": STAGES, "cv": K, "inner_cv": 2} | settings)


ENSEMBLES: dict[str, Any] = {
    "stacking, greedy": stacking(),
    "stacking, nonnegative": stacking(final_estimator="nonnegative"),
    "stacking, logistic": stacking(final_estimator=LogisticRegression()),
    "stacking, two layers": stacking(layers=2),
    "bagging, folds": bagging(),
    "bagging, bootstrap": bagging(n_estimators=10, resample="bootstrap"),
    "bagging, bootstrap of lines": bagging(LogisticRegression(), n_estimators=10, resample="bootstrap"),
    "bagging, under": bagging(resample="under"),
    "boosting, given": boosting(),
    "boosting, auto": boosting(order="auto", n_estimators=2),
    "resampled, over": ResampledClassifier(
        estimator=TREES, sampler=RandomOverSampler(sampling_strategy=half_as_many_again), cv=K
    ),
    "resampled, smote": ResampledClassifier(estimator=TREES, sampler=SMOTE, cv=K),
    "members on resampled rows": HybridClassifier(estimators=MEMBERS, resample=SMOTE, cv=K),
    "under-bagging": UnderBaggingClassifier(estimator=TREES, n_estimators=2 * K, self_paced=False),
    "under-bagging, self-paced": UnderBaggingClassifier(estimator=TREES, n_estimators=2 * K, self_paced=True),
    "a pipeline with a sampler in front": make_tabular_pipeline(SMOTE, HybridClassifier(estimators=MEMBERS, cv=K)),
    "features in front of members": HybridClassifier(estimators=TABLE_MEMBERS, features=BUILDER, cv=K),
    "features, then resampled rows": HybridClassifier(estimators=TABLE_MEMBERS, features=BUILDER, resample=SMOTE, cv=K),
    "features that are selected": HybridClassifier(
        estimators=TABLE_MEMBERS[:1], features=FeatureBuilder(families=["target", "counts"]), cv=3
    ),
    "under-bagging with features": UnderBaggingClassifier(estimator=TREES, n_estimators=2 * K),
    "a pipeline with features and a sampler": make_tabular_pipeline(
        BUILDER, SMOTE, HybridClassifier(estimators=[("trees", TREES)], cv=K)
    ),
    "concatenation as a member": HybridClassifier(estimators=[("concat", CONCAT), *MEMBERS[1:]], cv=K),
}
SLOW = {"features that are selected"}
MAY_SWITCH_OFF = pytest.mark.filterwarnings("ignore:layers=2 is switched off")


def table(n_rows: int, n_columns: int, name: str = "") -> Any:
    """Numbers; for features, a third of them as levels, some of which come once."""
    X = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    if "features" not in name:
        return X
    frame = pd.DataFrame(X).add_prefix("x")
    levels = {f"x{j}": (frame[f"x{j}"] * 3 ** (j + 1)).round().astype(str) for j in range(n_columns // 3)}
    return frame.assign(**levels)


@pytest.fixture
def every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best pairs are taken though they say nothing: a screen that lets none pass would hide what they know."""
    for module in ("_crosses", "_groups", "_numbers"):
        monkeypatch.setattr(f"hybridlearn.features.{module}.LEAST_SCORE", -np.inf)


def labels(n_rows: int, name: str) -> np.ndarray:
    """Balanced, but for draws that balance."""
    return np.arange(n_rows) % (4 if "under" in name else 2) == 0


def standard_error(y: np.ndarray) -> float:
    """Of the out-of-fold AUC of margins that know nothing.

    Were they drawn, it were that of Mann and Whitney. But two rows of two folds, of which each has taught the other's
    model, are one draw that counts twice, and so the variance is twice as large.
    """
    return np.sqrt(2 * (len(y) + 1) / (12 * y.sum() * (~y).sum()))


@MAY_SWITCH_OFF
@pytest.mark.usefixtures("every_pair")
@pytest.mark.parametrize("name", [name for name in ENSEMBLES if name not in SLOW])
def test_a_few_canaries_are_silent(name: str) -> None:
    y = labels(400, name)
    found = leak_canary(ENSEMBLES[name], table(400, 10, name), y, n_repeats=4, random_state=0)
    assert abs(found.auc - 0.5) < 3 * standard_error(y) / 2, found


@MAY_SWITCH_OFF
@pytest.mark.proof
@pytest.mark.usefixtures("every_pair")
@pytest.mark.parametrize("name", ENSEMBLES)
def test_canaries_are_silent(name: str) -> None:
    """With many columns: of few, the margins of all folds grow where they are wrong, and pooled ranks show it."""
    y = labels(1000, name)
    found = leak_canary(ENSEMBLES[name], table(1000, 30, name), y, n_repeats=20, random_state=0)
    figures = f"{name}: AUC of shuffled labels {found.auc:.4f} +- {found.standard_error:.4f}"
    print(f"\n{figures}")
    assert abs(found.auc - 0.5) < 3 * found.standard_error, figures
    assert abs(found.auc - 0.5) < 0.015, figures


class Answers(TransformerMixin, BaseEstimator):
    """Gives each row that it was fitted on its answer, behind some noise."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Answers:
        self.answers_ = y + np.random.default_rng(0).normal(size=len(y))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([X, self.answers_])


@MAY_SWITCH_OFF
@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_canary_of_each_ensemble_can_sing(name: str) -> None:
    y = labels(200, name)
    found = leak_canary(make_pipeline(Answers(), ENSEMBLES[name]), table(200, 2), y, n_repeats=2, random_state=0)
    assert found.auc - 0.5 > 3 * standard_error(y) / np.sqrt(2), found


def test_a_second_layer_that_nobody_switches_off_sings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out-of-fold margins give their own targets away, but on rows that are kept out of both layers it shows."""
    monkeypatch.setattr(BaseStacking, "_is_confirmed", lambda *_: True)
    y = labels(400, "two layers")
    found = leak_canary(ENSEMBLES["stacking, two layers"], table(400, 10), y, n_repeats=2, random_state=0)
    assert found.auc - 0.5 > 3 * standard_error(y) / np.sqrt(2), found


# without chance


@MAY_SWITCH_OFF
@pytest.mark.parametrize("name", [name for name, ensemble in ENSEMBLES.items() if hasattr(ensemble, "cv")])
def test_margins_of_a_fold_hang_on_no_answer_of_its_rows(name: str) -> None:
    """To the last bit, where the folds are given: what members and stages say, not what weighs them."""
    X, y = table(150, 3), np.random.default_rng(1).permutation(labels(150, name))
    fold = np.arange(150) % 3
    ensemble = clone(ENSEMBLES[name]).set_params(
        cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)], random_state=0
    )
    plain = ensemble.fit(X, y).oof_
    other = clone(ensemble).fit(X, np.where(fold == 1, X[:, 0] > 0.5, y)).oof_
    names = [member for member in plain.members if member in other.members and not member.endswith(":2")]
    assert names
    for member in names:
        np.testing.assert_array_equal(plain.margins[member][fold == 1], other.margins[member][fold == 1])
        assert (plain.margins[member][fold != 1] != other.margins[member][fold != 1]).any()


def test_the_margin_of_a_row_out_of_the_bags_does_not_hang_on_its_answer() -> None:
    X, y = table(60, 3), labels(60, "bootstrap")
    bag = clone(ENSEMBLES["bagging, bootstrap"]).set_params(random_state=0)
    plain = bag.fit(X, y).oof_.margins["estimator"]
    for row in (3, 20):
        other = bag.fit(X, np.where(np.arange(60) == row, ~y, y)).oof_.margins["estimator"]
        assert other[row] == plain[row]
        assert (other != plain).any()
