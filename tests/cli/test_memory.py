"""A table larger than memory is predicted in chunks: the peak does not grow with its rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from _cli import fit

from hybridlearn.datasets import load_flights

MB = 1000  # in kB, as the system counts

# Runs one command under a limit on its address space, if one is given, and says its peaks in kB.
CHILD = """
import resource, sys
from hybridlearn.cli import main
import hybridlearn._cli_models, torch, xgboost
limit = int(sys.argv[1]) * 1000
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
status = main(sys.argv[2:])
peaks = dict(line.split()[:2] for line in open("/proc/self/status") if line.startswith(("VmHWM", "VmPeak")))
print(status, peaks["VmHWM:"], peaks["VmPeak:"])
"""


def child(limit_kb: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(limit_kb), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def peaks(done: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """Of memory and of address space, in kB."""
    status, *figures = done.stdout.splitlines()[-1].split()
    assert (done.returncode, status) == (0, "0"), done.stderr
    return int(figures[0]), int(figures[1])


@pytest.mark.proof
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_flights_are_predicted_in_little_memory(ending: str, tmp_path: Path, quick: None) -> None:
    X, y = load_flights()
    flights = X.drop(columns="tailnum").assign(late=y)
    flights.sample(2000, random_state=0).sort_index().to_csv(tmp_path / "train.csv", index=False)
    assert fit(tmp_path / "train.csv", "late", tmp_path / "model") == 0
    if ending == "csv":
        flights.to_csv(tmp_path / "all.csv", index=False)
    else:
        flights.to_parquet(tmp_path / "all.parquet", index=False)
    flights.iloc[:1].to_csv(tmp_path / "one.csv", index=False)

    def predict(limit_kb: int, table: str, out: str, n_rows: int) -> subprocess.CompletedProcess[str]:
        options = ["-o", tmp_path / out, "--proba", "--chunk-rows", n_rows]
        return child(limit_kb, "predict", tmp_path / "model", tmp_path / table, *options)

    base, base_space = peaks(predict(0, "one.csv", "one_out.csv", 20_000))
    chunked, space = peaks(predict(0, f"all.{ending}", "chunked.csv", 20_000))
    whole, _ = peaks(predict(0, f"all.{ending}", "whole.csv", len(flights)))
    print(
        f"\n{ending}: peak memory {base / MB:.0f} MB of one row, {chunked / MB:.0f} in chunks, {whole / MB:.0f} whole"
    )
    assert chunked - base < 150 * MB
    assert whole - base > 3 * (chunked - base)
    # and under a limit that the whole does not keep
    limit = (base_space + space) // 2 + 150 * MB
    peaks(predict(limit, f"all.{ending}", "limited.csv", 20_000))
    refused = predict(limit, f"all.{ending}", "too_much.csv", len(flights))
    assert refused.returncode != 0
    assert not (tmp_path / "too_much.csv").exists()
    outs = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("chunked", "whole", "limited")]
    assert len(outs[0]) == len(flights)
    for out in outs[1:]:
        pd.testing.assert_frame_equal(out, outs[0], rtol=1e-6)
