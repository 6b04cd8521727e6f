"""Tables in files: read whole or in chunks, written whole or not at all.

A CSV file is read as text, record by record: what a column holds is decided by all of it or by the model, never by the
rows that happen to be in one chunk.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from ._cli_errors import UserError, blaming, check_input, listed
from ._extras import require
from ._files import replacing

__all__ = ["MISSING_TEXTS", "TableFile", "check_table_ending", "open_table", "table_writer"]

_TEXT, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
_ENDINGS = "a table ends in .csv, .tsv, .txt, .parquet or .pq"

# What pandas, too, takes for a missing value.
MISSING_TEXTS = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
        *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)

_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 2**16
_SAMPLE_RECORDS = 50
_ROWS_AT_ONCE = 20_000


class TableFile(Protocol):
    """A table that lies in a file.

    Attributes
    ----------
    path : Path
    names : list of str
        Its columns.
    is_text : bool
        Whether its values have no types but are all text, as those of a CSV file.
    n_rows : int or None
        None where only reading it would tell.
    """

    path: Path
    names: list[str]
    is_text: bool
    n_rows: int | None

    def chunks(self, columns: list[str], n_rows: int) -> Iterator[pd.DataFrame]:
        """The named columns of `n_rows` rows at a time, of the last chunk fewer; no chunk of a table without rows."""

    def whole(self, columns: list[str]) -> pd.DataFrame:
        """The named columns of all rows."""


def open_table(path: Path, *, sep: str | None = None) -> TableFile:
    """Look at a table's columns; raises a UserError where they cannot be read, or one name stands twice.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    sep : str, optional
        Separator of a text file; by default it is found out.
    """
    is_parquet = check_table_ending(path)
    check_input(path, "table")
    table: TableFile
    with blaming(OSError):
        table = _ParquetTable(path) if is_parquet else _TextTable(path, sep)
    twice = sorted({name for name in table.names if table.names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: columns {listed(twice)} stand more than once in the header; rename them")
    return table


def check_table_ending(path: Path) -> bool:
    """Whether a table is to be Parquet by its ending; a UserError where that is unknown, or pyarrow is missing."""
    ending = path.suffix.lower()
    if ending not in _TEXT + _PARQUET:
        raise UserError(f"{path} has the unknown ending {path.suffix!r}: {_ENDINGS}")
    if ending in _PARQUET:
        with blaming(ImportError):
            require("pyarrow.parquet", purpose=path.name)
    return ending in _PARQUET


class _TextTable:
    is_text = True
    n_rows: int | None = None

    def __init__(self, path: Path, sep: str | None):
        self.path = path
        self.sep = sep or ("\t" if path.suffix.lower() == ".tsv" else self._found_separator())
        first = next(self._records(), None)
        if first is None:
            raise UserError(f"{path} is empty: it has not even a header")
        self.names: list[str] = first[1]

    def _found_separator(self) -> str:
        """The one that parts the first records into equally many fields, and into most."""
        with self._telling_of_bytes(), self.path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(_SAMPLE_CHARACTERS)
        is_cut = len(sample) == _SAMPLE_CHARACTERS
        suitability = {}
        for sep in _SEPARATORS:
            widths = _widths(sample, sep, is_cut=is_cut)
            suitability[sep] = (max(widths) == min(widths) > 1, widths[0])
        return max(_SEPARATORS, key=lambda sep: suitability[sep])

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Line and fields of each record, the header's first; blank lines are none."""
        with self._telling_of_bytes(), self.path.open(encoding="utf-8-sig", newline="") as file:
            records = csv.reader(file, delimiter=self.sep, strict=True)
            try:
                yield from ((records.line_num, record) for record in records if record)
            except csv.Error as error:
                raise UserError(f"{self.path}, line {records.line_num}: {error}") from error

    @contextmanager
    def _telling_of_bytes(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise UserError(_first_bad_byte(self.path)) from error

    def chunks(self, columns: list[str], n_rows: int) -> Iterator[pd.DataFrame]:
        records = self._records()
        next(records)
        while rows := list(islice(map(self._checked, records), n_rows)):
            yield self._frame(list(zip(*rows, strict=True)), columns)

    def _checked(self, numbered: tuple[int, list[str]]) -> list[str]:
        line, record = numbered
        if len(record) != len(self.names):
            raise UserError(
                f"{self.path}, line {line}: {len(record)} fields, but the header has {len(self.names)}; mend the line, "
                f"or say --sep if {self.sep!r} is not what parts the fields"
            )
        return record

    def _frame(self, fields: list[tuple[str, ...]], columns: list[str]) -> pd.DataFrame:
        texts = {name: pd.Series(fields[self.names.index(name)] if fields else (), dtype="str") for name in columns}
        return pd.DataFrame({name: text.mask(text.isin(MISSING_TEXTS)) for name, text in texts.items()})

    def whole(self, columns: list[str]) -> pd.DataFrame:
        chunks = list(self.chunks(columns, _ROWS_AT_ONCE))
        return pd.concat(chunks, ignore_index=True) if chunks else self._frame([], columns)


def _widths(sample: str, sep: str, *, is_cut: bool) -> list[int]:
    """Numbers of fields of the first records; one 0 where there are none."""
    widths: list[int] = []
    try:
        widths.extend(len(record) for record in csv.reader(io.StringIO(sample, newline=""), delimiter=sep) if record)
    except csv.Error:
        # what is wrong is told when the file is read
        return [0]
    if is_cut and len(widths) > 1:
        widths.pop()
    return widths[:_SAMPLE_RECORDS] or [0]


def _first_bad_byte(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                place = f"line {number}, byte {error.start + 1}"
                return f"{path}, {place}: 0x{line[error.start]:02x} is not UTF-8 ({error.reason}); save it as UTF-8"
    raise AssertionError(f"{path} has changed while it was read")


class _ParquetTable:
    is_text = False

    def __init__(self, path: Path):
        self.path = path
        with self._opened() as file:
            self._schema = file.schema_arrow
            self.n_rows: int | None = file.metadata.num_rows
        index = (self._schema.pandas_metadata or {}).get("index_columns", [])
        self.names: list[str] = [name for name in self._schema.names if name not in index]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                yield file
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{self.path} cannot be read as Parquet: {error}") from error

    def _check_flat(self, columns: list[str]) -> None:
        from pyarrow import types

        nested = [name for name in columns if types.is_nested(self._schema.field(name).type)]
        if nested:
            raise UserError(f"{self.path}: columns {listed(nested)} hold lists or structures, which no model takes")

    def chunks(self, columns: list[str], n_rows: int) -> Iterator[pd.DataFrame]:
        self._check_flat(columns)
        with self._opened() as file:
            for batch in file.iter_batches(batch_size=n_rows, columns=columns):
                yield batch.to_pandas(ignore_metadata=True)[columns]

    def whole(self, columns: list[str]) -> pd.DataFrame:
        self._check_flat(columns)
        with self._opened() as file:
            frame: pd.DataFrame = file.read(columns=columns).to_pandas(ignore_metadata=True)[columns]
        return frame


@contextmanager
def table_writer(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """What writes frames one below the other into a file, which takes its name when all are written."""
    write_to = _parquet_writer if check_table_ending(path) else _text_writer
    with replacing(path) as file, write_to(file, path) as write:
        yield write


@contextmanager
def _text_writer(file: Any, path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    sep = "\t" if path.suffix.lower() == ".tsv" else ","
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    is_first = True

    def write(frame: pd.DataFrame) -> None:
        nonlocal is_first
        frame.to_csv(text, sep=sep, index=False, header=is_first, lineterminator="\n")
        is_first = False

    try:
        yield write
    finally:
        # the file is not this wrapper's to close
        text.detach()


@contextmanager
def _parquet_writer(file: Any, path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    import pyarrow
    from pyarrow import parquet

    writer: Any = None

    def write(frame: pd.DataFrame) -> None:
        nonlocal writer
        if writer is None:
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            writer = parquet.ParquetWriter(file, table.schema)
        writer.write_table(pyarrow.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
