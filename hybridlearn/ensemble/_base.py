"""What every hybrid shares: one way from a table to an out-of-fold table to a sum of margins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, get_tags
from sklearn.utils.validation import assert_all_finite, check_is_fitted, validate_data

from hybridlearn._clock import Deadline
from hybridlearn._compat import BaseComposition, CallbackSupportMixin, real
from hybridlearn._docs import also_takes
from hybridlearn._extras import axes_for
from hybridlearn._fitting import whole_fit
from hybridlearn._progress import FitProgress
from hybridlearn._protocols import FitsTogether, Term
from hybridlearn._random import RandomState, draw_seed
from hybridlearn._splits import Split
from hybridlearn.crossfit import (
    FoldModel,
    OutOfFold,
    Pieces,
    Running,
    check_can_score,
    cross_fit_rows,
    make_splits,
    margins_by_member,
    no_news_of_levels,
)
from hybridlearn.ensemble._assembly import Assembly, Calibrated, leaderboard
from hybridlearn.ensemble._blend import Blend
from hybridlearn.ensemble._replay import replayed
from hybridlearn.ensemble._stretch import stretched
from hybridlearn.ensemble._time import reserve
from hybridlearn.resampling import Resampling
from hybridlearn.table import Schema, TrainingRows, read_raw_table, read_training_rows
from hybridlearn.training import load_optimiser

Members = list[tuple[str, Any]]

# What a fit does not hang on.
_OF_NO_EFFECT = ("checkpoint", "n_jobs", "verbose")
# Of the time for fits, the share of those before members are fitted once more on all rows.
_BEFORE_REFITS = 0.65


@dataclass(frozen=True)
class Work:
    """A fit under way.

    Attributes
    ----------
    rows : TrainingRows
    classes : ndarray or None
        Labels of their codes; None in regression.
    weighted : bool
    seed : int
    deadline : Deadline or None, default=None
        Of all that is done in ``fit``.
    """

    rows: TrainingRows
    classes: np.ndarray | None
    weighted: bool
    seed: int
    deadline: Deadline | None = None

    @property
    def n_classes(self) -> int:
        """0 in regression."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def how(self) -> dict[str, Any]:
        """How its fits are done, as :func:`hybridlearn.crossfit.fit_in_time` takes it."""
        return {"n_classes": self.n_classes, "weighted": self.weighted, "seed": self.seed}


class BaseMeta(CallbackSupportMixin, BaseComposition):
    """What hands a table on to other estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "checkpoint": [str, PathLike, None],
        "device": [str],
        "n_jobs": [int, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.checkpoint = checkpoint
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _inner_estimators(self) -> Members:
        """The estimators that get the table; none where the parameters cannot be used."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Raise a clear error on members that cannot be used."""
        raise NotImplementedError

    def behind(self, front: Members, name: str) -> Self:
        """A clone that has steps in front of each member, which are then fitted inside the folds.

        Parameters
        ----------
        front : list of (str, transformer or sampler)
        name : str
            Of a member as the step behind them.
        """
        steps = [step for step, _ in front]
        raise ValueError(
            f"steps {steps} look at the target, and {type(self).__name__} cannot fit them inside its folds; put them "
            "into its members"
        )

    def _read_work(self, X: Any, y: Any, sample_weight: Any, groups: Any, time: Any) -> Work:
        """Validate what was handed to ``fit``."""
        rows = read_training_rows(self, X, y, sample_weight, groups, reader=type(self)._read, time=time)
        if isinstance(rows.X, pd.DataFrame):
            # rows of weight 0 are as if they had never been
            self.schema_ = Schema.from_data(rows.X)
        _check_sparse(rows.X, self._inner_estimators())
        classes = getattr(self, "classes_", None)
        return Work(rows, classes, sample_weight is not None, self._seed(rows))

    def _seed(self, rows: TrainingRows) -> int:
        """The seed of this fit; where none is given, that of an earlier one in the same folder."""
        pieces = self._running().pieces
        if self.random_state is not None or pieces is None:
            return draw_seed(self.random_state)
        params = {name: value for name, value in self.get_params(deep=False).items() if name not in _OF_NO_EFFECT}
        return pieces.seed(rows, [type(self), params, getattr(self, "classes_", None)])

    def _read(self, X: Any, *, reset: bool) -> Any:
        """`X` as the members get it."""
        table = read_raw_table(X, any_object=get_tags(self).input_tags.string)
        validate_data(self, X if isinstance(X, pd.DataFrame) else table, reset=reset, skip_check_array=True)
        if not isinstance(table, pd.DataFrame):
            return table
        if reset:
            self.schema_ = Schema.from_data(table)
        return self.schema_.settled(table)

    def _read_new(self, X: Any) -> Any:
        """New rows as the members get them; levels never seen are told of once, not once a fold model."""
        check_is_fitted(self)
        table = self._read(X, reset=False)
        if isinstance(table, pd.DataFrame):
            self.schema_.warn_unseen(table)
        elif not get_tags(self).input_tags.allow_nan:
            # a member may have no part in the answer, and would not say so
            assert_all_finite(table, input_name="X", estimator_name=type(self).__name__)
        return table

    def _progress(self, n_tasks: int | None) -> FitProgress:
        return FitProgress(self, n_tasks, unit="fit", verbose=self.verbose)

    def _running(self) -> Running:
        if self.checkpoint is None:
            return Running(self.n_jobs)
        return Running(self.n_jobs, Pieces.in_folder(self.checkpoint, getattr(self, "time_limit", None)))

    def _on_device(self, member: Any) -> Any:
        """A clone of a member, on the ensemble's device where it leaves its own open."""
        member = clone(member)
        params = member.get_params(deep=True)
        names = [name for name in params if name == "device" or name.endswith("__device")]
        return member.set_params(**{name: self.device for name in names if params[name] == "auto"})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        members = [member for _, member in self._inner_estimators()]
        inputs = [get_tags(_first_step(member)).input_tags for member in members]
        tags.input_tags.sparse = all(get_tags(member).input_tags.sparse for member in members)
        tags.input_tags.allow_nan = all(i.allow_nan for i in inputs)
        tags.input_tags.string = all(i.string for i in inputs)
        tags.input_tags.categorical = all(i.categorical for i in inputs)
        return tags


