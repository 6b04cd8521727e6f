"""A fit that was killed goes on where it was, and never from where another one was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hybridlearn.crossfit import _pieces
from hybridlearn.ensemble import (
    ConcatClassifier,
    HybridBaggingClassifier,
    HybridBoostingClassifier,
    HybridClassifier,
    HybridRegressor,
    HybridStackingClassifier,
)
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3))
Y = np.where(X[:, 0] + RNG.normal(size=150) > 0, "yes", "no")
TREES = BoostedTreesClassifier(n_estimators=5, learning_rate=0.3)
NET = TabularMLPClassifier(hidden_layer_sizes=(8,), max_epochs=2)
MEMBERS = [("trees", TREES), ("net", NET), ("linear", make_pipeline(StandardScaler(), LogisticRegression()))]
NUMBERS = [("trees", BoostedTreesRegressor(n_estimators=5)), ("ridge", Ridge())]
ENSEMBLES: dict[str, Any] = {
    "hybrid": HybridClassifier(estimators=MEMBERS, cv=2),
    "hybrid, forward in time": HybridClassifier(estimators=MEMBERS, cv=TimeSeriesSplit(2)),
    "numbers": HybridRegressor(estimators=NUMBERS, cv=2),
    "stacking": HybridStackingClassifier(estimators=MEMBERS[:2], final_estimator=LogisticRegression(), cv=3, layers=2),
    "bagging": HybridBaggingClassifier(estimator=TREES, n_estimators=3, resample="bootstrap"),
    "boosting": HybridBoostingClassifier(estimators=[("ridge", Ridge()), ("trees", TREES)], cv=2, inner_cv=2),
    "concatenation": ConcatClassifier(embedders=MEMBERS[:2], cv=2),
}
MAY_SWITCH_OFF = pytest.mark.filterwarnings("ignore:layers=2 is switched off")


@pytest.fixture
def fitted_units(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The member of each unit that is fitted, as it is fitted."""
    names: list[str] = []

    def counted(unit: Any, **how: Any) -> Any:
        names.append(unit[0].name)
        return fit_unit(unit, **how)

    fit_unit = _pieces.fit_unit
    monkeypatch.setattr(_pieces, "fit_unit", counted)
    return names


