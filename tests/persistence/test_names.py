"""The list of classes that a file may name: all that is needed, and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import _models
import numpy as np
import pandas as pd
import pytest
from _models import TASKS, every_public, fit, members
from sklearn.base import BaseEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

import hybridlearn
from hybridlearn import (
    FeatureBuilder,
    HybridBoostingClassifier,
    HybridClassifier,
    HybridStackingClassifier,
    TableEncoder,
    TabularMLPClassifier,
)
from hybridlearn.persistence import _names
from hybridlearn.persistence._archive import Archive
from hybridlearn.persistence._names import _PARTS, _ROOMS, OWN, TORCH, UnknownNameError, class_of, function_of, name_of


def classes_of_the_package() -> list[type]:
    files = [info.name for info in pkgutil.walk_packages(hybridlearn.__path__, "hybridlearn.")]
    modules = [importlib.import_module(name) for name in files if not name.endswith("__main__")]
    return [
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    ]


def test_every_name_of_our_own_resolves_to_a_class_that_knows_it() -> None:
    for name in OWN:
        cls = class_of(f"hybridlearn:{name}", {})
        assert name_of(cls) == f"hybridlearn:{name}"
    for name in TORCH:
        assert name_of(class_of(f"torch:{name}", {})) == f"torch:{name}"
    for module, names in _PARTS.items():
        for name in names:
            assert name_of(class_of(f"{module}:{name}", {})) == f"{module}:{name}"
    for room in _ROOMS:
        importlib.import_module(room)


def test_every_estimator_and_module_of_ours_is_listed() -> None:
    """Also those that only turn up in some fits: bases and what lives while `fit` runs are left out by name."""
    unlisted = {cls.__name__ for cls in classes_of_the_package() if name_of(cls) is None}
    kept = {
        cls.__name__
        for cls in classes_of_the_package()
        if issubclass(cls, BaseEstimator | nn.Module) and not re.match("_|Base", cls.__name__)
    }
    assert unlisted & kept == TRANSIENT
    assert set(OWN) - {cls.__name__ for cls in classes_of_the_package()} == set()


# Losses and nets of skorch that train, and wrappers that live in `fit`.
TRANSIENT = {
    "AdversarialNet",
    "CrossEntropy",
    "FocalLoss",
    "HuberLoss",
    "LogitAdjustedLoss",
    "LossOf",
    "PinballLoss",
    "SquaredError",
    "StackedNet",
    "TensorNet",
    "WeightedNet",
}


def every_family() -> FeatureBuilder:
    """Of features; pairs are taken though they say nothing."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    X["level"], X["other"] = (rng.choice(list("xyz"), 60) for _ in range(2))
    X["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9000, 60), unit="h")
    X["text"] = [f"row number {i}" for i in range(60)]
    return FeatureBuilder(select=None, max_pairs=2, random_state=0).fit(X, rng.normal(size=60))


def test_nothing_is_listed_that_no_model_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class of ours is in a file of some estimator, in some task; those of a checkpoint in its files."""
    for module in ("_crosses", "_groups", "_numbers"):
        monkeypatch.setattr(f"hybridlearn.features.{module}.LEAST_SCORE", -np.inf)
    hybridlearn.persistence.save(every_family(), tmp_path / "features.hybrid")
    settings: dict[str, Any] = {"random_state": 0, "cv": 3}
    linear = ("linear", members("three")[1][1])
    vectors = make_pipeline(TableEncoder(encode="onehot"), SVC())
    stages = [members("number")[1]]
    rare = [
        HybridClassifier(estimators=[("vectors", vectors)], checkpoint=tmp_path / "pieces", **settings),
        HybridStackingClassifier(estimators=[linear], final_estimator=GaussianNB(), **settings),
        HybridStackingClassifier(estimators=[linear], layers=2, **settings),
        HybridBoostingClassifier(estimators=stages, inner_cv=2, **settings),
        *[
            TabularMLPClassifier(numeric_embedding=kind, random_state=0, max_epochs=1)
            for kind in ("quantile", "linear", "none")
        ],
    ]
    for i, model in enumerate(rare):
        hybridlearn.persistence.save(fit(model, "three"), tmp_path / f"rare {i}.hybrid")
    for task in TASKS:
        for name, model in every_public(task).items():
            hybridlearn.persistence.save(model, tmp_path / f"{task} {name}.hybrid")
    found: set[str] = set()
    for path in tmp_path.rglob("*.hybrid"):
        with path.open("rb") as file:
            found |= set(re.findall(r"hybridlearn:(\w+)", Archive(file).read("objects.json").decode()))
    assert sorted(set(OWN) - found) == []


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "builtins:object",
        "subprocess:Popen",
        "numpy.testing:assert_equal",
        "sklearn.datasets:load_iris",
        "sklearn.utils:all_estimators",
        "sklearn.linear_model:ridge_regression",
        "sklearn.tree:export_text",
        "sklearn.tree:os",
        "sklearn.pipeline:joblib",
        "sklearn.experimental.enable_halving_search_cv:HalvingGridSearchCV",
        "sklearn.linear_model._logistic:LogisticRegression",
        "sklearn.linear_model.os:LogisticRegression",
        "sklearn.linear_model:LogisticRegression.fit",
        "sklearn.linear_model:__loader__",
        "sklearn..linear_model:LogisticRegression",
        "hybridlearn:save",
        "hybridlearn:__class__",
        "torch:Module",
        "torch:LazyLinear",
        "torch:Transformer.forward",
        "xgboost:train",
        "xgboost:Booster",
        "",
        ":",
        "hybridlearn:",
    ],
)
def test_a_foreign_name_is_refused_and_nothing_imported_for_it(name: str, monkeypatch: Any) -> None:
    imported: list[str] = []
    known = _names.import_module

    def watched(module: str) -> Any:
        imported.append(module)
        return known(module)

    monkeypatch.setattr(_names, "import_module", watched)
    for find in (class_of, function_of):
        with pytest.raises(UnknownNameError):
            find(name, {})
    assert set(imported) <= _ROOMS | {f"hybridlearn.{home}" for home in OWN.values()}


@pytest.mark.parametrize("name", ["sklearn.metrics:make_scorer", "sklearn.metrics:_scorer", "sklearn.metrics:os"])
def test_no_class_is_a_function(name: str) -> None:
    with pytest.raises(UnknownNameError):
        class_of(name, {})


def test_the_models_of_the_tests_are_trusted_by_name() -> None:
    assert all(name_of(thing) is None for thing in _models.TRUSTED if isinstance(thing, type))
