"""Names stacks: in which functions the frames of a call's or a fault's user stack lay.

What is asked for is resolved together: the frames of one stack in one address space once, or once for each time, if
what was mapped under it changed meanwhile. So ten million calls cost what their few distinct stacks cost. The rule in
SQL is that of the view `frames`. With a folder of symbols (`--symbols DIR`), functions that the capture does not name
are looked up there, by the build id of their file.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from analysis.dictionary import views
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.progress import Progress
from analysis.text import inert
from recorder.elf import open_regular
from recorder.symbols import Functions, find, read_build_id, read_functions

__all__ = ["Stack", "StackText", "name_stacks", "stack_text", "with_stacks"]

_MOST_FILES = 200_000  # of a folder of symbols that are looked at
_SHOWN = 5  # files without symbols that are named


class Stack(NamedTuple):
    """A stack as it was taken: in which address space (see view `spaces`), and when. `ts_ns` is the entry of the call,
    or the time of the fault."""

    capture: str
    space: int
    stack_id: int
    ts_ns: int


class StackText(NamedTuple):
    """A stack for people: a line for each frame, the innermost first; inert.

    `malloc+0x1d (libc.so.6)`, `libfoo.so+0x1234` (the place in the file) where the function is not known, or the bare
    address where no code is. A line that is only possible ends with ` (possible)`; `reason` says why, None: all are
    certain.
    """

    lines: list[str]
    reason: str | None


def stack_text(engine: Engine, stacks: Iterable[Stack]) -> dict[Stack, StackText]:
    """The text of each of these stacks, all in one go. What was not recorded is left out.

    Raises UsageError where the folder of symbols cannot be read.
    """
    columns = zip(*stacks, strict=True)
    types = (pa.string(), pa.uint64(), pa.int32(), pa.uint64())
    arrays = [pa.array(column, type) for column, type in zip(columns, types, strict=False)]
    if not arrays:
        return {}
    engine.put("wanted_stacks", pa.table(arrays, names=list(Stack._fields)))
    name_stacks(engine, "FROM wanted_stacks")
    rows = engine.query(f"FROM {with_stacks('wanted_stacks', 'ts_ns')} WHERE stack_lines IS NOT NULL").dicts()
    return {
        Stack(*(row[name] for name in Stack._fields)): StackText(
            [inert(line) for line in row["stack_lines"]], row["stack_reason"]
        )
        for row in rows
    }


def name_stacks(engine: Engine, query: str) -> None:
    """Resolve the stacks that a query asks for; it gives capture, space, stack_id and ts_ns. See `with_stacks`."""
    engine.need_timeline()
    _run(
        engine,
        "CREATE OR REPLACE TABLE asked_stacks AS "
        "SELECT capture, space, stack_id, min(ts_ns) AS first_ns, max(ts_ns) AS last_ns "
        f"FROM ({query}) WHERE stack_id >= 0 GROUP BY capture, space, stack_id",
    )
    # the views, of these stacks instead of all
    _define(engine, "frame_places", "asked_places", stack_uses="asked_stacks")
    _run(engine, "CREATE OR REPLACE TABLE placed_frames AS FROM asked_places")
    if engine.symbols is None:
        _define(engine, "frames", "asked_frames", frame_places="placed_frames")
    else:
        engine.put("given_symbols", _given(engine, engine.symbols))
        _run(
            engine,
            "CREATE OR REPLACE VIEW all_symbols AS FROM symbols UNION ALL BY NAME "
            "SELECT *, coalesce(try(decode(name_bytes)), name_bytes::VARCHAR) AS name FROM given_symbols",
        )
        _define(engine, "frames", "asked_frames", frame_places="placed_frames", symbols="all_symbols")
    _run(
        engine,
        "CREATE OR REPLACE TABLE named_stacks AS "
        "SELECT capture, space, stack_id, from_ns, list(line ORDER BY depth) AS stack_lines, min(why) AS stack_reason "
        "FROM (SELECT *, if(path IS NULL, NULL, reason) AS why, frame || if(why IS NULL, '', ' (possible)') AS line "
        "FROM asked_frames) GROUP BY capture, space, stack_id, from_ns",
    )


def with_stacks(table: str, ts_ns: str) -> str:
    """A relation: the rows of a table with `stack_lines` and `stack_reason`, null where there is no stack. For what
    `name_stacks` resolved; `ts_ns` is the table's column of the time. The lines are not inert."""
    return (
        f"(SELECT {table}.*, stack_lines, stack_reason FROM {table} ASOF LEFT JOIN named_stacks "
        f"ON {table}.capture = named_stacks.capture AND {table}.space = named_stacks.space "
        f"AND {table}.stack_id = named_stacks.stack_id AND {table}.{ts_ns} >= named_stacks.from_ns)"
    )