def told(ensemble: Any, X: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    """What an ensemble predicts after a fit."""
    target = X[:, 0] if isinstance(ensemble, HybridRegressor) else y
    return ensemble.fit(X, target).margin(X)


@MAY_SWITCH_OFF
@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_second_fit_finds_all_units_and_says_the_same(name: str, tmp_path: Path, fitted_units: list[str]) -> None:
    plain = told(clone(ENSEMBLES[name]).set_params(random_state=0))
    assert fitted_units == [], "without a checkpoint nothing is kept"
    ensemble = clone(ENSEMBLES[name]).set_params(random_state=0, checkpoint=tmp_path / "a" / "b")
    np.testing.assert_array_equal(told(ensemble), plain)
    first = len(fitted_units)
    assert first > 1
    leaderboard = getattr(ensemble, "leaderboard_", None)
    np.testing.assert_array_equal(told(clone(ensemble)), plain)
    assert len(fitted_units) == first
    if leaderboard is not None:
        again = clone(ensemble).fit(X, X[:, 0] if name == "numbers" else Y)
        assert again.leaderboard_.equals(leaderboard), "seconds, too, are those of the fit that was done"
        again.ledger_.assert_leak_free()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_keep_their_units_themselves(n_jobs: int, tmp_path: Path) -> None:
    ensemble = clone(ENSEMBLES["hybrid"]).set_params(random_state=0, checkpoint=str(tmp_path), n_jobs=n_jobs)
    first = told(ensemble)
    units = sorted(path.name for path in tmp_path.iterdir())
    assert len(units) == 5, "two folds of trees and line, one program of nets"
    np.testing.assert_array_equal(told(ensemble.set_params(n_jobs=3 - n_jobs)), first)
    assert sorted(path.name for path in tmp_path.iterdir()) == units


def changed_cell() -> np.ndarray:
    other = X.copy()
    other[7, 1] += 1e-9
    return other


CHANGES: dict[str, dict[str, Any]] = {
    "a cell": {"X": changed_cell()},
    "a label": {"y": np.where(np.arange(150) == 3, "no" if Y[3] == "yes" else "yes", Y)},
    "rows": {"X": X[:-1], "y": Y[:-1]},
    "weights": {"sample_weight": np.linspace(1, 2, 150)},
    "groups": {"groups": np.arange(150) // 2},
    "time": {"time": np.arange(150)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_data_use_no_piece(name: str, tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(estimators=[("trees", TREES)], cv=2, random_state=0, checkpoint=tmp_path)
    ensemble.fit(X, Y)
    data = {"X": X, "y": Y} | CHANGES[name]
    fitted_units.clear()
    found = clone(ensemble).fit(**data).margin(X)
    beside = len(fitted_units)
    fresh = clone(ensemble).set_params(checkpoint=tmp_path / "fresh").fit(**data).margin(X)
    assert len(fitted_units) == 2 * beside, "as many as in a folder that is empty"
    np.testing.assert_array_equal(found, fresh)


@pytest.mark.parametrize(
    "change",
    [{"random_state": 1}, {"cv": 3}, {"trees__max_depth": 2}, {"trees__random_state": 5}],
    ids=lambda change: next(iter(change)),
)
def test_other_parameters_use_no_piece(change: dict[str, Any], tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(estimators=[("trees", TREES)], cv=2, random_state=0, checkpoint=tmp_path)
    ensemble.fit(X, Y)
    before = len(fitted_units)
    other = clone(ensemble).set_params(**change)
    found = told(other)
    assert len(fitted_units) == before + other.get_params()["cv"]
    np.testing.assert_array_equal(found, told(other.set_params(checkpoint=None)))


def test_other_versions_use_no_piece(tmp_path: Path, fitted_units: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = HybridClassifier(estimators=[("trees", TREES)], cv=2, random_state=0, checkpoint=tmp_path).fit(X, Y)
    monkeypatch.setattr(_pieces, "versions", lambda: {"hybridlearn": "9.9"})
    told(ensemble)
    assert len(fitted_units) == 4


def test_a_member_more_leaves_the_others_as_they_are(tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(estimators=MEMBERS[:2], cv=2, random_state=0, checkpoint=tmp_path).fit(X, Y)
    fitted_units.clear()
    ensemble.set_params(estimators=MEMBERS).fit(X, Y)
    assert fitted_units == ["linear", "linear"]


def test_a_seed_that_was_drawn_is_kept(tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(estimators=[("trees", TREES)], cv=2, checkpoint=tmp_path)
    first = told(ensemble)
    np.testing.assert_array_equal(told(clone(ensemble)), first)
    assert len(fitted_units) == 2
    other = clone(ensemble).fit(changed_cell(), Y)
    seeds = {path.read_text() for path in tmp_path.glob("*.seed.json")}
    assert len(seeds) == 2, "other data draw a seed of their own"
    assert (other.oof_.fold != ensemble.oof_.fold).any()


def test_a_seed_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    ensemble = HybridClassifier(estimators=MEMBERS[:1], cv=2, checkpoint=tmp_path, scoring=lambda e, X, y: 0.0)
    with pytest.warns(UserWarning, match="the seed of the fit cannot be kept .*give random_state"):
        ensemble.fit(X, Y)


# what can go wrong


class Own(ClassifierMixin, BaseEstimator):
    """A user's classifier, which no model file can hold."""

    def fit(self, X: Any, y: Any) -> Own:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.mark.parametrize(
    "member", [Own(), make_pipeline(FunctionTransformer(lambda X: X), GaussianNB())], ids=["foreign class", "lambda"]
)
def test_members_that_cannot_be_kept_are_named_once(member: Any, tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(
        estimators=[("trees", TREES), ("own", member)], cv=3, random_state=0, checkpoint=tmp_path
    )
    for names in (["trees"] * 3 + ["own"] * 3, ["own"] * 3):
        fitted_units.clear()
        with pytest.warns(UserWarning, match="fits of member 'own' cannot be kept in checkpoint") as caught:
            ensemble.fit(X, Y)
        assert len(caught) == 1
        assert fitted_units == names


def test_an_interrupted_fit_goes_on(tmp_path: Path, fitted_units: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = clone(ENSEMBLES["hybrid"]).set_params(random_state=0, checkpoint=tmp_path)
    plain = told(clone(ensemble).set_params(checkpoint=None))
    with monkeypatch.context() as patched:
        patched.setattr(LogisticRegression, "fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ensemble.fit(X, Y)
    assert not hasattr(ensemble, "oof_")
    fitted_units.clear()
    np.testing.assert_array_equal(told(ensemble), plain)
    assert fitted_units == ["linear", "linear"]


def test_a_fit_with_a_time_limit_goes_on_too(tmp_path: Path, fitted_units: list[str]) -> None:
    """Other seconds are left for each member, but that is not what its fit hangs on."""
    ensemble = HybridClassifier(estimators=MEMBERS, cv=2, random_state=0, checkpoint=tmp_path, time_limit=1000)
    first = told(ensemble)
    begun = len(fitted_units)
    np.testing.assert_array_equal(told(clone(ensemble)), first)
    assert len(fitted_units) == begun
    told(ensemble.set_params(time_limit=2000))
    assert len(fitted_units) == 2 * begun, "under another limit members may be cut elsewhere"


def truncate(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def flip(path: Path, other: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("harm", [truncate, empty, swap, flip])
def test_a_piece_that_is_damaged_is_fitted_again(harm: Any, tmp_path: Path, fitted_units: list[str]) -> None:
    ensemble = HybridClassifier(estimators=[("trees", TREES)], cv=2, random_state=0, checkpoint=tmp_path)
    first = told(ensemble)
    paths = sorted(tmp_path.glob("*.hybrid"))
    harm(*paths)
    fitted_units.clear()
    with pytest.warns(UserWarning, match=f"{paths[0].name}.*; what it held is fitted again"):
        np.testing.assert_array_equal(told(ensemble), first)
    assert fitted_units == ["trees"]
    np.testing.assert_array_equal(told(ensemble), first)
    assert fitted_units == ["trees"], "it has been mended"


def test_a_checkpoint_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"checkpoint='.*file' is no folder"):
        HybridClassifier(estimators=MEMBERS, checkpoint=tmp_path / "file").fit(X, Y)


def test_a_checkpoint_is_a_folder_as_a_shell_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    HybridClassifier(estimators=MEMBERS[:1], cv=2, checkpoint="~/pieces").fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == ["pieces"]
    with pytest.raises(ValueError, match="checkpoint='' names no folder"):
        HybridClassifier(estimators=MEMBERS[:1], cv=2, checkpoint="").fit(X, Y)


CHILD = """
import resource, sys, warnings
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_checkpoint
_, _, folder, out, log, limit = sys.argv
if limit != "none":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
test_checkpoint.run(folder, out, log)
"""


def long_hybrid(folder: Any) -> HybridClassifier:
    """Ten units of some tenths of a second."""
    nets = [(f"net{i}", NET.__class__(hidden_layer_sizes=(32 + i,), max_epochs=15)) for i in range(2)]
    trees = [("trees", BoostedTreesClassifier(n_estimators=40, early_stopping=False))]
    linear = [("linear", LogisticRegression())]
    return HybridClassifier(estimators=trees + nets + linear, cv=4, random_state=0, checkpoint=folder)


def run(folder: str, out: str, log: str) -> None:
    """In a process of its own: fit, tell of each unit, write the margins."""
    keep = _pieces.fit_and_keep

    def told_of(piece: Any, *args: Any) -> Any:
        tell(log, f"start {piece.key}")
        found = keep(piece, *args)
        tell(log, f"kept {piece.key}")
        return found

    # where the engine looks it up
    sys.modules["hybridlearn.crossfit._running"].fit_and_keep = told_of  # type: ignore[attr-defined]
    hybrid = long_hybrid(folder)
    print("begin", flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hybrid.fit(X, Y)
    np.save(out, hybrid.margin(X))
    print("\n".join(str(w.message) for w in caught), flush=True)


def tell(log: str, line: str) -> None:
    if log != "none":
        with open(log, "a") as file:
            file.write(f"{line} {time.time()}\n")


def start(folder: Path, out: Path, log: Any = "none", limit: Any = "none") -> subprocess.Popen:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", CHILD, here, str(folder), str(out), str(log), str(limit)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def end(process: subprocess.Popen) -> str:
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return long_hybrid(None).fit(X, Y).margin(X)


def test_two_processes_may_share_a_folder(tmp_path: Path, plain: np.ndarray) -> None:
    both = [start(tmp_path / "pieces", tmp_path / f"{i}.npy") for i in range(2)]
    for i, process in enumerate(both):
        assert end(process).split() == ["begin"]
        np.testing.assert_array_equal(np.load(tmp_path / f"{i}.npy"), plain)
    assert {path.suffix for path in (tmp_path / "pieces").iterdir()} == {".hybrid"}


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_disk_that_is_full_costs_the_pieces_and_not_the_fit(tmp_path: Path, plain: np.ndarray) -> None:
    said = end(start(tmp_path / "pieces", tmp_path / "out.npy", limit=8000))
    assert "cannot be kept in checkpoint" in said
    assert "File too large" in said
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), plain)
    for path in (tmp_path / "pieces").iterdir():
        assert path.suffix == ".hybrid", "nothing is half written"
        assert path.stat().st_size <= 8000


def kill_and_resume(folder: Path, seconds: float, plain: np.ndarray) -> float:
    """The share of the seconds of all units that were done twice."""
    log, out = folder / "log", folder / "out.npy"
    process = start(folder / "pieces", out, log)
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = time.time()
    end(start(folder / "pieces", out, log))
    np.testing.assert_array_equal(np.load(out), plain)
    lines = [line.split() for line in log.read_text().splitlines()]
    starts = [key for what, key, _ in lines if what == "start"]
    kept = [key for what, key, _ in lines if what == "kept"]
    assert len(kept) == len(set(kept)), "a unit that was kept was fitted again"
    twice = {key for key in starts if starts.count(key) > 1}
    assert len(twice) <= 1
    begun = {key: float(when) for what, key, when in reversed(lines) if what == "start"}
    done = {key: float(when) for what, key, when in lines if what == "kept"}
    last = {key: float(when) for what, key, when in lines if what == "start"}
    return sum(killed - begun[key] for key in twice) / sum(done[key] - last[key] for key in done)


def test_a_fit_that_is_killed_goes_on(tmp_path: Path, plain: np.ndarray) -> None:
    kill_and_resume(tmp_path, 0.4, plain)


@pytest.mark.proof
def test_fits_that_are_killed_at_any_moment_go_on(tmp_path: Path, plain: np.ndarray) -> None:
    started = time.time()
    process = start(tmp_path / "none", tmp_path / "out.npy")
    assert process.stdout is not None
    process.stdout.readline()
    started = time.time()
    end(process)
    whole = time.time() - started
    shares = []
    for i, seconds in enumerate(np.random.default_rng(0).uniform(0, whole, 20)):
        folder = tmp_path / str(i)
        folder.mkdir()
        shares.append(kill_and_resume(folder, seconds, plain))
    print(f"\n20 kills within {whole:.1f} s: work done twice {np.mean(shares):.3f} of all, at most {max(shares):.3f}")
    assert np.mean(shares) < 0.5
