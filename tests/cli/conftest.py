"""Models of two tables, one of each task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _cli import fit, quick_members

from hybridlearn.datasets import load_houses, load_mortgages
from hybridlearn.ensemble import _hybrid


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mortgages with holes and houses, in halves, and a model of each first half."""
    folder = tmp_path_factory.mktemp("models")
    X, y = load_mortgages()
    X = X.astype("object").mask(np.random.default_rng(0).random(X.shape) < 0.1)
    write_halves(X.assign(deny=y).iloc[:400], folder, "mortgages")
    X, y = load_houses()
    write_halves(
        X[["Foundation", "Gr_Liv_Area", "Year_Built"]].assign(Price=y).sample(300, random_state=0), folder, "houses"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_hybrid, "default_members", quick_members)
        assert fit(folder / "mortgages_train.csv", "deny", folder / "mortgages.hybrid") == 0
        assert fit(folder / "houses_train.csv", "Price", folder / "houses.hybrid") == 0
    return folder


def write_halves(table: pd.DataFrame, folder: Path, name: str) -> None:
    half = len(table) // 2
    table.iloc[:half].to_csv(folder / f"{name}_train.csv", index=False)
    table.iloc[half:].to_csv(folder / f"{name}_test.csv", index=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hybrid, "default_members", quick_members)
