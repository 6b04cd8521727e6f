"""What the tests of the command line share: a word for each command, and members that take no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline

from hybridlearn import BoostedTreesClassifier, BoostedTreesRegressor
from hybridlearn.cli import main
from hybridlearn.table import TableEncoder


def quick_members(*, preset: str = "balanced", classification: bool) -> list[tuple[str, Any]]:
    trees = (BoostedTreesClassifier if classification else BoostedTreesRegressor)(n_estimators=5, max_depth=2)
    linear = LogisticRegression(max_iter=1000) if classification else RidgeCV()
    return [("trees", trees), ("linear", make_pipeline(TableEncoder(encode="onehot", max_levels=20), linear))]


def run(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


def fit(table: Path, target: str, model: Path, *options: Any) -> int:
    return run("fit", table, "--target", target, "-o", model, *options)


def csv(path: Path, **columns: Any) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line
