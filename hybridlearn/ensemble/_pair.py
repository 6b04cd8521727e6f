"""What makes a classifier or a regressor of a head and a family of hybrids: parameters and text that all share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.metrics import get_scorer_names

from hybridlearn._compat import StrOptions, real
from hybridlearn._docs import also_takes, shares_doc

ESTIMATORS = """
    estimators : "auto" or list of (str, estimator), default="auto"
        The members: any scikit-learn estimators, pipelines included. "auto" takes two boosted trees
        (``trees``, ``random_trees``), two nets (``mlp``, and up to 4,000 rows ``tabm``) and a regularised linear model
        (``linear``). Nested parameters are reached by name, e.g. ``mlp__learning_rate``; to set one writes the
        list out.
"""
CV = """
    cv : int, splitter or list of (train, test), default=5
        An int gives shuffled folds, by `groups` or forward in `time` where given. Each row may be in at most one test
        part.
"""
BLENDS = """
    final_estimator : {"greedy", "nonnegative", "mean"}, default="greedy"
        How the weights are learned from out-of-fold margins: selection with replacement, averaged over bags
        (Caruana et al. [1]_); the non-negative weights of least loss; or equal
        weights of the temperature-scaled margins.
"""
SHARED = """
    checkpoint : path-like or None, default=None
        Folder where each finished unit (a member on a fold, or nets that train as one) is kept: a ``fit`` that was
        killed or interrupted goes on where it was, if data, parameters, seed and versions are the same. With
        ``random_state=None`` the seed is kept too. Delete the folder when it is not needed any more.
    device : str, default="auto"
        Device of the members that leave it open.
    n_jobs : int or None, default=None
        Processes over members and folds, each with its share of the cores' threads; fits of a few seconds stay in
        this process. Results do not depend on it where each computes with as many threads (``OMP_NUM_THREADS``).
    random_state : int, RandomState or None, default=None
        Decides folds, members and bags; a seed that a member or splitter brings is kept.
    verbose : int, default=0
        From 1 on, a progress bar over the fits.
"""
_TIME_LIMIT = """
    time_limit : float or None, default=None
        Seconds that ``fit`` may take; None sets no limit. Members with a `time_limit` of their own, as nets and
        boosted trees here have, get a share of it each; others are skipped, with a warning, where they are expected
        to take longer than there is time. What was cut is in ``leaderboard_``. Results then depend on the machine.
"""
_CLASSIFIER = """
    scoring : str or callable, default="neg_log_loss"
        What the leaderboard shows, greater is better. A callable gets row positions as `X`, and the weights if it
        takes ``sample_weight``.
    threshold : float, str, callable or array-like of shape (n_classes, n_classes), default=0.5
        Of two classes, the second is predicted where its probability is above; changes ``predict`` only. A score of
        labels, as "f1" or "balanced_accuracy", or a callable as `scoring`: the threshold that is best for it on
        out-of-fold margins. An array: what it costs to predict class j where it is class i, in the order of
        ``classes_``; of two classes the threshold that the costs imply, or a learned one where the folds say that it is
        cheaper, of more the class of least expected cost is predicted.
"""
_REGRESSOR = """
    scoring : str or callable, default="neg_root_mean_squared_error"
        What the leaderboard shows, greater is better. A callable gets row positions as `X`, and the weights if it
        takes ``sample_weight``.
"""
_CLASSES = """
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    threshold_ : float or ndarray of shape (n_classes, n_classes)
        The threshold that is used; of more than two classes, the costs.
"""
_ATTRIBUTES = """
    estimators_ : list of list of estimator
        The fitted members, one a fold each; where folds leave rows uncovered, one on all rows each.
    named_estimators_ : Bunch of str to list of estimator
        The same by name.
    models_ : dict of str to list of FoldModel
        The same with what turns their answers into margins.
    oof_ : OutOfFold
        Out-of-fold margins of members and blend, folds and targets.
    ledger_ : Ledger
        Which rows each step saw; ``ledger_.assert_leak_free()`` proves it.
    weights_ : Series of shape (n_members,)
        Weight of each member's margin: of classes, as it suits the mean over fold models, which varies less than the
        single ones that weights are learned from; of numbers, times the slope of the target on the blend, where that is
        above 1.
    intercept_ : ndarray of shape (n_outputs,)
        Added to the weighted sum.
    temperature_ : float
        Divides the sum; 1.0 where calibration did not lower the out-of-fold log loss, and in regression.
    leaderboard_ : DataFrame
        ``member``, ``weight``, out-of-fold ``score``, ``fit_seconds``, best first. The blend's score is that of
        weights learned without the row's fold. With a `time_limit` also ``cut``: what was cut of each member, those
        included that were skipped.
    schema_ : Schema
        Of `X`, where it is a DataFrame or an array of mixed types.
    row_hashes_ : ndarray of uint64
        Of the rows seen in ``fit``: what tells that a holdout was trained on.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""
_SECTIONS = """
    Parameters
    ----------
    <parameters>
    <shared>
    <head>

    Attributes
    ----------
    <attributes>
"""


def hybrid_estimator(*, parameters: str, attributes: str = "") -> Callable[[type], type]:
    """Class decorator: make one of a pair of a head on a family.

    It adds the parameters that a hybrid has as a classifier or as a regressor, and puts the sections on parameters and
    attributes where ``<sections>`` stands in the docstring.

    Parameters
    ----------
    parameters, attributes : str
        What the docstring says of the family's own.
    """

    def decorate(cls: Any) -> type:
        if cls._is_classifier:
            threshold = {
                "threshold": [real(0, 1, closed="both"), StrOptions(set(get_scorer_names())), callable, "array-like"]
            }
            cls._parameter_constraints = {**cls._parameter_constraints, **threshold}
            takes = also_takes(scoring="neg_log_loss", threshold=0.5)
        else:
            takes = also_takes(scoring="neg_root_mean_squared_error")
        fill = shares_doc(
            sections=_SECTIONS,
            parameters=parameters,
            shared=SHARED + _TIME_LIMIT,
            head=_CLASSIFIER if cls._is_classifier else _REGRESSOR,
            attributes=(_CLASSES if cls._is_classifier else "") + attributes + _ATTRIBUTES,
        )
        return fill(takes(cls))

    return decorate