def _first_step(member: Any) -> Any:
    """What reads the table: of a pipeline the first step, whose tags its own leave out; else the member itself."""
    while steps := [step for _, step in getattr(member, "steps", []) if step not in (None, "passthrough")]:
        member = steps[0]
    return member


@also_takes(time_limit=None)
class BaseEnsemble(BaseMeta):
    """From `X` to margins; a family cross-fits its members and says what combines them."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseMeta._parameter_constraints,
        "time_limit": [real(0, closed="neither"), None],
        "scoring": [str, callable],
    }
    time_limit: float | None

    def _learn(self, work: Work) -> None:
        """Cross-fit and :meth:`_keep`."""
        raise NotImplementedError

    def _learn_threshold(self, oof: OutOfFold) -> Any:
        """Where the head draws the line between classes; of each row, as learned without its fold."""
        raise NotImplementedError

    @whole_fit
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Cross-fit the members and learn from their out-of-fold margins what to make of them.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
            Handed to the members as it is; the default members take numbers, booleans, datetimes and categories
            with missing values, and no sparse matrix.
        y : array-like of shape (n_rows,)
            Target.
        sample_weight : array-like of shape (n_rows,), optional
            Weighs rows in members, blend and scores; rows of weight 0 are left out. Default: 1 each.
        groups : array-like of shape (n_rows,), optional
            Rows of one group share a fold, and a side of each inner split.
        time : array-like of shape (n_rows,), optional
            Numbers or datetimes. Folds go forward in time, and so does each inner split: of early stopping, of the
            blend, of calibration. Folds of a splitter that do so in the order of the rows, such as `TimeSeriesSplit`,
            have the same effect.

        Returns
        -------
        self

        Raises
        ------
        MemberError
            Naming the member that failed.
        ValueError
            On data, folds or parameters that cannot be used; the message names them.
        """
        deadline = Deadline.after(self.time_limit)
        self._check_parameters()
        check_scoring(self, self.scoring)
        if deadline is not None and any(isinstance(member, FitsTogether) for _, member in self._inner_estimators()):
            # at once: it would be taken for the pace of the first net, and leave no time to ask for that of the others
            load_optimiser()
        work = replace(self._read_work(X, y, sample_weight, groups, time), deadline=deadline)
        self._check_target()
        check_can_score(work.rows.target, work.rows.weight, work.classes, self.scoring)
        self._learn(work)
        return self

    def _splits(self, work: Work, cv: Any, *, parameter: str = "cv") -> tuple[Work, list[Split]]:
        """At least two folds, and the work with the order of time that they may follow."""
        rows, splits = make_splits(cv, work.rows, classes=work.classes, seed=work.seed, parameter=parameter)
        if len(splits) < 2:
            raise ValueError("cv gave one fold; the blend needs two, to be judged by weights of the other")
        return replace(work, rows=rows), splits

    def _running_for(self, work: Work, n_members: int, share: float = 1.0) -> Running:
        """How fits are run that may take a share of the time that is left, but for what follows all fits."""
        running = self._running()
        if work.deadline is None or self.time_limit is None:
            return running
        kept = reserve(self.time_limit, len(work.rows), n_members)
        return replace(running, deadline=work.deadline.before(kept).part(share))

    def _cross_fit(
        self,
        members: Members,
        work: Work,
        splits: list[Split],
        progress: FitProgress,
        *,
        share: float = 1.0,
        least: int | None = None,
        resampling: Resampling | None = None,
        front: Any = None,
    ) -> OutOfFold:
        n_covered = sum(len(test) for _, test in splits)
        if n_covered < len(work.rows):
            share *= _BEFORE_REFITS
        return cross_fit_rows(
            members,
            work.rows,
            splits,
            classes=work.classes,
            weighted=work.weighted,
            on_error="raise",
            running=self._running_for(work, len(members), share),
            seed=work.seed,
            on_fit=lambda name: progress.step({"member": name}),
            least=least,
            resampling=resampling,
            front=front,
        )

    def _keep(self, assembly: Assembly, models: dict[str, list[FoldModel]], work: Work | None = None) -> None:
        """The end of a fit: what was learned, the models that predict, and for calibration what they were fitted on."""
        final = assembly.final
        is_mean = models is assembly.oof.models and assembly.oof.classes is not None
        if work is not None and is_mean and isinstance(final.combiner, Blend):
            blend = stretched(final.combiner, final.temperature, assembly.oof, work.rows.X, work.deadline)
            assembly = replace(assembly, final=replace(final, combiner=blend))
        self.oof_, self.ledger_ = assembly.oof, assembly.oof.ledger
        self._final_, self._by_fold_ = assembly.final.combiner, assembly.by_fold
        self.temperature_ = assembly.final.temperature
        if isinstance(self._final_, Blend):
            self.weights_ = pd.Series(self._final_.weights, index=assembly.oof.members, name="weight")
            self.intercept_ = self._final_.intercept
        self.leaderboard_ = leaderboard(assembly, self.scoring, threshold=self._learn_threshold(assembly.oof))
        self.models_ = models
        self.estimators_ = [[model.estimator for model in own] for own in models.values()]
        self.named_estimators_ = Bunch(**dict(zip(models, self.estimators_, strict=True)))

    def member_margins(self, X: Any) -> dict[str, np.ndarray]:
        """Margin of each member: the mean over its fold models.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        dict of str to ndarray of shape (n_rows, n_outputs), float64
        """
        return self._member_margins(self._read_new(X))

    def _member_margins(self, table: Any) -> dict[str, np.ndarray]:
        with no_news_of_levels():
            return {name: np.mean(own, axis=0) for name, own in margins_by_member(self.models_, table).items()}

    def terms(self) -> list[Term]:
        """The sum that the margin is, up to a constant: the fold models of the members and their weights.

        Returns
        -------
        list of Term
            ``member``, ``weight`` and ``model``, whose ``margin`` takes a table; those of weight 0 are left out.

        Raises
        ------
        TypeError
            Where a final estimator makes something else than a sum of the members' margins.
        """
        check_is_fitted(self)
        if not hasattr(self, "weights_"):
            raise TypeError(
                f"{type(self).__name__} with final_estimator={self.final_estimator!r} is no weighted sum of its "
                "members, as final_estimator='greedy' or 'nonnegative' is; explain takes it with method='permutations'"
            )
        return [
            Term(name, float(self.weights_[name]) / (len(models) * self.temperature_), model)
            for name, models in self.models_.items()
            for model in models
            if self.weights_[name]
        ]

    def margin(self, X: Any) -> np.ndarray:
        """Calibrated margin: of a blend, ``(intercept_ + sum of weights_ * member_margins(X)) / temperature_``.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
        """
        table = self._read_new(X)
        margins = self._member_margins(table)
        if hasattr(self, "weights_"):
            total = self.intercept_ + sum(self.weights_[name] * margin for name, margin in margins.items())
        else:
            with no_news_of_levels():
                total = self._final_.margin(np.stack(list(margins.values())), table)
        return total / self.temperature_

    def replay(self, X: Any) -> np.ndarray:
        """Out-of-fold margins of the rows of ``fit``, which may have been changed since.

        Each by the models that never saw the row, and by weights and a temperature learned without its fold.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_columns)
            As many rows as were handed to ``fit``, in their order.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), float64
            NaN of a row that no fold left out, or that had no weight.
        """
        return replayed(self, self._read_new(X))

    def judge(self, fold: int) -> Calibrated:
        """What combined the members' margins of a fold, learned without it."""
        return self._by_fold_[fold]

    def plot_blend(self, ax: Any = None) -> Any:
        """Draw the weight of each member beside its out-of-fold score, the best at the top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        check_is_fitted(self)
        ax = axes_for(ax, purpose="plot_blend")
        board = self.leaderboard_[::-1]
        bars = ax.barh(board["member"], board["weight"].fillna(0.0))
        ax.bar_label(bars, labels=[f"{score:.4g}" for score in board["score"]], padding=3)
        ax.set(xlabel="weight (at the bars: out-of-fold score)", title=type(self).__name__)
        ax.margins(x=0.2)
        return ax

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "named_estimators_")


def _check_sparse(table: Any, members: Members) -> None:
    refusing = [name for name, member in members if not get_tags(member).input_tags.sparse]
    if hasattr(table, "tocsr") and refusing:
        raise TypeError(f"X is a sparse matrix, which members {refusing} do not take; use X.toarray()")
