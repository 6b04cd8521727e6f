"""Pictures of explanations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridlearn._extras import axes_for

_MORE, _LESS, _NEUTRAL = "tab:red", "tab:blue", "0.6"


@dataclass(frozen=True, eq=False)
class Picture:
    """One output of an explanation, and where it is drawn.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_columns)
    base : float
    data : DataFrame
    names : list of str
    margin_name : str
    max_columns : int
    ax : matplotlib Axes
    """

    values: np.ndarray
    base: float
    data: pd.DataFrame
    names: list[str]
    margin_name: str
    max_columns: int
    ax: Any

    @classmethod
    def of(cls, explanation: Any, label: Any, max_columns: int, ax: Any) -> Picture:
        values, base, what = explanation.values, explanation.base_values, "margin"
        labels = explanation.class_names
        if labels:
            if label is not None and str(label) not in labels:
                raise ValueError(f"label must be one of {labels}, got {label!r}")
            k = len(labels) - 1 if label is None else labels.index(str(label))
            values, base, what = values[:, :, k], base[k], f"margin of {labels[k]}"
        ax = axes_for(ax, purpose="Explanation.plot")
        return cls(values, float(base), explanation.data, explanation.feature_names, what, max_columns, ax)

    @property
    def order(self) -> np.ndarray:
        """Columns, the one of the largest contributions first."""
        return np.argsort(-np.abs(self.values).mean(axis=0), kind="stable")

    def place(self, column: int) -> np.ndarray:
        """Each row's value of a column, as a rank from 0 to 1; of levels in their order, 0.5 where missing."""
        values = self.data.iloc[:, column]
        numbers = values if pd.api.types.is_numeric_dtype(values) else values.astype(str).where(values.notna())
        rank = numbers.rank(method="dense")
        return ((rank - 1) / max(rank.max() - 1, 1)).fillna(0.5).to_numpy()


def beeswarm(picture: Picture, *, row: int, column: str | None) -> Any:
    """A dot a row, of the columns that matter most; the colour tells the column's value."""
    ax, order = picture.ax, picture.order[: picture.max_columns][::-1]
    for height, j in enumerate(order):
        values = picture.values[:, j]
        dots = ax.scatter(values, height + _spread(values), c=picture.place(j), cmap="coolwarm", s=8, vmin=0, vmax=1)
    ax.axvline(0, color=_NEUTRAL, linewidth=0.8)
    ax.set_yticks(range(len(order)), [picture.names[j] for j in order])
    ax.set(xlabel=f"contribution to the {picture.margin_name}")
    if len(order):
        bar = ax.figure.colorbar(dots, ax=ax, ticks=[0, 1])
        bar.ax.set_yticklabels(["low", "high"])
        bar.set_label("value of the column")
    return ax


def waterfall(picture: Picture, *, row: int, column: str | None) -> Any:
    """From the base to the margin of one row."""
    if not -len(picture.values) <= row < len(picture.values):
        raise ValueError(f"row must be a position among {len(picture.values)} rows, got {row}")
    ax, values = picture.ax, picture.values[row]
    order = np.argsort(-np.abs(values), kind="stable")
    shown, others = order[: picture.max_columns], order[picture.max_columns :]
    data = picture.data.iloc[row]
    labels = [f"{picture.names[j]} = {_told(data.iloc[j])}" for j in shown]
    steps = values[shown].tolist()
    if len(others):
        labels.append(f"{len(others)} other columns")
        steps.append(values[others].sum())
    ends = picture.base + np.cumsum(steps)
    heights = np.arange(len(steps))[::-1]
    bars = ax.barh(heights, steps, left=ends - steps, color=[_MORE if step > 0 else _LESS for step in steps])
    ax.bar_label(bars, [f"{step:+.3g}" for step in steps], padding=3)
    ax.axvline(picture.base, color=_NEUTRAL, linewidth=0.8)
    ax.set_yticks(heights, labels)
    ax.margins(x=0.15)
    total = picture.base + values.sum()
    ax.set(xlabel=f"{picture.margin_name}: from {picture.base:.3g}, the background's mean, to {total:.3g}")
    return ax


def dependence(picture: Picture, *, row: int, column: str | None) -> Any:
    """What a column adds, by its value."""
    if column is not None and column not in picture.names:
        raise ValueError(f"column must be one of {picture.names}, got {column!r}")
    j = picture.order[0] if column is None else picture.names.index(column)
    ax, values = picture.ax, picture.data.iloc[:, j]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        values = values.astype(object).where(values.notna(), "missing").astype(str)
    ax.scatter(values, picture.values[:, j], s=10, alpha=0.6)
    ax.axhline(0, color=_NEUTRAL, linewidth=0.8)
    ax.set(xlabel=picture.names[j], ylabel=f"contribution to the {picture.margin_name}")
    return ax


KINDS: dict[str, Callable[..., Any]] = {"beeswarm": beeswarm, "waterfall": waterfall, "dependence": dependence}


def _spread(values: np.ndarray) -> np.ndarray:
    """Heights in [-0.4, 0.4] that keep dots of like values apart."""
    bins = pd.Series(np.digitize(values, np.linspace(values.min(), values.max(), 51)))
    place = bins.groupby(bins).cumcount()
    sides = np.where(place % 2, 1, -1) * ((place + 1) // 2)
    most = max(np.abs(sides).max(), 1)
    return 0.4 * sides / most


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
