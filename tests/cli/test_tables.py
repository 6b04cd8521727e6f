"""Tables in files: what is read does not hang on chunks, what is wrong is named, what is written is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridlearn._cli_columns import as_in_fit, numbers_in, typed
from hybridlearn._cli_errors import UserError
from hybridlearn._cli_tables import MISSING_TEXTS, open_table, table_writer
from hybridlearn.table import Schema


def table_of(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def whole(path: Path, sep: str | None = None) -> pd.DataFrame:
    table = open_table(path, sep=sep)
    return table.whole(table.names)


def text(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype="str", name="x")


# what is read


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(sep: str, tmp_path: Path) -> None:
    lines = [["id", "what, it; was"], ["1", "a"], ["2", "b, c; d|e"]]
    content = "\n".join(sep.join(f'"{field}"' for field in line) for line in lines)
    frame = whole(table_of(tmp_path / "t.csv", content))
    assert frame.to_dict("list") == {"id": ["1", "2"], "what, it; was": ["a", "b, c; d|e"]}


def test_commas_of_decimals_do_not_separate(tmp_path: Path) -> None:
    frame = whole(table_of(tmp_path / "t.csv", "a;b\n1,5;2,5\n3;4\n"))
    assert frame.to_dict("list") == {"a": ["1,5", "3"], "b": ["2,5", "4"]}


def test_one_column_needs_no_separator(tmp_path: Path) -> None:
    assert whole(table_of(tmp_path / "t.txt", "a\n1\n\n2\n")).to_dict("list") == {"a": ["1", "2"]}


def test_a_separator_may_be_given(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t.csv", "a:b,c\n1:2,3\n")
    assert list(whole(path, sep=":")) == ["a", "b,c"]
    assert list(whole(path)) == ["a:b", "c"]


def test_the_ending_tsv_says_tab(tmp_path: Path) -> None:
    assert list(whole(table_of(tmp_path / "t.tsv", "a,b,c\td\n1,2,3\t4\n"))) == ["a,b,c", "d"]


def test_quotes_byte_order_marks_and_line_ends(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf"a","b"\r\n"1","two\nlines, and ""quotes"""\r\n"2","\xc3\xa9"'
    frame = whole(table_of(tmp_path / "t.csv", content))
    assert frame.to_dict("list") == {"a": ["1", "2"], "b": ['two\nlines, and "quotes"', "é"]}


def test_values_that_are_missing(tmp_path: Path) -> None:
    texts = sorted(MISSING_TEXTS)
    path = table_of(tmp_path / "t.csv", "a,b\n" + "".join(f"{missing},x\n" for missing in texts))
    frame = whole(path)
    assert frame["a"].isna().all()
    assert frame["b"].notna().all()
    # the same as pandas takes for missing
    assert pd.read_csv(path)["a"].isna().all()


def test_a_sample_that_ends_inside_a_record_misleads_nobody(tmp_path: Path) -> None:
    """The first record but the header does not fit into the sample from which the separator is found out."""
    content = "a;b\n" + ";".join(["x" * 50_000, "y, " * 10_000]) + "\n1;2\n"
    frame = whole(table_of(tmp_path / "t.csv", content))
    assert (list(frame), len(frame)) == (["a", "b"], 2)


@pytest.mark.parametrize("n_rows", [1, 3, 100])
def test_chunks_are_the_whole_in_parts(n_rows: int, tmp_path: Path) -> None:
    table = open_table(table_of(tmp_path / "t.csv", "a,b,c\n" + "".join(f"{i},x{i},\n" for i in range(10))))
    chunks = list(table.chunks(["b", "a"], n_rows))
    assert {len(chunk) for chunk in chunks[:-1]} <= {n_rows}
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), table.whole(["b", "a"]))
    assert list(chunks[0]) == ["b", "a"]


def test_parquet_is_read_with_its_types_and_without_its_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}, index=pd.Index([7, 8, 9], name="key"))
    frame["c"] = frame["b"].astype("category")
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=2)
    table = open_table(tmp_path / "t.parquet")
    assert (table.names, table.n_rows) == (["a", "b", "c"], 3)
    pd.testing.assert_frame_equal(table.whole(["c", "a"]), frame[["c", "a"]].reset_index(drop=True))
    assert [len(chunk) for chunk in table.chunks(["a"], 2)] == [2, 1]


# what is wrong is named


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not even a header"),
        (b"\n\n", "not even a header"),
        (b"a,b,a,b,c\n1,2,3,4,5\n", "columns 'a', 'b' stand more than once"),
        (b"a,b\n1,2\n3\n", "line 3: 1 fields, but the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields, but the header has 2"),
        (b'a,b\n1,"2"x\n', "line 2: ',' expected after"),
        (b'a,b\n1,"2\n3,4\n', "unexpected end of data"),
        (b"a,b\n1,caf\xe9\n", "line 2, byte 6: 0xe9 is not UTF-8"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", "line 1, byte 1: 0xff is not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 40_000 + b"1,\x80\n", "line 40002, byte 3: 0x80"),
    ],
)
def test_a_text_that_is_no_table(content: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint) as raised:
        whole(table_of(tmp_path / "t.csv", content))
    assert str(tmp_path / "t.csv") in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"a,b\n1,2\n"])
