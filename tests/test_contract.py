"""What the house asks of every public estimator beyond scikit-learn's checks.

Each rule takes a class, yields complaints, and is shown to bite on an estimator that breaks it.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _estimators import is_estimator, public_estimators, small
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.linear_model import Ridge

import hybridlearn
from hybridlearn import TabularPipeline

ESTIMATORS = public_estimators(hybridlearn)
# boosted trees for regression had 20 before they had a time_limit and interactions
MOST_PARAMETERS = 22
MOST_PARAMETERS_OF_A_NET = 32

Estimator = type[BaseEstimator]
Rule = Callable[[Estimator], Iterator[str]]


def parameters(cls: Estimator) -> list[inspect.Parameter]:
    return list(inspect.signature(cls).parameters.values())


def parameters_are_few(cls: Estimator) -> Iterator[str]:
    is_net = cls.__module__.startswith("hybridlearn.nets")
    most = MOST_PARAMETERS_OF_A_NET if is_net else MOST_PARAMETERS
    if len(parameters(cls)) > most:
        yield f"{len(parameters(cls))} parameters, {most} are enough"


def parameters_are_keyword_only(cls: Estimator) -> Iterator[str]:
    for parameter in parameters(cls):
        if parameter.kind is not parameter.KEYWORD_ONLY and (cls, parameter.name) != (TabularPipeline, "steps"):
            # scikit-learn slices a pipeline by what it takes first
            yield f"{parameter} is {parameter.kind.description}"


def defaults_are_no_estimators(cls: Estimator) -> Iterator[str]:
    """An instance in the signature is shared by all who do not replace it."""
    for parameter in parameters(cls):
        if is_estimator(type(parameter.default)):
            yield f"{parameter} is an estimator"


def init_only_assigns(cls: Estimator) -> Iterator[str]:
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.partition(".")[0] not in ("builtins", "sklearn"):
            (init,) = ast.parse(textwrap.dedent(inspect.getsource(base.__init__))).body
            assert isinstance(init, ast.FunctionDef)
            yield from (f"{base.__name__}: {ast.unparse(line)}" for line in init.body if not is_assignment(line))


def is_assignment(line: ast.stmt) -> bool:
    """Whether a line of ``__init__`` is a docstring, ``self.a = a``, or hands parameters on as they are."""
    match line:
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=ast.Name(id=value)):
            return name == value
        case ast.Expr(value=ast.Call(func=function, args=[], keywords=keywords)):
            handed_on = all(ast.unparse(keyword.value) == keyword.arg for keyword in keywords)
            return ast.unparse(function) == "super().__init__" and handed_on
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def sections(cls: Estimator) -> dict[str, str]:
    """The sections of a numpydoc docstring, by heading."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(cls.__doc__ or ""), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[str]:
    """The names that a section describes: ``name : type`` or ``one, two : type`` at the left margin."""
    heads = re.findall(r"^(\w[\w, ]*?) *(?::.*)?$", section, flags=re.MULTILINE)
    return [name for head in heads for name in head.split(", ")]


def docstring_tells_all(cls: Estimator) -> Iterator[str]:
    found = sections(cls)
    for heading in ("Parameters", "Attributes", "Examples"):
        if heading not in found:
            yield f"no section {heading}"
    signature = [parameter.name for parameter in parameters(cls)]
    if entries(found.get("Parameters", "")) != signature:
        yield f"describes {entries(found.get('Parameters', ''))}, the signature is {signature}"
    fitted_model = fitted(cls)
    described = entries(found.get("Attributes", ""))
    attributes = [name for name in vars(fitted_model) if name.endswith("_") and not name.startswith("_")]
    yield from (f"{name} is not described" for name in attributes if name not in described)
    yield from (f"{name} is described, but not there" for name in described if not hasattr(fitted_model, name))


def example_data(cls: Estimator) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "c"])
    noisy = X["a"] - X["b"] + rng.normal(size=len(X))
    return X, noisy if is_regressor(small(cls)) else (noisy > 0).map({True: "yes", False: "no"})


@cache
def fitted(cls: Estimator) -> BaseEstimator:
    model = small(cls)
    getattr(model, "fit_resample", model.fit)(*example_data(cls))
    return model


