"""The game whose players are the columns of a row, and whose stake is a margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn._protocols import Differentiable
from hybridlearn.crossfit import Chain, Part, through
from hybridlearn.inspection._mixing import Mixer, Origins, find_origins
from hybridlearn.inspection._sampling import sampled_shapley
from hybridlearn.inspection._stages import NotAdditiveError, Stage, stage_of
from hybridlearn.table import take_rows

SAMPLED = "permutations"
# Of what several columns make together, each has an equal share.
SHARED = " (features of several columns shared)"
# Rows that tell which columns an encoded one is made of, beside one for each value of a column of at most so many.
_ROWS_OF_ORIGINS = 200
_MOST_LEVELS = 300
# Of the margin's largest: what rounding may leave between a margin and the sum of its parts.
_TOLERANCE = 1e-5


def adds_up(values: np.ndarray, rows: np.ndarray, base: np.ndarray) -> bool:
    """Whether values of the columns, shape (n_rows, n_columns, n_outputs), sum to margins over a base."""
    gap = np.abs(values.sum(axis=1) - (rows - base)).max(initial=0.0)
    return bool(gap <= _TOLERANCE * max(1.0, np.abs(rows).max(initial=0.0)))


def _telling_rows(rows: Any, rng: np.random.RandomState) -> np.ndarray:
    """Some rows, and of each column of few values one row for each."""
    found = [rng.permutation(len(rows))[:_ROWS_OF_ORIGINS]]
    for i in range(rows.shape[1]):
        values = rows.iloc[:, i] if isinstance(rows, pd.DataFrame) else pd.Series(rows[:, i])
        first = np.flatnonzero(~values.duplicated().to_numpy())
        found.append(first if len(first) <= _MOST_LEVELS else np.flatnonzero(values.isna().to_numpy())[:1])
    return np.unique(np.concatenate(found))


class Game:
    """Some rows, and the background that stands in for what of them is not known.

    Parameters
    ----------
    rows, background : DataFrame or ndarray
    rng : RandomState
    on_rows : callable
        Told of rows that are done.
    """

    def __init__(self, rows: Any, background: Any, rng: np.random.RandomState, on_rows: Callable[[float], Any]):
        self.mixer = Mixer(rows, background)
        self.n_rows, self.n_columns = len(rows), rows.shape[1]
        self.rng = rng
        self.on_rows = on_rows
        self.few = Mixer(take_rows(rows, _telling_rows(rows, rng)), background)
        self.seen: dict[tuple[int, ...], list[Any]] = {}

    def values(self, part: Part) -> tuple[np.ndarray, str]:
        """Shapley values of a part's margin, shape (n_rows, n_columns, n_outputs), and how they were found."""
        stage = None if part.estimator is None else stage_of(part.estimator)
        margins = part.margin(self.mixer.table)
        pair = margins[: self.n_rows], margins[self.n_rows :]
        found = None if stage is None else self._by_stage(part, stage, pair)
        return found or (self._sampled(part, pair), SAMPLED)

    def _by_stage(self, part: Part, stage: Stage, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, str] | None:
        """None where the parts do not add up."""
        whole, *views = self._views(part.chain)
        encoded = stage.encoded(whole)
        origins = self._origins(stage, encoded, views)
        if origins is None:
            return None
        players = sorted(set(origins))
        alone = {column for own in players if len(own) == 1 for column in own}
        if {column for own in players for column in own} > alone:
            # some are seen in mixtures only, such as principal components: equal shares would say nothing of them
            return None
        player = np.array([players.index(origin) for origin in origins])
        try:
            found, how = stage.shapley(encoded[: self.n_rows], encoded[self.n_rows :], player, pair), stage.kind
            self.on_rows(self.n_rows)
        except NotAdditiveError:
            found, how = self._sampled_behind(part.estimator, encoded, player), SAMPLED
        if not adds_up(found, pair[0], pair[1].mean(axis=0)):
            return None
        shares = np.array([[(i in own) / max(len(own), 1) for i in range(self.n_columns)] for own in players])
        is_shared = any(len(own) > 1 for own in players)
        return np.einsum("npk,pc->nck", found, shares), how + SHARED * is_shared

    def _views(self, chain: Chain) -> list[Any]:
        """Behind a chain: all rows, the few that tell origins, and these with each column changed."""
        key = tuple(id(step) for step in chain)
        if key not in self.seen:
            if chain:
                before = self._views(chain[:-1])
                self.seen[key] = [through(chain[-1:], view) for view in before]
            else:
                changed = [self.few.changed(i) for i in range(self.n_columns)]
                self.seen[key] = [self.mixer.table, self.few.table, *changed]
        return self.seen[key]

    def _origins(self, stage: Stage, encoded: np.ndarray, views: list[Any]) -> Origins | None:
        origins = find_origins(stage.encoded, *views)
        if origins is None:
            return None
        varies = (encoded != encoded[:1]).any(axis=0) & ~np.isnan(encoded).all(axis=0)
        return None if any(not own for own, moves in zip(origins, varies, strict=True) if moves) else origins

    def _sampled(self, part: Part, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Of any margin, by mixtures of rows of the table."""

        def margin_of(rows: np.ndarray, others: np.ndarray, has_row: np.ndarray) -> np.ndarray:
            chosen = np.where(has_row, rows[:, None], self.n_rows + others[:, None])
            return part.margin(self.mixer.take(chosen))

        return sampled_shapley(margin_of, *pair, self.n_columns, self.rng, self._on_share)

    def _sampled_behind(self, net: Differentiable, encoded: np.ndarray, player: np.ndarray) -> np.ndarray:
        """Of a net, by mixtures of what it makes of each column."""

        def margin_of(rows: np.ndarray, others: np.ndarray, has_row: np.ndarray) -> np.ndarray:
            return net.margin_behind(np.where(has_row[:, player], encoded[rows], encoded[self.n_rows + others]))

        margins = net.margin_behind(encoded)
        pair = margins[: self.n_rows], margins[self.n_rows :]
        return sampled_shapley(margin_of, *pair, int(player.max()) + 1, self.rng, self._on_share)

    def _on_share(self, share: float) -> None:
        self.on_rows(share * self.n_rows)
