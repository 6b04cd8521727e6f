"""One seed, the same bits: in two fits, in two processes, with one worker or two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from hybridlearn.crossfit import _parallel
from hybridlearn.ensemble import HybridClassifier
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.trees import BoostedTreesClassifier

MEMBERS = [
    ("trees", BoostedTreesClassifier(n_estimators=8, learning_rate=0.3)),
    ("mlp", TabularMLPClassifier(hidden_layer_sizes=(8,), max_epochs=4, learning_rate=0.02)),
    ("forest", RandomForestClassifier(5)),
    ("linear", LogisticRegression()),
]


def decision(n_jobs: int | None = None, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    y = X[:, 0] + rng.normal(size=120) > 0
    return HybridClassifier(estimators=MEMBERS, cv=2, n_jobs=n_jobs, random_state=seed).fit(X, y).decision_function(X)


def test_two_fits_agree_to_the_last_bit_and_global_seeds_do_not_matter() -> None:
    np.random.seed(0)
    first = decision()
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(decision(), first)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert (decision(seed=1) != first).any()


def test_two_workers_agree_with_one_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = decision(n_jobs=1)
    np.testing.assert_array_equal(decision(n_jobs=2), alone)
    # so little work stays in this process, unless it is told that workers are worth it
    handed: list[int] = []

    class Watched(joblib.Parallel):
        def __call__(self, jobs: Iterable[Any]) -> Any:
            jobs = list(jobs)
            handed.append(len(jobs))
            return super().__call__(jobs)

    monkeypatch.setattr(_parallel, "Parallel", Watched)
    monkeypatch.setattr(_parallel, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(_parallel, "WORTH_SECONDS", 0.0)
    np.testing.assert_array_equal(decision(n_jobs=2), alone)
    # of eight fits the first stays here, and those of the two nets are one
    assert handed == [6]


def test_two_fresh_processes_agree_to_the_last_bit() -> None:
    code = "import test_seeds as t; print(t.decision(seed=0).tobytes().hex(), t.decision(seed=1).tobytes().hex())"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "random"}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    (zero, one), (zero_again, one_again) = (process.communicate()[0].split() for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert zero == zero_again == decision(seed=0).tobytes().hex()
    assert one == one_again != zero
