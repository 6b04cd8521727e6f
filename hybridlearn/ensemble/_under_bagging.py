"""Bagging for rare classes: all rows of the rarest in each bag, and as many of the others; self-paced if asked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from hybridlearn._compat import HasMethods, StrOptions
from hybridlearn._docs import leads_with
from hybridlearn._heads import probabilities
from hybridlearn._progress import FitProgress
from hybridlearn._protocols import HasMargin
from hybridlearn._splits import Split
from hybridlearn.crossfit import (
    FRONT,
    FittedFold,
    Fronted,
    OutOfFold,
    fit_fronts,
    no_news_of_levels,
    record_fronts,
    resamples,
    warn_unweighted,
)
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._bags import LEAST, Bag, BaseBags, balanced_draws, check_not_in_time
from hybridlearn.ensemble._base import Members, Work
from hybridlearn.ensemble._heads import HybridClassifierHead
from hybridlearn.ensemble._pair import hybrid_estimator
from hybridlearn.ensemble._pipeline import refuse_steps
from hybridlearn.features import FeatureBuilder
from hybridlearn.table import TrainingRows, take_rows
from hybridlearn.trees import BoostedTreesClassifier

_N_BINS = 20
_LEAST_ROWS = 2


@dataclass(frozen=True, eq=False)
class Chain:
    """What the bags of one part have learned so far.

    Attributes
    ----------
    split : (train, test)
        Rows that they may be drawn from, and those of the part, which they predict.
    margin : ndarray of shape (n_train, n_outputs)
        Sum over their models, for the rows that they may be drawn from.
    n_models : int
    """

    split: Split
    margin: np.ndarray
    n_models: int = 0

    def grown(self, fitted: FittedFold, seen: TrainingRows) -> Chain:
        """With one model more, and the rows as it sees them."""
        with no_news_of_levels():
            own = fitted.model.margin_behind(take_rows(seen.X, self.split[0]))
        return Chain(self.split, self.margin + own, self.n_models + 1)

    def hardness(self, rows: TrainingRows) -> np.ndarray:
        """How far each row is from being sure, shape (n_train,)."""
        probability = probabilities(self.margin / max(self.n_models, 1))
        return 1 - probability[np.arange(len(probability)), rows.target[self.split[0]]]


def paced_weights(hardness: np.ndarray, progress: float) -> np.ndarray:
    """How likely rows of one class are to be drawn: bins of hardness get the closer to equal shares, the later it is.

    Parameters
    ----------
    hardness : ndarray of shape (n_rows,)
    progress : float
        In [0, 1): at first a bin counts by the inverse of its hardness, in the end all count alike.

    Returns
    -------
    ndarray of shape (n_rows,)
        Sums to 1.
    """
    low, high = hardness.min(), hardness.max()
    if high <= low:
        return np.full(len(hardness), 1 / len(hardness))
    of = np.minimum(((hardness - low) / (high - low) * _N_BINS).astype(int), _N_BINS - 1)
    size = np.bincount(of, minlength=_N_BINS)
    mean = np.bincount(of, hardness, _N_BINS) / np.maximum(size, 1)
    share = np.where(size > 0, 1 / (mean + np.tan(progress * np.pi / 2) + 1e-12), 0)
    each = (share / np.maximum(size, 1))[of]
    return each / each.sum()


@hybrid_estimator(
    parameters="""
    estimator : "auto" or classifier, default="auto"
        What learns; "auto" is boosted trees. Nested parameters are reached by name, e.g. ``estimator__max_depth``.
    n_estimators : int, default=30
        How many draws; nets of one shape are trained as one program.
    self_paced : bool, default=True
        Whether draws go by how hard rows are to those before them [2]_: first from all, in the end as many from the
        hard as from the easy ones. With False each is drawn by chance alone, which leaves more of the frequent class
        unseen, and is less easily led astray by wrong labels.
    features : "auto", transformer or None, default="auto"
        What is put in front of the draws, and fitted on all rows that they may be drawn from. "auto" adds, for boosted
        trees and nets of this package, the target codes of categories of more than two levels, by
        :class:`FeatureBuilder`: what many levels stand for cannot be learned from the few rows of a draw.
""",
    attributes="""
    features_ : list of transformer or None
        Where there are any: the fitted ones, one for each fold that draws leave out.