RULES: list[Rule] = [
    parameters_are_few,
    parameters_are_keyword_only,
    defaults_are_no_estimators,
    init_only_assigns,
    docstring_tells_all,
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_the_contract_holds(cls: Estimator, rule: Rule) -> None:
    assert list(rule(cls)) == []


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_parameters_come_back_as_they_went_in(cls: Estimator) -> None:
    estimator = small(cls)
    given = estimator.get_params(deep=False)
    assert set(given) == {parameter.name for parameter in parameters(cls)}
    again = cls(**given).get_params(deep=False)
    assert all(again[name] is value for name, value in given.items())
    assert repr(clone(estimator)) == repr(estimator)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_a_pickle_says_the_same_to_the_last_bit(cls: Estimator) -> None:
    X, _ = example_data(cls)
    before, after = answers(fitted(cls), X), answers(pickle.loads(pickle.dumps(fitted(cls))), X)
    assert before
    for method, answer in before.items():
        np.testing.assert_array_equal(answer, after[method], err_msg=method, strict=True)


def answers(estimator: BaseEstimator, X: pd.DataFrame) -> dict[str, np.ndarray]:
    if hasattr(estimator, "fit_resample"):
        more, labels = estimator.fit_resample(*example_data(type(estimator)))
        return {"X": more.to_numpy(), "y": labels.to_numpy()}
    methods = ("predict", "predict_proba", "decision_function", "transform")
    return {name: np.asarray(getattr(estimator, name)(X)) for name in methods if hasattr(estimator, name)}


class Innocent(BaseEstimator):
    """Obey.

    Parameters
    ----------
    one, two : int
        Told at once.

        A second paragraph.

    Attributes
    ----------
    n_features_in_ : int
        Told.

    Examples
    --------
    >>> Innocent()
    Innocent()
    """

    def __init__(self, *, one: int = 1, two: int = 2):
        """Say."""
        self.one = one
        self.two = two

    def fit(self, X: Any, y: Any) -> Innocent:
        self.n_features_in_ = X.shape[1]
        return self


class Heir(Innocent):
    __doc__ = Innocent.__doc__

    def __init__(self, *, one: int = 1, two: int = 3):
        super().__init__(one=one, two=two)


class Positional(Innocent):
    def __init__(self, one: int = 1, *, two: int = 2):
        super().__init__(one=one, two=two)


class Starry(Innocent):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)


class Sharing(Innocent):
    def __init__(self, *, one: Any = Ridge(), two: int = 2):  # noqa: B008
        super().__init__(one=one, two=two)


class Busy(Innocent):
    def __init__(self, *, one: int = 1, two: int = 2):
        self.one = one
        self.two = two or 1


class Passing(Innocent):
    def __init__(self, *, one: int = 1, two: int = 2):
        super().__init__(one=two, two=one)


class Chatty(Innocent):
    """Describe nothing of what follows."""

    def __init__(self, *, one: int = 1, two: int = 2):
        super().__init__(one=one, two=two)


class Secretive(Heir):
    __doc__ = Innocent.__doc__

    def fit(self, X: Any, y: Any) -> Secretive:
        self.secret_ = 1
        return super().fit(X, y)


class Boastful(Heir):
    __doc__ = (Innocent.__doc__ or "").replace("n_features_in_", "n_features_in_, absent_")


def crowded() -> Estimator:
    names = [f"p{i}" for i in range(MOST_PARAMETERS + 1)]
    source = f"def __init__(self, *, {'=1, '.join(names)}=1): ..."
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return type("Crowded", (BaseEstimator,), namespace)


PLANTED: list[tuple[Rule, Estimator]] = [
    (parameters_are_few, crowded()),
    (parameters_are_keyword_only, Positional),
    (parameters_are_keyword_only, Starry),
    (defaults_are_no_estimators, Sharing),
    (init_only_assigns, Busy),
    (init_only_assigns, Passing),
    (docstring_tells_all, Chatty),
    (docstring_tells_all, Secretive),
    (docstring_tells_all, Boastful),
]


@pytest.mark.parametrize(("rule", "cls"), PLANTED)
def test_a_rule_catches_what_is_planted(rule: Rule, cls: Estimator) -> None:
    assert list(rule(cls))


@pytest.mark.parametrize("cls", [Innocent, Heir])
def test_the_rules_let_the_innocent_pass(cls: Estimator) -> None:
    assert [complaint for rule in RULES for complaint in rule(cls)] == []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _ in PLANTED} == set(RULES)
