"""What FeatureBuilder does to boosted trees and to a net, table by table; its time and memory on the flights.

Without a bench folder ``run`` takes tables that come with packages. With one, splits and metrics are those of its
``peers.py``, which is not part of this project. Each set and seed is a process of one thread; a line of JSON a system
is appended to the output, and what is there is not run again.

    python benchmarks/features.py run --out features.jsonl
    python benchmarks/features.py run --bench ../shared/bench --data ../shared/data/dev --out features.jsonl
    python benchmarks/features.py report features.jsonl
    python benchmarks/features.py speed                                336,776 flights, every family
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from ensembles import (
    Split,
    command_line,
    done,
    error_of,
    keep,
    load_split,
    over_sets,
    own_tables,
    read_lines,
    run_each,
    worse_sets,
)

import hybridlearn as hl
from hybridlearn.datasets import load_flights

SEEDS = (0, 1, 2)
FRONT = "+features"


def learners(classification: bool, seed: int) -> dict[str, Any]:
    kind = "Classifier" if classification else "Regressor"
    return {
        "trees": getattr(hl, f"BoostedTrees{kind}")(random_state=seed),
        "mlp": getattr(hl, f"TabularMLP{kind}")(random_state=seed),
    }


def run_one(args: argparse.Namespace, name: str, seed: int) -> None:
    plain = load_split(args, name, seed)
    classification = plain.y.dtype.kind != "f"
    known = done(args.out)
    wanted = [(system, model) for system, model in learners(classification, seed).items()
              if not args.systems or system in args.systems]  # fmt: skip
    wanted = [(system, model) for system, model in wanted if (name, seed, f"{system}{FRONT}") not in known]
    if not wanted:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder = hl.FeatureBuilder(task="classification" if classification else "regression", random_state=seed)
        started = time.process_time()
        made = builder.fit_transform(plain.X, plain.y)
        built = time.process_time() - started
        fronted = plain._replace(X=made, X_test=builder.transform(plain.X_test))
        for system, model in wanted:
            for split, label in ((plain, system), (fronted, f"{system}{FRONT}")):
                line = {"dataset": name, "seed": seed, "system": label} | measured(model, split)
                front = {"build_seconds": built, "kept": builder.families_, "n_features": made.shape[1]}
                keep(args.out, line | (front if split is fronted else {}))


def measured(model: Any, split: Split) -> dict[str, float]:
    started = time.process_time()
    model.fit(split.X, split.y)
    seconds = time.process_time() - started
    return {"error": error_of(model, split), "cpu_seconds": seconds}


def run(args: argparse.Namespace) -> None:
    names = list(own_tables())
    if args.bench is not None:
        names = sorted(path.stem for path in args.data.glob("*.parquet"))
    run_each(__file__, run_one, args.sets or names, args)


def report(args: argparse.Namespace) -> None:
    lines = read_lines(args)
    errors = lines.set_index(["dataset", "seed", "system"])["error"].unstack("system")
    for system in ("trees", "mlp"):
        fronted = f"{system}{FRONT}"
        if fronted not in errors:
            continue
        ratio = (errors[fronted] / errors[system]).dropna()
        by_set = ratio.groupby("dataset")
        own = lines[lines["system"] == fronted].set_index(["dataset", "seed"])
        table = pd.DataFrame({"ratio": by_set.mean(), "standard error": by_set.sem()}).round(4)
        kept = {name: [",".join(one) or "-" for one in own.loc[[name], "kept"]] for name in table.index}
        table["kept, by seed"] = pd.Series(kept).str.join(" | ")
        table["build s"] = own.groupby("dataset")["build_seconds"].mean().round(1)
        worse = ", ".join(worse_sets(errors, fronted, system)) or "none"
        print(
            f"{fronted}: error over plain, {len(table)} sets: {over_sets(ratio)}; worse by more than 1 % and 2 standard"
        )
        print(f"errors on {worse}\n{table.to_string()}\n")


def speed(args: argparse.Namespace) -> None:
    """Seconds and peak memory above the start, in sizes of the table, of every family on the flights."""
    X, y = load_flights()
    size = X.memory_usage(deep=True).sum()
    hl.FeatureBuilder(select=None, random_state=0).fit_transform(X.iloc[:1000], y.iloc[:1000])
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    started = time.perf_counter()
    made = hl.FeatureBuilder(select=None, random_state=0).fit_transform(X, y)
    seconds = time.perf_counter() - started
    above = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    n_features = made.shape[1] - X.shape[1]
    print(f"{len(X)} flights, {size / 2**20:.0f} MB: {n_features} features in {seconds:.1f} s")
    print(f"peak {above / 2**20:.0f} MB above the start: {above / size:.2f} times the table")


if __name__ == "__main__":
    command_line(__doc__, (run, report, speed), seeds=SEEDS, out="features.jsonl")
