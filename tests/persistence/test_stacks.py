"""Ensembles of scikit-learn's estimators and of the user's own parts; scikit-learn's ensembles of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _estimators import SMALL_TREES, Perceptron
from _models import Recurrent, estimator, fit, mean_distance, members, numbers, table, target
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline as SamplingPipeline
from sklearn import ensemble
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import make_scorer, median_absolute_error
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

import hybridlearn as hl
from hybridlearn.nets import ModuleRegressor
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

TREES = BoostedTreesClassifier(**SMALL_TREES, random_state=0)


def on_numbers(model: Any) -> Any:
    """One of scikit-learn behind what makes numbers of a table."""
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include=float)),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour", "size"]),
        ),
        model,
    )


STRANGERS: dict[str, Any] = {
    "linear": LogisticRegression(),
    "forest": RandomForestClassifier(5, random_state=0),
    "extra": ExtraTreesClassifier(5, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "neighbours": KNeighborsClassifier(),
    "vectors": SVC(),
    "bayes": GaussianNB(),
    "gradient": SGDClassifier(loss="log_loss", random_state=0),
    "calibrated": CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2),
    "adaboost": AdaBoostClassifier(n_estimators=3, random_state=0),
    "selected": make_pipeline(SelectKBest(f_classif, k=3), FunctionTransformer(np.arcsinh), GaussianNB()),
    "xgboost": XGBClassifier(n_estimators=3),
}


@pytest.mark.parametrize("task", ["two", "three"])
def test_members_of_scikit_learn(task: str, same_elsewhere: Any) -> None:
    strangers = [(name, on_numbers(model)) for name, model in STRANGERS.items()]
    sampled = SamplingPipeline([*on_numbers(GaussianNB()).steps[:1], ("more", RandomOverSampler(random_state=0))])
    sampled.steps.append(("bayes", GaussianNB()))
    hybrid = hl.HybridClassifier(estimators=[*strangers, ("sampled", sampled), ("trees", TREES)], cv=2, random_state=0)
    same_elsewhere(task, {"hybrid": fit(hybrid, task)})


def test_regressors_of_scikit_learn(same_elsewhere: Any) -> None:
    strangers = [
        ("histogram", on_numbers(HistGradientBoostingRegressor(max_iter=5, loss="absolute_error"))),
        ("neighbours", on_numbers(KNeighborsRegressor(algorithm="ball_tree", p=1))),
        ("friedman", on_numbers(ensemble.GradientBoostingRegressor(n_estimators=5, loss="huber", random_state=0))),
    ]
    hybrid = hl.HybridRegressor(estimators=strangers, cv=2, random_state=np.random.RandomState(3))
    judged = hl.HybridRegressor(estimators=members("number"), cv=2, random_state=0, scoring=mean_distance)
    same_elsewhere("number", {"hybrid": fit(hybrid, "number"), "judged": fit(judged, "number")})


def test_ensembles_of_ours(same_elsewhere: Any) -> None:
    stack = hl.HybridStackingClassifier
    two, three = members("two"), members("three")
    unseen, y = table(), target("two")
    X = unseen.assign(b=unseen["b"] + 0.05)
    prefit = [(name, model.fit(X, y)) for name, model in members("two")]
    stages = [members("number")[0], members("number")[1]]
    settings: dict[str, Any] = {"random_state": 0}
    of_two = {
        "final": stack(estimators=two, cv=2, final_estimator=RandomForestClassifier(3, random_state=0), **settings),
        "through": stack(estimators=two, cv=2, final_estimator=TREES, passthrough=True, **settings),
        "layers": stack(estimators=two, cv=3, layers=2, **settings),
        "prefit": stack(estimators=prefit, cv="prefit", **settings),
        "stages": hl.HybridBoostingClassifier(estimators=stages, cv=2, inner_cv=2, **settings),
        "scored": hl.HybridClassifier(estimators=two, cv=KFold(2), random_state=np.random.RandomState(4)),
    }
    of_three = {
        "stages": hl.HybridBoostingClassifier(estimators=stages, cv=2, inner_cv=2, **settings),
        "in_time": hl.HybridClassifier(estimators=three, cv=TimeSeriesSplit(2), **settings),
    }
    same_elsewhere("two", {name: fit(model, "two") for name, model in of_two.items()})
    same_elsewhere("three", {name: fit(model, "three") for name, model in of_three.items()})


def test_ours_inside_of_scikit_learn(same_elsewhere: Any) -> None:
    hybrid = hl.HybridClassifier(estimators=members("two"), cv=2, random_state=0)
    frozen = FrozenEstimator(fit(TREES, "two"))
    search = {"linear__logisticregression__C": [0.1, 1.0]}
    models = {
        "pipeline": make_pipeline(FunctionTransformer(), hybrid),
        "stack": StackingClassifier([("hybrid", hybrid), ("frozen", frozen)], cv=2),
        "vote": VotingClassifier([("trees", TREES), ("hybrid", hybrid)], voting="soft"),
        "calibrated": CalibratedClassifierCV(frozen),
        "search": GridSearchCV(hybrid, search, cv=2, scoring=["neg_log_loss", "roc_auc"], refit="roc_auc"),
    }
    same_elsewhere("two", {name: fit(model, "two") for name, model in models.items()})
    bags = {
        "bag": BaggingClassifier(TREES, 2, max_features=0.7, random_state=0),
        "boost": AdaBoostClassifier(TREES, n_estimators=2, random_state=0),
    }
    for model in bags.values():
        model.only_numbers = True
    same_elsewhere("two", {name: fit(model, "two") for name, model in bags.items()})


def test_parts_of_the_user(same_elsewhere: Any) -> None:
    net = {"max_epochs": 2, "random_state": 0}
    judged = make_scorer(median_absolute_error, greater_is_better=False)
    trees = BoostedTreesRegressor(**SMALL_TREES, random_state=0)
    models = {
        "Module": ModuleRegressor(module=Recurrent, **net),
        "Perceptron": ModuleRegressor(module=Perceptron, module_params={"d_hidden": 3}, **net),
        "search": GridSearchCV(trees, {"max_depth": range(1, 3)}, cv=2, scoring=mean_distance),
        "judged": GridSearchCV(trees, {"max_depth": [1, 2]}, cv=2, scoring=judged),
    }
    for model in models.values():
        model.only_numbers = True
    same_elsewhere("number", {name: fit(model, "number") for name, model in models.items()})


def test_a_random_state_goes_on_where_it_was(tmp_path: Any) -> None:
    """It is drawn from by each fit, and two who share it share it again."""
    state = np.random.RandomState(5)
    pair = [estimator(type(TREES), "two").set_params(random_state=state) for _ in range(2)]
    hl.persistence.save(pair, tmp_path / "pair.hybrid")
    again = hl.persistence.load(tmp_path / "pair.hybrid")
    assert again[0].random_state is again[1].random_state
    assert again[0].random_state.randint(1 << 30, size=700).tolist() == state.randint(1 << 30, size=700).tolist()


def test_a_linear_regressor_learns_on(tmp_path: Any) -> None:
    """`partial_fit` of what was loaded is that of what was saved."""
    X, y = numbers(table()), target("two")
    first = SGDClassifier(random_state=0).fit(X, y)
    hl.persistence.save(first, tmp_path / "first.hybrid")
    again = hl.persistence.load(tmp_path / "first.hybrid")
    np.testing.assert_array_equal(again.partial_fit(X, y).coef_, first.partial_fit(X, y).coef_)
