"""Out-of-fold or not at all: the engine, what it leaves behind, and the proof that nothing leaked."""

from hybridlearn.crossfit._canary import LeakCanary, leak_canary
from hybridlearn.crossfit._engine import check_members, cross_fit, cross_fit_rows, make_splits
from hybridlearn.crossfit._ledger import Entry, LeakError, Ledger
from hybridlearn.crossfit._many import ManyFits, fit_many
from hybridlearn.crossfit._margin import FoldModel, fold_margins, margin
from hybridlearn.crossfit._member import MemberError, fit_model
from hybridlearn.crossfit._out_of_fold import BLEND, OutOfFold
from hybridlearn.crossfit._score import check_can_score, score_margin

__all__ = [
    "BLEND",
    "Entry",
    "FoldModel",
    "LeakCanary",
    "LeakError",
    "Ledger",
    "ManyFits",
    "MemberError",
    "OutOfFold",
    "check_can_score",
    "check_members",
    "cross_fit",
    "cross_fit_rows",
    "fit_many",
    "fit_model",
    "fold_margins",
    "leak_canary",
    "make_splits",
    "margin",
    "score_margin",
]
