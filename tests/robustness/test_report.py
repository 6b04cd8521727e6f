"""Robustness reports: members beside the hybrid, certified under attacked under clean, constants called so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from hybridlearn import BoostedTreesClassifier, HybridClassifier, TabularResNetClassifier, attack, robustness_report


def test_members_and_hybrid_are_reported(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, paid: np.ndarray
) -> None:
    model, X, y = fitted["hybrid", "two"], loans[160:], paid[160:]
    report = robustness_report(model, X, y, eps=[0.05, 0.2], budget=20)
    frame = report.frame
    assert frame["member"].tolist() == [name for name in ("model", "trees", "mlp", "linear") for _ in range(2)]
    assert (frame["certified"] <= frame["attacked"]).all()
    assert (frame["attacked"] <= frame["clean"]).all()
    assert (frame["auc_attacked"] <= frame["auc"]).all()
    assert (frame["mcc_attacked"] <= frame["mcc"] + 1e-9).all()
    whole = frame[frame["member"] == "model"]
    assert whole["clean"].iloc[0] == pytest.approx((model.predict(X) == y).mean())
    assert whole["attacked"].is_monotonic_decreasing
    assert frame["majority"].iloc[0] == max(np.mean(y == "yes"), np.mean(y == "no"))
    assert {"recall_attacked[yes]", "recall_attacked[no]"} <= set(frame)
    assert not frame["constant"].any()
    assert report.not_certifiable == {}
    assert [line.get_label() for line in report.plot().lines][:2] == ["model, attacked", "model, certified"]


def test_what_has_no_certificate_says_why(loans: pd.DataFrame, grade: np.ndarray) -> None:
    members = [
        ("trees", BoostedTreesClassifier(n_estimators=5, early_stopping=False)),
        ("resnet", TabularResNetClassifier(n_blocks=1, d_block=8, d_hidden=8, max_epochs=3)),
    ]
    X = loans[["age", "debt"]]
    model = HybridClassifier(estimators=members, cv=2, final_estimator="mean", random_state=0).fit(X[:160], grade[:160])
    report = robustness_report(model, X[160:], grade[160:], eps=[0.1], budget=5)
    certified = report.frame.set_index("member")["certified"]
    assert certified.isna().to_dict() == {"model": True, "trees": False, "resnet": True}
    assert "ResNet" in report.not_certifiable["resnet"]
    assert "auc" not in report.frame


def test_a_constant_is_called_so(loans: pd.DataFrame, paid: np.ndarray) -> None:
    X = loans[["age", "debt"]]
    constant = DummyClassifier(strategy="prior").fit(X, paid)
    report = robustness_report(constant, X, paid, eps=[0.1], budget=3)
    assert report.frame["constant"].all()
    assert report.frame["attacked"].iloc[0] == report.frame["majority"].iloc[0]


def test_the_report_uses_one_unit_for_all_rows(
    fitted: dict[tuple[str, str], Any], loans: pd.DataFrame, paid: np.ndarray
) -> None:
    model, X, y = fitted["trees", "two"], loans[160:], paid[160:]
    report = robustness_report(model, X, y, eps=[0.2], budget=20)
    found = attack(model, X, y, eps=0.2, budget=20)
    assert report.frame["attacked"].iloc[0] == pytest.approx((found.attacked & ~found.success).mean())
