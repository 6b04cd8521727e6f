"""Ensembles of the same members: error and CPU time against scikit-learn's, and against the members alone.

Without a bench folder it runs on tables that come with packages (mortgages, houses, breast cancer, diabetes). With one,
splits and metrics are those of its ``peers.py``, which is not part of this project. Each set and seed is a process of
one thread; a line of JSON a system is appended to the output, and what is there is not run again.

    python benchmarks/ensembles.py run --out ensembles.jsonl
    python benchmarks/ensembles.py run --bench ../shared/bench --data ../shared/data/dev --out ensembles.jsonl
    python benchmarks/ensembles.py report ensembles.jsonl
    python benchmarks/ensembles.py order --bench ... --data ...      time and groups reach every inner split
    python benchmarks/ensembles.py coverage --bench ... --data ...   intervals and sets over 20 splits
    python benchmarks/ensembles.py workers --bench ... --data ...    one worker and two on a fit of over 30 s
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier, StackingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import GroupKFold, TimeSeriesSplit, train_test_split
from sklearn.pipeline import make_pipeline

import hybridlearn as hl
from hybridlearn import datasets
from hybridlearn.nets import JointNetClassifier, JointNetRegressor
from hybridlearn.table import TableEncoder

SEEDS = (0, 1, 2)
SETS = (
    "vehicle",
    "credit_g",
    "oil_spill",
    "concrete",
    "yeast",
    "house_prices",
    "soybean",
    "sick",
    "abalone",
    "cpu_act",
)
SMALL_ROWS = 2000
N_BAGS = 10


class Split(NamedTuple):
    """Training and test rows; class codes or numbers."""

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray


def own_tables() -> dict[str, Callable[[], tuple[Any, Any]]]:
    return {
        "mortgages": datasets.load_mortgages,
        "houses": datasets.load_houses,
        "breast_cancer": lambda: load_breast_cancer(return_X_y=True, as_frame=True),
        "diabetes": lambda: load_diabetes(return_X_y=True, as_frame=True),
    }


def load_split(args: argparse.Namespace, name: str, seed: int) -> Split:
    if args.bench is None:
        X, y = own_tables()[name]()
        codes = y.to_numpy() if pd.api.types.is_float_dtype(y) else np.unique(y, return_inverse=True)[1]
        stratify = None if codes.dtype.kind == "f" else codes
        X_train, X_test, y_train, y_test = train_test_split(
            X, codes, test_size=0.25, random_state=seed, stratify=stratify
        )
        return Split(X_train.iloc[: args.rows], y_train[: args.rows], X_test, y_test)
    sys.path.insert(0, str(args.bench))
    import peers

    X, y, task, classes = peers.load_dataset(args.data, name)
    X, categorical = peers.clean(X)
    train, test = peers.make_split(y, task, seed)
    X_train, X_test = peers.as_category(X.iloc[train], X.iloc[test], categorical)
    if task == "regression":
        codes = y.to_numpy(dtype=np.float64)
    else:
        labels = [str(c) for c in classes] if classes else sorted(set(y.astype(str)))
        codes = y.astype(str).map({label: k for k, label in enumerate(labels)}).to_numpy(dtype=np.int64)
    return Split(X_train.iloc[: args.rows], codes[train][: args.rows], X_test, codes[test])


def error_of(model: Any, split: Split) -> float:
    """1 - AUC for two classes, log loss for more, RMSE for numbers."""
    if not is_classifier(model):
        return float(root_mean_squared_error(split.y_test, model.predict(split.X_test)))
    probability = model.predict_proba(split.X_test)
    if probability.shape[1] == 2:
        return float(1 - roc_auc_score(split.y_test, probability[:, 1]))
    return float(log_loss(split.y_test, probability, labels=model.classes_))


def members(classification: bool, seed: int) -> list[tuple[str, Any]]:
    trees = hl.BoostedTreesClassifier if classification else hl.BoostedTreesRegressor
    net = hl.TabularMLPClassifier if classification else hl.TabularMLPRegressor
    linear = LogisticRegression(max_iter=1000) if classification else RidgeCV(np.logspace(-2, 4, 13))
    encoder = TableEncoder(encode="onehot", max_levels=50)
    return [
        ("trees", trees(random_state=seed)),
        ("mlp", net(random_state=seed)),
        ("linear", make_pipeline(encoder, linear)),
    ]


def systems(classification: bool, seed: int) -> dict[str, Any]:
    """Everything that is compared, unfitted."""
    kind = "Classifier" if classification else "Regressor"
    three = members(classification, seed)
    alone = dict(three)
    sk_stack = StackingClassifier if classification else StackingRegressor
    sk_bag = BaggingClassifier if classification else BaggingRegressor
    joint = JointNetClassifier if classification else JointNetRegressor

    def ours(family: str, **params: Any) -> Any:
        return getattr(hl, f"{family}{kind}")(random_state=seed, **params)

    found = {
        "hl_stack": ours("HybridStacking", estimators=three, cv=5),
        "sk_stack": sk_stack(three, cv=5),
        **alone,
        "hl_bag_folds": ours("HybridBagging", estimator=alone["mlp"], n_estimators=N_BAGS),
        "hl_bag_bootstrap": ours("HybridBagging", estimator=alone["mlp"], n_estimators=N_BAGS, resample="bootstrap"),
        "sk_bag": sk_bag(alone["mlp"], n_estimators=N_BAGS, random_state=seed),
        "hl_boost": ours("HybridBoosting", estimators=three[:2]),
        "hl_concat": ours("Concat"),
        "hl_joint": joint(random_state=seed),
    }
    if classification:
        found["hl_bag_under"] = ours("HybridBagging", estimator=alone["mlp"], n_estimators=N_BAGS, resample="under")
    return found


def run_one(args: argparse.Namespace, name: str, seed: int) -> None:
    split = load_split(args, name, seed)
    classification = split.y.dtype.kind != "f"
    # what a process does once, such as loading torch's optimiser, is nobody's time
    systems(classification, seed)["hl_stack"].set_params(cv=2, mlp__max_epochs=1).fit(split.X, split.y)
    for system, model in systems(classification, seed).items():
        if (args.systems and system not in args.systems) or (name, seed, system) in done(args.out):
            continue
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(split.X, split.y)
        seconds = time.process_time() - started
        line = {"dataset": name, "seed": seed, "system": system, "n_rows": len(split.y)}
        line |= {"error": error_of(model, split), "cpu_seconds": seconds}
        if system == "hl_stack":
            board = model.leaderboard_
            line["best_member"] = board["member"][board["member"] != "blend"].iloc[0]
        keep(args.out, line)


def keep(out: Path, line: dict[str, Any]) -> None:
    with out.open("a") as file:
        file.write(json.dumps(line) + "\n")


def done(out: Path) -> set[tuple[str, int, str]]:
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return {(line["dataset"], line["seed"], line["system"]) for line in lines}


def run(args: argparse.Namespace) -> None:
    run_each(__file__, run_one, args.sets or (list(own_tables()) if args.bench is None else SETS), args)


def run_each(
    script: str, run_one: Callable[[argparse.Namespace, str, int], None], names: Sequence[str], args: argparse.Namespace
) -> None:
    """Run each set and seed in a process of one thread, which runs the script again for it."""
    if args.inside:
        run_one(args, names[0], args.seeds[0])
        return
    for seed, name in product(args.seeds, names):
        command = [sys.executable, script, "run", "--inside", "--sets", name, "--seeds", str(seed)]
        command += ["--out", str(args.out), "--rows", str(args.rows), "--systems", *args.systems]
        command += ["--bench", str(args.bench), "--data", str(args.data)] if args.bench else []
        env = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        subprocess.run(command, env=env, check=True)


def read_lines(args: argparse.Namespace) -> pd.DataFrame:
    """What was kept of each set, seed and system."""
    lines = pd.DataFrame([json.loads(line) for file in args.files for line in file.read_text().splitlines()])
    return lines.drop_duplicates(["dataset", "seed", "system"], keep="last")


def command_line(
    doc: str | None, actions: Sequence[Callable[[argparse.Namespace], None]], *, seeds: Sequence[int], out: str
) -> None:
    """Do what was asked for: ``report`` takes files, all others the same options."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for action in actions:
        command = commands.add_parser(action.__name__)
        command.set_defaults(action=action)
        if action.__name__ == "report":
            command.add_argument("files", nargs="+", type=Path)
            continue
        command.add_argument("--bench", type=Path, help="folder of peers.py")
        command.add_argument("--data", type=Path, help="folder of the sets and their index.json")
        command.add_argument("--sets", nargs="*", default=[])
        command.add_argument("--seeds", nargs="*", type=int, default=list(seeds))
        command.add_argument("--systems", nargs="*", default=[])
        command.add_argument("--splits", type=int, default=20, help="of what is asked of many splits")
        command.add_argument("--rows", type=int, default=10_000, help="most rows to train on")
        command.add_argument("--out", type=Path, default=Path(out))
        command.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.action(args)


