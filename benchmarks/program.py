"""Many nets as one tensor program, side by side with the same nets one by one: CPU time of one thread.

Where there is a GPU, all nets are trained on it, and the time is that of the clock.

python benchmarks/program.py fits       5 folds x 4 seeds: ours one by one, together, stock skorch
python benchmarks/program.py steps      a step of a model, by shape: what the fixed rule is read from
python benchmarks/program.py hybrid --data ../shared/data/dev    a hybrid on tables cut to 2,000 rows
python benchmarks/program.py tuning     24 settings x 5 folds against GridSearchCV
python benchmarks/program.py scores     the nets' out-of-fold log loss, one by one and together
python benchmarks/program.py memory     100 models: what they take, what was foreseen
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import math
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import skorch
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import Tensor, nn

from hybridlearn import HybridClassifier, HybridRegressor, TabMClassifier, TabularMLPClassifier, TabularResNetClassifier
from hybridlearn._device import resolve_device
from hybridlearn._protocols import Fit
from hybridlearn.crossfit import cross_fit, fit_many
from hybridlearn.datasets import load_mortgages
from hybridlearn.modules import MLP, CategoricalEmbedding, PeriodicEmbedding, TableEmbedding, TabularNet
from hybridlearn.nets._base import BaseNet
from hybridlearn.training import _size, program_size, train, train_together
from hybridlearn.training._program import build_loss

N_COLUMNS, N_FOLDS, N_SEEDS = 20, 5, 4
DEVICE = resolve_device("auto")


def make_data(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(n_rows, N_COLUMNS, n_informative=10, flip_y=0.1, random_state=0)
    return X.astype(np.float32), y


def seconds_of(work: Callable[[], object]) -> float:
    """Of the CPU; with a GPU, on which that waits, of the clock."""
    gc.collect()
    clock = time.process_time if DEVICE.type == "cpu" else time.perf_counter
    started = clock()
    work()
    return clock() - started


def take_turns(works: dict[str, Callable[[], object]], n_turns: int) -> dict[str, np.ndarray]:
    """Seconds of each, shape (n_turns,)."""
    turns = [{name: seconds_of(work) for name, work in works.items()} for _ in range(n_turns)]
    return {name: np.array([turn[name] for turn in turns]) for name in works}


@contextmanager
def one_by_one() -> Iterator[None]:
    """Nets that nobody fits together."""
    likeness = BaseNet.likeness
    BaseNet.likeness = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        BaseNet.likeness = likeness  # type: ignore[method-assign]


class OneInput(nn.Module):
    """The module of TabularMLP for stock skorch, which would collate a second, empty input row by row."""

    def __init__(self, width: int):
        super().__init__()
        embedding = TableEmbedding(PeriodicEmbedding(N_COLUMNS), CategoricalEmbedding([]))
        hidden = MLP(4 * N_COLUMNS, hidden_layer_sizes=(width, width))
        self.inner = TabularNet(embedding, hidden, nn.Linear(width, 1))

    def forward(self, X: Tensor) -> Tensor:
        return self.inner(X, torch.empty(len(X), 0, dtype=torch.int64, device=X.device))


def fit_stock_skorch(X: np.ndarray, y: np.ndarray, width: int, batch_size: int) -> int:
    """Epochs of a fit under the same settings, but for the averaged weights that skorch does not have."""
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), y.astype(np.float32)[:, None]
    net = skorch.NeuralNet(
        OneInput,
        module__width=width,
        criterion=nn.BCEWithLogitsLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=1e-2,
        lr=2e-3,
        batch_size=batch_size,
        max_epochs=256,
        iterator_train__shuffle=True,
        device=str(DEVICE),
        train_split=ValidSplit(0.15),
        callbacks=[EarlyStopping(patience=16, threshold=0.0, load_best=True, sink=lambda text: None)],
        verbose=0,
    )
    return len(net.fit(X, y).history)


def bench_fits(n_turns: int, sizes: list[int], widths: list[int]) -> None:
    print(f"{N_FOLDS} folds x {N_SEEDS} seeds of TabularMLP, {N_COLUMNS} columns, on {DEVICE.type}")
    print(f"seconds, medians of {n_turns} turns")
    print("rows   width | one by one  together  ratio | stock skorch  ratio  (an epoch) | epochs: ours  skorch")
    for n_rows, width in product(sizes, widths):
        print(f"{n_rows:6d} {width:5d} | {fits_row(n_rows, width, n_turns)}", flush=True)


def fits_row(n_rows: int, width: int, n_turns: int) -> str:
    X, y = make_data(n_rows)
    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, y))
    nets = [TabularMLPClassifier(hidden_layer_sizes=(width, width), random_state=seed) for seed in range(N_SEEDS)]
    batch_size = nets[0]._batch_size(round(0.85 * len(folds[0][0])))
    ours: list[int] = []
    theirs: list[int] = []

    def together() -> None:
        many = fit_many(nets, X, y, folds=folds)
        ours.extend(net.n_iter_ for models in many.estimators for net in models)

    def alone() -> None:
        with one_by_one():
            together()

    def stock() -> None:
        theirs.extend(fit_stock_skorch(X[rows], y[rows], width, batch_size) for rows, _ in folds * N_SEEDS)

    seconds = take_turns({"alone": alone, "together": together, "stock": stock}, n_turns)
    middle = {name: float(np.median(of)) for name, of in seconds.items()}
    of_alone, of_stock = (np.median(seconds["together"] / seconds[name]) for name in ("alone", "stock"))
    an_epoch = of_stock * np.mean(theirs) / np.mean(ours)
    return (
        f"{middle['alone']:10.2f} {middle['together']:9.2f} {of_alone:6.2f} | {middle['stock']:12.2f} {of_stock:6.2f} "
        f"{an_epoch:11.2f} | {np.mean(ours):12.0f} {np.mean(theirs):7.0f}"
    )


def bench_steps(n_turns: int) -> None:
    print("net             rows columns models | Mmult.  weights | ms a step: alone  together  ratio | the rule says")
    nets: dict[str, Any] = {f"mlp {w}": TabularMLPClassifier(hidden_layer_sizes=(w, w)) for w in (64, 128, 256)}
    nets |= {"resnet": TabularResNetClassifier(), "tabm 16 x 128": TabMClassifier()}
    nets |= {"tabm 8 x 32": TabMClassifier(k=8, d_block=32)}
    for (n_rows, n_epochs), n_columns, n_models in product(((500, 8), (2000, 4), (10_000, 2)), (6, 20, 60), (5, 20)):
        if n_models == 5 or (n_columns == 20 and n_rows < 10_000):
            for name, net in nets.items():
                row = steps_row(net, n_rows, n_columns, n_models, n_epochs, n_turns)
                print(f"{name:14s} {n_rows:5d} {n_columns:7d} {n_models:6d} | {row}", flush=True)


def steps_row(net: Any, n_rows: int, n_columns: int, n_models: int, n_epochs: int, n_turns: int) -> str:
    X, y = make_classification(n_rows, n_columns, n_informative=n_columns // 2, random_state=0)
    parts = [rows for rows, _ in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)] * (n_models // 5)
    net = clone(net).set_params(early_stopping=False, max_epochs=n_epochs, random_state=0)
    tasks = [clone(net)._prepare(X[part], y[part]) for part in parts]
    works = {"alone": lambda: [train(*task) for task in tasks], "together": lambda: train_together(tasks)}
    seconds = take_turns(works, n_turns)
    n_steps = n_models * n_epochs * math.ceil(len(tasks[0].rows) / tasks[0].settings.batch_size)
    alone, together = (np.median(of) / n_steps * 1e3 for of in seconds.values())
    cost = _size.cost_of(build_loss(tasks[0]))
    net.set_params(early_stopping=True, max_epochs=256)
    n_together = net.n_together(Fit(net, X[parts[0]], y[parts[0]], {}), [net])
    return (
        f"{cost.n_multiplications / 1e6:6.1f} {cost.n_weights:8d} | {alone:16.2f} {together:9.2f} "
        f"{np.median(seconds['together'] / seconds['alone']):6.2f} | {n_together}"
    )


def bench_hybrid(folder: Path, n_sets: int, n_seeds: int) -> None:
    spec = importlib.util.spec_from_file_location("load", folder.parent / "load.py")
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    print("set                    | seconds: before  after  ratio | its net: before  after  ratio | blend's score")
    ratios, changes = [], []
    for name in loader.list_sets(folder)[:n_sets]:
        X, y, info = loader.load(name, folder)
        kind = HybridRegressor if info["task"] == "regression" else HybridClassifier
        for seed in range(n_seeds):
            rows = np.random.RandomState(seed).permutation(len(X))[:2000]
            scores, seconds, of_net = [], [], []
            for before in (True, False):
                hybrid = kind(random_state=seed)

                def fit(hybrid: Any = hybrid, X: Any = X.iloc[rows], y: Any = y.iloc[rows]) -> None:
                    hybrid.fit(X, y)

                with one_by_one() if before else warnings.catch_warnings():
                    seconds.append(seconds_of(fit))
                of_net.append(hybrid.oof_.fit_seconds["mlp"])
                scores.append(hybrid.leaderboard_.set_index("member").score["blend"])
            ratios.append([seconds[1] / seconds[0], of_net[1] / of_net[0]])
            changes.append(abs(scores[1] - scores[0]) / abs(scores[0]))
            print(
                f"{name:22s} | {seconds[0]:20.2f} {seconds[1]:6.2f} {ratios[-1][0]:6.2f} | "
                f"{of_net[0]:17.2f} {of_net[1]:6.2f} {ratios[-1][1]:6.2f} | {scores[0]:.6f} {scores[1]:.6f}",
                flush=True,
            )
    means = np.exp(np.log(ratios).mean(axis=0))
    print(f"geometric mean: hybrid {means[0]:.2f}, net {means[1]:.2f}; largest change of a score {max(changes):.1e}")


def bench_tuning() -> None:
    X, y = load_mortgages()
    grid = {
        "learning_rate": [5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2],
        "weight_decay": [0.0, 1e-3, 1e-2, 1e-1],
    }
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    print("24 settings x 5 folds of TabularMLP on the mortgages (2,380 rows): seconds, best setting, its log loss")
    for width in (64, 256):
        net = TabularMLPClassifier(hidden_layer_sizes=(width, width), random_state=0)
        search = GridSearchCV(net, grid, cv=folds, scoring="neg_log_loss", refit=False)
        seconds = seconds_of(lambda search=search: search.fit(X, y))
        print(f"width {width} GridSearchCV {seconds:7.1f} {search.best_params_} {-search.best_score_:.5f}", flush=True)
        nets = [clone(net).set_params(**params) for params in ParameterGrid(grid)]
        many: list[Any] = []
        together = seconds_of(
            lambda nets=nets, many=many: many.append(fit_many(nets, X, y, folds=folds, scoring="neg_log_loss"))
        )
        apart = np.abs(many[0].cv_results_["mean_test_score"] - search.cv_results_["mean_test_score"]).max()
        print(
            f"width {width} fit_many     {together:7.1f} {many[0].best_params_} {-many[0].best_score_:.5f}; "
            f"ratio {together / seconds:.2f}, largest difference of a setting's score {apart:.1e}",
            flush=True,
        )


def bench_scores(n_seeds: int) -> None:
    X, y = load_mortgages()
    print(
        "out-of-fold log loss on the mortgages; its difference to one by one; that in standard errors of the log loss"
    )
    for width, seed in product((64, 256), range(n_seeds)):
        net = TabularMLPClassifier(hidden_layer_sizes=(width, width))
        losses = []
        for before in (True, False):
            with one_by_one() if before else nullcontext():
                oof = cross_fit([("net", net)], X, y, random_state=seed)
            margin = oof.margins["net"][:, 0]
            losses.append(np.logaddexp(0, margin) - oof.target * margin)
        error = losses[0].std() / math.sqrt(len(y))
        difference = abs(losses[1].mean() - losses[0].mean())
        print(
            f"width {width} seed {seed}: {losses[1].mean():.6f}, {difference:.1e}, {difference / error:.1e}", flush=True
        )


def bench_memory(n_models: int) -> None:
    X, y = make_data(2000)
    print("width | foreseen MB a model | models a program may have | MB that 100 models took")
    for width in (64, 256):
        net = TabularMLPClassifier(hidden_layer_sizes=(width, width), max_epochs=2, early_stopping=False)
        tasks = [net.set_params(random_state=seed)._prepare(X, y) for seed in range(n_models)]
        train_together(tasks[:2])
        foreseen = _size.cost_of(build_loss(tasks[0])).n_bytes
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        train_together(tasks)
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{width:5d} | {foreseen / 2**20:19.2f} | {program_size(tasks[0]):25d} | {taken:.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fits", "steps", "hybrid", "tuning", "scores", "memory"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000, 10_000])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--data", type=Path, help="folder of tables with an index, for hybrid")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    TabularMLPClassifier(max_epochs=1).fit(*make_data(100))  # torch imports its compiler once
    if args.what == "fits":
        bench_fits(args.turns, args.rows, args.widths)
    elif args.what == "steps":
        bench_steps(args.turns)
    elif args.what == "hybrid":
        bench_hybrid(args.data, args.sets, args.seeds)
    elif args.what == "tuning":
        bench_tuning()
    elif args.what == "scores":
        bench_scores(3)
    else:
        bench_memory(100)


if __name__ == "__main__":
    main()
