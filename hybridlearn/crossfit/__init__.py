"""Out-of-fold or not at all: the engine, what it leaves behind, and the proof that nothing leaked."""

from hybridlearn.crossfit._budget import SKIPPED, tell_of_cuts
from hybridlearn.crossfit._canary import LeakCanary, leak_canary
from hybridlearn.crossfit._engine import (
    begin,
    check_members,
    collect,
    cross_fit,
    cross_fit_rows,
    fit_in_time,
    warn_unweighted,
)
from hybridlearn.crossfit._folds import make_splits
from hybridlearn.crossfit._fronts import FRONT, Fronted, fit_fronts, fit_transformed, fits_with, record_fronts
from hybridlearn.crossfit._ledger import Entry, LeakError, Ledger
from hybridlearn.crossfit._many import ManyFits, fit_many
from hybridlearn.crossfit._margin import FoldModel, margin, margins_by_member
from hybridlearn.crossfit._member import (
    FittedFold,
    FoldFit,
    MemberError,
    check_is_estimator,
    check_task,
    fit_fold,
    fit_model,
    fit_name,
    no_news_of_levels,
    resamples,
    starts_from_margin,
    takes,
    takes_weights,
)
from hybridlearn.crossfit._out_of_fold import BLEND, OutOfFold
from hybridlearn.crossfit._pace import sample_of
from hybridlearn.crossfit._parts import Chain, Part, parts_of, steps_of, through, unwrapped
from hybridlearn.crossfit._pieces import Pieces
from hybridlearn.crossfit._running import Running
from hybridlearn.crossfit._score import check_can_score, score_labels, score_margin

__all__ = [
    "BLEND",
    "FRONT",
    "SKIPPED",
    "Chain",
    "Entry",
    "FittedFold",
    "FoldFit",
    "FoldModel",
    "Fronted",
    "LeakCanary",
    "LeakError",
    "Ledger",
    "ManyFits",
    "MemberError",
    "OutOfFold",
    "Part",
    "Pieces",
    "Running",
    "begin",
    "check_can_score",
    "check_is_estimator",
    "check_members",
    "check_task",
    "collect",
    "cross_fit",
    "cross_fit_rows",
    "fit_fold",
    "fit_fronts",
    "fit_in_time",
    "fit_many",
    "fit_model",
    "fit_name",
    "fit_transformed",
    "fits_with",
    "leak_canary",
    "make_splits",
    "margin",
    "margins_by_member",
    "no_news_of_levels",
    "parts_of",
    "record_fronts",
    "resamples",
    "sample_of",
    "score_labels",
    "score_margin",
    "starts_from_margin",
    "steps_of",
    "takes",
    "takes_weights",
    "tell_of_cuts",
    "through",
    "unwrapped",
    "warn_unweighted",
]
