"""Shuffled labels: a hybrid whose members encode the target and invent rows must know nothing of them."""

from __future__ import annotations

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from hybridlearn.crossfit import leak_canary
from hybridlearn.ensemble import HybridClassifier
from hybridlearn.trees import BoostedTreesClassifier

N_ROWS = 2000


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers, a column of 40 levels and one of 400, and as many of each label."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["a", "b", "c"])
    X["town"] = rng.choice([f"town {i}" for i in range(40)], N_ROWS)
    X["street"] = rng.choice([f"street {i}" for i in range(400)], N_ROWS)
    return X, np.repeat(["no", "yes"], N_ROWS // 2)


def half_as_many_again(y: np.ndarray) -> dict[int, int]:
    """The classes are balanced: SMOTE has to be told to invent rows of both."""
    return {int(code): int(1.5 * count) for code, count in zip(*np.unique(y, return_counts=True), strict=True)}


def target_codes() -> ColumnTransformer:
    encoder = TargetEncoder(cv=StratifiedKFold(5))
    return ColumnTransformer([("codes", encoder, ["town", "street"])], remainder="passthrough")


def members() -> HybridClassifier:
    smote = SMOTE(sampling_strategy=half_as_many_again)
    trees = BoostedTreesClassifier(n_estimators=20, learning_rate=0.2, max_depth=4)
    return HybridClassifier(
        estimators=[
            ("trees", trees),  # codes the towns and streets itself
            ("smote_trees", imblearn.pipeline.make_pipeline(target_codes(), smote, trees)),
            ("smote_linear", imblearn.pipeline.make_pipeline(target_codes(), smote, LogisticRegression())),
        ]
    )


# Standard error of the AUC of margins that know nothing: that of a few seeds alone may be far too small.
CHANCE = np.sqrt((N_ROWS + 1) / 3) / N_ROWS


@pytest.mark.parametrize("n_seeds", [pytest.param(20, marks=pytest.mark.proof), 6])
def test_canary_with_target_encoding_and_smote_inside(n_seeds: int) -> None:
    X, y = table()
    found = leak_canary(members(), X, y, n_repeats=n_seeds, random_state=0)
    figures = (
        f"out-of-fold AUC of the blend, labels shuffled {n_seeds} times: {found.auc:.4f} +- {found.standard_error:.4f}"
    )
    print(f"\n{figures}")
    off = abs(found.auc - 0.5)
    if n_seeds < 20:
        assert off < 3 * CHANCE / np.sqrt(n_seeds), figures
    else:
        assert off < 0.015, figures
        assert off < 3 * found.standard_error, figures


def test_smote_does_invent_rows() -> None:
    X, y = table()
    codes = (y == "yes").astype(int)
    smote = SMOTE(sampling_strategy=half_as_many_again)
    resampled, _ = smote.fit_resample(target_codes().fit_transform(X, codes), codes)
    assert len(resampled) == 1.5 * N_ROWS
