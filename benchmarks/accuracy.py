"""Error, calibration and time of any systems on any tables: every peer on the same work.

Each system, set and seed is a process of its own with a limit of time, and of memory where one is asked for; a line of
JSON is appended for each, and what has ended well or ran out of time is not run again. Three quarters of the rows, at
most 10,000 unless told, are trained on, the others tested, stratified in classification. The tables are those that come
with packages, or a folder of Parquet files with an ``index.json``: of each of its ``sets`` ``name``, ``task``, and as
far as they are not the usual ``file``, ``target``, ``categorical`` (columns) and ``classes`` (the last is the positive
one).

    pip install -r benchmarks/requirements-peers.txt     LightGBM, CatBoost, and what draws the plots
    python benchmarks/accuracy.py run --systems xgb catboost hybrid --out accuracy.jsonl
    python benchmarks/accuracy.py run --systems ag_medium --python ../autogluon/bin/python --out accuracy.jsonl
    python benchmarks/accuracy.py report accuracy.jsonl --plots plots/
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _peers import SYSTEMS, TARGET, Work
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from hybridlearn.audit import expected_calibration_error

MOST_TRAIN, MOST_TEST = 10_000, 20_000
# No probability is taken to be less.
LEAST = 1e-6
# Seconds for imports and predictions.
ALLOWANCE = 150


@dataclass(frozen=True)
class Table:
    """A set: numbers are float64, all else text or missing.

    Attributes
    ----------
    X : DataFrame
    y : ndarray
        Class codes, or numbers.
    task : {"binary", "multiclass", "regression"}
    n_classes : int
        0 in regression.
    rank : ndarray of shape (n_classes,), int
        Of each class among the labels as sorted text.
    """

    X: pd.DataFrame
    y: np.ndarray
    task: str
    n_classes: int
    rank: np.ndarray


# tables


def packaged() -> dict[str, Any]:
    """Tables that come with packages, by name: what loads X and y."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    from hybridlearn.datasets import load_flights, load_houses, load_mortgages

    own = {"mortgages": load_mortgages, "houses": load_houses, "flights": load_flights}
    theirs = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
    return own | {name: lambda load=load: load(return_X_y=True, as_frame=True) for name, load in theirs.items()}


def index_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {facts["name"]: facts for facts in json.loads((folder / "index.json").read_text())["sets"]}


@lru_cache(maxsize=1)
def load(name: str, folder: Path | None) -> Table:
    if folder is None:
        X, y = packaged()[name]()
        return table_of(X, y, "regression" if pd.api.types.is_float_dtype(y) else "classification", None)
    facts = index_of(folder)[name]
    X = pd.read_parquet(folder / facts.get("file", f"{name}.parquet")).dropna(subset=[facts.get("target", TARGET)])
    X = X.reset_index(drop=True)
    y = X.pop(facts.get("target", TARGET))
    named = [column for column in facts.get("categorical") or [] if column in X]
    return table_of(X.astype(dict.fromkeys(named, "category")), y, facts["task"], facts.get("classes"))


def table_of(X: pd.DataFrame, y: pd.Series, task: str, classes: list[Any] | None) -> Table:
    X = pd.DataFrame({str(name): tidy(column) for name, column in X.items()})
    if task == "regression":
        return Table(X, y.to_numpy(dtype=np.float64), task, 0, np.empty(0))
    labels = y.astype(str)
    names = sorted(labels.unique()) if classes is None else [str(label) for label in classes]
    codes = labels.map({name: code for code, name in enumerate(names)}).to_numpy(dtype=np.int64)
    return Table(X, codes, "binary" if len(names) == 2 else "multiclass", len(names), np.argsort(np.argsort(names)))


def tidy(column: pd.Series) -> pd.Series:
    """A number as float64, dates as nanoseconds, anything else as text; what is infinite is missing."""
    is_number = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.astype("int64").astype("float64").where(column.notna())
    if is_number and not isinstance(column.dtype, pd.CategoricalDtype):
        values = column.to_numpy(dtype="float64", na_value=np.nan)
        return pd.Series(np.where(np.isfinite(values), values, np.nan), index=column.index)
    return column.astype(object).map(str, na_action="ignore")


