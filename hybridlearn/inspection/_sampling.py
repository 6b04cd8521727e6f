"""Shapley values of anything that has a margin, by permutations of its players."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Permutations at least, each with its reverse, whatever the size of the background.
_LEAST = 50
_ROWS_AT_ONCE = 2**14


def sampled_shapley(
    margin_of: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    rows: np.ndarray,
    background: np.ndarray,
    n_players: int,
    rng: np.random.RandomState,
    on_part: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Shapley values by antithetic permutations [1]_: each row of the background has an order, and its reverse.

    A row of the background becomes the row to be explained, a player at a time; what the margin gains is the player's.
    So values sum to the margin over the background's mean exactly, whatever the orders.

    Parameters
    ----------
    margin_of : callable
        Margins of mixtures, shape (n, n_outputs): of rows (n,), rows of the background (n,), and which players have the
        row's values (n, n_players).
    rows, background : ndarray of shape (n_rows, n_outputs), (n_background, n_outputs)
        Their margins.
    n_players : int
    rng : RandomState
    on_part : callable
        Told of each part of the work that is done, as a share of all.

    Returns
    -------
    ndarray of shape (n_rows, n_players, n_outputs)

    References
    ----------
    .. [1] Mitchell, Cooper, Frank and Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 23, 2022.
    """
    n_rows, n_others = len(rows), len(background)
    n_turns = -(-_LEAST // n_others)
    orders = np.array([rng.permutation(n_players) for _ in range(n_turns * n_others)])
    orders = np.concatenate([orders, orders[:, ::-1]])  # (n_walks, n_players)
    ranks = orders.argsort(axis=1)
    others = np.tile(np.arange(n_others), 2 * n_turns)
    n_steps = max(n_players - 1, 0)
    steps = np.arange(1, n_players)
    found = np.zeros((n_rows, n_players, rows.shape[1]))
    n_walks = n_rows * len(orders)
    size = max(_ROWS_AT_ONCE // max(n_steps, 1), 1)
    for start in range(0, n_walks, size):
        row, walk = np.divmod(np.arange(start, min(start + size, n_walks)), len(orders))
        shape = (len(row), n_steps)
        has_row = ranks[walk][:, None, :] < steps[:, None]  # (n, n_steps, n_players)
        mixed = np.empty((*shape, rows.shape[1]))
        if n_steps:
            told = margin_of(
                np.broadcast_to(row[:, None], shape).ravel(),
                np.broadcast_to(others[walk][:, None], shape).ravel(),
                has_row.reshape(-1, n_players),
            )
            mixed = told.reshape(mixed.shape)
        way = np.concatenate([background[others[walk]][:, None], mixed, rows[row][:, None]], axis=1)
        np.add.at(found, (row[:, None], orders[walk]), np.diff(way, axis=1))
        on_part(len(row) / n_walks)
    return found / len(orders)