# what is compared with what


def geometric_mean(ratios: pd.Series) -> float:
    return float(np.exp(np.log(ratios).mean()))


def over_sets(ratios: pd.Series) -> str:
    """Geometric mean over sets of each seed; mean over the seeds and its standard error."""
    by_seed = ratios.groupby("seed").agg(geometric_mean)
    error = by_seed.std() / np.sqrt(len(by_seed)) if len(by_seed) > 1 else np.nan
    return f"{by_seed.mean():.3f} ± {error:.3f}"


def worse_sets(errors: pd.DataFrame, system: str, reference: str) -> list[str]:
    """Sets where the error is worse by more than 1 % and more than 2 standard errors over the seeds."""
    found = []
    for name, cells in (errors[system] / errors[reference] - 1).dropna().groupby("dataset"):
        error = cells.std() / np.sqrt(len(cells)) if len(cells) > 1 else np.inf
        if cells.mean() > max(0.01, 2 * error):
            found.append(str(name))
    return found


COMPARED = [
    ("hl_stack", "sk_stack"),
    ("hl_stack", "best member"),
    ("hl_bag_folds", "sk_bag"),
    ("hl_bag_bootstrap", "sk_bag"),
    ("hl_bag_under", "sk_bag"),
    ("hl_bag_folds", "mlp"),
    ("hl_boost", "trees"),
    ("hl_boost", "mlp"),
    ("hl_boost", "hl_stack"),
    ("hl_concat", "trees"),
    ("hl_concat", "mlp"),
    ("hl_joint", "mlp"),
]


