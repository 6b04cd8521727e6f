"""Error and time of the nets against RealMLP, TabM and a stock skorch MLP, on real tables.

Splits, metrics and peers are those of a bench folder that is not part of this project: its ``peers.py`` fits one system
on one set in a process of its own and appends a JSON line. Error is 1 - AUC (binary), log loss (multiclass) or RMSE.
What is in the output file is not run again; peers may come from other files of such lines.

    python benchmarks/nets.py --bench ../shared/bench --data ../shared/data/dev --out nets.jsonl
    python benchmarks/nets.py ... --peer-python pytabkit/bin/python --systems realmlp_td hl_tabm --sets vehicle yeast
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

OURS = ("hl_mlp", "hl_tabm")


def run(args: argparse.Namespace, system: str, dataset: str, seed: int) -> None:
    interpreter = sys.executable if system in OURS else args.peer_python
    command = [interpreter, str(args.bench / "peers.py"), "run", "--system", system, "--dataset", dataset]
    command += ["--seed", str(seed), "--threads", "1", "--time-limit", "1800"]
    command += ["--data-dir", str(args.data), "--out", str(args.out)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(paths: list[Path]) -> pd.DataFrame:
    """Error and seconds of each system, set and seed; of lines that say the same, the first."""
    lines = [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]
    done = pd.DataFrame([line | {"error": line["metrics"]["main"]} for line in lines if line["status"] == "ok"])
    keys = ["dataset", "seed", "system"]
    return done.drop_duplicates(keys).set_index(keys)[["error", "fit_seconds", "threads"]]


def ratios(results: pd.DataFrame, column: str, reference: str) -> pd.DataFrame:
    """Each system over the reference, by set and seed, where both are there."""
    table = results[column].unstack("system")
    return table.div(table[reference], axis=0).dropna(subset=[reference])


def geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


def summary(over: pd.DataFrame, system: str) -> str:
    """Geometric mean over sets, mean over seeds with its standard error, and the share of sets where it is below 1."""
    cells = over[system].dropna()
    by_seed = cells.groupby("seed").agg(geometric_mean)
    error = by_seed.std() / np.sqrt(len(by_seed)) if len(by_seed) > 1 else np.nan
    wins = float((cells.groupby("dataset").agg(geometric_mean) < 1).mean())
    return f"{by_seed.mean():.3f} ± {error:.3f} ({cells.index.unique('dataset').size} sets, below 1 on {wins:.0%})"


def report(results: pd.DataFrame, reference: str, systems: list[str]) -> None:
    over = ratios(results, "error", reference)
    shown = [system for system in systems if system in over and system != reference]
    print(f"\nerror over {reference}, geometric mean of the seeds")
    print(over[shown].groupby("dataset").agg(geometric_mean).round(3).to_string())
    for system in shown:
        print(f"{system} over {reference}: {summary(over, system)}")


def report_time(results: pd.DataFrame, reference: str) -> None:
    """Only of runs on one thread on this machine, which stand side by side in the output file."""
    over = ratios(results[results["threads"] == 1], "fit_seconds", reference)
    for system in over.columns.drop(reference):
        print(f"fit seconds of {system} over {reference}: {summary(over, system)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder of peers.py")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets and their index.json")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines, added to")
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="more files of such lines")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--systems", nargs="*", default=list(OURS), help="what to run")
    parser.add_argument("--sets", nargs="*", help="default: all of the index")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    args = parser.parse_args()
    known = [entry["name"] for entry in json.loads((args.data / "index.json").read_text())["sets"]]
    for seed, dataset, system in product(args.seeds, args.sets or known, args.systems):
        done = read([args.out]).index if args.out.exists() else []
        if (dataset, seed, system) not in done:
            run(args, system, dataset, seed)
    results = read([args.out, *args.peers, args.bench / "peers_dev.jsonl"])
    for reference in ("realmlp_td", "skorch_mlp"):
        if reference in results.index.unique("system"):
            report(results, reference, [*OURS, "tabm_d", "realmlp_td"])
    timed = read([args.out])
    if "realmlp_td" in timed.index.unique("system"):
        print()
        report_time(timed, "realmlp_td")


if __name__ == "__main__":
    main()
