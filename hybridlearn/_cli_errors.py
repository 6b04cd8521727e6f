"""How a command tells its user what is wrong: one line on stderr each, an error or a warning."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["UserError", "blaming", "check_input", "check_output", "listed", "one_line_warnings"]

_MOST_NAMES = 20


class UserError(Exception):
    """What a command was given cannot be used; the message says what, and what to do."""


@contextmanager
def blaming(*errors: type[Exception]) -> Iterator[None]:
    """Make user's errors of these: only around what fails because of what was given."""
    try:
        yield
    except errors as error:
        raise UserError(str(error)) from error


@contextmanager
def one_line_warnings(command: str) -> Iterator[None]:
    """Each warning to the user takes one line, once; those to programmers are left to Python."""
    from tqdm import tqdm

    told: set[str] = set()

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        text = " ".join(str(message).split())
        if text not in told:
            told.add(text)
            # above the bar, if there is one
            tqdm.write(f"hybridlearn {command}: warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = show
        yield


def check_input(path: Path, what: str) -> None:
    """Raise a UserError where there is no file to read."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a {what}")
    if not path.exists():
        raise UserError(f"there is no file {path}")


def check_output(path: Path, *inputs: Path) -> None:
    """Say before the work that its result could not be written, or would replace what it is made from."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"the folder {path.parent} is not writable")
    if any(path.exists() and path.samefile(other) for other in inputs):
        raise UserError(f"{path} would be replaced by what is made from it; write to another file")


def listed(names: list[str]) -> str:
    """Names as they are told to a person, of many the first."""
    more = len(names) - _MOST_NAMES
    return ", ".join(map(repr, names[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")
