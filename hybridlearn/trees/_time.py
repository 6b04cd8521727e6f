"""Boosting that ends in time."""

from __future__ import annotations

import numpy as np
import xgboost as xgb

from hybridlearn._clock import Deadline

# Rounds on all rows take longer than those of the search: there are more rows, and this is only an estimate.
_MARGIN = 1.3
# Rounds by which the pace is known, at the usual shrinkage; what rounds times shrinkage should come to; the largest
# shrinkage.
N_SLOW_ROUNDS = 5
_ENOUGH, _LARGEST_RATE = 20.0, 0.3


def rate_of_round(first: float, later: float) -> xgb.callback.LearningRateScheduler:
    """A shrinkage for the first few rounds, and another one for those that follow."""
    return xgb.callback.LearningRateScheduler(lambda i: first if i < N_SLOW_ROUNDS else later)


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
    rate : float
        Shrinkage of a round.
    is_free : bool
        Whether it may grow, where there is time for few rounds.

    Attributes
    ----------
    later_rate : float
        Shrinkage of all but the first rounds.
    """

    def __init__(self, deadline: Deadline, losses: list[float], *, rate: float, is_free: bool):
        self.deadline = deadline
        self.losses = losses
        self.rate = self.later_rate = rate
        self.is_free = is_free
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
        if self.is_free and epoch + 1 == N_SLOW_ROUNDS:
            n_rounds = max(self.deadline.left() - _MARGIN * self.preparation, 0.0) / (
                (1 + _MARGIN) * max(a_round, 1e-9)
            )
            self.later_rate = float(np.clip(_ENOUGH / max(n_rounds, 1.0), self.rate, max(self.rate, _LARGEST_RATE)))
            model.set_param("learning_rate", str(self.later_rate))
        rounds_needed = int(np.argmin(self.losses)) + 1
        self.has_stopped = self.deadline.left() <= _MARGIN * (self.preparation + rounds_needed * a_round)
        return self.has_stopped
