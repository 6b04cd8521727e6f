"""How far the margin of a model can fall when rows move in a box: part by part, soundly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

from hybridlearn._protocols import Differentiable
from hybridlearn.crossfit import Part, no_news_of_levels, parts_of
from hybridlearn.modules import (
    Affine,
    NotCertifiableError,
    TabularNet,
    embedded_columns,
    forward_through,
    hull,
    least_by_intervals,
    least_outputs,
    number_columns,
    rounding_of,
)
from hybridlearn.robustness._moves import Moves, moved
from hybridlearn.robustness._trees import Trees
from hybridlearn.table import Box
from hybridlearn.training import layers_of_net
from hybridlearn.trees import is_sum_of_trees

# Of encoded numbers and of sums in float64: what rounding may do, many times over.
_ROUNDING = 1e-9
# Between what a module gives and what the chain of its layers does.
_TOLERANCE = 1e-9
_NUMBERS_AT_ONCE = 2**24

Finder = Callable[[Box, np.ndarray], np.ndarray]


class Falls:
    """How far the margins of a model can fall: its parts, read once, and shown to be the sums that they are taken for.

    Parameters
    ----------
    model : fitted classifier
    box : Box
        On whose rows, and their ends, that is shown.
    tight : bool, default=True
        False takes intervals for nets, which is faster.

    Attributes
    ----------
    trees : list of Trees
        Those of all parts.

    Raises
    ------
    NotCertifiableError
        Naming the step for which no bounds are known.
    """

    def __init__(self, model: Any, box: Box, *, tight: bool = True):
        try:
            self.parts = list(parts_of(model))
        except TypeError as error:
            raise NotCertifiableError(str(error)) from error
        self.trees: list[Trees] = []
        with no_news_of_levels():
            self.finders = [_named(part, partial(self._finder_of, box=box, tight=tight)) for part in self.parts]

    def __call__(self, box: Box, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far at most linear functions of the margins can fall below what they are.

        Parameters
        ----------
        box : Box
            The same rows, with all or a share of their way.
        wanted : ndarray of shape (n_rows, n_functions, n_outputs)

        Returns
        -------
        of_trees, of_others : ndarray of shape (n_rows, n_functions), float64
        """
        found = np.zeros((2, *wanted.shape[:2]))
        with no_news_of_levels():
            for part, finder in zip(self.parts, self.finders, strict=True):
                fall = finder(box, wanted)
                found[0 if is_sum_of_trees(part.estimator) else 1] += part.weight * np.maximum(fall, 0.0)
        return found[0], found[1]

    def _finder_of(self, part: Part, box: Box, tight: bool) -> Finder:
        """From a box and functions to how far the functions fall."""
        estimator = part.estimator
        if estimator is None:
            raise NotCertifiableError("a fold has lost a class: its margin is no sum; take fewer folds or more rows")
        if isinstance(estimator, Differentiable):
            return _finder_of_net(part, moved(part, box), tight)
        if is_sum_of_trees(estimator):
            trees = Trees.of(part)
            trees.check_sum(box, trees.moves(box, check=True))
            self.trees.append(trees)
            return trees.fall
        if type(estimator) not in (LogisticRegression, LogisticRegressionCV):
            raise NotCertifiableError(f"no bounds are known for {type(estimator).__name__}")
        if estimator.coef_.dtype != np.float64:
            raise NotCertifiableError(
                f"{type(estimator).__name__} was fitted on {estimator.coef_.dtype}, in which its margin is too coarse; "
                "fit it on float64"
            )
        moved(part, box)
        return partial(_fall_of_linear, part)


def _named(part: Part, act: Callable[[Part], Any]) -> Any:
    """What is done with a part; an error names the member."""
    try:
        return act(part)
    except NotCertifiableError as error:
        raise NotCertifiableError(f"member {part.member!r}: {error}" if part.member else str(error)) from error


def _fall_of_linear(part: Part, box: Box, wanted: np.ndarray) -> np.ndarray:
    model = part.estimator
    moves = moved(part, box, check=False).mapped(_dense)
    if len(model.coef_) == 1:
        # its margin is that of probabilities, which are clipped: where the log-odds fall, it falls no farther
        return _linear_fall(moves, wanted * model.coef_[0])
    classes = np.eye(wanted.shape[2])
    # of each pair of classes, how far one may get the upper hand
    pairs = (classes[:, None] - classes[None]).reshape(-1, len(classes)) @ model.coef_
    fall = _linear_fall(moves, np.broadcast_to(pairs, (len(box), *pairs.shape)))
    raw = moves.given @ model.coef_.T + model.intercept_
    ahead = (raw[:, :, None] - raw[:, None]) - fall.reshape(len(box), len(classes), -1)
    return _fall_of_clipped(wanted, part.margin(box.table), ahead, part.floor)


def _dense(table: Any) -> np.ndarray:
    return np.asarray(table.toarray() if hasattr(table, "toarray") else table, dtype=np.float64)


