"""Estimator pairs and families: parameters and docstrings that they share are written once."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from inspect import Parameter, cleandoc, signature
from typing import Any


def leads_with(**defaults: Any) -> Callable[[type], type]:
    """Class decorator: constructor parameters of a family, before the others of its base; see :func:`also_takes`."""
    return partial(_with_parameters, defaults, ahead=True)


def also_takes(**defaults: Any) -> Callable[[type], type]:
    """Class decorator: constructor parameters beyond those of the base, or other defaults for some of these.

    A family shares the ``__init__`` of its base, a pair that of its family; here it gets keyword-only parameters more,
    which stand in the signature as if written there. So nobody writes parameters twice.
    """
    return partial(_with_parameters, defaults, ahead=False)


def _with_parameters(defaults: dict[str, Any], cls: type, *, ahead: bool) -> type:
    inherited = cls.__init__  # type: ignore[misc]
    self_parameter, *shared = signature(inherited).parameters.values()
    known = {p.name: p.replace(default=defaults.get(p.name, p.default)) for p in shared}
    new = {
        name: Parameter(name, Parameter.KEYWORD_ONLY, default=value)
        for name, value in defaults.items()
        if name not in known
    }

    @wraps(inherited)
    def __init__(self: Any, **params: Any) -> None:  # noqa: N807
        bound = __init__.__signature__.bind(self, **params)  # type: ignore[attr-defined]
        bound.apply_defaults()
        chosen = bound.kwargs
        for name in new:
            setattr(self, name, chosen.pop(name))
        inherited(self, **chosen)

    everything = {**known, **new}
    parameters = {name: everything[name] for name in defaults} | everything if ahead else everything
    __init__.__signature__ = signature(inherited).replace(  # type: ignore[attr-defined]
        parameters=[self_parameter, *parameters.values()]
    )
    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def shares_doc(**blocks: str) -> Callable[[type], type]:
    """Class decorator: put each block of text where ``<name>`` stands on a line of its own in the docstring.

    Where a parameter is documented with ``default=?``, its default is read off the signature.
    """

    def decorate(cls: type) -> type:
        text = cleandoc(cls.__doc__ or "")
        for name, block in blocks.items():
            text = text.replace(f"<{name}>", cleandoc(block))
        defaults = {name: p.default for name, p in signature(cls).parameters.items()}
        cls.__doc__ = re.sub(
            r"^(\w+)( : .*default=)\?$", lambda m: f"{m[1]}{m[2]}{defaults[m[1]]!r}", text, flags=re.MULTILINE
        )
        return cls

    return decorate
