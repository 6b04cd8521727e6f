"""How far the margins of a model can fall when rows move in a box: soundly, part by part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from hybridlearn._protocols import Differentiable, SumOfTrees
from hybridlearn.crossfit import Chain, Part, no_news_of_levels, parts_of, through
from hybridlearn.modules import (
    NotCertifiableError,
    TabularNet,
    embedded_columns,
    hull,
    least_by_intervals,
    least_outputs,
    number_columns,
    rounding_of,
)
from hybridlearn.table import Box, TableEncoder
from hybridlearn.training import layers_of_net
from hybridlearn.trees import Forest, reachable_sums

# What they make of a number rises or falls with it, and what they make of a column hangs on it alone.
_BY_COLUMN = (
    TableEncoder,
    StandardScaler,
    MinMaxScaler,
    MaxAbsScaler,
    RobustScaler,
    QuantileTransformer,
    PowerTransformer,
    SimpleImputer,
    OneHotEncoder,
    OrdinalEncoder,
    TargetEncoder,
)
# Of encoded numbers and of sums in float64: what rounding may do, many times over.
_ROUNDING = 1e-9
_NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class Moves:
    """Tables that rows of a box may become, as a part of a model sees them: encoded, shape (n_rows, n_encoded) each.

    Attributes
    ----------
    given, lower, upper : ndarray or dict of Tensor
        As they are; with all numbers at their ends.
    others : dict of int to list
        By column, with each of its levels.
    """

    given: Any
    lower: Any
    upper: Any
    others: dict[int, list[Any]]

    @classmethod
    def of(cls, box: Box, encode: Callable[[Any], Any]) -> Moves:
        """Encode a box."""
        others: dict[int, list[Any]] = {}
        for place, table in box.alternatives():
            others.setdefault(place, []).append(encode(table))
        lower, upper = box.corners()
        return cls(encode(box.table), encode(lower), encode(upper), others)

    def tables(self) -> Iterator[Any]:
        """All but the rows as they are."""
        yield self.lower
        yield self.upper
        for tables in self.others.values():
            yield from tables


class Falls:
    """How far the margins of a model can fall: its parts, read once.

    Parameters
    ----------
    model : fitted classifier
    tight : bool, default=True
        False takes intervals for nets, which is faster.

    Raises
    ------
    NotCertifiableError
        Naming the step for which no bounds are known.
    """

    def __init__(self, model: Any, *, tight: bool = True):
        self.tight = tight
        try:
            self.parts = list(parts_of(model))
        except TypeError as error:
            raise NotCertifiableError(str(error)) from error
        self.finders = [_named(part, _finder_of) for part in self.parts]

    def __call__(self, box: Box, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far at most linear functions of the margins can fall below what they are.

        Parameters
        ----------
        box : Box
        wanted : ndarray of shape (n_rows, n_functions, n_outputs)
            Coefficients on the margins; of several classes they sum to 0.

        Returns
        -------
        of_trees, of_others : ndarray of shape (n_rows, n_functions), float64
            At least 0; their sum bounds the model's fall.
        """
        found = np.zeros((2, *wanted.shape[:2]))
        with no_news_of_levels():
            for part, finder in zip(self.parts, self.finders, strict=True):
                margins = part.margin(box.table)
                fall = _named(part, lambda _: finder(box, wanted, margins, self.tight))  # noqa: B023 - called at once
                found[0 if is_trees(part.estimator) else 1] += part.weight * np.maximum(fall, 0.0)
        return found[0], found[1]


def _named(part: Part, act: Callable[[Part], Any]) -> Any:
    """What is done with a part; an error names the member."""
    try:
        return act(part)
    except NotCertifiableError as error:
        raise NotCertifiableError(f"member {part.member!r}: {error}" if part.member else str(error)) from error


def _finder_of(part: Part) -> Callable[..., np.ndarray]:
    """From a box, functions and margins to how far the functions fall."""
    estimator = part.estimator
    if estimator is None:
        raise NotCertifiableError("a fold has lost a class: its margin is no sum; take fewer folds or more rows")
    for step in part.chain:
        check_by_column(step)
    if isinstance(estimator, Differentiable):
        module = copy.deepcopy(estimator.module_).double().eval()
        return partial(_fall_of_net, part, module, layers_of_net(module))
    if is_trees(estimator):
        check_reads_numbers(estimator)
        return partial(_fall_of_trees, part, forest_of(part))
    if isinstance(estimator, LogisticRegression | LogisticRegressionCV):
        return partial(_fall_of_linear, part)
    raise NotCertifiableError(f"no bounds are known for {type(estimator).__name__}")


def is_trees(estimator: Any) -> bool:
    """Whether its margin is a sum of trees."""
    is_xgboost = hasattr(estimator, "get_booster") and getattr(estimator, "booster", None) in (None, "gbtree")
    return isinstance(estimator, SumOfTrees) or is_xgboost


def check_reads_numbers(trees: Any) -> None:
    """A NotCertifiableError where a stranger's trees read some numbers as something else."""
    if isinstance(trees, SumOfTrees):
        return
    if not pd.isna(trees.missing):
        raise NotCertifiableError(
            f"{type(trees).__name__} takes {trees.missing!r} for missing, which a number may pass"
        )
    if "c" in (trees.get_booster().feature_types or []):
        raise NotCertifiableError(f"no bounds are known for native categories of {type(trees).__name__}")


def forest_of(part: Part) -> Forest:
    """The trees of a part."""
    trees = part.estimator
    return trees.forest() if isinstance(trees, SumOfTrees) else Forest.of(trees.get_booster())


