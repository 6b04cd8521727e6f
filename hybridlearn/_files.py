"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file of a temporary name in the same folder that takes the place of `path` once all is written.

    Raises
    ------
    OSError
        Naming `path`; what was there is as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # not by tempfile: what it makes is its owner's alone, and umask is the whole process's to ask
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
