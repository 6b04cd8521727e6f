"""Whatever is done to a model file: it loads as the same model, or ends in a `ModelFileError`, and runs nothing.

What was made right again behind a change (sizes and hashes in the manifest) may be somebody's model: another one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _estimators import SMALL_NET, SMALL_TREES
from _forged import FORGED
from _models import TESTS, fit, members, run_python
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier

from hybridlearn import BoostedTreesClassifier, HybridClassifier, TabularMLPClassifier
from hybridlearn.persistence import save

SAMPLE, ALL, PROCESSES = 200, 10_000, 8


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files with parts of every kind."""
    folder = tmp_path_factory.mktemp("honest")
    net = ("net", TabularMLPClassifier(**{**SMALL_NET, "max_epochs": 1}, random_state=0))
    save(
        fit(HybridClassifier(estimators=[*members("two"), net], cv=2, random_state=0), "two"), folder / "hybrid.hybrid"
    )
    strangers = [
        ("histogram", HistGradientBoostingClassifier(max_iter=2, random_state=0)),
        ("extra", ExtraTreesClassifier(2, max_depth=3, random_state=0)),
        ("neighbours", KNeighborsClassifier()),
        ("gradient", SGDClassifier(loss="log_loss", random_state=0)),
    ]
    voting: Any = VotingClassifier(strangers, voting="soft")
    voting.only_numbers = True
    save({"model": fit(voting, "two"), "state": np.random.RandomState(0)}, folder / "sklearn.hybrid")
    trees = BoostedTreesClassifier(**{**SMALL_TREES, "n_estimators": 3, "categories": "native"}, random_state=0)
    save(fit(trees, "three"), folder / "trees.hybrid")
    return folder


def came_of(honest: Path, first: int, last: int) -> dict[str, Any]:
    return json.loads(run_python(TESTS / "_mutants.py", honest, first, last).splitlines()[-1])


def check(said: dict[str, Any]) -> None:
    assert said["faults"] == []
    assert said["grown"] < 2, "memory of the process"
    counts = said["counts"]
    assert min(counts.values()) > 0, counts


def test_forged_files_and_a_sample_of_mutants(honest: Path) -> None:
    said = came_of(honest, 0, SAMPLE)
    wrong = {name: text for name, text in said["forged"].items() if not re.search(FORGED[name][1], text)}
    assert wrong == {}
    check(said)


@pytest.mark.proof
@pytest.mark.parametrize("process", range(PROCESSES))
def test_mutants(process: int, honest: Path) -> None:
    each = ALL // PROCESSES
    check(came_of(honest, 1 + process * each, 1 + (process + 1) * each))


BITES = """
import pickle
from _mutants import PICKLE, Watch
watch = Watch()
watch.is_on = True
pickle.loads(PICKLE)
exec("import wave")
open("written", "w").close()
watch.is_on = False
print(*{event.partition(" ")[0] for event in watch.seen})
"""


def test_the_watch_sees_what_it_is_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = set(run_python("-c", BITES).split())
    assert seen >= {"pickle.find_class", "os.system", "exec", "compile", "import", "open"}