def test_a_file_that_is_no_parquet(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.parquet cannot be read as Parquet"):
        open_table(table_of(tmp_path / "t.parquet", content))


def test_a_parquet_file_that_is_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": np.random.default_rng(0).random(1000)}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        whole(path)


def test_lists_are_no_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2], "b": [[1], [2, 3]]}).to_parquet(tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    assert len(table.whole(["a"])) == 2
    with pytest.raises(UserError, match="columns 'b' hold lists"):
        table.whole(["a", "b"])
    with pytest.raises(UserError, match="columns 'b' hold lists"):
        list(table.chunks(["b"], 10))


# what columns are


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (text("1", " 2", "1e3", None), "float64"),
        (text(None, None), "float64"),
        (text("true", "FALSE", None), "boolean"),
        (text("2024-01-31", "2024-02-29 12:30", "2024-02-29T12:30:15.5Z", None), "datetime64[us]"),
        (text("2024-01-31", "2024-02-30"), "category"),
        (text("2024-01-31", "soon"), "category"),
        (text("a", "1", None), "category"),
    ],
)
def test_what_a_column_of_text_is(column: pd.Series, dtype: str) -> None:
    read = typed(column)
    assert str(read.dtype) == dtype
    assert (read.isna() == column.isna()).all()


def test_labels_of_categories_stay_as_they_are_written() -> None:
    assert typed(text("01", "x", "y", " 1 ")).tolist() == ["01", "x", "y", " 1 "]


def test_numbers_with_a_decimal_comma() -> None:
    numbers, bad = numbers_in(text("1,5", "-2", None, "1.500,25", "1.5"), decimal=",")
    np.testing.assert_array_equal(numbers, [1.5, -2, np.nan, np.nan, np.nan])
    assert bad.tolist() == [False, False, False, True, True]
    with pytest.warns(UserWarning, match="'x' is taken for categories: for numbers such as '1,5' say --decimal ,"):
        typed(text("1,5", "2"))


def test_a_column_of_nearly_numbers_is_told_of() -> None:
    with pytest.warns(UserWarning, match=r"'x' is taken for categories: 1 of its 3 values .* such as '\?' in row 3;"):
        typed(text("1", None, "?", "2.5"))


# as the model knows them


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": [1.5, 2.0, np.nan],
            "b": pd.array([True, None, False], dtype="boolean"),
            "d": pd.to_datetime(["2024-01-01", None, "2024-01-02 03:04:05"], format="ISO8601"),
            "s": pd.to_timedelta(["1h", None, "2h"]),
            "c": ["x", "1", None],
            "nothing": [None, None, None],
        }
    )


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda column: column.astype("object").map(str, na_action="ignore").astype("str"))


def test_a_chunk_is_what_the_whole_was(frame: pd.DataFrame) -> None:
    """Whatever a chunk looks like on its own: all missing, whole numbers, a category that is a number."""
    schema = Schema.from_data(frame)
    read = as_in_fit(as_text(frame), schema, first_row=0)
    for rows in ([0], [1], [2], [1, 2]):
        chunk = as_in_fit(as_text(frame).iloc[rows], schema, first_row=rows[0])
        pd.testing.assert_frame_equal(chunk, read.iloc[rows])
    np.testing.assert_array_equal(schema.numeric_block(read), schema.numeric_block(frame))
    np.testing.assert_array_equal(schema.category_codes(read), schema.category_codes(frame))


def test_types_of_a_file_do_not_matter_where_values_are_the_same(frame: pd.DataFrame) -> None:
    """Integers, text and categories for numbers; numbers for truths; a zone."""
    schema = Schema.from_data(frame)
    other = frame.assign(n=["1.5", "2", None], b=[1.0, None, 0.0], d=frame["d"].dt.tz_localize("UTC"))
    for n in (other["n"], other["n"].astype("category")):
        read = as_in_fit(other.assign(n=n), schema, first_row=0)
        np.testing.assert_array_equal(schema.numeric_block(read), schema.numeric_block(frame))


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("n", "many", "'n', row 102: 'many' is no number"),
        ("n", "1,5", "'n', row 102: '1,5' is no number"),
        ("b", "maybe", "'b', row 102: 'maybe' is neither true nor false"),
        ("d", "31.12.2024", r"'d', row 102: '31\.12\.2024' is no date"),
        ("d", "20", "'d', row 102: '20' is no date"),
        ("s", "long", "'s', row 102: 'long' is no span of time"),
    ],
)
def test_a_value_of_another_kind_is_named(frame: pd.DataFrame, column: str, value: str, complaint: str) -> None:
    bad = as_text(frame)
    bad.loc[1, column] = value
    with pytest.raises(UserError, match=complaint):
        as_in_fit(bad, Schema.from_data(frame), first_row=100)


def test_a_column_that_told_nothing_may_hold_anything(frame: pd.DataFrame) -> None:
    read = as_in_fit(as_text(frame).assign(nothing="something"), Schema.from_data(frame), first_row=0)
    assert read["nothing"].isna().all()


# what is written


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_frames_are_written_one_below_the_other(ending: str, tmp_path: Path) -> None:
    frames = [pd.DataFrame({"a": [0.1, 1 / 3], "b": ["x,\ty", 'z "q"\n']}), pd.DataFrame({"a": [2.0], "b": ["01"]})]
    path = tmp_path / f"t.{ending}"
    with table_writer(path) as write:
        for frame in frames:
            write(frame)
    read = whole(path)
    expected = pd.concat(frames, ignore_index=True)
    assert read["a"].astype("float64").tolist() == expected["a"].tolist()
    assert read["b"].tolist() == expected["b"].tolist()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt, OSError])
def test_what_is_not_whole_is_not_there(ending: str, error: type[BaseException], tmp_path: Path) -> None:
    path = table_of(tmp_path / f"t.{ending}", "what was there")

    def cut_short() -> None:
        with table_writer(path) as write:
            write(pd.DataFrame({"a": [1.0]}))
            raise error

    with pytest.raises(error):
        cut_short()
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]
