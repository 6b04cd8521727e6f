"""What resampling would do for a classifier, measured before anybody believes in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score, log_loss, recall_score, roc_auc_score

from hybridlearn._extras import axes_for
from hybridlearn._heads import decided, probabilities
from hybridlearn._random import RandomState, draw_seed
from hybridlearn.audit._calibration import expected_calibration_error
from hybridlearn.crossfit import BLEND, OutOfFold, Running, begin, cross_fit_rows, takes_weights
from hybridlearn.ensemble import assemble, blend_learner, learn_threshold
from hybridlearn.resampling import SAMPLER_NAMES, WEIGHTS, Resampling

NAME = "estimator"
NOTHING, THRESHOLD = "nothing", "threshold"
# What a table of probabilities is judged by: name, whether more is better.
_RANKING = {"auc": True, "average_precision": True}
_HONESTY = {"log_loss": False, "ece": False}
_LABELS = {"f1": True, "balanced_accuracy": True}
METRICS = _RANKING | _HONESTY | _LABELS


class Told(NamedTuple):
    """What one way of learning says of the rows of a table."""

    strategy: str
    corrected: bool
    margin: np.ndarray
    threshold: dict[str, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class ImbalanceReport:
    """What each way of treating rare classes does.

    Attributes
    ----------
    frame : DataFrame
        One row a strategy and correction: ``strategy``, ``corrected``, and of ``auc``, ``average_precision``,
        ``log_loss``, ``ece``, ``f1`` and ``balanced_accuracy`` the mean over folds and, as ``..._se``, its standard
        error. Precision and F1 are those of ``classes_[1]``; of more than two classes, means over the classes.
    advice : str
        What to do, in words: what is better than doing nothing, calibrated or not, by more than 2 standard errors. Many
        things are compared: something may seem so by chance.
    folds : DataFrame
        What the means are of: one row a strategy, correction, repeat and fold.
    """

    frame: pd.DataFrame
    advice: str
    folds: pd.DataFrame

    def plot(self, metric: str = "log_loss", ax: Any = None) -> Any:
        """Draw one metric of all strategies, with standard errors.

        Parameters
        ----------
        metric : str, default="log_loss"
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        if metric not in METRICS:
            raise ValueError(f"metric={metric!r} must be one of {list(METRICS)}")
        ax = axes_for(ax, purpose="plot")
        names = [f"{s}, corrected" if c else s for s, c in zip(self.frame.strategy, self.frame.corrected, strict=True)]
        ax.errorbar(self.frame[metric], names, xerr=self.frame[f"{metric}_se"], fmt="o")
        ax.invert_yaxis()
        ax.set(xlabel=f"{metric} (out of fold, with standard errors)", title="what resampling does")
        return ax


