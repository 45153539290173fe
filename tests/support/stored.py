"""Rows to store, and the contract a stored capture must keep, checked without any reader of ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.schema import TABLES, arrow_schema

__all__ = ["ids", "numbered", "read_capture", "rows"]


def rows(table: str, **columns: Any) -> pa.Table:
    """Rows of a table with the given columns; the others are null, or 0 or empty where null is not allowed."""
    schema = arrow_schema(TABLES[table])
    count = len(next(iter(columns.values())))
    return pa.table(
        [
            pa.array(columns[field.name], type=field.type) if field.name in columns else _blank(field, count)
            for field in schema
        ],
        schema=schema,
    )


def _blank(field: pa.Field, count: int) -> pa.Array:
    if field.nullable:
        return pa.nulls(count, field.type)
    value_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    empty: dict[int, Any] = {pa.string().id: "", pa.binary().id: b"", pa.list_(pa.null()).id: []}
    return pa.array([empty.get(value_type.id, 0)] * count, type=field.type)


def numbered(first: int, count: int) -> pa.Table:
    """Rows of `syscalls` whose entry times are first, first+1, ...: their identity; three processes take turns."""
    ids = list(range(first, first + count))
    return rows("syscalls", ts_enter_ns=ids, ts_exit_ns=ids, pid=[100 + i % 3 for i in ids])


def read_capture(capture: Path) -> tuple[dict[str, Any], dict[str, list[pa.Table]]]:
    """The manifest and each listed file's rows, after checking every file against the manifest."""
    manifest = json.loads((capture / "manifest.json").read_bytes())
    tables: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
    for entry in manifest["files"]:
        data = (capture / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry
        assert len(data) == entry["bytes"], entry
        # without Arrow's threads, see recorder.parquet.decode
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True, pre_buffer=False)
        part = file.read(use_threads=False)
        assert part.num_rows == entry["rows"] > 0, entry
        schema = arrow_schema(TABLES[entry["table"]])
        assert part.schema.metadata == schema.metadata
        for field in schema:
            if field.name in part.schema.names or not field.nullable:
                assert part.schema.field(field.name).equals(field)
                assert (field.metadata or {}).items() <= part.schema.field(field.name).metadata.items(), field.name
        part = pa.concat_tables([part, schema.empty_table()], promote_options="default").select(schema.names)
        times = part[TABLES[entry["table"]].time].to_pylist()
        assert (min(times), max(times)) == (entry["from_ns"], entry["to_ns"]), entry
        tables[entry["table"]].append(part)
    return manifest, tables


def ids(capture: Path) -> list[int]:
    """The identities of all acknowledged `numbered` rows, sorted."""
    parts = read_capture(capture)[1]["syscalls"]
    return sorted(number for part in parts for number in part["ts_enter_ns"].to_pylist())