def split_of(table: Table, seed: int, most_train: int = MOST_TRAIN) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows."""
    # whichever class is the positive one, the rows are the same
    stratify = table.rank[table.y] if table.n_classes and np.bincount(table.y).min() > 1 else None
    train, test = train_test_split(np.arange(len(table.y)), test_size=0.25, random_state=seed, stratify=stratify)
    rng = np.random.RandomState(seed)
    if len(train) > most_train:
        train = np.sort(rng.choice(train, most_train, replace=False))
    if len(test) > MOST_TEST:
        test = np.sort(rng.choice(test, MOST_TEST, replace=False))
    return train, test


def parts_of(table: Table, train: np.ndarray, test: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on and to predict; text has become categories of the training rows, others are missing."""
    parts = table.X.iloc[train].reset_index(drop=True), table.X.iloc[test].reset_index(drop=True)
    texts = [name for name in table.X if not pd.api.types.is_float_dtype(table.X[name])]
    levels = {name: pd.CategoricalDtype(sorted(parts[0][name].dropna().unique())) for name in texts}
    return parts[0].astype(levels), parts[1].astype(levels)


# one process


def run(args: argparse.Namespace) -> None:
    names = args.sets or list(packaged() if args.data is None else index_of(args.data))
    jobs = list(product(args.seeds, names, args.systems))
    refuse_missing(args)
    lines = lines_of([args.out]) if args.out.exists() else []
    known = {key_of(line) for line in lines if line["status"] in ("ok", "timeout")}
    left = [job for job in jobs if job not in known]
    progress = tqdm(left, initial=len(jobs) - len(left), total=len(jobs), unit="fit")
    for seed, name, system in progress:
        progress.set_postfix_str(f"{system} on {name}, seed {seed}")
        line = run_one(args, load(name, args.data), system, seed) | {"dataset": name}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with args.out.open("a") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")


def refuse_missing(args: argparse.Namespace) -> None:
    """Leave if the interpreter lacks a package that was asked for."""
    for package in sorted({SYSTEMS[system].package for system in args.systems}):
        asked = f"from importlib.metadata import version; version({package!r})"
        if subprocess.run([args.python, "-c", asked], capture_output=True).returncode:
            sys.exit(
                f"{package} is not installed for {args.python}: see benchmarks/requirements-peers.txt, or --python"
            )


def key_of(line: dict[str, Any]) -> tuple[int, str, str]:
    return line["seed"], line["dataset"], line["system"]


