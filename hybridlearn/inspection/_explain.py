"""Additive explanations of margins: a hybrid's are the weighted sum of its members'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from tqdm import tqdm

from hybridlearn._protocols import Differentiable
from hybridlearn._random import RandomState
from hybridlearn.crossfit import margin, no_news_of_levels
from hybridlearn.inspection._explanation import Explanation
from hybridlearn.inspection._mixing import Mixer, Origins, find_origins
from hybridlearn.inspection._parts import Chain, Part, parts_of, through
from hybridlearn.inspection._sampling import sampled_shapley
from hybridlearn.inspection._stages import NotAdditiveError, Stage, stage_of

# Rows that are explained together, and that tell which columns an encoded one is made of.
_ROWS_AT_ONCE = 1000
_ROWS_OF_ORIGINS = 200
_MOST_LEVELS = 300
# Of the margin's largest: what rounding may leave between a margin and the sum of its parts.
_TOLERANCE = 1e-5
SAMPLED = "permutations"


def explain(
    model: Any,
    X: Any,
    background: Any = None,
    *,
    method: str = "auto",
    n_background: int = 100,
    random_state: RandomState = 0,
    verbose: int = 0,
) -> Explanation:
    """Shapley values of a fitted model's margin: what each column adds to it, against a background of other rows.

    Columns that are not known have the values of a row of the background, the mean over its rows is taken
    (interventional values), and the values of a row sum to its margin less the mean margin of the background. Such
    values are linear in the model: those of a hybrid are the weighted sum of its members', each found as fast as its
    kind allows.

    ============= ===========================================================================================
    boosted trees exact (as interventional TreeSHAP [1]_, with all encoded columns of a column as one player)
    linear models exact
    nets          the rescale rule of DeepLIFT against each row of the background (as DeepSHAP [1]_), where
                  the net is made of linear maps and elementwise functions
    all else      antithetic permutations: exact in sum, the single values have a sampling error
    ============= ===========================================================================================

    An encoded column is a column's whose change alone changes it. One that several columns make together (a feature of
    two, say) is a player of its own, and its value is shared equally among them. Whatever does not add up to the
    margin is sampled instead: :attr:`Explanation.methods` says what was done.

    Parameters
    ----------
    model : fitted estimator
        A hybrid that is a weighted sum, any estimator of this package, or any classifier or regressor that has a
        margin (see :func:`hybridlearn.crossfit.margin`); in a `Pipeline`, a search or `FrozenEstimator` too.
    X : array-like or DataFrame of shape (n_rows, n_columns)
        Rows to be explained.
    background : array-like or DataFrame of shape (n_background, n_columns), optional
        Rows of at least 2, what a prediction is compared with: training rows, as a rule. Default: `X`.
    method : {"auto", "permutations"}, default="auto"
        "permutations" samples the model as a whole, whatever it is; it says nothing of members.
    n_background : int, default=100
        Of more rows than this in `background`, as many are drawn.
    random_state : int, RandomState or None, default=0
        Draws the background and the permutations.
    verbose : int, default=0
        From 1 on, a progress bar.

    Returns
    -------
    Explanation

    Raises
    ------
    NotFittedError
        When the model is not fitted.
    TypeError
        When a final estimator makes of the members' margins something that is no sum, and `method` is "auto"; on a
        sparse matrix.
    ValueError
        On other columns than those of ``fit``, a background of one row, a `method` that is not known.

    References
    ----------
    .. [1] Lundberg et al., "From Local Explanations to Global Understanding with Explainable AI for Trees", Nature
       Machine Intelligence 2, 2020; Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS
       2017.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from hybridlearn import BoostedTreesClassifier
    >>> from hybridlearn.inspection import explain
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> trees = BoostedTreesClassifier(n_estimators=20, random_state=0).fit(X, y)
    >>> explanation = explain(trees, X[:5], X)
    >>> explanation.values.shape, bool(explanation.check_additivity() < 1e-5)
    ((5, 30), True)
    """
    if method not in ("auto", SAMPLED):
        raise ValueError(f"method must be 'auto' or {SAMPLED!r}, got {method!r}")
    rng = check_random_state(random_state)
    table, others = _table(X, "X"), _table(X if background is None else background, "background")
    if len(others) < 2:
        raise ValueError(f"background has {len(others)} row(s); give at least 2, best 100 of the training rows")
    if len(others) > n_background:
        others = _take(others, rng.choice(len(others), n_background, replace=False))
    parts = _parts(model, method)
    margins = margin(model, table)
    with no_news_of_levels():
        base = margin(model, others)
    names = _names(model, table)
    if len(names) != table.shape[1]:
        raise ValueError(f"X has {table.shape[1]} columns, the model was fitted on {len(names)}")
    values: dict[str, np.ndarray] = {}
    methods: dict[str, str] = {}
    seed = rng.randint(2**31)
    with tqdm(total=len(parts) * len(table), unit="row", desc="explain", disable=not verbose) as bar:
        for start in range(0, len(table), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            game = Game(_take(table, rows), others, np.random.RandomState(seed), bar.update)
            for part in parts:
                found, how = game.values(part)
                name = part.member
                if name not in values:
                    values[name] = np.zeros((len(table), table.shape[1], found.shape[2]))
                values[name][rows] += part.weight * found
                methods[name] = how if methods.get(name, how) == how else f"{methods[name]}, {how}"
    return Explanation.of(model, table, names, margins, base, values, methods)


def _parts(model: Any, method: str) -> list[Part]:
    if method == SAMPLED:
        return [Part("", 1.0, (), None, lambda table: margin(model, table))]
    return list(parts_of(model))


def _table(X: Any, name: str) -> Any:
    if hasattr(X, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix; explain needs a dense table: {name}.toarray()")
    if isinstance(X, pd.DataFrame):
        return X.reset_index(drop=True)
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, rows and columns, got shape {array.shape}")
    return array


def _take(table: Any, rows: Any) -> Any:
    return table.iloc[rows].reset_index(drop=True) if isinstance(table, pd.DataFrame) else table[rows]


def _names(model: Any, table: Any) -> list[str]:
    if isinstance(table, pd.DataFrame):
        return [str(name) for name in table.columns]
    known = getattr(model, "feature_names_in_", None)
    return [f"x{i}" for i in range(table.shape[1])] if known is None else [str(name) for name in known]


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
        self.few = Mixer(_take(rows, _telling_rows(rows, rng)), background)
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
        player = np.array([players.index(origin) for origin in origins])
        try:
            found, how = stage.shapley(encoded[: self.n_rows], encoded[self.n_rows :], player, pair), stage.kind
            self.on_rows(self.n_rows)
        except NotAdditiveError:
            found, how = self._sampled_behind(part.estimator, encoded, player), SAMPLED
        wanted = pair[0] - pair[1].mean(axis=0)
        if not np.allclose(found.sum(axis=1), wanted, rtol=0, atol=_TOLERANCE * max(1.0, np.abs(pair[0]).max())):
            return None
        shares = np.array([[(i in own) / max(len(own), 1) for i in range(self.n_columns)] for own in players])
        return np.einsum("npk,pc->nck", found, shares), how

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
        with no_news_of_levels():
            origins = find_origins(stage.encoded, *views)
        if origins is None:
            return None
        varies = (encoded != encoded[:1]).any(axis=0) & ~np.isnan(encoded).all(axis=0)
        return None if any(not own for own, moves in zip(origins, varies, strict=True) if moves) else origins

    def _sampled(self, part: Part, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Of any margin, by mixtures of rows of the table."""

        def margin_of(rows: np.ndarray, others: np.ndarray, has_row: np.ndarray) -> np.ndarray:
            chosen = np.where(has_row, rows[:, None], self.n_rows + others[:, None])
            with no_news_of_levels():
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
