"""What is stored is what is read back, byte for byte, by pyarrow and by DuckDB."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.parquet import decode, encode, live, merge
from recorder.schema import TABLES, arrow_schema
from recorder.store import Store
from tests.support.stored import numbered, read_capture, rows

HOSTILE = [b"", b"\0", b"\x1b[31m", b"a\nb", "\u202etxt".encode(), b"\xff\xfe", b"[red]x[/]", b"'; DROP TABLE x; --"]


def values(type: pa.DataType) -> st.SearchStrategy[Any]:
    """Any value of an Arrow type, its extremes included."""
    if pa.types.is_dictionary(type):
        return values(type.value_type)
    if pa.types.is_integer(type):
        top = 2 ** (type.bit_width - pa.types.is_signed_integer(type)) - 1
        low = -top - 1 if pa.types.is_signed_integer(type) else 0
        return st.integers(low, top) | st.sampled_from([low, 0, top])
    if pa.types.is_binary(type):
        return st.sampled_from(HOSTILE) | st.binary(max_size=20)
    if pa.types.is_string(type):
        return st.text(max_size=10)
    if pa.types.is_list(type):
        return st.lists(values(type.value_type), max_size=4)
    assert pa.types.is_struct(type), type
    return st.fixed_dictionaries({type.field(i).name: values(type.field(i).type) for i in range(type.num_fields)})


def tables_of(name: str) -> st.SearchStrategy[pa.Table]:
    schema = arrow_schema(TABLES[name])
    row = st.fixed_dictionaries(
        {field.name: st.none() | values(field.type) if field.nullable else values(field.type) for field in schema}
    )
    return st.lists(row, min_size=1, max_size=12).map(lambda made: pa.Table.from_pylist(made, schema=schema))


def by_key(table: str) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    # rows of no process come last
    return lambda row: (row.get("pid", 0) is None, row.get("pid", 0) or 0, row[TABLES[table].time])


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_stored_rows_read_back_the_same_before_and_after_compaction(table: str, data: st.DataObject) -> None:
    batches = [data.draw(tables_of(table)) for _ in range(2)]
    expected = [row for batch in batches for row in batch.to_pylist()]
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        store = Store(capture, {"maptrail": "0.1.0"})
        for batch in batches:
            store.append(table, batch)
        store.commit()
        assert [row for part in read_capture(capture)[1][table] for row in part.to_pylist()] == expected
        store.compact()
        store.close("complete")
        expected.sort(key=by_key(table))
        (part,) = read_capture(capture)[1][table]
        assert part.to_pylist() == expected
        with duckdb.connect() as duck:
            read = duck.sql(f"FROM read_parquet('{capture}/{table}/*.parquet')")
            assert [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()] == expected


@pytest.mark.parametrize("table", TABLES)
def test_every_file_has_the_promised_encodings(table: str) -> None:
    count = 300
    full = {field.name: [_some(field.type, number) for number in range(count)] for field in arrow_schema(TABLES[table])}
    metadata = pq.ParquetFile(pa.BufferReader(encode(TABLES[table], rows(table, **full)))).metadata
    encodings = {"delta": "DELTA_BINARY_PACKED", "split": "BYTE_STREAM_SPLIT", "dict": "RLE_DICTIONARY"}
    for leaf in range(metadata.num_columns):
        chunk = metadata.row_group(0).column(leaf)
        column = TABLES[table][chunk.path_in_schema.partition(".")[0]]
        assert chunk.compression == "ZSTD"
        if not pa.types.is_nested(column.type):
            assert chunk.is_stats_set == (column.optional or pa.types.is_integer(column.type)), column.name
        assert encodings.get(column.encoding, "PLAIN") in chunk.encodings, column.name
        assert chunk.has_dictionary_page == (column.encoding == "dict"), column.name


def _some(type: pa.DataType, number: int) -> Any:
    if pa.types.is_dictionary(type):
        return _some(type.value_type, number)
    if pa.types.is_list(type):
        return [_some(type.value_type, number)]
    if pa.types.is_struct(type):
        return {type.field(i).name: number for i in range(type.num_fields)}
    return b"b" if pa.types.is_binary(type) else "s" if pa.types.is_string(type) else number % 100


def test_row_groups_are_duckdbs_own() -> None:
    data = encode(TABLES["syscalls"], numbered(0, 122_880 + 17))
    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [122_880, 17]


def test_a_damaged_page_is_noticed() -> None:
    data = bytearray(encode(TABLES["syscalls"], numbered(0, 1000)))
    chunk = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(0).column(0)
    data[chunk.data_page_offset + 100] ^= 1
    with pytest.raises(OSError, match="CRC"):
        decode(bytes(data))


def test_values_that_no_row_uses_are_not_stored() -> None:
    paths = pa.array([b"/secret/%06d" % number for number in range(50_000)])
    batch = rows("vmas", ts_ns=[1, 2, 3])
    column = pa.DictionaryArray.from_arrays(pa.array([7, 7, 40_000], pa.int32()), paths)
    at = batch.schema.get_field_index("path")
    batch = batch.set_column(at, batch.schema.field(at), column)
    data = encode(TABLES["vmas"], batch)
    assert data.size < 20_000
    assert pq.read_table(pa.BufferReader(data))["path"].to_pylist() == [paths[i].as_py() for i in (7, 7, 40_000)]


def test_null_columns_are_neither_read_nor_stored_until_files_are_merged(tmp_path: Path) -> None:
    batch = numbered(0, 1000)
    part = decode(encode(TABLES["syscalls"], batch))
    assert {"ts_enter_ns", "pid", "ret"} <= set(part.column_names)
    assert not {"addr", "fd", "stack_id"} & set(part.column_names)
    assert part.equals(live(batch))
    store = Store(tmp_path / "capture", {})
    store.append("syscalls", batch)
    store.commit()
    (file,) = (tmp_path / "capture" / "syscalls").iterdir()
    assert pq.read_schema(file).names == part.column_names
    store.compact()
    store.close("complete")
    (file,) = (tmp_path / "capture" / "syscalls").iterdir()
    assert pq.read_schema(file).names == batch.column_names


def test_numbers_that_hardly_change_need_no_dictionary() -> None:
    count = 1000
    batch = rows("vmas", ts_ns=range(count), pid=[7] * count, tid=[number % 3 for number in range(count)])
    metadata = pq.ParquetFile(pa.BufferReader(encode(TABLES["vmas"], batch))).metadata.row_group(0)
    chunks = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
    assert not chunks["pid"].has_dictionary_page
    assert chunks["tid"].has_dictionary_page
    assert chunks["path"].has_dictionary_page


def test_merge_joins_files_that_miss_different_columns() -> None:
    first = rows("syscalls", ts_enter_ns=[3, 1], addr=[30, 10])
    second = rows("syscalls", ts_enter_ns=[2, 2], fd=[5, 6], comm=[b"\xff", b"x"])
    merged = merge(TABLES["syscalls"], (decode(encode(TABLES["syscalls"], part)) for part in (first, second)))
    assert merged.schema.equals(arrow_schema(TABLES["syscalls"]), check_metadata=True)
    assert merged.select(["ts_enter_ns", "addr", "fd", "comm", "size"]).to_pylist() == [
        {"ts_enter_ns": 1, "addr": 10, "fd": None, "comm": b"", "size": None},
        {"ts_enter_ns": 2, "addr": None, "fd": 5, "comm": b"\xff", "size": None},
        {"ts_enter_ns": 2, "addr": None, "fd": 6, "comm": b"x", "size": None},
        {"ts_enter_ns": 3, "addr": 30, "fd": None, "comm": b"", "size": None},
    ]