def report(args: argparse.Namespace) -> None:
    lines = read_lines(args)
    keys = ["dataset", "seed", "system"]
    errors = lines.set_index(keys)["error"].unstack("system")
    seconds = lines.set_index(keys)["cpu_seconds"].unstack("system")
    stacks = lines[lines["system"] == "hl_stack"].set_index(["dataset", "seed"])
    if len(stacks):
        best = stacks["best_member"]
        errors["best member"] = pd.Series({key: errors.loc[key].get(name, np.nan) for key, name in best.items()})
    small = lines.groupby("dataset")["n_rows"].max() < SMALL_ROWS
    is_small = errors.index.get_level_values("dataset").map(small)
    print("error (mean over the seeds)")
    print(errors.groupby("dataset").mean().round(4).to_string())
    print(f"\n{'system':18}{'over':14}{'sets':>5}{'error':>16}{'CPU seconds':>18}{'of small sets':>18}  worse on")
    for system, reference in COMPARED:
        if system not in errors or reference not in errors:
            continue
        ratio = (errors[system] / errors[reference]).dropna()
        row = f"{system:18}{reference:14}{ratio.index.unique('dataset').size:5}{over_sets(ratio):>16}"
        if reference in seconds:
            time_ratio = seconds[system] / seconds[reference]
            row += f"{over_sets(time_ratio.dropna()):>18}{over_sets(time_ratio[is_small].dropna()):>18}"
        else:
            row += " " * 36
        print(f"{row}  {', '.join(worse_sets(errors, system, reference)) or '-'}")


# what must hold


def ordered_tables(args: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame, np.ndarray, np.ndarray]]:
    """Rows in order of time, with groups: days of the bike table, weeks of the electricity table."""
    sys.path.insert(0, str(args.bench))
    import peers

    for name, hours in (("bike_sharing", 24), ("electricity", 48 * 7)):
        X, y, task, _ = peers.load_dataset(args.data, name)
        X, categorical = peers.clean(X.iloc[:6000])
        X, _ = peers.as_category(X, X, categorical)
        target = y.iloc[:6000]
        codes = (
            target.to_numpy(float) if task == "regression" else np.unique(target.astype(str), return_inverse=True)[1]
        )
        yield name, X, codes, np.arange(len(X)) // hours


