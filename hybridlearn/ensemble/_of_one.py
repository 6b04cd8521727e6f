"""Hybrids of one estimator, fitted many times."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sklearn.base import clone

from hybridlearn._compat import HasMethods, StrOptions
from hybridlearn._docs import leads_with
from hybridlearn.crossfit import check_members
from hybridlearn.ensemble._base import BaseEnsemble, Members
from hybridlearn.ensemble._pipeline import in_front

NAME = "estimator"


@leads_with(estimator="auto")
class BaseOfOne(BaseEnsemble):
    """A hybrid whose one member is the parameter ``estimator``."""

    _is_classifier: ClassVar[bool]
    _parameter_constraints: ClassVar[dict] = {
        **BaseEnsemble._parameter_constraints,
        "estimator": [StrOptions({"auto"}), HasMethods(["fit", "get_params"])],
    }

    def _default_estimator(self) -> Any:
        raise NotImplementedError

    def _one(self) -> Members:
        """The member as it was given, or the default one."""
        return [(NAME, self._default_estimator() if isinstance(self.estimator, str) else self.estimator)]

    def _inner_estimators(self) -> Members:
        return self._one()

    def _check_parameters(self) -> None:
        check_members(self._one(), classification=self._is_classifier)

    def _members(self) -> Members:
        """The member as it is fitted."""
        return [(name, self._on_device(member)) for name, member in self._one()]

    def behind(self, front: Members, name: str) -> Self:
        """As in the base."""
        ((_, estimator),) = self._one()
        return clone(self).set_params(estimator=in_front(front, name, estimator))
