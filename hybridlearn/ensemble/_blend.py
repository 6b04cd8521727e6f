"""The weights of a hybrid: a non-negative sum of margins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar, nnls

from hybridlearn._row_losses import row_losses
from hybridlearn.ensemble._loss import log_loss_gradient, mean_loss

_LOG_TEMPERATURE_BOUNDS = (np.log(0.05), np.log(20.0))
# Where classes can be told apart without fail, there is no end to it.
_MOST_SCALE = 20.0
_MOST_SLOPE = 2.0
# What differs by rounding only.
_SAME = 1e-9
_N_BAGS = 10
_N_ROUNDS = 50
_BAG_ELEMENTS = 40_000


@dataclass(frozen=True, eq=False)
class Blend:
    """``intercept + sum_m weights[m] * margin_m``.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
        At least 0; a member's temperature is part of its weight, so they need not sum to 1.
    intercept : ndarray of shape (n_outputs,)
    """

    weights: np.ndarray
    intercept: np.ndarray

    def margin(self, margins: np.ndarray, X: object = None) -> np.ndarray:
        """Blend margins of shape (n_members, n_rows, n_outputs) to (n_rows, n_outputs), whatever the rows are."""
        return self.intercept + np.tensordot(self.weights, margins, axes=1)


def equal_weights(n_members: int, n_outputs: int) -> Blend:
    """The mean of the margins: what needs no row to learn from."""
    return Blend(np.full(n_members, 1 / n_members), np.zeros(n_outputs))


def fit_temperature(margin: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """The divisor in [0.05, 20] of a margin that minimises its log loss (Guo et al., 2017)."""

    def loss(log_temperature: float) -> float:
        return mean_loss(margin / np.exp(log_temperature), target, weight, classification=True)

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURE_BOUNDS, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def fit_blend(
    kind: str,
    margins: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    *,
    classification: bool,
    seed: int,
    recalibrate: bool = False,
) -> Blend:
    """Learn a blend from out-of-fold margins.

    Parameters
    ----------
    kind : {"greedy", "nonnegative", "mean"}
    margins : ndarray of shape (n_members, n_rows, n_outputs)
    target, weight : ndarray of shape (n_rows,)
    classification : bool
        Members are temperature-scaled first, and log loss is minimised; else squared error, and what is selected is
        made as steep as the target.
    seed : int
        Draws the bags of the greedy selection.
    recalibrate : bool, default=False
        Give each member an intercept too, where its margins are those of other classes' shares than there are.

    Returns
    -------
    Blend
    """
    scales, offsets = np.ones(len(margins)), np.zeros((len(margins), margins.shape[2]))
    if recalibrate:
        alone = [_nonnegative_log_loss(margins[[m]], target, weight, most=_MOST_SCALE) for m in range(len(margins))]
        scales, offsets = np.array([each.weights[0] for each in alone]), np.array([each.intercept for each in alone])
    elif classification:
        scales = np.array([1 / fit_temperature(margin, target, weight) for margin in margins])
    scaled = margins * scales[:, None, None] + offsets[:, None]
    blend = _FITTERS[kind](scaled, target, weight, classification, seed)
    return Blend(blend.weights * scales, blend.intercept + blend.weights @ offsets)


def _mean(margins: np.ndarray, target: np.ndarray, weight: np.ndarray, classification: bool, seed: int) -> Blend:
    return equal_weights(len(margins), margins.shape[2])


def _greedy(margins: np.ndarray, target: np.ndarray, weight: np.ndarray, classification: bool, seed: int) -> Blend:
    """Selection with replacement (Caruana et al., 2004), averaged over bags of rows."""
    rng = np.random.RandomState(seed)
    n_members, n_rows, n_outputs = margins.shape
    size = min(max(n_rows // 2, 1), max(_BAG_ELEMENTS // n_outputs, 1))
    weights = np.zeros(n_members)
    for _ in range(_N_BAGS):
        bag = rng.choice(n_rows, size=size, replace=False)
        if weight[bag].any():
            weights += _select(margins[:, bag], target[bag], weight[bag], classification)
    blend = Blend(weights / weights.sum(), np.zeros(n_outputs))
    return blend if classification else _sloped(blend, margins, target, weight)


def _sloped(blend: Blend, margins: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Blend:
    """The blend times the slope of the target on it, about its mean, where that is above 1 beyond chance.

    Boosted trees that stop early, and bagged nets, keep too close to the mean. What is above 1 is shrunk by its
    standard error, of heteroscedastic rows that each count without themselves (HC3: MacKinnon and White, 1985).
    """
    told, share = blend.margin(margins)[:, 0], weight / weight.sum()
    mean = share @ told
    scale = np.abs(told - mean).max()
    if scale <= _SAME * np.abs(told).max():
        return blend
    apart, error = (told - mean) / scale, (target - told) / scale
    spread = share @ apart**2
    excess = (share * apart) @ error / spread
    left = error - share @ error - excess * apart
    held_out = left / np.maximum(1 - share * (1 + apart**2 / spread), _SAME)
    variance = ((share * apart) ** 2 @ held_out**2) / spread**2
    if excess <= 0 or excess**2 <= variance:
        return blend
    slope = min(1 + excess - variance / excess, _MOST_SLOPE)
    least = told.min()
    if least > 0:
        # a sum of positive numbers is to stay one: above half of the least that was told
        slope = min(slope, (mean - least / 2) / (mean - least))
    return Blend(slope * blend.weights, np.array([mean - slope * mean]))


def _select(margins: np.ndarray, target: np.ndarray, weight: np.ndarray, classification: bool) -> np.ndarray:
    """Add, again and again, the member that lowers the loss of the running mean most; weights sum to 1."""
    counts = np.zeros(len(margins))
    total = np.zeros(margins.shape[1:])
    best, best_loss = counts, np.inf
    for n_chosen in range(1, _N_ROUNDS + 1):
        losses = row_losses((total + margins) / n_chosen, target, classification=classification) @ weight
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total += margins[chosen]
        if losses[chosen] < best_loss:
            best, best_loss = counts / n_chosen, losses[chosen]
    return best


def _nonnegative(margins: np.ndarray, target: np.ndarray, weight: np.ndarray, classification: bool, seed: int) -> Blend:
    if classification:
        return _nonnegative_log_loss(margins, target, weight)
    means = np.average(margins[:, :, 0], axis=1, weights=weight)
    center = np.average(target, weights=weight)
    root = np.sqrt(weight)
    weights, _ = nnls(((margins[:, :, 0].T - means) * root[:, None]), (target - center) * root)
    return Blend(weights, np.array([center - weights @ means]))


def _nonnegative_log_loss(
    margins: np.ndarray, target: np.ndarray, weight: np.ndarray, *, most: float | None = None
) -> Blend:
    n_members, _, n_outputs = margins.shape
    share = weight / weight.sum()

    def loss(params: np.ndarray) -> tuple[float, np.ndarray]:
        blend = Blend(params[:n_members], params[n_members:])
        blended = blend.margin(margins)
        residual = log_loss_gradient(blended, target) * share[:, None]
        gradient = np.concatenate([np.tensordot(margins, residual, axes=2), residual.sum(axis=0)])
        return mean_loss(blended, target, weight, classification=True), gradient

    start = np.concatenate([np.full(n_members, 1 / n_members), np.zeros(n_outputs)])
    bounds = [(0, most)] * n_members + [(None, None)] * n_outputs
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    intercept = found[n_members:]
    # margins of several classes are centred, and stay so
    return Blend(found[:n_members], intercept - intercept.mean() if n_outputs > 1 else intercept)


_FITTERS: dict[str, Callable[..., Blend]] = {"greedy": _greedy, "nonnegative": _nonnegative, "mean": _mean}