def imbalance_report(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    samplers: Sequence[Any] = (WEIGHTS, "under", "over", "smote"),
    sample_weight: Any = None,
    groups: Any = None,
    cv: Any = 5,
    n_repeats: int = 1,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> ImbalanceReport:
    """Cross-fit a classifier on rows as they are and on resampled ones, and tell what that does.

    Resampling happens in the training part of each fold. Corrections and thresholds that judge a fold are learned from
    the margins of the others.

    Parameters
    ----------
    estimator : classifier
    X : array-like or DataFrame of shape (n_rows, n_columns)
    y : array-like of shape (n_rows,)
    samplers : sequence of str or sampler, default=("weights", "under", "over", "smote")
        As in :class:`~hybridlearn.ensemble.ResampledClassifier`. "weights" is left out where the classifier takes none.
    sample_weight, groups : array-like of shape (n_rows,), optional
        Weights train; all rows of positive weight are judged alike.
    cv : int or splitter, default=5
    n_repeats : int, default=1
        Times that all is done, each with folds of its own; more give smaller standard errors.
    n_jobs : int or None, default=None
    random_state : int, RandomState or None, default=None

    Returns
    -------
    ImbalanceReport

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn.audit import imbalance_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> linear = make_pipeline(StandardScaler(), LogisticRegression())
    >>> report = imbalance_report(linear, X[150:], y[150:], samplers=["under"], random_state=0)
    >>> report.frame[["strategy", "corrected"]].values.tolist()
    [['nothing', False], ['nothing', True], ['threshold', False], ['under', False], ['under', True]]
    """
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats} must be at least 1")
    rng = np.random.RandomState(draw_seed(random_state))
    named = _named(samplers)
    if not takes_weights(estimator):
        named.pop(WEIGHTS, None)
    strategies = {NOTHING: None} | named
    records = []
    for repeat in range(n_repeats):
        seed = np.random.RandomState(rng.randint(2**31 - 1))
        rows, classes, splits, own_seed = begin([(NAME, estimator)], X, y, sample_weight, groups, cv, seed)
        if classes is None:
            raise TypeError(f"{type(estimator).__name__} is a regressor; imbalance is one of classes")
        for strategy, sampler in strategies.items():
            resampling = None if sampler is None else Resampling.of(sampler, classes)
            oof = cross_fit_rows(
                [(NAME, estimator)],
                rows,
                splits,
                classes=classes,
                weighted=sample_weight is not None,
                on_error="raise",
                seed=own_seed,
                running=Running(n_jobs),
                on_fit=lambda name: None,
                resampling=resampling,
            )
            for told in _told(strategy, oof, resampling, own_seed):
                records += [{"repeat": repeat, **record} for record in _judged(told, oof)]
    folds = pd.DataFrame(records)
    by_strategy = folds.groupby(["strategy", "corrected"], sort=False)[list(METRICS)]
    frame = by_strategy.mean().join(by_strategy.sem().add_suffix("_se")).reset_index()
    ordered = [c for metric in METRICS for c in (metric, f"{metric}_se")]
    return ImbalanceReport(frame[["strategy", "corrected", *ordered]], _advice(folds), folds)


def _named(samplers: Sequence[Any]) -> dict[str, Any]:
    """Samplers by their names, those of one class numbered."""
    if isinstance(samplers, str):
        raise TypeError(f"samplers={samplers!r} must be a list of names or samplers: [{samplers!r}]")
    named: dict[str, Any] = {}
    for sampler in samplers:
        name = _name_of(sampler)
        n_before = sum(known.partition(" ")[0] == name for known in named)
        named[f"{name} {n_before + 1}" if n_before else name] = sampler
    return named


def _name_of(sampler: Any) -> str:
    if not isinstance(sampler, str):
        if isinstance(sampler, type) or not hasattr(sampler, "fit_resample"):
            raise TypeError(f"samplers holds {sampler!r}, which is neither a name nor a sampler")
        return type(sampler).__name__
    if sampler not in SAMPLER_NAMES:
        raise ValueError(f"samplers holds {sampler!r}; names are {sorted(SAMPLER_NAMES)}")
    return sampler


def _told(strategy: str, oof: OutOfFold, resampling: Resampling | None, seed: int) -> Iterator[Told]:
    """The margins of a strategy before and after correction; without one, also the thresholds for labels."""
    (name,) = oof.members
    after = oof.margins[name]
    if resampling is None:
        yield Told(strategy, corrected=False, margin=after)
        yield Told(strategy, corrected=True, margin=_recalibrated(oof, seed))
        if oof.margins[name].shape[1] == 1:
            blend = oof.with_blend(after, [])
            yield Told(THRESHOLD, corrected=False, margin=after, threshold=_thresholds(blend))
        return
    before = after.copy()
    for model, test in zip(oof.models[name], oof.tests, strict=True):
        if model.shift is not None:
            before[test] -= model.shift
    if resampling.recalibrates:
        after = _recalibrated(oof, seed)
    yield Told(strategy, corrected=False, margin=before)
    yield Told(strategy, corrected=True, margin=after)


def _recalibrated(oof: OutOfFold, seed: int) -> np.ndarray:
    """Margins with the scale and the intercept that the other folds tell."""
    return assemble(oof, blend_learner(oof, "mean", seed=seed, recalibrate=True)).oof.margins[BLEND]


def _thresholds(oof: OutOfFold) -> dict[str, np.ndarray]:
    """By score of labels, the threshold of each row: the best one on the rows of the other folds."""
    found = {}
    for name in _LABELS:
        found[name] = np.full(len(oof.fold), np.nan)
        for _, others, held_out in oof.second_level():
            found[name][held_out] = learn_threshold(name, oof, others)
    return found


