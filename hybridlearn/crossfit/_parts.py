"""A fitted model as the sum of margins that it is, each behind what it sees the table through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from hybridlearn._protocols import SumOfModels
from hybridlearn.crossfit._margin import FoldModel, margin

Chain = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """One of the margins that a model's sums.

    Attributes
    ----------
    member : str
        Of the hybrid, or "".
    weight : float
    chain : tuple of transformer
        What the table goes through on its way to `estimator`.
    estimator : estimator or None
        None of what is more than its estimator.
    margin : callable
        From a table as the model gets it to (n_rows, n_outputs), the weight left out.
    floor : float, default=1e-6
        Where the margin is read from probabilities, to what these are clipped: [floor, 1 - floor].
    """

    member: str
    weight: float
    chain: Chain
    estimator: Any
    margin: Callable[[Any], np.ndarray]
    floor: float = 1e-6


def parts_of(model: Any, member: str = "", weight: float = 1.0, chain: Chain = ()) -> Iterator[Part]:
    """The sum that a model's margin is, up to a constant; of one that is no sum, itself."""
    model = unwrapped(model)
    steps, last = steps_of(model)
    chain = chain + steps
    if isinstance(last, SumOfModels):
        for term in last.terms():
            yield from _of_model(term.model, member or term.member, weight * term.weight, chain)
    else:
        yield Part(member, weight, chain, last, lambda table: margin(last, through(chain, table)))


def _of_model(model: Any, member: str, weight: float, chain: Chain) -> Iterator[Part]:
    """Of a fold model, whose margin is that of its estimator, or somewhat more."""
    if not isinstance(model, FoldModel):
        yield from parts_of(model, member, weight, chain)
        return
    behind = chain if model.front is None else (*chain, model.front)
    inner = list(parts_of(model.estimator, member, weight, behind))

    def own(table: Any) -> np.ndarray:
        return model.margin(through(chain, table))

    if model.lacks_classes:
        yield Part(member, weight, chain, None, own)
    elif len(inner) == 1 and inner[0].weight == weight:
        yield replace(inner[0], margin=own, floor=model.floor)
    else:
        yield from inner


def unwrapped(model: Any) -> Any:
    """What a search has found, or what is frozen; of any other model, itself."""
    while True:
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return model


def steps_of(model: Any) -> tuple[Chain, Any]:
    """The transformers of a pipeline and its last step; samplers do nothing to new rows."""
    steps: list[Any] = []
    while hasattr(model, "steps"):
        own = getattr(model, "fitted_steps", model.steps)
        *front, model = [step for _, step in own if step not in (None, "passthrough")]
        steps += [step for step in front if hasattr(step, "transform")]
        model = unwrapped(model)
    return tuple(steps), model


def through(chain: Chain, table: Any) -> Any:
    """What a chain of transformers makes of a table."""
    for step in chain:
        table = step.transform(table)
    return table
