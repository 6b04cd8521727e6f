"""Boosting that ends in time."""

from __future__ import annotations

import numpy as np
import xgboost as xgb

from hybridlearn._clock import Deadline

# Rounds on all rows take longer than those of the search: there are more rows, and this is only an estimate.
_MARGIN = 1.3


class InTime(xgb.callback.TrainingCallback):
    """Stops after the round at whose end no time is left."""

    def __init__(self, deadline: Deadline):
        self.deadline = deadline
        self.has_stopped = False

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:
        self.has_stopped = self.deadline.is_over
        return self.has_stopped


class SearchInTime(xgb.callback.TrainingCallback):
    """Stops a search for the number of rounds while all rows can still be boosted for as many as are best so far.

    Parameters
    ----------
    deadline : Deadline
        Of both.
    losses : list of float
        Of the rows kept aside, round by round; somebody else fills it.
    """

    def __init__(self, deadline: Deadline, losses: list[float]):
        self.deadline = deadline
        self.losses = losses
        self.begun = deadline.clock()
        self.has_stopped = False

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        self.first_round = self.deadline.clock()
        return model

    @property
    def preparation(self) -> float:
        """Seconds before the first round: the table is encoded and binned."""
        return self.first_round - self.begun

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:
        a_round = (self.deadline.clock() - self.first_round) / (epoch + 1)
        rounds_needed = int(np.argmin(self.losses)) + 1
        self.has_stopped = self.deadline.left() <= _MARGIN * (self.preparation + rounds_needed * a_round)
        return self.has_stopped
