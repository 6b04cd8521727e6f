"""Estimators that are made of named ones: their nested parameters, and names that can be used."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self

from hybridlearn._compat import BaseComposition, parallel_block


class BaseComposed(BaseComposition):
    """Nested parameters of an estimator whose parts are a list of (name, estimator), or "auto" for default ones.

    A subclass says which parameter holds them, what "auto" stands for, and which estimators can be parts.
    """

    _parts_parameter: ClassVar[str]

    def _default_parts(self) -> list[tuple[str, Any]]:
        raise NotImplementedError

    def _check_part(self, name: str, part: Any) -> None:
        """Raise a TypeError that names the part where it cannot be one."""
        raise NotImplementedError

    def _parts(self) -> list[tuple[str, Any]]:
        parts = getattr(self, self._parts_parameter)
        return self._default_parts() if isinstance(parts, str) else parts

    def _check_parts(self) -> None:
        """Raise a clear error on an empty list, on names that repeat or are taken, and on parts that cannot be."""
        parts, parameter = self._parts(), self._parts_parameter
        if not parts:
            raise ValueError(f"{parameter} is empty; give at least one (name, estimator)")
        for item in parts:
            if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
                raise TypeError(f"{parameter} must hold (name, estimator) pairs, got {item!r:.80}")
            self._check_part(*item)
        names, taken = [name for name, _ in parts], super().get_params(deep=False)
        bad = {name for name in names if not name or names.count(name) > 1 or "__" in name or name in taken}
        if bad:
            raise ValueError(
                f"names in {parameter} must be unique, not empty, without '__' and no parameter's; got {sorted(bad)}"
            )

    def _known_parts(self) -> list[tuple[str, Any]]:
        """The parts, none where they cannot be used: that is for ``fit`` to say."""
        try:
            self._check_parts()
        except (TypeError, ValueError):
            return []
        return self._parts()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the estimator and, with `deep`, of its parts and of other estimators it was given.

        Those of a part are ``part__parameter``, those of a parameter that is an estimator ``parameter__parameter``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params = super().get_params(deep=False)
        if not deep:
            return params
        given = [(name, value) for name, value in params.items() if _is_estimator(value)]
        parts = self._known_parts()
        params |= dict(parts)
        for name, part in [*given, *parts]:
            params |= {f"{name}__{key}": value for key, value in part.get_params(deep=True).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the estimator or of its parts.

        Setting a parameter of a default part writes the default parts out: "auto" becomes a list.

        Parameters
        ----------
        **params
            ``parameter``, ``part`` (replaces it) or ``part__parameter``.

        Returns
        -------
        self
        """
        parameter = self._parts_parameter
        # which default parts there are may hang on what is set with them
        asked = copy(self)
        asked.__dict__.update({name: value for name, value in params.items() if name in vars(self)})
        if isinstance(getattr(asked, parameter), str):
            defaults = asked._known_parts()
            if any(key.partition("__")[0] in dict(defaults) for key in params):
                params[parameter] = defaults
        asked._set_params(parameter, **params)
        self.__dict__.update(vars(asked))
        return self

    def _sk_visual_block_(self) -> Any:
        return parallel_block(self._known_parts())


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)
