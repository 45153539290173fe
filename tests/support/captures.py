"""Builds small captures from rows written by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.manifest import MANIFEST
from recorder.schema import FORMAT_VERSION, TABLES, Table, arrow_schema

__all__ = ["SECOND", "START_NS", "build_capture", "edit_manifest", "file_entry"]

SECOND = 1_000_000_000
START_NS = 1_000 * SECOND
"""Start of every capture made here: 2026-01-31T12:00:00Z on the wall."""
_WALL_NS = 1_769_860_800 * SECOND

Row = Mapping[str, Any]


def build_capture(
    directory: Path,
    tables: Mapping[str, Sequence[Row] | Sequence[Sequence[Row]]],
    **manifest: Any,
) -> Path:
    """Write a capture and return its directory.

    `tables` maps a table to its rows, or to batches of rows (a file each). A column that a row leaves out
    is null where it may be, else 0, "" or b"", and the time of the start in the columns that hold a time.
    Keyword arguments replace keys of the manifest.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = []
    totals: dict[str, dict[str, int]] = {name: {"attempted": 0, "stored": 0, "lost": 0} for name in TABLES}
    for name, rows in tables.items():
        batches = rows if rows and not isinstance(rows[0], Mapping) else [rows]
        for number, batch in enumerate(filter(None, batches), 1):
            path = directory / name / f"{number:06}.parquet"
            path.parent.mkdir(exist_ok=True)
            data = _table(TABLES[name], batch)
            pq.write_table(data, path, compression="zstd", write_page_checksum=True)
            times = data[TABLES[name].time].to_pylist()
            entries.append(file_entry(directory, path, len(batch), min(times), max(times)))
            for key in ("attempted", "stored"):
                totals[name][key] += len(batch)
    ended = manifest.get("ended_ns") or max((entry["to_ns"] for entry in entries), default=START_NS)
    fields = {
        "format": FORMAT_VERSION, "maptrail": "0.1.0", "state": "complete", "failure": None, "mode": "run",
        "command": ["/bin/true"], "targets": [], "options": {}, "host": "testhost", "boot_id": "0" * 32,
        "kernel": "6.18.44", "kernel_version": "#1 SMP", "arch": "x86_64", "page_size": 4096,
        "max_map_count": 65530, "cpus": 2, "recorder_pid": 1,
        "clock": {"monotonic_ns": START_NS, "realtime_ns": _WALL_NS},
        "started_ns": START_NS, "updated_ns": ended, "ended_ns": ended, "drained_to_ns": ended,
        "probe_plan": [], "totals": totals, "losses": [], "recorder": {}, "files": entries,
    }  # fmt: skip
    (directory / MANIFEST).write_text(json.dumps({**fields, **manifest}))
    return directory


def file_entry(directory: Path, path: Path, rows: int, from_ns: int, to_ns: int) -> dict[str, Any]:
    """The manifest's entry of a file, true as far as size and hash go."""
    data = path.read_bytes()
    return {
        "table": path.parent.name, "path": str(path.relative_to(directory)), "rows": rows, "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(), "from_ns": from_ns, "to_ns": to_ns,
    }  # fmt: skip


def edit_manifest(directory: Path, **changes: Any) -> None:
    """Replace keys of a capture's manifest."""
    path = directory / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _table(table: Table, rows: Sequence[Row]) -> pa.Table:
    known = {column.name for column in table.columns}
    for row in rows:
        if unknown := set(row) - known:
            raise KeyError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist(
        [{column.name: row.get(column.name, _default(column)) for column in table.columns} for row in rows],
        arrow_schema(table),
    )


def _default(column: Any) -> Any:
    if column.optional:
        return None
    if column.unit == "ns, CLOCK_MONOTONIC":
        return START_NS
    value = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return (
        0 if pa.types.is_integer(value) else b"" if pa.types.is_binary(value) else [] if pa.types.is_list(value) else ""
    )
