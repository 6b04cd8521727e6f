"""Systems on draws of few rows: is a hybrid of a hundred rows worse than a regularised linear model?

In one process, for a fit takes less time than its imports. Tables are those of accuracy.py, which see there; of each
draw so many rows train, and at most 2,000 others are asked about. A hybrid takes no class of one row.

    python benchmarks/small.py --sets breast_cancer wine diabetes --draws 20 --rows 100
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _peers import SYSTEMS, Work
from accuracy import Table, index_of, load, metrics_of, packaged, parts_of, split_of
from tqdm import tqdm

MOST_TEST = 2000


def error_of(system: str, table: Table, seed: int, n_rows: int) -> dict[str, float]:
    train, test = split_of(table, seed, n_rows)
    X, X_test = parts_of(table, train, test[:MOST_TEST])
    seen, codes = np.unique(table.y[train], return_inverse=True) if table.n_classes else (None, table.y[train])
    n_seen = 0 if seen is None else len(seen)
    work = Work(system, table.task, n_seen, seed, threads=1, seconds=300, gigabytes=0)
    model = SYSTEMS[system].make(work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, codes)
        if seen is None:
            prediction = model.predict(X_test)
        else:
            prediction = np.zeros((len(X_test), table.n_classes))
            prediction[:, seen] = model.predict_proba(X_test)
    return metrics_of(table.n_classes, table.y[test[:MOST_TEST]], prediction)


def compared(lines: pd.DataFrame, systems: list[str]) -> pd.DataFrame:
    """Geometric means over draws of each system's error over the first one's, and over the tables."""
    errors = np.log(lines.pivot_table(index=["set", "seed"], columns="system", values="main").clip(lower=1e-6))
    ratios = errors[systems[1:]].sub(errors[systems[0]], axis=0)
    by_set = ratios.groupby("set").agg(["mean", "sem"])
    by_set.loc["all tables"] = [
        value for name in systems[1:] for value in (by_set[name]["mean"].mean(), by_set[name]["mean"].sem())
    ]
    shown = {}
    for name in systems[1:]:
        shown[f"{name} over {systems[0]}"] = np.exp(by_set[name]["mean"])
        shown[f"{name} ±"] = by_set[name]["sem"]
    return pd.DataFrame(shown).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Parquet files with an index.json")
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--systems", nargs="+", default=["linear", "hybrid"], help="the first is what others are over")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("small.jsonl"))
    args = parser.parse_args()
    names = args.sets or list(packaged() if args.data is None else index_of(args.data))
    with tqdm(total=len(names) * args.draws * len(args.systems), unit="fit") as progress:
        for name in names:
            table = load(name, args.data)
            for seed in range(args.draws):
                for system in args.systems:
                    metrics = error_of(system, table, seed, args.rows)
                    line = {"set": name, "seed": seed, "system": system, "rows": args.rows, **metrics}
                    with args.out.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    progress.update()
    # with what an earlier run has written
    lines = pd.read_json(args.out, lines=True)
    print(compared(lines[lines["rows"] == args.rows], args.systems).to_markdown(index=False, floatfmt=".3f"))


if __name__ == "__main__":
    main()
