"""What every ``fit`` shares: it ends whole or leaves the estimator unfitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from hybridlearn._compat import fit_context, validate_params


def whole_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``fit``: parameters are validated first, and a fit that does not end leaves nothing behind.

    An error or an interrupt (Ctrl-C) removes every fitted attribute, those of an earlier fit included: predictions
    of an estimator never come from another fit than the last. With ``warm_start=True`` it is as
    :func:`continued_fit`.
    """
    guarded = continued_fit(fit)

    @wraps(fit)
    def fit_or_forget(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not getattr(self, "warm_start", False):
            forget(self)
        return guarded(self, *args, **kwargs)

    return fit_or_forget


def continued_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``partial_fit``: it sees what earlier calls have learned; when it does not end, that is what stays.

    The method must replace fitted attributes, never change what they hold.
    """
    checked_fit = fit_context(prefer_skip_nested_validation=False)(fit)
    is_partial = fit.__name__ == "partial_fit"

    @wraps(fit)
    def fit_or_restore(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = _learned(self)
        try:
            if is_partial:
                validate_params(self)
            return checked_fit(self, *args, **kwargs)
        except BaseException:
            _restore(self, before)
            raise

    return fit_or_restore


def forget(estimator: Any) -> None:
    """Remove what the estimator has learned."""
    _restore(estimator, {})


def adopt(estimator: Any, fitted: Any) -> None:
    """Give an estimator what another of its class has learned."""
    _restore(estimator, _learned(fitted))


def _learned(estimator: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(estimator).items() if name.endswith("_") and not name.startswith("__")}


def _restore(estimator: Any, learned: dict[str, Any]) -> None:
    for name in _learned(estimator):
        delattr(estimator, name)
    vars(estimator).update(learned)
