"""Pictures of benchmarks/accuracy.py: who differs from whom, and what error costs in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scikit_posthocs


def plot_all(fits: pd.DataFrame, errors: pd.DataFrame, reference: str, folder: Path) -> Iterator[Path]:
    """Draw into the folder; the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    yield critical_difference(errors, folder / "critical_difference.svg")
    for seconds in ("fit_seconds", "predict_seconds"):
        yield error_against(fits, errors, reference, seconds, folder / f"error_{seconds}.svg")


def critical_difference(errors: pd.DataFrame, file: Path) -> Path:
    """Mean ranks over the sets, seeds averaged; a bar joins systems whose ranks do not differ (Nemenyi, 5 %)."""
    by_set = errors.dropna().groupby("dataset").mean()
    ranks = by_set.rank(axis=1)
    differ = scikit_posthocs.posthoc_nemenyi_friedman(by_set.to_numpy())
    differ = differ.set_axis(by_set.columns, axis=0).set_axis(by_set.columns, axis=1)
    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.3 * len(ranks.columns)), layout="constrained")
    scikit_posthocs.critical_difference_diagram(ranks.mean(), differ, ax=axes)
    axes.set_title(f"mean rank of the error, {len(by_set)} sets")
    return saved(figure, file)


def error_against(fits: pd.DataFrame, errors: pd.DataFrame, reference: str, seconds: str, file: Path) -> Path:
    """Geometric means over the sets that all systems have."""
    common = errors.dropna()
    ratio = np.exp(np.log(common.div(common[reference], axis=0)).mean())
    times = fits.pivot_table(index=["dataset", "seed"], columns="system", values=seconds).loc[common.index]
    cost = np.exp(np.log(times.clip(lower=1e-3)).mean())
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    axes.scatter(cost, ratio)
    for system in ratio.index:
        axes.annotate(system, (cost[system], ratio[system]), xytext=(4, 4), textcoords="offset points")
    axes.margins(x=0.15)
    axes.set(xscale="log", xlabel=seconds.replace("_", " "), ylabel=f"error over {reference}")
    return saved(figure, file)


def saved(figure: plt.Figure, file: Path) -> Path:
    figure.savefig(file)
    plt.close(figure)
    return file
