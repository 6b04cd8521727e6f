"""Searching for better parameters, as scikit-learn does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _nets import NETS, REGRESSORS, target, tiny
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hybridlearn.datasets import load_houses
from hybridlearn.nets import ModuleRegressor, TabMRegressor, search_space


@pytest.fixture(scope="module")
def houses() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_houses()
    some = X.sample(300, random_state=0).index
    return X.loc[some], y.loc[some]


def holds(values: Any, default: Any) -> bool:
    """Whether a list, or the support of a distribution, holds a default; "auto" is one of the numbers."""
    if isinstance(values, list):
        return default in values or default == "auto"
    low, high = values.support()
    return low <= default <= high


@pytest.mark.parametrize("cls", NETS)
def test_the_space_holds_parameters_of_the_net_and_their_defaults(cls: type) -> None:
    net = cls(module=None) if "Module" in cls.__name__ else cls()
    space = search_space(net)
    assert {"learning_rate", "weight_decay", "batch_size"} <= set(space) <= set(net.get_params())
    assert ("label_smoothing" in space) == ("Classifier" in cls.__name__)
    defaults = net.get_params()
    assert {name: defaults[name] for name, values in space.items() if not holds(values, defaults[name])} == {}


@pytest.mark.parametrize("cls", NETS)
def test_every_value_of_the_space_can_be_fitted(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    space = search_space(tiny(cls))
    for params in ParameterSampler(space, n_iter=40, random_state=0):
        tiny(cls).set_params(**params)._validate_params()
    small = {name: values for name, values in space.items() if not name.startswith(("d_", "hidden", "n_", "k"))}
    for params in ParameterSampler(small, n_iter=2, random_state=0):
        net = tiny(cls, max_epochs=1).set_params(**params).fit(numbers, target(cls, noisy))
        assert np.isfinite(net.margin(numbers)).all()


def test_what_is_no_net_of_ours_has_no_space() -> None:
    for wrong in (Ridge(), TabMRegressor, None):
        with pytest.raises(TypeError, match="search_space knows the nets of hybridlearn, got a"):
            search_space(wrong)


@pytest.mark.filterwarnings("ignore::hybridlearn.table.UnseenCategoryWarning")
def test_a_grid_over_k_width_and_rate_on_the_houses(houses: tuple[pd.DataFrame, pd.Series]) -> None:
    grid = {"k": [2, 4], "d_block": [8, 16], "learning_rate": [1e-4, 3e-2]}
    net = tiny(TabMRegressor, max_epochs=3)
    search = GridSearchCV(net, grid, cv=2, error_score="raise").fit(*houses)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["learning_rate"] == 3e-2
    assert search.best_estimator_.embed(houses[0]).shape == (
        300,
        search.best_params_["k"] * search.best_params_["d_block"],
    )


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_random_search_over_the_space_runs(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = make_pipeline(StandardScaler(), tiny(cls, max_epochs=1))
    small = {"d_block", "d_hidden", "hidden_layer_sizes", "k", "n_blocks"}
    name = cls.__name__.lower()
    space = {f"{name}__{key}": values for key, values in search_space(net[-1]).items() if key not in small}
    search = RandomizedSearchCV(net, space, n_iter=2, cv=2, random_state=0, error_score="raise").fit(numbers, noisy)
    assert set(search.best_params_) == set(space)
    assert np.isfinite(search.predict(numbers)).all()


def test_arguments_of_a_module_are_searched_as_a_whole(numbers: np.ndarray, noisy: np.ndarray) -> None:
    grid = {"module_params": [{"d_hidden": 2}, {"d_hidden": 3}]}
    search = GridSearchCV(tiny(ModuleRegressor), grid, cv=2, error_score="raise").fit(numbers, noisy)
    width = search.best_params_["module_params"]["d_hidden"]
    assert search.best_estimator_.module_.hidden[0].out_features == width
