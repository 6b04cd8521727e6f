"""scikit-learn's common checks over every public estimator; what cannot hold has its reason here, strictly.

The estimators are found by walking the package: a new one needs no line in this file.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from _estimators import SMALL, SMALL_NETS, hidden_estimators, public_estimators, small
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import hybridlearn

MINI_BATCHES = "a row that is repeated comes up in several mini-batches, a row of weight two in one"
INNER_SPLIT = "a row that is repeated may stop the training as well as train, a row of weight two does one"
CROSS_FITTED = "a row that is repeated lies in several folds, a row of weight two in one"
FITTED_IN_PLACE = "steps are fitted in place, as those of scikit-learn's pipelines are"
WEIGHTS_ARE_REPETITIONS = "check_sample_weight_equivalence_on_dense_data"

EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    "BoostedTreesClassifier": {WEIGHTS_ARE_REPETITIONS: INNER_SPLIT},
    "BoostedTreesRegressor": {WEIGHTS_ARE_REPETITIONS: INNER_SPLIT},
    **{
        f"{ensemble}{kind}": {WEIGHTS_ARE_REPETITIONS: CROSS_FITTED}
        for ensemble in ("Hybrid", "HybridStacking", "HybridBagging", "HybridBoosting", "Concat")
        for kind in ("Classifier", "Regressor")
    },
    **{
        name: {
            WEIGHTS_ARE_REPETITIONS: CROSS_FITTED,
            "check_sample_weight_equivalence_on_sparse_data": CROSS_FITTED,
        }
        for name in ("HybridBaggingClassifier", "ResampledClassifier", "UnderBaggingClassifier")
    },
    "TabularPipeline": {
        "check_estimators_overwrite_params": FITTED_IN_PLACE,
        "check_dont_overwrite_parameters": FITTED_IN_PLACE,
    },
    **{
        f"{family}{kind}": {WEIGHTS_ARE_REPETITIONS: MINI_BATCHES}
        for family in SMALL_NETS
        for kind in ("Classifier", "Regressor")
    },
}

ESTIMATORS = public_estimators(hybridlearn)


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED_FAILURES.get(type(estimator).__name__, {})


@parametrize_with_checks(
    [small(cls) for cls in ESTIMATORS], expected_failed_checks=expected_failures, xfail_strict=True
)
def test_scikit_learn_agrees(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


def test_an_expected_failure_that_passes_would_fail() -> None:
    (parametrize,) = test_scikit_learn_agrees.pytestmark
    marks = [mark for case in parametrize.args[1] for mark in getattr(case, "marks", ())]
    assert marks
    assert all(mark.kwargs["strict"] for mark in marks)


def test_the_tables_name_what_exists() -> None:
    """Strictness sees only what is run: a stale name would be silent."""
    classes = {cls.__name__: cls for cls in ESTIMATORS}
    assert {*SMALL, *EXPECTED_FAILURES} <= set(classes)
    for name, expected in EXPECTED_FAILURES.items():
        run = {check.func.__name__ for _, check in estimator_checks_generator(small(classes[name]))}
        assert set(expected) <= run, name


def test_no_estimator_hides_from_the_checks() -> None:
    assert hidden_estimators(hybridlearn) == []


@pytest.fixture
def planted_package(tmp_path, monkeypatch) -> ModuleType:
    """A package with one estimator that is offered, one that is forgotten, and one that is private."""
    room = tmp_path / "planted" / "room"
    room.mkdir(parents=True)
    (tmp_path / "planted" / "__init__.py").touch()
    (room / "__init__.py").write_text("from planted.room._file import Offered\n__all__ = ['Offered']\n")
    classes = [f"class {name}(BaseEstimator): ...\n" for name in ("Offered", "Forgotten", "BaseBoth", "_Private")]
    (room / "_file.py").write_text("from sklearn.base import BaseEstimator\n" + "".join(classes))
    monkeypatch.syspath_prepend(tmp_path)
    import planted

    return planted


def test_the_walk_finds_what_is_offered_and_what_is_forgotten(planted_package: ModuleType) -> None:
    assert [cls.__name__ for cls in public_estimators(planted_package)] == ["Offered"]
    assert [cls.__name__ for cls in hidden_estimators(planted_package)] == ["Forgotten"]
