"""Saved here, loaded there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _models import TESTS, answers, assert_same, refitted, run_python

from hybridlearn.persistence import save

Elsewhere = Callable[[str, dict[str, Any]], None]


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
