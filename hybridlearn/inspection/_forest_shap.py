"""Shapley values of a sum of trees, exact for players that own several encoded columns each."""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np
from scipy import sparse

from hybridlearn.trees import Forest

# Of more players on the way to a leaf, tables of all their patterns are larger than what they save.
_MOST_TABLED = 7
# Cells (rows times leaves) that are looked at together.
_CELLS = 2**19


def forest_shapley(
    forest: Forest, rows: np.ndarray, background: np.ndarray, player: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Shapley values of a forest's sum in the game whose players have the values of a row, or those of the background.

    A leaf is reached by a mixture of two rows if each player on the way to it, the owner of the columns that are split
    there, brings values that go there. So of a row, and of a row of the background, only the *pattern* of players who
    do matters. The patterns of the background are counted once a leaf, and what each pattern of a row is worth against
    them is tabled: the time hangs on rows plus background, not on their product (as in Nadel and Wettenstein, "From
    Decision Trees to Boolean Logic", 2025). Against :class:`shap.TreeExplainer` of interventional values we take
    players of several columns, which makes one-hot and target codes of a category one player, and native splits of
    categories.

    Parameters
    ----------
    forest : Forest
    rows, background : ndarray of shape (n_rows, n_encoded), (n_background, n_encoded)
        Encoded columns.
    player : ndarray of shape (n_encoded,), int
        Who owns each encoded column.
    shape : (n_players, n_outputs)

    Returns
    -------
    ndarray of shape (n_rows, n_players, n_outputs), float64
    """
    n_players, n_outputs = shape
    found = np.zeros((n_outputs, len(rows), n_players))
    leaves = forest.leaves
    step = max(_CELLS // (len(rows) + len(background)), 64)
    for start in range(0, len(leaves), step):
        some = leaves[start : start + step]
        way = _Ways(forest, some, player)
        patterns, theirs = way.patterns(rows), way.patterns(background)
        for size in np.unique(way.n_players):
            if size == 0:
                continue
            here = np.flatnonzero(way.n_players == size)
            worth = _tabled if size <= _MOST_TABLED else _paired
            values = worth(patterns[:, here], theirs[:, here], int(size))  # (n_rows, n_here, size)
            values *= forest.threshold[some[here]].astype(np.float64)[:, None]
            owner, output = way.owner[here, :size], forest.output[some[here]]
            for k in np.unique(output):
                mine = output == k
                found[k] += _summed(values[:, mine], owner[mine], n_players)
    return np.moveaxis(found, 0, 2)


class _Ways:
    """The ways to some leaves: who the players on each are, and who of them goes there."""

    def __init__(self, forest: Forest, leaves: np.ndarray, player: np.ndarray):
        self.forest = forest
        nodes, is_left = forest.paths(leaves)
        depth = int(nodes.shape[1])
        asked = np.where(nodes >= 0, player[forest.feature[nodes]], -1)
        # of each split, the place of its player among those on the way
        self.slot = np.zeros((len(leaves), depth), dtype=np.int64)
        self.owner = np.full((len(leaves), max(depth, 1)), -1)
        self.n_players = np.zeros(len(leaves), dtype=np.int64)
        for i in range(depth):
            is_new = nodes[:, i] >= 0
            for j in range(i):
                same = (asked[:, i] == asked[:, j]) & is_new
                self.slot[same, i] = self.slot[same, j]
                is_new &= ~same
            self.slot[is_new, i] = self.n_players[is_new]
            self.owner[is_new, self.n_players[is_new]] = asked[is_new, i]
            self.n_players += is_new
        self.unique, place = np.unique(nodes, return_inverse=True)
        self.place, self.is_left, self.is_split = place.reshape(nodes.shape), is_left, nodes >= 0

    def patterns(self, encoded: np.ndarray) -> np.ndarray:
        """Bits of the players whose values go to the leaf, shape (n_rows, n_leaves), int64."""
        left = self.forest.goes_left(encoded, np.maximum(self.unique, 0))
        astray = np.zeros((len(encoded), len(self.n_players)), dtype=np.int64)
        for i in range(self.is_split.shape[-1]):
            wrong = (left[:, self.place[:, i]] != self.is_left[:, i]) & self.is_split[:, i]
            astray |= wrong.astype(np.int64) << self.slot[:, i]
        return ((1 << self.n_players) - 1) & ~astray


@lru_cache
def _weights(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares by how many players a leaf needs of the row, and how many of the background.

    To whom the row is needed of, and what is taken from whom the background is needed of; (size + 1, size + 1) each.
    """
    gives, takes = np.zeros((size + 1, size + 1)), np.zeros((size + 1, size + 1))
    for a in range(size + 1):
        for b in range(size + 1 - a):
            if a:
                gives[a, b] = factorial(a - 1) * factorial(b) / factorial(a + b)
            if b:
                takes[a, b] = factorial(a) * factorial(b - 1) / factorial(a + b)
    return gives, takes


@lru_cache
def _table(size: int) -> np.ndarray:
    """What a leaf of value 1 gives each player, by the row's pattern and the background's: (2^size, 2^size, size)."""
    patterns = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    row, other = patterns[:, None, :], patterns[None, :, :]
    only_row, only_other = row & ~other & 1, other & ~row & 1
    a, b = only_row.sum(axis=2), only_other.sum(axis=2)
    gives, takes = _weights(size)
    is_reached = (row | other).min(axis=2)
    worth = only_row * gives[a, b][..., None] - only_other * takes[a, b][..., None]
    return np.asarray(worth * is_reached[..., None])


def _tabled(patterns: np.ndarray, theirs: np.ndarray, size: int) -> np.ndarray:
    """Mean worth of a leaf of value 1 to each player on its way, (n_rows, n_leaves, size)."""
    n_leaves, n_patterns = patterns.shape[1], 2**size
    cells = (theirs + np.arange(n_leaves) * n_patterns).ravel()
    share = np.bincount(cells, minlength=n_leaves * n_patterns).reshape(n_leaves, n_patterns) / len(theirs)
    table = share @ _table(size).transpose(1, 0, 2).reshape(n_patterns, -1)
    table = table.reshape(n_leaves * n_patterns, size)
    return table[patterns + np.arange(n_leaves) * n_patterns]


def _paired(patterns: np.ndarray, theirs: np.ndarray, size: int) -> np.ndarray:
    """As :func:`_tabled`, each row against each row of the background."""
    gives, takes = _weights(size)
    bits = np.arange(size)
    found = np.empty((*patterns.shape, size))
    for leaf in range(patterns.shape[1]):
        row = ((patterns[:, [leaf]] >> bits) & 1).astype(np.float64)
        other = ((theirs[:, [leaf]] >> bits) & 1).astype(np.float64)
        neither = (1 - row) @ (1 - other).T
        a, b = (row @ (1 - other).T).astype(int), ((1 - row) @ other.T).astype(int)
        is_reached = neither == 0
        given = row * ((gives[a, b] * is_reached) @ (1 - other))
        taken = (1 - row) * ((takes[a, b] * is_reached) @ other)
        found[:, leaf] = (given - taken) / len(other)
    return found


def _summed(values: np.ndarray, owner: np.ndarray, n_players: int) -> np.ndarray:
    """Values of shape (n_rows, n_leaves, size) by their owners, shape (n_rows, n_players)."""
    cells = owner.size
    who = sparse.csr_array((np.ones(cells), (np.arange(cells), owner.ravel())), shape=(cells, n_players))
    return values.reshape(len(values), cells) @ who