def _run(engine: Engine, sql: str) -> None:
    for _ in engine.query(sql, "naming stacks"):
        pass


def _define(engine: Engine, view: str, name: str, **sources: str) -> None:
    """Make a view like one of analysis/sql that has other sources."""
    sql = views()[view].sql.replace(f"CREATE VIEW {view} (", f"CREATE OR REPLACE VIEW {name} (", 1)
    for old, new in sources.items():
        sql = re.sub(rf"\b{old}\b", new, sql)
    _run(engine, sql)


def _given(engine: Engine, folder: Path) -> pa.Table:
    """What a folder of symbols has for the frames in `placed_frames`, as rows of table `symbols`."""
    rows = engine.query(
        "SELECT DISTINCT capture, dev, inode, image_generation, build_id, "
        "virtual_address - (depth > 1)::UBIGINT AS inside, regexp_extract(path, '[^/]*$') AS file "
        "FROM placed_frames WHERE build_id IS NOT NULL AND virtual_address IS NOT NULL AND NOT EXISTS ("
        "FROM symbols WHERE symbols.capture = placed_frames.capture AND symbols.dev = placed_frames.dev "
        "AND symbols.inode = placed_frames.inode AND symbols.generation = image_generation "
        "AND symbols.address <= virtual_address - (depth > 1)::UBIGINT "
        "AND symbols.address::HUGEINT + size_bytes > virtual_address - (depth > 1)::UBIGINT)"
    ).dicts()
    places = defaultdict(list)
    names = {}
    for row in rows:
        places[row["build_id"]].append(row)
        names[row["build_id"]] = row["file"]
    found = []
    with _files(folder, places) as files:
        for build_id, fds in files.items():
            tables = sorted((t for fd in fds for t in read_functions(fd)), key=_size, reverse=True)
            inside = np.array([row["inside"] for row in places[build_id]], np.uint64)
            for row, function in zip(places[build_id], find(tables, inside), strict=True):
                if function is not None:
                    identity = {name: row[name] for name in ("capture", "dev", "inode")}
                    found.append({**identity, "generation": row["image_generation"], **function._asdict()})
        missing = [f"{names[each]} ({each.hex()})" for each in places if each not in files]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        shown = inert(", ".join(missing[:_SHOWN]))
        print(f"note: nothing in {inert(str(folder))} has the build id of: {shown}{more}", file=sys.stderr)
    schema = pa.schema(
        [
            ("capture", pa.string()), ("dev", pa.uint32()), ("inode", pa.uint64()), ("generation", pa.uint32()),
            ("address", pa.uint64()), ("size_bytes", pa.uint64()), ("name_bytes", pa.binary()),
        ]
    )  # fmt: skip
    distinct = {tuple(row.values()) for row in found}
    columns = zip(*distinct, strict=True) if distinct else ([] for _ in schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _size(table: Functions) -> int:
    return len(table.start)


@contextmanager
def _files(folder: Path, build_ids: Collection[bytes]) -> Iterator[dict[bytes, list[int]]]:
    """Open files of a folder that have one of these build ids: as debuggers lay them out, or anywhere below it.

    Raises UsageError if the folder cannot be read.
    """
    fds: dict[bytes, list[int]] = defaultdict(list)
    try:
        for build_id in build_ids:
            for name in _usual(folder, build_id):
                _open(name, {build_id}, fds)
        _search(folder, set(build_ids) - set(fds), fds)
        yield fds
    finally:
        for each in fds.values():
            for fd in each:
                os.close(fd)


def _usual(folder: Path, build_id: bytes) -> Iterator[Path]:
    text = build_id.hex()
    for place in (folder / ".build-id", folder):
        for ending in (".debug", ""):
            yield place / text[:2] / f"{text[2:]}{ending}"


def _search(folder: Path, build_ids: set[bytes], fds: dict[bytes, list[int]]) -> None:
    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            raise UsageError(f"symbols cannot be read: {folder}: {error.strerror}", "--symbols takes a folder")

    seen = 0
    with Progress("looking for symbols") as progress:
        for path, _, names in os.walk(folder, onerror=refuse):
            for name in names:
                seen += 1
                if seen > _MOST_FILES:
                    print(f"note: only {_MOST_FILES} files were looked at in {inert(str(folder))}", file=sys.stderr)
                    return
                if build_ids:
                    _open(Path(path, name), build_ids, fds)
            progress(0, 0)


def _open(path: Path, build_ids: Collection[bytes], fds: dict[bytes, list[int]]) -> None:
    """Keep a file open that has one of the build ids."""
    fd = open_regular(os.fsencode(path), None)
    if fd is None:
        return
    build_id = read_build_id(fd)
    if build_id in build_ids and build_id is not None:
        fds[build_id].append(fd)
    else:
        os.close(fd)