def run_one(args: argparse.Namespace, table: Table, system: str, seed: int) -> dict[str, Any]:
    """Fit and predict in another process, and score here."""
    rows = split_of(table, seed, args.train_rows)
    train, test = parts_of(table, *rows)
    facts = np.concatenate([rows[0], [-1], rows[1]]).astype(np.int64).tobytes()
    # classes that no training row has are not known to the system
    seen, codes = np.unique(table.y[rows[0]], return_inverse=True) if table.n_classes else (None, table.y[rows[0]])
    work = Work(
        system=system,
        task=table.task,
        n_classes=0 if seen is None else len(seen),
        seed=seed,
        threads=args.threads,
        seconds=args.seconds,
        gigabytes=args.gigabytes,
    )
    line = {
        "system": system,
        "seed": seed,
        "task": table.task,
        "n_train": len(train),
        "n_test": len(test),
        "n_features": train.shape[1],
        "n_classes": table.n_classes,
        "threads": args.threads,
        "time_limit": args.seconds,
        "split_sha1": hashlib.sha1(facts).hexdigest()[:12],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.json").write_text(json.dumps(work._asdict()))
        train.assign(**{TARGET: codes}).to_parquet(folder / "train.parquet")
        test.to_parquet(folder / "test.parquet")
        line |= outcome_of(args, folder, args.seconds + SYSTEMS[system].own_seconds + ALLOWANCE)
        if line["status"] != "ok":
            return line
        prediction = np.load(folder / "prediction.npy")
    if not np.isfinite(prediction).all():
        return line | {"status": "error", "error": "predictions that are not finite"}
    if seen is not None:
        probability = np.zeros((len(test), table.n_classes))
        probability[:, seen] = prediction
        prediction = probability
    return line | {"metrics": metrics_of(table.n_classes, table.y[rows[1]], prediction)}


def outcome_of(args: argparse.Namespace, folder: Path, most_seconds: float) -> dict[str, Any]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(args.threads))
    env = os.environ | threads | {"OMP_WAIT_POLICY": "passive"}
    command = [os.path.abspath(args.python), str(Path(__file__).with_name("_peers.py").resolve()), str(folder)]
    # a group of its own: workers of one that was stopped or killed would go on, and hold its output open
    with (folder / "stderr").open("wb") as told:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True
        )
        try:
            status = process.wait(most_seconds)
        except subprocess.TimeoutExpired:
            return {"status": "timeout"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    outcome = folder / "outcome.json"
    if outcome.exists():
        return json.loads(outcome.read_text())
    return {"status": "killed", "error": f"exit {status}: {(folder / 'stderr').read_text(errors='replace')[-300:]}"}


def metrics_of(n_classes: int, y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """``main`` is 1 - AUC of two classes, the log loss of more, the root mean squared error of numbers."""
    if not n_classes:
        error = root_mean_squared_error(y, prediction)
        found = {"main": error, "rmse": error, "r2": r2_score(y, prediction), "mae": mean_absolute_error(y, prediction)}
        return {name: float(value) for name, value in found.items()}
    probability = np.clip(prediction, LEAST, None)
    probability /= probability.sum(axis=1, keepdims=True)
    label = probability.argmax(axis=1)
    found = {
        "log_loss": log_loss(y, probability, labels=np.arange(n_classes)),
        "accuracy": accuracy_score(y, label),
        "balanced_accuracy": balanced_accuracy_score(y, label),
    }
    if n_classes > 2:
        return {name: float(value) for name, value in (found | {"main": found["log_loss"]}).items()}
    second = probability[:, 1]
    found |= {
        "auc": roc_auc_score(y, prediction[:, 1]),
        "avg_precision": average_precision_score(y, prediction[:, 1]),
        "brier": brier_score_loss(y, second),
        "ece": expected_calibration_error(y, second, n_bins=15),
    }
    return {name: float(value) for name, value in (found | {"main": 1 - found["auc"]}).items()}


# reports


def lines_of(files: list[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in file.read_text().splitlines():
            yield json.loads(line)


def read(files: list[Path], systems: list[str], seeds: list[int]) -> pd.DataFrame:
    """One row a fit that ended well: its facts and metrics; the last line of a fit counts."""
    lines = {key_of(line): line for line in lines_of(files)}
    rows = [line | line["metrics"] for line in lines.values() if line["status"] == "ok"]
    table = pd.DataFrame(rows).drop(columns="metrics")
    wanted = table["system"].isin(systems) if systems else table["system"].notna()
    return table[wanted & (table["seed"].isin(seeds) if seeds else True)]


def report(args: argparse.Namespace) -> None:
    fits = read(args.files, args.systems, args.seeds)
    errors = fits.pivot_table(index=["dataset", "seed"], columns="system", values=args.metric)
    print(f"{args.metric}, mean over the seeds\n{errors.groupby('dataset').mean().round(4).to_markdown()}\n")
    print(summary(fits, errors, args.reference).round(3).to_markdown(index=False))
    if args.plots is not None:
        from _plots import plot_all

        for file in plot_all(fits, errors, args.reference, args.plots):
            print(file)


def summary(fits: pd.DataFrame, errors: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Of each system, over the fits that it and the reference have: geometric means of ratios, and ranks.

    Ranks are among all systems, on the sets and seeds that all of them have.
    """
    common = errors.dropna()
    ranks = common.rank(axis=1).mean()
    mean = fits.groupby("system")[["fit_seconds", "predict_seconds"]].median()
    rows = []
    for system in errors:
        ratio = np.log(errors[system] / errors[reference]).dropna()
        by_set = ratio.groupby("dataset").mean()
        rows.append(
            {
                "system": system,
                "sets": len(by_set),
                f"error over {reference}": np.exp(by_set.mean()),
                "times or over, standard error": np.exp(by_set.sem()),
                "better on": int((by_set < 0).sum()),
                "worse on": int((by_set > 0).sum()),
                f"mean rank ({len(common)} fits)": ranks[system],
                "fit s": mean["fit_seconds"][system],
                "predict s": mean["predict_seconds"][system],
            }
        )
    return pd.DataFrame(rows).sort_values(f"error over {reference}", ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run")
    runs.set_defaults(action=run)
    runs.add_argument("--data", type=Path, help="folder of Parquet files with an index.json")
    runs.add_argument("--sets", nargs="*", default=[])
    runs.add_argument("--seeds", nargs="*", type=int, default=[0])
    runs.add_argument("--train-rows", type=int, default=MOST_TRAIN, help="at most")
    runs.add_argument("--systems", nargs="+", choices=sorted(SYSTEMS), default=["linear", "xgb", "hybrid"])
    runs.add_argument("--seconds", type=float, default=300, help="for a fit, beside those that a system sets itself")
    runs.add_argument("--gigabytes", type=float, default=0, help="of memory for a process; 0: no limit")
    runs.add_argument("--threads", type=int, default=2)
    runs.add_argument("--python", default=sys.executable, help="interpreter of an environment that has the systems")
    runs.add_argument("--out", type=Path, default=Path("accuracy.jsonl"))
    reports = commands.add_parser("report")
    reports.set_defaults(action=report)
    reports.add_argument("files", nargs="+", type=Path)
    reports.add_argument("--systems", nargs="*", default=[])
    reports.add_argument("--seeds", nargs="*", type=int, default=[])
    reports.add_argument("--metric", default="main", help="main, log_loss, brier, ece, ...")
    reports.add_argument("--reference", default="xgb")
    reports.add_argument("--plots", type=Path, help="folder for pictures")
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
