"""Samplers, transformers and an estimator as one, whose folds see nothing that they should not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from imblearn.pipeline import Pipeline
from sklearn.base import clone
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import get_tags
from sklearn.utils.validation import check_memory

from hybridlearn._fitting import adopt
from hybridlearn._target import read_groups, read_time, read_weights
from hybridlearn.crossfit import fit_name, fit_transformed, fits_with, takes
from hybridlearn.ensemble._base import BaseMeta
from hybridlearn.resampling import Resampling, check_has_classes
from hybridlearn.table import TrainingRows, read_raw_table, take_rows

Steps = list[tuple[str, Any]]
# Whose transformers do not look at the target, but for those that say so.
_UNSUPERVISED = (
    "hybridlearn.table",
    *(
        f"sklearn.{room}"
        for room in (
            *("cluster", "compose", "decomposition", "feature_extraction", "impute", "kernel_approximation"),
            *("manifold", "pipeline", "preprocessing", "random_projection"),
        )
    ),
)


class TabularPipeline(Pipeline):
    """A pipeline of imbalanced-learn that weights get through, and that keeps steps that look at the target in folds.

    Differs from :class:`imblearn.pipeline.Pipeline` in two ways. `sample_weight`, `groups` and `time` are given to
    ``fit`` by these names and reach the last step though samplers change the rows: they go with a row; the weight of a
    synthetic row lies between those of its parents. And where the last step is an estimator of this package that
    cross-fits its members, steps that may look at the target are not fitted in front of its folds, where they would
    show them what is left out: samplers, selectors of columns, target encoders and whatever is not known to look at `X`
    alone move, with all that follows, in front of each member. Members that resample are put right again when they are
    blended. In front of other estimators with folds of their own, such steps are an error.

    Parameters
    ----------
    steps : list of (str, estimator)
        Samplers and transformers, and an estimator at the end. Nested parameters are reached by name.
    memory : str, joblib.Memory or None, default=None
        Where fitted transformers are kept, as in scikit-learn. Those that have moved into folds are not.
    verbose : bool, default=False
        Whether to tell of each step before it is fitted.

    Attributes
    ----------
    named_steps : Bunch
        Steps by name. Those that have moved are not fitted themselves; the last one's members hold fitted clones.
    classes_ : ndarray of shape (n_classes,)
        Of the last step.
    n_features_in_ : int
        Columns seen in ``fit``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn import HybridClassifier, MixedSMOTE, make_tabular_pipeline
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> members = [("linear", LogisticRegression())]
    >>> hybrid = HybridClassifier(estimators=members, random_state=0)
    >>> pipeline = make_tabular_pipeline(StandardScaler(), MixedSMOTE(), hybrid).fit(X, y)
    >>> [name for name, _ in pipeline[-1].estimators_[0][0].steps]
    ['mixedsmote', 'hybridclassifier']
    """

    transform_input: ClassVar[None] = None

    def __init__(self, steps: Steps, *, memory: Any = None, verbose: bool = False):
        self.steps = steps
        self.memory = memory
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Fit the steps, one on what the one before gives.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,), optional
        sample_weight, groups, time : array-like of shape (n_rows,), optional
            For the last step.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where a step that looks at the target stands in front of folds that it cannot move into; where the last
            step does not take what was given.
        """
        self.steps = list(self.steps)
        self._validate_steps()
        self._n_moved_ = 0
        name, final = self.steps[-1]
        is_estimator = final is not None and final != "passthrough"
        n_moved = self._n_to_move() if is_estimator else 0
        passed = Passed.of(X, y, {"sample_weight": sample_weight, "groups": groups, "time": time})
        refused = [key for key in passed.beside if is_estimator and not takes(final, key)]
        if refused:
            raise ValueError(f"{type(final).__name__}, the last step, takes no {', '.join(refused)} in fit")
        # of rows that samplers made, estimators and transformers behind them may want to know what of
        wanting = [step for _, step in self.steps[:-1] if fits_with(step, "parents")]
        knows_parents = bool(wanting) or (is_estimator and takes(final, "parents"))
        memory = check_memory(self.memory)
        for i, (key, step) in enumerate(self.steps[: len(self.steps) - 1 - n_moved]):
            if step is None or step == "passthrough":
                continue
            self._tell(key)
            if hasattr(step, "fit_resample"):
                passed = passed.resampled(step, knows_parents=knows_parents)
            else:
                # what is kept must not change with the step that the user holds
                own = step if memory.location is None else clone(step)
                X, fitted = memory.cache(fit_transformed)(own, passed.X, passed.y, passed.beside)
                passed = replace(passed, X=X)
                self.steps[i] = (key, fitted)
        if not is_estimator:
            return self
        self._tell(name)
        named = {fit_name(final, key): value for key, value in passed.beside.items()}
        beside = {name: value for name, value in named.items() if name is not None}
        if n_moved:
            adopt(final, final.behind(self.steps[-1 - n_moved : -1], name).fit(passed.X, passed.y, **beside))
        else:
            final.fit(passed.X, passed.y, **beside)
        self._n_moved_ = n_moved
        return self

    def _tell(self, name: str) -> None:
        if self.verbose:
            print(f"{type(self).__name__}: {name}")

    def _n_to_move(self) -> int:
        """How many steps, up to the last one, must go into its folds."""
        final, before = self.steps[-1][1], [step for _, step in self.steps[:-1]]
        if isinstance(final, BaseMeta):
            first = next((i for i, step in enumerate(before) if not _ignores_target(step)), len(before))
            return len(before) - first
        seeing = [key for key, step in self.steps[:-1] if _needs_target(step)]
        inner = next((part for part in _parts(final) if isinstance(part, BaseMeta) or _has_folds(part)), None)
        if seeing and inner is not None:
            raise ValueError(
                f"step {seeing[0]!r} looks at the target, and would show the folds of {type(inner).__name__} what is "
                "left out of them; put it into the estimator that is cross-fitted"
            )
        return 0

    def _iter(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, str, Any]]:
        """What new rows go through: not through steps that have moved, which members do themselves."""
        n_steps = len(self.steps)
        moved = range(n_steps - 1 - getattr(self, "_n_moved_", 0), n_steps - 1)
        return (step for step in super()._iter(*args, **kwargs) if step[0] not in moved)

    @property
    def fitted_steps(self) -> Steps:
        """Names and steps that new rows go through, the last one's among them: not those that have moved."""
        return [(name, step) for _, name, step in self._iter(filter_resample=True)]

    @property
    def n_features_in_(self) -> int:
        """Columns seen in ``fit``, by the first step that was fitted."""
        return next(self._iter())[2].n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Their names, if all were strings."""
        return next(self._iter())[2].feature_names_in_


def make_tabular_pipeline(*steps: Any, memory: Any = None, verbose: bool = False) -> TabularPipeline:
    """Make a :class:`TabularPipeline` whose steps are named after their classes.

    Parameters
    ----------
    *steps : samplers, transformers, and an estimator
    memory : str, joblib.Memory or None, default=None
    verbose : bool, default=False

    Returns
    -------
    TabularPipeline

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from hybridlearn import BoostedTreesClassifier, MixedSMOTE, make_tabular_pipeline
    >>> list(make_tabular_pipeline(StandardScaler(), MixedSMOTE(), BoostedTreesClassifier()).named_steps)
    ['standardscaler', 'mixedsmote', 'boostedtreesclassifier']
    """
    return TabularPipeline(make_pipeline(*steps).steps, memory=memory, verbose=verbose)


def in_front(steps: Steps, name: str, estimator: Any) -> TabularPipeline:
    """A pipeline of clones of the steps and, under a name, of the estimator."""
    everything = [(key, step) for key, step in [*steps, (name, estimator)] if step not in (None, "passthrough")]
    return TabularPipeline([(key, clone(step)) for key, step in everything])


def refuse_steps(estimator: Any, steps: Steps) -> None:
    """A ValueError: steps that move into the folds would come after a transformer that is there already."""
    names = [step for step, _ in steps]
    raise ValueError(
        f"steps {names} would come after the features of {type(estimator).__name__}; give features=None, and make them "
        "by a step of the pipeline"
    )


def _parts(estimator: Any) -> Iterator[Any]:
    """An estimator, and those that it holds."""
    yield estimator
    if hasattr(estimator, "get_params"):
        yield from (part for part in estimator.get_params(deep=True).values() if hasattr(part, "get_params"))


def _has_folds(estimator: Any) -> bool:
    return hasattr(estimator, "get_params") and "cv" in estimator.get_params(deep=False)


def _needs_target(step: Any) -> bool:
    """Whether it, or a part of it, is known to look at the target."""
    return any(
        hasattr(part, "fit_resample")
        or (hasattr(part, "fit") and bool(get_tags(part).target_tags.required))
        or (_is_of(part, "sklearn.feature_selection") and not isinstance(part, VarianceThreshold))
        for part in _parts(step)
    )


def _ignores_target(step: Any) -> bool:
    """Whether it, and all parts of it, are known not to look at the target."""
    if step is None or isinstance(step, str):
        return True
    parts = list(_parts(step))
    known = all(isinstance(part, VarianceThreshold) or _is_of(part, *_UNSUPERVISED) for part in parts)
    return known and not _needs_target(step)


def _is_of(part: Any, *rooms: str) -> bool:
    return any(f"{type(part).__module__}.".startswith(f"{room}.") for room in rooms)


@dataclass(frozen=True)
class Passed:
    """What goes from step to step.

    Attributes
    ----------
    X, y : table and target
    beside : dict of str to array-like of shape (n_rows,)
        Weights, groups, times and parents of the rows, those that there are.
    """

    X: Any
    y: Any
    beside: dict[str, Any]

    @classmethod
    def of(cls, X: Any, y: Any, beside: dict[str, Any]) -> Passed:
        """What was handed to ``fit``; rows of weight 0 are left out."""
        given = {key: value for key, value in beside.items() if value is not None}
        if "sample_weight" not in given:
            return cls(X, y, given)
        table = read_raw_table(X)
        weight = read_weights(given["sample_weight"], table)
        rows = np.flatnonzero(weight)
        if len(rows) == len(weight):
            return cls(X, y, given)
        some = {key: take_rows(np.asarray(value), rows) for key, value in given.items()}
        return cls(take_rows(table, rows), None if y is None else np.asarray(y)[rows], some)

    def resampled(self, sampler: Any, *, knows_parents: bool) -> Passed:
        """What a sampler makes of it, with what belongs to the rows."""
        if self.y is None:
            raise ValueError(f"{type(sampler).__name__} resamples by classes: give y")
        check_has_classes(self.y, sampler)
        if not self.beside and not knows_parents:
            X, y = sampler.fit_resample(self.X, self.y)
            return replace(self, X=X, y=y)
        table, labels = read_raw_table(self.X), np.asarray(self.y)
        encoder = LabelEncoder().fit(labels)
        rows = TrainingRows(
            X=table,
            target=encoder.transform(labels),
            weight=read_weights(self.beside.get("sample_weight"), table),
            groups=read_groups(self.beside.get("groups"), table),
            positions=np.arange(len(labels)),
            n_handed=len(labels),
            time=read_time(self.beside.get("time"), table),
        )
        drawn = Resampling(sampler, encoder.classes_, "none").draw(rows, takes_weights=False)
        new, parents = drawn.rows, drawn.rows.parents
        if "parents" in self.beside:
            # of rows that come from another sampler
            before, ends = self.beside["parents"], np.column_stack([drawn.origin] * 2) if parents is None else parents
            parents = np.column_stack([before[ends[:, 0], 0], before[ends[:, 1], 1]])
        made = {"sample_weight": new.weight, "groups": new.groups, "time": new.time}
        beside = {key: made[key] for key in self.beside if key in made}
        if knows_parents and parents is not None:
            beside["parents"] = parents
        return Passed(new.X, encoder.inverse_transform(new.target), beside)
