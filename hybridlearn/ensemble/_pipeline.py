"""Samplers, transformers and an estimator as one, whose folds see nothing that they should not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from imblearn.pipeline import Pipeline
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import get_tags
from sklearn.utils.validation import check_memory

from hybridlearn._fitting import adopt
from hybridlearn._target import read_groups, read_time, read_weights
from hybridlearn.crossfit import takes
from hybridlearn.ensemble._base import BaseMeta
from hybridlearn.resampling import Resampling
from hybridlearn.table import TrainingRows

Steps = list[tuple[str, Any]]


class TabularPipeline(Pipeline):
    """A pipeline of imbalanced-learn that weights get through, and that keeps steps that look at the target in folds.

    Differs from :class:`imblearn.pipeline.Pipeline` in two ways. `sample_weight`, `groups` and `time` are given to
    ``fit`` by these names and reach the last step though samplers change the rows: they go with a row; the weight of a
    synthetic row lies between those of its parents. And where the last step is an estimator of this package that
    cross-fits its members, a sampler, or a transformer that needs the target, is not fitted in front of its folds,
    where it would show them copies of the rows that are left out: it moves, with all that follows it, in front of each
    member.

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
            Where a sampler stands in front of an estimator whose folds it would reach; where the last step does not
            take what was given.
        """
        self.steps = list(self.steps)
        self._validate_steps()
        self._n_moved_ = 0
        name, final = self.steps[-1]
        given = {"sample_weight": sample_weight, "groups": groups, "time": time}
        given = {key: value for key, value in given.items() if value is not None}
        n_moved = self._n_to_move()
        memory = check_memory(self.memory)
        for i, (key, step) in enumerate(self.steps[: len(self.steps) - 1 - n_moved]):
            if step is None or step == "passthrough":
                continue
            self._tell(key)
            if hasattr(step, "fit_resample"):
                X, y, given = _resampled(step, X, y, given)
            else:
                # what is kept must not change with the step that the user holds
                own = step if memory.location is None else clone(step)
                X, fitted = memory.cache(_fit_transformed)(own, X, y)
                self.steps[i] = (key, fitted)
        if final is None or final == "passthrough":
            return self
        refused = [key for key in given if not takes(final, key)]
        if refused:
            raise ValueError(f"{type(final).__name__}, the last step, takes no {', '.join(refused)} in fit")
        self._tell(name)
        if n_moved:
            inside = final.behind(self.steps[-1 - n_moved : -1], name)
            adopt(final, inside.fit(X, y, **given))
        else:
            final.fit(X, y, **given)
        self._n_moved_ = n_moved
        return self

    def _tell(self, name: str) -> None:
        if self.verbose:
            print(f"{type(self).__name__}: {name}")

    def _n_to_move(self) -> int:
        """How many steps, up to the last one, must go into its folds."""
        final, before = self.steps[-1][1], [step for _, step in self.steps[:-1]]
        seeing = [i for i, step in enumerate(before) if _needs_target(step)]
        if seeing and isinstance(final, BaseMeta):
            return len(before) - seeing[0]
        samplers = [self.steps[i][0] for i in seeing if hasattr(before[i], "fit_resample")]
        if samplers and hasattr(final, "get_params") and "cv" in final.get_params(deep=False):
            raise ValueError(
                f"step {samplers[0]!r} would put copies of left-out rows into the folds of {type(final).__name__}; "
                "put it into the estimator that this cross-fits"
            )
        return 0

    def _iter(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, str, Any]]:
        """What new rows go through: not through steps that have moved, which members do themselves."""
        n_steps = len(self.steps)
        moved = range(n_steps - 1 - getattr(self, "_n_moved_", 0), n_steps - 1)
        return (step for step in super()._iter(*args, **kwargs) if step[0] not in moved)

    @property
    def n_features_in_(self) -> int:
        """Columns seen in ``fit``, by the first step that was fitted."""
        return next(self._iter())[2].n_features_in_


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


def _fit_transformed(transformer: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """What a transformer makes of the rows it is fitted on, and the transformer."""
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(X, y), transformer
    return transformer.fit(X, y).transform(X), transformer


def _needs_target(step: Any) -> bool:
    if step is None or isinstance(step, str):
        return False
    return hasattr(step, "fit_resample") or bool(get_tags(step).target_tags.required)


def _resampled(sampler: Any, X: Any, y: Any, given: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The rows that a sampler makes of these, with what was given beside them."""
    if y is None:
        raise ValueError(f"{type(sampler).__name__} resamples by classes: give y")
    if not given:
        return *sampler.fit_resample(X, y), given
    encoder = LabelEncoder().fit(np.asarray(y))
    rows = TrainingRows(
        X=X,
        target=encoder.transform(np.asarray(y)),
        weight=read_weights(given.get("sample_weight"), X),
        groups=read_groups(given.get("groups"), X),
        positions=np.arange(len(y)),
        n_handed=len(y),
        time=read_time(given.get("time"), X),
    )
    drawn = Resampling(sampler, encoder.classes_, "none").draw(rows, takes_weights=False).rows
    passed = {"sample_weight": drawn.weight, "groups": drawn.groups, "time": drawn.time}
    return drawn.X, encoder.inverse_transform(drawn.target), {key: passed[key] for key in given}
