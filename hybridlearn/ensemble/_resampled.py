"""A classifier that learns from resampled rows, and still says how likely things are."""

from __future__ import annotations

from typing import Any, ClassVar

from hybridlearn._compat import StrOptions
from hybridlearn._docs import leads_with
from hybridlearn.ensemble._base import Work
from hybridlearn.ensemble._heads import HybridClassifierHead
from hybridlearn.ensemble._hybrid import CV_CONSTRAINT, SAMPLER_CONSTRAINT, BaseBlend
from hybridlearn.ensemble._of_one import BaseOfOne
from hybridlearn.ensemble._pair import CV, hybrid_estimator
from hybridlearn.resampling import CORRECTIONS, Resampling
from hybridlearn.trees import BoostedTreesClassifier

_PARAMETERS = """
    estimator : "auto" or classifier, default="auto"
        What learns; "auto" is boosted trees. Nested parameters are reached by name, e.g. ``estimator__max_depth``.
    sampler : str or sampler, default="under"
        What is done to the rows that it learns from: a sampler of imbalanced-learn, :class:`MixedSMOTE` or any other
        with ``fit_resample``; or a name. "under" and "over" leave out and repeat rows by chance until all classes are
        as large; "smote" makes rows between neighbours (:class:`MixedSMOTE`), as do "borderline", "adasyn" and
        "svm-smote" of plain numbers; "tomek", "enn" and "near-miss" leave out rows by what is near; "smote-enn" and
        "smote-tomek" do both. "weights" gives all classes the same weight. Rows that are repeated are given as weights
        to who takes these.
    correct : {"auto", "prior", "recalibrate", "none"}, default="auto"
        How probabilities are put right again. "prior": by the odds at which rows of each class were drawn, exact where
        rows were left out by chance [1]_. "recalibrate": by a scale and an intercept of the margin, learned out of
        fold. "auto" is "prior" for random under-sampling and "recalibrate" for all else.
"""


@hybrid_estimator(parameters=_PARAMETERS + CV)
@leads_with(estimator="auto", sampler="under", correct="auto", cv=5)
class ResampledClassifier(HybridClassifierHead, BaseOfOne, BaseBlend):
    """A classifier on resampled rows whose probabilities are those of the rows as they are.

    Cross-fitted: the training part of each fold is resampled, the rows left out are not, and a prediction is the mean
    margin of the fold models. Differs from a pipeline of imbalanced-learn in that probabilities stay honest, and in
    that ``sample_weight``, ``groups`` and ``time`` survive: they go with a row; the weight of a synthetic row lies
    between those of its parents.

    <sections>

    References
    ----------
    .. [1] Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from hybridlearn import ResampledClassifier
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> forest = RandomForestClassifier(n_estimators=20)
    >>> model = ResampledClassifier(estimator=forest, sampler="smote", random_state=0).fit(X, y)
    >>> bool(abs(model.predict_proba(X)[:, 1].mean() - y.mean()) < 0.02)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseOfOne._parameter_constraints,
        "sampler": SAMPLER_CONSTRAINT,
        "correct": [StrOptions(set(CORRECTIONS))],
        "cv": CV_CONSTRAINT,
    }

    def _default_estimator(self) -> Any:
        return BoostedTreesClassifier()

    def _learn(self, work: Work) -> None:
        resampling = Resampling.of(self.sampler, work.classes, self.correct)
        self._learn_blend(self._members(), work, cv=self.cv, kind="mean", resampling=resampling)
