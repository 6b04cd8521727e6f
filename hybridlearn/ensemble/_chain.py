"""A chain of boosting stages on some of the rows, and the out-of-fold table of chains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hybridlearn._splits import Split
from hybridlearn.crossfit import FittedFold, FoldModel, Ledger, OutOfFold
from hybridlearn.ensemble._base import Work
from hybridlearn.ensemble._loss import mean_loss
from hybridlearn.ensemble._stage import MeanModel, as_one, classwise


@dataclass(frozen=True, eq=False)
class Step:
    """A stage, or a candidate for one: its models, and what they say of rows that they have not seen.

    Attributes
    ----------
    name : str
        Of the estimator.
    model : FoldModel
        The mean over the inner folds.
    inside : ndarray of shape (n_rows, n_outputs)
        Step of each row inside by the inner model that never saw it; NaN elsewhere.
    outside : ndarray of shape (n_test, n_outputs)
        Step of the rows outside.
    fits : list of (FittedFold, ndarray of int)
        With the rows that each predicted.
    loss : float
        Of the rows inside, after this stage.
    """

    name: str
    model: FoldModel
    inside: np.ndarray
    outside: np.ndarray
    fits: list[tuple[FittedFold, np.ndarray]]
    loss: float = np.inf


@dataclass
class Chain:
    """Stages that were fitted, chosen and ended inside some of the rows.

    Attributes
    ----------
    test : ndarray of int
        Rows outside, which each stage predicts; may be empty.
    inner : list of (train, test)
        Inner folds; rows are positions in the whole table.
    margin : ndarray of shape (n_rows, n_outputs)
        Where the next stage starts: margins of rows inside by models that never saw them. NaN outside, and where a
        stage that went forward in time has left rows uncovered.
    start : ndarray of shape (n_outputs,)
        Where the first stage starts, and a part of it: the log prior of the rows inside, or 0.
    stages : list of Step
    has_ended : bool
    """

    test: np.ndarray
    inner: list[Split]
    margin: np.ndarray
    start: np.ndarray
    stages: list[Step] = field(default_factory=list)
    has_ended: bool = False

    def usable(self) -> list[Split]:
        """The inner folds, of which only rows train that have a margin to start from."""
        known = ~np.isnan(self.margin[:, 0])
        splits = [(train[known[train]], test) for train, test in self.inner]
        return [(train, test) for train, test in splits if len(train) >= 2]

    def step(self, name: str, fitted: list[list[FittedFold]]) -> Step:
        """The fits of a candidate on the usable inner folds (of each, one or one a class) as one step."""
        inside, outside, models, fits = np.full_like(self.margin, np.nan), [], [], []
        for (_, test), parts in zip(self.usable(), fitted, strict=True):
            margin = np.column_stack([part.margin for part in parts])
            if len(parts) > 1:
                margin = classwise(margin)
            inside[test] = margin[: len(test)]
            outside.append(margin[len(test) :])
            models.append(as_one([part.model for part in parts]))
            fits += [(part, np.concatenate([test, self.test])) for part in parts]
        mean = MeanModel(tuple(models), self.margin.shape[1])
        model = FoldModel(mean, max(m.n_train for m in models), None, models[0].n_classes)
        return Step(name, model, inside, np.mean(outside, axis=0), fits)

    def add(self, step: Step, learning_rate: float) -> None:
        """Go on behind a step."""
        self.margin = self.margin + learning_rate * step.inside
        if not self.stages:
            step = replace(step, model=replace(step.model, shift=self.start), outside=step.outside + self.start)
        self.stages.append(step)

    def models(self, n_stages: int) -> list[FoldModel]:
        """The models of so many stages; of those that the chain has not, steps of zero."""
        own = [step.model for step in self.stages[:n_stages]]
        nothing = FoldModel(MeanModel((), self.margin.shape[1]), 1, None, own[0].n_classes)
        return own + [nothing] * (n_stages - len(own))


def loss_of(margin: np.ndarray, work: Work) -> float:
    """Mean loss over the rows that have a margin."""
    rows = ~np.isnan(margin[:, 0])
    classification = work.classes is not None
    return mean_loss(margin[rows], work.rows.target[rows], work.rows.weight[rows], classification=classification)


def table_of_chains(chains: list[Chain], splits: list[Split], names: list[str], work: Work) -> OutOfFold:
    """The out-of-fold steps of each stage, from chains that never saw the row."""
    rows, ledger, fold = work.rows, Ledger(), np.full(len(work.rows), -1)
    margins = {name: np.full_like(chains[0].margin, np.nan) for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for k, (chain, (train, test)) in enumerate(zip(chains, splits, strict=True)):
        fold[test] = k
        for s, name in enumerate(names):
            margins[name][test] = chain.stages[s].outside if s < len(chain.stages) else 0.0
        for s, (name, step) in enumerate(zip(names, chain.stages, strict=False)):
            seconds[name] += sum(part.seconds for part, _ in step.fits)
            for part, predicted in step.fits:
                ledger.record_fit(name, k, part.fitted_on, part.stopping_rows, predicted)
            if s:
                ledger.record("start of the stage", name, k, fitted_on=train, predicted=test, order=2)
    models = zip(*(chain.models(len(names)) for chain in chains), strict=True)
    return OutOfFold(
        margins=margins,
        fold=fold,
        target=rows.target,
        classes=work.classes,
        weight=rows.weight,
        positions=rows.positions,
        is_ordered=rows.time is not None,
        tests=[test for _, test in splits],
        models={name: list(own) for name, own in zip(names, models, strict=True)},
        fit_seconds=seconds,
        failed={},
        ledger=ledger,
    )
