"""What every ``fit`` shares: it ends whole or leaves the estimator unfitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from hybridlearn._compat import fit_context


def whole_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``fit``: parameters are validated first, and a fit that does not end leaves nothing behind.

    An error or an interrupt (Ctrl-C) removes every fitted attribute, those of an earlier fit included: predictions
    of an estimator never come from another fit than the last.
    """
    checked_fit = fit_context(prefer_skip_nested_validation=False)(fit)

    @wraps(fit)
    def fit_or_forget(self: Any, *args: Any, **kwargs: Any) -> Any:
        _forget(self)
        try:
            return checked_fit(self, *args, **kwargs)
        except BaseException:
            _forget(self)
            raise

    return fit_or_forget


def _forget(estimator: Any) -> None:
    for name in [n for n in vars(estimator) if n.endswith("_") and not n.startswith("__")]:
        delattr(estimator, name)