def moves_of_trees(part: Part, box: Box) -> Moves:
    """The columns that the trees of a part split."""
    trees, chain = part.estimator, part.chain
    if isinstance(trees, SumOfTrees):
        return Moves.of(box, lambda table: trees.encoded(through(chain, table)))
    return Moves.of(box, _dense(chain))


def check_kinds(part: Part, box: Box) -> None:
    """A NotCertifiableError where numbers move that the model has learned as categories: they are no intervals."""
    first = part.chain[0] if part.chain else getattr(part.estimator, "encoder_", None)
    schema = getattr(first, "schema_", getattr(first, "schema", None))
    if schema is None:
        return
    moving = set(box.places[(box.upper > box.lower).any(axis=0)])
    learned = [schema.columns[i].name for i in schema.categorical_places if i in moving]
    if learned:
        raise NotCertifiableError(
            f"columns {learned} were categories in fit and hold numbers now; make them categories, or immutable"
        )


def check_by_column(step: Any) -> None:
    """A NotCertifiableError unless a transformer looks at columns one by one, and rises or falls with numbers."""
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            check_by_column(inner)
    elif isinstance(step, ColumnTransformer):
        for _, inner, _ in step.transformers_:
            check_by_column(inner)
    elif step not in ("passthrough", "drop", None) and type(step) not in _BY_COLUMN:
        hint = "; fit the hybrid with features=None" if type(step).__name__ == "FeatureBuilder" else ""
        raise NotCertifiableError(f"no bounds are known for what {type(step).__name__} makes of the columns{hint}")
    elif isinstance(step, SimpleImputer) and not pd.isna(step.missing_values):
        raise NotCertifiableError(f"SimpleImputer replaces {step.missing_values!r}, which a number may pass")
    elif any(pd.api.types.is_numeric_dtype(pd.Series(own).infer_objects()) for own in getattr(step, "categories_", [])):
        raise NotCertifiableError(
            f"{type(step).__name__} takes numbers for categories: what it makes of them neither rises nor falls"
        )


def _dense(chain: Chain) -> Callable[[Any], np.ndarray]:
    def encode(table: Any) -> np.ndarray:
        seen = through(chain, table)
        return np.asarray(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float64)

    return encode


def _fall_of_trees(
    part: Part, forest: Forest, box: Box, wanted: np.ndarray, margins: np.ndarray, tight: bool
) -> np.ndarray:
    check_kinds(part, box)
    moves = moves_of_trees(part, box)
    n_outputs = wanted.shape[2]
    at, _, rounding = reachable_sums(forest, moves.given, [], n_outputs)
    off = margins - at
    gap = (wanted @ (off - off.mean(axis=0))[..., None])[..., 0]
    if (np.abs(gap) > 1e-3 * (1 + np.abs(margins).max())).any():
        raise NotCertifiableError(f"the trees of {type(part.estimator).__name__} do not add up to its margin")
    low, high, rounding = reachable_sums(forest, moves.given, list(moves.tables()), n_outputs)
    rise, sink = high - at + 2 * rounding, at - low + 2 * rounding
    return (np.maximum(wanted, 0) @ sink[..., None] + np.maximum(-wanted, 0) @ rise[..., None])[..., 0]


def _fall_of_linear(part: Part, box: Box, wanted: np.ndarray, margins: np.ndarray, tight: bool) -> np.ndarray:
    check_kinds(part, box)
    model = part.estimator
    moves = Moves.of(box, _dense(part.chain))
    if len(model.coef_) == 1:
        # its margin is that of probabilities, which are clipped: where the log-odds fall, it falls no farther
        return _linear_fall(moves, wanted * model.coef_[0])
    classes = np.eye(wanted.shape[2])
    # of each pair of classes, how far one may get the upper hand
    pairs = (classes[:, None] - classes[None]).reshape(-1, len(classes)) @ model.coef_
    fall = _linear_fall(moves, np.broadcast_to(pairs, (len(box), *pairs.shape)))
    raw = moves.given @ model.coef_.T + model.intercept_
    ahead = (raw[:, :, None] - raw[:, None]) - fall.reshape(len(box), len(classes), -1)
    return _fall_of_clipped(wanted, margins, ahead, part.floor)


def _linear_fall(moves: Moves, coefficients: np.ndarray) -> np.ndarray:
    """Of linear functions of the encoded columns, coefficients (n_rows, n_functions, n_encoded)."""
    size = np.abs(moves.given) + np.abs(moves.lower) + np.abs(moves.upper)
    ends = np.stack([moves.given - moves.lower, moves.given - moves.upper])[:, :, None] * coefficients
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


def _fall_of_net(
    part: Part,
    module: torch.nn.Module,
    layers: list[Any],
    box: Box,
    wanted: np.ndarray,
    margins: np.ndarray,
    tight: bool,
) -> np.ndarray:
    check_kinds(part, box)
    net = part.estimator
    moves = Moves.of(box, lambda table: net.tensors(through(part.chain, table)))
    step = max(1, _NUMBERS_AT_ONCE // _largest(layers))
    found = []
    with torch.inference_mode():
        for start in range(0, len(box), step):
            rows = slice(start, start + step)
            asked = torch.tensor(wanted[rows])
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
    return np.concatenate(found) + _ROUNDING


def _largest(layers: list[Any]) -> int:
    """Numbers that bounds of one row take."""
    sizes = [own.weight.numel() for own in layers if hasattr(own, "weight")]
    widest = max((own.weight.shape[0] * own.weight.shape[2] for own in layers if hasattr(own, "weight")), default=1)
    return max([*sizes, widest * layers[0].weight.shape[1]]) if sizes else 1


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
