"""Docstrings of estimator pairs: what a pair shares is written once."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc


def shares_doc(**blocks: str) -> Callable[[type], type]:
    """Class decorator: put each block of text where ``<name>`` stands on a line of its own in the docstring."""

    def decorate(cls: type) -> type:
        text = cleandoc(cls.__doc__ or "")
        for name, block in blocks.items():
            text = text.replace(f"<{name}>", cleandoc(block))
        cls.__doc__ = text
        return cls

    return decorate
