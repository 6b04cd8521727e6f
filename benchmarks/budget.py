"""Seconds used, members finished and score of hybrids that are given 10, 30 and 60 seconds.

The flights come with the package's extra `demo`. The table adult is that of a bench folder that is not part of this
project; its ``peers.py`` reads it. Of each table all rows are given to ``fit``; the score is that of the out-of-fold
blend. Each fit has a process of its own, and pays for loading libraries where they are loaded within ``fit``.

    python benchmarks/budget.py
    python benchmarks/budget.py --bench ../shared/bench --data ../shared/data/dev --limits 10 60
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from hybridlearn import HybridClassifier
from hybridlearn.datasets import load_flights

LIMITS = (10.0, 30.0, 60.0)


def table_of(name: str, args: argparse.Namespace) -> tuple[pd.DataFrame, Any]:
    if name == "flights":
        return load_flights()
    sys.path.insert(0, str(args.bench))
    import peers

    X, y, _, _ = peers.load_dataset(args.data, name)
    return X, y


def measure(name: str, limit: float, args: argparse.Namespace) -> None:
    """Fit once; print a line of figures and what was cut."""
    X, y = table_of(name, args)
    started = time.perf_counter()
    with warnings.catch_warnings():
        # what was cut is in the leaderboard
        warnings.filterwarnings("ignore", message="time_limit was short")
        hybrid = HybridClassifier(time_limit=limit, random_state=0).fit(X, y)
    seconds = time.perf_counter() - started
    board = hybrid.leaderboard_.set_index("member")
    is_kept = abs(seconds - limit) <= max(5.0, 0.1 * limit) or seconds < limit
    print(
        f"{name} ({len(X):,} rows), limit {limit:g} s: {seconds:.1f} s ({'kept' if is_kept else 'NOT KEPT'}), "
        f"{len(hybrid.models_)} of {len(board) - 1} members, log loss {-board.loc['blend', 'score']:.4f}"
    )
    for member, row in board.drop(index="blend").iterrows():
        print(f"    {member}: score {row['score']:.4f}, {row['fit_seconds']:.1f} s; {row['cut'] or 'whole'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, help="folder that holds peers.py")
    parser.add_argument("--data", type=Path, help="folder of the table adult")
    parser.add_argument("--limits", type=float, nargs="+", default=LIMITS)
    parser.add_argument("--only", nargs=2, metavar=("TABLE", "SECONDS"), help="one fit, in this process")
    args = parser.parse_args()
    if args.only:
        measure(args.only[0], float(args.only[1]), args)
        return
    tables = ["adult", "flights"] if args.bench and args.data else ["flights"]
    for table in tables:
        for limit in args.limits:
            subprocess.run([sys.executable, *sys.argv, "--only", table, str(limit)], check=True)


if __name__ == "__main__":
    main()
