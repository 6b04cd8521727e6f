"""What cannot be used: status 2, one line that names it, nothing written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from _cli import fit, only_line, run

from hybridlearn import BoostedTreesClassifier, HybridClassifier, persistence
from hybridlearn.cli import main


@pytest.fixture
def bad(folder: Path, tmp_path: Path) -> Path:
    """A folder with things that are wrong, each in its way, and a good table and model."""
    good = pd.read_csv(folder / "mortgages_test.csv").iloc[:60]
    good.to_csv(tmp_path / "good.csv", index=False)
    shutil.copy(folder / "mortgages.hybrid", tmp_path / "good.hybrid")
    content = bytearray((tmp_path / "good.hybrid").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "damaged.hybrid").write_bytes(content)
    (tmp_path / "no.hybrid").write_text("no model")
    persistence.save(HybridClassifier(), tmp_path / "unfitted.hybrid")
    good.drop(columns=["pirat", "single"]).to_csv(tmp_path / "narrow.csv", index=False)
    good.assign(pirat="much").to_csv(tmp_path / "kind.csv", index=False)
    good.assign(deny=good["deny"].where(good.index > 2)).to_csv(tmp_path / "gaps.csv", index=False)
    good.assign(deny="maybe").to_csv(tmp_path / "labels.csv", index=False)
    good.assign(deny="no").to_csv(tmp_path / "one.csv", index=False)
    good.rename(columns={"pirat": ""}).to_csv(tmp_path / "unnamed.csv", index=False)
    good.assign(deny=[*map(str, range(59)), "n.a."]).to_csv(tmp_path / "nearly.csv", index=False)
    good.iloc[:0].to_csv(tmp_path / "header.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "twice.csv").write_text("a,a,deny\n1,2,no\n")
    (tmp_path / "ragged.csv").write_text("a,deny\n1,no\n2,no,yes\n")
    (tmp_path / "latin.csv").write_bytes(b"a,deny\n1,caf\xe9\n")
    (tmp_path / "table.xlsx").write_text("")
    (tmp_path / "no.parquet").write_text("no parquet")
    (tmp_path / "folder").mkdir()
    return tmp_path


FIT = [
    (["absent.csv", "--target", "deny", "-o", "m"], "there is no file absent.csv"),
    (["folder", "--target", "deny", "-o", "m"], "folder is a folder, not a table"),
    (["good.csv", "--target", "denied", "-o", "m"], "--target denied: good.csv has no such column; it has 'pirat',"),
    (["good.csv", "--target", "deny", "--drop", "x", "y", "-o", "m"], "--drop x: good.csv has no such column"),
    (["good.csv", "--target", "deny", "--groups", "deny", "-o", "m"], "column 'deny' is named for two things"),
    (["good.csv", "--target", "deny", "-o", "folder"], "folder is a folder; name a file"),
    (["good.csv", "--target", "deny", "-o", "none/m"], "there is no folder none"),
    (["good.csv", "--target", "deny", "-o", "good.csv"], "good.csv would be replaced by what is made from it"),
    (["good.csv", "--target", "deny", "-o", "m", "--device", "gpu"], "device='gpu' is not a torch device"),
    (["good.csv", "--target", "deny", "-o", "m", "--task", "regression"], "row 1 has 'no'"),
    (["good.csv", "--target", "deny", "-o", "m", "--weights", "single"], "--weights single: it must hold numbers, not"),
    (["good.csv", "--target", "deny", "-o", "m", "--time", "single"], "--time single: it must hold numbers or dates"),
    (["table.xlsx", "--target", "deny", "-o", "m"], "unknown ending '.xlsx'"),
    (["no.parquet", "--target", "deny", "-o", "m"], "no.parquet cannot be read as Parquet"),
    (["gaps.csv", "--target", "deny", "-o", "m"], "target 'deny' is missing in 3 of 60 rows, first in row 1"),
    (["one.csv", "--target", "deny", "-o", "m"], "one class only ('no')"),
    (["unnamed.csv", "--target", "deny", "-o", "m"], "column 1 has no name"),
    (["nearly.csv", "--target", "deny", "-o", "m"], "row 60 has 'n.a.'"),
    (["header.csv", "--target", "deny", "-o", "m"], "header.csv has a header and no rows"),
    (["empty.csv", "--target", "deny", "-o", "m"], "empty.csv is empty"),
    (["twice.csv", "--target", "deny", "-o", "m"], "columns 'a' stand more than once"),
    (["ragged.csv", "--target", "deny", "-o", "m"], "ragged.csv, line 3: 3 fields, but the header has 2"),
    (["latin.csv", "--target", "deny", "-o", "m"], "latin.csv, line 2, byte 6: 0xe9 is not UTF-8"),
    (["one.csv", "--target", "deny", "--drop", "deny", "-o", "m"], "column 'deny' is named for two things"),
    (["twice.csv", "--target", "a", "-o", "m"], "columns 'a' stand more than once"),
]
PREDICT = [
    (["absent.hybrid", "good.csv", "-o", "p.csv"], "there is no file absent.hybrid"),
    (["folder", "good.csv", "-o", "p.csv"], "folder is a folder, not a model file"),
    (["damaged.hybrid", "good.csv", "-o", "p.csv"], "damaged.hybrid cannot be loaded"),
    (["no.hybrid", "good.csv", "-o", "p.csv"], "no.hybrid cannot be loaded"),
    (["good.csv", "good.csv", "-o", "p.csv"], "good.csv cannot be loaded"),
    (["unfitted.hybrid", "good.csv", "-o", "p.csv"], "HybridClassifier that was not fitted"),
    (["good.hybrid", "absent.csv", "-o", "p.csv"], "there is no file absent.csv"),
    (["good.hybrid", "good.csv", "-o", "p"], "p has the unknown ending ''"),
    (["good.hybrid", "good.csv", "-o", "p.xlsx"], "p.xlsx has the unknown ending '.xlsx'"),
    (["good.hybrid", "good.csv", "-o", "none/p.csv"], "there is no folder none"),
    (["good.hybrid", "good.csv", "-o", "good.csv"], "good.csv would be replaced"),
    (
        ["good.hybrid", "narrow.csv", "-o", "p.csv"],
        "narrow.csv lacks 2 columns that good.hybrid needs: 'pirat', 'single'",
    ),
    (["good.hybrid", "kind.csv", "-o", "p.csv"], "column 'pirat', row 1: 'much' is no number"),
    (["good.hybrid", "empty.csv", "-o", "p.csv"], "empty.csv is empty"),
    (["good.hybrid", "twice.csv", "-o", "p.csv"], "columns 'a' stand more than once"),
]
EVALUATE = [
    (["good.hybrid", "good.csv", "--target", "denied"], "good.csv has no target 'denied'"),
    (["good.hybrid", "gaps.csv"], "target 'deny' is missing in row 1"),
    (["good.hybrid", "labels.csv"], "target 'deny', row 1: 'maybe' is not one of the model's classes 'no', 'yes'"),
    (["good.hybrid", "header.csv"], "header.csv has no rows"),
    (["good.hybrid", "narrow.csv"], "narrow.csv lacks 2 columns"),
    (["damaged.hybrid", "good.csv"], "damaged.hybrid cannot be loaded"),
]
SHOW = [
    (["absent.hybrid"], "there is no file absent.hybrid"),
    (["damaged.hybrid"], "damaged.hybrid cannot be loaded"),
    (["unfitted.hybrid"], "HybridClassifier that was not fitted"),
]
REFUSED = [
    (command, arguments, complaint)
    for command, cases in (("fit", FIT), ("predict", PREDICT), ("evaluate", EVALUATE), ("show", SHOW))
    for arguments, complaint in cases
]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@pytest.mark.parametrize(("command", "arguments", "complaint"), REFUSED, ids=lambda part: str(part)[:60])
def test_what_cannot_be_used_takes_one_line_and_writes_nothing(
    command: str,
    arguments: list[str],
    complaint: str,
    bad: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(bad)
    before = contents(bad)
    assert run(command, *arguments) == 2
    line = only_line(capsys.readouterr().err)
    assert line.startswith(f"hybridlearn {command}: ")
    assert complaint in line
    assert contents(bad) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "t.csv", "-o", "m"],
        ["fit", "t.csv", "--target", "y"],
        ["fit", "t.csv", "--target", "y", "-o", "m", "--task", "ranking"],
        ["fit", "t.csv", "--target", "y", "-o", "m", "--time-limit", "0"],
        ["fit", "t.csv", "--target", "y", "-o", "m", "--time-limit", "inf"],
        ["fit", "t.csv", "--target", "y", "-o", "m", "--time-limit", "soon"],
        ["fit", "t.csv", "--target", "y", "-o", "m", "--sep", ",,"],
        ["predict", "m", "t.csv"],
        ["predict", "m", "t.csv", "-o", "p.csv", "--chunk-rows", "0"],
        ["evaluate", "m"],
        ["show"],
    ],
)
def test_a_wrong_argument_takes_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    said = capsys.readouterr()
    assert (exited.value.code, said.out) == (2, "")
    assert only_line(said.err).startswith(f"hybridlearn {arguments[0]}: ")


def test_a_regressor_has_no_probabilities(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [folder / "houses.hybrid", folder / "houses_test.csv", "-o", tmp_path / "p.csv", "--proba"]
    assert run("predict", *arguments) == 2
    assert "--proba is for classes" in only_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_there_is_no_parquet(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "t.parquet").touch()
    model, table = folder / "mortgages.hybrid", folder / "mortgages_test.csv"
    assert run("predict", model, tmp_path / "t.parquet", "-o", tmp_path / "p.csv") == 2
    assert "pip install 'hybridlearn[parquet]'" in only_line(capsys.readouterr().err)
    assert run("predict", model, table, "-o", tmp_path / "p.parquet") == 2
    assert "pip install 'hybridlearn[parquet]'" in only_line(capsys.readouterr().err)
    assert run("fit", tmp_path / "t.parquet", "--target", "y", "-o", tmp_path / "m") == 2
    assert "pip install 'hybridlearn[parquet]'" in only_line(capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_a_folder_without_write_permission(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    assert fit(folder / "mortgages_train.csv", "deny", tmp_path / "m") == 2
    assert f"{tmp_path} is not writable" in only_line(capsys.readouterr().err)


def test_a_bug_is_not_dressed_up_as_a_users_error(
    folder: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("inside a member")

    monkeypatch.setattr(BoostedTreesClassifier, "_fit", broken, raising=False)
    monkeypatch.setattr(BoostedTreesClassifier, "fit", broken)
    with pytest.raises(ValueError, match="inside a member"):
        fit(folder / "mortgages_train.csv", "deny", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    """The exit status and the streams as a shell sees them; no progress bar where nobody looks."""
    command = [sys.executable, "-m", "hybridlearn", "predict", folder / "mortgages.hybrid", "-o", tmp_path / "p.csv"]
    done = subprocess.run([*command, folder / "houses_test.csv"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert only_line(done.stderr).startswith("hybridlearn predict: ")
    assert list(tmp_path.iterdir()) == []