def order(args: argparse.Namespace) -> None:
    for name, X, y, groups in ordered_tables(args):
        classification = y.dtype.kind != "f"
        stack = hl.HybridStackingClassifier if classification else hl.HybridStackingRegressor
        for cv in (TimeSeriesSplit(4), GroupKFold(4)):
            by_group = isinstance(cv, GroupKFold)
            model = stack(estimators=members(classification, 0), cv=cv, random_state=0)
            model.fit(X, y, groups=groups if by_group else None)
            model.ledger_.assert_leak_free()
            if by_group:
                model.ledger_.assert_grouped(groups)
            else:
                model.ledger_.assert_in_order(np.arange(len(y)))
            steps = model.ledger_.frame["step"].value_counts().to_dict()
            print(f"{name:14}{type(cv).__name__:17}coverage {model.oof_.coverage:.3f}  no step crosses; steps: {steps}")


def quick_members(classification: bool) -> list[tuple[str, Any]]:
    kind = hl.BoostedTreesClassifier if classification else hl.BoostedTreesRegressor
    (_, linear) = members(classification, 0)[-1]
    return [("trees", kind(n_estimators=100, learning_rate=0.1)), ("linear", linear)]


class Covered(NamedTuple):
    """Of one split: is the top label right (NaN: numbers), is the target inside, its class; the mean size."""

    top: np.ndarray
    inside: np.ndarray
    label: np.ndarray
    size: float


def coverage(args: argparse.Namespace) -> None:
    """Over 20 splits: the share of targets inside; of sets, that of the class that is covered least."""
    print(f"{'table':16}{'what':10}{'top label':>10}{'covered':>18}{'least class':>13}{'size':>9}")
    for name in args.sets or (list(own_tables()) if args.bench is None else SETS):
        cells = [coverage_of(load_split(args, name, seed), seed) for seed in range(args.splits)]
        means = np.array([cell.inside.mean() for cell in cells])
        inside, label = (np.concatenate([cell[i] for cell in cells]) for i in (1, 2))
        least = pd.Series(inside).groupby(label).mean().min()
        top, size = np.mean([c.top.mean() for c in cells]), np.mean([c.size for c in cells])
        row = f"{name:16}{'intervals' if np.isnan(top) else 'sets':10}{top:10.3f}"
        row += f"{means.mean():10.4f} ± {means.std(ddof=1) / np.sqrt(len(means)):.4f}"
        print(f"{row}{least:13.3f}{size:9.3g}", flush=True)


def coverage_of(split: Split, seed: int, most: int = 3000) -> Covered:
    X, y = split.X.iloc[:most], split.y[:most]
    classification = y.dtype.kind != "f"
    stack = hl.HybridStackingClassifier if classification else hl.HybridStackingRegressor
    nothing = np.full(len(split.y_test), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = stack(estimators=quick_members(classification), random_state=seed).fit(X, y)
        if not classification:
            low, high = model.predict_interval(split.X_test).T
            inside = (low <= split.y_test) & (split.y_test <= high)
            return Covered(nothing, inside, np.zeros(len(inside)), float(np.median(high - low)))
        sets = model.predict_set(split.X_test)
        top = model.predict(split.X_test) == split.y_test
    return Covered(top, sets[np.arange(len(sets)), split.y_test], split.y_test, float(sets.sum(axis=1).mean()))


def workers(args: argparse.Namespace) -> None:
    """Wall seconds of one worker with all threads, and of two."""
    for name in args.sets or (["houses"] if args.bench is None else ["cpu_act", "sick"]):
        split = load_split(args, name, 0)
        stack = hl.HybridStackingClassifier if split.y.dtype.kind != "f" else hl.HybridStackingRegressor
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _, n_jobs in product(range(3), seconds):
            started = time.perf_counter()
            stack(random_state=0, n_jobs=n_jobs).fit(split.X, split.y)
            seconds[n_jobs].append(time.perf_counter() - started)
        one, two = (np.median(turns) for turns in seconds.values())
        print(f"{name:14}n_jobs=1 {one:7.1f} s   n_jobs=2 {two:7.1f} s   ratio {two / one:.2f}", flush=True)


if __name__ == "__main__":
    command_line(__doc__, (run, report, order, coverage, workers), seeds=SEEDS, out="ensembles.jsonl")