def _judged(told: Told, oof: OutOfFold) -> Iterator[dict[str, Any]]:
    """Metrics of each fold."""
    for fold, _, rows in oof.second_level():
        probability, target = probabilities(told.margin[rows]), oof.target[rows]
        record = {"strategy": told.strategy, "corrected": told.corrected, "fold": fold}
        yield record | _scores(target, probability, told, rows)


def _scores(target: np.ndarray, probability: np.ndarray, told: Told, rows: np.ndarray) -> dict[str, float]:
    n_classes = probability.shape[1]
    present = np.bincount(target, minlength=n_classes) > 0
    scores = {"log_loss": log_loss(target, probability, labels=np.arange(n_classes))}
    if n_classes == 2:
        hit, sure = target == 1, probability[:, 1]
        aucs = [roc_auc_score(hit, sure)] if present.all() else []
        precisions = [average_precision_score(hit, sure)] if present[1] else []
    else:
        codes = np.flatnonzero(present if present.sum() > 1 else [])
        aucs = [roc_auc_score(target == k, probability[:, k]) for k in codes]
        precisions = [average_precision_score(target == k, probability[:, k]) for k in codes]
        hit, sure = target == probability.argmax(axis=1), probability.max(axis=1)
    scores["auc"], scores["average_precision"] = (float(np.mean(s)) if len(s) else np.nan for s in (aucs, precisions))
    scores["ece"] = expected_calibration_error(hit, sure)
    for name, measure in (("f1", _f1), ("balanced_accuracy", _balanced_accuracy)):
        threshold = 0.5 if told.threshold is None else told.threshold[name][rows]
        scores[name] = float(measure(target, decided(probability, threshold), n_classes))
    return scores


def _f1(target: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    return f1_score(target, predicted, average="binary" if n_classes == 2 else "macro", zero_division=0)


def _balanced_accuracy(target: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    # recall of the classes that there are
    return recall_score(target, predicted, labels=np.unique(target), average="macro", zero_division=0)


def _advice(folds: pd.DataFrame) -> str:
    """What to do: what is better than doing nothing by more than 2 standard errors, fold against fold."""
    cells = {
        (str(own["strategy"].iloc[0]), bool(own["corrected"].iloc[0])): own.set_index(["repeat", "fold"])[list(METRICS)]
        for _, own in folds.groupby(["strategy", "corrected"], sort=False)
    }
    nothing, calibrated = cells.pop((NOTHING, False)), cells.pop((NOTHING, True))
    tuned = cells.pop((THRESHOLD, False), nothing)
    better: dict[str, list[str]] = {}
    for (strategy, corrected), own in cells.items():
        for metric in (*_RANKING, *_HONESTY):
            # what calibration alone does is no merit of a sampler
            gain, error = min(_gain(own, other, metric) for other in (nothing, calibrated))
            if gain > 2 * error:
                text = f"{strategy}{' (corrected)' if corrected else ''} by {gain:.3g} ± {error:.2g}"
                better.setdefault(metric, []).append(text)
    said = [f"Better than doing nothing in {metric}: {', '.join(who)}." for metric, who in better.items()]
    if not said:
        said = [
            "Doing nothing is best: no resampling ranks rows better, or tells probabilities better, by more than 2 "
            "standard errors."
        ]
    calibration, its_error = _gain(calibrated, nothing, "log_loss")
    if calibration > 2 * its_error:
        said.append("Calibration alone tells probabilities better: blend it (HybridClassifier), or calibrate it.")
    raised = [m for m in _LABELS for gain, error in [_gain(tuned, nothing, m)] if gain > 2 * error]
    if raised:
        said.append(f"For labels, tune the threshold (threshold=...): it raises {' and '.join(raised)}.")
    return " ".join(said)


def _gain(own: pd.DataFrame, other: pd.DataFrame, metric: str) -> tuple[float, float]:
    """By how much one is better than the other, on average over the folds, and the standard error of that."""
    gains = (own[metric] - other[metric]) * (1 if METRICS[metric] else -1)
    return float(gains.mean()), float(gains.std() / np.sqrt(gains.count()))
