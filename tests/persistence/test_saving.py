"""A file is written whole or not at all; one of another version says so."""

from __future__ import annotations

import json
import os
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _forged import parts_of, with_manifest
from _models import lasting_table, numbers, run_python
from sklearn.linear_model import LogisticRegression

import hybridlearn as hl
from hybridlearn.persistence import ModelFileError, VersionWarning, about, load, save, versions

MODELS = Path(__file__).parent / "models"
BEFORE = LogisticRegression(C=1)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / "model.hybrid"
    save(BEFORE, path)
    return path


def assert_as_before(path: Path) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert load(path).C == 1


FULL = """
import resource, signal, sys, numpy as np
from hybridlearn.persistence import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save({"large": np.zeros(1_000_000)}, sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_full_disk(there: Path) -> None:
    said = run_python("-c", FULL, there)
    assert "File too large" in said
    assert str(there) in said
    assert_as_before(there)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize(("owner", "moment"), [(zipfile.ZipFile, "writestr"), (os, "fsync"), (os, "replace")])
def test_an_interruption_while_it_is_written(
    error: Any, owner: Any, moment: str, there: Path, monkeypatch: Any
) -> None:
    parts: list[Any] = []

    def interrupted(*arguments: Any) -> None:
        parts.append(arguments)
        if len(parts) > 1 or owner is os:
            raise error
        return honest(*arguments)

    honest = getattr(owner, moment)
    monkeypatch.setattr(owner, moment, interrupted)
    with pytest.raises(error):
        save(LogisticRegression(C=2), there)
    monkeypatch.undo()
    assert parts
    assert_as_before(there)


@pytest.mark.parametrize("place", ["nowhere/model", "file/model"])
def test_a_folder_that_is_none(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=str(tmp_path / place)) as raised:
        save(BEFORE, tmp_path / place)
    assert isinstance(raised.value, FileNotFoundError | NotADirectoryError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for call in (lambda path: save(BEFORE, path), load):
        with pytest.raises(IsADirectoryError, match="model"):
            call(tmp_path / "model")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match="model"):
        save(BEFORE, tmp_path / "model")
    tmp_path.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
def test_a_file_is_for_whom_the_user_lets_read_it(tmp_path: Path, monkeypatch: Any) -> None:
    """The mask is the whole process's: asked for by two threads at a time, it would be lost."""
    mask = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("the mask was changed"))
            save(BEFORE, tmp_path / "model")
        assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(mask)


def test_two_who_save_to_one_path(there: Path) -> None:
    """One of them wins, whole, at any time."""

    def save_and_load(C: int) -> float:
        save({"C": np.full(20_000, C)}, there)
        found = load(there)["C"]
        assert (found == found[0]).all()
        return float(found[0])

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(save_and_load, range(40)))
    assert set(found) <= set(range(40))
    assert [entry.name for entry in there.parent.iterdir()] == [there.name]


# versions


def test_a_file_of_other_versions_says_so_once(there: Path) -> None:
    others = {**versions(), "numpy": "1.0", "torch": "0.1"}
    there.write_bytes(with_manifest(versions=others)(there.read_bytes()))
    said = rf"model.hybrid was written with numpy 1.0 \(here {np.__version__}\), torch 0.1 \(here .*\); predictions may"
    with pytest.warns(VersionWarning, match=said) as warned:
        assert load(there).C == 1
    assert len(warned) == 1
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(VersionWarning):
            load(there)


def test_a_library_that_was_not_there_is_told_too(there: Path) -> None:
    others = {name: text for name, text in versions().items() if name != "xgboost"}
    there.write_bytes(with_manifest(versions=others)(there.read_bytes()))
    with pytest.warns(VersionWarning, match=r"xgboost None \(here"):
        load(there)


def test_a_later_format_is_refused(there: Path) -> None:
    later = with_manifest(format=2, versions={"hybridlearn": "9.0"}, parts="elsewhere")
    there.write_bytes(later(there.read_bytes()))
    with pytest.raises(ModelFileError, match=r"of format 2, written by hybridlearn 9\.0; .* update hybridlearn"):
        load(there)


def test_the_manifest_tells_what_is_inside(there: Path) -> None:
    told = about(there)
    assert (told["model"], told["versions"]) == ("LogisticRegression", versions())
    assert told["files"].keys() == parts_of(there.read_bytes()).keys() - {"manifest.json"}


@pytest.mark.parametrize("name", sorted(path.stem for path in MODELS.glob("*.hybrid")))
def test_a_model_file_of_an_earlier_version_says_what_it_said(name: str) -> None:
    X, _ = lasting_table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionWarning)
        model = load(MODELS / f"{name}.hybrid")
    expected = json.loads((MODELS / "margins.json").read_text())[name]
    table = numbers(X) if name == "Module" else X
    np.testing.assert_allclose(hl.margin(model, table[:12]), expected, rtol=1e-5, atol=1e-6)


def test_there_are_model_files_of_every_kind() -> None:
    assert len(json.loads((MODELS / "margins.json").read_text())) == len(list(MODELS.glob("*.hybrid"))) >= 14


def test_a_class_is_no_estimator(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="LogisticRegression is a class; did you forget its parentheses"):
        save(LogisticRegression, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
