"""Parameters and docstrings that estimators share are written once, and read as if written out."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from sklearn.base import BaseEstimator, clone

from hybridlearn._docs import also_takes, leads_with, shares_doc


class Base(BaseEstimator):
    def __init__(self, *, rate: float = 0.1, seed: int | None = None):
        self.rate = rate
        self.seed = seed


@leads_with(width=(8, 8), depth=2, rate=0.5)
class Family(Base):
    """A family."""


@also_takes(loss="log", seed=3)
class Pair(Family):
    """One of a pair."""


def defaults(cls: type) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


def test_a_family_leads_and_a_pair_follows() -> None:
    assert list(defaults(Family)) == ["width", "depth", "rate", "seed"]
    assert list(defaults(Pair)) == ["width", "depth", "rate", "seed", "loss"]


def test_another_default_stands_where_the_parameter_stood() -> None:
    assert defaults(Family) == {"width": (8, 8), "depth": 2, "rate": 0.5, "seed": None}
    assert defaults(Pair) == {"width": (8, 8), "depth": 2, "rate": 0.5, "seed": 3, "loss": "log"}
    assert defaults(Base) == {"rate": 0.1, "seed": None}, "the base is left alone"


def test_parameters_are_set_and_known_to_scikit_learn() -> None:
    pair = Pair(depth=5, loss="hinge")
    assert pair.get_params() == {"width": (8, 8), "depth": 5, "rate": 0.5, "seed": 3, "loss": "hinge"}
    assert {name: value for name, value in vars(pair).items() if not name.startswith("_")} == pair.get_params()
    assert clone(pair.set_params(rate=2.0)).get_params()["rate"] == 2.0
    assert repr(pair) == "Pair(depth=5, loss='hinge', rate=2.0)"


def test_all_are_keyword_only_and_unknown_ones_are_refused() -> None:
    assert {p.kind for p in inspect.signature(Pair).parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError, match="positional"):
        Pair((8, 8))
    with pytest.raises(TypeError, match="heigth"):
        Pair(heigth=1)


def test_a_parameter_without_a_default_must_be_given() -> None:
    @leads_with(module=inspect.Parameter.empty)
    class Needy(Base):
        """Needs a module."""

    assert Needy(module=int).module is int
    with pytest.raises(TypeError, match="module"):
        Needy()


def test_two_families_of_one_base_do_not_meet() -> None:
    @leads_with(height=1)
    class Other(Base):
        """Another family."""

    assert list(defaults(Other)) == ["height", "rate", "seed"]
    assert "height" not in defaults(Family)


BLOCKS = {
    "size": """
        width : tuple of int, default=?
            First line.

            After a gap.
    """,
    "rest": """
        rate : float, default=?
            Text with default=? in it.
        loss : {"log", "hinge"}, default=?
            Of a row.
    """,
}


@shares_doc(**BLOCKS)
@also_takes(loss="log")
class Told(Family):
    """Told once.

    Parameters
    ----------
    <size>
    depth : int, default=?
        Written here.
    <rest>
    seed : int or None, default=None
        Left alone, <unknown> too.
    """


def test_blocks_stand_in_their_places_with_the_defaults_of_the_signature() -> None:
    assert Told.__doc__ == inspect.cleandoc(
        """Told once.

        Parameters
        ----------
        width : tuple of int, default=(8, 8)
            First line.

            After a gap.
        depth : int, default=2
            Written here.
        rate : float, default=0.5
            Text with default=? in it.
        loss : {"log", "hinge"}, default='log'
            Of a row.
        seed : int or None, default=None
            Left alone, <unknown> too.
        """
    )


def test_a_class_without_a_docstring_stays_without_text() -> None:
    class Silent(Base): ...

    Silent.__doc__ = None
    assert not shares_doc(**BLOCKS)(Silent).__doc__


def test_a_default_that_no_parameter_has_is_an_error() -> None:
    class Stale(Base):
        """Stale.

        gone : int, default=?
        """

    with pytest.raises(KeyError, match="gone"):
        shares_doc()(Stale)
