"""Saved here, loaded there."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _models
import pytest
from _models import answers, assert_same, refitted

from hybridlearn.persistence import save

TESTS = Path(_models.__file__).parent
Elsewhere = Callable[[str, dict[str, Any]], None]


def run_python(*arguments: Any) -> str:
    """What a fresh interpreter prints."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def same_elsewhere(tmp_path: Path) -> Elsewhere:
    """Asserts that models answer in a fresh process as they do here; where asked to, after another fit too."""

    def check(task: str, models: dict[str, Any], how: str = "fitted") -> None:
        for name, model in models.items():
            save(model, tmp_path / f"{task}-{name}-{how}.hybrid")
        run_python(TESTS / "_models.py", tmp_path)
        said = pickle.loads((tmp_path / "answers.pkl").read_bytes())
        for name, model in models.items():
            stem = f"{task}-{name}-{how}"
            if how != "unfitted":
                assert_same(said[stem], answers(model), name)
            if how != "fitted":
                assert_same(said[stem + " refitted"], refitted(model, task), f"{name} refitted")

    return check