""",
)
@leads_with(estimator="auto", n_estimators=30, self_paced=True, features="auto")
class UnderBaggingClassifier(HybridClassifierHead, BaseBags):
    """The mean margin over balanced draws: each holds all rows of the rarest class, and as many of each other.

    Differs from imbalanced-learn's `BalancedBaggingClassifier` and `EasyEnsembleClassifier` [1]_ in that draws leave a
    fold out in turn, which judges them (``oof_``); in that the prior of the classes is put back, so that probabilities
    are those of the rows as they are; and in that ``sample_weight`` and ``groups`` are taken.

    <sections>

    References
    ----------
    .. [1] Liu, Wu and Zhou, "Exploratory Undersampling for Class-Imbalance Learning", IEEE Transactions on Systems,
       Man, and Cybernetics B 39, 2009.
    .. [2] Liu et al., "Self-paced Ensemble for Highly Imbalanced Massive Data Classification", ICDE 2020. There all
       models see all rows; here each chain of draws leaves a fold out, and a prior is put back.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from hybridlearn import UnderBaggingClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> forest = RandomForestClassifier(n_estimators=10)
    >>> bags = UnderBaggingClassifier(estimator=forest, n_estimators=5, self_paced=True, random_state=0).fit(X, y)
    >>> bags.oof_.coverage
    1.0
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseBags._parameter_constraints,
        "self_paced": ["boolean"],
        "features": [StrOptions({"auto"}), HasMethods(["fit", "transform"]), None],
    }

    def _inner_estimators(self) -> Members:
        return super()._inner_estimators() if self.features in (None, "auto") else [(FRONT, self.features)]

    def behind(self, front: Members, name: str) -> Self:
        """As in the base."""
        if self.features not in (None, "auto"):
            refuse_steps(self, front)
        return super().behind(front, name)

    def _fronts(self, work: Work, parts: list[Split]) -> list[Fronted] | None:
        """What the models of each fold see the rows through."""
        front = self.features
        if isinstance(front, str):
            ((_, estimator),) = self._members()
            # others would not know what to do with gaps, or take codes for levels
            knows_tables = isinstance(estimator, HasMargin) and get_tags(estimator).input_tags.categorical
            is_frame = isinstance(work.rows.X, pd.DataFrame)
            front = FeatureBuilder(families=["target"], select=None) if knows_tables and is_frame else None
        if front is None:
            return None
        rng = np.random.RandomState(work.seed)
        return fit_fronts(
            front, work.rows, parts, classification=True, weighted=work.weighted, rng=rng, n_jobs=self.n_jobs
        )

    def _default_estimator(self) -> Any:
        return BoostedTreesClassifier()

    def _learn(self, work: Work) -> None:
        check_not_in_time(work, type(self).__name__, "ResampledClassifier(sampler='under')")
        n_of = np.bincount(work.rows.target)
        if n_of.min() < _LEAST_ROWS:
            label = self.classes_[[n_of.argmin()]].tolist()[0]
            raise ValueError(
                f"class {label!r} has {n_of.min()} row, and each draw would hold as many of each class; merge rare "
                "classes"
            )
        members = self._members()
        warn_unweighted(members, work.weighted)
        rng = np.random.RandomState(work.seed)
        parts = self._parts(work, most=self.n_estimators)
        fronts = self._fronts(work, parts)
        with self._progress(self.n_estimators) as progress:
            oof = self._of_rounds(members, work, parts, fronts, rng, progress)
        self.features_ = None if fronts is None else [each.transformer for each in fronts]
        if fronts is not None:
            record_fronts(oof.ledger, parts)
        # hard rows are likelier to be drawn than others of their class: what the prior is then, only these margins tell
        kind = "mean" if self.self_paced else "nonnegative"
        recalibrate = self.self_paced or resamples(members[0][1])
        learn = blend_learner(oof, kind, seed=work.seed, recalibrate=recalibrate)
        self._keep(assemble(oof, learn, deadline=work.deadline), oof.models, work)

    def _of_rounds(
        self,
        members: Members,
        work: Work,
        parts: list[Split],
        fronts: list[Fronted] | None,
        rng: np.random.RandomState,
        progress: FitProgress,
    ) -> OutOfFold:
        """Draws of one round go side by side; the next ones know what these have learned."""
        n_each = len(parts) if self.self_paced else self.n_estimators
        chains = [Chain(split, np.zeros((len(split[0]), self._n_outputs))) for split in parts]
        bags: list[Bag] = []
        fitted: list[FittedFold] = []
        cut: dict[str, str] = {}
        for begun in range(0, self.n_estimators, n_each):
            n_now = min(n_each, self.n_estimators - begun)
            likely = self._likely(chains, work, begun)
            drawn = balanced_draws(work.rows, n_now, work.n_classes, parts, rng, likely=likely, fronts=fronts)
            share = n_now / (self.n_estimators - begun)
            running = self._running_for(work, 1, share)
            drawn, new, cut = self._fit_bags(drawn, members, work, running, rng, progress, least=max(LEAST - begun, 0))
            bags, fitted = bags + drawn, fitted + new
            if begun + n_now < self.n_estimators:
                for bag, each in zip(drawn, new, strict=True):
                    k = next(k for k, (_, test) in enumerate(parts) if test is bag.test)
                    chains[k] = chains[k].grown(each, bag.seen(work.rows))
        return self._table(bags, fitted, parts, members, work, cut)

    def _likely(self, chains: list[Chain], work: Work, begun: int) -> list[np.ndarray] | None:
        """Hardness of the rows of each part's training side, turned into chances; None where all are alike."""
        if not self.self_paced or begun == 0:
            return None
        rows, done = work.rows, begun / self.n_estimators
        likely = []
        for chain in chains:
            hardness, codes = chain.hardness(rows), rows.target[chain.split[0]]
            chances = np.empty(len(codes))
            for code in np.unique(codes):
                chances[codes == code] = paced_weights(hardness[codes == code], done)
            likely.append(chances)
        return likely
