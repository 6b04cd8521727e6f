"""The trees of a model searched together: the exact least of their sum in a box, where there is time to find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hybridlearn._extras import require
from hybridlearn.crossfit import no_news_of_levels
from hybridlearn.robustness._moves import Moves
from hybridlearn.robustness._target import Candidates, Target
from hybridlearn.robustness._trees import Trees, trees_of
from hybridlearn.table import Box

# Steps of the search between two looks at the clock.
_STEPS = 1000
_EPS = float(np.finfo(np.float32).eps)


class Found(NamedTuple):
    """What the search knows of one function of one row.

    Attributes
    ----------
    fall : float
        At most, below what it is; infinite where the search did not come to its end.
    numbers : dict of int to (float, float)
        By number, the interval, without its upper end, in which the best row that was found lies.
    is_exact : bool
    """

    fall: float
    numbers: dict[int, tuple[float, float]]
    is_exact: bool


@dataclass(frozen=True, eq=False)
class _Seen:
    """Trees, what they see of the rows of a box, and the number of the box that each column is, -1 of none."""

    trees: Trees
    moves: Moves
    number: np.ndarray

    @classmethod
    def of(cls, trees: Trees, box: Box) -> _Seen:
        return cls(trees, trees.moves(box), pd.Index(box.places).get_indexer(pd.Index(trees.columns)))


class JointTrees:
    """All trees of a model.

    Branch and bound of Veritas [1]_ over trees that are cut down, for each row, to the splits that its box leaves
    open: there a number is one and the same for all trees of all members. What is no plain number of the table may
    go either way at each split, which is sound and not exact.

    Parameters
    ----------
    trees : list of Trees
    box : Box

    References
    ----------
    .. [1] Devos, Meert and Davis, "Versatile Verification of Tree Ensembles", ICML 2021.
    """

    def __init__(self, trees: list[Trees], box: Box):
        self.veritas = require("veritas", purpose="method='veritas'")
        self.box = box
        with no_news_of_levels():
            self.parts = [_Seen.of(own, box) for own in trees]

    def search(self, row: int, wanted: np.ndarray, *, enough: float, seconds: float) -> Found:
        """Look for the row of a box in which a function of the trees' margins is least.

        Parameters
        ----------
        row : int
        wanted : ndarray of shape (n_outputs,)
            Coefficients on the margins.
        enough : float
            A fall above which the search may end.
        seconds : float
            When it ends at the latest.
        """
        trees = self.veritas.AddTree(1, self.veritas.AddTreeType.REGR)
        given, rounding, intervals = 0.0, 0.0, _Intervals(self.box, row)
        for seen in self.parts:
            weighted = wanted * seen.trees.part.weight
            cut = _Cut(seen, row, weighted, trees, intervals)
            given += cut.given
            rounding += 2 * (cut.size * _EPS + np.abs(weighted).sum() * seen.trees.rounding)
        if not intervals.ends:
            return Found(0.0, {}, True)
        config = self.veritas.Config(self.veritas.HeuristicType.MIN_OUTPUT)
        # its bounds while it searches are not sound (0.3.1: they fall with time); that nothing is left open is proof
        config.stop_when_optimal = False
        search = config.get_search(trees, intervals.as_veritas(self.veritas))
        reason = self.veritas.StopReason.NONE
        while reason == self.veritas.StopReason.NONE and search.time_since_start() < seconds:
            reason = search.step_for(max(seconds - search.time_since_start(), 1e-3), _STEPS)
            if search.num_solutions() and search.current_bounds().best < given - enough:
                break
        is_exact = reason == self.veritas.StopReason.NO_MORE_OPEN
        fall = max(0.0, given - search.current_bounds().best + rounding) if is_exact else np.inf
        best = search.get_solution(0).box() if search.num_solutions() else {}
        numbers = {intervals.number[key]: (own.lo, own.hi) for key, own in best.items() if key in intervals.number}
        return Found(fall, numbers, is_exact)


class _Intervals:
    """The intervals of what is split, by the name under which the search knows it."""

    def __init__(self, box: Box, row: int):
        self.lower, self.upper = box.lower[row].astype(np.float32), box.upper[row].astype(np.float32)
        self.ends: list[tuple[float, float]] = []
        self.number: dict[int, int] = {}
        self.name: dict[int, int] = {}

    def of_number(self, number: int) -> int:
        """Name of a number of the box."""
        if number not in self.name:
            self.name[number] = len(self.ends)
            self.number[len(self.ends)] = number
            top = float(np.nextafter(self.upper[number], np.float32(np.inf)))
            self.ends.append((float(self.lower[number]), top))
        return self.name[number]

    def anything(self) -> int:
        """A name of its own, for what may go either way: below 0.5 is left."""
        self.ends.append((0.0, 1.0))
        return len(self.ends) - 1

    def as_veritas(self, veritas: Any) -> list[Any]:
        """What a search takes for its box."""
        return [veritas.Interval(low, high) for low, high in self.ends]


class _Cut:
    """Trees of one row, cut down to what its box leaves open, and added to those of a search."""

    def __init__(self, seen: _Seen, row: int, wanted: np.ndarray, trees: Any, intervals: _Intervals):
        self.forest, self.wanted, self.trees, self.intervals = seen.trees.forest, wanted, trees, intervals
        self.number = seen.number
        nodes = np.flatnonzero(self.forest.left >= 0)
        tables = [seen.moves.given, *seen.moves.tables()]
        left = np.zeros((len(tables), len(self.forest.left)), dtype=bool)
        left[:, nodes] = np.vstack([self.forest.goes_left(table[[row]], nodes) for table in tables])
        self.at = left[0]
        self.some_left, self.some_right = np.asarray(left.any(axis=0)), np.asarray(~left.all(axis=0))
        self.given = self.size = 0.0
        roots = np.flatnonzero(self.forest.parent < 0)
        for root in roots[self.wanted[self.forest.output[roots]] != 0]:
            self._add(int(root))
        self.size *= len(roots)

    def _add(self, root: int) -> None:
        top = self._open(root)
        self.given += self._value(self._leaf(root))
        tree = self.trees.add_tree()
        todo, largest = [(top, tree.root())], 0.0
        while todo:
            node, place = todo.pop()
            if self.forest.left[node] < 0:
                tree.set_leaf_value(place, 0, self._value(node))
                largest = max(largest, abs(self._value(node)))
                continue
            number = int(self.number[self.forest.feature[node]])
            if number >= 0:
                tree.split(place, self.intervals.of_number(number), float(self.forest.threshold[node]))
            else:
                tree.split(place, self.intervals.anything(), 0.5)
            todo.append((self._open(int(self.forest.left[node])), tree.left(place)))
            todo.append((self._open(int(self.forest.right[node])), tree.right(place)))
        self.size += largest

    def _open(self, node: int) -> int:
        """The first node from here that the box leaves open; a leaf where there is none."""
        while self.forest.left[node] >= 0 and not (self.some_left[node] and self.some_right[node]):
            node = int((self.forest.left if self.some_left[node] else self.forest.right)[node])
        return node

    def _leaf(self, node: int) -> int:
        """The leaf of the row as it is."""
        while self.forest.left[node] >= 0:
            node = int((self.forest.left if self.at[node] else self.forest.right)[node])
        return node

    def _value(self, leaf: int) -> float:
        return float(self.wanted[self.forest.output[leaf]] * np.float64(self.forest.threshold[leaf]))


def strike(target: Target, rows: np.ndarray, *, seconds: float) -> None:
    """Try, for rows whose decision has not turned, the row of their box in which the sum of a model's trees is least.

    Parameters
    ----------
    target : Target
        Told of what is found.
    rows : ndarray of int
    seconds : float
        Of the search for one row, at most.
    """
    left = rows[target.ahead[rows] > 0]
    box, decision = target.box.take(left), target.decision.take(left)
    joint = JointTrees(trees_of(target.model), box)
    for i, row in enumerate(left):
        for function in np.flatnonzero(np.isfinite(decision.ahead[i])):
            enough = float(decision.ahead[i, function])
            found = joint.search(i, decision.wanted[i, function], enough=enough, seconds=seconds)
            numbers = box.numbers[[i]]
            for number, (low, high) in found.numbers.items():
                below = float(np.nextafter(np.float32(high), np.float32(-np.inf)))
                numbers[0, number] = np.clip(numbers[0, number], low, max(low, below))
            levels = np.full_like(target.best.levels[[row]], -1)
            target.ask(Candidates(target.settled(numbers, np.array([row])), levels), np.array([row]))
            if target.ahead[row] < 0:
                break
