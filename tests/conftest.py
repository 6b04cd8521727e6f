"""Settings that make every test run the same way twice, on a laptop and on a busy shared machine."""

from __future__ import annotations

import os

import hypothesis

# Read when numpy, torch and xgboost load, so set before any of them; fresh interpreters inherit them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "Agg")

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("steady")