def _linear_fall(moves: Moves, coefficients: np.ndarray) -> np.ndarray:
    """Of linear functions of the encoded columns, coefficients (n_rows, n_functions, n_encoded)."""
    size = np.abs(moves.given) + np.abs(moves.ends).sum(axis=0)
    ends = np.stack([moves.given - end for end in moves.ends])[:, :, None] * coefficients
    found = ends.max(axis=0).sum(axis=2) + _ROUNDING * (np.abs(coefficients) * size[:, None]).sum(axis=2)
    for tables in moves.others.values():
        by_level = [(coefficients * (moves.given - table)[:, None]).sum(axis=2) for table in tables]
        found += np.maximum(np.max(by_level, axis=0), 0)
    return found


def _fall_of_clipped(wanted: np.ndarray, margins: np.ndarray, ahead: np.ndarray, floor: float) -> np.ndarray:
    """Of differences of log-probabilities that are clipped to [floor, 1 - floor], each a class ahead of another.

    `ahead[:, a, b]` is the least of the log-odds of a against b.
    """
    least, largest = -logsumexp(-ahead, axis=2), -logsumexp(ahead.transpose(0, 2, 1), axis=2)
    low, high = np.log(floor), np.log1p(-floor)
    first, second = np.maximum(wanted, 0), np.maximum(-wanted, 0)
    apart = (first @ np.clip(least, low, high)[..., None] - second @ np.clip(largest, low, high)[..., None])[..., 0]
    # where neither is clipped, the odds are all; what clipping takes from their difference is known
    odds = np.einsum("nra,nab,nrb->nr", first, ahead, second)
    lost = second @ np.maximum(low - least, 0)[..., None] + first @ np.maximum(largest - high, 0)[..., None]
    return (wanted @ margins[..., None])[..., 0] - np.maximum(apart, odds - lost[..., 0]) + _ROUNDING


def _finder_of_net(part: Part, moves: Moves, tight: bool) -> Finder:
    net = part.estimator
    scale = 1.0
    if not is_classifier(net):
        if len(net.target_scale_) > 1:
            raise NotCertifiableError(f"no bounds are known for the {len(net.target_scale_)} outputs of a regression")
        scale = float(net.target_scale_[0])
    module = copy.deepcopy(net.module_).double().eval()
    layers = layers_of_net(module)
    _check_chain(module, layers, net.tensors(moves.given))
    return partial(_fall_of_net, part, module, layers, scale, tight)


def _check_chain(module: torch.nn.Module, layers: list[Any], tensors: dict[str, Any]) -> None:
    """A NotCertifiableError where, for some rows, a module gives something else than the chain of its layers."""
    inputs = [_double(tensor) for tensor in tensors.values()]
    with torch.inference_mode():
        embedded = module.embedded(*inputs) if isinstance(module, TabularNet) else inputs[0]
        outputs = module(*inputs)
        off = forward_through(layers, embedded) - outputs
    if (off.abs() > _TOLERANCE * (1 + outputs.abs().max())).any():
        raise NotCertifiableError(f"{type(module).__name__} gives something else than its layers one after the other")


def _fall_of_net(
    part: Part, module: torch.nn.Module, layers: list[Any], scale: float, tight: bool, box: Box, wanted: np.ndarray
) -> np.ndarray:
    net = part.estimator
    moves = moved(part, box, check=False).mapped(net.tensors)
    step = max(1, _NUMBERS_AT_ONCE // _largest(layers))
    found = []
    with torch.inference_mode():
        for start in range(0, len(box), step):
            rows = slice(start, start + step)
            asked = torch.tensor(wanted[rows] * scale)
            outputs = module(*(_double(part[rows]) for part in moves.given.values()))
            columns = _columns(module, moves, rows)
            if tight:
                least = least_outputs(layers, columns, asked)
            else:
                least = least_by_intervals(layers, *hull(columns), asked)
            fall = (asked @ outputs.unsqueeze(2)).squeeze(2) - least
            if net.inference_dtype != torch.float64:
                fall += 2 * rounding_of(layers, *hull(columns), asked)
            found.append(fall.numpy())
    return np.concatenate(found) + _ROUNDING * max(1.0, scale)


def _largest(layers: list[Any]) -> int:
    """Numbers that bounds of one row take."""
    weights = [own.weight for own in layers if isinstance(own, Affine)]
    widest = max((weight.shape[0] * weight.shape[2] for weight in weights), default=1)
    return max([1, *(weight.numel() for weight in weights), *(widest * weight.shape[1] for weight in weights[:1])])


def _columns(module: torch.nn.Module, moves: Moves, rows: slice) -> list[Any]:
    """All that the embedded columns of some rows may become."""
    tables = [{name: _double(part[rows]) for name, part in table.items()} for table in (moves.given, *moves.tables())]
    name = "x_num" if isinstance(module, TabularNet) else "X"
    numbers = torch.stack([table[name] for table in tables])
    # they were rounded to float32: what lies between two ends was rounded between them, but for a last bit of its own
    width = 4 * torch.finfo(torch.float32).eps * numbers.abs().amax(dim=0)
    lower, upper = numbers.amin(dim=0) - width, numbers.amax(dim=0) + width
    if not isinstance(module, TabularNet):
        return [number_columns(lower, upper)]
    codes = torch.stack([table["x_cat"] for table in tables], dim=2)
    kept = [[0, *(v for v in range(1, len(tables)) if not own[:, v].equal(own[:, 0]))] for own in codes.unbind(1)]
    return embedded_columns(
        module.embedding, lower, upper, [own[:, some] for own, some in zip(codes.unbind(1), kept, strict=True)]
    )


def _double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
